//! Dense products with the model's matrices, plain and gated.
//!
//! Products on tensor cores begin to read their weights while the kernels before them are still at work, on cards that can: wait for the device
//! between a kernel that writes weights and the first product with them.

use crate::error::require;
use crate::kernel::{Kernel, Launch, kernel};
use crate::memory::{Buffer, Element, Slice, SliceMut};
use crate::ops::quantised::{FP4_GROUP, FP4_WORD, Fp8Rows};
use crate::{Device, Error, bf16};

mod nvfp4;
pub(crate) mod warpgroup;

pub(crate) use nvfp4::NVFP4_TILES;

/// A matrix `[outputs, inputs]` as a checkpoint stores it.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// Its numbers.
    pub weights: Weights<'a>,
    /// Rows: results for each row of inputs.
    pub outputs: usize,
    /// Columns: how many numbers each result is a sum over.
    pub inputs: usize,
}

/// Weights in the format that they are stored in. A matrix, or several one below the other, as experts' are.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    /// 32 bits.
    F32(Slice<'a, f32>),
    /// 16 bits.
    Bf16(Slice<'a, bf16>),
    /// 8 bits, e4m3, with a scale for each row.
    Fp8 {
        /// `[outputs, inputs]`.
        numbers: Slice<'a, u8>,
        /// `[outputs]`.
        scales: Slice<'a, f32>,
    },
    /// 4 bits, e2m1, with a scale in e4m3 for every 16 numbers, and one in f32 for each row: matrices that are put together each bring their own.
    Nvfp4 {
        /// `[outputs, inputs / 8]`.
        words: Slice<'a, u32>,
        /// How a word holds its numbers.
        order: Fp4Order,
        /// `[outputs, inputs / 16]`, neither negative nor no number.
        group_scales: Slice<'a, u8>,
        /// `[outputs]`: what its matrix's scales of groups are multiplied by.
        scales: Slice<'a, f32>,
    },
}

/// How a word holds eight e2m1: that decides what its weights are multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fp4Order {
    /// As [`arrange_fp4`](crate::ops::quantised::arrange_fp4) makes it, for inputs in bf16.
    Arranged,
    /// The first in the lowest bits, as checkpoints have it, for inputs in e2m1.
    Plain,
}

impl Weights<'_> {
    /// How many numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(slice) => slice.len(),
            Self::Bf16(slice) => slice.len(),
            Self::Fp8 { numbers, .. } => numbers.len(),
            Self::Nvfp4 { words, .. } => words.len().saturating_mul(FP4_WORD),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The format's name.
    pub fn format(&self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::Bf16(_) => "bf16",
            Self::Fp8 { .. } => "fp8",
            Self::Nvfp4 { order: Fp4Order::Arranged, .. } => "nvfp4, arranged to be widened",
            Self::Nvfp4 { order: Fp4Order::Plain, .. } => "nvfp4, as it is stored",
        }
    }

    pub(crate) fn address(&self) -> u64 {
        match self {
            Self::F32(slice) => slice.address(),
            Self::Bf16(slice) => slice.address(),
            Self::Fp8 { numbers, .. } => numbers.address(),
            Self::Nvfp4 { words, .. } => words.address(),
        }
    }

    pub(crate) fn device(&self) -> &Device {
        match self {
            Self::F32(slice) => slice.device(),
            Self::Bf16(slice) => slice.device(),
            Self::Fp8 { numbers, .. } => numbers.device(),
            Self::Nvfp4 { words, .. } => words.device(),
        }
    }

    /// The scales of rows, and those of groups, where the format has them.
    fn scales(&self) -> (Option<Slice<'_, f32>>, Option<Slice<'_, u8>>) {
        match self {
            Self::F32(_) | Self::Bf16(_) => (None, None),
            Self::Fp8 { scales, .. } => (Some(*scales), None),
            Self::Nvfp4 { group_scales, scales, .. } => (Some(*scales), Some(*group_scales)),
        }
    }

    /// Numbers in 16 bytes of a row, or of the input's if those are more.
    fn chunk_numbers(&self) -> usize {
        match self {
            Self::F32(_) | Self::Bf16(_) => 8,
            Self::Fp8 { .. } => 16,
            Self::Nvfp4 { .. } => 32,
        }
    }
}

