//! One thread's share of a product with a quantised matrix.

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};

use super::kernel::{TILE_ROWS, Tile};
use crate::backend::cpu::matrix::quantised::{QuantisedPanels, Rounding};
use crate::backend::cpu::matrix::{Bf16Step, PANEL_COLUMNS};
use crate::checkpoint::quantised::NVFP4_GROUP;
use crate::checkpoint::quantised::formats::{E2M1_MAX, E4M3_MAX, round_to_e2m1, round_to_e4m3};

/// Inputs whose weights are decoded at a time: 16 KiB of them, which stay in the nearest cache.
const DECODED_INPUTS: usize = 128;

thread_local! {
    /// Kept, so that only a thread's first products allocate.
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { inputs: Vec::new(), row_scales: Vec::new() }) };
}

struct Scratch {
    /// `[rows, k]`: rounded inputs, without the scales of their rows.
    inputs: Vec<f32>,
    row_scales: Vec<f32>,
}

/// Multiplies rows of inputs with some panels; `out` holds for each row its columns of them.
pub(super) fn multiply(
    weights: &QuantisedPanels,
    first_panel: usize,
    panels: usize,
    x: &[f32],
    k: usize,
    out: &mut [&mut [f32]],
) {
    SCRATCH.with_borrow_mut(|scratch| {
        let Scratch { inputs, row_scales } = scratch;
        let x = match weights.rounding() {
            Rounding::None => x,
            rounding => {
                if inputs.len() < x.len() {
                    inputs.resize(x.len(), 0.0);
                }
                row_scales.clear();
                let inputs = &mut inputs[..x.len()];
                Arch::new().dispatch(|| round(rounding, x, k, inputs, row_scales));
                &*inputs
            }
        };
        Arch::new().dispatch(Decoded { weights, first_panel, panels, x, k, out: &mut *out });
        let scales = &weights.output_scales()[first_panel * PANEL_COLUMNS..];
        for (index, out) in out.iter_mut().enumerate() {
            let row_scale = if weights.rounding() == Rounding::None { 1.0 } else { row_scales[index] };
            for (out, scale) in out.iter_mut().zip(scales) {
                *out *= scale * row_scale;
            }
        }
    });
}

/// Rounds rows of inputs. A row of zeros has a scale of its own, so that nothing is divided by zero.
#[inline(always)]
fn round(rounding: Rounding, x: &[f32], k: usize, rounded: &mut [f32], row_scales: &mut Vec<f32>) {
    for (x, rounded) in x.chunks_exact(k.max(1)).zip(rounded.chunks_exact_mut(k.max(1))) {
        match rounding {
            Rounding::None => {
                rounded.copy_from_slice(x);
                row_scales.push(1.0);
            }
            Rounding::Rows => {
                let largest = largest(x);
                let scale = if largest > 0.0 { largest / E4M3_MAX } else { 1.0 };
                for (x, rounded) in x.iter().zip(rounded) {
                    *rounded = round_to_e4m3(x / scale);
                }
                row_scales.push(scale);
            }
            Rounding::Groups { input_scale } => {
                for (x, rounded) in x.chunks(NVFP4_GROUP).zip(rounded.chunks_mut(NVFP4_GROUP)) {
                    let scale = round_to_e4m3(largest(x) / E2M1_MAX / input_scale);
                    let unit = scale * input_scale;
                    for (x, rounded) in x.iter().zip(rounded) {
                        // A group too small for a scale is lost.
                        *rounded = if unit > 0.0 { round_to_e2m1(x / unit) * scale } else { 0.0 };
                    }
                }
                row_scales.push(input_scale);
            }
        }
    }
}

#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0_f32, |largest, value| if value.abs() > largest { value.abs() } else { largest })
}

struct Decoded<'a, 'out> {
    weights: &'a QuantisedPanels,
    first_panel: usize,
    panels: usize,
    /// `[rows, k]`
    x: &'a [f32],
    k: usize,
    out: &'a mut [&'out mut [f32]],
}

impl WithSimd for Decoded<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, first_panel, panels, x, k, out } = self;
        if k == 0 {
            out.iter_mut().for_each(|row| row.fill(0.0));
            return;
        }
        let mut decoded = [Bf16Step::ZERO; DECODED_INPUTS];
        for panel in 0..panels {
            for first_input in (0..k).step_by(DECODED_INPUTS) {
                let decoded = &mut decoded[..DECODED_INPUTS.min(k - first_input)];
                weights.decode(first_panel + panel, first_input, decoded);
                for (x, out) in x.chunks(TILE_ROWS * k).zip(out.chunks_mut(TILE_ROWS)) {
                    let mut rows = out.iter_mut();
                    let tile = Tile {
                        x: &x[first_input..],
                        x_stride: k,
                        panel: &*decoded,
                        first_column: panel * PANEL_COLUMNS,
                        rows: rows.len(),
                        add: first_input > 0,
                        out: std::array::from_fn(|_| rows.next().map(|row| &mut **row).unwrap_or_default()),
                    };
                    tile.multiply(simd);
                }
            }
        }
    }
}
