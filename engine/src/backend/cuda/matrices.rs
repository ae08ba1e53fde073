//! Matrices on the device in the format that the checkpoint has them in, and the rows that their products take.

use std::ops::Range;

use lacuna_kernels::ops::experts::{experts_down, experts_gated};
use lacuna_kernels::ops::linear::{Fp4Order, LinearScratch, Matrix, Weights as WeightSlice, gated_linear, linear};
use lacuna_kernels::ops::quantised::{
    FP4_WORD, Fp4Rows, Fp4RowsMut, Fp8Rows, Fp8RowsMut, quantise_groups, quantise_rows,
};
use lacuna_kernels::ops::router::Routing;
use lacuna_kernels::ops::rows::NormedRows;
use lacuna_kernels::{Arena, Buffer, Device, Error, Slice, SliceMut, bf16};

use super::Activation;
use super::source::Target;
use crate::checkpoint::Dtype;
use crate::checkpoint::quantised::{NVFP4_GROUP, Scheme};

/// A matrix [outputs, inputs], or several one below the other.
pub(super) struct WeightMatrix {
    pub(super) numbers: Numbers,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
}

/// Weights in the format that they are stored in.
pub(super) enum Numbers {
    F32(Buffer<f32>),
    Bf16(Buffer<bf16>),
    Fp8 {
        numbers: Buffer<u8>,
        scales: Buffer<f32>,
        /// Whether a row of inputs is rounded to e4m3 before the product.
        rounds_inputs: bool,
    },
    Nvfp4 {
        words: Buffer<u32>,
        group_scales: Buffer<u8>,
        scales: Buffer<f32>,
        /// What the scales of inputs are multiplied by, where inputs are rounded to E2M1 too. Then words are as they are stored, else arranged to be
        /// widened.
        input_scale: Option<f32>,
    },
}

/// What becomes of a row of inputs before the product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rounding {
    /// It is left as it is.
    None,
    /// It is rounded to E4M3, with a scale of its own.
    Rows,
    /// Each group of 16 is rounded to E2M1, with a scale in E4M3 that is multiplied by this one.
    Groups { scale: f32 },
}

/// Which kinds of rounding some products want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Roundings {
    pub(super) rows: bool,
    pub(super) groups: bool,
}

impl WeightMatrix {
    /// Takes room for a matrix that is quantised so, or else stored in this dtype; with the scale that inputs of NVFP4 are rounded by, if they are.
    pub(super) fn take(
        arena: &mut Arena,
        (scheme, input_scale): (Option<Scheme>, Option<f32>),
        dtype: Dtype,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self, Error> {
        let len = outputs * inputs;
        let numbers = match (scheme, dtype) {
            (None, Dtype::Bf16) => Numbers::Bf16(arena.take(len)?),
            (None, Dtype::F32 | Dtype::F16) => Numbers::F32(arena.take(len)?),
            (Some(scheme @ (Scheme::Fp8 | Scheme::Fp8WeightsOnly)), _) => Numbers::Fp8 {
                numbers: arena.take(len)?,
                scales: arena.take(outputs)?,
                rounds_inputs: scheme == Scheme::Fp8,
            },
            (Some(Scheme::Nvfp4(_)), _) => Numbers::Nvfp4 {
                words: arena.take(len / FP4_WORD)?,
                group_scales: arena.take(len / NVFP4_GROUP)?,
                scales: arena.take(outputs)?,
                input_scale,
            },
        };
        Ok(Self { numbers, outputs, inputs })
    }

    /// The bytes of an arena that this takes.
    pub(super) fn footprint(scheme: Option<Scheme>, dtype: Dtype, outputs: usize, inputs: usize) -> usize {
        let len = outputs * inputs;
        let scales = Arena::footprint::<f32>(outputs);
        match (scheme, dtype) {
            (None, Dtype::Bf16) => Arena::footprint::<bf16>(len),
            (None, Dtype::F32 | Dtype::F16) => Arena::footprint::<f32>(len),
            (Some(Scheme::Fp8 | Scheme::Fp8WeightsOnly), _) => Arena::footprint::<u8>(len) + scales,
            (Some(Scheme::Nvfp4(_)), _) => {
                Arena::footprint::<u32>(len / FP4_WORD) + Arena::footprint::<u8>(len / NVFP4_GROUP) + scales
            }
        }
    }

    pub(super) fn view(&self) -> Matrix<'_> {
        let weights = match &self.numbers {
            Numbers::F32(buffer) => WeightSlice::F32(buffer.as_slice()),
            Numbers::Bf16(buffer) => WeightSlice::Bf16(buffer.as_slice()),
            Numbers::Fp8 { numbers, scales, .. } => {
                WeightSlice::Fp8 { numbers: numbers.as_slice(), scales: scales.as_slice() }
            }
            Numbers::Nvfp4 { words, group_scales, scales, input_scale } => WeightSlice::Nvfp4 {
                words: words.as_slice(),
                order: order(*input_scale),
                group_scales: group_scales.as_slice(),
                scales: scales.as_slice(),
            },
        };
        Matrix { weights, outputs: self.outputs, inputs: self.inputs }
    }

