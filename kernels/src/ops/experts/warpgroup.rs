//! The experts' products by warpgroups.

use super::{ExpertsParameters, Variant};
use crate::kernel::{Kernel, kernel};
use crate::ops::linear::Tile;
use crate::ops::linear::warpgroup::{BF16_TILES, FP8_TILES};

kernel!(static GATED_FP8_64X32: "experts_warpgroup", experts_gated_warpgroup_fp8_64x32(ExpertsParameters));
kernel!(static GATED_FP8_64X64: "experts_warpgroup", experts_gated_warpgroup_fp8_64x64(ExpertsParameters));
kernel!(static GATED_FP8_128X128: "experts_warpgroup", experts_gated_warpgroup_fp8_128x128(ExpertsParameters));
kernel!(static GATED_BF16_128X128: "experts_warpgroup", experts_gated_warpgroup_bf16_128x128(ExpertsParameters));
kernel!(static DOWN_FP8_64X32: "experts_warpgroup", experts_down_warpgroup_fp8_64x32(ExpertsParameters));
kernel!(static DOWN_FP8_64X64: "experts_warpgroup", experts_down_warpgroup_fp8_64x64(ExpertsParameters));
kernel!(static DOWN_FP8_128X128: "experts_warpgroup", experts_down_warpgroup_fp8_128x128(ExpertsParameters));
kernel!(static DOWN_BF16_128X128: "experts_warpgroup", experts_down_warpgroup_bf16_128x128(ExpertsParameters));

type Experts = &'static Kernel<ExpertsParameters>;

const fn variant(gated: Experts, down: Experts, tile: Tile) -> Variant {
    Variant { gated, down, tile }
}

/// Of e4m3 by e4m3, for rows so many an expert. As elsewhere a tile is made for some times the mean.
pub(super) fn fp8(mean_rows: usize) -> Variant {
    match mean_rows {
        ..=16 => variant(&GATED_FP8_64X32, &DOWN_FP8_64X32, FP8_TILES[0]),
        17..=40 => variant(&GATED_FP8_64X64, &DOWN_FP8_64X64, FP8_TILES[1]),
        _ => variant(&GATED_FP8_128X128, &DOWN_FP8_128X128, FP8_TILES[3]),
    }
}

/// Of bf16 by bf16: with few rows each warp by itself keeps up with memory, and nothing is gained.
pub(super) fn bf16(mean_rows: usize) -> Option<Variant> {
    (mean_rows > 40).then_some(variant(&GATED_BF16_128X128, &DOWN_BF16_128X128, BF16_TILES[1]))
}
