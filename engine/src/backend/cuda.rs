//! A card: the same operations as the processor's, on the kernels of `lacuna-kernels`.
//!
//! Weights lie on the device once, in the format that they are multiplied in. Everything is queued in order on one stream; the host waits
//! only where it reads a result.

mod attention;
mod cache;
mod costs;
mod feed_forward;
mod head;
mod matrices;
mod rates;
mod source;
mod step;
mod synthetic;
#[cfg(test)]
pub(crate) mod tests;
mod weights;
mod workspace;

use lacuna_kernels::ops::attention::AttentionElement;
use lacuna_kernels::ops::experts::{ExpertInput, ExpertOperand, experts_gated};
use lacuna_kernels::ops::head::VocabularyElement;
use lacuna_kernels::ops::linear::{Input, LinearScratch, Matrix, Operand, Weights as WeightSlice, gated_linear};
use lacuna_kernels::ops::router::Routing;
use lacuna_kernels::ops::rows::NormOutput;
use lacuna_kernels::{Device, Element, Error as KernelError, Slice, SliceMut, bf16};

use crate::Error;
use crate::backend::{
    Backend, CARD_ENCODE_ROWS, RowOutcome, SampleRow, SampleSettings, ScoredToken, Segment, Stack, StepInput,
    StepOutcome,
};
use crate::checkpoint::ModelConfig;
use crate::local::LoadProgress;

pub(crate) use cache::Cache;
pub(crate) use source::Source;
pub(crate) use synthetic::measure as measure_synthetic;
use weights::Weights;
pub(crate) use workspace::Workspace;

/// Rows that canvases of several requests may have together in a pass. An expert of the largest model then has some 30 of
/// them, with which its products are still bound by its weights.
const SHARED_ROWS: usize = 512;

