//! Products of activations with activations, for attention. Each runs on one thread: the caller has heads enough for the
//! others.
//!
//! As in [`matmul`](super::matmul), every output is one chain of multiply-adds in a fixed order, whatever rows are beside it.

mod transpose;

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};

use super::matmul::kernel::{TILE_ROWS, Tile};
use super::matrix::{F32Step, PANEL_COLUMNS};
use transpose::transpose;

/// Some columns of some rows of a row-major matrix.
#[derive(Clone, Copy)]
pub(crate) struct ColumnBlock<'a> {
    pub(crate) data: &'a [f32],
    /// Columns of the whole matrix.
    pub(crate) stride: usize,
    /// The first column.
    pub(crate) column: usize,
    /// The first row.
    pub(crate) first: usize,
    pub(crate) rows: usize,
}

impl<'a> ColumnBlock<'a> {
    /// The numbers from the block's first to its last, rows still `stride` apart.
    fn values(&self, columns: usize) -> &'a [f32] {
        if self.rows == 0 {
            return &[];
        }
        let start = self.first * self.stride + self.column;
        &self.data[start..start + strided_length(self.rows, self.stride, columns)]
    }
}

/// `out[i, j] = queries[i] . keys[j]` over `head_dim` dimensions; `out` has rows of `out_stride`.
pub(crate) fn scores(
    queries: &[f32],
    query_stride: usize,
    rows: usize,
    keys: ColumnBlock<'_>,
    head_dim: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    if rows == 0 || keys.rows == 0 {
        return;
    }
    let queries = &queries[..strided_length(rows, query_stride, head_dim)];
    let out = &mut out[..strided_length(rows, out_stride, keys.rows)];
    PANEL.with_borrow_mut(|panel| {
        if panel.len() < head_dim {
            panel.resize(head_dim, F32Step::ZERO);
        }
        let panel = &mut panel[..head_dim];
        Arch::new().dispatch(Scores { queries, query_stride, rows, keys, panel, out, out_stride });
    });
}

/// `out[i] = sum over j of weights[i, j] * values[j]`, added to what `out` holds if `add`. `weights` has rows of
/// `weights_stride`; `out` is `[rows, head_dim]`.
pub(crate) fn weighted_sum(
    weights: &[f32],
    weights_stride: usize,
    rows: usize,
    values: ColumnBlock<'_>,
    head_dim: usize,
    out: &mut [f32],
    add: bool,
) {
    let out = &mut out[..rows * head_dim];
    if !add {
        out.fill(0.0);
    }
    if rows == 0 || values.rows == 0 || head_dim == 0 {
        return;
    }
    let weights = &weights[..strided_length(rows, weights_stride, values.rows)];
    Arch::new().dispatch(WeightedSum { weights, weights_stride, values, head_dim, out });
}

/// The length of `rows` rows of `columns`, `stride` apart, without what follows the last one.
fn strided_length(rows: usize, stride: usize, columns: usize) -> usize {
    assert!(stride >= columns, "rows of {columns} numbers do not fit a stride of {stride}");
    (rows - 1) * stride + columns
}

thread_local! {
    /// The keys of one panel, transposed. Kept, so that only a thread's first call allocates.
    static PANEL: RefCell<Vec<F32Step>> = const { RefCell::new(Vec::new()) };
}

struct Scores<'a> {
    queries: &'a [f32],
    query_stride: usize,
    rows: usize,
    keys: ColumnBlock<'a>,
    /// Room for the transpose, as long as a key.
    panel: &'a mut [F32Step],
    out: &'a mut [f32],
    out_stride: usize,
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { queries, query_stride, rows, keys, panel, out, out_stride } = self;
        let values = keys.values(panel.len());
        for first_key in (0..keys.rows).step_by(PANEL_COLUMNS) {
            let count = PANEL_COLUMNS.min(keys.rows - first_key);
            transpose(simd, &values[first_key * keys.stride..], keys.stride, count, panel);
            for first_row in (0..rows).step_by(TILE_ROWS) {
                let mut out_rows = out[first_row * out_stride..].chunks_mut(out_stride);
                let tile = Tile {
                    x: &queries[first_row * query_stride..],
                    x_stride: query_stride,
                    panel: &*panel,
                    first_column: 0,
                    rows: TILE_ROWS.min(rows - first_row),
                    add: false,
                    out: std::array::from_fn(|_| match out_rows.next() {
                        Some(row) => &mut row[first_key..first_key + count],
                        None => <&mut [f32]>::default(),
                    }),
                };
                tile.multiply(simd);
            }
        }
    }
}

struct WeightedSum<'a> {
    weights: &'a [f32],
    weights_stride: usize,
    values: ColumnBlock<'a>,
    head_dim: usize,
    out: &'a mut [f32],
}

