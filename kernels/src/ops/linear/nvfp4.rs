//! Products of e2m1 by e2m1.

use super::{Fp4Order, Input, InputRows, LinearParameters, Tile, Variant, Weights, sealed, tensor_tile};
use crate::kernel::kernel;
use crate::ops::quantised::{FP4_WORD, Fp4Rows};
use crate::{Device, bf16};

kernel!(static LINEAR_NVFP4_32: "linear_quantised", linear_nvfp4_32(LinearParameters));
kernel!(static LINEAR_NVFP4_64: "linear_quantised", linear_nvfp4_64(LinearParameters));
kernel!(static LINEAR_NVFP4_128: "linear_quantised", linear_nvfp4_128(LinearParameters));
kernel!(static GATED_NVFP4_32: "linear_quantised", gated_nvfp4_32(LinearParameters));
kernel!(static GATED_NVFP4_64: "linear_quantised", gated_nvfp4_64(LinearParameters));
kernel!(static GATED_NVFP4_128: "linear_quantised", gated_nvfp4_128(LinearParameters));

/// Of e2m1 by e2m1: rows of either have eight scales too.
pub(crate) const NVFP4_TILES: [Tile; 3] = [
    tensor_tile(32, 4, 128, 64 + 8, 64 + 8),
    tensor_tile(64, 3, 128, 64 + 8, 64 + 8),
    tensor_tile(128, 2, 128, 64 + 8, 64 + 8),
];

impl Input for Fp4Rows<'_> {
    type Gated = bf16;
}

impl sealed::Input for Fp4Rows<'_> {
    const FORMAT: &'static str = "nvfp4";
    fn rows(&self) -> InputRows<'_> {
        let Self { words, group_scales, scale } = self;
        InputRows {
            address: words.address(),
            len: words.len().saturating_mul(FP4_WORD),
            device: words.device(),
            scales: None,
            group_scales: Some((*group_scales, *scale)),
        }
    }
    fn kernels(_device: &Device, rows: usize, weights: &Weights<'_>) -> Option<Variant> {
        let Weights::Nvfp4 { order: Fp4Order::Plain, .. } = weights else { return None };
        Some(match rows {
            ..=32 => Variant { linear: &LINEAR_NVFP4_32, gated: &GATED_NVFP4_32, tile: NVFP4_TILES[0] },
            33..=64 => Variant { linear: &LINEAR_NVFP4_64, gated: &GATED_NVFP4_64, tile: NVFP4_TILES[1] },
            _ => Variant { linear: &LINEAR_NVFP4_128, gated: &GATED_NVFP4_128, tile: NVFP4_TILES[2] },
        })
    }
}
