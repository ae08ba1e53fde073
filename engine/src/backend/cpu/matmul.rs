//! Products of activations with packed weights.
//!
//! Every output is one chain of multiply-adds over the inputs in their order, whatever tile it falls into. So a row's
//! result depends neither on the rows beside it nor on the number of threads, and is the same on every processor with
//! fused multiply-add.

pub(super) mod kernel;
mod quantised;

use std::mem::take;
use std::ops::Range;

use pulp::Arch;

use super::matrix::{PANEL_COLUMNS, PackedMatrix, Panels};
use kernel::{Stripe, TILE_ROWS};

/// `out[m, n] = x[m, k] @ w^T`, all row-major. Runs on the threads of the current rayon pool.
pub(crate) fn matmul(x: &[f32], w: &PackedMatrix, out: &mut [f32]) {
    let (n, k) = (w.rows(), w.columns());
    if n == 0 {
        assert!(out.is_empty(), "a matrix without outputs has nothing to write");
        return;
    }
    assert!(out.len().is_multiple_of(n), "{} outputs are not whole rows of {n}", out.len());
    let rows = out.len() / n;
    assert!(x.len() == rows * k, "{} inputs are not {rows} rows of {k}", x.len());
    let leaf_work = leaf_work(rows * n * k);
    split_rows(Rows { first: 0, x, out }, w, leaf_work);
}

/// Mixture of experts: rows of `x` are sorted by expert, and `groups` says which rows each expert gets (ranges ascending
/// and disjoint). Rows in no group are left as they are.
pub(crate) fn matmul_grouped(
    x: &[f32],
    k: usize,
    groups: &[(usize, Range<usize>)],
    weights: &[PackedMatrix],
    out: &mut [f32],
) {
    let Some((first, _)) = groups.first() else {
        return;
    };
    let n = weights[*first].rows();
    let mut end = 0;
    let mut rows = 0;
    for (expert, range) in groups {
        let weight = &weights[*expert];
        assert!(weight.rows() == n && weight.columns() == k, "expert {expert} is not {n} x {k}");
        assert!(range.start >= end && range.end >= range.start, "the groups' rows do not ascend");
        end = range.end;
        rows += range.len();
    }
    assert!(x.len() >= end * k && out.len() >= end * n, "the groups end after the last row");
    if n == 0 {
        return;
    }
    let leaf_work = leaf_work(rows * n * k);
    split_groups(Rows { first: 0, x: &x[..end * k], out: &mut out[..end * n] }, groups, weights, leaf_work);
}

/// Rows of a stripe at most: eleven register tiles, so that a panel's weights are used often once they are in the cache.
const STRIPE_ROWS: usize = 66;
/// Below this many multiply-adds, about five microseconds of one core, handing work to another thread costs more than
/// it saves.
const LEAF_WORK_MIN: usize = 1 << 18;
/// Tasks a thread gets of one product, so that a thread that is late leaves work for the others.
const TASKS_PER_THREAD: usize = 4;

/// How many multiply-adds one task should hold.
fn leaf_work(work: usize) -> usize {
    LEAF_WORK_MIN.max(work / (TASKS_PER_THREAD * rayon::current_num_threads()))
}

/// Whole rows of the inputs and outputs.
struct Rows<'a> {
    first: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl<'a> Rows<'a> {
    fn split_at(self, row: usize, k: usize, n: usize) -> (Self, Self) {
        let (x_above, x_below) = self.x.split_at(row * k);
        let (out_above, out_below) = self.out.split_at_mut(row * n);
        (
            Self { first: self.first, x: x_above, out: out_above },
            Self { first: self.first + row, x: x_below, out: out_below },
        )
    }
}

fn split_groups(rows: Rows<'_>, groups: &[(usize, Range<usize>)], weights: &[PackedMatrix], leaf_work: usize) {
    match groups {
        [] => {}
        [(expert, range)] => {
            let weight = &weights[*expert];
            let (k, n) = (weight.columns(), weight.rows());
            let skipped = range.start - rows.first;
            let (_, rows) = rows.split_at(skipped, k, n);
            let (rows, _) = rows.split_at(range.len(), k, n);
            split_rows(rows, weight, leaf_work);
        }
        _ => {
            let (before, after) = groups.split_at(groups.len() / 2);
            let weight = &weights[after[0].0];
            let (k, n) = (weight.columns(), weight.rows());
            let at = after[0].1.start - rows.first;
            let work = rows.out.len() * k;
            let (above, below) = rows.split_at(at, k, n);
            join_if(
                work > leaf_work,
                || split_groups(above, before, weights, leaf_work),
                || split_groups(below, after, weights, leaf_work),
            );
        }
    }
}

