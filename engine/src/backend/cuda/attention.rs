//! Attention of new prompt tokens (causal) and of canvases (both directions) over a prompt's cached keys and values.

use lacuna_kernels::ops::attention::{AttentionInput, attend};
use lacuna_kernels::ops::norm::{add_normed, rms_norm};
use lacuna_kernels::ops::rope::{OwnKeys, place_heads};
use lacuna_kernels::ops::rows::NormedOutput;
use lacuna_kernels::ops::segments::{CanvasSegment, PromptSegment, SegmentBuffer, SegmentTables};
use lacuna_kernels::{Device, Error};

use super::weights::Weights;
use super::workspace::{Ready, Workspace};
use super::{Activation, Cache};
use crate::backend::Segment;

pub(super) fn attend_prompt<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    layer_index: usize,
    segments: &[Segment],
    caches: &mut [&mut Cache<T>],
    keys_only: bool,
) -> Result<(), Error> {
    let layer = &weights.layers[layer_index];
    project(weights, workspace, layer_index)?;
    let Workspace { device, attention, rows, .. } = workspace;
    {
        let tables = prompt_tables(weights, device, &mut attention.prompts, segments, caches)?;
        let placed = tables.layer(layer_index);
        let queries = attention.queries.slice_mut(0..*rows * layer.shape.query_width());
        place_heads(
            &placed,
            attention.qkv.slice(0..*rows * layer.qkv.outputs),
            layer.head_weights(weights.eps),
            (!keys_only).then_some(queries),
            None,
        )?;
        if !keys_only {
            let queries = attention.queries.slice(0..*rows * layer.shape.query_width());
            let input = AttentionInput { queries, own: None };
            let attended = attention.attended.plain_mut(queries.len());
            attend(&placed, input, layer.window, attention.scratch.as_mut(), attended)?;
        }
    }
    if layer_index + 1 == weights.layers.len() {
        segments.iter().for_each(|segment| caches[segment.prompt].tokens += segment.rows);
    }
    if keys_only {
        return Ok(());
    }
    finish(weights, workspace, layer_index)
}

pub(super) fn attend_canvas<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    layer_index: usize,
    segments: &[Segment],
    caches: &[&Cache<T>],
) -> Result<(), Error> {
    let layer = &weights.layers[layer_index];
    project(weights, workspace, layer_index)?;
    let Workspace { attention, rows, .. } = workspace;
    let tables = canvas_tables(weights, &mut attention.canvases, segments, caches)?;
    let placed = tables.layer(layer_index);
    let (query_numbers, kv_numbers) = (*rows * layer.shape.query_width(), *rows * layer.kv_width());
    place_heads(
        &placed,
        attention.qkv.slice(0..*rows * layer.qkv.outputs),
        layer.head_weights(weights.eps),
        Some(attention.queries.slice_mut(0..query_numbers)),
        Some(OwnKeys {
            keys: attention.keys.slice_mut(0..kv_numbers),
            values: attention.values.slice_mut(0..kv_numbers),
        }),
    )?;
    let input = AttentionInput {
        queries: attention.queries.slice(0..query_numbers),
        own: Some((attention.keys.slice(0..kv_numbers), attention.values.slice(0..kv_numbers))),
    };
    let attended = attention.attended.plain_mut(query_numbers);
    attend(&placed, input, layer.window, attention.scratch.as_mut(), attended)?;
    finish(weights, workspace, layer_index)
}

