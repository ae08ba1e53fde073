use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use super::{ColumnBlock, Scores, WeightedSum, scores, weighted_sum};
use crate::backend::cpu::matmul::tests::{Instructions, bits, dot_error, random};
use crate::backend::cpu::matrix::F32Step;

/// Asserts that `got` is the sum of the products, to its rounding.
fn assert_dot(got: f32, products: impl Iterator<Item = f64>, start: f32, place: &str) {
    let (mut sum, mut magnitude, mut terms) = (f64::from(start), f64::from(start).abs(), 0);
    for product in products {
        sum += product;
        magnitude += product.abs();
        terms += 1;
    }
    assert!((f64::from(got) - sum).abs() <= dot_error(terms, magnitude), "{place}: {got} is not {sum}");
}

fn product(x: f32, y: f32) -> f64 {
    f64::from(x) * f64::from(y)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn scores_are_dot_products(
        rows in 0_usize..20, keys in 0_usize..150, head_dim in 0_usize..80, gap in 0_usize..5, first in 0_usize..3,
        seed in any::<u64>(),
    ) {
        let stride = head_dim + gap + 1;
        let queries = random(seed, rows * stride);
        let data = random(!seed, (first + keys) * stride);
        let block = ColumnBlock { data: &data, stride, column: 1, first, rows: keys };
        let untouched = 7.0;
        let out_stride = keys + gap;
        let mut out = vec![untouched; rows * out_stride];
        scores(&queries, stride, rows, block, head_dim, &mut out, out_stride);
        for row in 0..rows {
            for key in 0..keys {
                let products = (0..head_dim)
                    .map(|d| product(queries[row * stride + d], data[(first + key) * stride + 1 + d]));
                assert_dot(out[row * out_stride + key], products, 0.0, &format!("row {row}, key {key}"));
            }
            prop_assert!(out[row * out_stride + keys..(row + 1) * out_stride].iter().all(|value| *value == untouched));
        }
    }

    #[test]
    fn weighted_sums_are_dot_products(
        rows in 0_usize..20, count in 0_usize..100, head_dim in 0_usize..150, gap in 0_usize..5, first in 0_usize..3,
        add in any::<bool>(), seed in any::<u64>(),
    ) {
        let (stride, weights_stride) = (head_dim + gap + 1, count + gap);
        let weights = random(seed, rows * weights_stride);
        let data = random(!seed, (first + count) * stride);
        let block = ColumnBlock { data: &data, stride, column: 1, first, rows: count };
        let before = random(seed ^ 1, rows * head_dim);
        let mut out = before.clone();
        weighted_sum(&weights, weights_stride, rows, block, head_dim, &mut out, add);
        for row in 0..rows {
            for column in 0..head_dim {
                let products = (0..count)
                    .map(|index| product(weights[row * weights_stride + index], data[(first + index) * stride + 1 + column]));
                let place = row * head_dim + column;
                let start = if add { before[place] } else { 0.0 };
                assert_dot(out[place], products, start, &format!("row {row}, column {column}"));
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let (rows, keys, head_dim) = (15, 200, 64);
    let (queries, data) = (random(1, rows * head_dim), random(2, keys * head_dim));
    let block = ColumnBlock { data: &data, stride: head_dim, column: 0, first: 0, rows: keys };
    let (mut together, mut alone) = (vec![0.0; rows * keys], vec![0.0; rows * keys]);
    scores(&queries, head_dim, rows, block, head_dim, &mut together, keys);
    for (query, out) in queries.chunks_exact(head_dim).zip(alone.chunks_exact_mut(keys)) {
        scores(query, head_dim, 1, block, head_dim, out, keys);
    }
    assert_eq!(bits(&together), bits(&alone));

    let (mut sums_together, mut sums_alone) = (vec![0.0; rows * head_dim], vec![0.0; rows * head_dim]);
    weighted_sum(&together, keys, rows, block, head_dim, &mut sums_together, false);
    for (weights, out) in alone.chunks_exact(keys).zip(sums_alone.chunks_exact_mut(head_dim)) {
        weighted_sum(weights, keys, 1, block, head_dim, out, false);
    }
    assert_eq!(bits(&sums_together), bits(&sums_alone));
}

#[test]
fn a_sum_in_two_parts_is_the_whole_sum() {
    let (rows, count, head_dim) = (7, 90, 48);
    let (weights, data) = (random(3, rows * count), random(4, count * head_dim));
    let block = |first, rows| ColumnBlock { data: &data, stride: head_dim, column: 0, first, rows };
    let (mut whole, mut parts) = (vec![0.0; rows * head_dim], vec![0.0; rows * head_dim]);
    weighted_sum(&weights, count, rows, block(0, count), head_dim, &mut whole, false);
    weighted_sum(&weights, count, rows, block(0, 37), head_dim, &mut parts, false);
    weighted_sum(&weights[37..], count, rows, block(37, count - 37), head_dim, &mut parts, true);
    assert_eq!(bits(&whole), bits(&parts));
}

#[test]
fn every_instruction_set_agrees() {
    for (rows, keys, head_dim) in [(13, 131, 64), (2, 5, 33), (6, 64, 96)] {
        let (queries, data) = (random(5, rows * head_dim), random(6, keys * head_dim));
        let block = ColumnBlock { data: &data, stride: head_dim, column: 0, first: 0, rows: keys };
        let weights = random(7, rows * keys);
        let mut fused = Vec::new();
        for (instructions, fuses) in Instructions::all() {
            let mut out = vec![f32::NAN; rows * keys];
            let mut panel = vec![F32Step::ZERO; head_dim];
            instructions.run(Scores {
                queries: &queries,
                query_stride: head_dim,
                rows,
                keys: block,
                panel: &mut panel,
                out: &mut out,
                out_stride: keys,
            });
            for (index, got) in out.iter().enumerate() {
                let (row, key) = (index / keys, index % keys);
                let products = (0..head_dim).map(|d| product(queries[row * head_dim + d], data[key * head_dim + d]));
                assert_dot(*got, products, 0.0, &format!("{instructions:?}, row {row}, key {key}"));
            }
            let mut sums = vec![0.0; rows * head_dim];
            instructions.run(WeightedSum {
                weights: &weights,
                weights_stride: keys,
                values: block,
                head_dim,
                out: &mut sums,
            });
            for (index, got) in sums.iter().enumerate() {
                let (row, column) = (index / head_dim, index % head_dim);
                let products = (0..keys).map(|key| product(weights[row * keys + key], data[key * head_dim + column]));
                assert_dot(*got, products, 0.0, &format!("{instructions:?}, row {row}, column {column}"));
            }
            if fuses {
                fused.push((bits(&out), bits(&sums)));
            }
        }
        assert!(fused.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
