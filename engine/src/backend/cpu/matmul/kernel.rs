//! One thread's share of a product: a few rows times a few panels, tile by tile.

use pulp::{Simd, WithSimd};

use crate::backend::cpu::matrix::{Bf16Step, F32Step, PANEL_COLUMNS, STEP_WORDS, WORD_GROUP, first_column_of_word};

/// Rows of a register tile: with four vectors a row, 24 of AVX-512's 32 registers accumulate.
pub(crate) const TILE_ROWS: usize = 6;

/// Inputs that are multiplied for all rows before the next ones, so that a panel's part of them stays in the nearer caches.
pub(crate) const BLOCK_INPUTS: usize = 1024;

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
            for (block, panel) in panel.chunks(BLOCK_INPUTS).enumerate() {
                for (x, out) in x.chunks(TILE_ROWS * k).zip(out.chunks_mut(TILE_ROWS)) {
                    let mut rows = out.iter_mut();
                    let tile = Tile {
                        x: &x[block * BLOCK_INPUTS..],
                        x_stride: k,
                        panel,
                        first_column: index * PANEL_COLUMNS,
                        rows: rows.len(),
                        add: block > 0,
                        out: std::array::from_fn(|_| rows.next().map(|row| &mut **row).unwrap_or_default()),
                    };
                    tile.multiply(simd);
                }
            }
        }
    }
}

/// A few rows of inputs times one panel, or a block of its inputs.
pub(crate) struct Tile<'a, 'out, Step> {
    /// Rows `x_stride` apart, at least as long as the panel.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    pub(crate) panel: &'a [Step],
    /// Where in a row of outputs the panel's first column goes.
    pub(crate) first_column: usize,
    pub(crate) rows: usize,
    /// Whether to go on from the sums that the outputs hold.
    pub(crate) add: bool,
    /// The rows' outputs. Columns past their ends are dropped.
    pub(crate) out: [&'out mut [f32]; TILE_ROWS],
}

impl<Step: PanelStep> Tile<'_, '_, Step> {
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(self, simd: S) {
        match self.rows {
            6 => self.multiply_rows::<S, 6>(simd),
            5 => self.multiply_rows::<S, 5>(simd),
            4 => self.multiply_rows::<S, 4>(simd),
            3 => self.multiply_rows::<S, 3>(simd),
            2 => self.multiply_rows::<S, 2>(simd),
            1 => self.multiply_rows::<S, 1>(simd),
            _ => {}
        }
    }

    /// Takes as many vectors of columns at a time as the registers allow: all of a panel with AVX-512, a quarter with
    /// AVX2 and NEON, and more the fewer the rows are, as each sum waits for its last addition.
    #[inline(always)]
    fn multiply_rows<S: Simd, const ROWS: usize>(self, simd: S) {
        match (S::F32_LANES, ROWS) {
            (16, _) | (8, 2..=3) | (4, 4..) => self.multiply_columns::<S, 4, ROWS>(simd),
            (8, 4..) => self.multiply_columns::<S, 2, ROWS>(simd),
            (4, 1) => self.multiply_columns::<S, 16, ROWS>(simd),
            _ => self.multiply_columns::<S, 8, ROWS>(simd),
        }
    }

    #[inline(always)]
    fn multiply_columns<S: Simd, const VECTORS: usize, const ROWS: usize>(self, simd: S) {
        let Self { x, x_stride, panel, first_column, add, mut out, .. } = self;
        let x: [&[f32]; ROWS] = std::array::from_fn(|row| &x[row * x_stride..][..panel.len()]);
        let words = VECTORS / 2 * S::F32_LANES;
        for first_word in (0..STEP_WORDS).step_by(words) {
            let column = |vector: usize| {
                let first = first_column + first_column_of_word(first_word + vector / 2 * S::F32_LANES);
                first + vector % 2 * WORD_GROUP
            };
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            if add {
                for (sums, out) in sums.iter_mut().zip(&out) {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = load(simd, out, column(vector));
                    }
                }
            }
            let sums = accumulate::<S, Step, VECTORS, ROWS>(simd, x, panel, first_word, sums);
            for (sums, out) in sums.iter().zip(&mut out) {
                for (vector, sum) in sums.iter().enumerate() {
                    store(simd, out, column(vector), *sum);
                }
            }
        }
    }
}

/// Adds to `sums` the products of all inputs, for `VECTORS / 2` vectors of words from `first_word` on. On its own, so that
/// the sums stay in registers until it returns.
#[inline(always)]
fn accumulate<S: Simd, Step: PanelStep, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    x: [&[f32]; ROWS],
    panel: &[Step],
    first_word: usize,
    mut sums: [[S::f32s; VECTORS]; ROWS],
) -> [[S::f32s; VECTORS]; ROWS] {
    assert!(first_word + VECTORS / 2 * S::F32_LANES <= STEP_WORDS);
    let x = x.map(|row| &row[..panel.len()]);
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

/// Reads a vector, or as much of it as the row still has.
#[inline(always)]
fn load<S: Simd>(simd: S, row: &[f32], column: usize) -> S::f32s {
    match row.get(column..column + S::F32_LANES) {
        Some(whole) => S::as_simd_f32s(whole).0[0],
        None => simd.partial_load_f32s(row.get(column..).unwrap_or_default()),
    }
}

/// Writes a vector, or as much of it as the row still has.
#[inline(always)]
fn store<S: Simd>(simd: S, row: &mut [f32], column: usize, values: S::f32s) {
    match row.get_mut(column..column + S::F32_LANES) {
        Some(whole) => S::as_mut_simd_f32s(whole).0[0] = values,
        None => simd.partial_store_f32s(row.get_mut(column..).unwrap_or_default(), values),
    }
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
