//! Cards, in a program that was built without the feature cuda: there are none.

use super::{OnBackend, Placement};
use crate::Error;
use crate::bench::{SyntheticOptions, SyntheticReport};
use crate::checkpoint::{Checkpoint, ModelConfig};

/// There is none.
pub(crate) enum Card {}

/// Why CUDA cannot be used.
pub fn devices() -> Result<Vec<String>, Error> {
    Err(built_without("cuda"))
}

pub(super) fn open(index: usize) -> Result<Card, Error> {
    Err(built_without(&format!("cuda:{index}")))
}

#[expect(clippy::unnecessary_wraps, reason = "with the feature, looking for a card may fail")]
pub(super) fn first_usable() -> Result<Option<Card>, Error> {
    Ok(None)
}

pub(super) fn on_card<W: OnBackend>(
    card: &Card,
    _checkpoint: &Checkpoint,
    placement: Placement<'_>,
    _work: W,
) -> Result<W::Output, Error> {
    // Only a card makes use of these.
    let _ = (placement.precision, placement.progress);
    match *card {}
}

pub(super) fn measure_synthetic(
    card: &Card,
    _options: &SyntheticOptions,
    _config: &ModelConfig,
    _progress: &mut dyn FnMut(&str),
) -> Result<SyntheticReport, Error> {
    match *card {}
}

fn built_without(device: &str) -> Error {
    Error::Device {
        device: device.to_owned(),
        reason: "this program was built without the feature cuda; use --device cpu".to_owned(),
    }
}
