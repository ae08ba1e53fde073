//! What a pass has to read and to multiply, whatever computes it.

use crate::bench::SyntheticDtype;
use crate::checkpoint::quantised::NVFP4_GROUP;
use crate::checkpoint::{LayerKind, ModelConfig};

/// Prompt tokens that a layer's row sees at most.
fn seen(kind: LayerKind, prompt: usize, own: usize) -> usize {
    match kind {
        LayerKind::Sliding { window } => prompt.min(window - own),
        LayerKind::Full => prompt,
    }
}

/// Bytes that a step of so many rows over so many cached tokens has to read once. Activations are left out: they stay in caches.
pub(super) fn step_bytes(config: &ModelConfig, dtype: SyntheticDtype, rows: usize, prompt: usize) -> f64 {
    let hidden = config.hidden as f64;
    let gated = |width: usize| 3.0 * hidden * width as f64;
    let experts = config.experts as f64;
    let untouched = (1.0 - config.experts_per_token as f64 / experts).powi(rows.min(1 << 20) as i32);
    // Of a weight in the matrices of the layers, of their experts, and in all others; scales of whole rows weigh nothing.
    let (dense, expert, plain) = match dtype {
        SyntheticDtype::Bf16 => (2.0, 2.0, 2.0),
        SyntheticDtype::F32 => (4.0, 4.0, 4.0),
        SyntheticDtype::Fp8 => (1.0, 1.0, 2.0),
        SyntheticDtype::Nvfp4 => (2.0, 0.5 + 1.0 / NVFP4_GROUP as f64, 2.0),
    };
    // The head, and once more for the soft embeddings; and the self-conditioning network.
    let mut bytes = plain * (2.0 * hidden * config.vocab_size as f64 + gated(config.mlp_intermediate));
    for layer in &config.layers {
        let (query, key) = ((layer.heads * layer.head_dim) as f64, (layer.kv_heads * layer.head_dim) as f64);
        let attention = hidden * (2.0 * query + key * if layer.shares_key_as_value { 1.0 } else { 2.0 });
        bytes += dense * (attention + gated(config.mlp_intermediate)) + plain * hidden * experts;
        bytes += expert * experts * (1.0 - untouched) * gated(config.expert_intermediate);
        bytes += plain * 2.0 * key * seen(layer.kind, prompt, 1) as f64;
    }
    bytes
}

/// Multiplications and additions in the products that encode so many tokens from nothing.
pub(super) fn prefill_flop(config: &ModelConfig, tokens: usize) -> f64 {
    let hidden = config.hidden as f64;
    let gated = |width: usize| 3.0 * hidden * width as f64;
    let count = tokens as f64;
    let mut products = 0.0;
    for (index, layer) in config.layers.iter().enumerate() {
        let (query, key) = ((layer.heads * layer.head_dim) as f64, (layer.kv_heads * layer.head_dim) as f64);
        products += count * hidden * (query + key * if layer.shares_key_as_value { 1.0 } else { 2.0 });
        // Nobody reads what the last layer makes of a prompt token but its key and value.
        if index + 1 == config.layers.len() {
            break;
        }
        let pairs: f64 = (1..=tokens).map(|position| seen(layer.kind, position, 0) as f64).sum();
        products += 2.0 * query * pairs + count * hidden * query;
        products += count * (gated(config.mlp_intermediate) + hidden * config.experts as f64);
        products += count * config.experts_per_token as f64 * gated(config.expert_intermediate);
    }
    2.0 * products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::synthetic::shape;

    #[test]
    fn a_step_reads_nearly_every_weight_once() {
        let config = shape("diffusiongemma-26b-a4b").unwrap();
        let bytes = step_bytes(&config, SyntheticDtype::Bf16, 256, 0);
        assert!((50e9..53e9).contains(&bytes), "{bytes}");
        // Few rows touch few experts.
        assert!(step_bytes(&config, SyntheticDtype::Bf16, 16, 0) < 0.75 * bytes);
        assert_eq!(step_bytes(&config, SyntheticDtype::F32, 256, 0), 2.0 * bytes);
        // With one read of the embedding more than the published sizes.
        let quantised = |dtype| step_bytes(&config, dtype, 256, 0);
        assert!((26e9..28e9).contains(&quantised(SyntheticDtype::Fp8)), "{}", quantised(SyntheticDtype::Fp8));
        assert!((18e9..20.5e9).contains(&quantised(SyntheticDtype::Nvfp4)), "{}", quantised(SyntheticDtype::Nvfp4));
        let cached = step_bytes(&config, SyntheticDtype::Bf16, 256, 8192) - bytes;
        let expected = 2.0 * 2.0 * (25.0 * 1023.0 * 8.0 * 256.0 + 5.0 * 8192.0 * 2.0 * 512.0);
        assert!((cached - expected).abs() < 1e3, "{cached} {expected}");
    }

    #[test]
    fn encoding_takes_the_active_parameters_twice_a_token() {
        let config = shape("diffusiongemma-26b-a4b").unwrap();
        let flop = prefill_flop(&config, 1);
        assert!((5e9..8e9).contains(&flop), "{flop}");
    }
}
