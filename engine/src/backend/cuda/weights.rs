//! The model's weights on the device, in the layout that the kernels read.

use lacuna_kernels::ops::head::Vocabulary;
use lacuna_kernels::ops::linear::Matrix;
use lacuna_kernels::ops::rope::HeadWeights;
use lacuna_kernels::ops::segments::{HEAD_DIM_MAX, HeadShape};
use lacuna_kernels::{Arena, Buffer, Device};

use super::matrices::{Rounding, Roundings, WeightMatrix};
use super::source::Source;
use super::{Activation, failed};
use crate::Error;
use crate::checkpoint::quantised::Scheme;
use crate::checkpoint::{Dtype, ENCODER, LayerConfig, LayerKind, ModelConfig, SHARED, expected_tensors};
use crate::local::LoadProgress;

/// Everything that the forward pass reads. Matrices keep the format that they are stored in; what is added or multiplied row by row is
/// f32.
pub(super) struct Weights<T> {
    pub(super) hidden: usize,
    pub(super) vocabulary: usize,
    pub(super) eps: f32,
    soft_cap: f32,
    /// sqrt(hidden), rounded to the dtype that the embedding is stored in.
    pub(super) embedding_scale: f32,
    /// [vocabulary, hidden]: rows to look up, the head, and the soft embeddings' table.
    embedding: WeightMatrix,
    final_norm: Buffer<f32>,
    pub(super) self_conditioning: SelfConditioning,
    pub(super) layers: Vec<Layer>,
    pub(super) mlp_width: usize,
    pub(super) experts: usize,
    pub(super) experts_per_token: usize,
    pub(super) expert_width: usize,
    /// Stands for the keys of a prompt without tokens.
    pub(super) nothing: Buffer<T>,
}

pub(super) struct SelfConditioning {
    pub(super) pre_norm: Buffer<f32>,
    /// Gate, then up.
    pub(super) gate_up: WeightMatrix,
    pub(super) down: WeightMatrix,
}

pub(super) struct Layer {
    pub(super) shape: HeadShape,
    /// Positions that a row sees, itself included; all of them where it is `None`.
    pub(super) window: Option<usize>,
    /// [head_dim / 2]
    inverse_frequencies: Buffer<f32>,
    /// Queries, keys and, where the layer has them, values.
    pub(super) qkv: WeightMatrix,
    has_values: bool,
    query_norm: Buffer<f32>,
    key_norm: Buffer<f32>,
    pub(super) output: WeightMatrix,
    pub(super) input_norm: Buffer<f32>,
    pub(super) post_attention_norm: Buffer<f32>,
    pub(super) pre_feed_forward_norm: Buffer<f32>,
    pub(super) pre_feed_forward_norm_2: Buffer<f32>,
    pub(super) post_feed_forward_norm: Buffer<f32>,
    pub(super) post_feed_forward_norm_1: Buffer<f32>,
    pub(super) post_feed_forward_norm_2: Buffer<f32>,
    /// Gate, then up.
    pub(super) gate_up: WeightMatrix,
    pub(super) down: WeightMatrix,
    pub(super) router: WeightMatrix,
    /// The router's scale, times hidden^-0.5.
    pub(super) router_scale: Buffer<f32>,
    pub(super) per_expert_scale: Buffer<f32>,
    /// [experts, 2 * width, hidden]: gate, then up.
    pub(super) expert_gate_up: WeightMatrix,
    /// [experts, hidden, width]
    pub(super) expert_down: WeightMatrix,
    pub(super) encoder_scalar: f32,
    pub(super) decoder_scalar: f32,
}

impl Layer {
    /// Numbers in one token's key, or value.
    pub(super) fn kv_width(&self) -> usize {
        self.shape.kv_width()
    }

    pub(super) fn head_weights(&self, eps: f32) -> HeadWeights<'_> {
        HeadWeights {
            query_norm: self.query_norm.as_slice(),
            key_norm: self.key_norm.as_slice(),
            inverse_frequencies: self.inverse_frequencies.as_slice(),
            eps,
            has_values: self.has_values,
        }
    }
}

