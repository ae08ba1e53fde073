//! A plain checkpoint as it is to be quantised: every tensor, and the matrices of linear layers in each.

use super::Checkpoint;
use super::expected::SHARED;
use super::linears::{ExpertPart, expert_shape};
use crate::Error;

/// Gives the tensors of a plain checkpoint, those for images among them.
pub(crate) struct Quantiser<'a> {
    checkpoint: &'a Checkpoint,
}

/// A tensor as it is stored.
pub(crate) struct PlainTensor {
    pub(crate) name: String,
    pub(crate) dtype: safetensors::Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: usize,
}

/// The matrix of a linear layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlainMatrix {
    /// The layer's name; an expert's as if it stood on its own.
    pub(crate) module: String,
    /// `[outputs, inputs]`
    pub(crate) shape: [usize; 2],
    /// The tensor that it lies in.
    tensor: String,
    /// Where in it, as numbers.
    start: usize,
}

impl<'a> Quantiser<'a> {
    /// Refuses a checkpoint that is quantised already.
    pub(crate) fn new(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        if checkpoint.linears.any_quantised() {
            let reason = "is quantised already; name the folder of the checkpoint that it was made from";
            return Err(Error::checkpoint(&checkpoint.path, reason));
        }
        Ok(Self { checkpoint })
    }

    /// Every tensor, by name.
    pub(crate) fn tensors(&self) -> Vec<PlainTensor> {
        let tensor = |(name, dtype, shape, bytes): (&str, _, &[usize], &[u8])| PlainTensor {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            bytes: bytes.len(),
        };
        self.checkpoint.tensors.all().map(tensor).collect()
    }

    /// The matrices of the layers' linear maps that lie in a tensor: one, those of all experts, or none.
    pub(crate) fn matrices(&self, tensor: &PlainTensor) -> Vec<PlainMatrix> {
        let layer = tensor.name.strip_prefix(SHARED).filter(|rest| rest.starts_with("layers."));
        match (layer, &tensor.shape[..]) {
            (Some(_), &[outputs, inputs]) => {
                let Some(module) = tensor.name.strip_suffix(".weight") else { return Vec::new() };
                let tensor = tensor.name.clone();
                vec![PlainMatrix { module: module.to_owned(), shape: [outputs, inputs], tensor, start: 0 }]
            }
            (Some(_), &[experts, rows, inputs]) => {
                let prefix = tensor.name.rsplit_once('.').map_or("", |(prefix, _)| prefix);
                let parts = ExpertPart::ALL.into_iter().filter(|part| tensor.name.ends_with(part.fused()));
                let parts: Vec<ExpertPart> = parts.collect();
                let mut matrices = Vec::new();
                for expert in 0..experts {
                    let mut start = expert * rows * inputs;
                    for part in &parts {
                        let shape = expert_shape(&self.checkpoint.config, *part);
                        let module = format!("{prefix}.{expert}.{}", part.name());
                        matrices.push(PlainMatrix { module, shape, tensor: tensor.name.clone(), start });
                        start += shape[0] * shape[1];
                    }
                }
                matrices
            }
            _ => Vec::new(),
        }
    }

    /// A tensor's bytes.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        self.checkpoint.tensors.stored_bytes(name).map_or(&[], |(bytes, _)| bytes)
    }

    /// A matrix's bytes.
    pub(crate) fn matrix_bytes(&self, matrix: &PlainMatrix) -> &[u8] {
        let Some((bytes, dtype)) = self.checkpoint.tensors.stored_bytes(&matrix.tensor) else { return &[] };
        let size = dtype.bitsize() / 8;
        let len = matrix.shape[0] * matrix.shape[1];
        &bytes[matrix.start * size..(matrix.start + len) * size]
    }

    /// A matrix's numbers, all of them finite.
    pub(crate) fn rows(&self, matrix: &PlainMatrix) -> Result<Vec<f32>, Error> {
        let checkpoint = self.checkpoint;
        let shape = checkpoint.tensors.shape(&matrix.tensor).unwrap_or_default();
        let view = checkpoint.tensors.tensor(&matrix.tensor, shape, &checkpoint.path)?;
        let len = matrix.shape[0] * matrix.shape[1];
        Ok(view.data.row_at(matrix.start, len).to_f32())
    }

    /// The bytes of the largest file of weights, where there is an index of several.
    pub(crate) fn largest_shard(&self) -> Option<usize> {
        self.checkpoint.tensors.largest_shard()
    }
}
