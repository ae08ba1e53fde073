//! `generation_config.json`: how a canvas is denoised.

use std::path::Path;

use serde_json::json;

use super::object::Object;
use crate::Error;

/// How a canvas is denoised. Every value has been checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GenerationConfig {
    /// At least 1.
    pub(crate) max_denoising_steps: usize,
    /// Nats.
    pub(crate) entropy_bound: f32,
    /// Temperature towards the end, at least 0.
    pub(crate) t_min: f32,
    /// Temperature at the first step, above `t_min`.
    pub(crate) t_max: f32,
    /// For how many steps before this one the argmax canvas must have been the same.
    pub(crate) stability_threshold: usize,
    /// Nats.
    pub(crate) confidence_threshold: f32,
    pub(crate) eos_token_ids: Vec<u32>,
}

impl GenerationConfig {
    /// The published values, for a model that has no file of its own.
    pub(crate) fn published(eos_token_ids: &[u32]) -> Self {
        Self {
            max_denoising_steps: 48,
            entropy_bound: 0.1,
            t_min: 0.4,
            t_max: 0.8,
            stability_threshold: 1,
            confidence_threshold: 0.005,
            eos_token_ids: eos_token_ids.to_vec(),
        }
    }

    /// Reads and checks the text of a `generation_config.json`; what it leaves unset is as published, and the
    /// ids that end a text are then the model's own. `path` is for messages.
    pub(crate) fn parse(path: &Path, text: &str, vocabulary: usize, eos_token_ids: &[u32]) -> Result<Self, Error> {
        let mut file = Object::parse(path, text)?;
        let mut config = Self::published(eos_token_ids);
        if let Some(steps) = file.optional_size("max_denoising_steps", 1)? {
            config.max_denoising_steps = steps;
        }
        if let Some(mut sampler) = file.object("sampler_config")? {
            sampler.require("_cls_name", &json!("EntropyBoundSamplerConfig"))?;
            config.entropy_bound =
                positive(&mut sampler, "entropy_bound")?.ok_or_else(|| sampler.missing("entropy_bound"))?;
            sampler.finish()?;
        }
        let temperature = |value: f64| (0.0..=1e6).contains(&value);
        let expected = "a number from 0 to 1e6";
        if let Some(value) = file.number("t_min", expected, temperature)? {
            config.t_min = value as f32;
        }
        if let Some(value) = file.number("t_max", expected, temperature)? {
            config.t_max = value as f32;
        }
        // The smallest temperature in use must still be a number to divide by.
        let smallest = config.t_min + (config.t_max - config.t_min) / config.max_denoising_steps as f32;
        if config.t_min >= config.t_max || smallest < 1e-6 {
            let reason = format!(
                "t_min {} and t_max {} do not make a falling row of temperatures above 0",
                config.t_min, config.t_max
            );
            return Err(file.refuse(reason));
        }
        if let Some(steps) = file.optional_size("stability_threshold", 0)? {
            config.stability_threshold = steps;
        }
        if let Some(threshold) = positive(&mut file, "confidence_threshold")? {
            config.confidence_threshold = threshold;
        }
        if let Some(ids) = file.token_ids("eos_token_id", vocabulary)? {
            config.eos_token_ids = ids;
        }
        file.ignore(IGNORED);
        file.finish()?;
        Ok(config)
    }
}

/// Keys that say how much to generate and how to keep the cache, which the engine decides for itself.
const IGNORED: &[&str] = &[
    "_commit_hash",
    "_from_model_config",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "disable_compile",
    "max_length",
    "max_new_tokens",
    "pad_token_id",
    "return_dict_in_generate",
    "transformers_version",
];

fn positive(object: &mut Object, key: &str) -> Result<Option<f32>, Error> {
    let value = object.number(key, "a number above 0", |value| value as f32 > 0.0 && (value as f32).is_finite())?;
    Ok(value.map(|value| value as f32))
}
