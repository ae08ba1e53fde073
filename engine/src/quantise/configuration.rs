//! The files beside the weights: copied, and the configuration told what is quantised.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::QuantiseScheme;
use super::writer::write_json;
use crate::Error;
use crate::checkpoint::{ENCODER, SHARED};

/// Files that belong to a checkpoint and say nothing of how its weights are stored.
const COPIED: [&str; 9] = [
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
];

/// What every scheme leaves alone, in the terms of compressed-tensors.
const IGNORED: [&str; 5] =
    ["lm_head", "re:.*embed.*", "re:.*router.*", "re:.*vision_tower.*", "re:.*self_conditioning.*"];

/// Copies the files, and writes the configuration; `left` are layers that the scheme would quantise and did not.
pub(super) fn copy(input: &Path, output: &Path, scheme: QuantiseScheme, left: &[String]) -> Result<(), Error> {
    for name in COPIED {
        let from = input.join(name);
        if from.is_file() {
            fs::copy(&from, output.join(name)).map_err(|source| Error::io(&from, source))?;
        }
    }
    let path = input.join("config.json");
    let text = fs::read_to_string(&path).map_err(|source| Error::io(&path, source))?;
    // The checkpoint is open, so this is an object.
    let mut config: Value =
        serde_json::from_str(&text).map_err(|error| Error::checkpoint(&path, format!("is not valid JSON: {error}")))?;
    config["quantization_config"] = describe(scheme, left);
    write_json(&output.join("config.json"), &config)
}

fn describe(scheme: QuantiseScheme, left: &[String]) -> Value {
    let mut ignored: Vec<&str> = IGNORED.to_vec();
    if scheme == QuantiseScheme::Nvfp4 {
        ignored.push("re:.*self_attn.*");
    }
    // The stacks share their layers, and other readers know each under both names.
    let in_encoder: Vec<String> = left.iter().map(|module| module.replacen(SHARED, ENCODER, 1)).collect();
    ignored.extend(left.iter().chain(&in_encoder).map(String::as_str));
    let (format, weights, inputs) = match scheme {
        QuantiseScheme::Fp8 => (
            "float-quantized",
            json!({"num_bits": 8, "type": "float", "symmetric": true, "strategy": "channel", "dynamic": false}),
            json!({"num_bits": 8, "type": "float", "symmetric": true, "strategy": "token", "dynamic": true}),
        ),
        QuantiseScheme::Nvfp4 => (
            "nvfp4-pack-quantized",
            json!({
                "num_bits": 4, "type": "float", "symmetric": true, "strategy": "tensor_group", "group_size": 16,
                "dynamic": false, "scale_dtype": "torch.float8_e4m3fn"
            }),
            Value::Null,
        ),
    };
    json!({
        "quant_method": "compressed-tensors",
        "format": format,
        "quantization_status": "compressed",
        "config_groups": {"group_0": {
            "targets": ["Linear"],
            "weights": weights,
            "input_activations": inputs,
            "output_activations": null,
            "format": format
        }},
        "ignore": ignored,
        "kv_cache_scheme": null,
        "global_compression_ratio": null
    })
}
