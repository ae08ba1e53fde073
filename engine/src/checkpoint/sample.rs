//! Small checkpoints for tests.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::{ModelConfig, expected_tensors};

/// A `config.json` of two sliding layers and a full one, in the first spelling.
pub(crate) fn config() -> Value {
    json!({
        "architectures": ["DiffusionGemmaForBlockDiffusion"],
        "model_type": "diffusion_gemma",
        "canvas_length": 16,
        "dtype": "bfloat16",
        "tie_word_embeddings": true,
        "text_config": {
            "model_type": "diffusion_gemma_text",
            "vocab_size": 24,
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_global_key_value_heads": 1,
            "head_dim": 4,
            "global_head_dim": 8,
            "hidden_activation": "gelu_pytorch_tanh",
            "rms_norm_eps": 1e-6,
            "sliding_window": 6,
            "max_position_embeddings": 128,
            "num_experts": 4,
            "top_k_experts": 2,
            "moe_intermediate_size": 6
        }
    })
}

/// All tensors of a configuration as BF16, each element small and different from its neighbours.
pub(crate) fn tensors(config: &Value) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let config = ModelConfig::parse(Path::new("config.json"), &config.to_string()).expect("the sample is valid");
    let element = |index: usize| half::bf16::from_f32(((index * 37) % 101) as f32 / 101.0 - 0.5);
    expected_tensors(&config)
        .into_iter()
        .map(|(name, shape)| {
            let bytes = (0..shape.iter().product()).flat_map(|index| element(index).to_le_bytes()).collect();
            (name, (Dtype::BF16, shape, bytes))
        })
        .collect()
}

/// The contents of a safetensors file.
pub(crate) fn serialise(tensors: &BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("the bytes fit the shape"))
    });
    safetensors::serialize(views, None).expect("the views are valid")
}

/// Writes a folder with one file of weights.
pub(crate) fn write_folder(folder: &Path, config: &Value) {
    std::fs::write(folder.join("config.json"), config.to_string()).expect("the folder is writable");
    std::fs::write(folder.join("model.safetensors"), serialise(&tensors(config))).expect("the folder is writable");
}
