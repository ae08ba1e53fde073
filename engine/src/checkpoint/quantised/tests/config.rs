use std::path::Path;

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use serde_json::{Value, json};

use crate::Error;
use crate::checkpoint::object::Object;
use crate::checkpoint::quantised::{Nvfp4Layout, Quantisation, Scheme};

fn read(value: &Value) -> Result<Quantisation, Error> {
    let mut top = Object::parse(Path::new("config.json"), &json!({"quantization_config": value}).to_string())?;
    Quantisation::read(top.object("quantization_config")?.expect("it is there"))
}

fn refusal(value: &Value) -> String {
    let line = read(value).expect_err("there should have been an error").to_string();
    assert!(!line.contains('\n'), "{line:?}");
    line.strip_prefix("config.json: ").expect("the file is named").to_owned()
}

fn scheme(quantisation: &Quantisation, module: &str) -> Option<Scheme> {
    quantisation.scheme_of(&[module.to_owned()]).expect("the expressions are simple")
}

/// As the published FP8 checkpoint has it, with every key that its library writes.
fn fp8() -> Value {
    json!({
        "config_groups": {"group_0": {
            "format": "float-quantized",
            "input_activations": {
                "actorder": null, "block_structure": null, "dynamic": true, "group_size": null, "num_bits": 8,
                "observer": null, "observer_kwargs": {}, "scale_dtype": null, "strategy": "token", "symmetric": true,
                "type": "float", "zp_dtype": null
            },
            "output_activations": null,
            "targets": ["Linear"],
            "weights": {
                "actorder": null, "block_structure": null, "dynamic": false, "group_size": null, "num_bits": 8,
                "observer": "memoryless_minmax", "observer_kwargs": {}, "scale_dtype": null, "strategy": "channel",
                "symmetric": true, "type": "float", "zp_dtype": null
            }
        }},
        "format": "float-quantized",
        "global_compression_ratio": null,
        "ignore": ["lm_head", "re:.*embed.*", "re:.*router", "re:.*vision_tower.*", "model.decoder.self_conditioning.up_proj"],
        "kv_cache_scheme": null,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.15.0"
    })
}

fn nvfp4() -> Value {
    let mut config = fp8();
    config["format"] = json!("nvfp4-pack-quantized");
    let group = &mut config["config_groups"]["group_0"];
    group["format"] = json!("nvfp4-pack-quantized");
    for (arguments, dynamic) in [("weights", json!(false)), ("input_activations", json!("local"))] {
        group[arguments]["num_bits"] = json!(4);
        group[arguments]["strategy"] = json!("tensor_group");
        group[arguments]["group_size"] = json!(16);
        group[arguments]["dynamic"] = dynamic;
    }
    config
}

fn modelopt() -> Value {
    json!({
        "config_groups": {"group_0": {
            "input_activations": {"dynamic": false, "num_bits": 4, "type": "float", "group_size": 16},
            "weights": {"dynamic": false, "num_bits": 4, "type": "float", "group_size": 16},
            "targets": ["Linear"]
        }},
        "ignore": ["lm_head", "model.decoder.layers.0.self_attn*", "model.*.layers.?.mlp.up_proj", "model.encoder.vision_tower"],
        "quant_algo": "NVFP4",
        "kv_cache_scheme": {"dynamic": false, "num_bits": 8, "type": "float"},
        "producer": {"name": "modelopt", "version": "0.45.0"},
        "quant_method": "modelopt"
    })
}

#[test]
fn the_published_forms_are_read() {
    let quantisation = read(&fp8()).unwrap();
    assert_eq!(scheme(&quantisation, "model.decoder.layers.3.experts.17.gate_proj"), Some(Scheme::Fp8));
    assert_eq!(scheme(&quantisation, "model.decoder.layers.3.router.proj"), None);
    assert_eq!(scheme(&quantisation, "model.decoder.self_conditioning.up_proj"), None);
    assert_eq!(scheme(&quantisation, "model.decoder.self_conditioning.up_proj.inner"), Some(Scheme::Fp8));

    let quantisation = read(&nvfp4()).unwrap();
    let expected = Some(Scheme::Nvfp4(Nvfp4Layout::CompressedTensors));
    assert_eq!(scheme(&quantisation, "model.decoder.layers.3.mlp.gate_proj"), expected);

    let expected = Some(Scheme::Nvfp4(Nvfp4Layout::ModelOpt));
    let quantisation = read(&modelopt()).unwrap();
    assert_eq!(scheme(&quantisation, "model.decoder.layers.0.experts.1.up_proj"), expected);
    assert_eq!(scheme(&quantisation, "model.decoder.layers.0.self_attn.q_proj"), None);
    assert_eq!(scheme(&quantisation, "model.decoder.layers.10.self_attn.q_proj"), expected);
    assert_eq!(scheme(&quantisation, "model.decoder.layers.3.mlp.up_proj"), None);
    assert_eq!(scheme(&quantisation, "model.decoder.layers.13.mlp.up_proj"), expected);
    assert_eq!(scheme(&quantisation, "model.encoder.vision_tower.layers.0.q_proj"), None);
    assert_eq!(scheme(&quantisation, "model.encoder.vision_tower_2"), expected);

    let file = json!({"producer": {"name": "modelopt"}, "quantization": {
        "quant_algo": "NVFP4", "kv_cache_quant_algo": null, "group_size": 16, "exclude_modules": ["lm_head", "*.mlp*"]
    }});
    let quantisation =
        Quantisation::parse_hf_quant_config(Path::new("hf_quant_config.json"), &file.to_string()).unwrap();
    assert_eq!(scheme(&quantisation, "model.decoder.layers.0.experts.1.up_proj"), expected);
    assert_eq!(scheme(&quantisation, "model.decoder.layers.0.mlp.up_proj"), None);
}

