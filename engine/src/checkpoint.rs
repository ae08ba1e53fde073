//! A Hugging Face style checkpoint: its configuration, its weights where they lie, and its tokenizer.
//!
//! Entry points: [`Checkpoint::open_folder`] and [`Checkpoint::from_static`]. Everything in the files is foreign:
//! whatever they hold, the answer is a checkpoint that the engine can run or one clear sentence.
//!
//! Invariants of an open checkpoint:
//! - It has exactly the tensors that its configuration asks for, each of the right shape: in F32, BF16 or F16, or for the linear
//!   layers that the configuration says are quantised, in FP8 or NVFP4. Experts are fused or stand one by one.
//! - No key of its configuration was overlooked: each is implemented, known not to matter, or refused.

mod config;
mod expected;
mod files;
mod generation;
mod layers;
mod linears;
mod mapped;
#[cfg(test)]
pub(crate) mod mutation;
mod object;
pub(crate) mod quantised;
mod quantiser;
#[cfg(test)]
pub(crate) mod sample;
mod store;
mod tensors;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub(crate) use config::{ModelConfig, Noise};
pub(crate) use expected::{ENCODER, SHARED, expected_tensors};
pub(crate) use generation::GenerationConfig;
pub(crate) use layers::{LayerConfig, LayerKind};
pub(crate) use linears::{ExpertPart, Network};
pub(crate) use object::{one_line, show};
pub(crate) use quantiser::{PlainMatrix, PlainTensor, Quantiser};
pub(crate) use tensors::{Dtype, TensorView, WeightData};

use linears::Linears;
use object::Object;
use quantised::{HF_QUANT_CONFIG, Quantisation, StoredMatrix};
use store::TensorStore;

use crate::Error;
use crate::tokenizer::Tokenizer;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// Stands for the folder of a checkpoint inside the program, in messages.
const EMBEDDED: &str = "embedded model";

/// An open checkpoint.
pub(crate) struct Checkpoint {
    pub(crate) config: ModelConfig,
    pub(crate) generation: GenerationConfig,
    /// The folder, or a name that stands for it in messages.
    path: PathBuf,
    tensors: TensorStore,
    linears: Linears,
    /// `None` where it stands in the folder.
    tokenizer: Option<&'static [u8]>,
}

impl Checkpoint {
    /// Opens a folder with a `config.json`, a `model.safetensors` or an index of several such files, and
    /// optionally a `generation_config.json` and a `tokenizer.json`.
    ///
    /// The weights are mapped, not read: nobody may change the files while the checkpoint is open.
    pub(crate) fn open_folder(path: &Path) -> Result<Self, Error> {
        let metadata = path.metadata().map_err(|source| Error::io(path, source))?;
        if !metadata.is_dir() {
            return Err(Error::checkpoint(path, format!("is not a folder; name the one that holds {CONFIG}")));
        }
        let config = files::read_text(&path.join(CONFIG))?;
        let config = config.ok_or_else(|| Error::checkpoint(path, format!("has no {CONFIG}")))?;
        let generation = files::read_text(&path.join(GENERATION))?;
        let (mut config, generation) = parse(path, &config, generation.as_deref())?;
        if config.quantisation.is_none() {
            let path = path.join(HF_QUANT_CONFIG);
            let text = files::read_text(&path)?;
            config.quantisation = text.map(|text| Quantisation::parse_hf_quant_config(&path, &text)).transpose()?;
        }
        let tensors = TensorStore::open(files::find_weights(path)?)?;
        Self::assemble(path, config, generation, tensors, None)
    }

    /// Opens a checkpoint from the contents of its files, which live as long as the program.
    pub(crate) fn from_static(
        config: &'static str,
        generation: &'static str,
        tokenizer: &'static [u8],
        tensors: &'static [u8],
    ) -> Result<Self, Error> {
        let path = Path::new(EMBEDDED);
        let (config, generation) = parse(path, config, Some(generation))?;
        let tensors = TensorStore::from_static(path, tensors)?;
        Self::assemble(path, config, generation, tensors, Some(tokenizer))
    }

