//! Plain weights in eight or four bits: every scale from the largest magnitude that it covers, every number to the nearest.

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::NVFP4_GROUP;
use super::formats::{E2M1, E2M1_MAX, E4M3, E4M3_MAX, to_e2m1, to_e4m3};

/// A matrix `[outputs, inputs]` in E4M3.
pub(crate) struct EncodedFp8 {
    /// `[outputs, inputs]`
    pub(crate) weights: Vec<u8>,
    /// `[outputs]`
    pub(crate) scales: Vec<f32>,
    pub(crate) error: RelativeError,
}

/// A matrix `[outputs, inputs]` in NVFP4.
pub(crate) struct EncodedNvfp4 {
    /// `[outputs, inputs / 2]`
    pub(crate) packed: Vec<u8>,
    /// `[outputs, inputs / 16]`
    pub(crate) scales: Vec<u8>,
    /// To divide by.
    pub(crate) global_scale: f32,
    pub(crate) error: RelativeError,
}

/// What rounding did to a tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RelativeError {
    /// The squares of the differences, and of the numbers themselves.
    differences: f64,
    numbers: f64,
}

impl RelativeError {
    fn of(number: f32, stored: f32) -> Self {
        let difference = f64::from(number) - f64::from(stored);
        Self { differences: difference * difference, numbers: f64::from(number) * f64::from(number) }
    }

    fn add(self, other: Self) -> Self {
        Self { differences: self.differences + other.differences, numbers: self.numbers + other.numbers }
    }

    /// The relative L2 distance; that of a tensor of zeros is nought.
    pub(crate) fn relative_l2(self) -> f64 {
        if self.numbers > 0.0 { (self.differences / self.numbers).sqrt() } else { 0.0 }
    }
}

/// Rows that one task takes.
const ROWS_PER_TASK: usize = 16;

/// Encodes rows of finite numbers. A row of zeros has the scale 1.
pub(crate) fn encode_fp8(rows: &[f32], inputs: usize) -> EncodedFp8 {
    let outputs = rows.len() / inputs;
    let (mut weights, mut scales) = (vec![0; rows.len()], vec![1.0; outputs]);
    let error = rows
        .par_chunks(inputs * ROWS_PER_TASK)
        .zip(weights.par_chunks_mut(inputs * ROWS_PER_TASK))
        .zip(scales.par_chunks_mut(ROWS_PER_TASK))
        .map(|((rows, weights), scales)| {
            let mut error = RelativeError::default();
            for ((row, weights), scale) in rows.chunks(inputs).zip(weights.chunks_mut(inputs)).zip(scales) {
                let largest = largest(row);
                // Numbers so small that the scale is none are zeros to any product.
                if largest / E4M3_MAX > 0.0 {
                    *scale = largest / E4M3_MAX;
                }
                for (number, weight) in row.iter().zip(weights) {
                    *weight = to_e4m3(number / *scale);
                    error = error.add(RelativeError::of(*number, E4M3[usize::from(*weight)] * *scale));
                }
            }
            error
        })
        .reduce(RelativeError::default, RelativeError::add);
    EncodedFp8 { weights, scales, error }
}

/// Encodes rows of finite numbers, whose length is a multiple of 16.
///
/// The global scale puts the largest group's own at the largest number of E4M3. A group too small for a scale of its own gets the
/// smallest, under which its numbers may survive.
pub(crate) fn encode_nvfp4(rows: &[f32], inputs: usize) -> EncodedNvfp4 {
    let whole = E4M3_MAX * E2M1_MAX / rows.par_chunks(1 << 16).map(largest).reduce(|| 0.0, f32::max);
    let global_scale = if whole.is_finite() { whole } else { 1.0 };
    let (mut packed, mut scales) = (vec![0; rows.len() / 2], vec![0; rows.len() / NVFP4_GROUP]);
    let task = inputs * ROWS_PER_TASK;
    let error = rows
        .par_chunks(task)
        .zip(packed.par_chunks_mut(task / 2))
        .zip(scales.par_chunks_mut(task / NVFP4_GROUP))
        .map(|((rows, packed), scales)| {
            let mut error = RelativeError::default();
            let groups = rows.chunks(NVFP4_GROUP).zip(packed.chunks_mut(NVFP4_GROUP / 2)).zip(scales);
            for ((group, packed), scale) in groups {
                *scale = to_e4m3(largest(group) / E2M1_MAX * global_scale).max(1);
                let unit = E4M3[usize::from(*scale)] / global_scale;
                for (pair, byte) in group.chunks_exact(2).zip(packed) {
                    let (low, high) = (to_e2m1(pair[0] / unit), to_e2m1(pair[1] / unit));
                    *byte = low | high << 4;
                    for (number, bits) in pair.iter().zip([low, high]) {
                        error = error.add(RelativeError::of(*number, E2M1[usize::from(bits)] * unit));
                    }
                }
            }
            error
        })
        .reduce(RelativeError::default, RelativeError::add);
    EncodedNvfp4 { packed, scales, global_scale, error }
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |largest, number| if number.abs() > largest { number.abs() } else { largest })
}
