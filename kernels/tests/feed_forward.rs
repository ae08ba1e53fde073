//! A layer's feed-forward half, from the attention's output to the next layer's input, put together from operations as a model does, in f32
//! and in bf16, against the same in f64.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use lacuna_kernels::ops::experts::{ExpertOperand, experts_down, experts_gated};
use lacuna_kernels::ops::linear::{LinearScratch, Matrix, Operand, Weights, gated_linear, linear};
use lacuna_kernels::ops::norm::{FeedForward, add_normed, finish_layer};
use lacuna_kernels::ops::router::Routing;
use lacuna_kernels::ops::rows::{NormOutput, NormedOutput};
use lacuna_kernels::reference::linear::gelu_tanh;
use lacuna_kernels::reference::norm::{LayerEnd, rms_norm};
use lacuna_kernels::reference::router::choose_experts;
use lacuna_kernels::{Buffer, Device, Error, bf16, reference};

const HIDDEN: usize = 96;
const DENSE_WIDTH: usize = 136;
const EXPERT_WIDTH: usize = 40;
const EXPERTS: usize = 6;
const SLOTS: usize = 2;
const EPS: f32 = 1e-6;
const SCALAR: f32 = 0.8;

/// All weights are bf16, so that both dtypes multiply by the same ones.
struct Layer {
    post_attention_norm: Vec<f32>,
    pre_norm: Vec<f32>,
    pre_norm_2: Vec<f32>,
    router_scale: Vec<f32>,
    router: Vec<bf16>,
    per_expert_scale: Vec<f32>,
    gate_up: Vec<bf16>,
    down: Vec<bf16>,
    expert_gate_up: Vec<bf16>,
    expert_down: Vec<bf16>,
    post_norm_1: Vec<f32>,
    post_norm_2: Vec<f32>,
    post_norm: Vec<f32>,
    next_norm: Vec<f32>,
}

/// Numbers that look random, between -1 and 1, and are the same in every run.
fn numbers(seed: u32, count: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        // Marsaglia, Xorshift RNGs, 2003.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32 * scale
    };
    (0..count).map(|_| next()).collect()
}

impl Layer {
    fn new() -> Self {
        let norm = |seed| numbers(seed, HIDDEN, 0.3).into_iter().map(|value| 1.0 + value).collect();
        let matrix = |seed, count, scale| numbers(seed, count, scale).into_iter().map(bf16::from_f32).collect();
        Self {
            post_attention_norm: norm(1),
            pre_norm: norm(2),
            pre_norm_2: norm(3),
            router_scale: norm(4),
            router: matrix(5, EXPERTS * HIDDEN, 0.3),
            per_expert_scale: numbers(6, EXPERTS, 0.5).into_iter().map(|value| 1.0 + value).collect(),
            gate_up: matrix(7, 2 * DENSE_WIDTH * HIDDEN, 0.2),
            down: matrix(8, HIDDEN * DENSE_WIDTH, 0.2),
            expert_gate_up: matrix(9, EXPERTS * 2 * EXPERT_WIDTH * HIDDEN, 0.2),
            expert_down: matrix(10, EXPERTS * HIDDEN * EXPERT_WIDTH, 0.2),
            post_norm_1: norm(11),
            post_norm_2: norm(12),
            post_norm: norm(13),
            next_norm: norm(14),
        }
    }
}

