//! All tensors of a checkpoint, by name.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use safetensors::tensor::Metadata;

use super::config::ModelConfig;
use super::expected::{ENCODER, SHARED, expected_tensors};
use super::files::{WeightFiles, check_fetched};
use super::mapped::MappedFile;
use super::object::one_line;
use super::tensors::{Dtype, TensorView, WeightData, numbers};
use crate::Error;

/// Tensors of image input, which this engine leaves alone.
const VISION: [&str; 2] = ["model.encoder.vision_tower.", "model.encoder.embed_vision."];

/// A longer header is taken for a damaged file.
const HEADER_LIMIT: u64 = 100_000_000;

/// The files of weights, and where in them each tensor lies.
pub(super) struct TensorStore {
    files: Vec<WeightFile>,
    /// By the name that the model asks for; a sorted map, so that the same file gives the same error each time.
    tensors: BTreeMap<String, Stored>,
}

struct WeightFile {
    path: PathBuf,
    bytes: WeightBytes,
}

enum WeightBytes {
    Mapped(MappedFile),
    Static(&'static [u8]),
}

struct Stored {
    file: usize,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    /// Where it lies in its file.
    range: Range<usize>,
    /// The same bytes, where the file does not align them.
    copy: OnceLock<Box<[u32]>>,
    /// Whether all elements are finite, once somebody has looked.
    finite: OnceLock<bool>,
}

impl WeightFile {
    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            WeightBytes::Mapped(file) => file.bytes(),
            WeightBytes::Static(bytes) => bytes,
        }
    }
}

impl TensorStore {
    /// Maps the files and reads their headers.
    pub(super) fn open(found: WeightFiles) -> Result<Self, Error> {
        let mut store = Self { files: Vec::new(), tensors: BTreeMap::new() };
        for path in found.paths {
            let bytes = WeightBytes::Mapped(MappedFile::open(&path)?);
            store.add(WeightFile { path, bytes }, found.index.as_ref())?;
        }
        for (name, &file) in found.index.iter().flatten() {
            if !store.tensors.contains_key(name) {
                let reason = format!("has no tensor `{}`, though the index says so", one_line(name));
                return Err(Error::checkpoint(&store.files[file].path, reason));
            }
        }
        store.merge_aliases()?;
        Ok(store)
    }

    /// Reads the header of a file that is in memory already.
    pub(super) fn from_static(path: &Path, bytes: &'static [u8]) -> Result<Self, Error> {
        let mut store = Self { files: Vec::new(), tensors: BTreeMap::new() };
        store.add(WeightFile { path: path.to_path_buf(), bytes: WeightBytes::Static(bytes) }, None)?;
        store.merge_aliases()?;
        Ok(store)
    }

    fn add(&mut self, file: WeightFile, index: Option<&BTreeMap<String, usize>>) -> Result<(), Error> {
        let position = self.files.len();
        let (metadata, start) = read_header(&file.path, file.bytes())?;
        for (name, info) in metadata.tensors() {
            if index.is_some_and(|index| index.get(&name) != Some(&position)) {
                let reason = format!("has a tensor `{}` that the index does not place there", one_line(&name));
                return Err(Error::checkpoint(&file.path, reason));
            }
            let (from, to) = info.data_offsets;
            let stored = Stored {
                file: position,
                dtype: info.dtype,
                shape: info.shape.clone(),
                range: start + from..start + to,
                copy: OnceLock::new(),
                finite: OnceLock::new(),
            };
            self.tensors.insert(name, stored);
        }
        self.files.push(file);
        Ok(())
    }

    /// Gives every tensor the name under which the model asks for it. What is stored under two names must be the
    /// same under both, because this engine ties it.
    fn merge_aliases(&mut self) -> Result<(), Error> {
        let stored = std::mem::take(&mut self.tensors);
        let (proper, aliases): (BTreeMap<_, _>, BTreeMap<_, _>) =
            stored.into_iter().partition(|(name, _)| canonical_name(name) == *name);
        self.tensors = proper;
        for (name, stored) in aliases {
            let canonical = canonical_name(&name);
            let Some(other) = self.tensors.get(&canonical) else {
                self.tensors.insert(canonical, stored);
                continue;
            };
            let equal =
                other.dtype == stored.dtype && other.shape == stored.shape && self.raw(other) == self.raw(&stored);
            if !equal {
                let (name, canonical) = (one_line(&name), one_line(&canonical));
                let reason = format!("untied weights: `{name}` is not the same as `{canonical}`");
                return Err(Error::unsupported(&self.files[stored.file].path, reason));
            }
        }
        Ok(())
    }

