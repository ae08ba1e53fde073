//! A checkpoint's weights, packed for the processor.

use crate::Error;
use crate::checkpoint::quantised::StoredMatrix;
use crate::checkpoint::{Checkpoint, ENCODER, ExpertPart, LayerKind, SHARED, TensorView};

use super::matrix::PackedMatrix;
use super::matrix::quantised::Nvfp4Inputs;
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
    /// Checks and packs every tensor. Quantised matrices keep the bytes that they are stored in.
    pub(crate) fn load(checkpoint: &Checkpoint, nvfp4_inputs: Nvfp4Inputs) -> Result<Self, Error> {
        let config = &checkpoint.config;
        let hidden = config.hidden;
        let source = Source { checkpoint, nvfp4_inputs };

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
                down: source.matrix(&format!("{conditioning}.down_proj"), hidden, config.mlp_intermediate)?,
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
    nvfp4_inputs: Nvfp4Inputs,
}

impl<'a> Source<'a> {
    fn view(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>, Error> {
        self.checkpoint.tensor(&format!("{SHARED}{name}"), shape)
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, Error> {
        Ok(self.view(name, &[length])?.to_f32())
    }

    /// The matrices of linear layers, one below the other; the modules' names within the decoder.
    fn stacked(&self, modules: &[(String, usize)], inputs: usize) -> Result<PackedMatrix, Error> {
        let stored = |(module, outputs): &(String, usize)| {
            Ok((self.checkpoint.matrix(&format!("{SHARED}{module}"), *outputs, inputs)?, *outputs))
        };
        let parts = modules.iter().map(stored).collect::<Result<_, Error>>()?;
        self.pack(parts, inputs, || modules.iter().map(|(module, _)| module.as_str()).collect::<Vec<_>>().join("`, `"))
    }

    fn pack(
        &self,
        parts: Vec<(StoredMatrix<'_>, usize)>,
        inputs: usize,
        names: impl FnOnce() -> String,
    ) -> Result<PackedMatrix, Error> {
        PackedMatrix::pack_stored(parts, inputs, self.nvfp4_inputs).ok_or_else(|| self.checkpoint.mixed(&names()))
    }

    fn matrix(&self, module: &str, outputs: usize, inputs: usize) -> Result<PackedMatrix, Error> {
        self.stacked(&[(module.to_owned(), outputs)], inputs)
    }

    fn gate_up(&self, prefix: &str, width: usize) -> Result<PackedMatrix, Error> {
        let modules = ["gate_proj", "up_proj"].map(|name| (format!("{prefix}.{name}"), width));
        self.stacked(&modules, self.checkpoint.config.hidden)
    }

    /// One matrix an expert, of these parts one below the other.
    fn experts(&self, layer: usize, parts: &[ExpertPart]) -> Result<Vec<PackedMatrix>, Error> {
        let config = &self.checkpoint.config;
        let (outputs, inputs) = match parts {
            [ExpertPart::Down] => (config.hidden, config.expert_intermediate),
            _ => (config.expert_intermediate, config.hidden),
        };
        let pack = |expert| {
            let stored = |part: &ExpertPart| Ok((self.checkpoint.expert(layer, expert, *part)?, outputs));
            let stored = parts.iter().map(stored).collect::<Result<_, Error>>()?;
            self.pack(stored, inputs, || format!("layers.{layer}.experts.{expert}"))
        };
        (0..config.experts).map(pack).collect()
    }

    fn layer(&self, index: usize) -> Result<Layer, Error> {
        let config = &self.checkpoint.config;
        let layer = &config.layers[index];
        let (hidden, head_dim) = (config.hidden, layer.head_dim);
        let (query_width, kv_width) = (layer.heads * head_dim, layer.kv_heads * head_dim);
        let prefix = format!("layers.{index}");
        let name = |rest: &str| format!("{prefix}.{rest}");
        let norm = |rest: &str| self.vector(&format!("{prefix}.{rest}.weight"), hidden);

        let mut parts = vec![(name("self_attn.q_proj"), query_width), (name("self_attn.k_proj"), kv_width)];
        if !layer.shares_key_as_value {
            parts.push((name("self_attn.v_proj"), kv_width));
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
            qkv: self.stacked(&parts, hidden)?,
            has_values: !layer.shares_key_as_value,
            query_norm: self.vector(&name("self_attn.q_norm.weight"), head_dim)?,
            key_norm: self.vector(&name("self_attn.k_norm.weight"), head_dim)?,
            output: self.matrix(&name("self_attn.o_proj"), hidden, query_width)?,
            input_norm: norm("input_layernorm")?,
            post_attention_norm: norm("post_attention_layernorm")?,
            pre_feed_forward_norm: norm("pre_feedforward_layernorm")?,
            pre_feed_forward_norm_2: norm("pre_feedforward_layernorm_2")?,
            post_feed_forward_norm: norm("post_feedforward_layernorm")?,
            post_feed_forward_norm_1: norm("post_feedforward_layernorm_1")?,
            post_feed_forward_norm_2: norm("post_feedforward_layernorm_2")?,
            gate_up: self.gate_up(&name("mlp"), config.mlp_intermediate)?,
            down: self.matrix(&name("mlp.down_proj"), hidden, config.mlp_intermediate)?,
            router: self.matrix(&name("router.proj"), config.experts, hidden)?,
            router_scale: self.vector(&name("router.scale"), hidden)?.iter().map(|scale| scale * root).collect(),
            per_expert_scale: self.vector(&name("router.per_expert_scale"), config.experts)?,
            expert_gate_up: self.experts(index, &[ExpertPart::Gate, ExpertPart::Up])?,
            expert_down: self.experts(index, &[ExpertPart::Down])?,
            encoder_scalar: encoder_scalar.to_f32()[0],
            decoder_scalar: self.vector(&name("layer_scalar"), 1)?[0],
        })
    }
}