#[test]
fn a_shared_layer_is_quantised_if_it_is_under_either_of_its_names() {
    let mut config = fp8();
    let names =
        ["model.decoder.", "model.encoder.language_model."].map(|prefix| format!("{prefix}layers.0.mlp.up_proj"));
    for ignored in &names {
        config["ignore"] = json!([ignored]);
        assert_eq!(read(&config).unwrap().scheme_of(&names), Ok(Some(Scheme::Fp8)));
    }
    config["ignore"] = json!(names);
    assert_eq!(read(&config).unwrap().scheme_of(&names), Ok(None));
}

#[test]
fn the_first_group_that_targets_a_layer_decides() {
    let mut config = fp8();
    config["format"] = json!("mixed-precision");
    config["config_groups"]["group_0"]["targets"] = json!(["re:.*self_attn.*", "model.decoder.layers.0.mlp.up_proj"]);
    config["config_groups"]["group_1"] = nvfp4()["config_groups"]["group_0"].clone();
    let quantisation = read(&config).unwrap();
    assert_eq!(scheme(&quantisation, "model.decoder.layers.0.self_attn.q_proj"), Some(Scheme::Fp8));
    assert_eq!(scheme(&quantisation, "model.decoder.layers.0.mlp.up_proj"), Some(Scheme::Fp8));
    let expected = Some(Scheme::Nvfp4(Nvfp4Layout::CompressedTensors));
    assert_eq!(scheme(&quantisation, "model.decoder.layers.1.mlp.up_proj"), expected);
}

#[test]
fn inputs_left_as_they_are_make_a_scheme_of_their_own() {
    let mut config = fp8();
    config["config_groups"]["group_0"]["input_activations"] = json!(null);
    config["config_groups"]["group_0"]["format"] = json!("naive-quantized");
    assert_eq!(scheme(&read(&config).unwrap(), "model.decoder.layers.0.mlp.up_proj"), Some(Scheme::Fp8WeightsOnly));
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let changed = |pointer: &str, value: Value| {
        let mut config = fp8();
        match config.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => panic!("{pointer} is not there"),
        }
        refusal(&config)
    };
    assert_eq!(
        changed("/config_groups/group_0/weights/strategy", json!("tensor")),
        "not supported: the scheme of quantization_config.config_groups.group_0: weights of 8 bits float by tensor under \
         inputs of 8 bits float by token, dynamic"
    );
    assert_eq!(
        changed("/config_groups/group_0/weights/type", json!("int")),
        "not supported: the scheme of quantization_config.config_groups.group_0: weights of 8 bits int by channel under \
         inputs of 8 bits float by token, dynamic"
    );
    assert_eq!(
        changed("/config_groups/group_0/format", json!("pack-quantized")),
        "not supported: quantization_config.config_groups.group_0.format = \"pack-quantized\""
    );
    assert_eq!(changed("/quant_method", json!("awq")), "not supported: quantization_config.quant_method = \"awq\"");
    assert_eq!(
        changed("/quantization_status", json!("initialized")),
        "not supported: quantization_config.quantization_status = \"initialized\""
    );
    assert_eq!(
        changed("/transform_config", json!({"a": 1})),
        "not supported: quantization_config.transform_config = {\"a\":1}"
    );
    let line = changed("/ignore", json!(["re:("]));
    assert!(line.starts_with("quantization_config.ignore has `re:(`, which is no regular expression: "), "{line}");
    assert_eq!(changed("/ignore", json!([3])), "quantization_config.ignore is 3, not a name");
    assert_eq!(
        changed("/config_groups/group_0/weights", json!(null)),
        "quantization_config.config_groups.group_0.weights is missing or null"
    );
    let mut config = modelopt();
    config["quant_algo"] = json!("FP8");
    assert_eq!(refusal(&config), "not supported: quantization_config.quant_algo = \"FP8\"");
    let mut config = modelopt();
    config["config_groups"]["group_0"]["weights"]["group_size"] = json!(32);
    assert_eq!(refusal(&config), "not supported: quantization_config.config_groups.group_0.weights.group_size = 32");
    let mut config = fp8();
    config["surprise"] = json!(1);
    assert_eq!(refusal(&config), "not supported: quantization_config.surprise = 1");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_list_of_names_gets_an_answer(names in proptest::collection::vec("(re:)?\\PC{0,24}", 0..5), wildcards in any::<bool>()) {
        let mut config = if wildcards { modelopt() } else { fp8() };
        config["ignore"] = json!(names);
        let answer = read(&config)
            .map_err(|error| error.to_string())
            .and_then(|quantisation| quantisation.scheme_of(&["model.decoder.layers.0.mlp.up_proj".to_owned()]));
        if let Err(line) = answer {
            prop_assert!(!line.is_empty() && !line.contains(['\n', '\r']), "{line:?}");
        }
    }
}
