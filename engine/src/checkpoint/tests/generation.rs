use std::path::Path;

use serde_json::{Value, json};

use super::message;
use crate::checkpoint::GenerationConfig;

fn parse(text: &Value) -> Result<GenerationConfig, crate::Error> {
    GenerationConfig::parse(Path::new("generation_config.json"), &text.to_string(), 24, &[1])
}

#[test]
fn what_is_unset_is_as_published() {
    let published = GenerationConfig {
        max_denoising_steps: 48,
        entropy_bound: 0.1,
        t_min: 0.4,
        t_max: 0.8,
        stability_threshold: 1,
        confidence_threshold: 0.005,
        eos_token_ids: vec![1],
    };
    assert_eq!(GenerationConfig::published(&[1]), published);
    assert_eq!(parse(&json!({})).unwrap(), published);
    let nulls = json!({
        "max_denoising_steps": null, "sampler_config": null, "t_min": null, "t_max": null,
        "stability_threshold": null, "confidence_threshold": null, "eos_token_id": null
    });
    assert_eq!(parse(&nulls).unwrap(), published);
}

#[test]
fn what_is_set_counts() {
    let all = json!({
        "max_denoising_steps": 12, "t_min": 0, "t_max": 1.5, "stability_threshold": 0,
        "sampler_config": {"entropy_bound": 0.25, "_cls_name": "EntropyBoundSamplerConfig"},
        "confidence_threshold": 0.5, "eos_token_id": [3, 4], "max_new_tokens": 256, "transformers_version": "5"
    });
    let expected = GenerationConfig {
        max_denoising_steps: 12,
        entropy_bound: 0.25,
        t_min: 0.0,
        t_max: 1.5,
        stability_threshold: 0,
        confidence_threshold: 0.5,
        eos_token_ids: vec![3, 4],
    };
    assert_eq!(parse(&all).unwrap(), expected);
}

#[test]
fn senseless_values_are_refused() {
    let cases = [
        (json!({"max_denoising_steps": 0}), "max_denoising_steps is 0, not a whole number from 1 to 16777216"),
        (json!({"t_min": -0.1}), "t_min is -0.1, not a number from 0 to 1e6"),
        (json!({"t_min": 0.9}), "t_min 0.9 and t_max 0.8 do not make a falling row of temperatures above 0"),
        (
            json!({"t_min": 0, "t_max": 1e-9}),
            "t_min 0 and t_max 0.000000001 do not make a falling row of temperatures above 0",
        ),
        (json!({"confidence_threshold": 0}), "confidence_threshold is 0, not a number above 0"),
        (json!({"stability_threshold": -1}), "stability_threshold is -1, not a whole number from 0 to 16777216"),
        (json!({"sampler_config": {}}), "sampler_config.entropy_bound is missing or null"),
        (json!({"sampler_config": {"entropy_bound": 0}}), "sampler_config.entropy_bound is 0, not a number above 0"),
        (
            json!({"sampler_config": {"entropy_bound": 1e300}}),
            "sampler_config.entropy_bound is 1e+300, not a number above 0",
        ),
        (
            json!({"sampler_config": {"entropy_bound": 1, "_cls_name": "Other"}}),
            "not supported: sampler_config._cls_name = \"Other\"",
        ),
        (json!({"eos_token_id": [24]}), "eos_token_id is 24, not a token id below the vocabulary's 24"),
        (json!({"temperature": 1}), "not supported: temperature = 1"),
    ];
    for (text, expected) in cases {
        let message = message(parse(&text), Path::new("elsewhere"));
        assert_eq!(message, format!("generation_config.json: {expected}"));
    }
}
