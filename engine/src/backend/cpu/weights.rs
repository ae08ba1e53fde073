//! A checkpoint's weights, packed for the processor.

use crate::Error;
use crate::checkpoint::{Checkpoint, ENCODER, LayerKind, SHARED, TensorView};

use super::matrix::PackedMatrix;
use super::rope::InverseFrequencies;

/// Everything that the forward pass reads.
pub(crate) struct Weights {
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
    pub(crate) heads: usize,
    pub(crate) eps: f32,
    pub(crate) soft_cap: f32,
    /// sqrt(hidden), rounded to the dtype that the embedding is stored in.
    pub(crate) embedding_scale: f32,
    /// [vocabulary, hidden]: rows to look up, and the head.
    pub(crate) embedding: Embedding,
    pub(crate) final_norm: Vec<f32>,
    pub(crate) self_conditioning: SelfConditioning,
    pub(crate) layers: Vec<Layer>,
    pub(crate) mlp_width: usize,
    pub(crate) experts: usize,
    pub(crate) experts_per_token: usize,
    pub(crate) expert_width: usize,
}

pub(crate) struct Embedding {
    /// [vocabulary, hidden] for hidden states to logits.
    pub(crate) head: PackedMatrix,
    /// [hidden, vocabulary] for distributions to soft embeddings.
    pub(crate) transposed: PackedMatrix,
}

pub(crate) struct SelfConditioning {
    pub(crate) pre_norm: Vec<f32>,
    /// Gate, then up.
    pub(crate) gate_up: PackedMatrix,
    pub(crate) down: PackedMatrix,
}

pub(crate) struct Layer {
    pub(crate) head_dim: usize,
    pub(crate) kv_heads: usize,
    /// Query head h reads key and value head h / this.
    pub(crate) heads_per_kv_head: usize,
    /// Positions that a row sees, itself included; all of them where it is `None`.
    pub(crate) window: Option<usize>,
    pub(crate) rotation: InverseFrequencies,
    /// Queries, keys and, where the layer has them, values.
    pub(crate) qkv: PackedMatrix,
    pub(crate) has_values: bool,
    pub(crate) query_norm: Vec<f32>,
    pub(crate) key_norm: Vec<f32>,
    pub(crate) output: PackedMatrix,
    pub(crate) input_norm: Vec<f32>,
    pub(crate) post_attention_norm: Vec<f32>,
    pub(crate) pre_feed_forward_norm: Vec<f32>,
    pub(crate) pre_feed_forward_norm_2: Vec<f32>,
    pub(crate) post_feed_forward_norm: Vec<f32>,
    pub(crate) post_feed_forward_norm_1: Vec<f32>,
    pub(crate) post_feed_forward_norm_2: Vec<f32>,
    /// Gate, then up.
    pub(crate) gate_up: PackedMatrix,
    pub(crate) down: PackedMatrix,
    pub(crate) router: PackedMatrix,
    /// The router's scale, times hidden^-0.5.
    pub(crate) router_scale: Vec<f32>,
    pub(crate) per_expert_scale: Vec<f32>,
    /// Gate, then up; one matrix an expert.
    pub(crate) expert_gate_up: Vec<PackedMatrix>,
    pub(crate) expert_down: Vec<PackedMatrix>,
    pub(crate) encoder_scalar: f32,
    pub(crate) decoder_scalar: f32,
}

impl Layer {
    /// Numbers in one token's key, or value.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

impl Weights {
    /// Checks and packs every tensor.
    pub(crate) fn load(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let config = &checkpoint.config;
        let hidden = config.hidden;
        let source = Source { checkpoint };

        let embedding = source.view("embed_tokens.weight", &[config.vocab_size, hidden])?;
        let head = PackedMatrix::pack(&[(embedding.data, config.vocab_size)], hidden);
        let transposed = PackedMatrix::pack_transposed(&embedding.data, config.vocab_size, hidden);
        let layers = (0..config.layers.len()).map(|index| source.layer(index)).collect::<Result<_, _>>()?;
        let conditioning = "self_conditioning";
        Ok(Self {
            hidden,
            vocabulary: config.vocab_size,
            heads: config.layers.first().map_or(0, |layer| layer.heads),
            eps: config.rms_norm_eps,
            soft_cap: config.logit_soft_cap,
            embedding_scale: checkpoint.embedding_scale(),
            embedding: Embedding { head, transposed },
            final_norm: source.vector("norm.weight", hidden)?,
            self_conditioning: SelfConditioning {
                pre_norm: source.vector(&format!("{conditioning}.pre_norm.weight"), hidden)?,
                gate_up: source.gate_up(conditioning, config.mlp_intermediate)?,
                down: source.matrix(&format!("{conditioning}.down_proj.weight"), hidden, config.mlp_intermediate)?,
            },
            layers,
            mlp_width: config.mlp_intermediate,
            experts: config.experts,
            experts_per_token: config.experts_per_token,
            expert_width: config.expert_intermediate,
        })
    }
}

/// Reads the tensors that the two stacks share, by name.
struct Source<'a> {
    checkpoint: &'a Checkpoint,
}