/// What the model's stream is made into before a product: f32 or bf16.
pub trait Operand: Element + sealed::Products {}
impl Operand for f32 {}
impl Operand for bf16 {}

/// What products take, as rows: f32, whose products are exact chains of fused multiply-adds, with weights in f32 or bf16; bf16, multiplied on
/// tensor cores with weights in bf16, or in e4m3 or e2m1 that are widened to it; e4m3, multiplied with weights in e4m3; or, where the device has
/// such tensor cores, e2m1, multiplied with weights in e2m1. All are summed in f32.
pub trait Input: Copy + sealed::Input {
    /// What a gated product of it is written as.
    type Gated: Element;
}
impl<T: Operand> Input for Slice<'_, T> {
    type Gated = T;
}
impl Input for Fp8Rows<'_> {
    type Gated = bf16;
}

pub(crate) mod sealed {
    use super::{Device, InputRows, Variant, Weights};

    pub trait Products: Sized {
        const FORMAT: &'static str;
        /// The device's kernels for rows so many and weights of this format, or none.
        fn kernels(device: &Device, rows: usize, weights: &Weights<'_>) -> Option<Variant>;
    }

    pub trait Input {
        const FORMAT: &'static str;
        fn rows(&self) -> InputRows<'_>;
        /// The device's kernels for rows so many and weights of this format, or none.
        fn kernels(device: &Device, rows: usize, weights: &Weights<'_>) -> Option<Variant>;
    }
}

/// An input without its type.
#[doc(hidden)]
pub struct InputRows<'a> {
    address: u64,
    pub(crate) len: usize,
    pub(crate) device: &'a Device,
    scales: Option<Slice<'a, f32>>,
    /// The scales of groups, and what they are multiplied by.
    group_scales: Option<(Slice<'a, u8>, f32)>,
}

impl<T: Operand> sealed::Input for Slice<'_, T> {
    const FORMAT: &'static str = T::FORMAT;
    fn rows(&self) -> InputRows<'_> {
        InputRows { address: self.address(), len: self.len(), device: self.device(), scales: None, group_scales: None }
    }
    fn kernels(device: &Device, rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        T::kernels(device, rows, weights)
    }
}

impl sealed::Input for Fp8Rows<'_> {
    const FORMAT: &'static str = "fp8";
    fn rows(&self) -> InputRows<'_> {
        let Self { numbers, scales } = self;
        let (address, len, device) = (numbers.address(), numbers.len(), numbers.device());
        InputRows { address, len, device, scales: Some(*scales), group_scales: None }
    }
    fn kernels(device: &Device, rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        let Weights::Fp8 { .. } = weights else { return None };
        if device.has_warpgroup_products() {
            return Some(warpgroup::fp8(rows));
        }
        Some(match rows {
            ..=32 => Variant { linear: &LINEAR_FP8_32, gated: &GATED_FP8_32, tile: FP8_TILES[0] },
            33..=64 => Variant { linear: &LINEAR_FP8_64, gated: &GATED_FP8_64, tile: FP8_TILES[1] },
            _ => Variant { linear: &LINEAR_FP8_128, gated: &GATED_FP8_128, tile: FP8_TILES[2] },
        })
    }
}

/// What a product of an input with weights that it does not go with is refused with.
pub(crate) fn mismatch(operation: &'static str, input: &str, weights: &Weights<'_>) -> Error {
    let reason = format!("there is no product of an input in {input} with weights in {}", weights.format());
    crate::error::shape(operation, reason)
}

/// What products multiply.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    input: u64,
    weight: u64,
    group_scales: u64,
    input_group_scales: u64,
    input_scales: u64,
    output_scales: u64,
    input_scale: f32,
    inputs: u32,
    aligned: u32,
    groups_aligned: u32,
}

