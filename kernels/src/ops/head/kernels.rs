//! The head's kernels, their parameters as in the sources, and what each is good for.

use crate::kernel::{Kernel, kernel};
use crate::ops::linear::Weights;
use crate::ops::rope::HeadElement;
use crate::ops::splits::slots;
use crate::{Device, bf16};

use super::{BLOCKS_PER_MULTIPROCESSOR, TILE};

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RowsParameters {
    pub(super) stream: u64,
    pub(super) table: u64,
    pub(super) weight: u64,
    pub(super) output: u64,
    pub(super) floors: u64,
    pub(super) hidden: u32,
    pub(super) eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct TilesParameters {
    pub(super) rows_in: u64,
    pub(super) embedding: u64,
    pub(super) table: u64,
    pub(super) step: u64,
    pub(super) sets: u64,
    pub(super) listed_from: u64,
    pub(super) listed: u64,
    pub(super) listed_logits: u64,
    pub(super) tape: u64,
    pub(super) findings: u64,
    pub(super) floors: u64,
    pub(super) kept: u64,
    pub(super) logits: u64,
    pub(super) kept_stride: u64,
    pub(super) rows: u32,
    pub(super) vocabulary: u32,
    pub(super) hidden: u32,
    pub(super) set_words: u32,
    pub(super) soft_cap: f32,
    pub(super) leaves_out_listed: u32,
    pub(super) wants_sample: u32,
    pub(super) wants_own: u32,
    pub(super) is_vectorised: u32,
    pub(super) reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct CombineParameters {
    pub(super) findings: u64,
    pub(super) table: u64,
    pub(super) step: u64,
    pub(super) listed_from: u64,
    pub(super) listed: u64,
    pub(super) listed_logits: u64,
    pub(super) vote_probabilities: u64,
    pub(super) vote_weights: u64,
    pub(super) log_probabilities: u64,
    pub(super) tape: u64,
    pub(super) outcomes: u64,
    pub(super) scales: u64,
    pub(super) tiles: u32,
    pub(super) vocabulary: u32,
    pub(super) wants_own: u32,
    pub(super) reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct WeightsParameters {
    pub(super) findings: u64,
    pub(super) scales: u64,
    pub(super) listed_from: u64,
    pub(super) listed: u64,
    pub(super) vote_weights: u64,
    pub(super) kept: u64,
    pub(super) kept_stride: u64,
    pub(super) vocabulary: u32,
    pub(super) tiles: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct SoftenParameters {
    pub(super) logits: u64,
    pub(super) weights: u64,
    pub(super) weights_stride: u64,
    pub(super) vocabulary: u32,
    pub(super) reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct SoftParameters {
    pub(super) weights: u64,
    pub(super) embedding: u64,
    pub(super) shares: u64,
    pub(super) weights_stride: u64,
    pub(super) rows: u32,
    pub(super) vocabulary: u32,
    pub(super) hidden: u32,
    pub(super) is_vectorised: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct SoftSumParameters {
    pub(super) shares: u64,
    pub(super) output: u64,
    pub(super) numbers: u64,
    pub(super) splits: u32,
    pub(super) scale: f32,
}

kernel!(static ROWS_F32: "head", head_rows_f32(RowsParameters));
kernel!(static ROWS_BF16: "head", head_rows_bf16(RowsParameters));
kernel!(static TILES_F32: "head", head_tiles_f32(TilesParameters));
kernel!(static TILES_WIDENED: "head", head_tiles_widened(TilesParameters));
kernel!(static TILES_BF16_64: "head", head_tiles_bf16_64(TilesParameters));
kernel!(static TILES_BF16_128: "head", head_tiles_bf16_128(TilesParameters));
kernel!(static COMBINE: "head", head_combine(CombineParameters));
kernel!(static WEIGHTS_F32: "soft", head_weights_f32(WeightsParameters));
kernel!(static WEIGHTS_BF16: "soft", head_weights_bf16(WeightsParameters));
kernel!(static SOFTEN_F32: "soft", soften_f32(SoftenParameters));
kernel!(static SOFTEN_BF16: "soft", soften_bf16(SoftenParameters));
kernel!(static SOFT_F32: "soft", soft_embeddings_f32(SoftParameters));
kernel!(static SOFT_WIDENED: "soft", soft_embeddings_widened(SoftParameters));
kernel!(static SOFT_BF16_64: "soft", soft_embeddings_bf16_64(SoftParameters));
kernel!(static SOFT_BF16_128: "soft", soft_embeddings_bf16_128(SoftParameters));
kernel!(static SOFT_SUM: "soft", soft_embeddings_sum(SoftSumParameters));

/// What the head multiplies: f32 exactly, with an embedding of either dtype; or bf16 on tensor cores.
pub trait VocabularyElement: HeadElement {
    #[doc(hidden)]
    const HEAD: HeadKernels;
}

#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct HeadKernels {
    pub(super) element_bytes: usize,
    pub(super) rows: &'static Kernel<RowsParameters>,
    /// For few rows and for many, with an embedding of the same element type.
    tiles: [TileKernels; 2],
    /// For an embedding that is widened while it is read.
    widened: Option<TileKernels>,
    pub(super) weights: &'static Kernel<WeightsParameters>,
    pub(super) soften: &'static Kernel<SoftenParameters>,
    pub(super) combine: &'static Kernel<CombineParameters>,
    pub(super) soft_sum: &'static Kernel<SoftSumParameters>,
}

/// The kernels of one height of tiles, with the sizes of their pipelines.
#[derive(Clone, Copy)]
pub(super) struct TileKernels {
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) stages: usize,
    pub(super) logits: &'static Kernel<TilesParameters>,
    pub(super) soft: &'static Kernel<SoftParameters>,
}

impl VocabularyElement for f32 {
    const HEAD: HeadKernels = {
        let tiles = TileKernels { rows: 32, depth: 32, stages: 3, logits: &TILES_F32, soft: &SOFT_F32 };
        HeadKernels {
            element_bytes: 4,
            rows: &ROWS_F32,
            tiles: [tiles, tiles],
            widened: Some(TileKernels { logits: &TILES_WIDENED, soft: &SOFT_WIDENED, ..tiles }),
            weights: &WEIGHTS_F32,
            soften: &SOFTEN_F32,
            combine: &COMBINE,
            soft_sum: &SOFT_SUM,
        }
    };
}

impl VocabularyElement for bf16 {
    const HEAD: HeadKernels = HeadKernels {
        element_bytes: 2,
        rows: &ROWS_BF16,
        tiles: [
            TileKernels { rows: 64, depth: 64, stages: 3, logits: &TILES_BF16_64, soft: &SOFT_BF16_64 },
            TileKernels { rows: 128, depth: 32, stages: 4, logits: &TILES_BF16_128, soft: &SOFT_BF16_128 },
        ],
        widened: None,
        weights: &WEIGHTS_BF16,
        soften: &SOFTEN_BF16,
        combine: &COMBINE,
        soft_sum: &SOFT_SUM,
    };
}

impl HeadKernels {
    /// The tiles for so many rows; those for a widened embedding have the same sizes.
    pub(super) fn tiles_for(&self, rows: usize) -> TileKernels {
        if rows <= self.tiles[0].rows { self.tiles[0] } else { self.tiles[1] }
    }

    /// The kernels for so many rows and an embedding stored so, or none.
    pub(super) fn kernels_for(&self, rows: usize, embedding: &Weights<'_>) -> Option<TileKernels> {
        let is_same = match embedding {
            Weights::F32(_) => self.element_bytes == 4,
            Weights::Bf16(_) => self.element_bytes == 2,
            Weights::Fp8 { .. } | Weights::Nvfp4 { .. } => return None,
        };
        if is_same { Some(self.tiles_for(rows)) } else { self.widened }
    }
}

impl TileKernels {
    /// Of the products of hidden rows with rows of the embedding. Rows in shared memory are padded by 16 bytes.
    pub(super) fn logits_shared_bytes(&self, element_bytes: usize) -> u32 {
        (self.stages * (self.rows + TILE) * (self.depth * element_bytes + 16)) as u32
    }

    /// Blocks that make soft embeddings at the same time.
    pub(super) fn soft_blocks_at_once(&self, device: &Device, element_bytes: usize) -> usize {
        slots(device, self.soft_shared_bytes(element_bytes), BLOCKS_PER_MULTIPROCESSOR)
    }

    /// Of the products of weights with columns of the embedding.
    pub(super) fn soft_shared_bytes(&self, element_bytes: usize) -> u32 {
        let left = self.rows * (self.depth * element_bytes + 16);
        let right = self.depth * (TILE * element_bytes + 16);
        (self.stages * (left + right)) as u32
    }
}
