//! What a model needs of a card's memory, before anything is loaded.
//!
//! Entry points: [`needs`] for a checkpoint as it is and as it could be, [`refusal`] where that is too much, and [`PUBLISHED`], the
//! checkpoints that can be had.

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::backend::{CARD_ENCODE_ROWS, CARD_HEAD_ROWS};
use crate::bench::synthetic::shape;
use crate::checkpoint::quantised::NVFP4_GROUP;
use crate::checkpoint::{Checkpoint, Dtype, ModelConfig, Network, expected_tensors};
use crate::{Error, ModelSource};

/// How the weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Every matrix in two bytes a weight.
    Bf16,
    /// Attention and feed-forward networks in one byte a weight, the rest in BF16.
    Fp8,
    /// Feed-forward networks in four bits a weight and a scale for every 16, the rest in BF16.
    Nvfp4,
    /// The experts so, the rest in BF16.
    Nvfp4Experts,
}

impl Storage {
    /// All of them, the largest first.
    pub const ALL: [Self; 4] = [Self::Bf16, Self::Fp8, Self::Nvfp4Experts, Self::Nvfp4];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Nvfp4 => "nvfp4",
            Self::Nvfp4Experts => "nvfp4 of the experts alone",
        }
    }
}

/// Tokens of a prompt that there must be room for.
pub const PROMPT_TOKENS: usize = 8192;

/// Bytes of a card, by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Weights and their scales, those for images left out.
    pub weights_bytes: u64,
    /// Keys and values of one prompt.
    pub cache_bytes: u64,
    /// Activations of a canvas or of a block of the prompt, the head's among them.
    pub workspace_bytes: u64,
}

impl Need {
    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        self.weights_bytes + self.cache_bytes + self.workspace_bytes
    }
}

/// What a checkpoint needs, and what it would need if it were stored in other ways.
#[derive(Clone, Debug, Serialize)]
pub struct Needs {
    /// Tokens of the prompt that is counted.
    pub prompt_tokens: usize,
    /// As the checkpoint is.
    pub as_stored: Need,
    /// In every way, the largest first.
    pub stored_otherwise: Vec<(Storage, Need)>,
}

/// A checkpoint that can be downloaded.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Published {
    /// Its name on the Hugging Face Hub.
    pub repository: &'static str,
    /// How its weights are stored.
    pub storage: Storage,
    /// 10^9 bytes on the disk.
    pub disk_gb: f64,
}

/// The published checkpoints of DiffusionGemma that this engine loads.
pub const PUBLISHED: [Published; 4] = [
    Published { repository: "google/diffusiongemma-26B-A4B-it", storage: Storage::Bf16, disk_gb: 51.6 },
    Published { repository: "RedHatAI/diffusiongemma-26B-A4B-it-FP8-dynamic", storage: Storage::Fp8, disk_gb: 27.2 },
    Published { repository: "nvidia/diffusiongemma-26B-A4B-it-NVFP4", storage: Storage::Nvfp4Experts, disk_gb: 18.8 },
    Published { repository: "RedHatAI/diffusiongemma-26B-A4B-it-NVFP4", storage: Storage::Nvfp4, disk_gb: 18.3 },
];

impl Published {
    /// What it needs of a card, with a prompt of [`PROMPT_TOKENS`].
    pub fn need(&self) -> Result<Need, Error> {
        let config = shape("diffusiongemma-26b-a4b")?;
        Ok(need(&config, weights_bytes(&config, self.storage), PROMPT_TOKENS))
    }
}

/// Reads the headers of a checkpoint, and nothing of its weights.
pub fn needs(model: &ModelSource) -> Result<Needs, Error> {
    Ok(needs_of(&crate::local::open_checkpoint(model)?))
}

pub(crate) fn needs_of(checkpoint: &Checkpoint) -> Needs {
    let config = &checkpoint.config;
    let prompt_tokens = PROMPT_TOKENS.min(config.max_positions);
    let otherwise = |storage| (storage, need(config, weights_bytes(config, storage), prompt_tokens));
    Needs {
        prompt_tokens,
        as_stored: need(config, bytes_on_card(checkpoint), prompt_tokens),
        stored_otherwise: Storage::ALL.into_iter().map(otherwise).collect(),
    }
}