/// What the layer leaves: the stream, and its norm for the next layer.
fn run<T>(device: &Device, layer: &Layer, stream: &[f32], attended: &[f32]) -> Result<(Vec<f32>, Vec<T>), Error>
where
    T: Operand + ExpertOperand + NormOutput,
{
    let rows = stream.len() / HIDDEN;
    let assignments = rows * SLOTS;
    let norm = |weight: &Vec<f32>| device.upload(weight);
    let (gate_up, down, router) =
        (device.upload(&layer.gate_up)?, device.upload(&layer.down)?, device.upload(&layer.router)?);
    let (expert_gate_up, expert_down) = (device.upload(&layer.expert_gate_up)?, device.upload(&layer.expert_down)?);
    let per_expert_scale = device.upload(&layer.per_expert_scale)?;
    let mut scratch = LinearScratch::new(device)?;
    let mut routing = Routing::new(device, rows, EXPERTS, SLOTS)?;

    let mut stream = device.upload(stream)?;
    let attended = device.upload(attended)?;
    let [mut dense_in, mut sparse_in, mut router_in] = [
        device.allocate::<T>(rows * HIDDEN)?,
        device.allocate::<T>(rows * HIDDEN)?,
        device.allocate::<T>(rows * HIDDEN)?,
    ];
    let weights = [norm(&layer.pre_norm)?, norm(&layer.pre_norm_2)?, norm(&layer.router_scale)?];
    let normed = [
        Some(NormedOutput { weight: Some(weights[0].as_slice()), output: dense_in.as_mut().into() }),
        Some(NormedOutput { weight: Some(weights[1].as_slice()), output: sparse_in.as_mut().into() }),
        Some(NormedOutput { weight: Some(weights[2].as_slice()), output: router_in.as_mut().into() }),
    ];
    let post_attention_norm = norm(&layer.post_attention_norm)?;
    add_normed(attended.as_slice(), post_attention_norm.as_slice(), HIDDEN, EPS, stream.as_mut(), normed)?;

    let mut activated = device.allocate::<T>(rows * DENSE_WIDTH)?;
    let gate_up = Matrix { weights: Weights::Bf16(gate_up.as_slice()), outputs: 2 * DENSE_WIDTH, inputs: HIDDEN };
    gated_linear(dense_in.as_slice(), &gate_up, &mut scratch, activated.as_mut())?;
    let mut dense: Buffer<f32> = device.allocate(rows * HIDDEN)?;
    let down = Matrix { weights: Weights::Bf16(down.as_slice()), outputs: HIDDEN, inputs: DENSE_WIDTH };
    linear(activated.as_slice(), &down, &mut scratch, dense.as_mut())?;

    let mut scores: Buffer<f32> = device.allocate(rows * EXPERTS)?;
    let router = Matrix { weights: Weights::Bf16(router.as_slice()), outputs: EXPERTS, inputs: HIDDEN };
    linear(router_in.as_slice(), &router, &mut scratch, scores.as_mut())?;
    routing.route(scores.as_slice(), per_expert_scale.as_slice())?;
    let mut activated = device.allocate::<T>(assignments * EXPERT_WIDTH)?;
    let expert_gate_up = Weights::Bf16(expert_gate_up.as_slice());
    experts_gated(sparse_in.as_slice(), &routing, expert_gate_up, EXPERT_WIDTH, activated.as_mut())?;
    let mut sparse: Buffer<f32> = device.allocate(assignments * HIDDEN)?;
    let expert_down = Weights::Bf16(expert_down.as_slice());
    experts_down(activated.as_slice(), &routing, expert_down, HIDDEN, sparse.as_mut())?;

    let (post_1, post_2, post) = (norm(&layer.post_norm_1)?, norm(&layer.post_norm_2)?, norm(&layer.post_norm)?);
    let next_norm = norm(&layer.next_norm)?;
    let mut next = device.allocate::<T>(rows * HIDDEN)?;
    let end = FeedForward {
        dense: dense.as_slice(),
        dense_weight: post_1.as_slice(),
        sparse: sparse.as_slice(),
        slots: SLOTS,
        sparse_weight: post_2.as_slice(),
        weight: post.as_slice(),
        scalar: SCALAR,
    };
    let normed = NormedOutput { weight: Some(next_norm.as_slice()), output: next.as_mut().into() };
    finish_layer(end, HIDDEN, EPS, stream.as_mut(), [Some(normed), None, None])?;
    Ok((stream.as_slice().read()?, next.as_slice().read()?))
}

fn narrowed(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|number| *number as f32).collect()
}

fn widened(numbers: &[bf16]) -> Vec<f32> {
    numbers.iter().map(|number| number.to_f32()).collect()
}