/// What products multiply: bf16 on tensor cores, or f32 exactly, whatever dtype the weights are in.
pub(crate) trait Activation:
    NormOutput + Operand + ExpertOperand + AttentionElement + VocabularyElement + Element
{
    /// Whether there are products with quantised weights.
    const TAKES_QUANTISED: bool;
    fn weights(slice: Slice<'_, Self>) -> WeightSlice<'_>;
    fn from_f32(number: f32) -> Self;
    /// The gated product of rounded rows. Models with quantised weights are refused where there is none.
    fn gated_linear<I: Input<Gated = bf16>>(
        _input: I,
        _matrix: &Matrix<'_>,
        _scratch: &mut LinearScratch,
        _output: SliceMut<'_, Self>,
    ) -> Result<(), KernelError> {
        no_product("gated_linear")
    }
    /// The experts' gated products of rounded rows, likewise.
    fn experts_gated<I: ExpertInput<Gated = bf16>>(
        _input: I,
        _routing: &Routing,
        _weights: WeightSlice<'_>,
        _width: usize,
        _output: SliceMut<'_, Self>,
    ) -> Result<(), KernelError> {
        no_product("experts_gated")
    }
}

fn no_product(operation: &'static str) -> Result<(), KernelError> {
    Err(KernelError::Shape { operation, reason: "what is multiplied in fp8 or nvfp4 is written in bf16".to_owned() })
}

impl Activation for f32 {
    const TAKES_QUANTISED: bool = false;
    fn weights(slice: Slice<'_, f32>) -> WeightSlice<'_> {
        WeightSlice::F32(slice)
    }
    fn from_f32(number: f32) -> Self {
        number
    }
}

impl Activation for bf16 {
    const TAKES_QUANTISED: bool = true;
    fn gated_linear<I: Input<Gated = bf16>>(
        input: I,
        matrix: &Matrix<'_>,
        scratch: &mut LinearScratch,
        output: SliceMut<'_, bf16>,
    ) -> Result<(), KernelError> {
        gated_linear(input, matrix, scratch, output)
    }
    fn experts_gated<I: ExpertInput<Gated = bf16>>(
        input: I,
        routing: &Routing,
        weights: WeightSlice<'_>,
        width: usize,
        output: SliceMut<'_, bf16>,
    ) -> Result<(), KernelError> {
        experts_gated(input, routing, weights, width, output)
    }
    fn weights(slice: Slice<'_, bf16>) -> WeightSlice<'_> {
        WeightSlice::Bf16(slice)
    }
    fn from_f32(number: f32) -> Self {
        bf16::from_f32(number)
    }
}

/// A device with a model's weights on it.
pub(crate) struct CudaBackend<T> {
    device: Device,
    weights: Weights<T>,
}

impl<T: Activation> CudaBackend<T> {
    /// Brings the weights to the device.
    pub(crate) fn new(
        device: &Device,
        config: &ModelConfig,
        source: &dyn Source,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, Error> {
        Ok(Self { device: device.clone(), weights: Weights::load(device, config, source, progress)? })
    }
}

/// The device's name in messages.
pub(crate) fn name_of(device: &Device) -> String {
    let info = device.info();
    format!("cuda:{} {}", info.index, info.name)
}

/// What a kernel's launch says, as an error of the engine.
fn failed(device: &Device) -> impl Fn(lacuna_kernels::Error) -> Error + '_ {
    |error| Error::Device { device: format!("cuda:{}", device.info().index), reason: error.to_string() }
}

impl<T: Activation> Backend for CudaBackend<T> {
    type Cache = Cache<T>;
    type Workspace = Workspace<T>;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }

    fn encode_rows(&self) -> usize {
        CARD_ENCODE_ROWS
    }

    fn shared_rows(&self) -> usize {
        SHARED_ROWS
    }

    fn matrix_rate(&self) -> Result<f64, Error> {
        rates::matrix_rate::<T>(&self.device).map_err(failed(&self.device))
    }

    fn new_cache(&self) -> Cache<T> {
        Cache::new(self.weights.layers.len())
    }

    fn cached_tokens(&self, cache: &Cache<T>) -> usize {
        cache.tokens
    }

    fn truncate(&self, cache: &mut Cache<T>, tokens: usize) {
        cache.truncate(tokens);
    }

    fn new_workspace(&self, rows: usize) -> Result<Workspace<T>, Error> {
        Workspace::new(&self.device, &self.weights, rows).map_err(failed(&self.device))
    }

    fn embed(&self, workspace: &mut Workspace<T>, ids: &[u32]) -> Result<(), Error> {
        head::embed(&self.weights, workspace, ids).map_err(failed(&self.device))
    }

    fn self_condition(&self, workspace: &mut Workspace<T>, targets: &[Option<usize>]) -> Result<(), Error> {
        head::self_condition(&self.weights, workspace, targets).map_err(failed(&self.device))
    }

    fn soften(&self, workspace: &mut Workspace<T>, logits: &[f32]) -> Result<(), Error> {
        head::soften(&self.weights, workspace, logits).map_err(failed(&self.device))
    }

    fn attend_prompt(
        &self,
        workspace: &mut Workspace<T>,
        layer: usize,
        segments: &[Segment],
        caches: &mut [&mut Cache<T>],
        keys_only: bool,
    ) -> Result<(), Error> {
        attention::attend_prompt(&self.weights, workspace, layer, segments, caches, keys_only)
            .map_err(failed(&self.device))
    }

    fn attend_canvas(
        &self,
        workspace: &mut Workspace<T>,
        layer: usize,
        segments: &[Segment],
        caches: &[&Cache<T>],
    ) -> Result<(), Error> {
        attention::attend_canvas(&self.weights, workspace, layer, segments, caches).map_err(failed(&self.device))
    }

    fn feed_forward(&self, workspace: &mut Workspace<T>, layer: usize, stack: Stack) -> Result<(), Error> {
        feed_forward::feed_forward(&self.weights, workspace, layer, stack).map_err(failed(&self.device))
    }

    fn logits(&self, workspace: &mut Workspace<T>, out: &mut [f32]) -> Result<(), Error> {
        head::logits(&self.weights, workspace, out).map_err(failed(&self.device))
    }

    fn log_probabilities(
        &self,
        workspace: &mut Workspace<T>,
        tokens: &[ScoredToken],
        out: &mut [f32],
    ) -> Result<(), Error> {
        head::log_probabilities(&self.weights, workspace, tokens, out).map_err(failed(&self.device))
    }

    fn sample(
        &self,
        workspace: &mut Workspace<T>,
        rows: &[SampleRow],
        settings: SampleSettings<'_>,
        outcomes: &mut [RowOutcome],
    ) -> Result<(), Error> {
        head::sample(&self.weights, workspace, rows, settings, outcomes).map_err(failed(&self.device))
    }
    fn step(
        &self,
        layers: usize,
        input: StepInput<'_>,
        prompts: &[&Cache<T>],
        workspace: &mut Workspace<T>,
        outcome: &mut StepOutcome,
    ) -> Result<(), Error> {
        assert!(layers == self.weights.layers.len(), "a step goes through all layers");
        step::step(&self.weights, workspace, input, prompts, outcome).map_err(failed(&self.device))
    }
}
