//! Times the operations of one DiffusionGemma layer on the first card, with random weights of the real geometry in each format, for canvases of 16 to
//! 256 rows: milliseconds, the bytes of weights that must be read, and the share of the card's copy bandwidth that makes.
//!
//! Each product goes round several copies of its weights, more than the card's caches hold.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::process::ExitCode;

use lacuna_kernels::ops::experts::{experts_down, experts_gated};
use lacuna_kernels::ops::linear::{Fp4Order, LinearScratch, Matrix, Weights, gated_linear, linear};
use lacuna_kernels::ops::norm::{FeedForward, add_normed, finish_layer};
use lacuna_kernels::ops::quantised::{Fp4Rows, Fp8Rows, Fp8RowsMut, quantise_rows};
use lacuna_kernels::ops::router::Routing;
use lacuna_kernels::ops::rows::NormedOutput;
use lacuna_kernels::{Buffer, Device, Element, Error, bf16};

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

/// What a product multiplies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Bf16,
    /// Both sides in e4m3.
    Fp8,
    /// Weights in e4m3 by inputs in bf16, as on cards that do not multiply e4m3.
    Bf16Fp8,
    /// Weights in e2m1 by inputs in bf16, likewise.
    Bf16Nvfp4,
    /// Both sides in e2m1.
    Nvfp4,
}

impl Format {
    const ALL: [Self; 5] = [Self::Bf16, Self::Fp8, Self::Bf16Fp8, Self::Bf16Nvfp4, Self::Nvfp4];

    fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Bf16Fp8 => "bf16 x fp8",
            Self::Bf16Nvfp4 => "bf16 x nvfp4",
            Self::Nvfp4 => "nvfp4",
        }
    }

    /// Bytes of a matrix with all its scales.
    fn bytes(self, outputs: usize, inputs: usize) -> usize {
        let numbers = outputs * inputs;
        match self {
            Self::Bf16 => numbers * 2,
            Self::Fp8 | Self::Bf16Fp8 => numbers + outputs * 4,
            Self::Bf16Nvfp4 | Self::Nvfp4 => numbers / 2 + numbers / 16 + outputs * 4,
        }
    }
}

/// So many matrices in one format, of which a product takes some.
struct Stored {
    outputs: usize,
    inputs: usize,
    numbers: Numbers,
}

enum Numbers {
    Bf16(Buffer<bf16>),
    Fp8(Buffer<u8>, Buffer<f32>),
    Nvfp4(Fp4Order, Buffer<u32>, Buffer<u8>, Buffer<f32>),
}

impl Stored {
    fn new(device: &Device, format: Format, count: usize, outputs: usize, inputs: usize) -> Result<Self, Error> {
        let (rows, numbers) = (count * outputs, count * outputs * inputs);
        let numbers = match format {
            Format::Bf16 => Numbers::Bf16(random(device, numbers, 0.1)?),
            Format::Fp8 | Format::Bf16Fp8 => Numbers::Fp8(random_e4m3(device, numbers)?, random_f32(device, rows)?),
            // Any bits are numbers, in either order.
            Format::Bf16Nvfp4 | Format::Nvfp4 => Numbers::Nvfp4(
                if format == Format::Nvfp4 { Fp4Order::Plain } else { Fp4Order::Arranged },
                repeated(device, numbers / 8, |bits| bits)?,
                random_e4m3(device, numbers / 16)?,
                random_f32(device, rows)?,
            ),
        };
        Ok(Self { outputs, inputs, numbers })
    }

    /// The matrices from the first one on, so many.
    fn weights(&self, first: usize, count: usize) -> Weights<'_> {
        let rows = first * self.outputs..(first + count) * self.outputs;
        let part = |per_row: usize| rows.start * per_row..rows.end * per_row;
        match &self.numbers {
            Numbers::Bf16(numbers) => Weights::Bf16(numbers.slice(part(self.inputs))),
            Numbers::Fp8(numbers, scales) => {
                Weights::Fp8 { numbers: numbers.slice(part(self.inputs)), scales: scales.slice(rows) }
            }
            Numbers::Nvfp4(order, words, group_scales, scales) => Weights::Nvfp4 {
                order: *order,
                words: words.slice(part(self.inputs / 8)),
                group_scales: group_scales.slice(part(self.inputs / 16)),
                scales: scales.slice(rows),
            },
        }
    }
}

/// Rows for products in any format.
struct Rows {
    wide: Buffer<bf16>,
    numbers: Buffer<u8>,
    scales: Buffer<f32>,
    words: Buffer<u32>,
}

