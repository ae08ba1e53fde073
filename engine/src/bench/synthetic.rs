//! A model of a published size with random weights, measured on a card.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::checkpoint::ModelConfig;
use crate::{Device, Error};

/// The shapes that have a name.
const SHAPES: [&str; 1] = ["diffusiongemma-26b-a4b"];
/// Rows or tokens of one measurement at most.
const SIZE_LIMIT: usize = 1 << 16;

/// What to measure.
#[derive(Clone, Debug)]
pub struct SyntheticOptions {
    /// The name of a published shape: `diffusiongemma-26b-a4b`.
    pub shape: String,
    /// What the weights are stored in.
    pub dtype: SyntheticDtype,
    /// Where to run; a card.
    pub device: Device,
    /// Canvas rows, all of them hole rows; a measurement each.
    pub rows: Vec<usize>,
    /// Tokens in the cached prompt, 0 for none; a measurement each.
    pub prompts: Vec<usize>,
    /// Steps a measurement, at least 1, after as many again to warm up (ten at most).
    pub repeats: usize,
}

/// How random weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SyntheticDtype {
    /// Products on tensor cores.
    Bf16,
    /// Attention, dense and expert networks in E4M3 as in the published FP8 checkpoint, the rest in BF16.
    Fp8,
    /// Experts in E2M1 with a scale for every 16, as in the published NVFP4 checkpoint, the rest in BF16.
    Nvfp4,
    /// Exact products.
    F32,
}

/// Everything measured.
#[derive(Clone, Debug, Serialize)]
pub struct SyntheticReport {
    /// The card.
    pub device: String,
    /// The shape's name.
    pub shape: String,
    /// What the weights are stored in.
    pub dtype: SyntheticDtype,
    /// How many weights there are.
    pub parameters: u64,
    /// 10^9 bytes a second that a copy on the card reads and writes together.
    pub copy_gb_per_s: f64,
    /// 10^12 multiplications and additions a second of a large product.
    pub matrix_tflops: f64,
    /// 10^9 bytes of the card in use with everything in place.
    pub device_memory_gb: f64,
    /// One entry for each number of rows and each prompt.
    pub steps: Vec<SyntheticStep>,
    /// One entry for each prompt that is not empty.
    pub prefill: Vec<SyntheticPrefill>,
}

/// A denoising step: self-conditioning, layers, head, and all that the sampler asks of every row.
#[derive(Clone, Debug, Serialize)]
pub struct SyntheticStep {
    /// Canvas rows.
    pub rows: usize,
    /// Tokens in the cached prompt.
    pub prompt: usize,
    /// Milliseconds, from the call until the host has the step's report.
    pub median_ms: f64,
    /// Milliseconds; a tenth of the steps took no longer.
    pub p10_ms: f64,
    /// Milliseconds of the card's own time, by its events.
    pub device_ms: f64,
    /// Milliseconds of the card's time where the step's kernels are launched one by one and not as a graph.
    pub launched_ms: f64,
    /// What each kernel takes of a step, the slowest first.
    pub kernels: Vec<SyntheticKernel>,
    /// 10^9 bytes that the step has to read: weights, of the experts those that even routing touches, and cached keys and values.
    pub gb: f64,
    /// What that makes a second, at the median.
    pub gb_per_s: f64,
    /// Of [`SyntheticReport::copy_gb_per_s`].
    pub share_of_copy: f64,
    /// 10^9 multiplications and additions that the step's products need.
    pub gflop: f64,
}

/// All launches of one kernel in a step. Together they take longer than the step, whose launches follow each other without a gap.
#[derive(Clone, Debug, Serialize)]
pub struct SyntheticKernel {
    /// As in its source.
    pub name: &'static str,
    /// How often it is launched.
    pub launches: usize,
    /// Milliseconds of the card's time together.
    pub ms: f64,
}

/// Encoding a prompt from nothing.
#[derive(Clone, Debug, Serialize)]
pub struct SyntheticPrefill {
    /// Tokens.
    pub prompt: usize,
    /// Milliseconds.
    pub median_ms: f64,
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// 10^12 multiplications and additions a second.
    pub tflops: f64,
    /// Of [`SyntheticReport::matrix_tflops`].
    pub share_of_matrix_rate: f64,
}

/// Measures a model with random weights; `progress` is told of each measurement as it begins.
pub fn synthetic(options: &SyntheticOptions, progress: &mut dyn FnMut(&str)) -> Result<SyntheticReport, Error> {
    let is_size = |count: &usize| *count > 0 && *count <= SIZE_LIMIT;
    if options.repeats == 0
        || !options.rows.iter().all(is_size)
        || options.prompts.iter().any(|count| *count > SIZE_LIMIT)
    {
        let reason = format!("rows and repeats must be from 1 to {SIZE_LIMIT}, and prompts from 0");
        return Err(Error::Request(reason));
    }
    let config = shape(&options.shape)?;
    crate::local::measure_synthetic(options, &config, progress)
}

/// The shape of that name.
pub(crate) fn shape(name: &str) -> Result<ModelConfig, Error> {
    if !SHAPES.contains(&name) {
        return Err(Error::Request(format!("there is no shape {name:?}: use {}", SHAPES.join(" or "))));
    }
    ModelConfig::parse(Path::new(name), &diffusiongemma_26b_a4b().to_string())
}

/// What bears on the arithmetic in the published `config.json`.
fn diffusiongemma_26b_a4b() -> Value {
    json!({
        "model_type": "diffusion_gemma",
        "canvas_length": 256,
        "dtype": "bfloat16",
        "tie_word_embeddings": true,
        "text_config": {
            "vocab_size": 262_144,
            "hidden_size": 2816,
            "intermediate_size": 2112,
            "num_hidden_layers": 30,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "num_global_key_value_heads": 2,
            "head_dim": 256,
            "global_head_dim": 512,
            "hidden_activation": "gelu_pytorch_tanh",
            "sliding_window": 1024,
            "max_position_embeddings": 262_144,
            "num_experts": 128,
            "top_k_experts": 8,
            "moe_intermediate_size": 704
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::LayerKind;

    #[test]
    fn the_published_shape_has_the_published_size() {
        let config = shape("diffusiongemma-26b-a4b").unwrap();
        let parameters = config.parameters();
        assert!((25_000_000_000..26_500_000_000).contains(&parameters), "{parameters}");
        let full: Vec<usize> = (0..30).filter(|index| config.layers[*index].kind == LayerKind::Full).collect();
        assert_eq!(full, [5, 11, 17, 23, 29]);
        assert!(shape("diffusiongemma-1t").unwrap_err().to_string().contains("diffusiongemma-26b-a4b"));
    }

    #[test]
    fn a_wrong_size_is_refused() {
        let options = SyntheticOptions {
            shape: SHAPES[0].to_owned(),
            dtype: SyntheticDtype::Bf16,
            device: Device::Auto,
            rows: vec![0],
            prompts: vec![0],
            repeats: 1,
        };
        assert!(matches!(synthetic(&options, &mut |_| {}), Err(Error::Request(_))));
        let on_the_processor = SyntheticOptions { rows: vec![1], device: Device::Cpu, ..options };
        let error = synthetic(&on_the_processor, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("card"), "{error}");
    }
}
