//! Makes a quantised checkpoint out of a plain one, matrix by matrix.
//!
//! Entry point: [`quantise`]. What comes out is in the format of `compressed-tensors`, with the experts one by one, as quantised
//! checkpoints of DiffusionGemma are published: this engine loads it, and so does whatever reads that format.
//!
//! Memory holds one matrix at a time; the source is mapped. Nothing stands under the output's name before all of it does.

mod configuration;
mod plan;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::checkpoint::{Checkpoint, Quantiser};
use crate::{Cancel, Error};

use plan::{Plan, Source};
use writer::{TensorFile, UnfinishedFolder};

/// What to do.
#[derive(Clone, Debug)]
pub struct QuantiseOptions {
    /// A checkpoint folder, nothing in it quantised.
    pub input: PathBuf,
    /// The folder to make. It must not exist.
    pub output: PathBuf,
    /// How.
    pub scheme: QuantiseScheme,
}

/// A way to store the matrices of linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QuantiseScheme {
    /// Eight bits a weight and a scale an output, under inputs that are rounded to eight bits by row: attention, dense and
    /// sparse feed-forward networks.
    Fp8,
    /// Four bits a weight, a scale for every 16 inputs and one for all, under inputs as they are: the feed-forward networks.
    Nvfp4,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct QuantiseReport {
    /// How.
    pub scheme: QuantiseScheme,
    /// Every matrix that was quantised, the one with the largest error first.
    pub matrices: Vec<MatrixError>,
    /// Matrices that the scheme would quantise, but for the number of their inputs.
    pub left: Vec<String>,
    /// Bytes of tensors before.
    pub input_bytes: u64,
    /// Bytes of tensors after.
    pub output_bytes: u64,
}

/// What rounding did to one matrix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatrixError {
    /// The linear layer.
    pub name: String,
    /// The L2 distance between the matrix and what is stored of it, relative to the matrix.
    pub relative_l2: f64,
}

/// How much of the source has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantiseProgress {
    /// Bytes of tensors done with.
    pub done_bytes: u64,
    /// Bytes of tensors there are.
    pub total_bytes: u64,
}

/// Makes the checkpoint. On any failure, a full disk or [`Error::Cancelled`] among them, nothing is left behind.
pub fn quantise(
    options: &QuantiseOptions,
    cancel: &Cancel,
    progress: &mut dyn FnMut(QuantiseProgress),
) -> Result<QuantiseReport, Error> {
    let QuantiseOptions { input, output, scheme } = options;
    if output.symlink_metadata().is_ok() {
        let reason = "exists already; name a folder that does not, and it is made";
        return Err(Error::Request(format!("{}: {reason}", output.display())));
    }
    let checkpoint = Checkpoint::open_folder(input)?;
    let quantiser = Quantiser::new(&checkpoint)?;
    let plan = Plan::new(&quantiser, *scheme);
    let folder = UnfinishedFolder::beside(output)?;
    let mut work = Work {
        quantiser: &quantiser,
        cancel,
        progress,
        done_bytes: 0,
        total_bytes: plan.input_bytes(),
        errors: Vec::new(),
    };
    for shard in plan.shards() {
        work.write_shard(&folder.path().join(&shard.file), &shard.sources)?;
    }
    if let Some(index) = plan.index() {
        writer::write_json(&folder.path().join("model.safetensors.index.json"), &index)?;
    }
    configuration::copy(input, folder.path(), *scheme, plan.left())?;
    cancel.check()?;
    folder.finish(output)?;
    let mut matrices = work.errors;
    matrices.sort_by(|a, b| b.relative_l2.total_cmp(&a.relative_l2).then_with(|| a.name.cmp(&b.name)));
    Ok(QuantiseReport {
        scheme: *scheme,
        matrices,
        left: plan.left().to_vec(),
        input_bytes: plan.input_bytes(),
        output_bytes: plan.output_bytes(),
    })
}

/// Bytes that are copied between two looks at whether anybody still wants them.
const COPIED_BYTES: usize = 1 << 24;

struct Work<'a> {
    quantiser: &'a Quantiser<'a>,
    cancel: &'a Cancel,
    progress: &'a mut dyn FnMut(QuantiseProgress),
    done_bytes: u64,
    total_bytes: u64,
    errors: Vec<MatrixError>,
}

impl Work<'_> {
    fn write_shard(&mut self, path: &Path, sources: &[Source]) -> Result<(), Error> {
        let tensors = sources.iter().flat_map(Source::tensors).collect();
        let mut file = TensorFile::create(path, tensors)?;
        for source in sources {
            self.cancel.check()?;
            match source {
                Source::Copy { name, .. } => {
                    for bytes in self.quantiser.bytes(name).chunks(COPIED_BYTES) {
                        self.cancel.check()?;
                        file.write(bytes)?;
                        self.advance(bytes.len() as u64);
                    }
                }
                Source::Part { matrix, .. } => {
                    let bytes = self.quantiser.matrix_bytes(matrix);
                    file.write(bytes)?;
                    self.advance(bytes.len() as u64);
                }
                Source::Quantised { matrix, scheme, .. } => {
                    let rows = self.quantiser.rows(matrix)?;
                    let error = scheme.encode(&rows, matrix.shape[1], |bytes| file.write(bytes))?;
                    self.errors.push(MatrixError { name: matrix.module.clone(), relative_l2: error.relative_l2() });
                    self.advance(self.quantiser.matrix_bytes(matrix).len() as u64);
                }
            }
        }
        file.finish()
    }

    fn advance(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        (self.progress)(QuantiseProgress { done_bytes: self.done_bytes, total_bytes: self.total_bytes });
    }
}
