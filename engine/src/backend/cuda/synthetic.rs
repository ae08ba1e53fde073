//! Random weights made on the device, and what a model of them costs.

use std::time::Instant;

use lacuna_kernels::ops::fill::fill;
use lacuna_kernels::ops::quantised::{Fp8RowsMut, quantise_rows};
use lacuna_kernels::{Device, KernelTime, SliceMut, bf16};

use super::costs::{prefill_flop, step_bytes};
use super::rates::copy_rate;
use super::source::{Source, Target};
use super::{Activation, Cache, CudaBackend, Workspace, failed, name_of};
use crate::backend::{Backend, encode};
use crate::bench::{
    EndlessRun, SyntheticDtype, SyntheticKernel, SyntheticOptions, SyntheticPrefill, SyntheticReport, SyntheticStep,
    quantile, random_ids, step_flop,
};
use crate::checkpoint::quantised::{Nvfp4Layout, Scheme};
use crate::checkpoint::{Dtype, ModelConfig, Network};
use crate::local::LoadProgress;
use crate::philox::{self, Place, Purpose};
use crate::{Cancel, Error};

/// Times that a prompt is encoded.
const PREFILLS: usize = 5;

/// Weights that look random, at the scale of a trained model's.
pub(super) struct Synthetic {
    pub(super) dtype: SyntheticDtype,
    pub(super) hidden: usize,
}

/// Rows that are rounded at a time, in numbers.
const ROUNDED: usize = 1 << 26;
/// Words of random E2M1 that are repeated over a matrix.
const REPEATED_WORDS: usize = 1 << 20;
/// The root of the mean square of all E2M1, whose magnitudes are 0, 1/2, 1, 3/2, 2, 3, 4 and 6.
const E2M1_DEVIATION: f32 = 2.925;
/// One in E4M3.
const E4M3_ONE: u8 = 0x38;
/// With which inputs of some magnitude around one have scales in the middle of E4M3.
const INPUT_SCALE: f32 = 1.0 / 64.0;

impl Source for Synthetic {
    fn scheme(&self, name: &str) -> Option<Scheme> {
        match (self.dtype, Network::of(name)?) {
            // Its norms have no matrix.
            (SyntheticDtype::Fp8, Network::Attention) if !name.ends_with("_proj.weight") => None,
            (SyntheticDtype::Fp8, _) => Some(Scheme::Fp8),
            (SyntheticDtype::Nvfp4, Network::Experts) => Some(Scheme::Nvfp4(Nvfp4Layout::ModelOpt)),
            _ => None,
        }
    }

    fn has_split(&self, _fused: &str) -> bool {
        false
    }

    fn mixed(&self, names: &str) -> Error {
        Error::Request(format!("`{names}` are quantised in different ways"))
    }

    fn matrix_dtype(&self) -> Dtype {
        match self.dtype {
            SyntheticDtype::F32 => Dtype::F32,
            SyntheticDtype::Bf16 | SyntheticDtype::Fp8 | SyntheticDtype::Nvfp4 => Dtype::Bf16,
        }
    }

    fn embedding_scale(&self) -> f32 {
        self.matrix_dtype().round((self.hidden as f64).sqrt())
    }

    fn input_scale(&self, name: &str) -> Result<Option<f32>, Error> {
        Ok(matches!(self.scheme(name), Some(Scheme::Nvfp4(_))).then_some(INPUT_SCALE))
    }

