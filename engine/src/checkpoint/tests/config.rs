use serde_json::{Value, json};

use super::layers::{heads, rope};
use super::{config_refusal as refusal, parse_config as parse, with, without};
use crate::checkpoint::config::LacunaConfig;
use crate::checkpoint::sample::{self, config};
use crate::checkpoint::{LayerKind, Noise};

#[test]
fn reads_the_sample() {
    let config = parse(&config());
    assert_eq!((config.vocab_size, config.hidden, config.mlp_intermediate), (24, 8, 12));
    assert_eq!((config.experts, config.experts_per_token, config.expert_intermediate), (4, 2, 6));
    assert_eq!((config.rms_norm_eps, config.logit_soft_cap), (1e-6, 30.0));
    assert_eq!((config.canvas_length, config.max_positions), (16, 128));
    assert_eq!((config.pad_token_id, config.bos_token_id), (Some(0), Some(2)));
    assert_eq!(config.eos_token_ids, [1]);
    assert_eq!(config.lacuna, LacunaConfig::default());
    let [sliding, _, full] = &config.layers[..] else { panic!("{:?}", config.layers) };
    assert_eq!((sliding.kind, full.kind), (LayerKind::Sliding { window: 6 }, LayerKind::Full));
    assert_eq!((sliding.shares_key_as_value, full.shares_key_as_value), (false, true));
    assert_eq!((sliding.rope, full.rope), (rope(1e4, 2), rope(1e6, 1)));
    assert_eq!(heads(&config), [(4, 2), (4, 2), (8, 1)]);
}

#[test]
fn the_published_model_has_its_published_size() {
    let published = json!({
        "model_type": "diffusion_gemma",
        "canvas_length": 256,
        "eos_token_id": [1, 106, 50],
        "vision_soft_tokens_per_image": 280,
        "text_config": {
            "vocab_size": 262_144, "hidden_size": 2816, "intermediate_size": 2112, "num_hidden_layers": 30,
            "num_attention_heads": 16, "num_key_value_heads": 8, "num_global_key_value_heads": 2,
            "head_dim": 256, "global_head_dim": 512, "rms_norm_eps": 1e-6, "sliding_window": 1024,
            "max_position_embeddings": 262_144, "num_experts": 128, "top_k_experts": 8,
            "moe_intermediate_size": 704, "use_bidirectional_attention": "vision"
        },
        "vision_config": {"model_type": "gemma4_vision"}
    });
    let config = parse(&published);
    let full: Vec<usize> = (0..30).filter(|&index| config.layers[index].kind == LayerKind::Full).collect();
    assert_eq!(full, [5, 11, 17, 23, 29]);
    assert_eq!(config.layers[5].rope, rope(1e6, 64));
    // 1047 tensors less those for images, 51.6 GB in two bytes each.
    let parameters = config.parameters() as f64;
    assert!((25.0e9..25.8e9).contains(&parameters), "{parameters}");
}

#[test]
fn a_key_that_shapes_a_tensor_has_no_default() {
    for key in [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "num_experts",
        "top_k_experts",
        "moe_intermediate_size",
    ] {
        assert_eq!(refusal(&without(config(), key)), format!("text_config.{key} is missing or null"));
        assert_eq!(refusal(&with(key, json!(null))), format!("text_config.{key} is missing or null"));
    }
    // What does not shape a tensor takes the reference implementation's default; a null is none.
    let config = parse(&without(without(config(), "rms_norm_eps"), "sliding_window"));
    assert_eq!(config.rms_norm_eps, 1e-6);
    assert_eq!(config.layers[0].kind, LayerKind::Sliding { window: 512 });
    assert_eq!(refusal(&with("sliding_window", json!(null))), "text_config.sliding_window is missing or null");
    let mut bare = sample::config();
    bare.as_object_mut().expect("an object").remove("text_config");
    assert_eq!(refusal(&bare), "text_config is missing or null");
}