impl<T: Activation> Weights<T> {
    pub(super) fn vocabulary(&self) -> Vocabulary<'_> {
        Vocabulary {
            embedding: self.embedding.view(),
            final_norm: self.final_norm.as_slice(),
            eps: self.eps,
            soft_cap: self.soft_cap,
        }
    }

    /// How products take their inputs.
    pub(super) fn roundings(&self) -> Roundings {
        let SelfConditioning { gate_up, down, .. } = &self.self_conditioning;
        let of_layers = self.layers.iter().flat_map(|layer| {
            let Layer { qkv, output, gate_up, down, router, expert_gate_up, expert_down, .. } = layer;
            [qkv, output, gate_up, down, router, expert_gate_up, expert_down]
        });
        let mut roundings = Roundings::default();
        for matrix in of_layers.chain([gate_up, down]) {
            match matrix.rounding() {
                Rounding::None => {}
                Rounding::Rows => roundings.rows = true,
                Rounding::Groups { .. } => roundings.groups = true,
            }
        }
        roundings
    }

    /// The embedding as a matrix.
    pub(super) fn table(&self) -> Matrix<'_> {
        self.embedding.view()
    }

    /// Takes room for all weights at once, and fills it.
    pub(super) fn load(
        device: &Device,
        config: &ModelConfig,
        source: &dyn Source,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, Error> {
        check_limits(device, config)?;
        let matrix_dtype = source.matrix_dtype();
        if !T::TAKES_QUANTISED && schemes(config, source).any(|scheme| scheme.is_some()) {
            let reason = "quantised weights are multiplied by bf16 on a card, and f32 was asked for or is what other weights are stored in; \
                          use --device cpu";
            return Err(Error::Device { device: super::name_of(device), reason: reason.to_owned() });
        }
        let total_bytes = arena_bytes(config, source, matrix_dtype) as u64;
        progress(LoadProgress { done_bytes: 0, total_bytes });
        let arena = Arena::new(device, total_bytes as usize).map_err(failed(device))?;
        let packed = device.allocate(0).map_err(failed(device))?;
        let mut loader =
            Loader { device, config, source, matrix_dtype, arena, packed, progress, done_bytes: 0, total_bytes };
        let hidden = config.hidden;
        let conditioning = "self_conditioning";
        let embedding = loader.matrix(&[("embed_tokens".to_owned(), config.vocab_size)], hidden)?;
        let weights = Self {
            hidden,
            vocabulary: config.vocab_size,
            eps: config.rms_norm_eps,
            soft_cap: config.logit_soft_cap,
            embedding_scale: source.embedding_scale(),
            embedding,
            final_norm: loader.vector("norm.weight", hidden)?,
            self_conditioning: SelfConditioning {
                pre_norm: loader.vector(&format!("{conditioning}.pre_norm.weight"), hidden)?,
                gate_up: loader.gate_up(conditioning)?,
                down: loader.matrix(&[(format!("{conditioning}.down_proj"), hidden)], config.mlp_intermediate)?,
            },
            layers: (0..config.layers.len()).map(|index| loader.layer(index)).collect::<Result<_, _>>()?,
            mlp_width: config.mlp_intermediate,
            experts: config.experts,
            experts_per_token: config.experts_per_token,
            expert_width: config.expert_intermediate,
            nothing: device.allocate(0).map_err(failed(device))?,
        };
        // Products begin to read their weights before what was asked for before them is done.
        device.synchronize().map_err(failed(device))?;
        Ok(weights)
    }
}

/// What the kernels are not written for is refused before anything is loaded.
fn check_limits(device: &Device, config: &ModelConfig) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Device { device: super::name_of(device), reason });
    if let Some(layer) = config.layers.iter().find(|layer| layer.head_dim > HEAD_DIM_MAX) {
        let dim = layer.head_dim;
        return refuse(format!(
            "the model has heads of {dim} numbers, and the kernels are for {HEAD_DIM_MAX}; use --device cpu"
        ));
    }
    Ok(())
}

/// How the model's tensors are quantised, in the order in which they are expected.
fn schemes<'a>(config: &'a ModelConfig, source: &'a dyn Source) -> impl Iterator<Item = Option<Scheme>> + 'a {
    expected_tensors(config).into_iter().map(move |(name, _)| {
        // Of experts that stand one by one the first tells.
        let first = |fused: &str, part: &str| {
            Some(name.strip_suffix(fused)?)
                .filter(|_| source.has_split(&name))
                .map(|prefix| format!("{prefix}0.{part}.weight"))
        };
        let split = first("gate_up_proj", "gate_proj").or_else(|| first("down_proj", "down_proj"));
        source.scheme(split.as_deref().unwrap_or(&name))
    })
}

/// Room for all tensors, each at its own start. Parts that are put together take less.
fn arena_bytes(config: &ModelConfig, source: &dyn Source, matrix_dtype: Dtype) -> usize {
    let bytes = |((_, shape), scheme): ((String, Vec<usize>), Option<Scheme>)| match &shape[..] {
        [rows @ .., inputs] if !rows.is_empty() => {
            WeightMatrix::footprint(scheme, matrix_dtype, rows.iter().product(), *inputs)
        }
        _ => Arena::footprint::<f32>(shape.iter().product()),
    };
    // Frequencies are no tensors of the checkpoint.
    let frequencies = config.layers.iter().map(|layer| Arena::footprint::<f32>(layer.head_dim / 2));
    expected_tensors(config).into_iter().zip(schemes(config, source)).map(bytes).chain(frequencies).sum()
}

