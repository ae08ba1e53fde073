use serde_json::{Value, json};

use super::{config_refusal as refusal, parse_config as parse, with, without};
use crate::checkpoint::layers::Rope;
use crate::checkpoint::sample::config;
use crate::checkpoint::{LayerKind, ModelConfig};

/// Head size and key-value heads of each layer.
pub(super) fn heads(config: &ModelConfig) -> Vec<(usize, usize)> {
    config.layers.iter().map(|layer| (layer.head_dim, layer.kv_heads)).collect()
}

/// A rotation without a factor.
pub(super) fn rope(theta: f64, angles: usize) -> Rope {
    Rope { theta, angles, factor: 1.0 }
}

#[test]
fn absent_head_sizes_of_full_layers_take_the_defaults() {
    let config = parse(&without(without(config(), "global_head_dim"), "num_global_key_value_heads"));
    assert_eq!(heads(&config), [(4, 2), (4, 2), (512, 2)]);
    assert_eq!(refusal(&with("global_head_dim", json!(null))), "text_config.global_head_dim is missing or null");
    assert_eq!(heads(&parse(&with("num_global_key_value_heads", json!(null))))[2], (8, 2));
}

#[test]
fn per_layer_overrides_replace_the_global_keys() {
    let second = |overrides: Value| with("per_layer_config", overrides);
    assert_eq!(heads(&parse(&second(json!({"2": {"head_dim": 16, "num_key_value_heads": 1}}))))[2], (16, 1));
    assert_eq!(heads(&parse(&second(json!({"02": {"head_dim": 16}}))))[2], (16, 2));
    // Without overrides a full layer is like the others, and the global keys do not count.
    assert_eq!(heads(&parse(&second(json!({}))))[2], (4, 2));
    assert_eq!(heads(&parse(&second(json!(null))))[2], (4, 2));
    assert_eq!(heads(&parse(&second(json!({"2": null}))))[2], (4, 2));
    let sliding = json!({"0": {"head_dim": 6}, "1": {"head_dim": 6}});
    assert_eq!(heads(&parse(&second(sliding))), [(6, 2), (6, 2), (4, 2)]);

    let cases = [
        (
            json!({"0": {"head_dim": 6}}),
            "text_config.per_layer_config gives the sliding_attention layers different heads",
        ),
        (json!({"3": {"head_dim": 6}}), "text_config.per_layer_config.3 is not the index of one of the 3 layers"),
        (json!({"-1": {}}), "text_config.per_layer_config.-1 is not the index of one of the 3 layers"),
        (json!({"": {}}), "text_config.per_layer_config. is not the index of one of the 3 layers"),
        (json!({"2": {}, "02": {}}), "text_config.per_layer_config names layer 2 twice"),
        (json!({"2": 5}), "text_config.per_layer_config.2 is 5, not an object"),
        (json!({"2": {"sliding_window": 9}}), "not supported: text_config.per_layer_config.2.sliding_window = 9"),
    ];
    for (overrides, expected) in cases {
        assert_eq!(refusal(&second(overrides)), expected);
    }
}

#[test]
fn the_last_layer_is_full_whatever_the_list_says() {
    let kinds = |config: &ModelConfig| -> Vec<bool> {
        config.layers.iter().map(|layer| layer.kind == LayerKind::Full).collect()
    };
    let sliding = "sliding_attention";
    let config = parse(&with("layer_types", json!([sliding, sliding, sliding])));
    assert_eq!(kinds(&config), [false, false, true]);
    assert_eq!(heads(&config)[2], (8, 1));
    let mut deep = with("layer_types", json!(null));
    deep["text_config"]["num_hidden_layers"] = json!(8);
    assert_eq!(kinds(&parse(&deep)), [false, false, false, false, false, true, false, true]);
}

#[test]
fn rotation_is_read_by_kind_of_layer() {
    let parameters = json!({
        "sliding_attention": {"type": "default", "rope_theta": 500},
        "full_attention": {"rope_type": "proportional", "rope_theta": 2e5, "partial_rotary_factor": 0.7, "factor": 8.0}
    });
    let config = parse(&with("rope_parameters", parameters.clone()));
    assert_eq!(config.layers[0].rope, rope(500.0, 2));
    assert_eq!(config.layers[2].rope, Rope { theta: 2e5, angles: 2, factor: 8.0 });
    let frequencies = config.layers[2].inverse_frequencies();
    assert_eq!(frequencies.len(), 4);
    assert_eq!((frequencies[0], &frequencies[2..]), (0.125, &[0.0, 0.0][..]));
    assert!((frequencies[1] - 2e5f32.powf(-0.25) / 8.0).abs() < 1e-9);

    let spoil = |kind: &str, key: &str, value: Value| {
        let mut parameters = parameters.clone();
        parameters[kind][key] = value;
        refusal(&with("rope_parameters", parameters))
    };
    let full = "text_config.rope_parameters.full_attention";
    assert_eq!(
        spoil("full_attention", "rope_type", json!("yarn")),
        format!("not supported: {full}.rope_type = \"yarn\"")
    );
    assert_eq!(spoil("full_attention", "rope_theta", json!(null)), format!("{full}.rope_theta is missing or null"));
    assert_eq!(spoil("full_attention", "beta_fast", json!(1)), format!("not supported: {full}.beta_fast = 1"));
    assert_eq!(
        spoil("full_attention", "partial_rotary_factor", json!(1.5)),
        format!("{full}.partial_rotary_factor is 1.5, not a number from 0 to 1")
    );
    assert!(spoil("sliding_attention", "partial_rotary_factor", json!(0.5)).contains("turns the whole head"));
    let one = json!({"sliding_attention": {"rope_theta": 1e4}});
    assert_eq!(refusal(&with("rope_parameters", one)), format!("{full} is missing or null"));
    assert_eq!(
        refusal(&with("rope_parameters", json!({"rope_theta": 1e4}))),
        "not supported: text_config.rope_parameters.rope_theta = 10000.0"
    );
}