#[test]
fn hostile_values_are_refused() {
    let huge = json!(1u64 << 40);
    let cases = [
        ("vocab_size", json!(0), "text_config.vocab_size is 0, not a whole number from 1 to 16777216"),
        ("hidden_size", huge, "text_config.hidden_size is 1099511627776, not a whole number from 1 to 16777216"),
        ("hidden_size", json!(-8), "text_config.hidden_size is -8, not a whole number from 1 to 16777216"),
        ("hidden_size", json!(8.5), "text_config.hidden_size is 8.5, not a whole number from 1 to 16777216"),
        ("hidden_size", json!("8"), "text_config.hidden_size is \"8\", not a whole number from 1 to 16777216"),
        ("num_hidden_layers", json!(5000), "text_config.num_hidden_layers is 5000, more than 4096"),
        (
            "num_hidden_layers",
            json!(4),
            "text_config.layer_types names 3 layers, but text_config.num_hidden_layers is 4",
        ),
        ("layer_types", json!("all"), "text_config.layer_types is \"all\", not a list"),
        ("layer_types", json!(["a", "b", "c"]), "not supported: text_config.layer_types = \"a\""),
        ("num_key_value_heads", json!(3), "4 attention heads cannot share 3 key-value heads evenly"),
        ("head_dim", json!(5), "a head of 5 is odd, and cannot be rotated by halves"),
        ("head_dim", json!(16_777_216), "4 attention heads of 16777216 are too many to be meant"),
        ("top_k_experts", json!(5), "text_config.top_k_experts is 5, but there are 4 experts"),
        ("sliding_window", json!(1), "text_config.sliding_window is 1, not a whole number from 2 to 16777216"),
        ("rms_norm_eps", json!(0), "text_config.rms_norm_eps is 0, not a number above 0 and below 1"),
        ("rms_norm_eps", json!(1e-300), "text_config.rms_norm_eps is 1e-300, not a number above 0 and below 1"),
        ("final_logit_softcapping", json!(0), "text_config.final_logit_softcapping is 0, not a number above 0"),
        ("final_logit_softcapping", json!(null), "text_config.final_logit_softcapping is missing or null"),
        ("bos_token_id", json!(24), "text_config.bos_token_id is 24, not a token id below the vocabulary's 24"),
        ("eos_token_id", json!([1, -1]), "text_config.eos_token_id is -1, not a token id below the vocabulary's 24"),
    ];
    for (key, value, expected) in cases {
        assert_eq!(refusal(&with(key, value)), expected);
    }
    let mut large = config();
    for key in ["vocab_size", "hidden_size", "num_experts", "moe_intermediate_size", "intermediate_size"] {
        large["text_config"][key] = json!(1 << 24);
    }
    assert!(refusal(&large).ends_with("parameters, which cannot be meant"), "{}", refusal(&large));
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let cases = [
        ("hidden_activation", json!("silu")),
        ("attention_bias", json!(true)),
        ("use_bidirectional_attention", json!("all")),
        ("num_kv_shared_layers", json!(2)),
        ("hidden_size_per_layer_input", json!(256)),
        ("use_double_wide_mlp", json!(true)),
        ("enable_moe_block", json!(false)),
        ("rope_scaling", json!({"factor": 8})),
        ("partial_rotary_factor", json!(0.5)),
        ("some_new_idea", json!(["a"])),
    ];
    for (key, value) in cases {
        let expected = format!("not supported: text_config.{key} = {value}");
        assert_eq!(refusal(&with(key, value)), expected);
    }
    let mut top = config();
    top["tie_word_embeddings"] = json!(false);
    assert_eq!(refusal(&top), "not supported: tie_word_embeddings = false");
    let mut top = config();
    top["model_type"] = json!("gemma4");
    assert_eq!(refusal(&top), "not supported: model_type = \"gemma4\"");
    let mut top = config();
    top["quantization_config"] = json!({"quant_method": "compressed-tensors"});
    assert_eq!(refusal(&top), "quantization_config.config_groups is missing or null");
    top["quantization_config"] = json!({"quant_method": "gptq"});
    assert_eq!(refusal(&top), "not supported: quantization_config.quant_method = \"gptq\"");
    let mut top = config();
    top["dtype"] = json!("int8");
    assert_eq!(refusal(&top), "not supported: dtype = \"int8\"");
}

#[test]
fn a_message_stays_on_one_line() {
    let mut top = config();
    top["a\nb\u{2028}c"] = json!("x".repeat(1000));
    let refusal = refusal(&top);
    assert!(refusal.starts_with("not supported: a\\nb\\u{2028}c = \"xxx"), "{refusal}");
    assert!(refusal.ends_with('…') && refusal.len() < 250, "{refusal}");
}

#[test]
fn the_lacuna_key_is_read_strictly() {
    let with = |lacuna: Value| {
        let mut config = config();
        config["lacuna"] = lacuna;
        config
    };
    let full = json!({"noise": "absorbing", "mask_token_id": 4, "delete_token_id": 5, "layout_version": 1, "context_prior": 2, "length_bonus": 0.5});
    let expected = LacunaConfig {
        noise: Noise::Absorbing { mask_token_id: 4 },
        delete_token_id: Some(5),
        layout_version: Some(1),
        context_prior: Some(2.0),
        length_bonus: Some(0.5),
    };
    assert_eq!(parse(&with(full)).lacuna, expected);
    assert_eq!(parse(&with(json!({}))).lacuna, LacunaConfig::default());
    assert_eq!(parse(&with(json!({"noise": "uniform"}))).lacuna.noise, Noise::Uniform);
    let cases = [
        (json!({"noise": "absorbing"}), "lacuna.mask_token_id is missing or null"),
        (json!({"noise": "gaussian"}), "not supported: lacuna.noise = \"gaussian\""),
        (json!({"mask_token_id": 4}), "lacuna.mask_token_id is given, but lacuna.noise is not \"absorbing\""),
        (
            json!({"noise": "absorbing", "mask_token_id": 24}),
            "lacuna.mask_token_id is 24, not a token id below the vocabulary's 24",
        ),
        (
            json!({"noise": "absorbing", "mask_token_id": 4, "delete_token_id": 4}),
            "lacuna.delete_token_id and lacuna.mask_token_id are the same",
        ),
        (json!({"layout_version": 2}), "not supported: lacuna.layout_version = 2"),
        (json!({"context_prior": 0}), "lacuna.context_prior is 0, not a positive number"),
        (json!({"layout_versoin": 1}), "not supported: lacuna.layout_versoin = 1"),
        (json!("uniform"), "lacuna is \"uniform\", not an object"),
    ];
    for (lacuna, expected) in cases {
        assert_eq!(refusal(&with(lacuna)), expected);
    }
}
