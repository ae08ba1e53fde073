//! All tensors of a checkpoint, by name.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use safetensors::tensor::Metadata;

use super::expected::{ENCODER, SHARED};
use super::files::{WeightFiles, check_fetched};
use super::mapped::MappedFile;
use super::object::one_line;
use super::quantised::formats::{E4M3, any_e4m3_nan};
use super::quantised::{Fp8Matrix, NVFP4_GROUP, Nvfp4Layout, Nvfp4Matrix, Scheme, StoredMatrix};
use super::tensors::{Dtype, TensorView, WeightData, numbers};
use crate::Error;

/// Tensors of image input, which this engine leaves alone.
const VISION: [&str; 2] = ["model.encoder.vision_tower.", "model.encoder.embed_vision."];

/// Scales of what goes into a layer, and not of the layer's weights.
const ACTIVATION_SCALES: [&str; 2] = [".input_scale", ".input_global_scale"];

/// A longer header is taken for a damaged file.
const HEADER_LIMIT: u64 = 100_000_000;

/// The files of weights, and where in them each tensor lies.
pub(super) struct TensorStore {
    files: Vec<WeightFile>,
    /// Whether an index names the files.
    indexed: bool,
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
        let mut store = Self { files: Vec::new(), indexed: found.index.is_some(), tensors: BTreeMap::new() };
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
        let mut store = Self { files: Vec::new(), indexed: false, tensors: BTreeMap::new() };
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
            // Measured on either stack's own inputs; the decoder's are those of every step.
            if ACTIVATION_SCALES.iter().any(|ending| name.ends_with(ending)) {
                continue;
            }
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