    fn fill(
        &self,
        device: &Device,
        name: &str,
        shape: &[usize],
        target: Target<'_>,
        copied: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        // Sums over a row of them keep the variance of what they multiply.
        let inputs = shape.last().copied().unwrap_or(1);
        let bound = (3.0 / inputs as f32).sqrt();
        let seed = name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(257).wrapping_add(u64::from(byte)));
        let (bytes, filled) = match target {
            Target::F32(target) => (target.len() * 4, fill(seed, bound, target)),
            Target::Bf16(target) => (target.len() * 2, fill(seed, bound, target)),
            Target::Fp8 { numbers, scales } => {
                (numbers.len() + scales.len() * 4, fill_fp8(device, seed, bound, inputs, numbers, scales))
            }
            Target::Nvfp4 { words, mut group_scales, mut scales, .. } => {
                let bytes = words.len() * 4 + group_scales.len() + scales.len() * 4;
                let one = (inputs as f32).sqrt().recip() / E2M1_DEVIATION;
                let filled = fill_words(seed, words)
                    .and_then(|()| group_scales.write(&vec![E4M3_ONE; group_scales.len()]))
                    .and_then(|()| scales.write(&vec![one; scales.len()]));
                (bytes, filled)
            }
        };
        filled.map_err(failed(device))?;
        copied(bytes as u64);
        Ok(())
    }

    fn vector(&self, _name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        Ok(vec![1.0; shape.iter().product()])
    }
}

/// Rounds random numbers as a checkpoint's would be.
fn fill_fp8(
    device: &Device,
    seed: u64,
    bound: f32,
    inputs: usize,
    mut numbers: SliceMut<'_, u8>,
    mut scales: SliceMut<'_, f32>,
) -> Result<(), lacuna_kernels::Error> {
    let rows_at_once = (ROUNDED / inputs).clamp(1, scales.len().max(1));
    let mut exact = device.allocate::<bf16>(rows_at_once * inputs)?;
    for start in (0..scales.len()).step_by(rows_at_once) {
        let rows = start..scales.len().min(start + rows_at_once);
        let mut exact = exact.slice_mut(0..rows.len() * inputs);
        fill(seed ^ start as u64, bound, exact.reborrow())?;
        let rounded = Fp8RowsMut {
            numbers: numbers.reborrow().slice(rows.start * inputs..rows.end * inputs),
            scales: scales.reborrow().slice(rows),
        };
        quantise_rows(exact.as_slice(), inputs, rounded)?;
    }
    Ok(())
}

/// Any bits are numbers in E2M1.
fn fill_words(seed: u64, mut words: SliceMut<'_, u32>) -> Result<(), lacuna_kernels::Error> {
    let place = |index: usize| Place { seed, candidate: 0, step: 0, row: index as u32 };
    let count = words.len().min(REPEATED_WORDS);
    let block: Vec<u32> =
        (0..count.div_ceil(4)).flat_map(|index| philox::words(place(index), Purpose::Start, 0)).take(count).collect();
    for start in (0..words.len()).step_by(block.len().max(1)) {
        let part = start..words.len().min(start + block.len());
        let length = part.len();
        words.reborrow().slice(part).write(&block[..length])?;
    }
    Ok(())
}

