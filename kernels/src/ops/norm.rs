//! RMS norms.

use crate::error::require;
use crate::kernel::{Kernel, Launch, kernel};
use crate::memory::{Element, Slice, SliceMut};
use crate::{Error, bf16};

/// Threads of a block, a block a row.
const THREADS: u32 = 512;
/// A block's sum takes one number a warp.
const SHARED_BYTES: u32 = 32 * 4;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RmsNormParameters {
    input: u64,
    weight: u64,
    output: u64,
    input_stride: u64,
    output_stride: u64,
    width: u32,
    eps: f32,
}

kernel!(static RMS_NORM_F32: "norm", rms_norm_f32(RmsNormParameters));
kernel!(static RMS_NORM_BF16: "norm", rms_norm_bf16(RmsNormParameters));

/// What norms are written as: f32, or bf16 where tensor cores multiply them.
pub trait NormOutput: Element {
    #[doc(hidden)]
    const KERNELS: NormKernels;
}

#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct NormKernels {
    rms_norm: &'static Kernel<RmsNormParameters>,
}

impl NormOutput for f32 {
    const KERNELS: NormKernels = NormKernels { rms_norm: &RMS_NORM_F32 };
}
impl NormOutput for bf16 {
    const KERNELS: NormKernels = NormKernels { rms_norm: &RMS_NORM_BF16 };
}

/// `output = input * (mean(input^2) + eps)^-0.5 * weight` by row, without the weight where there is none. `input` and `output` are
/// [rows, width], `weight` [width].
pub fn rms_norm<T: NormOutput>(
    input: Slice<'_, f32>,
    weight: Option<Slice<'_, f32>>,
    width: usize,
    eps: f32,
    output: SliceMut<'_, T>,
) -> Result<(), Error> {
    const NAME: &str = "rms_norm";
    require!(NAME, width > 0 && width <= u32::MAX as usize, "rows of {width} numbers");
    require!(NAME, input.len() == output.len(), "{} numbers do not fit an output of {}", input.len(), output.len());
    require!(NAME, input.len().is_multiple_of(width), "{} numbers are not rows of {width}", input.len());
    require!(NAME, weight.is_none_or(|weight| weight.len() == width), "the weight is not as long as a row");
    require!(NAME, input.device().is(output.device()), "input and output are on different devices");
    let rows = input.len() / width;
    require!(NAME, rows <= i32::MAX as usize, "{rows} rows are too many");
    let parameters = RmsNormParameters {
        input: input.address(),
        weight: weight.map_or(0, |weight| weight.address()),
        output: output.address(),
        input_stride: width as u64,
        output_stride: width as u64,
        width: width as u32,
        eps,
    };
    let launch = Launch { grid: [rows as u32, 1, 1], threads: THREADS, shared_bytes: SHARED_BYTES };
    // SAFETY: block r reads and writes row r of `rows`, all inside slices whose lengths were just compared; the output is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        output.device().launch(T::KERNELS.rms_norm, launch, &parameters)
    }
}

#[cfg(test)]
mod tests;