/// A dense product in f64.
fn product(input: &[f32], matrix: &[f32], inputs: usize) -> Vec<f64> {
    reference::linear::linear(input, matrix, inputs).into_iter().map(|sum| sum.value).collect()
}

fn gated(input: &[f32], matrix: &[f32], width: usize) -> Vec<f32> {
    let sums = product(input, matrix, HIDDEN);
    let row = |row: &[f64]| -> Vec<f32> {
        let (gate, up) = row.split_at(width);
        gate.iter().zip(up).map(|(gate, up)| (gelu_tanh(*gate) * up) as f32).collect()
    };
    sums.chunks_exact(2 * width).flat_map(row).collect()
}

fn expected(layer: &Layer, stream: &[f32], attended: &[f32]) -> Vec<f64> {
    let stream = narrowed(&reference::norm::add_normed(stream, attended, &layer.post_attention_norm, HIDDEN, EPS));
    let norm = |weight: &Vec<f32>| narrowed(&rms_norm(&stream, Some(weight), HIDDEN, EPS));
    let dense = gated(&norm(&layer.pre_norm), &widened(&layer.gate_up), DENSE_WIDTH);
    let dense = narrowed(&product(&dense, &widened(&layer.down), DENSE_WIDTH));
    let scores = narrowed(&product(&norm(&layer.router_scale), &widened(&layer.router), HIDDEN));
    let sparse_in = norm(&layer.pre_norm_2);
    let (expert_gate_up, expert_down) = (widened(&layer.expert_gate_up), widened(&layer.expert_down));
    let mut sparse = Vec::new();
    for (row, chosen) in choose_experts(&scores, &layer.per_expert_scale, SLOTS).into_iter().enumerate() {
        for (expert, weight) in chosen {
            let size = 2 * EXPERT_WIDTH * HIDDEN;
            let matrix = &expert_gate_up[expert as usize * size..][..size];
            let activated = gated(&sparse_in[row * HIDDEN..][..HIDDEN], matrix, EXPERT_WIDTH);
            let size = HIDDEN * EXPERT_WIDTH;
            let down = product(&activated, &expert_down[expert as usize * size..][..size], EXPERT_WIDTH);
            sparse.extend(down.into_iter().map(|value| (value * weight) as f32));
        }
    }
    let end = LayerEnd {
        stream: &stream,
        dense: &dense,
        dense_weight: &layer.post_norm_1,
        sparse: &sparse,
        slots: SLOTS,
        sparse_weight: &layer.post_norm_2,
        weight: &layer.post_norm,
        scalar: SCALAR,
    };
    reference::norm::finish_layer(&end, HIDDEN, EPS)
}

/// The greatest difference of two rows of numbers, all of the order of one.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (f64::from(*found) - expected).abs()).fold(0.0, f64::max)
}

#[test]
fn half_a_layer_is_what_it_is_in_f64() {
    let layer = Layer::new();
    for rows in [1, 7, 40] {
        let (stream, attended) = (numbers(20, rows * HIDDEN, 2.0), numbers(21, rows * HIDDEN, 5.0));
        let expected = expected(&layer, &stream, &attended);
        let device = Device::emulator();
        let (exact, next) = run::<f32>(&device, &layer, &stream, &attended).unwrap();
        assert!(distance(&exact, &expected) < 5e-6, "{rows} rows in f32 are off by {}", distance(&exact, &expected));
        let normed = rms_norm(&exact, Some(&layer.next_norm), HIDDEN, EPS);
        assert!(distance(&next, &normed) < 1e-5, "the next layer's input is off");
        let (tensor, next) = run::<bf16>(&device, &layer, &stream, &attended).unwrap();
        // Inputs of products keep eight bits; sums over many of them average their errors.
        assert!(distance(&tensor, &expected) < 0.03, "{rows} rows in bf16 are off by {}", distance(&tensor, &expected));
        let normed = rms_norm(&tensor, Some(&layer.next_norm), HIDDEN, EPS);
        assert!(distance(&widened(&next), &normed) < 0.02, "the next layer's input is off");
    }
}
