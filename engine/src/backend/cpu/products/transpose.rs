//! Lays rows of activations into the columns of a panel.

use pulp::Simd;

use crate::backend::cpu::matrix::{F32Step, PANEL_COLUMNS, WORD_GROUP};

/// The longest vector. Every vector's lanes divide it.
const MAX_LANES: usize = 16;

/// Transposes `count` rows, `stride` apart and as long as the panel, into the panel's columns. The columns after them get
/// zeros up to the vector's end, and beyond it keep what they held.
#[inline(always)]
pub(crate) fn transpose<S: Simd>(simd: S, rows: &[f32], stride: usize, count: usize, panel: &mut [F32Step]) {
    const { assert!(MAX_LANES == WORD_GROUP, "a vector's columns lie in one half of the words") };
    let lanes = S::F32_LANES;
    let zero = simd.splat_f32s(0.0);
    let whole = panel.len() / lanes * lanes;
    for column in (0..count.min(PANEL_COLUMNS)).step_by(lanes) {
        let word = column / (2 * WORD_GROUP) * WORD_GROUP + column % WORD_GROUP;
        let second = column % (2 * WORD_GROUP) >= WORD_GROUP;
        let rows = &rows[column * stride..];
        let present = lanes.min(count - column);
        for input in (0..whole).step_by(lanes) {
            let mut square: [S::f32s; MAX_LANES] = std::array::from_fn(|row| {
                if row < present { S::as_simd_f32s(&rows[row * stride + input..][..lanes]).0[0] } else { zero }
            });
            transpose_square(simd, &mut square);
            for (step, vector) in panel[input..input + lanes].iter_mut().zip(&square) {
                let half = if second { &mut step.second } else { &mut step.first };
                S::as_mut_simd_f32s(&mut half[word..word + lanes]).0[0] = *vector;
            }
        }
        for (input, step) in panel.iter_mut().enumerate().skip(whole) {
            let half = if second { &mut step.second } else { &mut step.first };
            for (row, value) in half[word..word + present].iter_mut().enumerate() {
                *value = rows[row * stride + input];
            }
        }
    }
}

/// Transposes the square of as many vectors as a vector has lanes: single lanes trade places, then pairs, and so on.
#[inline(always)]
fn transpose_square<S: Simd>(simd: S, square: &mut [S::f32s; MAX_LANES]) {
    trade::<S, 1>(simd, square);
    trade::<S, 2>(simd, square);
    trade::<S, 4>(simd, square);
    trade::<S, 8>(simd, square);
}

/// In each square of `2 * SIDE` rows and lanes, the upper right quarter trades places with the lower left one.
#[inline(always)]
fn trade<S: Simd, const SIDE: usize>(simd: S, square: &mut [S::f32s; MAX_LANES]) {
    const LANE: [u32; MAX_LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    if SIDE >= S::F32_LANES {
        return;
    }
    let lane = S::as_simd_u32s(&LANE[..S::F32_LANES]).0[0];
    let side = simd.splat_u32s(SIDE as u32);
    let right = simd.equal_u32s(simd.and_u32s(lane, side), side);
    for pair in 0..S::F32_LANES / 2 {
        let upper = pair / SIDE * 2 * SIDE + pair % SIDE;
        let lower = upper + SIDE;
        let (above, below) = (square[upper], square[lower]);
        square[upper] = simd.select_f32s(right, simd.rotate_right_f32s(below, SIDE), above);
        square[lower] = simd.select_f32s(right, below, simd.rotate_left_f32s(above, SIDE));
    }
}
