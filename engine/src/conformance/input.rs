//! The input tensors, checked before anything is computed.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::invalid;
use crate::Error;

/// More canvas rows than this are taken for a mistake; the work grows with their square.
const CANVAS_LIMIT: usize = 1 << 16;

pub(super) struct Input {
    pub(super) prompt: Vec<u32>,
    pub(super) canvas: Vec<u32>,
    /// [canvas rows, vocabulary].
    pub(super) self_conditioning: Option<Vec<f32>>,
    /// Canvas rows; none is pinned where the file says nothing.
    pub(super) pinned: Vec<bool>,
    /// [steps, canvas rows, vocabulary].
    pub(super) gumbel: Vec<f32>,
    /// [steps, canvas rows].
    pub(super) renoise: Vec<u32>,
    pub(super) steps: usize,
}

impl Input {
    pub(super) fn read(path: &Path, vocabulary: usize, denoise: bool) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| invalid(path, format!("is not a safetensors file: {error}")))?;
        let reader = Reader { path, tensors };

        let prompt = reader.ids("prompt_ids", &[None], vocabulary)?;
        let canvas = reader.ids("canvas_ids", &[None], vocabulary)?;
        if prompt.is_empty() {
            return Err(invalid(path, "prompt_ids is empty; a prompt has at least one token"));
        }
        if canvas.is_empty() || canvas.len() > CANVAS_LIMIT {
            return Err(invalid(path, format!("canvas_ids has {} tokens, not 1 to {CANVAS_LIMIT}", canvas.len())));
        }
        let rows = canvas.len();
        let self_conditioning = match reader.has("self_conditioning_logits") {
            true => Some(reader.floats("self_conditioning_logits", &[Some(rows), Some(vocabulary)])?.1),
            false => None,
        };
        let mut input = Self {
            prompt,
            canvas,
            self_conditioning,
            pinned: vec![false; rows],
            gumbel: Vec::new(),
            renoise: Vec::new(),
            steps: 0,
        };
        if denoise {
            let (steps, gumbel) = reader.floats("gumbel", &[None, Some(rows), Some(vocabulary)])?;
            if steps == 0 {
                return Err(invalid(path, "gumbel has no step"));
            }
            input.steps = steps;
            input.gumbel = gumbel;
            input.renoise = reader.ids("renoise", &[Some(steps), Some(rows)], vocabulary)?;
            if reader.has("pinned") {
                input.pinned = reader.flags("pinned", rows)?;
            }
        }
        Ok(input)
    }
}

struct Reader<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Reader<'_> {
    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// The first dimension and the bytes of a tensor of that dtype; a `None` in the shape stands for any size.
    fn bytes(&self, name: &str, dtype: Dtype, shape: &[Option<usize>]) -> Result<(usize, &[u8]), Error> {
        let tensor = self.tensors.tensor(name).map_err(|_| invalid(self.path, format!("has no tensor {name}")))?;
        if tensor.dtype() != dtype {
            return Err(invalid(self.path, format!("{name} is {:?}, not {dtype:?}", tensor.dtype())));
        }
        let fits = tensor.shape().len() == shape.len()
            && tensor.shape().iter().zip(shape).all(|(size, wanted)| wanted.is_none_or(|wanted| wanted == *size));
        if !fits {
            let wanted: Vec<String> =
                shape.iter().map(|size| size.map_or_else(|| "any".to_owned(), |size| size.to_string())).collect();
            return Err(invalid(
                self.path,
                format!("{name} has shape {:?}, not [{}]", tensor.shape(), wanted.join(", ")),
            ));
        }
        // The data lies in the file's bytes, which outlive the view.
        let data = self.tensors.tensor(name).map(|tensor| tensor.data());
        Ok((tensor.shape()[0], data.unwrap_or_default()))
    }

    fn ids(&self, name: &str, shape: &[Option<usize>], vocabulary: usize) -> Result<Vec<u32>, Error> {
        let (_, bytes) = self.bytes(name, Dtype::I64, shape)?;
        let numbers = bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
        numbers
            .map(|id| match u32::try_from(id) {
                Ok(valid) if (valid as usize) < vocabulary => Ok(valid),
                _ => Err(invalid(self.path, format!("{name} holds {id}, not a token of a vocabulary of {vocabulary}"))),
            })
            .collect()
    }

    fn floats(&self, name: &str, shape: &[Option<usize>]) -> Result<(usize, Vec<f32>), Error> {
        let (first, bytes) = self.bytes(name, Dtype::F32, shape)?;
        let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(invalid(self.path, format!("{name} holds a number that is not finite")));
        }
        Ok((first, numbers))
    }

    fn flags(&self, name: &str, length: usize) -> Result<Vec<bool>, Error> {
        let (_, bytes) = self.bytes(name, Dtype::U8, &[Some(length)])?;
        bytes
            .iter()
            .map(|byte| match byte {
                0 => Ok(false),
                1 => Ok(true),
                other => Err(invalid(self.path, format!("{name} holds {other}, not 0 or 1"))),
            })
            .collect()
    }
}
