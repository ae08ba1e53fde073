//! Tensors as numbers, wherever their bytes lie.

use std::sync::OnceLock;

use bytemuck::AnyBitPattern;
use half::{bf16, f16};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice};

#[cfg(target_endian = "big")]
compile_error!("weights are stored with the lowest byte first, and are read where they lie");

/// The number formats in which weights are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    Bf16,
    F16,
}

impl Dtype {
    /// The format of that name in a safetensors header, if weights are read in it.
    pub(super) fn of(stored: safetensors::Dtype) -> Option<Self> {
        match stored {
            safetensors::Dtype::F32 => Some(Self::F32),
            safetensors::Dtype::BF16 => Some(Self::Bf16),
            safetensors::Dtype::F16 => Some(Self::F16),
            _ => None,
        }
    }

    /// A number as it comes out of this format.
    pub(crate) fn round(self, number: f64) -> f32 {
        match self {
            Self::F32 => number as f32,
            Self::Bf16 => bf16::from_f64(number).to_f32(),
            Self::F16 => f16::from_f64(number).to_f32(),
        }
    }
}

/// Weights as they are stored, row-major.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WeightData<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    F16(&'a [f16]),
}

impl WeightData<'_> {
    /// How many numbers there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// Row `row` of a matrix with that many columns, or one matrix of a stack with that many numbers in each.
    pub(crate) fn row(&self, row: usize, columns: usize) -> Self {
        self.row_at(row * columns, columns)
    }

    /// `len` numbers from `start` on.
    pub(crate) fn row_at(&self, start: usize, len: usize) -> Self {
        let range = start..start + len;
        match self {
            Self::F32(values) => Self::F32(&values[range]),
            Self::Bf16(values) => Self::Bf16(&values[range]),
            Self::F16(values) => Self::F16(&values[range]),
        }
    }

    /// All numbers, widened.
    pub(crate) fn to_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values.to_vec(),
            Self::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
            Self::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
        }
    }
}

/// A tensor of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TensorView<'a> {
    pub(crate) data: WeightData<'a>,
    pub(crate) shape: &'a [usize],
}

impl TensorView<'_> {
    /// Whether no element is infinite or not a number.
    pub(crate) fn check_finite(&self) -> bool {
        match self.data {
            WeightData::F32(values) => {
                all_chunks(values, |chunk| !any(chunk, |value| value.to_bits() & 0x7f80_0000 == 0x7f80_0000))
            }
            WeightData::Bf16(values) => {
                all_chunks(values, |chunk| !any(chunk, |value| value.to_bits() & 0x7f80 == 0x7f80))
            }
            WeightData::F16(values) => {
                all_chunks(values, |chunk| !any(chunk, |value| value.to_bits() & 0x7c00 == 0x7c00))
            }
        }
    }

    /// All elements, widened.
    pub(crate) fn to_f32(self) -> Vec<f32> {
        self.data.to_f32()
    }
}

/// Large enough to be worth a task, small enough to stop early.
const CHUNK: usize = 1 << 18;

fn all_chunks<T: Sync>(values: &[T], test: impl Fn(&[T]) -> bool + Send + Sync) -> bool {
    values.par_chunks(CHUNK).with_min_len(1).all(test)
}

/// Whether the test holds for any value. Every value is tested, because a loop without an exit is vectorised.
fn any<T: Copy>(values: &[T], test: impl Fn(T) -> bool) -> bool {
    values.iter().fold(false, |found, &value| found | test(value))
}

/// Bytes as numbers: in place where they are aligned, else in a copy made once.
///
/// `bytes` holds a whole number of elements.
pub(super) fn numbers<'a, T: AnyBitPattern>(bytes: &'a [u8], copy: &'a OnceLock<Box<[u32]>>) -> &'a [T] {
    if let Ok(numbers) = bytemuck::try_cast_slice(bytes) {
        return numbers;
    }
    // No format here needs more than the alignment of u32.
    let words = copy.get_or_init(|| {
        let mut words = vec![0u32; bytes.len().div_ceil(4)].into_boxed_slice();
        bytemuck::cast_slice_mut::<u32, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        words
    });
    bytemuck::cast_slice(&bytemuck::cast_slice::<u32, u8>(words)[..bytes.len()])
}