/// Why a checkpoint cannot go where so many bytes are free: the numbers, and the ways of storing it that would do. `None` where it
/// fits.
pub fn refusal(needs: &Needs, free_bytes: u64) -> Option<String> {
    let Need { weights_bytes, cache_bytes, workspace_bytes } = needs.as_stored;
    let total = needs.as_stored.total_bytes();
    if total <= free_bytes {
        return None;
    }
    let gb = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let fits = |(_, need): &&(Storage, Need)| need.total_bytes() <= free_bytes;
    let fitting: Vec<String> = needs
        .stored_otherwise
        .iter()
        .filter(fits)
        .map(|(storage, need)| format!("{} ({})", storage.name(), gb(need.total_bytes())))
        .collect();
    let way_out = if fitting.is_empty() {
        "no way of storing it would do; use --device cpu".to_owned()
    } else {
        format!("what would fit: {}; lacuna quantize makes such a checkpoint", fitting.join(", "))
    };
    Some(format!(
        "the model needs {} (weights {}, a prompt of {} tokens {}, workspace {}), and {} are free; {way_out}",
        gb(total),
        gb(weights_bytes),
        needs.prompt_tokens,
        gb(cache_bytes),
        gb(workspace_bytes),
        gb(free_bytes)
    ))
}

/// Bytes of a number that activations, keys and values are kept in beside BF16 weights.
const HALF: u64 = 2;
const F32: u64 = 4;

fn need(config: &ModelConfig, weights_bytes: u64, prompt_tokens: usize) -> Need {
    Need { weights_bytes, cache_bytes: cache_bytes(config, prompt_tokens), workspace_bytes: workspace_bytes(config) }
}

/// What the checkpoint's tensors take on a card: as they are stored, but for plain matrices of which some are not BF16; then
/// all of them are F32.
fn bytes_on_card(checkpoint: &Checkpoint) -> u64 {
    let plain = !checkpoint.is_quantised();
    let all_bf16 = checkpoint.plain_matrices().iter().all(|name| checkpoint.stored_dtype(name) == Some(Dtype::Bf16));
    if plain && !all_bf16 { checkpoint.parameters() * F32 } else { checkpoint.stored_bytes() }
}

/// What the tensors of a model take, stored in one way. Vectors are widened to F32.
pub(crate) fn weights_bytes(config: &ModelConfig, storage: Storage) -> u64 {
    let bytes = |(name, shape): &(String, Vec<usize>)| {
        let numbers = shape.iter().map(|size| *size as u64).product::<u64>();
        let Some((inputs, [_, ..])) = shape.split_last() else { return numbers * F32 };
        let outputs = numbers / *inputs as u64;
        let network = Network::of(name);
        let in_four_bits = match storage {
            Storage::Bf16 | Storage::Fp8 => false,
            Storage::Nvfp4 => matches!(network, Some(Network::FeedForward | Network::Experts)),
            Storage::Nvfp4Experts => network == Some(Network::Experts),
        };
        if storage == Storage::Fp8 && network.is_some() {
            numbers + outputs * F32
        } else if in_four_bits && inputs.is_multiple_of(NVFP4_GROUP) {
            numbers / 2 + numbers / NVFP4_GROUP as u64
        } else {
            numbers * HALF
        }
    };
    expected_tensors(config).iter().map(bytes).sum()
}

/// Keys and values of every layer for a prompt of so many tokens. A cache grows by half, so it may hold room for half as many
/// tokens more.
fn cache_bytes(config: &ModelConfig, tokens: usize) -> u64 {
    let width: u64 = config.layers.iter().map(|layer| (layer.kv_heads * layer.head_dim) as u64).sum();
    2 * width * HALF * (tokens as u64 * 3 / 2)
}

/// For all that does not grow with the model: partial sums of products, lists, and what is lost between buffers.
pub(crate) const FIXED_BYTES: u64 = 256 << 20;

/// Activations; an upper bound.
pub(crate) fn workspace_bytes(config: &ModelConfig) -> u64 {
    let rows = (CARD_ENCODE_ROWS as u64).max(config.canvas_length as u64);
    let hidden = config.hidden as u64;
    let widest =
        |width: fn(&crate::checkpoint::LayerConfig) -> usize| config.layers.iter().map(width).max().unwrap_or(0) as u64;
    let queries = widest(|layer| layer.heads * layer.head_dim);
    let keys = widest(|layer| layer.kv_heads * layer.head_dim);
    let chosen = config.experts_per_token as u64;
    let expert_width = config.expert_intermediate as u64;
    let a_row = hidden * (4 * F32 + 4 * HALF)
        + (queries + 2 * keys) * F32
        + 2 * (queries + keys) * HALF
        + config.mlp_intermediate as u64 * 2 * HALF
        + config.experts as u64 * F32
        + chosen * (expert_width * 2 * HALF + hidden * F32);
    rows * a_row + CARD_HEAD_ROWS as u64 * config.vocab_size as u64 * F32 + FIXED_BYTES
}