    /// Some of its rows, to be filled.
    pub(super) fn rows_mut<'a>(&'a mut self, rows: Range<usize>, packed: &'a mut Buffer<u8>) -> Target<'a> {
        let range = rows.start * self.inputs..rows.end * self.inputs;
        let part = |per: usize| range.start / per..range.end / per;
        match &mut self.numbers {
            Numbers::F32(numbers) => Target::F32(numbers.slice_mut(range)),
            Numbers::Bf16(numbers) => Target::Bf16(numbers.slice_mut(range)),
            Numbers::Fp8 { numbers, scales, .. } => {
                Target::Fp8 { numbers: numbers.slice_mut(range), scales: scales.slice_mut(rows) }
            }
            Numbers::Nvfp4 { words, group_scales, scales, input_scale } => Target::Nvfp4 {
                words: words.slice_mut(part(FP4_WORD)),
                order: order(*input_scale),
                group_scales: group_scales.slice_mut(part(NVFP4_GROUP)),
                scales: scales.slice_mut(rows),
                packed,
            },
        }
    }

    pub(super) fn rounding(&self) -> Rounding {
        match self.numbers {
            Numbers::Fp8 { rounds_inputs: true, .. } => Rounding::Rows,
            Numbers::Nvfp4 { input_scale: Some(scale), .. } => Rounding::Groups { scale },
            _ => Rounding::None,
        }
    }
}

/// How the words of a matrix stand whose inputs are rounded with this scale, or left as they are.
fn order(input_scale: Option<f32>) -> Fp4Order {
    if input_scale.is_some() { Fp4Order::Plain } else { Fp4Order::Arranged }
}

/// Rows that products take: as they are, or rounded for a matrix that wants them so.
pub(super) struct ProductRows<T> {
    plain: Buffer<T>,
    in_rows: Option<InRows>,
    in_groups: Option<InGroups>,
}

/// In E4M3, with a scale a row.
struct InRows {
    numbers: Buffer<u8>,
    scales: Buffer<f32>,
}

impl InRows {
    fn new(device: &Device, rows: usize, width: usize) -> Result<Self, Error> {
        Ok(Self { numbers: device.allocate(rows * width)?, scales: device.allocate(rows)? })
    }

    fn target(&mut self, rows: usize, width: usize) -> Fp8RowsMut<'_> {
        let numbers = self.numbers.slice_mut(0..rows * width);
        Fp8RowsMut { numbers, scales: self.scales.slice_mut(0..rows) }
    }

    fn view(&self, rows: usize, width: usize) -> Fp8Rows<'_> {
        Fp8Rows { numbers: self.numbers.slice(0..rows * width), scales: self.scales.slice(0..rows) }
    }
}

/// In E2M1, with a scale a group.
struct InGroups {
    words: Buffer<u32>,
    group_scales: Buffer<u8>,
}

impl InGroups {
    fn new(device: &Device, rows: usize, width: usize) -> Result<Self, Error> {
        let groups = rows * width.div_ceil(NVFP4_GROUP);
        Ok(Self { words: device.allocate(groups * NVFP4_GROUP / FP4_WORD)?, group_scales: device.allocate(groups)? })
    }

    fn target(&mut self, numbers: usize, scale: f32) -> Fp4RowsMut<'_> {
        let words = self.words.slice_mut(0..numbers / FP4_WORD);
        Fp4RowsMut { words, group_scales: self.group_scales.slice_mut(0..numbers / NVFP4_GROUP), scale }
    }

    fn view(&self, numbers: usize, scale: f32) -> Fp4Rows<'_> {
        let words = self.words.slice(0..numbers / FP4_WORD);
        Fp4Rows { words, group_scales: self.group_scales.slice(0..numbers / NVFP4_GROUP), scale }
    }
}

impl<T: Activation> ProductRows<T> {
    /// Room for so many rows of so many numbers; for rounded ones too where some matrix wants them.
    pub(super) fn new(device: &Device, rows: usize, width: usize, roundings: Roundings) -> Result<Self, Error> {
        Ok(Self {
            plain: device.allocate(rows * width)?,
            in_rows: roundings.rows.then(|| InRows::new(device, rows, width)).transpose()?,
            in_groups: roundings.groups.then(|| InGroups::new(device, rows, width)).transpose()?,
        })
    }