    fn assemble(
        path: &Path,
        config: ModelConfig,
        generation: GenerationConfig,
        tensors: TensorStore,
        tokenizer: Option<&'static [u8]>,
    ) -> Result<Self, Error> {
        let linears = linears::examine(&tensors, &config, config.quantisation.as_ref(), path)?;
        Ok(Self { config, generation, path: path.to_path_buf(), tensors, linears, tokenizer })
    }

    /// The tensor of that name, of exactly that shape, with all its elements finite. The elements are looked at
    /// the first time a tensor is asked for.
    ///
    /// The matrices of linear layers are better asked for by [`Self::matrix`] and [`Self::expert`]: those of a quantised layer, and
    /// those of experts that stand one by one, are refused here.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<TensorView<'_>, Error> {
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let elsewhere = self.linears.split_experts && !self.tensors.contains(name);
        if elsewhere || self.linears.scheme(module).is_some() {
            let reason =
                format!("`{name}` as one tensor, where it is quantised or stands expert by expert; use --device cpu");
            return Err(Error::unsupported(&self.path, reason));
        }
        self.tensors.tensor(name, shape, &self.path)
    }

    /// The matrix `[outputs, inputs]` of a linear layer as it is stored, all of its numbers finite. `module` is its name in the
    /// decoder, without `.weight`.
    pub(crate) fn matrix(&self, module: &str, outputs: usize, inputs: usize) -> Result<StoredMatrix<'_>, Error> {
        match self.scheme(module) {
            Some(scheme) => self.tensors.quantised(module, scheme, [outputs, inputs], &self.path),
            None => {
                let view = self.tensors.tensor(&format!("{module}.weight"), &[outputs, inputs], &self.path)?;
                Ok(StoredMatrix::Plain(view.data))
            }
        }
    }

    /// How the matrix of a linear layer is quantised, if it is. `module` is its name in the decoder, without `.weight`.
    pub(crate) fn scheme(&self, module: &str) -> Option<quantised::Scheme> {
        self.linears.scheme(module)
    }

    /// What the scales of an NVFP4 matrix's rounded inputs are multiplied by, where it is such a matrix and the checkpoint says; finite and above
    /// zero. `module` is its name in the decoder, without `.weight`.
    #[allow(dead_code, reason = "the processor has them from the matrices, and is the only backend of some builds")]
    pub(crate) fn input_scale(&self, module: &str) -> Result<Option<f32>, Error> {
        match self.scheme(module) {
            Some(quantised::Scheme::Nvfp4(layout)) => self.tensors.input_scale(module, layout, &self.path),
            _ => Ok(None),
        }
    }

    /// Whether what a tensor of all experts would hold stands expert by expert.
    pub(crate) fn has_split(&self, fused: &str) -> bool {
        linears::split_experts(&self.tensors, fused).is_some()
    }

    /// The matrices that are stored in a plain format.
    pub(crate) fn plain_matrices(&self) -> Vec<String> {
        let is_plain = |name: &String| self.stored_dtype(name).is_some();
        let matrices = expected_tensors(&self.config).into_iter().filter(|(_, shape)| shape.len() > 1);
        let single = matrices.flat_map(|(name, _)| match linears::split_experts(&self.tensors, &name) {
            None => vec![name],
            Some((prefix, parts)) => {
                let of_expert =
                    |expert| parts.iter().map(move |part| format!("{prefix}{expert}.{}.weight", part.name()));
                (0..self.config.experts).flat_map(of_expert).collect()
            }
        });
        single.filter(is_plain).collect()
    }

    /// What to say where matrices that one product takes together are stored in different ways.
    pub(crate) fn mixed(&self, modules: &str) -> Error {
        let reason = format!("`{modules}` are quantised in different ways, though they are multiplied as one matrix");
        Error::unsupported(&self.path, reason)
    }

    /// One of an expert's matrices as it is stored, fused with the others' or not: gate and up are `[width, hidden]`, down is
    /// `[hidden, width]`.
    pub(crate) fn expert(&self, layer: usize, expert: usize, part: ExpertPart) -> Result<StoredMatrix<'_>, Error> {
        let prefix = format!("{SHARED}layers.{layer}.experts");
        let [outputs, inputs] = linears::expert_shape(&self.config, part);
        let fused = format!("{prefix}.{}", part.fused());
        if self.has_split(&fused) {
            return self.matrix(&format!("{prefix}.{expert}.{}", part.name()), outputs, inputs);
        }
        // Gate, then up.
        let (rows, first) = match part {
            ExpertPart::Gate => (2 * outputs, 0),
            ExpertPart::Up => (2 * outputs, outputs),
            ExpertPart::Down => (outputs, 0),
        };
        let view = self.tensors.tensor(&fused, &[self.config.experts, rows, inputs], &self.path)?;
        let block = (expert * rows + first) / outputs;
        Ok(StoredMatrix::Plain(view.data.row(block, outputs * inputs)))
    }

    /// The schemes that some layer is quantised in, each once; none in a plain checkpoint.
    #[cfg(test)]
    pub(crate) fn schemes(&self) -> Vec<quantised::Scheme> {
        let mut schemes: Vec<quantised::Scheme> = Vec::new();
        for scheme in self.linears.schemes() {
            if !schemes.contains(&scheme) {
                schemes.push(scheme);
            }
        }
        schemes
    }

    /// How many numbers the model's tensors hold, those for images left out.
    pub(crate) fn parameters(&self) -> u64 {
        // The configuration is refused long before this overflows.
        self.config.parameters() as u64
    }

    /// What embeddings are multiplied by: the root of the hidden size, rounded to the dtype that the
    /// configuration names, or else to the one that the embedding is stored in.
    pub(crate) fn embedding_scale(&self) -> f32 {
        let stored = self.stored_dtype(&format!("{SHARED}embed_tokens.weight"));
        let dtype = self.config.dtype.or(stored).unwrap_or(Dtype::F32);
        dtype.round((self.config.hidden as f64).sqrt())
    }

    /// Whether any matrix is quantised.
    pub(crate) fn is_quantised(&self) -> bool {
        self.linears.any_quantised()
    }

    /// Bytes of all tensors but those for images.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.tensors.text_bytes()
    }

    /// The format that a tensor is stored in.
    pub(crate) fn stored_dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.dtype(name)
    }

    /// Whether the folder has a template for messages, in a file of its own or beside the tokenizer. What it says is not
    /// looked at.
    pub(crate) fn has_chat_template(&self) -> Result<bool, Error> {
        if self.tokenizer.is_some() {
            return Ok(false);
        }
        if self.path.join(CHAT_TEMPLATE).is_file() {
            return Ok(true);
        }
        let path = self.path.join(TOKENIZER_CONFIG);
        let Some(text) = files::read_text(&path)? else { return Ok(false) };
        let template = Object::parse(&path, &text)?.take("chat_template");
        Ok(template.is_some_and(|template| !template.is_null()))
    }

    /// Reads the tokenizer, which a checkpoint needs only where text is to be filled.
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, Error> {
        let path = self.path.join(TOKENIZER);
        let json = match self.tokenizer {
            Some(json) => Cow::Borrowed(json),
            None => files::read_bytes(&path)?
                .map(Cow::Owned)
                .ok_or_else(|| Error::checkpoint(&self.path, format!("has no {TOKENIZER}")))?,
        };
        Tokenizer::from_json(&path, &json, self.config.vocab_size)
    }
}

fn parse(folder: &Path, config: &str, generation: Option<&str>) -> Result<(ModelConfig, GenerationConfig), Error> {
    let config = ModelConfig::parse(&folder.join(CONFIG), config)?;
    let generation = match generation {
        Some(text) => {
            GenerationConfig::parse(&folder.join(GENERATION), text, config.vocab_size, &config.eos_token_ids)?
        }
        None => GenerationConfig::published(&config.eos_token_ids),
    };
    Ok((config, generation))
}
