//! What a step costs on this machine.

use std::time::Instant;

use serde::Serialize;

pub(crate) mod synthetic;

pub use synthetic::{
    SyntheticDtype, SyntheticKernel, SyntheticOptions, SyntheticPrefill, SyntheticReport, SyntheticStep, synthetic,
};

use crate::backend::{Backend, CanvasHoles, SampleRow, Segment, StepInput, StepOutcome, encode};
use crate::checkpoint::{LayerKind, ModelConfig};
use crate::local::{OnBackend, Placement, Precision, on_backend, open_checkpoint};
use crate::noise::{Noise, NoiseKind, SeededNoise};
use crate::philox::{self, Place, Purpose};
use crate::sampler::Schedule;
use crate::{Cancel, Device, Error, ModelSource};

/// Of the measured steps, which no canvas is ever certain enough to end; the work does not depend on the other numbers.
const SCHEDULE: Schedule = Schedule {
    step_limit: u32::MAX as usize,
    entropy_bound: 0.1,
    t_min: 0.4,
    t_max: 0.8,
    stability_threshold: 1,
    confidence_threshold: f32::NEG_INFINITY,
};

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Where the weights come from.
    pub model: ModelSource,
    /// Where to run.
    pub device: Device,
    /// Threads to compute with; all cores where it is `None`.
    pub threads: Option<usize>,
    /// Canvas rows, all of them hole rows; a measurement each.
    pub rows: Vec<usize>,
    /// Tokens in the cached prompt; a measurement each.
    pub prompts: Vec<usize>,
    /// Steps a measurement, at least 1, after as many again to warm up (ten at most).
    pub repeats: usize,
}

/// Everything measured.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// Where: `cpu` and its threads, or a card and its name.
    pub device: String,
    /// 10^9 multiplications and additions a second of a large product of matrices, measured in the same run.
    pub matrix_gflops: f64,
    /// One entry for each number of rows and each prompt.
    pub steps: Vec<StepTime>,
    /// One entry for each prompt.
    pub prefill: Vec<PrefillTime>,
}

/// A denoising step: self-conditioning, layers, head, and all that the sampler asks of every row.
#[derive(Clone, Debug, Serialize)]
pub struct StepTime {
    /// Canvas rows.
    pub rows: usize,
    /// Tokens in the cached prompt.
    pub prompt: usize,
    /// Milliseconds.
    pub median_ms: f64,
    /// Milliseconds; a tenth of the steps took no longer.
    pub p10_ms: f64,
    /// 10^9 multiplications and additions that the step's products need.
    pub gflop: f64,
    /// Of [`BenchReport::matrix_gflops`], at the median.
    pub share_of_matrix_rate: f64,
}

/// Encoding a prompt from nothing.
#[derive(Clone, Debug, Serialize)]
pub struct PrefillTime {
    /// Tokens.
    pub prompt: usize,
    /// Milliseconds.
    pub median_ms: f64,
    /// Tokens a second.
    pub tokens_per_s: f64,
}

/// Measures a checkpoint; `progress` is told of each measurement as it begins.
pub fn bench(options: &BenchOptions, progress: &mut dyn FnMut(&str)) -> Result<BenchReport, Error> {
    let limit = 1 << 16;
    if options.repeats == 0 || options.rows.iter().chain(&options.prompts).any(|count| *count == 0 || *count > limit) {
        return Err(Error::Request(format!("rows, prompts and repeats must be from 1 to {limit}")));
    }
    let checkpoint = open_checkpoint(&options.model)?;
    let BenchOptions { device, threads, .. } = *options;
    let placement = Placement { device, threads, precision: Precision::Stored, progress: &mut |_| {} };
    on_backend(&checkpoint, placement, Bench { options, config: &checkpoint.config, progress })
}

struct Bench<'a> {
    options: &'a BenchOptions,
    config: &'a ModelConfig,
    progress: &'a mut dyn FnMut(&str),
}

impl OnBackend for Bench<'_> {
    type Output = BenchReport;

    fn run<B: Backend + 'static>(self, backend: B, device: String) -> Result<BenchReport, Error> {
        let Self { options, config, progress } = self;
        measure(&backend, device, options, config, progress)
    }
}