impl Rows {
    fn new(device: &Device, rows: usize, width: usize) -> Result<Self, Error> {
        Ok(Self {
            wide: random(device, rows * width, 1.0)?,
            numbers: random_e4m3(device, rows * width)?,
            scales: random_f32(device, rows)?,
            words: repeated(device, rows * width / 8, |bits| bits)?,
        })
    }

    fn fp4(&self) -> Fp4Rows<'_> {
        let groups = self.words.len() / 2;
        Fp4Rows { words: self.words.as_slice(), group_scales: self.numbers.slice(0..groups), scale: 1.0 }
    }

    fn fp8(&self) -> Fp8Rows<'_> {
        Fp8Rows { numbers: self.numbers.as_slice(), scales: self.scales.as_slice() }
    }
}

/// Elements made of bits that look random: as long as a block, repeated over a buffer.
fn repeated<T: Element>(device: &Device, len: usize, from_bits: impl Fn(u32) -> T) -> Result<Buffer<T>, Error> {
    const BLOCK: usize = 1 << 20;
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        from_bits(state)
    };
    let block: Vec<T> = (0..BLOCK).map(|_| next()).collect();
    let mut buffer = device.allocate(len)?;
    let mut start = 0;
    while start < len {
        let end = len.min(start + BLOCK);
        buffer.slice_mut(start..end).write(&block[..end - start])?;
        start = end;
    }
    Ok(buffer)
}

fn random(device: &Device, len: usize, scale: f32) -> Result<Buffer<bf16>, Error> {
    repeated(device, len, |bits| bf16::from_f32((f64::from(bits) / f64::from(u32::MAX) - 0.5) as f32 * scale))
}

/// Of either sign and all exponents but the uppermost, where there is what is no number.
fn random_e4m3(device: &Device, len: usize) -> Result<Buffer<u8>, Error> {
    repeated(device, len, |bits| (bits >> 24) as u8 & 0xBF)
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
        "{what:<42} {rows:>5} {ms:>9.4} {:>9.1} {rate:>9.0} {:>6.0}%",
        bytes as f64 / 1e6,
        rate / copy_rate * 100.0
    );
}

/// Copies of so many bytes that going round them reads memory.
fn copies(bytes: usize) -> usize {
    (ROUND_BYTES / bytes).max(2)
}

fn measure() -> Result<(), Error> {
    let device = Device::cuda(0)?;
    let (source, mut target) = (random(&device, ROUND_BYTES, 1.0)?, device.allocate::<bf16>(ROUND_BYTES)?);
    let ms = time(&device, |_| target.as_mut().copy_from(source.as_slice()))?;
    let bytes = 2 * ROUND_BYTES * size_of::<bf16>();
    let copy_rate = bytes as f64 / ms / 1e6;
    println!("{device:?}: copies {copy_rate:.0} GB/s, read and written");
    println!("{:<42} {:>5} {:>9} {:>9} {:>9} {:>7}", "operation", "rows", "ms", "MB", "GB/s", "of copy");
    drop((source, target));
    for rows in [16, 32, 64, 128, 256] {
        let routing = measure_routing(&device, rows, copy_rate)?;
        for format in Format::ALL.into_iter().filter(|format| *format != Format::Nvfp4 || device.multiplies_fp4()) {
            measure_dense(&device, format, rows, copy_rate)?;
            measure_experts(&device, format, &routing, copy_rate)?;
        }
        measure_rows(&device, rows, copy_rate)?;
    }
    Ok(())
}

fn measure_dense(device: &Device, format: Format, rows: usize, copy_rate: f64) -> Result<(), Error> {
    let mut scratch = LinearScratch::new(device)?;
    for (what, outputs, inputs) in PRODUCTS {
        let bytes = format.bytes(outputs, inputs);
        let stored = Stored::new(device, format, copies(bytes), outputs, inputs)?;
        let input = Rows::new(device, rows, inputs)?;
        let mut output = device.allocate::<f32>(rows * outputs)?;
        let ms = time(device, |run| {
            let matrix = Matrix { weights: stored.weights(run % copies(bytes), 1), outputs, inputs };
            match format {
                Format::Fp8 => linear(input.fp8(), &matrix, &mut scratch, output.as_mut()),
                Format::Nvfp4 => linear(input.fp4(), &matrix, &mut scratch, output.as_mut()),
                _ => linear(input.wide.as_slice(), &matrix, &mut scratch, output.as_mut()),
            }
        })?;
        report(&format!("{what}; {}", format.name()), rows, ms, bytes, copy_rate);
    }
    let (outputs, inputs) = (2 * DENSE_WIDTH, HIDDEN);
    let bytes = format.bytes(outputs, inputs);
    let stored = Stored::new(device, format, copies(bytes), outputs, inputs)?;
    let input = Rows::new(device, rows, inputs)?;
    let mut output = device.allocate::<bf16>(rows * DENSE_WIDTH)?;
    let ms = time(device, |run| {
        let matrix = Matrix { weights: stored.weights(run % copies(bytes), 1), outputs, inputs };
        match format {
            Format::Fp8 => gated_linear(input.fp8(), &matrix, &mut scratch, output.as_mut()),
            Format::Nvfp4 => gated_linear(input.fp4(), &matrix, &mut scratch, output.as_mut()),
            _ => gated_linear(input.wide.as_slice(), &matrix, &mut scratch, output.as_mut()),
        }
    })?;
    report(&format!("dense gate and up; {}", format.name()), rows, ms, bytes, copy_rate);
    Ok(())
}

