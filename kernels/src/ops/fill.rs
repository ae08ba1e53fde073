//! Random numbers in place of a checkpoint's, for measurements.

use crate::Error;
use crate::error::require;
use crate::kernel::{Launch, kernel};
use crate::memory::SliceMut;

use super::rows::NormOutput;

const THREADS: u32 = 256;
/// Numbers that one thread makes.
const PER_THREAD: usize = 4;

#[repr(C)]
#[derive(Clone, Copy)]
struct FillParameters {
    output: u64,
    count: u64,
    seed: u64,
    bound: f32,
    reserved: u32,
}

kernel!(static FILL_F32: "fill", fill_f32(FillParameters));
kernel!(static FILL_BF16: "fill", fill_bf16(FillParameters));

/// Numbers that look random, spread evenly over `-bound..bound`; the same for the same seed. Their standard deviation is the bound over the
/// root of 3.
pub fn fill<T: NormOutput>(seed: u64, bound: f32, output: SliceMut<'_, T>) -> Result<(), Error> {
    let blocks = output.len().div_ceil(THREADS as usize * PER_THREAD);
    require!("fill", blocks < 1 << 31, "{} numbers are too many", output.len());
    let parameters = FillParameters { output: output.address(), count: output.len() as u64, seed, bound, reserved: 0 };
    let launch = Launch { grid: [blocks as u32, 1, 1], threads: THREADS, shared_bytes: 0 };
    // SAFETY: each thread writes its four numbers, those beyond the count left out; the output is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        output.device().launch(T::choose(&FILL_F32, &FILL_BF16), launch, &parameters)
    }
}

#[cfg(test)]
mod tests;