fn measure<B: Backend>(
    backend: &B,
    device: String,
    options: &BenchOptions,
    config: &ModelConfig,
    progress: &mut dyn FnMut(&str),
) -> Result<BenchReport, Error> {
    let most = options.rows.iter().copied().max().unwrap_or(1).max(backend.encode_rows());
    let mut workspace = backend.new_workspace(most)?;

    progress("matrix rate");
    let matrix_gflops = backend.matrix_rate()? / 1e9;
    let mut report = BenchReport { device, matrix_gflops, steps: Vec::new(), prefill: Vec::new() };
    for prompt in options.prompts.iter().copied() {
        progress(&format!("prefill of {prompt} tokens"));
        let ids = random_ids(config, prompt);
        let mut cache = backend.new_cache();
        let mut times = Vec::new();
        for _ in 0..options.repeats.clamp(3, 10) {
            cache = backend.new_cache();
            let start = Instant::now();
            backend.run(|| encode(backend, config.layers.len(), &ids, &mut cache, &mut workspace, &Cancel::new()))?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let median_ms = quantile(&mut times, 0.5);
        report.prefill.push(PrefillTime { prompt, median_ms, tokens_per_s: prompt as f64 / median_ms * 1e3 });
        for rows in options.rows.iter().copied() {
            progress(&format!("step of {rows} rows over {prompt} tokens"));
            let mut times = measure_steps(backend, config, &cache, rows, options.repeats, &mut workspace)?;
            let median_ms = quantile(&mut times, 0.5);
            let gflop = step_flop(config, rows, prompt) / 1e9;
            report.steps.push(StepTime {
                rows,
                prompt,
                median_ms,
                p10_ms: quantile(&mut times, 0.1),
                gflop,
                share_of_matrix_rate: gflop / (median_ms / 1e3) / matrix_gflops,
            });
        }
    }
    Ok(report)
}

fn measure_steps<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    cache: &B::Cache,
    rows: usize,
    repeats: usize,
    workspace: &mut B::Workspace,
) -> Result<Vec<f64>, Error> {
    let mut endless = EndlessRun::new(config, rows);
    let mut times = Vec::with_capacity(repeats);
    let warm_up = repeats.min(10);
    for step in 0..warm_up + repeats {
        let start = Instant::now();
        endless.step(backend, cache, workspace)?;
        if step >= warm_up {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(times)
}

/// A run of one canvas without pinned rows that never stops.
pub(crate) struct EndlessRun {
    layers: usize,
    step: usize,
    noise: Noise<'static>,
    ids: Vec<u32>,
    rows: Vec<SampleRow>,
    history: Vec<u32>,
    soft_targets: Vec<Option<usize>>,
    outcome: StepOutcome,
}

impl EndlessRun {
    pub(crate) fn new(config: &ModelConfig, rows: usize) -> Self {
        let place = |row: usize| Place { seed: 0, candidate: 0, step: 0, row: row as u32 };
        Self {
            layers: config.layers.len(),
            step: 0,
            noise: Noise::Seeded(SeededNoise { kind: NoiseKind::Uniform, vocabulary: config.vocab_size as u32 }),
            ids: random_ids(config, rows),
            rows: (0..rows).map(|row| SampleRow { row, allowed: None, place: place(row) }).collect(),
            history: Vec::with_capacity(rows),
            soft_targets: Vec::with_capacity(rows),
            outcome: StepOutcome::default(),
        }
    }

    /// The next step.
    pub(crate) fn step<B: Backend>(
        &mut self,
        backend: &B,
        cache: &B::Cache,
        workspace: &mut B::Workspace,
    ) -> Result<(), Error> {
        let count = self.rows.len();
        self.rows.iter_mut().for_each(|row| row.place.step = self.step as u32);
        let input = StepInput {
            step: self.step,
            schedule: &SCHEDULE,
            noise: self.noise,
            ids: &self.ids,
            segments: &[Segment { rows: count, prompt: 0 }],
            soft_targets: &self.soft_targets,
            rows: &self.rows,
            canvases: &[CanvasHoles { holes: count, remembered: self.history.len() / count }],
            history: &self.history,
            sets: &[],
            votes: &[],
            own_probabilities: false,
        };
        backend.step(self.layers, input, &[cache], workspace, &mut self.outcome)?;
        self.step += 1;
        self.ids.copy_from_slice(&self.outcome.tokens);
        self.history.clear();
        self.history.extend(self.outcome.outcomes.iter().map(|outcome| outcome.argmax));
        if self.soft_targets.is_empty() {
            self.soft_targets.extend((0..count).map(Some));
        }
        Ok(())
    }
}

pub(crate) fn random_ids(config: &ModelConfig, count: usize) -> Vec<u32> {
    let place = |row: usize| Place { seed: 1, candidate: 0, step: 0, row: row as u32 };
    (0..count).map(|row| philox::token(place(row), Purpose::Start, config.vocab_size as u32)).collect()
}

/// Multiplications and additions in the products of one step.
pub(crate) fn step_flop(config: &ModelConfig, rows: usize, prompt: usize) -> f64 {
    let hidden = config.hidden;
    let gated = |width: usize| 3 * hidden * width;
    let mut per_row = gated(config.mlp_intermediate) + 2 * hidden * config.vocab_size;
    for layer in &config.layers {
        let query = layer.heads * layer.head_dim;
        let key = layer.kv_heads * layer.head_dim;
        let seen = match layer.kind {
            LayerKind::Sliding { window } => prompt.min(window - 1),
            LayerKind::Full => prompt,
        };
        per_row += hidden * (2 * query + key * if layer.shares_key_as_value { 1 } else { 2 });
        per_row += 2 * query * (seen + rows);
        per_row += gated(config.mlp_intermediate) + hidden * config.experts;
        per_row += config.experts_per_token * gated(config.expert_intermediate);
    }
    2.0 * rows as f64 * per_row as f64
}

pub(crate) fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}
