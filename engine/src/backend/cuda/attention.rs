//! Attention of new prompt tokens (causal) and of canvases (both directions) over a prompt's cached keys and values.

use lacuna_kernels::Error;
use lacuna_kernels::ops::attention::{AttentionInput, attend};
use lacuna_kernels::ops::linear::linear;
use lacuna_kernels::ops::norm::{add_normed, rms_norm};
use lacuna_kernels::ops::rope::{OwnKeys, place_heads};
use lacuna_kernels::ops::rows::NormedOutput;

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
    for segment in segments {
        caches[segment.prompt].layers[layer_index].reserve(device, layer.kv_width(), segment.rows)?;
    }
    {
        // Each cache is lent once, and handed out in the order of the segments.
        let mut lent: Vec<_> = caches.iter_mut().map(|cache| Some(&mut cache.layers[layer_index])).collect();
        let listed: Option<Vec<_>> =
            segments.iter().map(|segment| lent[segment.prompt].take()?.prompt_segment(segment.rows)).collect();
        let Some(listed) = listed else {
            return Err(Error::Shape {
                operation: "attend_prompt",
                reason: "two segments are of the same prompt".to_owned(),
            });
        };
        let tables = attention.segments[layer_index].write_prompts(vec![listed], |_| layer.shape)?;
        let placed = tables.layer(0);
        let queries = attention.queries.slice_mut(0..*rows * layer.shape.query_width());
        place_heads(
            &placed,
            attention.qkv.slice(0..*rows * layer.qkv.outputs()),
            layer.head_weights(weights.eps),
            (!keys_only).then_some(queries),
            None,
        )?;
        if !keys_only {
            let queries = attention.queries.slice(0..*rows * layer.shape.query_width());
            let input = AttentionInput { queries, own: None };
            let attended = attention.attended.slice_mut(0..queries.len());
            attend(&placed, input, layer.window, attention.scratch.as_mut(), attended)?;
        }
    }
    for segment in segments {
        let cache = &mut caches[segment.prompt];
        cache.layers[layer_index].tokens += segment.rows;
        if layer_index + 1 == weights.layers.len() {
            cache.tokens += segment.rows;
        }
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
    let listed: Vec<_> = segments
        .iter()
        .map(|segment| caches[segment.prompt].layers[layer_index].canvas_segment(segment.rows, &weights.nothing))
        .collect();
    let tables = attention.segments[layer_index].write_canvases(&[listed], |_| layer.shape)?;
    let placed = tables.layer(0);
    let (query_numbers, kv_numbers) = (*rows * layer.shape.query_width(), *rows * layer.kv_width());
    place_heads(
        &placed,
        attention.qkv.slice(0..*rows * layer.qkv.outputs()),
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
    let attended = attention.attended.slice_mut(0..query_numbers);
    attend(&placed, input, layer.window, attention.scratch.as_mut(), attended)?;
    finish(weights, workspace, layer_index)
}

/// Queries, keys and values of the stream's rows, as they come out of the product.
fn project<T: Activation>(weights: &Weights<T>, workspace: &mut Workspace<T>, layer_index: usize) -> Result<(), Error> {
    let layer = &weights.layers[layer_index];
    let Workspace { rows, ready, stream, normed: [normed, ..], linear: scratch, attention, .. } = workspace;
    let numbers = *rows * weights.hidden;
    if *ready != Ready::Attention(layer_index) {
        let norm = Some(layer.input_norm.as_slice());
        rms_norm(stream.slice(0..numbers), norm, weights.hidden, weights.eps, normed.slice_mut(0..numbers))?;
    }
    let qkv = attention.qkv.slice_mut(0..*rows * layer.qkv.outputs());
    linear(normed.slice(0..numbers), &layer.qkv.view(), scratch, qkv)
}

/// The output projection, its norm, the residual, and what the feed-forward networks read of it.
fn finish<T: Activation>(weights: &Weights<T>, workspace: &mut Workspace<T>, layer_index: usize) -> Result<(), Error> {
    let layer = &weights.layers[layer_index];
    let Workspace { rows, ready, stream, normed, projected, linear: scratch, attention, .. } = workspace;
    let numbers = *rows * weights.hidden;
    let attended = attention.attended.slice(0..*rows * layer.shape.query_width());
    linear(attended, &layer.output.view(), scratch, projected.slice_mut(0..numbers))?;
    let [dense, router, sparse] = normed;
    let readers = [
        (dense, &layer.pre_feed_forward_norm),
        (router, &layer.router_scale),
        (sparse, &layer.pre_feed_forward_norm_2),
    ];
    add_normed(
        projected.slice(0..numbers),
        layer.post_attention_norm.as_slice(),
        weights.hidden,
        weights.eps,
        stream.slice_mut(0..numbers),
        readers.map(|(output, weight)| {
            Some(NormedOutput { weight: Some(weight.as_slice()), output: output.slice_mut(0..numbers) })
        }),
    )?;
    *ready = Ready::FeedForward(layer_index);
    Ok(())
}