impl WithSimd for WeightedSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As wide as the registers allow for six rows.
        match S::F32_LANES {
            16 | 4 => self.sum_by::<S, 4>(simd),
            8 => self.sum_by::<S, 2>(simd),
            _ => self.sum_by::<S, 8>(simd),
        }
    }
}

impl WeightedSum<'_> {
    /// All columns, `VECTORS` vectors of them at a time while there are so many, then one, then what is left.
    #[inline(always)]
    fn sum_by<S: Simd, const VECTORS: usize>(self, simd: S) {
        let Self { weights, weights_stride, values, head_dim, out } = self;
        let data = values.values(head_dim);
        let mut column = 0;
        while column < head_dim {
            let left = head_dim - column;
            let width = if left >= VECTORS * S::F32_LANES { VECTORS * S::F32_LANES } else { left.min(S::F32_LANES) };
            let tiles = weights.chunks(TILE_ROWS * weights_stride).zip(out.chunks_mut(TILE_ROWS * head_dim));
            for (weights, out) in tiles {
                let mut out_rows = out.chunks_exact_mut(head_dim);
                let tile = SumTile {
                    weights,
                    weights_stride,
                    count: values.rows,
                    values: &data[column..],
                    values_stride: values.stride,
                    width,
                    rows: out_rows.len(),
                    out: std::array::from_fn(|_| match out_rows.next() {
                        Some(row) => &mut row[column..column + width],
                        None => <&mut [f32]>::default(),
                    }),
                };
                if width == VECTORS * S::F32_LANES {
                    tile.sum::<S, VECTORS, true>(simd);
                } else if width == S::F32_LANES {
                    tile.sum::<S, 1, true>(simd);
                } else {
                    tile.sum::<S, 1, false>(simd);
                }
            }
            column += width;
        }
    }
}

/// A few rows of weights times a run of columns of the values.
struct SumTile<'a, 'out> {
    weights: &'a [f32],
    weights_stride: usize,
    /// Weights in a row, and rows of values.
    count: usize,
    values: &'a [f32],
    values_stride: usize,
    width: usize,
    rows: usize,
    out: [&'out mut [f32]; TILE_ROWS],
}

impl SumTile<'_, '_> {
    /// `VECTORS` vectors wide, or where they are not `WHOLE`, a part of one.
    #[inline(always)]
    fn sum<S: Simd, const VECTORS: usize, const WHOLE: bool>(self, simd: S) {
        match self.rows {
            6 => self.sum_rows::<S, VECTORS, WHOLE, 6>(simd),
            5 => self.sum_rows::<S, VECTORS, WHOLE, 5>(simd),
            4 => self.sum_rows::<S, VECTORS, WHOLE, 4>(simd),
            3 => self.sum_rows::<S, VECTORS, WHOLE, 3>(simd),
            2 => self.sum_rows::<S, VECTORS, WHOLE, 2>(simd),
            1 => self.sum_rows::<S, VECTORS, WHOLE, 1>(simd),
            _ => {}
        }
    }

    #[inline(always)]
    fn sum_rows<S: Simd, const VECTORS: usize, const WHOLE: bool, const ROWS: usize>(mut self, simd: S) {
        let sums: [[S::f32s; VECTORS]; ROWS] = std::array::from_fn(|row| {
            std::array::from_fn(|vector| simd.partial_load_f32s(&self.out[row][vector * S::F32_LANES..]))
        });
        let sums = self.accumulate::<S, VECTORS, WHOLE, ROWS>(simd, sums);
        for (out, sums) in self.out.iter_mut().zip(&sums) {
            for (out, sum) in out.chunks_mut(S::F32_LANES).zip(sums) {
                simd.partial_store_f32s(out, *sum);
            }
        }
    }

    /// Adds up over all values. On its own, so that the sums stay in registers until it returns.
    #[inline(always)]
    fn accumulate<S: Simd, const VECTORS: usize, const WHOLE: bool, const ROWS: usize>(
        &self,
        simd: S,
        mut sums: [[S::f32s; VECTORS]; ROWS],
    ) -> [[S::f32s; VECTORS]; ROWS] {
        let weights: [&[f32]; ROWS] =
            std::array::from_fn(|row| &self.weights[row * self.weights_stride..][..self.count]);
        for (index, values) in self.values.chunks(self.values_stride).take(self.count).enumerate() {
            let values: [S::f32s; VECTORS] = if WHOLE {
                let whole = S::as_simd_f32s(&values[..VECTORS * S::F32_LANES]).0;
                std::array::from_fn(|vector| whole[vector])
            } else {
                std::array::from_fn(|_| simd.partial_load_f32s(&values[..self.width]))
            };
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                let weight = simd.splat_f32s(weights[index]);
                for (sum, value) in sums.iter_mut().zip(&values) {
                    *sum = simd.mul_add_e_f32s(weight, *value, *sum);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests;
