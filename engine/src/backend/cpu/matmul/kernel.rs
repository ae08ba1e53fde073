//! One thread's share of a product: a few rows times a few panels, tile by tile.

use pulp::{Simd, WithSimd};

use crate::backend::cpu::matrix::{Bf16Step, F32Step, PANEL_COLUMNS, STEP_WORDS, WORD_GROUP, first_column_of_word};

/// Rows of a register tile: with four vectors a row, 24 of AVX-512's 32 registers accumulate.
pub(crate) const TILE_ROWS: usize = 6;

/// Rows of inputs, panels of weights, and the run of outputs of each row that they make.
pub(crate) struct Stripe<'a, 'out, Step> {
    /// `[rows, k]`.
    pub(crate) x: &'a [f32],
    pub(crate) k: usize,
    /// `[panels, k]`.
    pub(crate) panels: &'a [Step],
    /// For each row its columns; the last panel may reach past them.
    pub(crate) out: &'a mut [&'out mut [f32]],
}

impl<Step: PanelStep> WithSimd for Stripe<'_, '_, Step> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, k, panels, out } = self;
        if k == 0 {
            out.iter_mut().for_each(|row| row.fill(0.0));
            return;
        }
        for (index, panel) in panels.chunks_exact(k).enumerate() {
            for (x, out) in x.chunks(TILE_ROWS * k).zip(out.chunks_mut(TILE_ROWS)) {
                let mut rows = out.iter_mut();
                let tile = Tile {
                    x,
                    x_stride: k,
                    panel,
                    first_column: index * PANEL_COLUMNS,
                    rows: rows.len(),
                    out: std::array::from_fn(|_| rows.next().map(|row| &mut **row).unwrap_or_default()),
                };
                tile.multiply(simd);
            }
        }
    }
}

/// A few rows of inputs times one panel.
pub(crate) struct Tile<'a, 'out, Step> {
    /// Rows `x_stride` apart, as long as the panel.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    pub(crate) panel: &'a [Step],
    /// Where in a row of outputs the panel's first column goes.
    pub(crate) first_column: usize,
    pub(crate) rows: usize,
    /// The rows' outputs. Columns past their ends are dropped.
    pub(crate) out: [&'out mut [f32]; TILE_ROWS],
}

impl<Step: PanelStep> Tile<'_, '_, Step> {
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(self, simd: S) {
        // The tile is as wide as the registers allow: all of a panel with AVX-512, a quarter with AVX2 and NEON.
        match S::F32_LANES {
            16 => self.multiply_by::<S, 4>(simd),
            8 => self.multiply_by::<S, 2>(simd),
            4 => self.multiply_by::<S, 4>(simd),
            _ => self.multiply_by::<S, 8>(simd),
        }
    }

    #[inline(always)]
    fn multiply_by<S: Simd, const VECTORS: usize>(self, simd: S) {
        match self.rows {
            6 => self.multiply_rows::<S, VECTORS, 6>(simd),
            5 => self.multiply_rows::<S, VECTORS, 5>(simd),
            4 => self.multiply_rows::<S, VECTORS, 4>(simd),
            3 => self.multiply_rows::<S, VECTORS, 3>(simd),
            2 => self.multiply_rows::<S, VECTORS, 2>(simd),
            1 => self.multiply_rows::<S, VECTORS, 1>(simd),
            _ => {}
        }
    }

    #[inline(always)]
    fn multiply_rows<S: Simd, const VECTORS: usize, const ROWS: usize>(self, simd: S) {
        let Self { x, x_stride, panel, first_column, mut out, .. } = self;
        let x: [&[f32]; ROWS] = std::array::from_fn(|row| &x[row * x_stride..][..panel.len()]);
        let words = VECTORS / 2 * S::F32_LANES;
        let mut first_word = 0;
        while first_word < STEP_WORDS {
            let sums = accumulate::<S, Step, VECTORS, ROWS>(simd, x, panel, first_word);
            for (out, sums) in out.iter_mut().zip(&sums) {
                for (pair, sums) in sums.chunks_exact(2).enumerate() {
                    let column = first_column + first_column_of_word(first_word + pair * S::F32_LANES);
                    store(simd, out, column, sums[0]);
                    store(simd, out, column + WORD_GROUP, sums[1]);
                }
            }
            first_word += words;
        }
    }
}

/// The sums over all inputs, for `VECTORS / 2` vectors of words from `first_word` on.
#[inline(always)]
fn accumulate<S: Simd, Step: PanelStep, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    x: [&[f32]; ROWS],
    panel: &[Step],
    first_word: usize,
) -> [[S::f32s; VECTORS]; ROWS] {
    let words = VECTORS / 2 * S::F32_LANES;
    assert!(first_word + words <= STEP_WORDS);
    let x = x.map(|row| &row[..panel.len()]);
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (input, step) in panel.iter().enumerate() {
        let weights = step.load::<S, VECTORS>(simd, first_word);
        for (sums, x) in sums.iter_mut().zip(&x) {
            let x = simd.splat_f32s(x[input]);
            for (sum, weight) in sums.iter_mut().zip(&weights) {
                *sum = simd.mul_add_e_f32s(x, *weight, *sum);
            }
        }
    }
    sums
}

/// Writes a vector, or as much of it as the row still has.
#[inline(always)]
fn store<S: Simd>(simd: S, out: &mut [f32], column: usize, values: S::f32s) {
    let Some(out) = out.get_mut(column..) else {
        return;
    };
    let length = out.len().min(S::F32_LANES);
    simd.partial_store_f32s(&mut out[..length], values);
}

/// One input's weights for the columns of a panel.
pub(crate) trait PanelStep: Copy + Sync {
    /// The columns of `VECTORS / 2` vectors of words from `first_word` on: of each vector the first columns, then the
    /// second ones.
    fn load<S: Simd, const VECTORS: usize>(&self, simd: S, first_word: usize) -> [S::f32s; VECTORS];
}

impl PanelStep for F32Step {
    #[inline(always)]
    fn load<S: Simd, const VECTORS: usize>(&self, simd: S, first_word: usize) -> [S::f32s; VECTORS] {
        let words = VECTORS / 2 * S::F32_LANES;
        let first = S::as_simd_f32s(&self.first[first_word..][..words]).0;
        let second = S::as_simd_f32s(&self.second[first_word..][..words]).0;
        let mut columns = [simd.splat_f32s(0.0); VECTORS];
        for ((pair, first), second) in columns.chunks_exact_mut(2).zip(first).zip(second) {
            pair[0] = *first;
            pair[1] = *second;
        }
        columns
    }
}

impl PanelStep for Bf16Step {
    #[inline(always)]
    fn load<S: Simd, const VECTORS: usize>(&self, simd: S, first_word: usize) -> [S::f32s; VECTORS] {
        let words = VECTORS / 2 * S::F32_LANES;
        let words = S::as_simd_u32s(&self.words[first_word..][..words]).0;
        let (shift, mask) = (simd.splat_u32s(16), simd.splat_u32s(0xffff_0000));
        let mut columns = [simd.splat_f32s(0.0); VECTORS];
        for (pair, words) in columns.chunks_exact_mut(2).zip(words) {
            pair[0] = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(*words, shift));
            pair[1] = simd.transmute_f32s_u32s(simd.and_u32s(*words, mask));
        }
        columns
    }
}
