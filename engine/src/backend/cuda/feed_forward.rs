//! The dense gated network and the mixture of experts of one layer.

use lacuna_kernels::Error;
use lacuna_kernels::ops::norm::{FeedForward, finish_layer, rms_norm};
use lacuna_kernels::ops::rows::NormedOutput;

use super::Activation;
use super::weights::Weights;
use super::workspace::{ExpertRows, Ready, Workspace};
use crate::backend::Stack;

pub(super) fn feed_forward<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    layer_index: usize,
    stack: Stack,
) -> Result<(), Error> {
    let layer = &weights.layers[layer_index];
    let hidden = weights.hidden;
    let Workspace { rows, ready, stream, normed, projected, linear: scratch, activated, experts, .. } = workspace;
    let rows = *rows;
    let numbers = rows * hidden;
    let [dense, router, sparse] = normed;
    if *ready != Ready::FeedForward(layer_index) {
        let readers = [
            (dense.target(&layer.gate_up, rows), &layer.pre_feed_forward_norm),
            (router.target(&layer.router, rows), &layer.router_scale),
            (sparse.target(&layer.expert_gate_up, rows), &layer.pre_feed_forward_norm_2),
        ];
        for (output, weight) in readers {
            rms_norm(stream.slice(0..numbers), Some(weight.as_slice()), hidden, weights.eps, output)?;
        }
    }

    dense.gated(rows, &layer.gate_up, scratch, activated.plain_mut(rows * weights.mlp_width))?;
    activated.round_for(&layer.down, rows)?;
    activated.linear(rows, &layer.down, scratch, projected.slice_mut(0..numbers))?;

    let scores = rows * weights.experts;
    router.linear(rows, &layer.router, scratch, experts.scores.slice_mut(0..scores))?;
    experts.routing.route(experts.scores.slice(0..scores), layer.per_expert_scale.as_slice())?;
    let assignments = rows * weights.experts_per_token;
    let width = weights.expert_width;
    let ExpertRows { routing, activated, outputs, .. } = experts;
    sparse.experts_gated(rows, routing, &layer.expert_gate_up, width, activated.plain_mut(assignments * width))?;
    activated.round_for(&layer.expert_down, assignments)?;
    let outputs_range = 0..assignments * hidden;
    activated.experts_down(
        assignments,
        routing,
        &layer.expert_down,
        hidden,
        outputs.slice_mut(outputs_range.clone()),
    )?;

    let networks = FeedForward {
        dense: projected.slice(0..numbers),
        dense_weight: layer.post_feed_forward_norm_1.as_slice(),
        sparse: outputs.slice(outputs_range),
        slots: weights.experts_per_token,
        sparse_weight: layer.post_feed_forward_norm_2.as_slice(),
        weight: layer.post_feed_forward_norm.as_slice(),
        scalar: match stack {
            Stack::Encoder => layer.encoder_scalar,
            Stack::Decoder => layer.decoder_scalar,
        },
    };
    // The next layer's attention reads the first norm; the head norms its rows itself.
    let next = weights
        .layers
        .get(layer_index + 1)
        .map(|next| NormedOutput { weight: Some(next.input_norm.as_slice()), output: dense.target(&next.qkv, rows) });
    finish_layer(networks, hidden, weights.eps, stream.slice_mut(0..numbers), [next, None, None])?;
    *ready = Ready::Attention(layer_index + 1);
    Ok(())
}