/// Takes room in the arena and has it filled, tensor by tensor.
struct Loader<'a> {
    device: &'a Device,
    config: &'a ModelConfig,
    source: &'a dyn Source,
    matrix_dtype: Dtype,
    arena: Arena,
    /// Weights of 4 bits as they are stored, before they are arranged.
    packed: Buffer<u8>,
    progress: &'a mut dyn FnMut(LoadProgress),
    done_bytes: u64,
    total_bytes: u64,
}

impl Loader<'_> {
    /// Fills so many rows of a matrix, from the row `start` on, with a tensor of this shape; its name within the decoder.
    fn fill(
        &mut self,
        name: &str,
        shape: &[usize],
        matrix: &mut WeightMatrix,
        start: usize,
        rows: usize,
    ) -> Result<(), Error> {
        let Self { source, device, packed, progress, done_bytes, total_bytes, .. } = self;
        let target = matrix.rows_mut(start..start + rows, packed);
        source.fill(device, &format!("{SHARED}{name}"), shape, target, &mut |bytes| {
            *done_bytes += bytes;
            progress(LoadProgress { done_bytes: *done_bytes, total_bytes: *total_bytes });
        })
    }

    /// Room for a matrix that is put together of tensors, each with its own name within the decoder.
    fn take(
        &mut self,
        scheme: Option<Scheme>,
        names: &[String],
        outputs: usize,
        inputs: usize,
    ) -> Result<WeightMatrix, Error> {
        let input_scale = self.input_scale(scheme, names)?;
        WeightMatrix::take(&mut self.arena, (scheme, input_scale), self.matrix_dtype, outputs, inputs)
            .map_err(failed(self.device))
    }

    /// The scale that inputs are rounded to NVFP4 with where the device multiplies that and the checkpoint has scales for it: the largest of those
    /// that one product takes together.
    ///
    /// For experts that is the largest of the layer, where the processor has one an expert: a row is rounded once, and goes to several of them. It
    /// costs nothing, as the scale is only the unit that groups' scales are counted in, which are found as the groups come. The largest
    /// bounds them, so that none is too great for E4M3; and E4M3 keeps its four significant bits down to 2^-14 of its greatest number.
    fn input_scale(&self, scheme: Option<Scheme>, names: &[String]) -> Result<Option<f32>, Error> {
        if !matches!(scheme, Some(Scheme::Nvfp4(_))) || !self.device.multiplies_fp4() {
            return Ok(None);
        }
        let mut largest = 0.0_f32;
        for name in names {
            match self.source.input_scale(&format!("{SHARED}{name}"))? {
                Some(scale) => largest = largest.max(scale),
                None => return Ok(None),
            }
        }
        Ok(Some(largest))
    }

    /// The matrices of linear layers of the same inputs, one below the other; the modules' names within the decoder.
    fn matrix(&mut self, parts: &[(String, usize)], inputs: usize) -> Result<WeightMatrix, Error> {
        let outputs = parts.iter().map(|(_, outputs)| outputs).sum();
        let mut schemes = parts.iter().map(|(module, _)| self.scheme(module));
        let scheme = schemes.next().flatten();
        if schemes.any(|other| other != scheme) {
            let names: Vec<&str> = parts.iter().map(|(module, _)| module.as_str()).collect();
            return Err(self.source.mixed(&names.join("`, `")));
        }
        let names: Vec<String> = parts.iter().map(|(module, _)| format!("{module}.weight")).collect();
        let mut matrix = self.take(scheme, &names, outputs, inputs)?;
        let mut start = 0;
        for (name, (_, outputs)) in names.iter().zip(parts) {
            self.fill(name, &[*outputs, inputs], &mut matrix, start, *outputs)?;
            start += outputs;
        }
        Ok(matrix)
    }

    fn scheme(&self, module: &str) -> Option<Scheme> {
        self.source.scheme(&format!("{SHARED}{module}.weight"))
    }

    fn gate_up(&mut self, prefix: &str) -> Result<WeightMatrix, Error> {
        let width = self.config.mlp_intermediate;
        let name = |half: &str| (format!("{prefix}.{half}_proj"), width);
        self.matrix(&[name("gate"), name("up")], self.config.hidden)
    }

    /// The matrices of all experts, whether they are stored as one tensor or each part by itself.
    fn experts(
        &mut self,
        prefix: &str,
        fused: &str,
        parts: &[&str],
        outputs: usize,
        inputs: usize,
    ) -> Result<WeightMatrix, Error> {
        let experts = self.config.experts;
        let name = format!("{prefix}.{fused}");
        if self.source.has_split(&format!("{SHARED}{name}")) {
            let modules = (0..experts).flat_map(|expert| {
                parts.iter().map(move |part| (format!("{prefix}.{expert}.{part}"), outputs / parts.len()))
            });
            return self.matrix(&modules.collect::<Vec<_>>(), inputs);
        }
        let scheme = self.source.scheme(&format!("{SHARED}{name}"));
        let mut matrix = self.take(scheme, std::slice::from_ref(&name), experts * outputs, inputs)?;
        self.fill(&name, &[experts, outputs, inputs], &mut matrix, 0, experts * outputs)?;
        Ok(matrix)
    }

    fn place(&mut self, values: &[f32]) -> Result<Buffer<f32>, Error> {
        let mut buffer = self.arena.take(values.len()).map_err(failed(self.device))?;
        buffer.as_mut().write(values).map_err(failed(self.device))?;
        Ok(buffer)
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Buffer<f32>, Error> {
        let values = self.source.vector(&format!("{SHARED}{name}"), &[length])?;
        self.place(&values)
    }

    fn scalar(&self, name: &str) -> Result<f32, Error> {
        Ok(self.source.vector(name, &[1])?[0])
    }

    fn layer(&mut self, index: usize) -> Result<Layer, Error> {
        let config = self.config;
        let layer: &LayerConfig = &config.layers[index];
        let (hidden, head_dim) = (config.hidden, layer.head_dim);
        let shape = HeadShape { heads: layer.heads, kv_heads: layer.kv_heads, head_dim };
        let name = |rest: &str| format!("layers.{index}.{rest}");

        let mut parts =
            vec![(name("self_attn.q_proj"), shape.query_width()), (name("self_attn.k_proj"), shape.kv_width())];
        if !layer.shares_key_as_value {
            parts.push((name("self_attn.v_proj"), shape.kv_width()));
        }
        let root = (hidden as f32).powf(-0.5);
        let scale = self.source.vector(&format!("{SHARED}{}", name("router.scale")), &[hidden])?;
        let scale: Vec<f32> = scale.iter().map(|scale| scale * root).collect();
        let mut norm = |rest: &str| self.vector(&format!("layers.{index}.{rest}.weight"), hidden);
        Ok(Layer {
            input_norm: norm("input_layernorm")?,
            post_attention_norm: norm("post_attention_layernorm")?,
            pre_feed_forward_norm: norm("pre_feedforward_layernorm")?,
            pre_feed_forward_norm_2: norm("pre_feedforward_layernorm_2")?,
            post_feed_forward_norm: norm("post_feedforward_layernorm")?,
            post_feed_forward_norm_1: norm("post_feedforward_layernorm_1")?,
            post_feed_forward_norm_2: norm("post_feedforward_layernorm_2")?,
            shape,
            window: match layer.kind {
                LayerKind::Sliding { window } => Some(window),
                LayerKind::Full => None,
            },
            inverse_frequencies: self.place(&layer.inverse_frequencies())?,
            qkv: self.matrix(&parts, hidden)?,
            has_values: !layer.shares_key_as_value,
            query_norm: self.vector(&name("self_attn.q_norm.weight"), head_dim)?,
            key_norm: self.vector(&name("self_attn.k_norm.weight"), head_dim)?,
            output: self.matrix(&[(name("self_attn.o_proj"), hidden)], shape.query_width())?,
            gate_up: self.gate_up(&name("mlp"))?,
            down: self.matrix(&[(name("mlp.down_proj"), hidden)], config.mlp_intermediate)?,
            router: self.matrix(&[(name("router.proj"), config.experts)], hidden)?,
            router_scale: self.place(&scale)?,
            per_expert_scale: self.vector(&name("router.per_expert_scale"), config.experts)?,
            expert_gate_up: self.experts(
                &name("experts"),
                "gate_up_proj",
                &["gate_proj", "up_proj"],
                2 * config.expert_intermediate,
                hidden,
            )?,
            expert_down: self.experts(
                &name("experts"),
                "down_proj",
                &["down_proj"],
                hidden,
                config.expert_intermediate,
            )?,
            encoder_scalar: self.scalar(&format!("{ENCODER}{}", name("layer_scalar")))?,
            decoder_scalar: self.scalar(&format!("{SHARED}{}", name("layer_scalar")))?,
        })
    }
}