/// Splits rows until they fit a stripe.
fn split_rows(rows: Rows<'_>, w: &PackedMatrix, leaf_work: usize) {
    let (n, k) = (w.rows(), w.columns());
    let count = rows.out.len() / n;
    if count > STRIPE_ROWS {
        let at = count.div_ceil(STRIPE_ROWS).div_ceil(2) * STRIPE_ROWS;
        let (above, below) = rows.split_at(at.min(count), k, n);
        join_if(count * n * k > leaf_work, || split_rows(above, w, leaf_work), || split_rows(below, w, leaf_work));
        return;
    }
    let mut out: [&mut [f32]; STRIPE_ROWS] = std::array::from_fn(|_| <&mut [f32]>::default());
    for (slot, row) in out.iter_mut().zip(rows.out.chunks_exact_mut(n)) {
        *slot = row;
    }
    split_stripe(Block { rows: count, first_panel: 0, x: rows.x, out }, w, leaf_work);
}

/// A rectangle of the output: for each of its rows the run of columns that is its own. An array, as it has to be split
/// by columns without allocating.
struct Block<'a> {
    rows: usize,
    first_panel: usize,
    x: &'a [f32],
    out: [&'a mut [f32]; STRIPE_ROWS],
}

impl<'a> Block<'a> {
    fn panels(&self) -> usize {
        self.out[0].len().div_ceil(PANEL_COLUMNS)
    }

    fn split_columns(self, panels: usize) -> (Self, Self) {
        let Self { rows, first_panel, x, mut out } = self;
        let right = std::array::from_fn(|row| {
            let whole = take(&mut out[row]);
            let (left, right) = whole.split_at_mut(if row < rows { panels * PANEL_COLUMNS } else { 0 });
            out[row] = left;
            right
        });
        (Self { rows, first_panel, x, out }, Self { rows, first_panel: first_panel + panels, x, out: right })
    }

    fn split_rows(self, at: usize, k: usize) -> (Self, Self) {
        let Self { rows, first_panel, x, mut out } = self;
        let below = std::array::from_fn(|row| out.get_mut(at + row).map(take).unwrap_or_default());
        let (x_above, x_below) = x.split_at(at * k);
        (Self { rows: at, first_panel, x: x_above, out }, Self { rows: rows - at, first_panel, x: x_below, out: below })
    }
}

fn split_stripe(mut block: Block<'_>, w: &PackedMatrix, leaf_work: usize) {
    let panels = block.panels();
    let k = w.columns();
    if block.rows * panels * PANEL_COLUMNS * k > leaf_work && panels * block.rows > 1 {
        // Columns first: then each thread reads its own weights, and none are read twice.
        let (left, right) = if panels > 1 {
            block.split_columns(panels / 2)
        } else {
            let at = (block.rows / 2).next_multiple_of(TILE_ROWS).min(block.rows - 1);
            block.split_rows(at, k)
        };
        rayon::join(|| split_stripe(left, w, leaf_work), || split_stripe(right, w, leaf_work));
        return;
    }
    let rows = &mut block.out[..block.rows];
    let steps = block.first_panel * k..(block.first_panel + panels) * k;
    match w.panels() {
        Panels::F32(all) => Arch::new().dispatch(Stripe { x: block.x, k, panels: &all[steps], out: rows }),
        Panels::Bf16(all) => Arch::new().dispatch(Stripe { x: block.x, k, panels: &all[steps], out: rows }),
        Panels::Quantised(all) => quantised::multiply(all, block.first_panel, panels, block.x, k, rows),
    }
}

/// Both, in parallel where that is worth it.
fn join_if(parallel: bool, left: impl FnOnce() + Send, right: impl FnOnce() + Send) {
    if parallel {
        rayon::join(left, right);
    } else {
        left();
        right();
    }
}

#[cfg(test)]
pub(super) mod tests;