fn measure_routing(device: &Device, rows: usize, copy_rate: f64) -> Result<Routing, Error> {
    let mut routing = Routing::new(device, rows, EXPERTS, SLOTS)?;
    let (scores, scale) = (random_f32(device, rows * EXPERTS)?, random_f32(device, EXPERTS)?);
    let ms = time(device, |_| routing.route(scores.as_slice(), scale.as_slice()))?;
    report("route", rows, ms, rows * EXPERTS * size_of::<f32>(), copy_rate);
    Ok(routing)
}

fn measure_experts(device: &Device, format: Format, routing: &Routing, copy_rate: f64) -> Result<(), Error> {
    let rows = routing.rows();
    let starts = routing.starts().read()?;
    let touched = starts.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let stored = Stored::new(device, format, EXPERTS, 2 * EXPERT_WIDTH, HIDDEN)?;
    let input = Rows::new(device, rows, HIDDEN)?;
    let mut activated = device.allocate::<bf16>(rows * SLOTS * EXPERT_WIDTH)?;
    let ms = time(device, |_| {
        let weights = stored.weights(0, EXPERTS);
        match format {
            Format::Fp8 => experts_gated(input.fp8(), routing, weights, EXPERT_WIDTH, activated.as_mut()),
            Format::Nvfp4 => experts_gated(input.fp4(), routing, weights, EXPERT_WIDTH, activated.as_mut()),
            _ => experts_gated(input.wide.as_slice(), routing, weights, EXPERT_WIDTH, activated.as_mut()),
        }
    })?;
    let bytes = touched * format.bytes(2 * EXPERT_WIDTH, HIDDEN);
    report(&format!("experts' gate and up; {}", format.name()), rows, ms, bytes, copy_rate);
    drop(stored);
    let stored = Stored::new(device, format, EXPERTS, HIDDEN, EXPERT_WIDTH)?;
    let input = Rows::new(device, rows * SLOTS, EXPERT_WIDTH)?;
    let mut output = device.allocate::<f32>(rows * SLOTS * HIDDEN)?;
    let ms = time(device, |_| {
        let weights = stored.weights(0, EXPERTS);
        match format {
            Format::Fp8 => experts_down(input.fp8(), routing, weights, HIDDEN, output.as_mut()),
            Format::Nvfp4 => experts_down(input.fp4(), routing, weights, HIDDEN, output.as_mut()),
            _ => experts_down(input.wide.as_slice(), routing, weights, HIDDEN, output.as_mut()),
        }
    })?;
    let bytes = touched * format.bytes(HIDDEN, EXPERT_WIDTH);
    report(&format!("experts' down; {}", format.name()), rows, ms, bytes, copy_rate);
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
        let normed =
            [first, second, third].map(|output| Some(NormedOutput { weight: Some(weight), output: output.into() }));
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
        let normed = NormedOutput { weight: Some(weight), output: outputs.slice_mut(0..rows * HIDDEN).into() };
        finish_layer(end, HIDDEN, EPS, stream.as_mut(), [Some(normed), None, None])
    })?;
    report("finish layer", rows, ms, rows * HIDDEN * ((3 + SLOTS) * 4 + 2), copy_rate);
    for (what, count, width) in
        [("quantise stream", rows, HIDDEN), ("quantise experts' rows", rows * SLOTS, EXPERT_WIDTH)]
    {
        let mut target = Rows::new(device, count, width)?;
        let ms = time(device, |_| {
            let output = Fp8RowsMut { numbers: target.numbers.as_mut(), scales: target.scales.as_mut() };
            quantise_rows(target.wide.as_slice(), width, output)
        })?;
        report(what, rows, ms, count * (width * 3 + 4), copy_rate);
    }
    Ok(())
}