/// Makes room in the caches for the new tokens of prompts, and tells the device where in each layer they go. It is told once a pass: the tables are
/// the same in all layers.
fn prompt_tables<'a, T: Activation>(
    weights: &Weights<T>,
    device: &Device,
    buffer: &'a mut SegmentBuffer,
    segments: &[Segment],
    caches: &'a mut [&mut Cache<T>],
) -> Result<SegmentTables<'a, T>, Error> {
    for segment in segments {
        let Cache { layers, tokens } = &mut *caches[segment.prompt];
        for (cache, layer) in layers.iter_mut().zip(&weights.layers) {
            cache.reserve(device, layer.kv_width(), *tokens, segment.rows)?;
        }
    }
    // Each cache is lent once, and handed out in the order of the segments.
    let mut lent: Vec<_> = caches.iter_mut().map(|cache| Some((cache.tokens, cache.layers.iter_mut()))).collect();
    let mut layers: Vec<Vec<PromptSegment<'a, T>>> = weights.layers.iter().map(|_| Vec::new()).collect();
    for segment in segments {
        let Some((tokens, caches)) = lent[segment.prompt].take() else {
            return Err(Error::Shape {
                operation: "attend_prompt",
                reason: "two segments are of the same prompt".to_owned(),
            });
        };
        for (layer, cache) in layers.iter_mut().zip(caches) {
            layer.extend(cache.prompt_segment(tokens, segment.rows));
        }
    }
    buffer.write_prompts(layers, |layer| weights.layers[layer].shape)
}

/// Tells the device where in each layer the prompts of canvases stand, unless it knows.
pub(super) fn canvas_tables<'a, T: Activation>(
    weights: &'a Weights<T>,
    buffer: &'a mut SegmentBuffer,
    segments: &[Segment],
    caches: &[&'a Cache<T>],
) -> Result<SegmentTables<'a, T>, Error> {
    let listed = |layer: usize| {
        let of = |segment: &Segment| {
            let cache = caches[segment.prompt];
            cache.layers[layer].canvas_segment(cache.tokens, segment.rows, &weights.nothing)
        };
        segments.iter().map(of).collect()
    };
    let layers: Vec<Vec<CanvasSegment<'a, T>>> = (0..weights.layers.len()).map(listed).collect();
    buffer.write_canvases(&layers, |layer| weights.layers[layer].shape)
}

/// Queries, keys and values of the stream's rows, as they come out of the product.
fn project<T: Activation>(weights: &Weights<T>, workspace: &mut Workspace<T>, layer_index: usize) -> Result<(), Error> {
    let layer = &weights.layers[layer_index];
    let Workspace { rows, ready, stream, normed: [normed, ..], linear: scratch, attention, .. } = workspace;
    let numbers = *rows * weights.hidden;
    if *ready != Ready::Attention(layer_index) {
        let norm = Some(layer.input_norm.as_slice());
        let output = normed.target(&layer.qkv, *rows);
        rms_norm(stream.slice(0..numbers), norm, weights.hidden, weights.eps, output)?;
    }
    let qkv = attention.qkv.slice_mut(0..*rows * layer.qkv.outputs);
    normed.linear(*rows, &layer.qkv, scratch, qkv)
}

/// The output projection, its norm, the residual, and what the feed-forward networks read of it.
fn finish<T: Activation>(weights: &Weights<T>, workspace: &mut Workspace<T>, layer_index: usize) -> Result<(), Error> {
    let layer = &weights.layers[layer_index];
    let Workspace { rows, ready, stream, normed, projected, linear: scratch, attention, .. } = workspace;
    let numbers = *rows * weights.hidden;
    attention.attended.round_for(&layer.output, *rows)?;
    attention.attended.linear(*rows, &layer.output, scratch, projected.slice_mut(0..numbers))?;
    let [dense, router, sparse] = normed;
    let readers = [
        (dense.target(&layer.gate_up, *rows), &layer.pre_feed_forward_norm),
        (router.target(&layer.router, *rows), &layer.router_scale),
        (sparse.target(&layer.expert_gate_up, *rows), &layer.pre_feed_forward_norm_2),
    ];
    add_normed(
        projected.slice(0..numbers),
        layer.post_attention_norm.as_slice(),
        weights.hidden,
        weights.eps,
        stream.slice_mut(0..numbers),
        readers.map(|(output, weight)| Some(NormedOutput { weight: Some(weight.as_slice()), output })),
    )?;
    *ready = Ready::FeedForward(layer_index);
    Ok(())
}