impl Operands {
    /// Checks that there are so many rows of input, `inputs` numbers each, and scales for all rows of both; all on one device.
    pub(crate) fn new(
        operation: &'static str,
        input: &InputRows<'_>,
        rows: usize,
        weights: &Weights<'_>,
        inputs: usize,
    ) -> Result<Self, Error> {
        require!(operation, inputs > 0 && inputs < 1 << 31, "rows of {inputs} inputs");
        require!(
            operation,
            rows.checked_mul(inputs) == Some(input.len),
            "{} inputs are not {rows} rows of {inputs}",
            input.len
        );
        let weight_rows = weights.len() / inputs;
        require!(operation, rows.max(weight_rows) < 1 << 31, "{rows} x {weight_rows} x {inputs} is too large");
        // Kernels find a row by its offset in bytes, of 32 bits.
        let most = input.len.max(weights.len());
        require!(operation, most < 1 << 31, "{most} numbers are more than a product reaches");
        require!(operation, weights.device().is(input.device), "not everything is on the same device");
        let is_there = input.group_scales.is_none() || input.device.multiplies_fp4();
        require!(operation, is_there, "this device has no tensor cores for nvfp4, or no kernels that use them");
        let (output_scales, group_scales) = weights.scales();
        let scales_of = |what: &str, scales: Option<Slice<'_, f32>>, rows: usize| {
            let Some(scales) = scales else { return Ok(0) };
            require!(operation, scales.len() == rows, "{} scales of {rows} rows of {what}", scales.len());
            require!(operation, scales.device().is(input.device), "not everything is on the same device");
            Ok(scales.address())
        };
        let groups_of = |what: &str, scales: Option<Slice<'_, u8>>, len: usize| {
            let Some(scales) = scales else { return Ok(0) };
            require!(operation, inputs.is_multiple_of(FP4_GROUP), "{inputs} inputs are not groups of {FP4_GROUP}");
            let expected = len / FP4_GROUP;
            require!(operation, scales.len() == expected, "{} scales of {expected} groups of {what}", scales.len());
            require!(operation, scales.device().is(input.device), "not everything is on the same device");
            Ok(scales.address())
        };
        let group_scales = groups_of("weights", group_scales, weights.len())?;
        let input_groups = input.group_scales.map(|(scales, _)| scales);
        let input_group_scales = groups_of("the input", input_groups, input.len)?;
        let addresses = input.address | weights.address();
        Ok(Self {
            input: input.address,
            weight: weights.address(),
            group_scales,
            input_group_scales,
            input_scales: scales_of("the input", input.scales, rows)?,
            output_scales: scales_of("weights", output_scales, weight_rows)?,
            input_scale: input.group_scales.map_or(0.0, |(_, scale)| scale),
            inputs: inputs as u32,
            aligned: u32::from(addresses.is_multiple_of(16) && inputs.is_multiple_of(weights.chunk_numbers())),
            groups_aligned: u32::from(
                (group_scales | input_group_scales).is_multiple_of(4) && inputs.is_multiple_of(4 * FP4_GROUP),
            ),
        })
    }
}

/// Kernels that do the same at different tile sizes or formats.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Variant {
    linear: &'static Kernel<LinearParameters>,
    gated: &'static Kernel<LinearParameters>,
    tile: Tile,
}

/// The piece of a result that one block makes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    /// Of a gated product half of them are the gate's.
    pub(crate) columns: usize,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
    /// Inputs between two waits: the unit that tiles are dealt out by.
    unit_inputs: usize,
    /// Blocks whose registers a multiprocessor has room for; 0 where a tile is never dealt out.
    resident_max: usize,
}

impl Tile {
    /// Blocks that the device runs at a time.
    fn resident(&self, device: &Device) -> usize {
        // Each block takes a kilobyte more than it asks for.
        let by_shared_memory = device.shared_bytes_per_multiprocessor() / (self.shared_bytes + 1024);
        device.multiprocessors() as usize * self.resident_max.min((by_shared_memory as usize).max(1))
    }
}

/// Columns of a tile, but for the widest.
const TILE_COLUMNS: usize = 64;
/// Units of a block at least: with less, starting costs more than the others gain.
const BLOCK_UNITS_MIN: usize = 4;
/// Tiles for each block that runs, at most, where tiles are dealt out; with more the last blocks' idle time is no matter.
const TILES_PER_BLOCK_MAX: usize = 4;
/// How much of the blocks' time tiles must fill by themselves, or they are dealt out.
const FILLED_MIN: f64 = 0.85;

/// Two results together, as f32.
pub(crate) const PAIR_BYTES: u64 = 8;

