//! What operations that take one block a row have in common.

use crate::error::require;
use crate::kernel::Launch;
use crate::memory::{Element, Slice, SliceMut};
use crate::ops::quantised::{FP4_WORD, Fp4RowsMut, Fp8RowsMut};
use crate::{Device, Error, bf16};

/// Threads of a block.
const THREADS: u32 = 512;
/// A block's sum takes one number a warp.
const SUM_SCRATCH: usize = 32;

/// Whole rows of one width on one device.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) operation: &'static str,
    pub(crate) count: usize,
    pub(crate) width: usize,
    pub(crate) device: &'a Device,
}

impl<'a> Rows<'a> {
    /// The rows of a stream that is written.
    pub(crate) fn of<T: Element>(
        operation: &'static str,
        stream: &SliceMut<'a, T>,
        width: usize,
    ) -> Result<Self, Error> {
        Self::new(operation, stream.len(), width, stream.device())
    }

    /// Rows of so many numbers together.
    pub(crate) fn new(operation: &'static str, len: usize, width: usize, device: &'a Device) -> Result<Self, Error> {
        require!(operation, width > 0 && width < 1 << 31, "rows of {width} numbers");
        require!(operation, len.is_multiple_of(width), "{len} numbers are not rows of {width}");
        require!(operation, len / width < 1 << 31, "{} rows are too many", len / width);
        Ok(Self { operation, count: len / width, width, device })
    }

    /// Checks that the numbers are so many on this device, and says where they are.
    pub(crate) fn input<T: Element>(&self, what: &str, slice: Slice<'_, T>, len: usize) -> Result<u64, Error> {
        require!(self.operation, slice.len() == len, "{what} has {} numbers, not {len}", slice.len());
        require!(self.operation, slice.device().is(self.device), "{what} is on another device");
        Ok(slice.address())
    }

    /// The same of a weight, as long as a row.
    pub(crate) fn weight(&self, what: &str, weight: Slice<'_, f32>) -> Result<u64, Error> {
        self.input(what, weight, self.width)
    }

    /// The same of what is written row by row.
    pub(crate) fn normed<T: NormOutput>(&self, outputs: Normed<'_, T>) -> Result<NormedOutputs, Error> {
        let none = [0; NORMED_OUTPUTS];
        let mut checked = NormedOutputs {
            weights: none,
            outputs: none,
            scales: none,
            group_scales: none,
            input_scales: [0.0; NORMED_OUTPUTS],
        };
        for (index, output) in outputs.into_iter().enumerate() {
            let Some(NormedOutput { weight, output }) = output else { continue };
            checked.weights[index] =
                weight.map(|weight| self.weight("an output's weight", weight)).transpose()?.unwrap_or(0);
            let target = self.target("an output", &output)?;
            checked.outputs[index] = target.rows;
            checked.scales[index] = target.scales;
            checked.group_scales[index] = target.group_scales;
            checked.input_scales[index] = target.input_scale;
        }
        Ok(checked)
    }

    /// Checks that what a norm is written as are these rows, and says where.
    pub(crate) fn target<T: NormOutput>(&self, what: &str, output: &NormedRows<'_, T>) -> Result<Target, Error> {
        let len = self.count * self.width;
        let none = Target { rows: 0, scales: 0, group_scales: 0, input_scale: 0.0 };
        Ok(match output {
            NormedRows::Plain(output) => Target { rows: self.input(what, output.as_slice(), len)?, ..none },
            NormedRows::Fp8(Fp8RowsMut { numbers, scales }) => Target {
                rows: self.input(what, numbers.as_slice(), len)?,
                scales: self.input(&format!("{what}'s list of scales"), scales.as_slice(), self.count)?,
                ..none
            },
            NormedRows::Fp4(output) => {
                let group_scales = output.group_scales_of(self, what)?;
                let rows = self.input(what, output.words.as_slice(), len / FP4_WORD)?;
                Target { rows, group_scales, input_scale: output.scale, ..none }
            }
        })
    }