    /// Where a norm writes so many rows for their product with a matrix.
    pub(super) fn target(&mut self, matrix: &WeightMatrix, rows: usize) -> NormedRows<'_, T> {
        let (width, numbers) = (matrix.inputs, rows * matrix.inputs);
        match (matrix.rounding(), &mut self.in_rows, &mut self.in_groups) {
            (Rounding::Rows, Some(in_rows), _) => in_rows.target(rows, width).into(),
            (Rounding::Groups { scale }, _, Some(in_groups)) => in_groups.target(numbers, scale).into(),
            _ => self.plain.slice_mut(0..numbers).into(),
        }
    }

    /// So many numbers, to be written as they are. Rounded ones have to be made of them before a product.
    pub(super) fn plain_mut(&mut self, len: usize) -> SliceMut<'_, T> {
        self.plain.slice_mut(0..len)
    }

    /// Rounds so many rows where the matrix wants them so.
    pub(super) fn round_for(&mut self, matrix: &WeightMatrix, rows: usize) -> Result<(), Error> {
        let (width, numbers) = (matrix.inputs, rows * matrix.inputs);
        let plain = self.plain.slice(0..numbers);
        match (matrix.rounding(), &mut self.in_rows, &mut self.in_groups) {
            (Rounding::Rows, Some(in_rows), _) => quantise_rows(plain, width, in_rows.target(rows, width)),
            (Rounding::Groups { scale }, _, Some(in_groups)) => {
                quantise_groups(plain, width, in_groups.target(numbers, scale))
            }
            _ => Ok(()),
        }
    }

    fn for_product(&self, matrix: &WeightMatrix, rows: usize) -> Operand<'_, T> {
        let numbers = rows * matrix.inputs;
        match (matrix.rounding(), &self.in_rows, &self.in_groups) {
            (Rounding::Rows, Some(in_rows), _) => Operand::Rows(in_rows.view(rows, matrix.inputs)),
            (Rounding::Groups { scale }, _, Some(in_groups)) => Operand::Groups(in_groups.view(numbers, scale)),
            _ => Operand::Plain(self.plain.slice(0..numbers)),
        }
    }

    /// The product of so many rows with a matrix.
    pub(super) fn linear(
        &self,
        rows: usize,
        matrix: &WeightMatrix,
        scratch: &mut LinearScratch,
        output: SliceMut<'_, f32>,
    ) -> Result<(), Error> {
        match self.for_product(matrix, rows) {
            Operand::Plain(input) => linear(input, &matrix.view(), scratch, output),
            Operand::Rows(input) => linear(input, &matrix.view(), scratch, output),
            Operand::Groups(input) => linear(input, &matrix.view(), scratch, output),
        }
    }

    /// The gated product of so many rows with a matrix.
    pub(super) fn gated(
        &self,
        rows: usize,
        matrix: &WeightMatrix,
        scratch: &mut LinearScratch,
        output: SliceMut<'_, T>,
    ) -> Result<(), Error> {
        match self.for_product(matrix, rows) {
            Operand::Plain(input) => gated_linear(input, &matrix.view(), scratch, output),
            Operand::Rows(input) => T::gated_linear(input, &matrix.view(), scratch, output),
            Operand::Groups(input) => T::gated_linear(input, &matrix.view(), scratch, output),
        }
    }

    /// The gated products of so many rows with their experts' matrices.
    pub(super) fn experts_gated(
        &self,
        rows: usize,
        routing: &Routing,
        matrices: &WeightMatrix,
        width: usize,
        output: SliceMut<'_, T>,
    ) -> Result<(), Error> {
        let weights = matrices.view().weights;
        match self.for_product(matrices, rows) {
            Operand::Plain(input) => experts_gated(input, routing, weights, width, output),
            Operand::Rows(input) => T::experts_gated(input, routing, weights, width, output),
            Operand::Groups(input) => T::experts_gated(input, routing, weights, width, output),
        }
    }

    /// The products of so many assignments with their experts' matrices.
    pub(super) fn experts_down(
        &self,
        assignments: usize,
        routing: &Routing,
        matrices: &WeightMatrix,
        columns: usize,
        output: SliceMut<'_, f32>,
    ) -> Result<(), Error> {
        let weights = matrices.view().weights;
        match self.for_product(matrices, assignments) {
            Operand::Plain(input) => experts_down(input, routing, weights, columns, output),
            Operand::Rows(input) => experts_down(input, routing, weights, columns, output),
            Operand::Groups(input) => experts_down(input, routing, weights, columns, output),
        }
    }
}

enum Operand<'a, T> {
    Plain(Slice<'a, T>),
    Rows(Fp8Rows<'a>),
    Groups(Fp4Rows<'a>),
}

#[cfg(test)]
mod tests;
