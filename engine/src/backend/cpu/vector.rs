//! Functions over rows of f32: norms, activations, softmax and what the sampler asks of a row of logits.
//!
//! Sums run over [`LANES`] lanes and are then added in a fixed order, whatever the width of the processor's vectors, so
//! results are the same on every processor with fused multiply-add. Accuracies are tested against f64.
//!
//! A NaN in a row makes the row's sums and what follows from them NaN; where a function differs it says so.

mod exponential;

use pulp::{Arch, Simd, WithSimd};

use exponential::{exp, gelu_tanh, tanh};

/// Lanes of a sum: two AVX-512 vectors, four AVX2 ones.
const LANES: usize = 32;
/// Elements that are summed in f32 before the sum moves to f64: long rows lose nothing to rounding.
const SUM_BLOCK: usize = 4096;

/// `x * (mean(x^2) + eps)^-0.5`, times `weight` if there is one. Relative error at most 1e-6.
pub(crate) fn rms_norm(x: &[f32], weight: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    assert!(x.len() == out.len(), "{} values do not fit an output of {}", x.len(), out.len());
    let scale = inverse_root_mean_square(x, eps);
    match weight {
        Some(weight) => {
            assert!(x.len() == weight.len(), "{} values do not fit a weight of {}", x.len(), weight.len());
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * scale * weight;
            }
        }
        None => {
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * scale;
            }
        }
    }
}

/// [`rms_norm`] onto its own input.
pub(crate) fn rms_norm_in_place(x: &mut [f32], weight: Option<&[f32]>, eps: f32) {
    let scale = inverse_root_mean_square(x, eps);
    match weight {
        Some(weight) => {
            assert!(x.len() == weight.len(), "{} values do not fit a weight of {}", x.len(), weight.len());
            for (x, weight) in x.iter_mut().zip(weight) {
                *x = *x * scale * weight;
            }
        }
        None => x.iter_mut().for_each(|x| *x *= scale),
    }
}

fn inverse_root_mean_square(x: &[f32], eps: f32) -> f32 {
    let mean = Arch::new().dispatch(SumOfSquares { x }) / x.len().max(1) as f32;
    1.0 / (mean + eps).sqrt()
}

/// `gelu(gate) * up`, gelu by its tanh form. Error at most 2e-6 times `|gate * up|`.
pub(crate) fn gelu_tanh_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert!(gate.len() == out.len() && up.len() == out.len(), "gate, up and output differ in length");
    Arch::new().dispatch(GeluTanhMul { gate, up, out });
}

/// `cap * tanh(x / cap)` for each x. Relative error at most 1e-6.
pub(crate) fn soft_cap(row: &mut [f32], cap: f32) {
    Arch::new().dispatch(SoftCap { row, cap });
}

/// `exp(x - max)` for each x, and the sum of them all: a softmax but for its division. Relative error at most
/// `3e-7 + 6e-8 |x - max|`, the second part from rounding the difference; below -87.3 the result is zero. -inf gives zero, and
/// a row of nothing else only zeros.
pub(crate) fn exp_in_place_and_sum(row: &mut [f32]) -> f32 {
    let shift = finite_or_zero(Arch::new().dispatch(Maximum { row }));
    Arch::new().dispatch(ExpInPlaceAndSum { row, shift })
}

/// `softmax(row)` in place of the row. Accurate as [`exp_in_place_and_sum`]; a row of nothing but -inf becomes NaN.
pub(crate) fn softmax_in_place(row: &mut [f32]) {
    let scale = 1.0 / exp_in_place_and_sum(row);
    row.iter_mut().for_each(|value| *value *= scale);
}

/// The greatest value and its index, the lowest such index. NaN is never greatest: a row of nothing but NaN and -inf, or
/// an empty one, gives index 0 and -inf.
pub(crate) fn argmax(row: &[f32]) -> (usize, f32) {
    Arch::new().dispatch(Argmax { row })
}

/// What the sampler asks of a row of logits `x`, taken as the distribution `softmax(x * inverse_temperature)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Distribution {
    /// The greatest logit, before the temperature.
    pub(crate) max: f32,
    /// Its index, the lowest such.
    pub(crate) argmax: usize,
    /// `ln(sum(exp(x * inverse_temperature)))`: a probability is `exp(x * inverse_temperature - log_partition)`.
    pub(crate) log_partition: f32,
    /// In nats. Absolute error at most 2e-6, and of a uniform distribution relative error at most 1e-6.
    pub(crate) entropy: f32,
}

