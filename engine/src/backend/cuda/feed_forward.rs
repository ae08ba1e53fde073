//! The dense gated network and the mixture of experts of one layer.

use lacuna_kernels::Error;
use lacuna_kernels::ops::experts::{experts_down, experts_gated};
use lacuna_kernels::ops::linear::{gated_linear, linear};
use lacuna_kernels::ops::norm::{FeedForward, finish_layer, rms_norm};
use lacuna_kernels::ops::rows::NormedOutput;

use super::Activation;
use super::weights::Weights;
use super::workspace::{Ready, Workspace};
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
            (&mut *dense, &layer.pre_feed_forward_norm),
            (&mut *router, &layer.router_scale),
            (&mut *sparse, &layer.pre_feed_forward_norm_2),
        ];
        for (output, weight) in readers {
            let weight = Some(weight.as_slice());
            rms_norm(stream.slice(0..numbers), weight, hidden, weights.eps, output.slice_mut(0..numbers))?;
        }
    }

    let width = rows * weights.mlp_width;
    gated_linear(dense.slice(0..numbers), &layer.gate_up.view(), scratch, activated.slice_mut(0..width))?;
    linear(activated.slice(0..width), &layer.down.view(), scratch, projected.slice_mut(0..numbers))?;

    let scores = rows * weights.experts;
    linear(router.slice(0..numbers), &layer.router.view(), scratch, experts.scores.slice_mut(0..scores))?;
    experts.routing.route(experts.scores.slice(0..scores), layer.per_expert_scale.as_slice())?;
    let assignments = rows * weights.experts_per_token;
    let width = assignments * weights.expert_width;
    experts_gated(
        sparse.slice(0..numbers),
        &experts.routing,
        layer.expert_gate_up.view(),
        weights.expert_width,
        experts.activated.slice_mut(0..width),
    )?;
    experts_down(
        experts.activated.slice(0..width),
        &experts.routing,
        layer.expert_down.view(),
        hidden,
        experts.outputs.slice_mut(0..assignments * hidden),
    )?;

    let networks = FeedForward {
        dense: projected.slice(0..numbers),
        dense_weight: layer.post_feed_forward_norm_1.as_slice(),
        sparse: experts.outputs.slice(0..assignments * hidden),
        slots: weights.experts_per_token,
        sparse_weight: layer.post_feed_forward_norm_2.as_slice(),
        weight: layer.post_feed_forward_norm.as_slice(),
        scalar: match stack {
            Stack::Encoder => layer.encoder_scalar,
            Stack::Decoder => layer.decoder_scalar,
        },
    };
    // The next layer's attention reads the first norm; the head norms its rows itself.
    let next = weights.layers.get(layer_index + 1).map(|next| NormedOutput {
        weight: Some(next.input_norm.as_slice()),
        output: dense.slice_mut(0..numbers).into(),
    });
    finish_layer(networks, hidden, weights.eps, stream.slice_mut(0..numbers), [next, None, None])?;
    *ready = Ready::Attention(layer_index + 1);
    Ok(())
}
