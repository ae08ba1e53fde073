//! Times what a denoising step of DiffusionGemma does besides its products, on the first card, in bf16 with random numbers of the real
//! geometry: heads, attention over prompts of 0 to 8192 tokens, the canvas head with and without soft embeddings, and the sampler; and the attention
//! of prompts. Milliseconds, and what the operation is bound by: bytes of memory, or products.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::process::ExitCode;

use lacuna_kernels::ops::attention::{AttentionInput, attend, attention_scratch_len};
use lacuna_kernels::ops::head::{
    HeadShape as VocabularyShape, HeadWorkspace, SampleSettings, Vocabulary, sample, soft_embeddings,
};
use lacuna_kernels::ops::linear::{Matrix, Weights};
use lacuna_kernels::ops::rope::{HeadWeights, OwnKeys, place_heads};
use lacuna_kernels::ops::sampler::{AdvanceInput, CanvasStart, Renoise, RunState, Schedule, advance};
use lacuna_kernels::ops::segments::{CanvasSegment, HeadShape, PromptSegment, SegmentBuffer};
use lacuna_kernels::ops::steps::{RowOutcome, SampleRow, SampleRows, Step};
use lacuna_kernels::{Arena, Buffer, Device, Error, bf16};

const HIDDEN: usize = 2816;
const TOKENS: usize = 262_144;
const EPS: f32 = 1e-6;
const WINDOW: usize = 1024;
const SLIDING: HeadShape = HeadShape { heads: 16, kv_heads: 8, head_dim: 256 };
const FULL: HeadShape = HeadShape { heads: 16, kv_heads: 2, head_dim: 512 };
const PROMPTS: [usize; 3] = [0, 1024, 8192];
/// New prompt tokens at a time.
const PROMPT_ROWS: usize = 1024;
const WARM_UP: usize = 3;
const RUNS: usize = 20;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Numbers that look random, between -scale / 2 and scale / 2.
fn numbers(len: usize, scale: f32) -> impl Iterator<Item = f32> {
    let mut state = 1_u32;
    (0..len).map(move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * scale
    })
}

/// A block of such numbers, repeated over a buffer.
fn random(device: &Device, len: usize, scale: f32) -> Result<Buffer<bf16>, Error> {
    let block: Vec<bf16> = numbers(len.min(1 << 20), scale).map(bf16::from_f32).collect();
    let mut buffer = device.allocate(len)?;
    for start in (0..len).step_by(block.len().max(1)) {
        let end = len.min(start + block.len());
        buffer.slice_mut(start..end).write(&block[..end - start])?;
    }
    Ok(buffer)
}

fn random_f32(device: &Device, len: usize) -> Result<Buffer<f32>, Error> {
    device.upload(&numbers(len, 1.0).collect::<Vec<_>>())
}

