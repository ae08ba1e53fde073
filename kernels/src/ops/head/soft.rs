//! Soft embeddings: kept distributions, and their products with the embedding.

use crate::error::require;
use crate::kernel::Launch;
use crate::memory::{Slice, SliceMut};
use crate::ops::splits::best_splits;
use crate::{Device, Error};

use super::kernels::{
    CombineParameters, SoftParameters, SoftSumParameters, SoftenParameters, TilesParameters, VocabularyElement,
    WeightsParameters,
};
use super::workspace::HeadWorkspace;
use super::{THREADS, TILE, Vocabulary};

const WARPS: u32 = THREADS / 32;
/// What a block that sums up a row shares: a sum in f64 a thread, and two numbers a warp.
const SOFTEN_SHARED_BYTES: u32 = THREADS * 8 + 2 * WARPS * 4;
/// What a share of the vocabulary costs, in quarters of a slab of tokens.
const SPLIT_COST: usize = 16;

/// Turns the exponentials that tiles have kept into probabilities.
pub(super) fn weigh<T: VocabularyElement>(
    device: &Device,
    parameters: &TilesParameters,
    combine: &CombineParameters,
) -> Result<(), Error> {
    let weights = WeightsParameters {
        findings: parameters.findings,
        scales: combine.scales,
        listed_from: parameters.listed_from,
        listed: parameters.listed,
        vote_weights: combine.vote_weights,
        kept: parameters.kept,
        kept_stride: parameters.kept_stride,
        vocabulary: parameters.vocabulary,
        tiles: combine.tiles,
    };
    // Some tiles a warp, so that many loads are under way and a row's scale is read once.
    let shares = combine.tiles.div_ceil(4 * WARPS).min(1 << 15);
    let launch = Launch { grid: [parameters.rows, shares, 1], threads: THREADS, shared_bytes: 0 };
    // SAFETY: goes over the weights that the tiles have just kept.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(T::HEAD.weights, launch, &weights)
    }
}

/// Keeps the distributions of whole rows of logits, [rows, vocabulary], for [`soft_embeddings`].
pub fn soften<T: VocabularyElement>(logits: Slice<'_, f32>, workspace: &mut HeadWorkspace<T>) -> Result<(), Error> {
    const NAME: &str = "soften";
    let tokens = workspace.shape.vocabulary;
    require!(NAME, logits.len().is_multiple_of(tokens), "{} logits are not rows of {tokens}", logits.len());
    let rows = logits.len() / tokens;
    require!(NAME, rows <= workspace.shape.rows, "{rows} rows in a workspace for {}", workspace.shape.rows);
    require!(NAME, workspace.shape.keeps_weights, "the workspace keeps no weights");
    let device = logits.device();
    require!(NAME, workspace.kept.as_slice().device().is(device), "the workspace is on another device");
    let parameters = SoftenParameters {
        logits: logits.address(),
        weights: workspace.kept.as_mut().address(),
        weights_stride: workspace.shape.kept_stride() as u64,
        vocabulary: tokens as u32,
        reserved: 0,
    };
    // SAFETY: block r reads row r of the logits and writes row r of the weights, for which the workspace has room.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(
            T::HEAD.soften,
            Launch { grid: [rows as u32, 1, 1], threads: THREADS, shared_bytes: SOFTEN_SHARED_BYTES },
            &parameters,
        )?;
    }
    workspace.kept_rows = rows;
    Ok(())
}

/// The mean of the embedding under each kept distribution, times `scale`: [kept rows, hidden].
pub fn soft_embeddings<T: VocabularyElement>(
    vocabulary: Vocabulary<'_>,
    workspace: &mut HeadWorkspace<T>,
    scale: f32,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    const NAME: &str = "soft_embeddings";
    let (rows, shape, device) = (workspace.kept_rows, workspace.shape, vocabulary.device());
    let tiles = vocabulary.check(NAME, rows, workspace)?;
    require!(NAME, output.len() == rows * shape.hidden, "{} numbers do not fit {rows} rows", output.len());
    require!(NAME, output.device().is(device), "the output is on another device");
    if rows == 0 {
        return Ok(());
    }
    let (row_tiles, column_tiles) = (rows.div_ceil(tiles.rows), shape.hidden.div_ceil(TILE));
    let splits = best_splits(
        row_tiles * column_tiles,
        shape.vocabulary.div_ceil(tiles.depth),
        tiles.soft_blocks_at_once(device, T::HEAD.element_bytes),
        workspace.shares.len() / (rows * shape.hidden),
        SPLIT_COST,
    );
    let (weights, embedding) = (workspace.kept.as_slice().address(), vocabulary.embedding.weights.address());
    let bytes = T::HEAD.element_bytes;
    let parameters = SoftParameters {
        weights,
        embedding,
        shares: workspace.shares.as_mut().address(),
        weights_stride: shape.kept_stride() as u64,
        rows: rows as u32,
        vocabulary: shape.vocabulary as u32,
        hidden: shape.hidden as u32,
        is_vectorised: ((shape.hidden * bytes).is_multiple_of(16) && (weights | embedding).is_multiple_of(16)).into(),
    };
    let launch = Launch {
        grid: [row_tiles as u32, column_tiles as u32, splits as u32],
        threads: THREADS,
        shared_bytes: tiles.soft_shared_bytes(bytes),
    };
    let numbers = (rows * shape.hidden) as u64;
    let sum = SoftSumParameters {
        shares: parameters.shares,
        output: output.address(),
        numbers,
        splits: splits as u32,
        scale,
    };
    let sum_launch =
        Launch { grid: [numbers.div_ceil(u64::from(THREADS)) as u32, 1, 1], threads: THREADS, shared_bytes: 0 };
    // SAFETY: the workspace keeps weights of so many rows, and its shares have room for so many splits of them; the output has one number
    // for each of a share.
    #[expect(unsafe_code, reason = "launches")]
    unsafe {
        device.launch(tiles.soft, launch, &parameters)?;
        device.launch(T::HEAD.soft_sum, sum_launch, &sum)
    }
}
