//! The dense gated network and the mixture of experts of one layer.

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::backend::Stack;

use super::matmul::{matmul, matmul_grouped};
use super::vector;
use super::weights::{Layer, Weights};
use super::workspace::{ExpertRows, Workspace};

/// Rows that one thread takes at least, where a row is little work.
const ROWS_PER_TASK: usize = 8;

pub(crate) fn feed_forward(weights: &Weights, workspace: &mut Workspace, layer: usize, stack: Stack) {
    let (hidden, rows) = (weights.hidden, workspace.rows);
    let layer = &weights.layers[layer];
    let Workspace { stream, normed, projected, gate_up, activated, experts, .. } = workspace;
    let stream = &mut stream[..rows * hidden];
    let normed = &mut normed[..rows * hidden];
    let dense = &mut projected[..rows * hidden];

    norm_rows(stream, Some(&layer.pre_feed_forward_norm), weights, normed);
    let gate_up = &mut gate_up[..rows * 2 * weights.mlp_width];
    let activated = &mut activated[..rows * weights.mlp_width];
    matmul(normed, &layer.gate_up, gate_up);
    activate(gate_up, weights.mlp_width, activated);
    matmul(activated, &layer.down, dense);

    route(weights, layer, stream, normed, experts);
    norm_rows(stream, Some(&layer.pre_feed_forward_norm_2), weights, normed);
    mix(weights, layer, normed, experts);

    let scalar = match stack {
        Stack::Encoder => layer.encoder_scalar,
        Stack::Decoder => layer.decoder_scalar,
    };
    let sparse = &mut experts.sum[..rows * hidden];
    for ((stream, dense), sparse) in
        stream.chunks_exact_mut(hidden).zip(dense.chunks_exact_mut(hidden)).zip(sparse.chunks_exact_mut(hidden))
    {
        vector::rms_norm_in_place(dense, Some(&layer.post_feed_forward_norm_1), weights.eps);
        vector::rms_norm_in_place(sparse, Some(&layer.post_feed_forward_norm_2), weights.eps);
        for (dense, sparse) in dense.iter_mut().zip(sparse.iter()) {
            *dense += sparse;
        }
        vector::rms_norm_in_place(dense, Some(&layer.post_feed_forward_norm), weights.eps);
        for (stream, dense) in stream.iter_mut().zip(dense.iter()) {
            *stream = (*stream + dense) * scalar;
        }
    }
}

/// RMS-norms every row of `input` into `output`.
pub(crate) fn norm_rows(input: &[f32], weight: Option<&[f32]>, weights: &Weights, output: &mut [f32]) {
    for (input, output) in input.chunks_exact(weights.hidden).zip(output.chunks_exact_mut(weights.hidden)) {
        vector::rms_norm(input, weight, weights.eps, output);
    }
}

/// gelu(gate) * up, for rows that hold gate, then up.
pub(crate) fn activate(gate_up: &[f32], width: usize, activated: &mut [f32]) {
    gate_up
        .par_chunks_exact(2 * width)
        .zip(activated.par_chunks_exact_mut(width))
        .with_min_len(ROWS_PER_TASK)
        .for_each(|(gate_up, activated)| {
            let (gate, up) = gate_up.split_at(width);
            vector::gelu_tanh_mul(gate, up, activated);
        });
}

/// Chooses each row's experts and their weights, and sorts the assignments by expert.
fn route(weights: &Weights, layer: &Layer, stream: &[f32], scratch: &mut [f32], experts: &mut ExpertRows) {
    let rows = stream.len() / weights.hidden;
    let per_token = weights.experts_per_token;
    for (stream, scratch) in stream.chunks_exact(weights.hidden).zip(scratch.chunks_exact_mut(weights.hidden)) {
        vector::rms_norm(stream, Some(&layer.router_scale), weights.eps, scratch);
    }
    let scores = &mut experts.scores[..rows * weights.experts];
    matmul(scratch, &layer.router, scores);

    let chosen = &mut experts.chosen[..rows * per_token];
    for (scores, chosen) in scores.chunks_exact(weights.experts).zip(chosen.chunks_exact_mut(per_token)) {
        choose(scores, &layer.per_expert_scale, chosen);
    }
    experts.starts.fill(0);
    for (expert, _) in chosen.iter() {
        experts.starts[expert + 1] += 1;
    }
    for expert in 0..weights.experts {
        experts.starts[expert + 1] += experts.starts[expert];
    }
    // Filling moves every expert's start to its end.
    for (index, (expert, _)) in chosen.iter().enumerate() {
        experts.assignments[experts.starts[*expert]] = (index / per_token, index);
        experts.starts[*expert] += 1;
    }
    experts.groups.clear();
    let mut start = 0;
    for (expert, end) in experts.starts[..weights.experts].iter().enumerate() {
        if *end > start {
            experts.groups.push((expert, start..*end));
        }
        start = *end;
    }
}

