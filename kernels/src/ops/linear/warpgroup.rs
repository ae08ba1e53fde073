//! Dense products by warpgroups.
//!
//! A multiprocessor of such a card gets some 30 bytes a clock from the second-level cache, and multiplies 4,096 pairs of e4m3 or half as many of bf16
//! meanwhile. A tile of 64 columns and 128 rows takes 192 bytes for each byte of inputs and makes 8,192 products of them, one of 128 by 128 takes
//! 256 and makes 16,384. So where there are rows enough tiles are square.

use super::{LinearParameters, Tile, Variant};
use crate::kernel::{Kernel, kernel};

kernel!(static LINEAR_FP8_64X32: "linear_warpgroup", linear_warpgroup_fp8_64x32(LinearParameters));
kernel!(static LINEAR_FP8_64X64: "linear_warpgroup", linear_warpgroup_fp8_64x64(LinearParameters));
kernel!(static LINEAR_FP8_64X128: "linear_warpgroup", linear_warpgroup_fp8_64x128(LinearParameters));
kernel!(static LINEAR_FP8_128X128: "linear_warpgroup", linear_warpgroup_fp8_128x128(LinearParameters));
kernel!(static LINEAR_BF16_64X128: "linear_warpgroup", linear_warpgroup_bf16_64x128(LinearParameters));
kernel!(static LINEAR_BF16_128X128: "linear_warpgroup", linear_warpgroup_bf16_128x128(LinearParameters));
kernel!(static GATED_FP8_64X32: "linear_warpgroup", gated_warpgroup_fp8_64x32(LinearParameters));
kernel!(static GATED_FP8_64X64: "linear_warpgroup", gated_warpgroup_fp8_64x64(LinearParameters));
kernel!(static GATED_FP8_64X128: "linear_warpgroup", gated_warpgroup_fp8_64x128(LinearParameters));
kernel!(static GATED_FP8_128X128: "linear_warpgroup", gated_warpgroup_fp8_128x128(LinearParameters));
kernel!(static GATED_BF16_64X128: "linear_warpgroup", gated_warpgroup_bf16_64x128(LinearParameters));
kernel!(static GATED_BF16_128X128: "linear_warpgroup", gated_warpgroup_bf16_128x128(LinearParameters));

/// Of so many columns and rows, with so many blocks to a multiprocessor: the same for both formats, whose rows of a stage are 128 bytes.
const fn tile(columns: usize, rows: usize, resident_max: usize, unit_inputs: usize) -> Tile {
    const STAGES: usize = 4;
    const ROW_BYTES: usize = 128;
    let shared_bytes = (STAGES * (columns + rows) * ROW_BYTES) as u32;
    Tile { rows, columns, threads: columns as u32 * 2, shared_bytes, unit_inputs, resident_max }
}

pub(crate) const FP8_TILES: [Tile; 4] =
    [tile(64, 32, 4, 128), tile(64, 64, 3, 128), tile(64, 128, 2, 128), tile(128, 128, 1, 128)];
pub(crate) const BF16_TILES: [Tile; 2] = [tile(64, 128, 2, 64), tile(128, 128, 1, 64)];
/// All that a dense product may use.
pub(super) const TILES: [Tile; 6] =
    [FP8_TILES[0], FP8_TILES[1], FP8_TILES[2], FP8_TILES[3], BF16_TILES[0], BF16_TILES[1]];

type Linear = &'static Kernel<LinearParameters>;

const fn variant(linear: Linear, gated: Linear, tile: Tile) -> Variant {
    Variant { linear, gated, tile }
}

/// Of e4m3 by e4m3.
pub(super) fn fp8(rows: usize) -> Variant {
    match rows {
        ..=32 => variant(&LINEAR_FP8_64X32, &GATED_FP8_64X32, FP8_TILES[0]),
        33..=64 => variant(&LINEAR_FP8_64X64, &GATED_FP8_64X64, FP8_TILES[1]),
        65..=128 => variant(&LINEAR_FP8_64X128, &GATED_FP8_64X128, FP8_TILES[2]),
        _ => variant(&LINEAR_FP8_128X128, &GATED_FP8_128X128, FP8_TILES[3]),
    }
}

/// Of bf16 by bf16. With few rows each warp by itself keeps up with memory, and nothing is gained.
pub(super) fn bf16(rows: usize) -> Option<Variant> {
    match rows {
        ..=64 => None,
        65..=128 => Some(variant(&LINEAR_BF16_64X128, &GATED_BF16_64X128, BF16_TILES[0])),
        _ => Some(variant(&LINEAR_BF16_128X128, &GATED_BF16_128X128, BF16_TILES[1])),
    }
}
