//! RMS norms, alone and with the sums around them.

use crate::Error;
use crate::kernel::kernel;
use crate::memory::{Slice, SliceMut};

use super::rows::{NormOutput, Normed, NormedOutputs, NormedRows, Rows, Target};

#[repr(C)]
#[derive(Clone, Copy)]
struct RmsNormParameters {
    input: u64,
    weight: u64,
    output: u64,
    scales: u64,
    group_scales: u64,
    width: u32,
    eps: f32,
    input_scale: f32,
}

kernel!(static RMS_NORM_F32: "norm", rms_norm_f32(RmsNormParameters));
kernel!(static RMS_NORM_BF16: "norm", rms_norm_bf16(RmsNormParameters));

/// `output = input * (mean(input^2) + eps)^-0.5 * weight` by row, without the weight where there is none. `input` and `output` are
/// `[rows, width]`, `weight` `[width]`. A head's norm is that of rows as long as a head.
pub fn rms_norm<'a, T: NormOutput>(
    input: Slice<'_, f32>,
    weight: Option<Slice<'_, f32>>,
    width: usize,
    eps: f32,
    output: impl Into<NormedRows<'a, T>>,
) -> Result<(), Error> {
    let output = output.into();
    let rows = Rows::new("rms_norm", output.len(), width, output.device())?;
    let Target { rows: output, scales, group_scales, input_scale } = rows.target("the output", &output)?;
    let parameters = RmsNormParameters {
        input: rows.input("the input", input, rows.count * width)?,
        weight: weight.map(|weight| rows.weight("the weight", weight)).transpose()?.unwrap_or(0),
        output,
        scales,
        group_scales,
        width: width as u32,
        eps,
        input_scale,
    };
    // SAFETY: block r reads and writes row r, inside slices whose lengths were just checked; the output is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        rows.device.launch(T::choose(&RMS_NORM_F32, &RMS_NORM_BF16), rows.launch(0), &parameters)
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct AddNormedParameters {
    addend: u64,
    weight: u64,
    stream: u64,
    normed: NormedOutputs,
    width: u32,
    eps: f32,
}

kernel!(static ADD_NORMED_F32: "norm", add_normed_f32(AddNormedParameters));
kernel!(static ADD_NORMED_BF16: "norm", add_normed_bf16(AddNormedParameters));

/// `stream += norm(addend) * weight` by row, as behind a layer's attention, and the new stream's norms. `addend` and `stream` are
/// `[rows, width]`.
pub fn add_normed<T: NormOutput>(
    addend: Slice<'_, f32>,
    weight: Slice<'_, f32>,
    width: usize,
    eps: f32,
    stream: SliceMut<'_, f32>,
    normed: Normed<'_, T>,
) -> Result<(), Error> {
    let rows = Rows::of("add_normed", &stream, width)?;
    let parameters = AddNormedParameters {
        addend: rows.input("the addend", addend, stream.len())?,
        weight: rows.weight("the weight", weight)?,
        stream: stream.address(),
        normed: rows.normed(normed)?,
        width: width as u32,
        eps,
    };
    // SAFETY: block r reads and writes row r, inside slices whose lengths were just checked; what is written is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        rows.device.launch(T::choose(&ADD_NORMED_F32, &ADD_NORMED_BF16), rows.launch(0), &parameters)
    }
}

/// What a layer's two feed-forward networks made, and how they are put together.
#[derive(Clone, Copy)]
pub struct FeedForward<'a> {
    /// Of the dense network, `[rows, width]`.
    pub dense: Slice<'a, f32>,
    /// `[width]`.
    pub dense_weight: Slice<'a, f32>,
    /// Of the experts, already weighted: `[rows, slots, width]`, added in the order of the slots.
    pub sparse: Slice<'a, f32>,
    /// How many experts each row went through.
    pub slots: usize,
    /// `[width]`.
    pub sparse_weight: Slice<'a, f32>,
    /// Of the norm around both, `[width]`.
    pub weight: Slice<'a, f32>,
    /// The layer's scalar.
    pub scalar: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct FinishLayerParameters {
    dense: u64,
    dense_weight: u64,
    slots: u64,
    slots_weight: u64,
    weight: u64,
    stream: u64,
    normed: NormedOutputs,
    slot_count: u32,
    width: u32,
    scalar: f32,
    eps: f32,
}

kernel!(static FINISH_LAYER_F32: "norm", finish_layer_f32(FinishLayerParameters));
kernel!(static FINISH_LAYER_BF16: "norm", finish_layer_bf16(FinishLayerParameters));

/// `stream = (stream + norm(norm(dense) * dense_weight + norm(sparse) * sparse_weight) * weight) * scalar` by row, with `sparse` the sum of
/// a row's slots: the end of a layer; and the new stream's norms. Rows of up to some 12,000 numbers fit a block.
pub fn finish_layer<T: NormOutput>(
    layer: FeedForward<'_>,
    width: usize,
    eps: f32,
    stream: SliceMut<'_, f32>,
    normed: Normed<'_, T>,
) -> Result<(), Error> {
    let rows = Rows::of("finish_layer", &stream, width)?;
    let slots = u32::try_from(layer.slots)
        .map_err(|_| crate::error::shape("finish_layer", format!("{} slots are too many", layer.slots)))?;
    let parameters = FinishLayerParameters {
        dense: rows.input("the dense network's output", layer.dense, stream.len())?,
        dense_weight: rows.weight("the dense network's weight", layer.dense_weight)?,
        slots: rows.input("the experts' output", layer.sparse, stream.len().saturating_mul(layer.slots))?,
        slots_weight: rows.weight("the experts' weight", layer.sparse_weight)?,
        weight: rows.weight("the weight", layer.weight)?,
        stream: stream.address(),
        normed: rows.normed(normed)?,
        slot_count: slots,
        width: width as u32,
        scalar: layer.scalar,
        eps,
    };
    // SAFETY: block r reads and writes row r, inside slices whose lengths were just checked; what is written is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        rows.device.launch(T::choose(&FINISH_LAYER_F32, &FINISH_LAYER_BF16), rows.launch(2), &parameters)
    }
}

#[cfg(test)]
mod tests;
