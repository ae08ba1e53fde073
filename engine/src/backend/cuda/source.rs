//! Where weights come from.

use lacuna_kernels::ops::linear::Fp4Order;
use lacuna_kernels::ops::quantised::arrange_fp4;
use lacuna_kernels::{Buffer, Device, SliceMut, bf16};

use super::{Activation, failed};
use crate::Error;
use crate::checkpoint::quantised::{Nvfp4Matrix, Scheme, StoredMatrix};
use crate::checkpoint::{Checkpoint, Dtype, TensorView, WeightData};

/// What the name of a linear layer's weights ends in.
const WEIGHT: &str = ".weight";

/// Numbers that are converted at a time, where they are.
const CONVERTED: usize = 1 << 20;
/// Numbers that are copied at a time, so that progress is seen.
const COPIED: usize = 1 << 26;

/// Rows of a matrix on the device, to be filled.
pub(crate) enum Target<'a> {
    F32(SliceMut<'a, f32>),
    Bf16(SliceMut<'a, bf16>),
    Fp8 {
        /// [outputs, inputs]: E4M3.
        numbers: SliceMut<'a, u8>,
        /// `[outputs]`
        scales: SliceMut<'a, f32>,
    },
    Nvfp4 {
        /// [outputs, inputs / 8]: E2M1 in this order.
        words: SliceMut<'a, u32>,
        order: Fp4Order,
        /// [outputs, inputs / 16]: E4M3.
        group_scales: SliceMut<'a, u8>,
        /// `[outputs]`
        scales: SliceMut<'a, f32>,
        /// Room for numbers as they are stored, before they are arranged; grows where it is too small.
        packed: &'a mut Buffer<u8>,
    },
}

/// Gives tensors by name.
pub(crate) trait Source {
    /// How a matrix is quantised, if it is; by its tensor's name.
    fn scheme(&self, name: &str) -> Option<Scheme>;
    /// Whether what a tensor of all experts would hold stands expert by expert.
    fn has_split(&self, fused: &str) -> bool;
    /// What to say where matrices that one product takes together are quantised in different ways.
    fn mixed(&self, names: &str) -> Error;
    /// The dtype that products with the model's matrices are made in, if every matrix that is not quantised is stored in one.
    fn matrix_dtype(&self) -> Dtype;
    /// What embeddings are multiplied by.
    fn embedding_scale(&self) -> f32;
    /// What the scales of a matrix's inputs are multiplied by, if it says how they are rounded to NVFP4; by its tensor's name.
    fn input_scale(&self, name: &str) -> Result<Option<f32>, Error>;
    /// Fills a target with a matrix; `copied` is told of the bytes as they arrive.
    fn fill(
        &self,
        device: &Device,
        name: &str,
        shape: &[usize],
        target: Target<'_>,
        copied: &mut dyn FnMut(u64),
    ) -> Result<(), Error>;
    /// A small tensor, widened.
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error>;
}

impl Source for Checkpoint {
    fn scheme(&self, name: &str) -> Option<Scheme> {
        Checkpoint::scheme(self, name.strip_suffix(WEIGHT)?)
    }

    fn has_split(&self, fused: &str) -> bool {
        Checkpoint::has_split(self, fused)
    }

    fn mixed(&self, names: &str) -> Error {
        Checkpoint::mixed(self, names)
    }

    fn matrix_dtype(&self) -> Dtype {
        let mut matrices = self.plain_matrices().into_iter();
        if matrices.all(|name| self.stored_dtype(&name) == Some(Dtype::Bf16)) { Dtype::Bf16 } else { Dtype::F32 }
    }

    fn embedding_scale(&self) -> f32 {
        Checkpoint::embedding_scale(self)
    }

    fn input_scale(&self, name: &str) -> Result<Option<f32>, Error> {
        name.strip_suffix(WEIGHT).map_or(Ok(None), |module| Checkpoint::input_scale(self, module))
    }

    fn fill(
        &self,
        device: &Device,
        name: &str,
        shape: &[usize],
        target: Target<'_>,
        copied: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        // Only linear layers, whose weights are [outputs, inputs], are quantised.
        let stored = || match (name.strip_suffix(WEIGHT), shape) {
            (Some(module), [outputs, inputs]) => self.matrix(module, *outputs, *inputs),
            _ => Err(unexpected(device, name)),
        };
        let filled = match target {
            Target::F32(target) => match self.tensor(name, shape)?.data {
                WeightData::F32(values) => copy(values, target, copied),
                data => convert(data, target, copied),
            },
            Target::Bf16(target) => match self.tensor(name, shape)?.data {
                WeightData::Bf16(values) => copy(values, target, copied),
                data => convert(data, target, copied),
            },
            Target::Fp8 { mut numbers, mut scales } => {
                let StoredMatrix::Fp8(matrix) = stored()? else { return Err(unexpected(device, name)) };
                copied((matrix.weights.len() + size_of_val(&matrix.scales[..])) as u64);
                numbers.write(matrix.weights).and_then(|()| scales.write(&matrix.scales))
            }
            Target::Nvfp4 { mut words, order, mut group_scales, mut scales, packed } => {
                let StoredMatrix::Nvfp4(matrix) = stored()? else { return Err(unexpected(device, name)) };
                copied((matrix.packed.len() + matrix.scales.len()) as u64);
                let written = match order {
                    Fp4Order::Plain => words.write_bytes(matrix.packed),
                    Fp4Order::Arranged => arrange(device, &matrix, words, packed),
                };
                written
                    .and_then(|()| group_scales.write(matrix.scales))
                    .and_then(|()| scales.write(&vec![matrix.global_scale; scales.len()]))
            }
        };
        filled.map_err(failed(device))
    }

    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.tensor(name, shape).map(TensorView::to_f32)
    }
}

