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

/// The piece of a result that one block makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
    /// Blocks that run on a multiprocessor together, 0 where the inputs are never split.
    pub(crate) resident: usize,
}

/// Columns of every tile; of a gated product half of them are the gate's.
pub(crate) const TILE_COLUMNS: usize = 64;
/// Inputs that tensor cores take between two waits.
const TENSOR_INPUTS: usize = 64;
/// Inputs of a split at least, in units of the above: less, and starting costs more than the split gains.
const SPLIT_TILES_MIN: usize = 4;
const SPLITS_MAX: usize = 8;

pub(crate) const EXACT_TILE: Tile = Tile { rows: 32, threads: 128, shared_bytes: (32 + 64) * 36 * 4, resident: 0 };
pub(crate) const TENSOR_TILES: [Tile; 3] = [tensor_tile(32, 128, 4), tensor_tile(64, 128, 3), tensor_tile(128, 256, 2)];

const fn tensor_tile(rows: usize, threads: u32, resident: usize) -> Tile {
    const STAGES: usize = 4;
    let shared_bytes = STAGES * (rows + TILE_COLUMNS) * TENSOR_INPUTS * 2;
    Tile { rows, threads, shared_bytes: shared_bytes as u32, resident }
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
    splits: u32,
    aligned: u32,
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
    /// Room for any product: no product is split into more blocks than the device runs at a time.
    pub fn new(device: &Device) -> Result<Self, Error> {
        let blocks = |tile: &Tile| device.multiprocessors() as usize * tile.resident;
        let sums = TENSOR_TILES.iter().map(|tile| blocks(tile) * tile.rows * TILE_COLUMNS).max().unwrap_or(0);
        let mut arrivals = device.allocate(TENSOR_TILES.iter().map(blocks).max().unwrap_or(0))?;
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
    let splits = splits(tile, row_tiles * column_tiles, inputs, device.multiprocessors() as usize);
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
        splits: splits as u32,
        aligned: u32::from(addresses.is_multiple_of(16) && inputs.is_multiple_of(8)),
    };
    let grid = [row_tiles as u32, column_tiles as u32, splits as u32];
    let launch = Launch { grid, threads: tile.threads, shared_bytes: tile.shared_bytes };
    // SAFETY: the slices have the lengths that rows, columns and inputs say; blocks leave out what a tile has beyond them. The scratch has room for
    // as many blocks as the device runs at a time, and `splits` makes no more where it splits. Output and scratch are borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(kernel, launch, &parameters)
    }
}

/// Over how many blocks each tile's inputs are spread, so that all multiprocessors read weights.
fn splits(tile: Tile, tiles: usize, inputs: usize, multiprocessors: usize) -> usize {
    let room = multiprocessors * tile.resident / tiles.max(1);
    let input_tiles = inputs.div_ceil(TENSOR_INPUTS);
    let splits = room.min(input_tiles / SPLIT_TILES_MIN).clamp(1, SPLITS_MAX);
    // As whole tiles are dealt out, the last splits may be left with nothing.
    input_tiles.div_ceil(input_tiles.div_ceil(splits))
}

#[cfg(test)]
mod tests;