impl<'a> Source<'a> {
    fn view(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>, Error> {
        self.checkpoint.tensor(&format!("{SHARED}{name}"), shape)
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, Error> {
        Ok(self.view(name, &[length])?.to_f32())
    }

    fn matrix(&self, name: &str, outputs: usize, inputs: usize) -> Result<PackedMatrix, Error> {
        let view = self.view(name, &[outputs, inputs])?;
        Ok(PackedMatrix::pack(&[(view.data, outputs)], inputs))
    }

    fn gate_up(&self, prefix: &str, width: usize) -> Result<PackedMatrix, Error> {
        let hidden = self.checkpoint.config.hidden;
        let gate = self.view(&format!("{prefix}.gate_proj.weight"), &[width, hidden])?;
        let up = self.view(&format!("{prefix}.up_proj.weight"), &[width, hidden])?;
        Ok(PackedMatrix::pack(&[(gate.data, width), (up.data, width)], hidden))
    }

    /// One matrix an expert out of a tensor [experts, outputs, inputs].
    fn experts(&self, name: &str, outputs: usize, inputs: usize) -> Result<Vec<PackedMatrix>, Error> {
        let view = self.view(name, &[self.checkpoint.config.experts, outputs, inputs])?;
        let expert = |index| PackedMatrix::pack(&[(view.data.row(index, outputs * inputs), outputs)], inputs);
        Ok((0..self.checkpoint.config.experts).map(expert).collect())
    }

    fn layer(&self, index: usize) -> Result<Layer, Error> {
        let config = &self.checkpoint.config;
        let layer = &config.layers[index];
        let (hidden, head_dim) = (config.hidden, layer.head_dim);
        let (query_width, kv_width) = (layer.heads * head_dim, layer.kv_heads * head_dim);
        let prefix = format!("layers.{index}");
        let name = |rest: &str| format!("{prefix}.{rest}");
        let norm = |rest: &str| self.vector(&format!("{prefix}.{rest}.weight"), hidden);

        let query = self.view(&name("self_attn.q_proj.weight"), &[query_width, hidden])?;
        let key = self.view(&name("self_attn.k_proj.weight"), &[kv_width, hidden])?;
        let mut parts = vec![(query.data, query_width), (key.data, kv_width)];
        if !layer.shares_key_as_value {
            parts.push((self.view(&name("self_attn.v_proj.weight"), &[kv_width, hidden])?.data, kv_width));
        }
        let root = (hidden as f32).powf(-0.5);
        let encoder_scalar = self.checkpoint.tensor(&format!("{ENCODER}{prefix}.layer_scalar"), &[1])?;
        Ok(Layer {
            head_dim,
            kv_heads: layer.kv_heads,
            heads_per_kv_head: layer.heads / layer.kv_heads,
            window: match layer.kind {
                LayerKind::Sliding { window } => Some(window),
                LayerKind::Full => None,
            },
            rotation: InverseFrequencies::new(layer),
            qkv: PackedMatrix::pack(&parts, hidden),
            has_values: !layer.shares_key_as_value,
            query_norm: self.vector(&name("self_attn.q_norm.weight"), head_dim)?,
            key_norm: self.vector(&name("self_attn.k_norm.weight"), head_dim)?,
            output: self.matrix(&name("self_attn.o_proj.weight"), hidden, query_width)?,
            input_norm: norm("input_layernorm")?,
            post_attention_norm: norm("post_attention_layernorm")?,
            pre_feed_forward_norm: norm("pre_feedforward_layernorm")?,
            pre_feed_forward_norm_2: norm("pre_feedforward_layernorm_2")?,
            post_feed_forward_norm: norm("post_feedforward_layernorm")?,
            post_feed_forward_norm_1: norm("post_feedforward_layernorm_1")?,
            post_feed_forward_norm_2: norm("post_feedforward_layernorm_2")?,
            gate_up: self.gate_up(&name("mlp"), config.mlp_intermediate)?,
            down: self.matrix(&name("mlp.down_proj.weight"), hidden, config.mlp_intermediate)?,
            router: self.matrix(&name("router.proj.weight"), config.experts, hidden)?,
            router_scale: self.vector(&name("router.scale"), hidden)?.iter().map(|scale| scale * root).collect(),
            per_expert_scale: self.vector(&name("router.per_expert_scale"), config.experts)?,
            expert_gate_up: self.experts(&name("experts.gate_up_proj"), 2 * config.expert_intermediate, hidden)?,
            expert_down: self.experts(&name("experts.down_proj"), hidden, config.expert_intermediate)?,
            encoder_scalar: encoder_scalar.to_f32()[0],
            decoder_scalar: self.vector(&name("layer_scalar"), 1)?[0],
        })
    }
}