/// The median of the device's milliseconds of one call.
fn time(device: &Device, mut call: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let mut times = Vec::new();
    for run in 0..WARM_UP + RUNS {
        let before = device.mark()?;
        call()?;
        let elapsed = device.mark()?.since(&before)?;
        if run >= WARM_UP {
            times.push(elapsed.as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Prints one line: what it reads and writes at least, and how much it multiplies.
fn report(what: &str, rows: usize, prompt: usize, ms: f64, bytes: usize, products: usize) {
    println!(
        "{what:<28} {rows:>5} {prompt:>6} {ms:>9.4} {:>9.0} {:>9.1}",
        bytes as f64 / ms / 1e6,
        2.0 * products as f64 / ms / 1e9
    );
}

fn measure() -> Result<(), Error> {
    let device = Device::cuda(0)?;
    println!("{device:?}");
    println!("{:<28} {:>5} {:>6} {:>9} {:>9} {:>9}", "operation", "rows", "prompt", "ms", "GB/s", "TFLOP/s");
    for (what, shape, window) in [("sliding", SLIDING, Some(WINDOW)), ("full", FULL, None)] {
        for prompt in PROMPTS {
            for rows in [16, 64, 256] {
                measure_canvas(&device, what, shape, window, rows, prompt)?;
            }
            measure_prompt(&device, what, shape, window, prompt)?;
        }
    }
    let embedding = random(&device, TOKENS * HIDDEN, 0.05)?;
    for rows in [16, 32, 64, 128, 256] {
        measure_head(&device, &embedding, rows)?;
    }
    Ok(())
}

fn measure_canvas(
    device: &Device,
    what: &str,
    shape: HeadShape,
    window: Option<usize>,
    rows: usize,
    prompt: usize,
) -> Result<(), Error> {
    let (query_len, kv_len) = (rows * shape.query_width(), rows * shape.kv_width());
    let cache = random(device, prompt * shape.kv_width(), 1.0)?;
    let projected = random_f32(device, query_len + 2 * kv_len)?;
    let (norm, frequencies) = (random_f32(device, shape.head_dim)?, random_f32(device, shape.head_dim / 2)?);
    let mut queries = device.allocate::<bf16>(query_len)?;
    let mut own = (device.allocate::<bf16>(kv_len)?, device.allocate::<bf16>(kv_len)?);
    let mut segments = SegmentBuffer::new(device, 1)?;
    let (keys, values) = (cache.as_slice(), cache.as_slice());
    let segment = CanvasSegment { rows, cached_tokens: prompt, keys, values };
    let tables = segments.write_canvases(&[vec![segment]], |_| shape)?;
    let layer = tables.layer(0);
    let weights = HeadWeights {
        query_norm: norm.as_slice(),
        key_norm: norm.as_slice(),
        inverse_frequencies: frequencies.as_slice(),
        eps: EPS,
        has_values: true,
    };
    let ms = time(device, || {
        let own = OwnKeys { keys: own.0.as_mut(), values: own.1.as_mut() };
        place_heads(&layer, projected.as_slice(), weights, Some(queries.as_mut()), Some(own))
    })?;
    report(&format!("{what}: heads"), rows, prompt, ms, 6 * (query_len + 2 * kv_len), 0);

    let mut scratch = device.allocate::<f32>(attention_scratch_len::<bf16>(device, rows, shape))?;
    let mut output = device.allocate::<bf16>(query_len)?;
    let input = AttentionInput { queries: queries.as_slice(), own: Some((own.0.as_slice(), own.1.as_slice())) };
    let ms = time(device, || attend(&layer, input, window, scratch.as_mut(), output.as_mut()))?;
    let seen = window.map_or(prompt, |window| prompt.min(window - 1)) + rows;
    let bytes = 2 * (2 * query_len + 2 * seen * shape.kv_width());
    report(&format!("{what}: canvas"), rows, prompt, ms, bytes, 2 * query_len * seen);
    Ok(())
}

fn measure_prompt(
    device: &Device,
    what: &str,
    shape: HeadShape,
    window: Option<usize>,
    prompt: usize,
) -> Result<(), Error> {
    let capacity = (prompt + PROMPT_ROWS) * shape.kv_width();
    let (mut keys, mut values) = (random(device, capacity, 1.0)?, random(device, capacity, 1.0)?);
    let queries = random(device, PROMPT_ROWS * shape.query_width(), 1.0)?;
    let mut segments = SegmentBuffer::new(device, 1)?;
    let segment =
        PromptSegment { rows: PROMPT_ROWS, cached_tokens: prompt, keys: keys.as_mut(), values: values.as_mut() };
    let tables = segments.write_prompts(vec![vec![segment]], |_| shape)?;
    let mut scratch = device.allocate::<f32>(attention_scratch_len::<bf16>(device, PROMPT_ROWS, shape))?;
    let mut output = device.allocate::<bf16>(queries.len())?;
    let input = AttentionInput { queries: queries.as_slice(), own: None };
    let ms = time(device, || attend(&tables.layer(0), input, window, scratch.as_mut(), output.as_mut()))?;
    let seen: usize = (prompt + 1..=prompt + PROMPT_ROWS).map(|all| window.map_or(all, |window| all.min(window))).sum();
    let bytes = 2 * (2 * queries.len() + 2 * capacity);
    report(&format!("{what}: prompt"), PROMPT_ROWS, prompt, ms, bytes, 2 * seen * shape.query_width());
    Ok(())
}

fn measure_head(device: &Device, embedding: &Buffer<bf16>, rows: usize) -> Result<(), Error> {
    let shape = VocabularyShape { rows, vocabulary: TOKENS, hidden: HIDDEN, keeps_weights: true };
    let mut arena = Arena::new(device, shape.footprint::<bf16>(device))?;
    let mut workspace = HeadWorkspace::<bf16>::new(device, &mut arena, shape)?;
    let (stream, norm) = (random_f32(device, rows * HIDDEN)?, random_f32(device, HIDDEN)?);
    let weights = Weights::Bf16(embedding.as_slice());
    let vocabulary = Vocabulary {
        embedding: Matrix { weights, outputs: TOKENS, inputs: HIDDEN },
        final_norm: norm.as_slice(),
        eps: EPS,
        soft_cap: 30.0,
    };
    let mut table = SampleRows::new(device, rows)?;
    let row = |row| SampleRow { row, set: None, seed: 1, candidate: 0, canvas_row: row as u32 };
    table.write(&(0..rows).map(row).collect::<Vec<_>>())?;
    let mut outcomes = device.allocate::<RowOutcome>(rows)?;
    let step = device.upload(&[Step { temperature: 0.6, index: 0 }])?;
    let bytes = TOKENS * HIDDEN * size_of::<bf16>();
    for (what, keep_soft) in [("head", false), ("head, weights kept", true)] {
        let ms = time(device, || {
            let settings = SampleSettings {
                step: step.as_slice(),
                sets: None,
                tape: None,
                votes: None,
                own_probabilities: false,
                keep_soft,
            };
            sample(vocabulary, stream.as_slice(), &table, settings, &mut workspace, outcomes.as_mut())
        })?;
        report(what, rows, 0, ms, bytes, rows * TOKENS * HIDDEN);
    }
    let mut soft = device.allocate::<f32>(rows * HIDDEN)?;
    let ms = time(device, || soft_embeddings(vocabulary, &mut workspace, 53.0, soft.as_mut()))?;
    report("soft embeddings", rows, 0, ms, bytes, rows * TOKENS * HIDDEN);

    // A run that never ends: no entropy is below the threshold.
    let schedule = Schedule {
        step_limit: u32::MAX,
        entropy_bound: 0.1,
        t_min: 0.4,
        t_max: 0.8,
        stability_threshold: 1,
        confidence_threshold: -1.0,
    };
    let mut run = RunState::new(device, 1, rows, 1)?;
    run.begin(&[CanvasStart { holes: rows, history: &[] }], 0, schedule)?;
    let mut ids = device.upload(&vec![0_u32; rows])?;
    let ms = time(device, || {
        let outcomes = outcomes.as_slice();
        let input = AdvanceInput { outcomes, sets: None, renoise: Renoise::Uniform, vocabulary: TOKENS };
        advance(&mut run, &table, input, ids.as_mut())
    })?;
    report("sampler", rows, 0, ms, rows * size_of::<RowOutcome>(), 0);
    Ok(())
}
