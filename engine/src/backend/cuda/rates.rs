//! How fast the device is at what bounds a pass.

use std::time::Instant;

use lacuna_kernels::ops::linear::{LinearScratch, Matrix, linear};
use lacuna_kernels::{Device, Error};

use super::Activation;

/// Rows, outputs and inputs of the product that is timed on a card, and on the emulator.
const SIZE: usize = 8192;
const EMULATED_SIZE: usize = 64;
const REPEATS: usize = 10;
/// Bytes that are copied, more than any cache holds; and on the emulator.
const COPIED_BYTES: usize = 1 << 30;
const EMULATED_BYTES: usize = 1 << 16;

/// Multiplications and additions a second of a large product.
pub(super) fn matrix_rate<T: Activation>(device: &Device) -> Result<f64, Error> {
    let size = if device.is_emulator() { EMULATED_SIZE } else { SIZE };
    let mut weight = device.allocate::<T>(size * size)?;
    weight.as_mut().clear()?;
    let mut input = device.allocate::<T>(size * size)?;
    input.as_mut().clear()?;
    let mut output = device.allocate::<f32>(size * size)?;
    let mut scratch = LinearScratch::new(device)?;
    let matrix = Matrix { weights: T::weights(weight.as_slice()), outputs: size, inputs: size };
    let mut seconds = f64::INFINITY;
    for _ in 0..REPEATS {
        device.synchronize()?;
        let start = Instant::now();
        linear(input.as_slice(), &matrix, &mut scratch, output.as_mut())?;
        device.synchronize()?;
        // The best of several: anything else that runs on the card only ever slows one down.
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    Ok((2 * size * size * size) as f64 / seconds)
}

/// Bytes a second that a copy on the device reads and writes together.
pub(super) fn copy_rate(device: &Device) -> Result<f64, Error> {
    let bytes = if device.is_emulator() { EMULATED_BYTES } else { COPIED_BYTES };
    let mut source = device.allocate::<u8>(bytes)?;
    source.as_mut().clear()?;
    let mut target = device.allocate::<u8>(bytes)?;
    let mut seconds = f64::INFINITY;
    for _ in 0..REPEATS {
        device.synchronize()?;
        let start = Instant::now();
        target.as_mut().copy_from(source.as_slice())?;
        device.synchronize()?;
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    Ok((2 * bytes) as f64 / seconds)
}
