//! Times the operations of one DiffusionGemma layer on the first card, in bf16 with random weights of the real geometry, for canvases of 16 to 256
//! rows: milliseconds, the bytes of weights that must be read, and the share of the card's copy bandwidth that makes.
//!
//! Each product goes round several copies of its weights, more than the card's caches hold.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::process::ExitCode;

use lacuna_kernels::ops::experts::{experts_down, experts_gated};
use lacuna_kernels::ops::linear::{LinearScratch, Matrix, Weights, gated_linear, linear};
use lacuna_kernels::ops::norm::{FeedForward, add_normed, finish_layer};
use lacuna_kernels::ops::router::Routing;
use lacuna_kernels::ops::rows::NormedOutput;
use lacuna_kernels::{Buffer, Device, Error, bf16};

const HIDDEN: usize = 2816;
const DENSE_WIDTH: usize = 2112;
const EXPERT_WIDTH: usize = 704;
const EXPERTS: usize = 128;
const SLOTS: usize = 8;
/// Outputs and inputs of the dense products that are not gated.
const PRODUCTS: [(&str, usize, usize); 6] = [
    ("queries, keys, values; sliding", 8192, HIDDEN),
    ("queries, keys; full", 9216, HIDDEN),
    ("attention output; sliding", HIDDEN, 4096),
    ("attention output; full", HIDDEN, 8192),
    ("dense down", HIDDEN, DENSE_WIDTH),
    ("router", EXPERTS, HIDDEN),
];
/// Bytes of weights that a measurement goes round, beyond any cache.
const ROUND_BYTES: usize = 512 << 20;
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

/// Numbers that look random: as long as a block of weights, repeated over a buffer.
fn random(device: &Device, len: usize, scale: f32) -> Result<Buffer<bf16>, Error> {
    const BLOCK: usize = 1 << 20;
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bf16::from_f32((f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * scale)
    };
    let block: Vec<bf16> = (0..BLOCK).map(|_| next()).collect();
    let mut buffer = device.allocate(len)?;
    let mut start = 0;
    while start < len {
        let end = len.min(start + BLOCK);
        buffer.slice_mut(start..end).write(&block[..end - start])?;
        start = end;
    }
    Ok(buffer)
}

fn random_f32(device: &Device, len: usize) -> Result<Buffer<f32>, Error> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32
    };
    device.upload(&(0..len).map(|_| next()).collect::<Vec<_>>())
}

