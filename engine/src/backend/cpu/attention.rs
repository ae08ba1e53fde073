//! Attention of new prompt tokens (causal) and of canvases (both directions) over a prompt's cached keys and values.

use std::ops::Range;

use crate::backend::Segment;

use super::feed_forward::norm_rows;
use super::matmul::matmul;
use super::products::{ColumnBlock, scores, weighted_sum};
use super::rope::rotate;
use super::vector;
use super::weights::{Layer, Weights};
use super::workspace::{ATTENTION_ROWS, AttentionTask, Workspace};
use super::{Cache, LayerCache};

pub(crate) fn attend_prompt(
    weights: &Weights,
    workspace: &mut Workspace,
    layer_index: usize,
    segments: &[Segment],
    caches: &mut [&mut Cache],
    keys_only: bool,
) {
    let layer = &weights.layers[layer_index];
    let width = layer.kv_width();
    // The first layers of a pass find the cache one block behind the last ones.
    let cached = |cache: &Cache| cache.layers[layer_index].keys.len() / width;
    let place = |prompt: usize| cached(&*caches[prompt]);
    project(weights, workspace, layer, segments, &place);
    let mut first = 0;
    for segment in segments {
        let rows = first * width..(first + segment.rows) * width;
        let cache = &mut *caches[segment.prompt];
        cache.layers[layer_index].keys.extend_from_slice(&workspace.keys[rows.clone()]);
        cache.layers[layer_index].values.extend_from_slice(&workspace.values[rows]);
        if layer_index + 1 == weights.layers.len() {
            cache.tokens += segment.rows;
        }
        first += segment.rows;
    }
    if keys_only {
        return;
    }
    attend(weights, workspace, layer, segments, None, |task, scores_scratch, query, out| {
        causal_task(layer, &caches[task.prompt].layers[layer_index], task, scores_scratch, query, out);
    });
    finish(weights, workspace, layer);
}

/// Where only the packed rows `read` are wanted, these are the workspace's first rows afterwards, and its only ones.
pub(crate) fn attend_canvas(
    weights: &Weights,
    workspace: &mut Workspace,
    layer_index: usize,
    segments: &[Segment],
    caches: &[&Cache],
    read: Option<&[usize]>,
) {
    let layer = &weights.layers[layer_index];
    project(weights, workspace, layer, segments, &|prompt| caches[prompt].tokens);
    if let Some(read) = read {
        workspace.gather_rows(read, weights.hidden, layer.qkv.rows());
    }
    let keys = std::mem::take(&mut workspace.keys);
    let values = std::mem::take(&mut workspace.values);
    attend(weights, workspace, layer, segments, read, |task, scores_scratch, query, out| {
        let canvas = CanvasKeys { keys: &keys, values: &values };
        canvas_task(layer, &caches[task.prompt].layers[layer_index], &canvas, task, scores_scratch, query, out);
    });
    workspace.keys = keys;
    workspace.values = values;
    finish(weights, workspace, layer);
}

/// Norms the stream and makes queries (in place in `qkv`), keys and values, normed and rotated. `prompt_tokens`
/// gives the position at which a prompt's segment begins.
fn project(
    weights: &Weights,
    workspace: &mut Workspace,
    layer: &Layer,
    segments: &[Segment],
    prompt_tokens: &dyn Fn(usize) -> usize,
) {
    let (rows, hidden, head_dim) = (workspace.rows, weights.hidden, layer.head_dim);
    let kv_width = layer.kv_width();
    let query_width = weights.heads * head_dim;
    let row_width = layer.qkv.rows();
    norm_rows(
        &workspace.stream[..rows * hidden],
        Some(&layer.input_norm),
        weights,
        &mut workspace.normed[..rows * hidden],
    );
    let qkv = &mut workspace.qkv[..rows * row_width];
    matmul(&workspace.normed[..rows * hidden], &layer.qkv, qkv);

    workspace.positions.clear();
    for segment in segments {
        let start = prompt_tokens(segment.prompt);
        workspace.positions.extend(start..start + segment.rows);
    }
    let frequencies = &layer.rotation;
    let half = frequencies.half();
    for (row, position) in workspace.positions.iter().enumerate() {
        let cosines = &mut workspace.cosines[row * half..][..half];
        let sines = &mut workspace.sines[row * half..][..half];
        frequencies.angles(*position, cosines, sines);
        let qkv = &mut qkv[row * row_width..][..row_width];
        let (queries, keys_values) = qkv.split_at_mut(query_width);
        for query in queries.chunks_exact_mut(head_dim) {
            vector::rms_norm_in_place(query, Some(&layer.query_norm), weights.eps);
            rotate(query, cosines, sines);
        }
        let keys_out = &mut workspace.keys[row * kv_width..][..kv_width];
        let values_out = &mut workspace.values[row * kv_width..][..kv_width];
        // Where a layer has no values of its own, the raw keys serve, before their norm and rotation.
        let raw_values = if layer.has_values { &keys_values[kv_width..] } else { &keys_values[..kv_width] };
        for (value, raw) in values_out.chunks_exact_mut(head_dim).zip(raw_values.chunks_exact(head_dim)) {
            vector::rms_norm(raw, None, weights.eps, value);
        }
        for (key, raw) in keys_out.chunks_exact_mut(head_dim).zip(keys_values.chunks_exact(head_dim)) {
            vector::rms_norm(raw, Some(&layer.key_norm), weights.eps, key);
            rotate(key, cosines, sines);
        }
    }
}

