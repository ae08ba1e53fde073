//! `config.json`: the model's shape, and what it knows beyond the published architecture.

use std::path::Path;

use serde_json::json;

use super::layers::{LayerConfig, read_layers};
use super::object::Object;
use super::quantised::Quantisation;
use super::tensors::Dtype;
use crate::Error;
use crate::prompt::LAYOUT_VERSION;

/// More parameters than this are taken for a damaged file.
const PARAMETER_LIMIT: u128 = 1 << 44;

/// A stack of layers is never deeper than this; the list of its tensors stays small.
const LAYER_LIMIT: usize = 4096;

/// The shape of a model. Every value has been checked: products of sizes that stand in a tensor's shape do not
/// overflow, and every id is below `vocab_size`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelConfig {
    pub(crate) vocab_size: usize,
    pub(crate) hidden: usize,
    pub(crate) layers: Vec<LayerConfig>,
    /// Width of the dense gated MLP in each layer, and of the self-conditioning one.
    pub(crate) mlp_intermediate: usize,
    pub(crate) experts: usize,
    pub(crate) experts_per_token: usize,
    pub(crate) expert_intermediate: usize,
    pub(crate) rms_norm_eps: f32,
    pub(crate) logit_soft_cap: f32,
    pub(crate) canvas_length: usize,
    /// Positions that the model was made for. The arithmetic does not depend on it.
    pub(crate) max_positions: usize,
    pub(crate) pad_token_id: Option<u32>,
    pub(crate) bos_token_id: Option<u32>,
    pub(crate) eos_token_ids: Vec<u32>,
    /// The dtype that the file says it is computed in, where it says so.
    pub(crate) dtype: Option<Dtype>,
    /// Which matrices are quantised, and how, where the file says so.
    pub(crate) quantisation: Option<Quantisation>,
    pub(crate) lacuna: LacunaConfig,
}

/// What a checkpoint knows beyond the published architecture.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LacunaConfig {
    pub(crate) noise: Noise,
    /// The token of a hole position that holds no text.
    pub(crate) delete_token_id: Option<u32>,
    /// The layout of text around a hole that the checkpoint was trained with; where there is one, it is one
    /// that this engine implements.
    pub(crate) layout_version: Option<u32>,
    /// The odds of what the document repeats against the model, where either could be right: by how much the one is to
    /// be believed more than the other. What the document repeats does not count where there is none.
    pub(crate) context_prior: Option<f64>,
    /// Where fills of several lengths are held against each other: what each token adds to the logarithm of a fill's
    /// probability. Without it the mean over the tokens decides.
    pub(crate) length_bonus: Option<f64>,
}

/// What an unknown canvas position holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Noise {
    /// Any token, each as likely as the other.
    #[default]
    Uniform,
    /// Always the mask token.
    Absorbing { mask_token_id: u32 },
}

impl ModelConfig {
    /// Reads and checks the text of a `config.json`; `path` is for messages.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut top = Object::parse(path, text)?;
        top.require("model_type", &json!("diffusion_gemma"))?;
        top.require("tie_word_embeddings", &json!(true))?;
        let quantisation = read_quantisation(&mut top)?;
        let dtype = read_dtype(&mut top)?;
        let canvas_length = top.optional_size("canvas_length", 1)?.unwrap_or(256);
        let lacuna = top.object("lacuna")?;
        let text = top.object("text_config")?.ok_or_else(|| top.missing("text_config"))?;
        top.ignore(IGNORED);
        top.finish()?;

        let mut config = read_text(text, canvas_length, dtype)?;
        config.quantisation = quantisation.or(config.quantisation);
        if let Some(lacuna) = lacuna {
            config.lacuna = read_lacuna(lacuna, config.vocab_size)?;
        }
        let parameters = config.parameters();
        if parameters > PARAMETER_LIMIT {
            let reason = format!("describes a model of {parameters} parameters, which cannot be meant");
            return Err(Error::checkpoint(path, reason));
        }
        Ok(config)
    }

    /// How many parameters the tensors of [`super::expected_tensors`] hold together.
    pub(crate) fn parameters(&self) -> u128 {
        let count = |shape: &Vec<usize>| shape.iter().map(|&size| size as u128).product::<u128>();
        super::expected_tensors(self).iter().map(|(_, shape)| count(shape)).sum()
    }
}

/// Keys of the file and of its `text_config` that do not bear on the arithmetic of text: names, ids of
/// image tokens, training, and what only other classes of the reference implementation read.
const IGNORED: &[&str] = &[
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "audio_config",
    "audio_token_id",
    "attn_implementation",
    "boa_token_id",
    "boi_token_id",
    "bos_token_id",
    "chunk_size_feed_forward",
    "eoa_token_id",
    "eoa_token_index",
    "eoi_token_id",
    "eos_token_id",
    "experts_implementation",
    "id2label",
    "image_token_id",
    "initializer_range",
    "is_encoder_decoder",
    "label2id",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "problem_type",
    "return_dict",
    "transformers_version",
    "use_cache",
    "video_token_id",
    "vision_config",
    "vision_soft_tokens_per_image",
];

/// Keys of `text_config` that the reference implementation keeps and never reads.
const IGNORED_IN_TEXT: &[&str] = &[
    "attention_dropout",
    "attention_k_eq_v",
    "dtype",
    "model_type",
    "query_pre_attn_scalar",
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "tie_word_embeddings",
    "torch_dtype",
    "vocab_size_per_layer_input",
];