/// The median of the device's milliseconds of one call.
fn time(device: &Device, mut call: impl FnMut(usize) -> Result<(), Error>) -> Result<f64, Error> {
    let mut times = Vec::new();
    for run in 0..WARM_UP + RUNS {
        let before = device.mark()?;
        call(run)?;
        let elapsed = device.mark()?.since(&before)?;
        if run >= WARM_UP {
            times.push(elapsed.as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Prints one line.
fn report(what: &str, rows: usize, ms: f64, bytes: usize, copy_rate: f64) {
    let rate = bytes as f64 / ms / 1e6;
    println!(
        "{what:<32} {rows:>5} {ms:>9.4} {:>9.1} {rate:>9.0} {:>6.0}%",
        bytes as f64 / 1e6,
        rate / copy_rate * 100.0
    );
}

/// Copies of so many weights that going round them reads memory.
fn copies(numbers: usize) -> usize {
    (ROUND_BYTES / (numbers * size_of::<bf16>())).max(2)
}

fn measure() -> Result<(), Error> {
    let device = Device::cuda(0)?;
    let (source, mut target) = (random(&device, ROUND_BYTES, 1.0)?, device.allocate::<bf16>(ROUND_BYTES)?);
    let ms = time(&device, |_| target.as_mut().copy_from(source.as_slice()))?;
    let bytes = 2 * ROUND_BYTES * size_of::<bf16>();
    let copy_rate = bytes as f64 / ms / 1e6;
    println!("{device:?}: copies {copy_rate:.0} GB/s, read and written");
    println!("{:<32} {:>5} {:>9} {:>9} {:>9} {:>7}", "operation", "rows", "ms", "MB", "GB/s", "of copy");
    drop((source, target));
    for rows in [16, 32, 64, 128, 256] {
        measure_dense(&device, rows, copy_rate)?;
        measure_experts(&device, rows, copy_rate)?;
        measure_rows(&device, rows, copy_rate)?;
    }
    Ok(())
}

fn measure_dense(device: &Device, rows: usize, copy_rate: f64) -> Result<(), Error> {
    let mut scratch = LinearScratch::new(device)?;
    for (what, outputs, inputs) in PRODUCTS {
        let numbers = outputs * inputs;
        let weights = random(device, numbers * copies(numbers), 0.1)?;
        let input = random(device, rows * inputs, 1.0)?;
        let mut output = device.allocate::<f32>(rows * outputs)?;
        let ms = time(device, |run| {
            let start = run % copies(numbers) * numbers;
            let weights = Weights::Bf16(weights.slice(start..start + numbers));
            linear(input.as_slice(), &Matrix { weights, outputs, inputs }, &mut scratch, output.as_mut())
        })?;
        report(what, rows, ms, numbers * size_of::<bf16>(), copy_rate);
    }
    let (outputs, inputs) = (2 * DENSE_WIDTH, HIDDEN);
    let numbers = outputs * inputs;
    let weights = random(device, numbers * copies(numbers), 0.1)?;
    let input = random(device, rows * inputs, 1.0)?;
    let mut output = device.allocate::<bf16>(rows * DENSE_WIDTH)?;
    let ms = time(device, |run| {
        let start = run % copies(numbers) * numbers;
        let weights = Weights::Bf16(weights.slice(start..start + numbers));
        gated_linear(input.as_slice(), &Matrix { weights, outputs, inputs }, &mut scratch, output.as_mut())
    })?;
    report("dense gate and up", rows, ms, numbers * size_of::<bf16>(), copy_rate);
    Ok(())
}

fn measure_experts(device: &Device, rows: usize, copy_rate: f64) -> Result<(), Error> {
    let mut routing = Routing::new(device, rows, EXPERTS, SLOTS)?;
    let (scores, scale) = (random_f32(device, rows * EXPERTS)?, random_f32(device, EXPERTS)?);
    let ms = time(device, |_| routing.route(scores.as_slice(), scale.as_slice()))?;
    report("route", rows, ms, rows * EXPERTS * size_of::<f32>(), copy_rate);
    let starts = routing.starts().read()?;
    let touched = starts.windows(2).filter(|pair| pair[0] != pair[1]).count();

    let numbers = EXPERTS * 2 * EXPERT_WIDTH * HIDDEN;
    let weights = random(device, numbers, 0.1)?;
    let input = random(device, rows * HIDDEN, 1.0)?;
    let mut activated = device.allocate::<bf16>(rows * SLOTS * EXPERT_WIDTH)?;
    let ms = time(device, |_| {
        experts_gated(input.as_slice(), &routing, Weights::Bf16(weights.as_slice()), EXPERT_WIDTH, activated.as_mut())
    })?;
    report("experts' gate and up", rows, ms, numbers / EXPERTS * touched * size_of::<bf16>(), copy_rate);
    let numbers = EXPERTS * HIDDEN * EXPERT_WIDTH;
    let mut output = device.allocate::<f32>(rows * SLOTS * HIDDEN)?;
    let ms = time(device, |_| {
        let weights = Weights::Bf16(weights.slice(0..numbers));
        experts_down(activated.as_slice(), &routing, weights, HIDDEN, output.as_mut())
    })?;
    report("experts' down", rows, ms, numbers / EXPERTS * touched * size_of::<bf16>(), copy_rate);
    Ok(())
}

fn measure_rows(device: &Device, rows: usize, copy_rate: f64) -> Result<(), Error> {
    const EPS: f32 = 1e-6;
    let mut stream = random_f32(device, rows * HIDDEN)?;
    let (dense, sparse) = (random_f32(device, rows * HIDDEN)?, random_f32(device, rows * SLOTS * HIDDEN)?);
    let weight = random_f32(device, HIDDEN)?;
    let weight = weight.as_slice();
    let mut outputs = device.allocate::<bf16>(3 * rows * HIDDEN)?;
    let ms = time(device, |_| {
        let (first, others) = outputs.as_mut().split_at(rows * HIDDEN);
        let (second, third) = others.split_at(rows * HIDDEN);
        let normed = [first, second, third].map(|output| Some(NormedOutput { weight: Some(weight), output }));
        add_normed(dense.as_slice(), weight, HIDDEN, EPS, stream.as_mut(), normed)
    })?;
    report("add normed", rows, ms, rows * HIDDEN * (3 * 4 + 3 * 2), copy_rate);
    let ms = time(device, |_| {
        let end = FeedForward {
            dense: dense.as_slice(),
            dense_weight: weight,
            sparse: sparse.as_slice(),
            slots: SLOTS,
            sparse_weight: weight,
            weight,
            scalar: 0.9,
        };
        let normed = NormedOutput { weight: Some(weight), output: outputs.slice_mut(0..rows * HIDDEN) };
        finish_layer(end, HIDDEN, EPS, stream.as_mut(), [Some(normed), None, None])
    })?;
    report("finish layer", rows, ms, rows * HIDDEN * ((3 + SLOTS) * 4 + 2), copy_rate);
    Ok(())
}
