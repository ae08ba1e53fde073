//! Cards, in a program that was built with the feature cuda.

use lacuna_kernels::{DeviceInfo, bf16};

use super::{OnBackend, Placement, Precision};
use crate::Error;
use crate::backend::cuda::{self, CudaBackend, Source, name_of};
use crate::bench::{SyntheticDtype, SyntheticOptions, SyntheticReport};
use crate::checkpoint::{Checkpoint, Dtype, ModelConfig};
use crate::fit::{needs_of, refusal};

/// An open card.
pub(crate) type Card = lacuna_kernels::Device;

/// The cards that CUDA finds, a line each, or why it cannot be used.
pub fn devices() -> Result<Vec<String>, Error> {
    let line = |device: DeviceInfo| {
        let (major, minor) = device.compute_capability;
        let found = format!("cuda:{} {}, compute capability {major}.{minor}", device.index, device.name);
        match Card::cuda(device.index) {
            Ok(card) => match card.memory() {
                Ok((free, total)) => format!("{found}, {} of {} GiB free", free >> 30, total >> 30),
                Err(error) => format!("{found}, unusable: {error}"),
            },
            Err(error) => format!("{found}, unusable: {error}"),
        }
    };
    Ok(lacuna_kernels::devices().map_err(|error| unusable("cuda", &error))?.into_iter().map(line).collect())
}

/// Opens the card that was asked for.
pub(super) fn open(index: usize) -> Result<Card, Error> {
    Card::cuda(index).map_err(|error| unusable(&format!("cuda:{index}"), &error))
}

/// The first card that the kernels run on, if there is one. A card that ought to work and does not is an error.
pub(super) fn first_usable() -> Result<Option<Card>, Error> {
    use lacuna_kernels::Error as Reason;
    let devices = match lacuna_kernels::devices() {
        Ok(devices) => devices,
        Err(Reason::NoDriver) => return Ok(None),
        Err(error) => return Err(unusable("cuda", &error)),
    };
    for device in devices {
        match Card::cuda(device.index) {
            Ok(card) => return Ok(Some(card)),
            Err(Reason::UnsupportedArchitecture { .. } | Reason::NoCompiler { .. }) => {}
            Err(error) => return Err(unusable(&format!("cuda:{}", device.index), &error)),
        }
    }
    Ok(None)
}

/// Brings the weights to the card, and does the work there.
pub(super) fn on_card<W: OnBackend>(
    card: &Card,
    checkpoint: &Checkpoint,
    placement: Placement<'_>,
    work: W,
) -> Result<W::Output, Error> {
    let Placement { precision, progress, .. } = placement;
    let name = name_of(card);
    let (free_bytes, _) = card.memory().map_err(|error| unusable(&name, &error))?;
    if let Some(reason) = refusal(&needs_of(checkpoint), free_bytes) {
        return Err(Error::Device { device: name, reason });
    }
    match (precision, checkpoint.matrix_dtype()) {
        (Precision::Stored, Dtype::Bf16) => {
            work.run(CudaBackend::<bf16>::new(card, &checkpoint.config, checkpoint, progress)?, name)
        }
        _ => work.run(CudaBackend::<f32>::new(card, &checkpoint.config, checkpoint, progress)?, name),
    }
}

/// Measures a model with random weights.
pub(super) fn measure_synthetic(
    card: &Card,
    options: &SyntheticOptions,
    config: &ModelConfig,
    progress: &mut dyn FnMut(&str),
) -> Result<SyntheticReport, Error> {
    match options.dtype {
        SyntheticDtype::F32 => cuda::measure_synthetic::<f32>(card, options, config, progress),
        SyntheticDtype::Bf16 | SyntheticDtype::Fp8 | SyntheticDtype::Nvfp4 => {
            cuda::measure_synthetic::<bf16>(card, options, config, progress)
        }
    }
}

fn unusable(device: &str, error: &lacuna_kernels::Error) -> Error {
    Error::Device { device: device.to_owned(), reason: error.to_string() }
}