fn read_text(mut text: Object, canvas_length: usize, dtype: Option<Dtype>) -> Result<ModelConfig, Error> {
    let vocab_size = text.size("vocab_size")?;
    let hidden = text.size("hidden_size")?;
    let mlp_intermediate = text.size("intermediate_size")?;
    let experts = text.size("num_experts")?;
    let experts_per_token = text.size("top_k_experts")?;
    if experts_per_token > experts {
        let reason = format!("text_config.top_k_experts is {experts_per_token}, but there are {experts} experts");
        return Err(text.refuse(reason));
    }
    let expert_intermediate = text.size("moe_intermediate_size")?;
    text.default("rms_norm_eps", json!(1e-6));
    let rms_norm_eps = text
        .number("rms_norm_eps", "a number above 0 and below 1", |eps| eps as f32 > 0.0 && eps < 1.0)?
        .ok_or_else(|| text.missing("rms_norm_eps"))?;
    text.default("final_logit_softcapping", json!(30.0));
    let logit_soft_cap = text
        .number("final_logit_softcapping", "a number above 0", |cap| cap as f32 > 0.0 && (cap as f32).is_finite())?
        .ok_or_else(|| text.missing("final_logit_softcapping"))?;
    text.default("max_position_embeddings", json!(131_072));
    let max_positions = text.size("max_position_embeddings")?;
    text.default("pad_token_id", json!(0));
    let pad_token_id = text.token_id("pad_token_id", vocab_size)?;
    text.default("bos_token_id", json!(2));
    let bos_token_id = text.token_id("bos_token_id", vocab_size)?;
    text.default("eos_token_id", json!(1));
    let eos_token_ids = text.token_ids("eos_token_id", vocab_size)?.unwrap_or_default();

    let depth = text.size("num_hidden_layers")?;
    if depth > LAYER_LIMIT {
        return Err(text.refuse(format!("text_config.num_hidden_layers is {depth}, more than {LAYER_LIMIT}")));
    }
    let layers = read_layers(&mut text, depth)?;

    text.require("hidden_activation", &json!("gelu_pytorch_tanh"))?;
    text.require("attention_bias", &json!(false))?;
    text.require("enable_moe_block", &json!(true))?;
    text.require("hidden_size_per_layer_input", &json!(0))?;
    text.require("num_kv_shared_layers", &json!(0))?;
    text.require("use_double_wide_mlp", &json!(false))?;
    // Concerns image tokens alone, which this engine never sees.
    text.require("use_bidirectional_attention", &json!("vision"))?;
    let quantisation = read_quantisation(&mut text)?;
    text.ignore(IGNORED);
    text.ignore(IGNORED_IN_TEXT);
    text.finish()?;

    Ok(ModelConfig {
        vocab_size,
        hidden,
        layers,
        mlp_intermediate,
        experts,
        experts_per_token,
        expert_intermediate,
        rms_norm_eps: rms_norm_eps as f32,
        logit_soft_cap: logit_soft_cap as f32,
        canvas_length,
        max_positions,
        pad_token_id,
        bos_token_id,
        eos_token_ids,
        dtype,
        quantisation,
        lacuna: LacunaConfig::default(),
    })
}

/// Under either of the names that the key has had.
fn read_quantisation(object: &mut Object) -> Result<Option<Quantisation>, Error> {
    let mut read = None;
    for key in ["quantization_config", "compression_config"] {
        if let Some(quantisation) = object.object(key)? {
            read = read.or(Some(Quantisation::read(quantisation)?));
        }
    }
    Ok(read)
}

fn read_dtype(top: &mut Object) -> Result<Option<Dtype>, Error> {
    // The second spelling is the older one, and yields to the first.
    let keys = ["dtype", "torch_dtype"];
    let mut dtype = None;
    for key in keys {
        let read = match top.text(key)?.as_deref() {
            None => None,
            Some("float32") => Some(Dtype::F32),
            Some("bfloat16") => Some(Dtype::Bf16),
            Some("float16") => Some(Dtype::F16),
            Some(other) => return Err(top.unsupported(key, &json!(other))),
        };
        dtype = dtype.or(read);
    }
    Ok(dtype)
}

fn read_lacuna(mut object: Object, vocabulary: usize) -> Result<LacunaConfig, Error> {
    let mask_token_id = object.token_id("mask_token_id", vocabulary)?;
    let noise = match (object.text("noise")?.as_deref(), mask_token_id) {
        (None | Some("uniform"), None) => Noise::Uniform,
        (None | Some("uniform"), Some(_)) => {
            return Err(object.refuse("lacuna.mask_token_id is given, but lacuna.noise is not \"absorbing\""));
        }
        (Some("absorbing"), Some(mask_token_id)) => Noise::Absorbing { mask_token_id },
        (Some("absorbing"), None) => return Err(object.missing("mask_token_id")),
        (Some(other), _) => return Err(object.unsupported("noise", &json!(other))),
    };
    let delete_token_id = object.token_id("delete_token_id", vocabulary)?;
    if delete_token_id.is_some() && delete_token_id == mask_token_id {
        return Err(object.refuse("lacuna.delete_token_id and lacuna.mask_token_id are the same"));
    }
    let layout_version = match object.optional_size("layout_version", 0)? {
        Some(version) if version == LAYOUT_VERSION as usize => Some(LAYOUT_VERSION),
        Some(other) => return Err(object.unsupported("layout_version", &json!(other))),
        None => None,
    };
    let context_prior = object.number("context_prior", "a positive number", |odds| odds > 0.0)?;
    let length_bonus = object.number("length_bonus", "a number", |_| true)?;
    object.finish()?;
    Ok(LacunaConfig { noise, delete_token_id, layout_version, context_prior, length_bonus })
}
