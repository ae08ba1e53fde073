//! The experts' products: rows grouped by expert, each group times its expert's matrix. For their weights the same holds as for those of
//! [dense products](super::linear).

use crate::error::require;
use crate::kernel::{Kernel, Launch, kernel};
use crate::memory::{Slice, SliceMut};
use crate::ops::linear::{
    BF16_FP8_TILES, BF16_NVFP4_TILES, EXACT_TILE, FP8_TILES, Fp4Order, Input, NVFP4_TILES, Operand, Operands,
    PAIR_BYTES, TENSOR_TILES, Tile, Weights, mismatch,
};
use crate::ops::quantised::{Fp4Rows, Fp8Rows};
use crate::ops::router::Routing;
use crate::{Device, Error, bf16};

mod warpgroup;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ExpertsParameters {
    operands: Operands,
    output: u64,
    starts: u64,
    order: u64,
    slot_weights: u64,
    slots: u32,
    columns: u32,
    is_eager: u32,
    paired: u32,
}

kernel!(static GATED_F32: "experts", experts_gated_f32(ExpertsParameters));
kernel!(static GATED_WIDENED: "experts", experts_gated_widened(ExpertsParameters));
kernel!(static GATED_TENSOR_32: "experts", experts_gated_tensor_32(ExpertsParameters));
kernel!(static GATED_TENSOR_64: "experts", experts_gated_tensor_64(ExpertsParameters));
kernel!(static GATED_TENSOR_128: "experts", experts_gated_tensor_128(ExpertsParameters));
kernel!(static DOWN_F32: "experts", experts_down_f32(ExpertsParameters));
kernel!(static DOWN_WIDENED: "experts", experts_down_widened(ExpertsParameters));
kernel!(static DOWN_TENSOR_32: "experts", experts_down_tensor_32(ExpertsParameters));
kernel!(static DOWN_TENSOR_64: "experts", experts_down_tensor_64(ExpertsParameters));
kernel!(static DOWN_TENSOR_128: "experts", experts_down_tensor_128(ExpertsParameters));
kernel!(static GATED_FP8_32: "experts_quantised", experts_gated_fp8_32(ExpertsParameters));
kernel!(static GATED_FP8_64: "experts_quantised", experts_gated_fp8_64(ExpertsParameters));
kernel!(static GATED_FP8_128: "experts_quantised", experts_gated_fp8_128(ExpertsParameters));
kernel!(static DOWN_FP8_32: "experts_quantised", experts_down_fp8_32(ExpertsParameters));
kernel!(static DOWN_FP8_64: "experts_quantised", experts_down_fp8_64(ExpertsParameters));
kernel!(static DOWN_FP8_128: "experts_quantised", experts_down_fp8_128(ExpertsParameters));
kernel!(static GATED_BF16_FP8_32: "experts_quantised", experts_gated_bf16_fp8_32(ExpertsParameters));
kernel!(static GATED_BF16_FP8_64: "experts_quantised", experts_gated_bf16_fp8_64(ExpertsParameters));
kernel!(static DOWN_BF16_FP8_32: "experts_quantised", experts_down_bf16_fp8_32(ExpertsParameters));
kernel!(static DOWN_BF16_FP8_64: "experts_quantised", experts_down_bf16_fp8_64(ExpertsParameters));
kernel!(static GATED_BF16_NVFP4_32: "experts_quantised", experts_gated_bf16_nvfp4_32(ExpertsParameters));
kernel!(static GATED_BF16_NVFP4_64: "experts_quantised", experts_gated_bf16_nvfp4_64(ExpertsParameters));
kernel!(static DOWN_BF16_NVFP4_32: "experts_quantised", experts_down_bf16_nvfp4_32(ExpertsParameters));
kernel!(static DOWN_BF16_NVFP4_64: "experts_quantised", experts_down_bf16_nvfp4_64(ExpertsParameters));
kernel!(static GATED_NVFP4_32: "experts_quantised", experts_gated_nvfp4_32(ExpertsParameters));
kernel!(static GATED_NVFP4_64: "experts_quantised", experts_gated_nvfp4_64(ExpertsParameters));
kernel!(static GATED_NVFP4_128: "experts_quantised", experts_gated_nvfp4_128(ExpertsParameters));
kernel!(static DOWN_NVFP4_32: "experts_quantised", experts_down_nvfp4_32(ExpertsParameters));
kernel!(static DOWN_NVFP4_64: "experts_quantised", experts_down_nvfp4_64(ExpertsParameters));
kernel!(static DOWN_NVFP4_128: "experts_quantised", experts_down_nvfp4_128(ExpertsParameters));

