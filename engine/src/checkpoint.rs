//! A Hugging Face style checkpoint: its configuration, its weights where they lie, and its tokenizer.
//!
//! Entry points: [`Checkpoint::open_folder`] and [`Checkpoint::from_static`]. Everything in the files is foreign:
//! whatever they hold, the answer is a checkpoint that the engine can run or one clear sentence.
//!
//! Invariants of an open checkpoint:
//! - It has exactly the tensors that its configuration asks for, each of the right shape, in F32, BF16 or F16.
//! - No key of its configuration was overlooked: each is implemented, known not to matter, or refused.

mod config;
mod expected;
mod files;
mod generation;
mod layers;
mod mapped;
#[cfg(test)]
pub(crate) mod mutation;
mod object;
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
pub(crate) use object::{one_line, show};
pub(crate) use tensors::{Dtype, TensorView, WeightData};

use object::Object;
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
        let (config, generation) = parse(path, &config, generation.as_deref())?;
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
        tensors.check(&config, path)?;
        Ok(Self { config, generation, path: path.to_path_buf(), tensors, tokenizer })
    }

    /// The tensor of that name, of exactly that shape, with all its elements finite. The elements are looked at
    /// the first time a tensor is asked for.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<TensorView<'_>, Error> {
        self.tensors.tensor(name, shape, &self.path)
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