/// Splits the heads and rows into tasks, runs them on all threads, and gathers their outputs row by row. The queries are
/// those of all the segments' rows, or of those `read`.
fn attend(
    weights: &Weights,
    workspace: &mut Workspace,
    layer: &Layer,
    segments: &[Segment],
    read: Option<&[usize]>,
    task_body: impl Fn(&AttentionTask, &mut Vec<f32>, Queries<'_>, &mut [f32]) + Sync,
) {
    let head_dim = layer.head_dim;
    let row_width = layer.qkv.rows();
    let Workspace { tasks, attended_by_task, attended, scores, qkv, rows, .. } = workspace;
    tasks.clear();
    let (mut segment_start, mut first_query, mut offset) = (0, 0, 0);
    for segment in segments {
        let queries = read.map_or(segment.rows, |read| {
            read[first_query..].partition_point(|row| *row < segment_start + segment.rows)
        });
        for first in (0..queries).step_by(ATTENTION_ROWS) {
            let task_rows = ATTENTION_ROWS.min(queries - first);
            for head in 0..weights.heads {
                tasks.push(AttentionTask {
                    prompt: segment.prompt,
                    head,
                    first_row: first_query + first,
                    rows: task_rows,
                    segment_start,
                    segment_rows: segment.rows,
                    offset,
                });
                offset += task_rows * head_dim;
            }
        }
        segment_start += segment.rows;
        first_query += queries;
    }
    let qkv = &qkv[..];
    let run = |task: &AttentionTask, out: &mut [f32]| {
        let queries = Queries { data: &qkv[task.first_row * row_width + task.head * head_dim..], stride: row_width };
        let thread = rayon::current_thread_index().unwrap_or(0);
        let mut scratch = scores[thread % scores.len()].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        task_body(task, &mut scratch, queries, out);
    };
    split(tasks, &mut attended_by_task[..offset], &run);

    let width = weights.heads * head_dim;
    for task in tasks.iter() {
        let block = &attended_by_task[task.offset..][..task.rows * head_dim];
        for (index, head) in block.chunks_exact(head_dim).enumerate() {
            let start = (task.first_row + index) * width + task.head * head_dim;
            attended[start..start + head_dim].copy_from_slice(head);
        }
    }
    debug_assert_eq!(*rows, first_query);
}

/// Halves the tasks until one is left for a thread. `join` rather than an iterator, because the outputs differ in
/// length and nothing is to be allocated.
fn split(tasks: &[AttentionTask], out: &mut [f32], run: &(impl Fn(&AttentionTask, &mut [f32]) + Sync)) {
    match tasks {
        [] => {}
        [task] => run(task, out),
        _ => {
            let (left, right) = tasks.split_at(tasks.len() / 2);
            let (left_out, right_out) = out.split_at_mut(right[0].offset - left[0].offset);
            rayon::join(|| split(left, left_out, run), || split(right, right_out, run));
        }
    }
}

/// The output projection, its norm, and the residual.
fn finish(weights: &Weights, workspace: &mut Workspace, layer: &Layer) {
    let (rows, hidden) = (workspace.rows, weights.hidden);
    let width = weights.heads * layer.head_dim;
    let projected = &mut workspace.projected[..rows * hidden];
    matmul(&workspace.attended[..rows * width], &layer.output, projected);
    for (stream, projected) in
        workspace.stream[..rows * hidden].chunks_exact_mut(hidden).zip(projected.chunks_exact_mut(hidden))
    {
        vector::rms_norm_in_place(projected, Some(&layer.post_attention_norm), weights.eps);
        for (stream, projected) in stream.iter_mut().zip(projected.iter()) {
            *stream += projected;
        }
    }
}

/// A task's query rows, one every `stride` numbers.
#[derive(Clone, Copy)]
struct Queries<'a> {
    data: &'a [f32],
    stride: usize,
}