/// The most probable experts, their probabilities summed to one and then scaled by expert; ties go to the lower
/// expert. The softmax over all experts cancels in that sum, so only the chosen ones are exponentiated.
fn choose(scores: &[f32], per_expert_scale: &[f32], chosen: &mut [(usize, f32)]) {
    chosen.fill((usize::MAX, f32::NEG_INFINITY));
    for (expert, score) in scores.iter().enumerate() {
        let Some(rank) = chosen.iter().position(|(other, best)| *other == usize::MAX || score > best) else { continue };
        chosen[rank..].rotate_right(1);
        chosen[rank] = (expert, *score);
    }
    let best = chosen[0].1;
    let mut sum = 0.0;
    for (_, weight) in chosen.iter_mut() {
        *weight = (*weight - best).exp();
        sum += *weight;
    }
    for (expert, weight) in chosen.iter_mut() {
        *weight = *weight / sum * per_expert_scale[*expert];
    }
}

/// Runs the assignments through their experts and adds them up by row, in ascending order of the expert.
fn mix(weights: &Weights, layer: &Layer, normed: &[f32], experts: &mut ExpertRows) {
    let hidden = weights.hidden;
    let rows = normed.len() / hidden;
    let count = rows * weights.experts_per_token;
    let assignments = &experts.assignments[..count];
    let inputs = &mut experts.inputs[..count * hidden];
    for (input, (row, _)) in inputs.chunks_exact_mut(hidden).zip(assignments) {
        input.copy_from_slice(&normed[row * hidden..][..hidden]);
    }
    let gate_up = &mut experts.gate_up[..count * 2 * weights.expert_width];
    let activated = &mut experts.activated[..count * weights.expert_width];
    let outputs = &mut experts.outputs[..count * hidden];
    matmul_grouped(inputs, hidden, &experts.groups, &layer.expert_gate_up, gate_up);
    activate(gate_up, weights.expert_width, activated);
    matmul_grouped(activated, weights.expert_width, &experts.groups, &layer.expert_down, outputs);

    let sum = &mut experts.sum[..rows * hidden];
    sum.fill(0.0);
    for (output, (row, place)) in outputs.chunks_exact(hidden).zip(assignments) {
        let weight = experts.chosen[*place].1;
        for (sum, output) in sum[row * hidden..][..hidden].iter_mut().zip(output) {
            *sum += output * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_are_chosen_by_score_and_ties_go_to_the_lower() {
        let mut chosen = [(0, 0.0); 3];
        choose(&[0.5, 2.0, 2.0, -1.0, 1.0], &[1.0, 1.0, 1.0, 1.0, 10.0], &mut chosen);
        assert_eq!(chosen.map(|(expert, _)| expert), [1, 2, 4]);
        let total = 2.0 + (-1.0_f32).exp();
        assert!((chosen[0].1 - 1.0 / total).abs() < 1e-6);
        assert!((chosen[2].1 - 10.0 * (-1.0_f32).exp() / total).abs() < 1e-6);
    }

    #[test]
    fn scores_that_are_not_numbers_still_choose_experts_that_exist() {
        let mut chosen = [(0, 0.0); 2];
        choose(&[f32::NAN; 4], &[1.0; 4], &mut chosen);
        assert!(chosen.iter().all(|(expert, _)| *expert < 4));
    }
}
