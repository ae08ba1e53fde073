//! Where weights come from.

use lacuna_kernels::{Device, SliceMut, bf16};

use super::{Activation, failed};
use crate::Error;
use crate::checkpoint::{Checkpoint, Dtype, TensorView, WeightData};

/// Numbers that are converted at a time, where they are.
const CONVERTED: usize = 1 << 20;
/// Numbers that are copied at a time, so that progress is seen.
const COPIED: usize = 1 << 26;

/// A part of a matrix on the device, to be filled.
pub(crate) enum Target<'a> {
    F32(SliceMut<'a, f32>),
    Bf16(SliceMut<'a, bf16>),
}

/// Gives tensors by name.
pub(crate) trait Source {
    /// The checkpoint that tensors come from, which may be quantised, if it is one.
    fn checkpoint(&self) -> Option<&Checkpoint> {
        None
    }
    /// The dtype that products with the model's matrices are made in, if every matrix that is not quantised is stored in one.
    fn matrix_dtype(&self) -> Dtype;
    /// What embeddings are multiplied by.
    fn embedding_scale(&self) -> f32;
    /// Fills a part of a matrix; `copied` is told of the bytes as they arrive.
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
    fn checkpoint(&self) -> Option<&Checkpoint> {
        Some(self)
    }

    fn matrix_dtype(&self) -> Dtype {
        let mut matrices = self.plain_matrices().into_iter();
        if matrices.all(|name| self.stored_dtype(&name) == Some(Dtype::Bf16)) { Dtype::Bf16 } else { Dtype::F32 }
    }

    fn embedding_scale(&self) -> f32 {
        Checkpoint::embedding_scale(self)
    }

    fn fill(
        &self,
        device: &Device,
        name: &str,
        shape: &[usize],
        target: Target<'_>,
        copied: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        let view = self.tensor(name, shape)?;
        let filled = match (view.data, target) {
            (WeightData::F32(values), Target::F32(target)) => copy(values, target, copied),
            (WeightData::Bf16(values), Target::Bf16(target)) => copy(values, target, copied),
            (data, Target::F32(target)) => convert(data, target, copied),
            (data, Target::Bf16(target)) => convert(data, target, copied),
        };
        filled.map_err(failed(device))
    }

    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.tensor(name, shape).map(TensorView::to_f32)
    }
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