/// A matrix is not stored as the configuration said before.
fn unexpected(device: &Device, name: &str) -> Error {
    let reason = format!("`{name}` is not stored as the configuration says");
    Error::Device { device: super::name_of(device), reason }
}

fn arrange(
    device: &Device,
    matrix: &Nvfp4Matrix<'_>,
    words: SliceMut<'_, u32>,
    packed: &mut Buffer<u8>,
) -> Result<(), lacuna_kernels::Error> {
    let count = matrix.packed.len();
    if packed.len() < count {
        *packed = device.allocate(count)?;
    }
    packed.slice_mut(0..count).write(matrix.packed)?;
    arrange_fp4(packed.slice(0..count), words)
}

/// Copies numbers from where they lie: mapped files are read as they go, and never held.
fn copy<T: Activation>(
    values: &[T],
    mut target: SliceMut<'_, T>,
    copied: &mut dyn FnMut(u64),
) -> Result<(), lacuna_kernels::Error> {
    for (index, part) in values.chunks(COPIED).enumerate() {
        let start = index * COPIED;
        target.reborrow().slice(start..start + part.len()).write(part)?;
        copied(size_of_val(part) as u64);
    }
    Ok(())
}

fn convert<T: Activation>(
    data: WeightData<'_>,
    mut target: SliceMut<'_, T>,
    copied: &mut dyn FnMut(u64),
) -> Result<(), lacuna_kernels::Error> {
    let mut converted = Vec::with_capacity(CONVERTED.min(data.len()));
    for start in (0..data.len()).step_by(CONVERTED) {
        let range = start..data.len().min(start + CONVERTED);
        converted.clear();
        match data {
            WeightData::F32(values) => converted.extend(values[range.clone()].iter().map(|value| T::from_f32(*value))),
            WeightData::Bf16(values) => {
                converted.extend(values[range.clone()].iter().map(|value| T::from_f32(value.to_f32())));
            }
            WeightData::F16(values) => {
                converted.extend(values[range.clone()].iter().map(|value| T::from_f32(value.to_f32())));
            }
        }
        target.reborrow().slice(range).write(&converted)?;
        copied(size_of_val(&converted[..]) as u64);
    }
    Ok(())
}