pub(crate) const EXACT_TILE: Tile = Tile {
    rows: 32,
    columns: TILE_COLUMNS,
    threads: 128,
    shared_bytes: (32 + 64) * 36 * 4,
    unit_inputs: 32,
    resident_max: 0,
};
pub(crate) const TENSOR_TILES: [Tile; 3] =
    [tensor_tile(32, 4, 64, 128, 128), tensor_tile(64, 3, 64, 128, 128), tensor_tile(128, 2, 64, 128, 128)];
/// Of e4m3 by e4m3.
pub(crate) const FP8_TILES: [Tile; 3] =
    [tensor_tile(32, 4, 128, 128, 128), tensor_tile(64, 3, 128, 128, 128), tensor_tile(128, 2, 128, 128, 128)];
/// Of bf16 by e4m3.
pub(crate) const BF16_FP8_TILES: [Tile; 2] = [tensor_tile(32, 3, 128, 256, 128), tensor_tile(64, 2, 128, 256, 128)];
/// Of bf16 by e2m1, a row of which has eight scales too.
pub(crate) const BF16_NVFP4_TILES: [Tile; 2] =
    [tensor_tile(32, 4, 128, 256, 64 + 8), tensor_tile(64, 2, 128, 256, 64 + 8)];

/// A tile with so many bytes of each row of the input, and of each of the weight, between two waits.
const fn tensor_tile(
    rows: usize,
    resident_max: usize,
    unit_inputs: usize,
    input_bytes: usize,
    weight_bytes: usize,
) -> Tile {
    const STAGES: usize = 4;
    let shared_bytes = STAGES * (rows * input_bytes + TILE_COLUMNS * weight_bytes);
    let threads = if rows == 128 { 256 } else { 128 };
    Tile { rows, columns: TILE_COLUMNS, threads, shared_bytes: shared_bytes as u32, unit_inputs, resident_max }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct LinearParameters {
    operands: Operands,
    output: u64,
    partial_sums: u64,
    arrivals: u64,
    rows: u32,
    columns: u32,
    row_tiles: u32,
    tiles: u32,
    paired: u32,
}

kernel!(static LINEAR_F32: "linear", linear_f32(LinearParameters));
kernel!(static LINEAR_WIDENED: "linear", linear_widened(LinearParameters));
kernel!(static GATED_F32: "linear", gated_f32(LinearParameters));
kernel!(static GATED_WIDENED: "linear", gated_widened(LinearParameters));
kernel!(static LINEAR_TENSOR_32: "linear", linear_tensor_32(LinearParameters));
kernel!(static LINEAR_TENSOR_64: "linear", linear_tensor_64(LinearParameters));
kernel!(static LINEAR_TENSOR_128: "linear", linear_tensor_128(LinearParameters));
kernel!(static GATED_TENSOR_32: "linear", gated_tensor_32(LinearParameters));
kernel!(static GATED_TENSOR_64: "linear", gated_tensor_64(LinearParameters));
kernel!(static GATED_TENSOR_128: "linear", gated_tensor_128(LinearParameters));

kernel!(static LINEAR_FP8_32: "linear_quantised", linear_fp8_32(LinearParameters));
kernel!(static LINEAR_FP8_64: "linear_quantised", linear_fp8_64(LinearParameters));
kernel!(static LINEAR_FP8_128: "linear_quantised", linear_fp8_128(LinearParameters));
kernel!(static GATED_FP8_32: "linear_quantised", gated_fp8_32(LinearParameters));
kernel!(static GATED_FP8_64: "linear_quantised", gated_fp8_64(LinearParameters));
kernel!(static GATED_FP8_128: "linear_quantised", gated_fp8_128(LinearParameters));
kernel!(static LINEAR_BF16_FP8_32: "linear_quantised", linear_bf16_fp8_32(LinearParameters));
kernel!(static LINEAR_BF16_FP8_64: "linear_quantised", linear_bf16_fp8_64(LinearParameters));
kernel!(static GATED_BF16_FP8_32: "linear_quantised", gated_bf16_fp8_32(LinearParameters));
kernel!(static GATED_BF16_FP8_64: "linear_quantised", gated_bf16_fp8_64(LinearParameters));
kernel!(static LINEAR_BF16_NVFP4_32: "linear_quantised", linear_bf16_nvfp4_32(LinearParameters));
kernel!(static LINEAR_BF16_NVFP4_64: "linear_quantised", linear_bf16_nvfp4_64(LinearParameters));
kernel!(static GATED_BF16_NVFP4_32: "linear_quantised", gated_bf16_nvfp4_32(LinearParameters));
kernel!(static GATED_BF16_NVFP4_64: "linear_quantised", gated_bf16_nvfp4_64(LinearParameters));

impl sealed::Products for f32 {
    const FORMAT: &'static str = "f32";
    fn kernels(_device: &Device, _rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        let (linear, gated) = match weights {
            Weights::F32(_) => (&LINEAR_F32, &GATED_F32),
            Weights::Bf16(_) => (&LINEAR_WIDENED, &GATED_WIDENED),
            Weights::Fp8 { .. } | Weights::Nvfp4 { .. } => return None,
        };
        Some(Variant { linear, gated, tile: EXACT_TILE })
    }
}

impl sealed::Products for bf16 {
    const FORMAT: &'static str = "bf16";
    fn kernels(device: &Device, rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        if let Weights::Bf16(_) = weights
            && device.has_warpgroup_products()
            && let Some(variant) = warpgroup::bf16(rows)
        {
            return Some(variant);
        }
        let (linear, gated, tile) = match (weights, rows) {
            (Weights::F32(_) | Weights::Nvfp4 { order: Fp4Order::Plain, .. }, _) => return None,
            (Weights::Bf16(_), ..=32) => (&LINEAR_TENSOR_32, &GATED_TENSOR_32, TENSOR_TILES[0]),
            (Weights::Bf16(_), 33..=64) => (&LINEAR_TENSOR_64, &GATED_TENSOR_64, TENSOR_TILES[1]),
            (Weights::Bf16(_), _) => (&LINEAR_TENSOR_128, &GATED_TENSOR_128, TENSOR_TILES[2]),
            (Weights::Fp8 { .. }, ..=32) => (&LINEAR_BF16_FP8_32, &GATED_BF16_FP8_32, BF16_FP8_TILES[0]),
            (Weights::Fp8 { .. }, _) => (&LINEAR_BF16_FP8_64, &GATED_BF16_FP8_64, BF16_FP8_TILES[1]),
            (Weights::Nvfp4 { .. }, ..=32) => (&LINEAR_BF16_NVFP4_32, &GATED_BF16_NVFP4_32, BF16_NVFP4_TILES[0]),
            (Weights::Nvfp4 { .. }, _) => (&LINEAR_BF16_NVFP4_64, &GATED_BF16_NVFP4_64, BF16_NVFP4_TILES[1]),
        };
        Some(Variant { linear, gated, tile })
    }
}

/// Where blocks that share a tile leave their sums. One serves all products of a device, as they run one after the other.
pub struct LinearScratch {
    partial_sums: Buffer<f32>,
    arrivals: Buffer<u32>,
}

impl LinearScratch {
    /// Room for any product: tiles are dealt out among no more blocks than the device runs at a time.
    pub fn new(device: &Device) -> Result<Self, Error> {
        let most = |count: fn(&Tile, usize) -> usize| {
            let tiles =
                [&TENSOR_TILES[..], &FP8_TILES, &BF16_FP8_TILES, &BF16_NVFP4_TILES, &NVFP4_TILES, &warpgroup::TILES];
            let tiles = tiles.into_iter().flatten().filter(|tile| tile.shared_bytes <= device.shared_bytes_max());
            tiles.map(|tile| count(tile, tile.resident(device))).max().unwrap_or(0)
        };
        let sums = most(|tile, blocks| blocks * 2 * tile.rows * tile.columns);
        let mut arrivals = device.allocate(most(|_, blocks| blocks * TILES_PER_BLOCK_MAX))?;
        arrivals.as_mut().clear()?;
        Ok(Self { partial_sums: device.allocate(sums)?, arrivals })
    }
}

/// `output = input @ matrix^T`: input `[rows, inputs]`, output `[rows, outputs]`.
pub fn linear<I: Input>(
    input: I,
    matrix: &Matrix<'_>,
    scratch: &mut LinearScratch,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    multiply("linear", input, matrix, matrix.outputs, scratch, Output::Plain(output))
}

/// `output = gelu(input @ gate^T) * (input @ up^T)`, gelu by its tanh form, for a matrix that holds the gate's rows and then as many of up's:
/// input `[rows, inputs]`, output [rows, outputs / 2].
pub fn gated_linear<I: Input>(
    input: I,
    matrix: &Matrix<'_>,
    scratch: &mut LinearScratch,
    output: SliceMut<'_, I::Gated>,
) -> Result<(), Error> {
    require!("gated_linear", matrix.outputs.is_multiple_of(2), "{} outputs are not two halves", matrix.outputs);
    multiply("gated_linear", input, matrix, matrix.outputs / 2, scratch, Output::Gated(output))
}

enum Output<'a, T> {
    Plain(SliceMut<'a, f32>),
    Gated(SliceMut<'a, T>),
}

fn multiply<I: Input>(
    name: &'static str,
    input: I,
    matrix: &Matrix<'_>,
    columns: usize,
    scratch: &mut LinearScratch,
    output: Output<'_, I::Gated>,
) -> Result<(), Error> {
    let Matrix { weights, outputs, inputs } = *matrix;
    let (output_address, output_len, device) = match &output {
        Output::Plain(slice) => (slice.address(), slice.len(), slice.device()),
        Output::Gated(slice) => (slice.address(), slice.len(), slice.device()),
    };
    require!(name, outputs.checked_mul(inputs) == Some(weights.len()), "the matrix is not {outputs} x {inputs}");
    require!(name, columns > 0 && inputs > 0, "a matrix of {outputs} x {inputs} has nothing to multiply");
    require!(name, output_len.is_multiple_of(columns), "{output_len} outputs are not rows of {columns}");
    let rows = output_len / columns;
    let input_rows = input.rows();
    let operands = Operands::new(name, &input_rows, rows, &weights, inputs)?;
    let devices = [input_rows.device, scratch.arrivals.as_slice().device()];
    require!(name, devices.iter().all(|other| other.is(device)), "not everything is on the same device");
    let Some(Variant { linear, gated, tile }) = I::kernels(device, rows, &weights) else {
        return Err(mismatch(name, I::FORMAT, &weights));
    };
    let (kernel, tile_columns) = match output {
        Output::Plain(_) => (linear, tile.columns),
        Output::Gated(_) => (gated, tile.columns / 2),
    };
    let (row_tiles, column_tiles) = (rows.div_ceil(tile.rows), columns.div_ceil(tile_columns));
    let tiles = row_tiles * column_tiles;
    require!(name, tiles < 1 << 31, "{rows} x {outputs} are too many tiles");
    let parameters = LinearParameters {
        operands,
        output: output_address,
        partial_sums: scratch.partial_sums.as_mut().address(),
        arrivals: scratch.arrivals.as_mut().address(),
        rows: rows as u32,
        columns: columns as u32,
        row_tiles: row_tiles as u32,
        tiles: tiles as u32,
        paired: u32::from(output_address.is_multiple_of(PAIR_BYTES) && columns.is_multiple_of(2)),
    };
    let grid = if tile.resident_max == 0 {
        [row_tiles as u32, column_tiles as u32, 1]
    } else {
        [blocks(tile.resident(device), tiles, inputs.div_ceil(tile.unit_inputs)) as u32, 1, 1]
    };
    let launch = Launch { grid, threads: tile.threads, shared_bytes: tile.shared_bytes };
    // SAFETY: the slices have the lengths that rows, columns and inputs say; blocks leave out what a tile has beyond them. The scratch has room for
    // as many blocks as the device runs at a time and their tiles, and `blocks` makes no more where it deals tiles out. Output and scratch are
    // borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(kernel, launch, &parameters)
    }
}

/// Among how many blocks tiles of so many units each are dealt out, where `resident` run at a time: one a tile where that fills them well.
fn blocks(resident: usize, tiles: usize, units_of_tile: usize) -> usize {
    let waves = tiles.div_ceil(resident);
    let filled = tiles as f64 / (waves * resident) as f64;
    if filled >= FILLED_MIN || tiles > TILES_PER_BLOCK_MAX * resident {
        return tiles;
    }
    let units = tiles * units_of_tile;
    // Blocks that have less than a tile each are worth it only where there is enough for each of them.
    if tiles < resident { resident.min(units / BLOCK_UNITS_MIN).max(tiles) } else { resident }
}

#[cfg(test)]
mod tests;