/// Rows an expert from which on it is rare that one has none: of 128 that get four each by chance, two.
const EAGER_ROWS: usize = 4;

/// Kernels that do the same at different tile sizes or formats.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Variant {
    gated: &'static Kernel<ExpertsParameters>,
    down: &'static Kernel<ExpertsParameters>,
    tile: Tile,
}

/// What experts take of the model's stream; see [`Operand`].
pub trait ExpertOperand: Operand + sealed::Products {}
impl ExpertOperand for f32 {}
impl ExpertOperand for bf16 {}

/// What experts take; see [`Input`].
pub trait ExpertInput: Input + sealed::Products {}
impl<T: ExpertOperand> ExpertInput for Slice<'_, T> {}
impl ExpertInput for Fp8Rows<'_> {}
impl ExpertInput for Fp4Rows<'_> {}

mod sealed {
    pub trait Products {
        /// The device's kernels for rows so many an expert, and weights of this format, or none.
        fn kernels(device: &super::Device, mean_rows: usize, weights: &super::Weights<'_>) -> Option<super::Variant>;
    }
}

impl sealed::Products for f32 {
    fn kernels(_device: &Device, _mean_rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        let (gated, down) = match weights {
            Weights::F32(_) => (&GATED_F32, &DOWN_F32),
            Weights::Bf16(_) => (&GATED_WIDENED, &DOWN_WIDENED),
            Weights::Fp8 { .. } | Weights::Nvfp4 { .. } => return None,
        };
        Some(Variant { gated, down, tile: EXACT_TILE })
    }
}

// Rows spread unevenly, and an expert's second tile of rows reads its weights once more, though from the cache; rows of a tile that are not there
// cost little, but those that may be there cost room and registers. So a tile is made for some times the mean. Quantised weights are widened
// by every warp that takes them, of which tiles of 32 rows have one: there more rows wait for a greater mean.
impl sealed::Products for bf16 {
    fn kernels(device: &Device, mean_rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        if let Weights::Bf16(_) = weights
            && device.has_warpgroup_products()
            && let Some(variant) = warpgroup::bf16(mean_rows)
        {
            return Some(variant);
        }
        let (gated, down, tile) = match (weights, mean_rows) {
            (Weights::F32(_) | Weights::Nvfp4 { order: Fp4Order::Plain, .. }, _) => return None,
            (Weights::Bf16(_), ..=4) => (&GATED_TENSOR_32, &DOWN_TENSOR_32, TENSOR_TILES[0]),
            (Weights::Bf16(_), 5..=24) => (&GATED_TENSOR_64, &DOWN_TENSOR_64, TENSOR_TILES[1]),
            (Weights::Bf16(_), _) => (&GATED_TENSOR_128, &DOWN_TENSOR_128, TENSOR_TILES[2]),
            (Weights::Fp8 { .. }, ..=16) => (&GATED_BF16_FP8_32, &DOWN_BF16_FP8_32, BF16_FP8_TILES[0]),
            (Weights::Fp8 { .. }, _) => (&GATED_BF16_FP8_64, &DOWN_BF16_FP8_64, BF16_FP8_TILES[1]),
            (Weights::Nvfp4 { .. }, ..=16) => (&GATED_BF16_NVFP4_32, &DOWN_BF16_NVFP4_32, BF16_NVFP4_TILES[0]),
            (Weights::Nvfp4 { .. }, _) => (&GATED_BF16_NVFP4_64, &DOWN_BF16_NVFP4_64, BF16_NVFP4_TILES[1]),
        };
        Some(Variant { gated, down, tile })
    }
}

impl<T: ExpertOperand> sealed::Products for Slice<'_, T> {
    fn kernels(device: &Device, mean_rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        <T as sealed::Products>::kernels(device, mean_rows, weights)
    }
}

impl sealed::Products for Fp8Rows<'_> {
    fn kernels(device: &Device, mean_rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        let Weights::Fp8 { .. } = weights else { return None };
        if device.has_warpgroup_products() {
            return Some(warpgroup::fp8(mean_rows));
        }
        Some(match mean_rows {
            ..=16 => Variant { gated: &GATED_FP8_32, down: &DOWN_FP8_32, tile: FP8_TILES[0] },
            17..=40 => Variant { gated: &GATED_FP8_64, down: &DOWN_FP8_64, tile: FP8_TILES[1] },
            _ => Variant { gated: &GATED_FP8_128, down: &DOWN_FP8_128, tile: FP8_TILES[2] },
        })
    }
}

