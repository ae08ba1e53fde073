//! Where a model runs: the place that picks a backend.

#[cfg(feature = "cuda")]
mod card;
#[cfg(not(feature = "cuda"))]
#[path = "device/no_card.rs"]
mod card;

use crate::backend::Backend;
use crate::backend::cpu::{CpuBackend, Nvfp4Inputs};
use crate::bench::{SyntheticOptions, SyntheticReport};
use crate::checkpoint::{Checkpoint, ModelConfig};
use crate::{Device, Error};

use card::Card;
pub use card::devices as cuda_devices;

/// How far the weights have come to where the model runs. Not told where they are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes on the device.
    pub done_bytes: u64,
    /// Bytes that there will be, or a little less.
    pub total_bytes: u64,
}

/// What products are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// The dtype that the weights are stored in, where the device is made for it.
    Stored,
    /// f32, over the weights as they are stored; with what is to become of the inputs of NVFP4 matrices on the processor.
    Exact(Nvfp4Inputs),
}

/// Where to run a model, and how.
pub(crate) struct Placement<'a> {
    pub(crate) device: Device,
    pub(crate) threads: Option<usize>,
    pub(crate) precision: Precision,
    pub(crate) progress: &'a mut dyn FnMut(LoadProgress),
}

/// Work that any backend can do.
pub(crate) trait OnBackend {
    type Output;
    /// `device` is what to call where the backend runs.
    fn run<B: Backend + 'static>(self, backend: B, device: String) -> Result<Self::Output, Error>;
}

/// Does the work on the model's weights, where the placement says.
pub(crate) fn on_backend<W: OnBackend>(
    checkpoint: &Checkpoint,
    placement: Placement<'_>,
    work: W,
) -> Result<W::Output, Error> {
    match card_of(placement.device)? {
        Some(card) => card::on_card(&card, checkpoint, placement, work),
        None => {
            let nvfp4_inputs = match placement.precision {
                Precision::Stored => Nvfp4Inputs::default(),
                Precision::Exact(nvfp4_inputs) => nvfp4_inputs,
            };
            let backend = CpuBackend::new(checkpoint, placement.threads, nvfp4_inputs)?;
            let device = match backend.threads() {
                1 => "cpu, 1 thread".to_owned(),
                threads => format!("cpu, {threads} threads"),
            };
            work.run(backend, device)
        }
    }
}

/// The card that was asked for, or that there is; `None` for the processor, which never stands in for a card that was asked for.
fn card_of(device: Device) -> Result<Option<Card>, Error> {
    match device {
        Device::Cpu => Ok(None),
        Device::Cuda(index) => card::open(index).map(Some),
        Device::Auto => card::first_usable(),
    }
}

/// Measures a model with random weights on a card; the processor is no place for it.
pub(crate) fn measure_synthetic(
    options: &SyntheticOptions,
    config: &ModelConfig,
    progress: &mut dyn FnMut(&str),
) -> Result<SyntheticReport, Error> {
    let device = match options.device {
        // Whoever leaves it open gets the reason why there is no card.
        Device::Auto => Device::Cuda(0),
        device => device,
    };
    match card_of(device)? {
        Some(card) => card::measure_synthetic(&card, options, config, progress),
        None => Err(Error::Device {
            device: "cpu".to_owned(),
            reason: "random weights of a published size are made and measured on a card; use --device cuda".to_owned(),
        }),
    }
}