    /// Checks that the tensors are those of the model and no others.
    pub(super) fn check(&self, config: &ModelConfig, folder: &Path) -> Result<(), Error> {
        // First the number formats, because a quantised checkpoint differs in names and shapes as well.
        for (name, stored) in self.text_tensors() {
            if Dtype::of(stored.dtype).is_none() {
                let reason = format!("tensor `{}` is stored as {:?}", one_line(name), stored.dtype);
                return Err(Error::unsupported(&self.files[stored.file].path, reason));
            }
        }
        let expected: BTreeMap<String, Vec<usize>> = expected_tensors(config).into_iter().collect();
        for (name, shape) in &expected {
            self.find(name, shape, folder)?;
        }
        for (name, stored) in self.text_tensors() {
            if !expected.contains_key(name) {
                let reason = format!("tensor `{}` is none of this model's", one_line(name));
                return Err(Error::checkpoint(&self.files[stored.file].path, reason));
            }
        }
        Ok(())
    }

    fn text_tensors(&self) -> impl Iterator<Item = (&String, &Stored)> {
        self.tensors.iter().filter(|(name, _)| !VISION.iter().any(|prefix| name.starts_with(prefix)))
    }

    fn find(&self, name: &str, shape: &[usize], folder: &Path) -> Result<&Stored, Error> {
        let Some(stored) = self.tensors.get(name) else {
            return Err(Error::checkpoint(folder, format!("has no tensor `{name}`")));
        };
        if stored.shape != shape {
            let reason = format!("tensor `{name}` has shape {:?}, not {shape:?}", stored.shape);
            return Err(Error::checkpoint(&self.files[stored.file].path, reason));
        }
        Ok(stored)
    }

    /// A tensor of exactly this shape, all of its elements finite.
    pub(super) fn tensor(&self, name: &str, shape: &[usize], folder: &Path) -> Result<TensorView<'_>, Error> {
        let stored = self.find(name, shape, folder)?;
        let path = &self.files[stored.file].path;
        let bytes = self.raw(stored);
        let data = match Dtype::of(stored.dtype) {
            Some(Dtype::F32) => WeightData::F32(numbers(bytes, &stored.copy)),
            Some(Dtype::Bf16) => WeightData::Bf16(numbers(bytes, &stored.copy)),
            Some(Dtype::F16) => WeightData::F16(numbers(bytes, &stored.copy)),
            None => {
                return Err(Error::unsupported(path, format!("tensor `{name}` is stored as {:?}", stored.dtype)));
            }
        };
        let view = TensorView { data, shape: &stored.shape };
        if !*stored.finite.get_or_init(|| view.check_finite()) {
            return Err(Error::checkpoint(path, format!("tensor `{name}` holds a value that is not finite")));
        }
        Ok(view)
    }

    /// The number format in which a tensor is stored.
    pub(super) fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).and_then(|stored| Dtype::of(stored.dtype))
    }

    fn raw(&self, stored: &Stored) -> &[u8] {
        &self.files[stored.file].bytes()[stored.range.clone()]
    }
}

/// The name under which the model asks for a tensor. The encoder's tensors are the decoder's, all but the
/// layers' scalars; the head is the embedding.
fn canonical_name(name: &str) -> String {
    match name.strip_prefix(ENCODER) {
        _ if name == "lm_head.weight" => format!("{SHARED}embed_tokens.weight"),
        Some(rest) if !rest.ends_with(".layer_scalar") => format!("{SHARED}{rest}"),
        _ => name.to_owned(),
    }
}

/// Reads and checks a header: the tensors follow each other without gap or overlap, each as long as its shape
/// and format say, and end where the file ends. Also gives where the first begins.
fn read_header(path: &Path, bytes: &[u8]) -> Result<(Metadata, usize), Error> {
    check_fetched(path, bytes)?;
    let refuse = |reason: String| Err(Error::checkpoint(path, reason));
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return refuse("is too short for a safetensors file".to_owned());
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_LIMIT || length > rest.len() as u64 {
        return refuse(format!(
            "is cut short or not a safetensors file: it speaks of a header of {length} bytes, and has {} left",
            rest.len()
        ));
    }
    let (header, data) = rest.split_at(length as usize);
    let metadata: Metadata = match serde_json::from_slice(header) {
        Ok(metadata) => metadata,
        Err(error) => {
            return refuse(format!("has a damaged header: {}", one_line(&error.to_string())));
        }
    };
    if metadata.data_len() != data.len() {
        return refuse(format!(
            "does not match its header: that describes {} bytes of tensors, and {} follow",
            metadata.data_len(),
            data.len()
        ));
    }
    Ok((metadata, bytes.len() - data.len()))
}