impl sealed::Products for Fp4Rows<'_> {
    fn kernels(_device: &Device, mean_rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        let Weights::Nvfp4 { order: Fp4Order::Plain, .. } = weights else { return None };
        Some(match mean_rows {
            ..=16 => Variant { gated: &GATED_NVFP4_32, down: &DOWN_NVFP4_32, tile: NVFP4_TILES[0] },
            17..=40 => Variant { gated: &GATED_NVFP4_64, down: &DOWN_NVFP4_64, tile: NVFP4_TILES[1] },
            _ => Variant { gated: &GATED_NVFP4_128, down: &DOWN_NVFP4_128, tile: NVFP4_TILES[2] },
        })
    }
}

/// For each assignment in the routing's order `gelu(x @ gate^T) * (x @ up^T)` of its row by its expert. `input` is `[rows, inputs]`,
/// `weights` `[experts, 2 * width, inputs]` with each gate's rows first, `output` `[rows * slots, width]`.
pub fn experts_gated<I: ExpertInput>(
    input: I,
    routing: &Routing,
    weights: Weights<'_>,
    width: usize,
    output: SliceMut<'_, I::Gated>,
) -> Result<(), Error> {
    let sizes = Sizes { operation: "experts_gated", matrix_rows: width.saturating_mul(2), columns: width };
    launch(sizes, routing, routing.rows(), input, &weights, output, |variant| variant.gated, 2)
}

/// For each assignment `weight * (x @ down^T)`, written to its row and slot. `input` is `[rows * slots, inputs]` in the routing's order, as
/// [`experts_gated`] writes it, `weights` `[experts, columns, inputs]`, `output` `[rows, slots, columns]`.
pub fn experts_down<I: ExpertInput>(
    input: I,
    routing: &Routing,
    weights: Weights<'_>,
    columns: usize,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    let sizes = Sizes { operation: "experts_down", matrix_rows: columns, columns };
    launch(sizes, routing, routing.assignments(), input, &weights, output, |variant| variant.down, 1)
}

struct Sizes {
    operation: &'static str,
    /// Of one expert's matrix.
    matrix_rows: usize,
    /// Of the output.
    columns: usize,
}

#[expect(clippy::too_many_arguments, reason = "two products that differ in all of these")]
fn launch<I: ExpertInput, O: crate::Element>(
    sizes: Sizes,
    routing: &Routing,
    rows: usize,
    input: I,
    weights: &Weights<'_>,
    output: SliceMut<'_, O>,
    kernel: impl Fn(&Variant) -> &'static Kernel<ExpertsParameters>,
    halves: usize,
) -> Result<(), Error> {
    let Sizes { operation, matrix_rows, columns } = sizes;
    let experts = routing.experts();
    let inputs = weights.len() / matrix_rows.saturating_mul(experts).max(1);
    require!(operation, columns > 0 && inputs > 0, "matrices of {matrix_rows} x {inputs} have nothing to multiply");
    require!(operation, matrix_rows < 1 << 31 && inputs < 1 << 31, "{matrix_rows} x {inputs} is too large");
    require!(
        operation,
        matrix_rows * inputs * experts == weights.len(),
        "{} weights are not {experts} matrices of {matrix_rows} rows",
        weights.len()
    );
    let assignments = routing.assignments();
    require!(
        operation,
        assignments.checked_mul(columns) == Some(output.len()),
        "{} outputs are not {assignments} rows of {columns}",
        output.len()
    );
    let device = output.device();
    let input_rows = input.rows();
    let operands = Operands::new(operation, &input_rows, rows, weights, inputs)?;
    let devices = [input_rows.device, routing.starts().device()];
    require!(operation, devices.iter().all(|other| other.is(device)), "not everything is on the same device");
    let Some(variant) = <I as sealed::Products>::kernels(device, assignments.div_ceil(experts), weights) else {
        return Err(mismatch(operation, I::FORMAT, weights));
    };
    let parameters = ExpertsParameters {
        operands,
        output: output.address(),
        starts: routing.starts().address(),
        order: routing.order().address(),
        slot_weights: routing.weights().address(),
        slots: routing.slots() as u32,
        columns: columns as u32,
        is_eager: u32::from(assignments >= EAGER_ROWS * experts),
        paired: u32::from(output.address().is_multiple_of(PAIR_BYTES) && columns.is_multiple_of(2)),
    };
    let Tile { columns: tile_columns, threads, shared_bytes, .. } = variant.tile;
    let grid = [columns.div_ceil(tile_columns / halves) as u32, if assignments == 0 { 0 } else { experts as u32 }, 1];
    // SAFETY: the slices have the lengths that rows, columns and inputs say; blocks leave out what a tile has beyond them. The starts and the
    // order are those of the routing's rows, so every place is below the assignments. The output is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(kernel(&variant), Launch { grid, threads, shared_bytes }, &parameters)
    }
}

#[cfg(test)]
mod tests;
