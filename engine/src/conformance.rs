//! Runs a checkpoint on token ids, from file to file.

use std::path::PathBuf;

use crate::{Device, Error, ModelSource};

/// What to run.
#[derive(Clone, Debug)]
pub struct ForwardOptions {
    /// Where the weights come from.
    pub model: ModelSource,
    /// Where to run.
    pub device: Device,
    /// The tensors to read.
    pub input: PathBuf,
    /// The tensors to write.
    pub output: PathBuf,
    /// Whether to run whole denoising on the noise tape in the input instead of one forward pass.
    pub denoise: bool,
}

/// Reads the input tensors, runs the model, and writes the output tensors.
pub fn forward(options: &ForwardOptions) -> Result<(), Error> {
    let _ = options;
    Err(Error::Request("under construction".to_owned()))
}
