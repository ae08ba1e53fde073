//! What goes into which file.

use safetensors::Dtype;
use serde_json::{Value, json};

use super::QuantiseScheme;
use super::writer::Announced;
use crate::Error;
use crate::checkpoint::quantised::NVFP4_GROUP;
use crate::checkpoint::quantised::encode::{RelativeError, encode_fp8, encode_nvfp4};
use crate::checkpoint::{Network, PlainMatrix, PlainTensor, Quantiser};

/// Tensors that are written one after the other.
pub(super) enum Source {
    /// A tensor as it is.
    Copy { name: String, dtype: Dtype, shape: Vec<usize>, bytes: usize },
    /// One expert's matrix as it is, out of a fused tensor.
    Part { matrix: PlainMatrix, dtype: Dtype },
    /// A matrix and its scales.
    Quantised { matrix: PlainMatrix, scheme: QuantiseScheme, source_bytes: usize },
}

impl Source {
    /// What it becomes.
    pub(super) fn tensors(&self) -> Vec<Announced> {
        let announced = |name: String, dtype, shape: &[usize]| Announced { name, dtype, shape: shape.to_vec() };
        match self {
            Self::Copy { name, dtype, shape, .. } => vec![announced(name.clone(), *dtype, shape)],
            Self::Part { matrix, dtype } => {
                vec![announced(format!("{}.weight", matrix.module), *dtype, &matrix.shape)]
            }
            Self::Quantised { matrix, scheme, .. } => {
                let [outputs, inputs] = matrix.shape;
                let name = |rest: &str| format!("{}.{rest}", matrix.module);
                match scheme {
                    QuantiseScheme::Fp8 => vec![
                        announced(name("weight_scale"), Dtype::F32, &[outputs, 1]),
                        announced(name("weight"), Dtype::F8_E4M3, &[outputs, inputs]),
                    ],
                    QuantiseScheme::Nvfp4 => vec![
                        announced(name("weight_global_scale"), Dtype::F32, &[1]),
                        announced(name("weight_packed"), Dtype::U8, &[outputs, inputs / 2]),
                        announced(name("weight_scale"), Dtype::F8_E4M3, &[outputs, inputs / NVFP4_GROUP]),
                    ],
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        self.tensors().iter().map(Announced::bytes).sum()
    }

    fn source_bytes(&self) -> usize {
        match self {
            Self::Copy { bytes, .. } => *bytes,
            Self::Part { .. } => self.bytes(),
            Self::Quantised { source_bytes, .. } => *source_bytes,
        }
    }
}

impl QuantiseScheme {
    /// Encodes a matrix, and hands on its tensors in the order in which they were announced.
    pub(super) fn encode(
        self,
        rows: &[f32],
        inputs: usize,
        mut write: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<RelativeError, Error> {
        match self {
            Self::Fp8 => {
                let encoded = encode_fp8(rows, inputs);
                write(bytemuck::cast_slice(&encoded.scales))?;
                write(&encoded.weights)?;
                Ok(encoded.error)
            }
            Self::Nvfp4 => {
                let encoded = encode_nvfp4(rows, inputs);
                write(&encoded.global_scale.to_le_bytes())?;
                write(&encoded.packed)?;
                write(&encoded.scales)?;
                Ok(encoded.error)
            }
        }
    }

    /// Whether it is for this linear layer.
    fn takes(self, module: &str) -> bool {
        match (self, Network::of(module)) {
            (_, None) | (Self::Nvfp4, Some(Network::Attention)) => false,
            (_, Some(_)) => true,
        }
    }

    /// Whether it can store a matrix of so many inputs.
    fn fits(self, inputs: usize) -> bool {
        self == Self::Fp8 || inputs.is_multiple_of(NVFP4_GROUP)
    }
}

/// One file of weights.
pub(super) struct Shard {
    pub(super) file: String,
    pub(super) sources: Vec<Source>,
}

/// All that is to be written.
pub(super) struct Plan {
    shards: Vec<Shard>,
    sharded: bool,
    left: Vec<String>,
}

impl Plan {
    pub(super) fn new(quantiser: &Quantiser<'_>, scheme: QuantiseScheme) -> Self {
        let mut sources = Vec::new();
        let mut left = Vec::new();
        for tensor in quantiser.tensors() {
            let matrices = quantiser.matrices(&tensor);
            let taken = |matrix: &PlainMatrix| scheme.takes(&matrix.module) && scheme.fits(matrix.shape[1]);
            if !matrices.iter().any(taken) {
                left.extend(
                    matrices.into_iter().filter(|matrix| scheme.takes(&matrix.module)).map(|matrix| matrix.module),
                );
                let PlainTensor { name, dtype, shape, bytes } = tensor;
                sources.push(Source::Copy { name, dtype, shape, bytes });
                continue;
            }
            for matrix in matrices {
                let source_bytes = quantiser.matrix_bytes(&matrix).len();
                sources.push(if taken(&matrix) {
                    Source::Quantised { matrix, scheme, source_bytes }
                } else {
                    left.push(matrix.module.clone());
                    Source::Part { matrix, dtype: tensor.dtype }
                });
            }
        }
        // Lengths that would leave what follows unaligned go last.
        sources.sort_by_key(|source| !source.bytes().is_multiple_of(8));
        let limit = quantiser.largest_shard();
        Self { shards: into_shards(sources, limit), sharded: limit.is_some(), left }
    }

    pub(super) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Layers that the scheme would take if it could.
    pub(super) fn left(&self) -> &[String] {
        &self.left
    }

    pub(super) fn input_bytes(&self) -> u64 {
        self.sources().map(|source| source.source_bytes() as u64).sum()
    }

    pub(super) fn output_bytes(&self) -> u64 {
        self.sources().map(|source| source.bytes() as u64).sum()
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.shards.iter().flat_map(|shard| &shard.sources)
    }

    /// Which tensor is in which file, where there are several.
    pub(super) fn index(&self) -> Option<Value> {
        let entries = self.shards.iter().flat_map(|shard| {
            let tensors = shard.sources.iter().flat_map(Source::tensors);
            tensors.map(|tensor| (tensor.name, Value::String(shard.file.clone())))
        });
        self.sharded.then(|| {
            let map: serde_json::Map<String, Value> = entries.collect();
            json!({"metadata": {"total_size": self.output_bytes()}, "weight_map": map})
        })
    }
}

/// Fills one file after the other up to a limit of bytes; without one there is one file.
fn into_shards(sources: Vec<Source>, limit: Option<usize>) -> Vec<Shard> {
    let Some(limit) = limit else {
        return vec![Shard { file: "model.safetensors".to_owned(), sources }];
    };
    let mut groups: Vec<Vec<Source>> = vec![Vec::new()];
    let mut filled = 0;
    for source in sources {
        let bytes = source.bytes();
        if filled > 0 && filled + bytes > limit {
            groups.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        if let Some(last) = groups.last_mut() {
            last.push(source);
        }
    }
    let count = groups.len();
    let file = |index: usize| format!("model-{:05}-of-{count:05}.safetensors", index + 1);
    groups.into_iter().enumerate().map(|(index, sources)| Shard { file: file(index), sources }).collect()
}