    /// A block a row, with so many rows of shared memory.
    pub(crate) fn launch(&self, shared_rows: usize) -> Launch {
        let shared = (SUM_SCRATCH + shared_rows * self.width) * size_of::<f32>();
        // What does not fit is more than any device has, and refused at the launch.
        let shared_bytes = u32::try_from(shared).unwrap_or(u32::MAX);
        Launch { grid: [self.count as u32, 1, 1], threads: THREADS, shared_bytes }
    }
}

/// What norms are written as: f32, or bf16 where tensor cores multiply them.
pub trait NormOutput: Element + sealed::Sealed {}
impl NormOutput for f32 {}
impl NormOutput for bf16 {}

pub(crate) mod sealed {
    /// Chooses between kernels that differ in their output's dtype.
    pub trait Sealed {
        fn choose<K>(f32: K, bf16: K) -> K;
    }
}
impl sealed::Sealed for f32 {
    fn choose<K>(f32: K, _bf16: K) -> K {
        f32
    }
}
impl sealed::Sealed for bf16 {
    fn choose<K>(_f32: K, bf16: K) -> K {
        bf16
    }
}

/// As many norms of a stream as its readers need at most.
pub const NORMED_OUTPUTS: usize = 3;

/// What else to write of a stream that an operation changes: its rows normed, for those who read them next.
pub type Normed<'a, T> = [Option<NormedOutput<'a, T>>; NORMED_OUTPUTS];

/// `output = stream * (mean(stream^2) + eps)^-0.5 * weight` by row.
pub struct NormedOutput<'a, T> {
    /// `[width]`; ones where there is none.
    pub weight: Option<Slice<'a, f32>>,
    /// `[rows, width]`.
    pub output: NormedRows<'a, T>,
}

/// Rows that are written by a norm.
pub enum NormedRows<'a, T> {
    /// As the product's operand.
    Plain(SliceMut<'a, T>),
    /// In e4m3 with a scale for each row, as [`quantise_rows`](super::quantised::quantise_rows) makes them of what the norm is in f32.
    Fp8(Fp8RowsMut<'a>),
    /// In e2m1 with a scale for each group, as [`quantise_groups`](super::quantised::quantise_groups) makes them of what the norm is in f32.
    Fp4(Fp4RowsMut<'a>),
}

impl<T: Element> NormedRows<'_, T> {
    /// How many numbers.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(output) => output.len(),
            Self::Fp8(output) => output.numbers.len(),
            Self::Fp4(output) => output.len(),
        }
    }

    pub(crate) fn device(&self) -> &Device {
        match self {
            Self::Plain(output) => output.device(),
            Self::Fp8(output) => output.numbers.device(),
            Self::Fp4(output) => output.words.device(),
        }
    }
}

/// Where rows are written by a norm, and which scales it needs for it.
pub(crate) struct Target {
    pub(crate) rows: u64,
    pub(crate) scales: u64,
    pub(crate) group_scales: u64,
    pub(crate) input_scale: f32,
}

impl<'a, T> From<SliceMut<'a, T>> for NormedRows<'a, T> {
    fn from(rows: SliceMut<'a, T>) -> Self {
        Self::Plain(rows)
    }
}

impl<'a, T> From<Fp4RowsMut<'a>> for NormedRows<'a, T> {
    fn from(rows: Fp4RowsMut<'a>) -> Self {
        Self::Fp4(rows)
    }
}

impl<'a, T> From<Fp8RowsMut<'a>> for NormedRows<'a, T> {
    fn from(rows: Fp8RowsMut<'a>) -> Self {
        Self::Fp8(rows)
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct NormedOutputs {
    weights: [u64; NORMED_OUTPUTS],
    outputs: [u64; NORMED_OUTPUTS],
    scales: [u64; NORMED_OUTPUTS],
    group_scales: [u64; NORMED_OUTPUTS],
    input_scales: [f32; NORMED_OUTPUTS],
}
