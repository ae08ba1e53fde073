//! Products of activations with activations, for attention. Each runs on one thread.

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
    fn row(&self, row: usize, columns: usize) -> &'a [f32] {
        &self.data[(self.first + row) * self.stride + self.column..][..columns]
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
    for row in 0..rows {
        let query = &queries[row * query_stride..][..head_dim];
        for index in 0..keys.rows {
            let key = keys.row(index, head_dim);
            out[row * out_stride + index] = query.iter().zip(key).map(|(x, y)| x * y).sum();
        }
    }
}

/// `out[i] = sum over j of weights[i, j] * values[j]`, added to what `out` holds if `add`.
pub(crate) fn weighted_sum(
    weights: &[f32],
    weights_stride: usize,
    rows: usize,
    values: ColumnBlock<'_>,
    head_dim: usize,
    out: &mut [f32],
    add: bool,
) {
    for row in 0..rows {
        let out = &mut out[row * head_dim..][..head_dim];
        if !add {
            out.fill(0.0);
        }
        for index in 0..values.rows {
            let weight = weights[row * weights_stride + index];
            for (out, value) in out.iter_mut().zip(values.row(index, head_dim)) {
                *out += weight * value;
            }
        }
    }
}
