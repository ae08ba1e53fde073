//! Dense products with the model's matrices, plain and gated.

use crate::error::require;
use crate::kernel::{Kernel, Launch, kernel};
use crate::memory::{Buffer, Element, Slice, SliceMut};
use crate::{Device, Error, bf16};

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

/// Weights in the dtype that they are stored in.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    /// 32 bits.
    F32(Slice<'a, f32>),
    /// 16 bits.
    Bf16(Slice<'a, bf16>),
}

impl Weights<'_> {
    /// How many numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(slice) => slice.len(),
            Self::Bf16(slice) => slice.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn address(&self) -> u64 {
        match self {
            Self::F32(slice) => slice.address(),
            Self::Bf16(slice) => slice.address(),
        }
    }

    pub(crate) fn device(&self) -> &Device {
        match self {
            Self::F32(slice) => slice.device(),
            Self::Bf16(slice) => slice.device(),
        }
    }
}

/// What products take: f32, whose products are exact chains of fused multiply-adds, with weights of either dtype; or bf16, multiplied on
/// tensor cores with bf16 weights and summed in f32.
pub trait Operand: Element + sealed::Products {}
impl Operand for f32 {}
impl Operand for bf16 {}

mod sealed {
    pub trait Products {
        /// The kernels for rows so many and weights of this dtype, or none.
        fn kernels(rows: usize, weights: &super::Weights<'_>) -> Option<super::Variant>;
    }
}

/// Kernels that do the same at different tile sizes or dtypes.
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
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
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

/// Columns of every tile; of a gated product half of them are the gate's.
pub(crate) const TILE_COLUMNS: usize = 64;
/// Inputs that tensor cores take between two waits: the unit that tiles are dealt out by.
const TENSOR_INPUTS: usize = 64;
/// Units of a block at least: with less, starting costs more than the others gain.
const BLOCK_UNITS_MIN: usize = 4;
/// Tiles for each block that runs, at most, where tiles are dealt out; with more the last blocks' idle time is no matter.
const TILES_PER_BLOCK_MAX: usize = 4;
/// How much of the blocks' time tiles must fill by themselves, or they are dealt out.
const FILLED_MIN: f64 = 0.85;

/// Two results together, as f32.
pub(crate) const PAIR_BYTES: u64 = 8;

pub(crate) const EXACT_TILE: Tile = Tile { rows: 32, threads: 128, shared_bytes: (32 + 64) * 36 * 4, resident_max: 0 };
pub(crate) const TENSOR_TILES: [Tile; 3] = [tensor_tile(32, 128, 4), tensor_tile(64, 128, 3), tensor_tile(128, 256, 2)];

const fn tensor_tile(rows: usize, threads: u32, resident_max: usize) -> Tile {
    const STAGES: usize = 4;
    let shared_bytes = STAGES * (rows + TILE_COLUMNS) * TENSOR_INPUTS * 2;
    Tile { rows, threads, shared_bytes: shared_bytes as u32, resident_max }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct LinearParameters {
    input: u64,
    weight: u64,
    output: u64,
    partial_sums: u64,
    arrivals: u64,
    rows: u32,
    columns: u32,
    inputs: u32,
    row_tiles: u32,
    tiles: u32,
    aligned: u32,
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

impl sealed::Products for f32 {
    fn kernels(_rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        let (linear, gated) = match weights {
            Weights::F32(_) => (&LINEAR_F32, &GATED_F32),
            Weights::Bf16(_) => (&LINEAR_WIDENED, &GATED_WIDENED),
        };
        Some(Variant { linear, gated, tile: EXACT_TILE })
    }
}

impl sealed::Products for bf16 {
    fn kernels(rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        let Weights::Bf16(_) = weights else { return None };
        let (linear, gated, tile) = match rows {
            ..=32 => (&LINEAR_TENSOR_32, &GATED_TENSOR_32, TENSOR_TILES[0]),
            33..=64 => (&LINEAR_TENSOR_64, &GATED_TENSOR_64, TENSOR_TILES[1]),
            _ => (&LINEAR_TENSOR_128, &GATED_TENSOR_128, TENSOR_TILES[2]),
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
            TENSOR_TILES.iter().map(|tile| count(tile, tile.resident(device))).max().unwrap_or(0)
        };
        let sums = most(|tile, blocks| blocks * 2 * tile.rows * TILE_COLUMNS);
        let mut arrivals = device.allocate(most(|_, blocks| blocks * TILES_PER_BLOCK_MAX))?;
        arrivals.as_mut().clear()?;
        Ok(Self { partial_sums: device.allocate(sums)?, arrivals })
    }
}

/// `output = input @ matrix^T`: input `[rows, inputs]`, output `[rows, outputs]`.
pub fn linear<T: Operand>(
    input: Slice<'_, T>,
    matrix: &Matrix<'_>,
    scratch: &mut LinearScratch,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    multiply("linear", input, matrix, matrix.outputs, scratch, Output::Plain(output))
}

/// `output = gelu(input @ gate^T) * (input @ up^T)`, gelu by its tanh form, for a matrix that holds the gate's rows and then as many of up's:
/// input `[rows, inputs]`, output [rows, outputs / 2].
pub fn gated_linear<T: Operand>(
    input: Slice<'_, T>,
    matrix: &Matrix<'_>,
    scratch: &mut LinearScratch,
    output: SliceMut<'_, T>,
) -> Result<(), Error> {
    require!("gated_linear", matrix.outputs.is_multiple_of(2), "{} outputs are not two halves", matrix.outputs);
    multiply("gated_linear", input, matrix, matrix.outputs / 2, scratch, Output::Gated(output))
}

enum Output<'a, T> {
    Plain(SliceMut<'a, f32>),
    Gated(SliceMut<'a, T>),
}

fn multiply<T: Operand>(
    name: &'static str,
    input: Slice<'_, T>,
    matrix: &Matrix<'_>,
    columns: usize,
    scratch: &mut LinearScratch,
    output: Output<'_, T>,
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
    require!(
        name,
        rows.checked_mul(inputs) == Some(input.len()),
        "{} inputs are not {rows} rows of {inputs}",
        input.len()
    );
    require!(
        name,
        [rows, outputs, inputs].iter().all(|size| *size < 1 << 31),
        "{rows} x {outputs} x {inputs} is too large"
    );
    let devices = [input.device(), weights.device(), scratch.arrivals.as_slice().device()];
    require!(name, devices.iter().all(|other| other.is(device)), "not everything is on the same device");
    let Some(Variant { linear, gated, tile }) = T::kernels(rows, &weights) else {
        return Err(crate::error::shape(name, "tensor cores multiply bf16 by bf16 weights, and these are f32"));
    };
    let (kernel, tile_columns) = match output {
        Output::Plain(_) => (linear, TILE_COLUMNS),
        Output::Gated(_) => (gated, TILE_COLUMNS / 2),
    };
    let (row_tiles, column_tiles) = (rows.div_ceil(tile.rows), columns.div_ceil(tile_columns));
    let tiles = row_tiles * column_tiles;
    require!(name, tiles < 1 << 31, "{rows} x {outputs} are too many tiles");
    let addresses = input.address() | weights.address();
    let parameters = LinearParameters {
        input: input.address(),
        weight: weights.address(),
        output: output_address,
        partial_sums: scratch.partial_sums.as_mut().address(),
        arrivals: scratch.arrivals.as_mut().address(),
        rows: rows as u32,
        columns: columns as u32,
        inputs: inputs as u32,
        row_tiles: row_tiles as u32,
        tiles: tiles as u32,
        aligned: u32::from(addresses.is_multiple_of(16) && inputs.is_multiple_of(8)),
        paired: u32::from(output_address.is_multiple_of(PAIR_BYTES) && columns.is_multiple_of(2)),
    };
    let grid = if tile.resident_max == 0 {
        [row_tiles as u32, column_tiles as u32, 1]
    } else {
        [blocks(tile.resident(device), tiles, inputs) as u32, 1, 1]
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

/// Among how many blocks tiles are dealt out, where `resident` run at a time: one a tile where that fills them well.
fn blocks(resident: usize, tiles: usize, inputs: usize) -> usize {
    let waves = tiles.div_ceil(resident);
    let filled = tiles as f64 / (waves * resident) as f64;
    if filled >= FILLED_MIN || tiles > TILES_PER_BLOCK_MAX * resident {
        return tiles;
    }
    let units = tiles * inputs.div_ceil(TENSOR_INPUTS);
    // Blocks that have less than a tile each are worth it only where there is enough for each of them.
    if tiles < resident { resident.min(units / BLOCK_UNITS_MIN).max(tiles) } else { resident }
}

#[cfg(test)]
mod tests;