/// The row's [`Distribution`] for a positive, finite inverse temperature. -inf has no probability; a row of nothing else,
/// or with a NaN, has a NaN entropy.
pub(crate) fn distribution(row: &[f32], inverse_temperature: f32) -> Distribution {
    let (argmax, max) = argmax(row);
    let shift = finite_or_zero(max);
    let (sum, weighted) = Arch::new().dispatch(Partition { row, shift, inverse_temperature });
    let log_sum = sum.ln();
    Distribution {
        max,
        argmax,
        log_partition: (f64::from(shift) * f64::from(inverse_temperature) + log_sum) as f32,
        entropy: (log_sum - weighted / sum) as f32,
    }
}

/// What is subtracted before exponentials: the maximum, unless subtracting it from itself has no meaning.
fn finite_or_zero(max: f32) -> f32 {
    if max == f32::NEG_INFINITY { 0.0 } else { max }
}

/// A block of every lane, and the rest of a row filled up to one, so that each element takes the same way.
type Block = [f32; LANES];

fn padded(rest: &[f32], fill: f32) -> Option<Block> {
    if rest.is_empty() {
        return None;
    }
    let mut block = [fill; LANES];
    block[..rest.len()].copy_from_slice(rest);
    Some(block)
}

fn copy_back(block: Option<Block>, rest: &mut [f32]) {
    if let Some(block) = block {
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

/// Adds halves until one lane is left.
fn add_lanes(mut lanes: Block) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

struct SumOfSquares<'a> {
    x: &'a [f32],
}

impl WithSimd for SumOfSquares<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (blocks, rest) = self.x.as_chunks::<LANES>();
        let rest = padded(rest, 0.0);
        let mut sums = [0.0; LANES];
        for block in blocks.iter().chain(&rest) {
            for (sum, x) in S::as_mut_simd_f32s(&mut sums).0.iter_mut().zip(S::as_simd_f32s(block).0) {
                *sum = simd.mul_add_e_f32s(*x, *x, *sum);
            }
        }
        add_lanes(sums)
    }
}

struct GeluTanhMul<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for GeluTanhMul<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (gate, gate_rest) = self.gate.as_chunks::<LANES>();
        let (up, up_rest) = self.up.as_chunks::<LANES>();
        let (out, out_rest) = self.out.as_chunks_mut::<LANES>();
        let (gate_rest, up_rest, mut last) = (padded(gate_rest, 0.0), padded(up_rest, 0.0), padded(out_rest, 0.0));
        let blocks = out.iter_mut().chain(&mut last).zip(gate.iter().chain(&gate_rest)).zip(up.iter().chain(&up_rest));
        for ((out, gate), up) in blocks {
            let out = S::as_mut_simd_f32s(out).0;
            for ((out, gate), up) in out.iter_mut().zip(S::as_simd_f32s(gate).0).zip(S::as_simd_f32s(up).0) {
                *out = simd.mul_f32s(gelu_tanh(simd, *gate), *up);
            }
        }
        copy_back(last, out_rest);
    }
}

struct SoftCap<'a> {
    row: &'a mut [f32],
    cap: f32,
}

impl WithSimd for SoftCap<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (cap, inverse) = (simd.splat_f32s(self.cap), simd.splat_f32s(1.0 / self.cap));
        let (blocks, rest) = self.row.as_chunks_mut::<LANES>();
        let mut last = padded(rest, 0.0);
        for block in blocks.iter_mut().chain(&mut last) {
            for x in S::as_mut_simd_f32s(block).0 {
                *x = simd.mul_f32s(cap, tanh(simd, simd.mul_f32s(*x, inverse)));
            }
        }
        copy_back(last, rest);
    }
}

struct Maximum<'a> {
    row: &'a [f32],
}

