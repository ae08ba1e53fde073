//! Whatever the bytes, there is an answer: a checkpoint, or one line.

use std::fs;
use std::path::Path;

use proptest::prelude::{ProptestConfig, TestCaseError, prop, prop_assert, proptest};
use serde_json::{Value, json};

use crate::checkpoint::mutation::{change, mutate, replace, replacements};
use crate::checkpoint::sample::{self, config, serialise, tensors};
use crate::checkpoint::{Checkpoint, GenerationConfig, ModelConfig, expected_tensors};

/// Opens the folder and reads every tensor; an error must be one line.
fn answer(folder: &Path) -> Result<(), TestCaseError> {
    let read = Checkpoint::open_folder(folder).and_then(|checkpoint| {
        for (name, shape) in expected_tensors(&checkpoint.config) {
            let view = checkpoint.tensor(&name, &shape)?;
            assert_eq!(view.to_f32().len(), shape.iter().product::<usize>());
        }
        Ok(())
    });
    if let Err(error) = read {
        let line = error.to_string();
        prop_assert!(!line.trim().is_empty() && !line.contains(['\n', '\r']), "{line:?}");
    }
    Ok(())
}

fn rich_config() -> Value {
    let mut config = config();
    config["lacuna"] = json!({"noise": "absorbing", "mask_token_id": 4, "delete_token_id": 5, "layout_version": 1});
    config["text_config"]["per_layer_config"] = json!({"2": {"head_dim": 8, "num_key_value_heads": 1}});
    config["text_config"]["final_logit_softcapping"] = json!(30.0);
    config["text_config"]["rope_parameters"] = json!({
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        "full_attention": {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25, "factor": 2.0}
    });
    config
}

fn rich_generation() -> Value {
    json!({
        "max_denoising_steps": 12, "t_min": 0.1, "t_max": 0.9, "stability_threshold": 2, "eos_token_id": [1, 2],
        "sampler_config": {"entropy_bound": 0.25, "_cls_name": "EntropyBoundSamplerConfig"}, "confidence_threshold": 0.1
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_header_gets_an_answer(changes in prop::collection::vec(change(), 1..4)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut weights = serialise(&tensors(&config()));
        let header = 8 + u64::from_le_bytes(*weights.first_chunk().expect("a length")) as usize;
        mutate(&mut weights, 0..header, &changes);
        fs::write(folder.path().join("config.json"), config().to_string()).expect("the folder is writable");
        fs::write(folder.path().join("model.safetensors"), weights).expect("the folder is writable");
        answer(folder.path())?;
    }

    #[test]
    fn a_damaged_index_gets_an_answer(changes in prop::collection::vec(change(), 1..4)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        sample::write_folder(folder.path(), &config());
        let single = folder.path().join("model.safetensors");
        fs::rename(single, folder.path().join("a.safetensors")).expect("the folder is writable");
        let map: serde_json::Map<String, Value> =
            tensors(&config()).into_keys().map(|name| (name, json!("a.safetensors"))).collect();
        let mut index = json!({"metadata": {}, "weight_map": map}).to_string().into_bytes();
        let whole = 0..index.len();
        mutate(&mut index, whole, &changes);
        fs::write(folder.path().join("model.safetensors.index.json"), index).expect("the folder is writable");
        answer(folder.path())?;
    }

    #[test]
    fn damaged_text_of_a_configuration_gets_an_answer(changes in prop::collection::vec(change(), 1..4)) {
        for text in [rich_config().to_string(), rich_generation().to_string()] {
            let mut bytes = text.into_bytes();
            let whole = 0..bytes.len();
            mutate(&mut bytes, whole, &changes);
            check_configuration(&String::from_utf8_lossy(&bytes))?;
        }
    }

    #[test]
    fn any_value_in_a_configuration_gets_an_answer(replacements in replacements()) {
        for mut value in [rich_config(), rich_generation()] {
            replace(&mut value, &replacements);
            check_configuration(&value.to_string())?;
        }
    }
}

/// Reads a text as either configuration; what is accepted must keep the promises that the engine builds on.
fn check_configuration(text: &str) -> Result<(), TestCaseError> {
    let one_line = |error: crate::Error| {
        let line = error.to_string();
        prop_assert!(!line.trim().is_empty() && !line.contains(['\n', '\r']), "{line:?}");
        Ok(())
    };
    match ModelConfig::parse(Path::new("config.json"), text) {
        Err(error) => one_line(error)?,
        Ok(config) => {
            prop_assert!(config.experts_per_token <= config.experts);
            prop_assert!(config.rms_norm_eps > 0.0 && config.logit_soft_cap > 0.0);
            for layer in &config.layers {
                prop_assert!(layer.head_dim % 2 == 0 && layer.heads % layer.kv_heads == 0);
                prop_assert!(layer.rope.angles <= layer.head_dim / 2);
            }
            for (_, shape) in expected_tensors(&config) {
                prop_assert!(shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size)).is_some());
            }
        }
    }
    match GenerationConfig::parse(Path::new("generation_config.json"), text, 24, &[1]) {
        Err(error) => one_line(error)?,
        Ok(config) => {
            prop_assert!(config.max_denoising_steps > 0 && config.entropy_bound > 0.0);
            prop_assert!(config.t_min >= 0.0 && config.t_max > config.t_min);
            prop_assert!(config.confidence_threshold > 0.0 && config.confidence_threshold.is_finite());
        }
    }
    Ok(())
}
