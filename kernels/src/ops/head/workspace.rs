//! What the head works with, allocated once.

use crate::error::require;
use crate::memory::{Arena, Buffer};
use crate::ops::splits::SPLITS_MAX;
use crate::{Device, Error};

use super::TILE;
use super::kernels::VocabularyElement;

/// Words of what a tile leaves of a row.
const FINDINGS_WORDS: usize = 9;
/// Words of a row's scale.
const SCALE_WORDS: usize = 2;

/// What a workspace is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Rows at a time, at most.
    pub rows: usize,
    /// Tokens.
    pub vocabulary: usize,
    /// Numbers in a hidden row.
    pub hidden: usize,
    /// Whether soft embeddings will be wanted, for which a weight of each row and token is kept.
    pub keeps_weights: bool,
}

/// What the head works with.
pub struct HeadWorkspace<T> {
    pub(super) shape: HeadShape,
    /// [rows, hidden]
    pub(super) rows_in: Buffer<T>,
    /// [rows, tiles]
    pub(super) findings: Buffer<u32>,
    /// `[rows]`: orders of the best samples so far.
    pub(super) floors: Buffer<u32>,
    /// [rows, 2]
    pub(super) scales: Buffer<f32>,
    /// [rows, kept stride]
    pub(super) kept: Buffer<T>,
    /// Of soft embeddings, [splits, rows, hidden].
    pub(super) shares: Buffer<f32>,
    /// Rows whose weights are kept.
    pub(super) kept_rows: usize,
}

impl HeadShape {
    /// Numbers from row to row of the kept weights: a multiple of what one vector load reads.
    pub(super) fn kept_stride(&self) -> usize {
        self.vocabulary.next_multiple_of(8)
    }

    pub(super) fn tiles(&self) -> usize {
        self.vocabulary.div_ceil(TILE)
    }

    fn lengths<T: VocabularyElement>(&self, device: &Device) -> [usize; 6] {
        let tiles = T::HEAD.tiles_for(self.rows);
        let blocks = self.rows.div_ceil(tiles.rows) * self.hidden.div_ceil(TILE);
        let at_once = tiles.soft_blocks_at_once(device, T::HEAD.element_bytes);
        let splits = (2 * at_once).div_ceil(blocks.max(1)).min(SPLITS_MAX);
        [
            self.rows * self.hidden,
            self.rows * self.tiles() * FINDINGS_WORDS,
            self.rows,
            self.rows * SCALE_WORDS,
            if self.keeps_weights { self.rows * self.kept_stride() } else { 0 },
            if self.keeps_weights { splits * self.rows * self.hidden } else { 0 },
        ]
    }

    /// The bytes of an arena that a workspace takes.
    pub fn footprint<T: VocabularyElement>(&self, device: &Device) -> usize {
        let [rows_in, findings, floors, scales, kept, shares] = self.lengths::<T>(device);
        Arena::footprint::<T>(rows_in)
            + Arena::footprint::<u32>(findings)
            + Arena::footprint::<u32>(floors)
            + Arena::footprint::<f32>(scales)
            + Arena::footprint::<T>(kept)
            + Arena::footprint::<f32>(shares)
    }
}

impl<T: VocabularyElement> HeadWorkspace<T> {
    /// Takes the workspace from an arena of the device.
    pub fn new(device: &Device, arena: &mut Arena, shape: HeadShape) -> Result<Self, Error> {
        const NAME: &str = "head workspace";
        require!(
            NAME,
            shape.vocabulary > 0 && shape.vocabulary <= 1 << 22 && shape.hidden > 0 && shape.hidden <= 1 << 20,
            "a vocabulary of {} tokens of {} numbers",
            shape.vocabulary,
            shape.hidden
        );
        require!(NAME, shape.rows <= 1 << 16, "{} rows are too many", shape.rows);
        let [rows_in, findings, floors, scales, kept, shares] = shape.lengths::<T>(device);
        Ok(Self {
            shape,
            rows_in: arena.take(rows_in)?,
            findings: arena.take(findings)?,
            floors: arena.take(floors)?,
            scales: arena.take(scales)?,
            kept: arena.take(kept)?,
            shares: arena.take(shares)?,
            kept_rows: 0,
        })
    }

    /// Rows whose weights the last [`sample`](super::sample) or [`soften`](super::soften) kept.
    pub fn kept_rows(&self) -> usize {
        self.kept_rows
    }
}