impl WithSimd for Maximum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (blocks, rest) = self.row.as_chunks::<LANES>();
        let rest = padded(rest, f32::NEG_INFINITY);
        let mut greatest = [f32::NEG_INFINITY; LANES];
        for block in blocks.iter().chain(&rest) {
            for (greatest, x) in S::as_mut_simd_f32s(&mut greatest).0.iter_mut().zip(S::as_simd_f32s(block).0) {
                *greatest = simd.max_f32s(*x, *greatest);
            }
        }
        greatest.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}

struct ExpInPlaceAndSum<'a> {
    row: &'a mut [f32],
    shift: f32,
}

impl WithSimd for ExpInPlaceAndSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let shift = simd.splat_f32s(self.shift);
        let mut total = 0.0;
        for part in self.row.chunks_mut(SUM_BLOCK) {
            let (blocks, rest) = part.as_chunks_mut::<LANES>();
            let mut last = padded(rest, f32::NEG_INFINITY);
            let mut sums = [0.0; LANES];
            for block in blocks.iter_mut().chain(&mut last) {
                for (sum, x) in S::as_mut_simd_f32s(&mut sums).0.iter_mut().zip(S::as_mut_simd_f32s(block).0) {
                    *x = exp(simd, simd.sub_f32s(*x, shift));
                    *sum = simd.add_f32s(*sum, *x);
                }
            }
            copy_back(last, rest);
            total += f64::from(add_lanes(sums));
        }
        total as f32
    }
}

struct Argmax<'a> {
    row: &'a [f32],
}

impl WithSimd for Argmax<'_> {
    type Output = (usize, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (usize, f32) {
        let (blocks, rest) = self.row.as_chunks::<LANES>();
        let rest = padded(rest, f32::NEG_INFINITY);
        let mut greatest = [f32::NEG_INFINITY; LANES];
        let mut found = [0_u32; LANES];
        for (block, index) in blocks.iter().chain(&rest).zip(0..) {
            let index = simd.splat_u32s(index);
            let lanes = S::as_mut_simd_f32s(&mut greatest).0.iter_mut().zip(S::as_mut_simd_u32s(&mut found).0);
            for ((greatest, found), x) in lanes.zip(S::as_simd_f32s(block).0) {
                let greater = simd.greater_than_f32s(*x, *greatest);
                *greatest = simd.select_f32s(greater, *x, *greatest);
                *found = simd.select_u32s(greater, index, *found);
            }
        }
        let mut best = (0, f32::NEG_INFINITY);
        for (lane, (value, block)) in greatest.into_iter().zip(found).enumerate() {
            let index = block as usize * LANES + lane;
            if value > best.1 || (value == best.1 && index < best.0) {
                best = (index, value);
            }
        }
        best
    }
}

/// The sum of `exp(z)`, and of `z * exp(z)`, for `z = (x - shift) * inverse_temperature`.
struct Partition<'a> {
    row: &'a [f32],
    shift: f32,
    inverse_temperature: f32,
}

impl WithSimd for Partition<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        let shift = simd.splat_f32s(self.shift);
        let inverse_temperature = simd.splat_f32s(self.inverse_temperature);
        // Below this the exponential is zero, and zero times -inf must not be NaN.
        let least = simd.splat_f32s(-100.0);
        let mut total = (0.0, 0.0);
        for part in self.row.chunks(SUM_BLOCK) {
            let (blocks, rest) = part.as_chunks::<LANES>();
            let rest = padded(rest, f32::NEG_INFINITY);
            let (mut sums, mut weighted) = ([0.0; LANES], [0.0; LANES]);
            for block in blocks.iter().chain(&rest) {
                let lanes = S::as_mut_simd_f32s(&mut sums).0.iter_mut().zip(S::as_mut_simd_f32s(&mut weighted).0);
                for ((sum, weighted), x) in lanes.zip(S::as_simd_f32s(block).0) {
                    let z = simd.mul_f32s(simd.sub_f32s(*x, shift), inverse_temperature);
                    let exponential = exp(simd, z);
                    *sum = simd.add_f32s(*sum, exponential);
                    let z = simd.select_f32s(simd.less_than_f32s(z, least), least, z);
                    *weighted = simd.mul_add_e_f32s(exponential, z, *weighted);
                }
            }
            total.0 += f64::from(add_lanes(sums));
            total.1 += f64::from(add_lanes(weighted));
        }
        total
    }
}

#[cfg(test)]
mod tests;