    /// Every tensor: name, number format, shape and bytes.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, safetensors::Dtype, &[usize], &[u8])> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored.dtype, &stored.shape[..], self.raw(stored)))
    }

    /// Bytes of all tensors but those for images.
    pub(super) fn text_bytes(&self) -> u64 {
        self.text_tensors().filter_map(|(name, ..)| self.stored_bytes(name)).map(|(bytes, _)| bytes.len() as u64).sum()
    }

    /// A tensor's bytes and number format.
    pub(super) fn stored_bytes(&self, name: &str) -> Option<(&[u8], safetensors::Dtype)> {
        self.tensors.get(name).map(|stored| (self.raw(stored), stored.dtype))
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|stored| &stored.shape[..])
    }

    /// The bytes of the largest file, where an index names the files.
    pub(super) fn largest_shard(&self) -> Option<usize> {
        let sizes = self.files.iter().map(|file| file.bytes().len());
        if self.indexed { sizes.max() } else { None }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether a tensor's name begins like this.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.tensors.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// Name, number format and file of every tensor but those for images.
    pub(super) fn text_tensors(&self) -> impl Iterator<Item = (&str, safetensors::Dtype, &Path)> {
        self.tensors
            .iter()
            .filter(|(name, _)| !VISION.iter().any(|prefix| name.starts_with(prefix)))
            .map(|(name, stored)| (name.as_str(), stored.dtype, self.files[stored.file].path.as_path()))
    }

    /// Checks that a tensor is there, in its format and shape.
    pub(super) fn check_wanted(&self, wanted: &Wanted, folder: &Path) -> Result<(), Error> {
        let Wanted { name, format, shapes } = wanted;
        let stored = self.find_any(name, shapes, folder)?;
        let fits = match format {
            Format::Numbers => Dtype::of(stored.dtype).is_some(),
            Format::Stored(dtype) => stored.dtype == *dtype,
        };
        if fits {
            return Ok(());
        }
        let reason = match format {
            Format::Stored(dtype) => format!("tensor `{name}` is stored as {:?}, not {dtype:?}", stored.dtype),
            Format::Numbers => format!("tensor `{name}` is stored as {:?}", stored.dtype),
        };
        Err(Error::unsupported(&self.files[stored.file].path, reason))
    }

    fn find(&self, name: &str, shape: &[usize], folder: &Path) -> Result<&Stored, Error> {
        self.find_any(name, &[shape], folder)
    }

    /// The tensor of that name, of one of these shapes.
    fn find_any<S: AsRef<[usize]>>(&self, name: &str, shapes: &[S], folder: &Path) -> Result<&Stored, Error> {
        let Some(stored) = self.tensors.get(name) else {
            return Err(Error::checkpoint(folder, format!("has no tensor `{name}`")));
        };
        if !shapes.iter().any(|shape| shape.as_ref() == stored.shape) {
            let shapes: Vec<String> = shapes.iter().map(|shape| format!("{:?}", shape.as_ref())).collect();
            let reason = format!("tensor `{name}` has shape {:?}, not {}", stored.shape, shapes.join(" or "));
            return Err(Error::checkpoint(&self.files[stored.file].path, reason));
        }
        Ok(stored)
    }

    /// The matrix of a quantised linear layer, `[outputs, inputs]`, every number and scale of it looked at the first time.
    pub(super) fn quantised(
        &self,
        module: &str,
        scheme: Scheme,
        [outputs, inputs]: [usize; 2],
        folder: &Path,
    ) -> Result<StoredMatrix<'_>, Error> {
        let name = |rest: &str| format!("{module}.{rest}");
        let e4m3 = safetensors::Dtype::F8_E4M3;
        match scheme {
            Scheme::Fp8 | Scheme::Fp8WeightsOnly => {
                let weights = self.bytes(&name("weight"), e4m3, &[outputs, inputs], folder)?;
                let scales = self.numbers(&name("weight_scale"), &[&[outputs, 1], &[outputs]], folder)?;
                if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale >= 0.0)) {
                    return Err(self.bad_scale(&name("weight_scale"), *scale));
                }
                Ok(StoredMatrix::Fp8(Fp8Matrix { weights, scales, rounds_inputs: scheme == Scheme::Fp8 }))
            }
            Scheme::Nvfp4(layout) => {
                let names = layout.names();
                let packed = self.bytes(&name(names.packed), safetensors::Dtype::U8, &[outputs, inputs / 2], folder)?;
                let scales = self.bytes(&name("weight_scale"), e4m3, &[outputs, inputs / NVFP4_GROUP], folder)?;
                if let Some(scale) = scales.iter().find(|scale| **scale & 0x80 != 0) {
                    return Err(self.bad_scale(&name("weight_scale"), E4M3[usize::from(*scale)]));
                }
                let global_scale = self.multiplier(&name(names.global_scale), layout, folder)?;
                let input_scale = self.input_scale(module, layout, folder)?;
                Ok(StoredMatrix::Nvfp4(Nvfp4Matrix { packed, scales, global_scale, input_scale }))
            }
        }
    }

    /// What the scales of rounded inputs are multiplied by, where the checkpoint says.
    pub(super) fn input_scale(&self, module: &str, layout: Nvfp4Layout, folder: &Path) -> Result<Option<f32>, Error> {
        let name = format!("{module}.{}", layout.names().input_scale);
        self.contains(&name).then(|| self.multiplier(&name, layout, folder)).transpose()
    }

    /// One of an NVFP4 matrix's single scales, as a number to multiply by.
    fn multiplier(&self, name: &str, layout: Nvfp4Layout, folder: &Path) -> Result<f32, Error> {
        let number = self.numbers(name, &[&[1], &[]], folder)?[0];
        let multiplier = match layout {
            Nvfp4Layout::CompressedTensors => 1.0 / number,
            Nvfp4Layout::ModelOpt => number,
        };
        let usable = multiplier.is_finite() && multiplier > 0.0;
        if usable { Ok(multiplier) } else { Err(self.bad_scale(name, number)) }
    }

    fn bad_scale(&self, name: &str, scale: f32) -> Error {
        let path = self.tensors.get(name).map(|stored| self.files[stored.file].path.clone()).unwrap_or_default();
        Error::checkpoint(&path, format!("tensor `{name}` holds the scale {scale}, which scales nothing"))
    }

    /// The bytes of a tensor of that format and shape; those of E4M3 without NaN.
    fn bytes(&self, name: &str, dtype: safetensors::Dtype, shape: &[usize], folder: &Path) -> Result<&[u8], Error> {
        let stored = self.find(name, shape, folder)?;
        let path = &self.files[stored.file].path;
        if stored.dtype != dtype {
            return Err(Error::unsupported(path, format!("tensor `{name}` is stored as {:?}", stored.dtype)));
        }
        let bytes = self.raw(stored);
        let finite = || dtype != safetensors::Dtype::F8_E4M3 || !any_e4m3_nan(bytes);
        if !*stored.finite.get_or_init(finite) {
            return Err(Error::checkpoint(path, format!("tensor `{name}` holds a value that is not a number")));
        }
        Ok(bytes)
    }

    /// A tensor of plain numbers of one of these shapes, widened. They need not be finite.
    fn numbers(&self, name: &str, shapes: &[&[usize]], folder: &Path) -> Result<Vec<f32>, Error> {
        let stored = self.find_any(name, shapes, folder)?;
        match self.view(stored) {
            Some(view) => Ok(view.to_f32()),
            None => {
                let path = &self.files[stored.file].path;
                Err(Error::unsupported(path, format!("tensor `{name}` is stored as {:?}", stored.dtype)))
            }
        }
    }

    /// A tensor of exactly this shape, all of its elements finite.
    pub(super) fn tensor(&self, name: &str, shape: &[usize], folder: &Path) -> Result<TensorView<'_>, Error> {
        let stored = self.find(name, shape, folder)?;
        let path = &self.files[stored.file].path;
        let Some(view) = self.view(stored) else {
            return Err(Error::unsupported(path, format!("tensor `{name}` is stored as {:?}", stored.dtype)));
        };
        if !*stored.finite.get_or_init(|| view.check_finite()) {
            return Err(Error::checkpoint(path, format!("tensor `{name}` holds a value that is not finite")));
        }
        Ok(view)
    }

    /// A tensor in a plain format.
    fn view<'a>(&'a self, stored: &'a Stored) -> Option<TensorView<'a>> {
        let bytes = self.raw(stored);
        let data = match Dtype::of(stored.dtype)? {
            Dtype::F32 => WeightData::F32(numbers(bytes, &stored.copy)),
            Dtype::Bf16 => WeightData::Bf16(numbers(bytes, &stored.copy)),
            Dtype::F16 => WeightData::F16(numbers(bytes, &stored.copy)),
        };
        Some(TensorView { data, shape: &stored.shape })
    }

    /// The number format in which a tensor is stored, if it is a plain one.
    pub(super) fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).and_then(|stored| Dtype::of(stored.dtype))
    }

    fn raw(&self, stored: &Stored) -> &[u8] {
        &self.files[stored.file].bytes()[stored.range.clone()]
    }
}

/// A tensor that the model asks for.
pub(super) struct Wanted {
    name: String,
    format: Format,
    /// Any of these.
    shapes: Vec<Vec<usize>>,
}

enum Format {
    /// Any plain format.
    Numbers,
    Stored(safetensors::Dtype),
}

impl Wanted {
    /// In any plain format.
    pub(super) fn plain(name: String, shape: &[usize]) -> Self {
        Self::numbers(name, vec![shape.to_vec()])
    }

    /// In any plain format, in any of these shapes.
    pub(super) fn numbers(name: String, shapes: Vec<Vec<usize>>) -> Self {
        Self { name, format: Format::Numbers, shapes }
    }

    /// In this format.
    pub(super) fn stored(name: String, dtype: safetensors::Dtype, shape: &[usize]) -> Self {
        Self { name, format: Format::Stored(dtype), shapes: vec![shape.to_vec()] }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.format, Format::Numbers)
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