/// Measures a model of this shape.
pub(crate) fn measure<T: Activation>(
    device: &Device,
    options: &SyntheticOptions,
    config: &ModelConfig,
    progress: &mut dyn FnMut(&str),
) -> Result<SyntheticReport, Error> {
    progress("copy bandwidth");
    let copy_gb_per_s = copy_rate(device).map_err(failed(device))? / 1e9;
    progress("random weights");
    let source = Synthetic { dtype: options.dtype, hidden: config.hidden };
    let backend = CudaBackend::<T>::new(device, config, &source, &mut |_: LoadProgress| {})?;
    let longest = options.prompts.iter().copied().max().unwrap_or(0).clamp(1, backend.encode_rows());
    let mut workspace = backend.new_workspace(options.rows.iter().copied().max().unwrap_or(1).max(longest))?;
    progress("matrix rate");
    let matrix_tflops = backend.matrix_rate()? / 1e12;
    let mut report = SyntheticReport {
        device: name_of(device),
        shape: options.shape.clone(),
        dtype: options.dtype,
        parameters: config.parameters() as u64,
        copy_gb_per_s,
        matrix_tflops,
        device_memory_gb: 0.0,
        steps: Vec::new(),
        prefill: Vec::new(),
    };
    for prompt in options.prompts.iter().copied() {
        let mut cache = backend.new_cache();
        if prompt > 0 {
            progress(&format!("prefill of {prompt} tokens"));
            let ids = random_ids(config, prompt);
            let mut times = Vec::with_capacity(PREFILLS);
            // The first one grows the cache and loads kernels.
            for repeat in 0..=PREFILLS.min(options.repeats) {
                backend.truncate(&mut cache, 0);
                let start = Instant::now();
                encode(&backend, config.layers.len(), &ids, &mut cache, &mut workspace, &Cancel::new())?;
                device.synchronize().map_err(failed(device))?;
                if repeat > 0 {
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
            let median_ms = quantile(&mut times, 0.5);
            let tflops = prefill_flop(config, prompt) / (median_ms / 1e3) / 1e12;
            report.prefill.push(SyntheticPrefill {
                prompt,
                median_ms,
                tokens_per_s: prompt as f64 / median_ms * 1e3,
                tflops,
                share_of_matrix_rate: tflops / matrix_tflops,
            });
        }
        for rows in options.rows.iter().copied() {
            progress(&format!("step of {rows} rows over {prompt} tokens"));
            let mut measured = measure_step(&backend, config, &cache, rows, options.repeats, &mut workspace)?;
            let median_ms = quantile(&mut measured.host_ms, 0.5);
            let gb = step_bytes(config, options.dtype, rows, prompt) / 1e9;
            let gb_per_s = gb / (median_ms / 1e3);
            report.steps.push(SyntheticStep {
                rows,
                prompt,
                median_ms,
                p10_ms: quantile(&mut measured.host_ms, 0.1),
                device_ms: quantile(&mut measured.device_ms, 0.5),
                launched_ms: quantile(&mut measured.launched_ms, 0.5),
                kernels: measured.kernels,
                gb,
                gb_per_s,
                share_of_copy: gb_per_s / copy_gb_per_s,
                gflop: step_flop(config, rows, prompt) / 1e9,
            });
        }
        let (free, total) = device.memory().map_err(failed(device))?;
        report.device_memory_gb = report.device_memory_gb.max((total - free) as f64 / 1e9);
    }
    Ok(report)
}

/// One step, again and again.
struct MeasuredStep {
    host_ms: Vec<f64>,
    device_ms: Vec<f64>,
    launched_ms: Vec<f64>,
    kernels: Vec<SyntheticKernel>,
}

fn measure_step<T: Activation>(
    backend: &CudaBackend<T>,
    config: &ModelConfig,
    cache: &Cache<T>,
    rows: usize,
    repeats: usize,
    workspace: &mut Workspace<T>,
) -> Result<MeasuredStep, Error> {
    let device = &backend.device;
    let mut run = EndlessRun::new(config, rows);
    let mut timed = |count: usize, workspace: &mut Workspace<T>| {
        let (mut host_ms, mut device_ms) = (Vec::with_capacity(count), Vec::with_capacity(count));
        // The first steps load kernels and capture the graph.
        for step in 0..count + count.min(10) + 3 {
            let start = Instant::now();
            let before = device.mark().map_err(failed(device))?;
            run.step(backend, cache, workspace)?;
            let after = device.mark().map_err(failed(device))?;
            let elapsed = start.elapsed();
            let on_device = after.since(&before).map_err(failed(device))?;
            if step >= count.min(10) + 3 {
                host_ms.push(elapsed.as_secs_f64() * 1e3);
                device_ms.push(on_device.as_secs_f64() * 1e3);
            }
        }
        Ok::<_, Error>((host_ms, device_ms))
    };
    let (host_ms, device_ms) = timed(repeats, workspace)?;
    workspace.launches_one_by_one(true);
    let launched = timed(repeats, workspace);
    let profiled = launched.and_then(|(_, launched_ms)| {
        let profile = device.profile(|| run.step(backend, cache, workspace));
        let (stepped, kernels) = profile.map_err(failed(device))?;
        stepped.map(|()| (launched_ms, kernels))
    });
    workspace.launches_one_by_one(false);
    let (launched_ms, kernels) = profiled?;
    let kernels = kernels.into_iter().map(|KernelTime { name, launches, time }| SyntheticKernel {
        name,
        launches,
        ms: time.as_secs_f64() * 1e3,
    });
    Ok(MeasuredStep { host_ms, device_ms, launched_ms, kernels: kernels.collect() })
}