/// The canvas's own keys and values, [packed rows, kv width].
struct CanvasKeys<'a> {
    keys: &'a [f32],
    values: &'a [f32],
}

/// New prompt tokens see the tokens up to themselves, within the window.
fn causal_task(
    layer: &Layer,
    cache: &LayerCache,
    task: &AttentionTask,
    scratch: &mut Vec<f32>,
    queries: Queries<'_>,
    out: &mut [f32],
) {
    let (width, head_dim) = (layer.kv_width(), layer.head_dim);
    let column = kv_head(layer, task.head) * head_dim;
    let total = cache.keys.len() / width;
    // The segment's rows are the cache's last ones.
    let first_position = total - task.segment_rows + (task.first_row - task.segment_start);
    let end = first_position + task.rows;
    let start = layer.window.map_or(0, |window| (first_position + 1).saturating_sub(window));
    let count = end - start;
    resize(scratch, task.rows * count);
    let block = |data| ColumnBlock { data, stride: width, column, first: start, rows: count };
    scores(queries.data, queries.stride, task.rows, block(&cache.keys), head_dim, scratch, count);
    for (index, row) in scratch.chunks_exact_mut(count).enumerate() {
        let position = first_position + index;
        let seen = visible(layer, position, start);
        row[..seen.start].fill(0.0);
        row[seen.end..].fill(0.0);
        vector::softmax_in_place(&mut row[seen]);
    }
    weighted_sum(scratch, count, task.rows, block(&cache.values), head_dim, out, false);
}

/// The columns, from position `start` on, that the token at `position` sees.
fn visible(layer: &Layer, position: usize, start: usize) -> Range<usize> {
    let first = layer.window.map_or(0, |window| (position + 1).saturating_sub(window));
    first.max(start) - start..position + 1 - start
}

/// Canvas rows see their prompt (on sliding layers its last `window - 1` tokens) and their whole canvas.
fn canvas_task(
    layer: &Layer,
    cache: &LayerCache,
    canvas: &CanvasKeys<'_>,
    task: &AttentionTask,
    scratch: &mut Vec<f32>,
    queries: Queries<'_>,
    out: &mut [f32],
) {
    let (width, head_dim) = (layer.kv_width(), layer.head_dim);
    let column = kv_head(layer, task.head) * head_dim;
    let total = cache.keys.len() / width;
    let seen = layer.window.map_or(total, |window| total.min(window - 1));
    let count = seen + task.segment_rows;
    resize(scratch, task.rows * count);
    let prompt = |data| ColumnBlock { data, stride: width, column, first: total - seen, rows: seen };
    let own = |data| ColumnBlock { data, stride: width, column, first: task.segment_start, rows: task.segment_rows };
    scores(queries.data, queries.stride, task.rows, prompt(&cache.keys), head_dim, scratch, count);
    scores(queries.data, queries.stride, task.rows, own(canvas.keys), head_dim, &mut scratch[seen..], count);
    for row in scratch.chunks_exact_mut(count) {
        vector::softmax_in_place(row);
    }
    weighted_sum(scratch, count, task.rows, prompt(&cache.values), head_dim, out, false);
    weighted_sum(&scratch[seen..], count, task.rows, own(canvas.values), head_dim, out, true);
}

fn kv_head(layer: &Layer, head: usize) -> usize {
    head / layer.heads_per_kv_head
}

/// Grows the scratch where it is too small; it never shrinks, so that steps settle into allocating nothing.
fn resize(scratch: &mut Vec<f32>, length: usize) {
    scratch.resize(length, 0.0);
}
