//! Which tensors a model of a given shape is made of.

use super::config::ModelConfig;

/// The prefix of the tensors that both modes of the model share.
pub(crate) const SHARED: &str = "model.decoder.";

/// The prefix of the causal encoder's own tensors, of which there is one a layer.
pub(crate) const ENCODER: &str = "model.encoder.language_model.";

/// The name and shape of every tensor that the model uses, each once.
pub(crate) fn expected_tensors(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    let hidden = config.hidden;
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    add(format!("{SHARED}embed_tokens.weight"), &[config.vocab_size, hidden]);
    add(format!("{SHARED}norm.weight"), &[hidden]);
    add(format!("{SHARED}self_conditioning.pre_norm.weight"), &[hidden]);
    for (name, shape) in gated_mlp(config.mlp_intermediate, hidden) {
        add(format!("{SHARED}self_conditioning.{name}"), &shape);
    }
    for (index, layer) in config.layers.iter().enumerate() {
        let prefix = format!("{SHARED}layers.{index}.");
        let queries = layer.heads * layer.head_dim;
        let keys = layer.kv_heads * layer.head_dim;
        add(format!("{prefix}self_attn.q_proj.weight"), &[queries, hidden]);
        add(format!("{prefix}self_attn.k_proj.weight"), &[keys, hidden]);
        if !layer.shares_key_as_value {
            add(format!("{prefix}self_attn.v_proj.weight"), &[keys, hidden]);
        }
        add(format!("{prefix}self_attn.o_proj.weight"), &[hidden, queries]);
        add(format!("{prefix}self_attn.q_norm.weight"), &[layer.head_dim]);
        add(format!("{prefix}self_attn.k_norm.weight"), &[layer.head_dim]);
        for (name, shape) in gated_mlp(config.mlp_intermediate, hidden) {
            add(format!("{prefix}mlp.{name}"), &shape);
        }
        add(format!("{prefix}router.proj.weight"), &[config.experts, hidden]);
        add(format!("{prefix}router.scale"), &[hidden]);
        add(format!("{prefix}router.per_expert_scale"), &[config.experts]);
        let width = config.expert_intermediate;
        add(format!("{prefix}experts.gate_up_proj"), &[config.experts, 2 * width, hidden]);
        add(format!("{prefix}experts.down_proj"), &[config.experts, hidden, width]);
        for norm in NORMS {
            add(format!("{prefix}{norm}.weight"), &[hidden]);
        }
        add(format!("{prefix}layer_scalar"), &[1]);
        add(format!("{ENCODER}layers.{index}.layer_scalar"), &[1]);
    }
    tensors
}

const NORMS: [&str; 7] = [
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "pre_feedforward_layernorm_2",
    "post_feedforward_layernorm",
    "post_feedforward_layernorm_1",
    "post_feedforward_layernorm_2",
];

fn gated_mlp(width: usize, hidden: usize) -> [(&'static str, [usize; 2]); 3] {
    [("gate_proj.weight", [width, hidden]), ("up_proj.weight", [width, hidden]), ("down_proj.weight", [hidden, width])]
}
