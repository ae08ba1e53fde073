use std::ops::Range;

use half::bf16;
use proptest::prelude::{ProptestConfig, TestCaseError, any, prop_assert, prop_assert_eq, proptest};
use pulp::{Arch, Simd, WithSimd};

use super::kernel::{BLOCK_INPUTS, Stripe};
use super::{matmul, matmul_grouped};
use crate::backend::cpu::matrix::quantised::Nvfp4Inputs;
use crate::backend::cpu::matrix::{PANEL_COLUMNS, PackedMatrix, Panels};
use crate::checkpoint::WeightData;
use crate::checkpoint::quantised::formats::{E2M1, E4M3, to_e4m3};
use crate::checkpoint::quantised::{Fp8Matrix, NVFP4_GROUP, Nvfp4Matrix, StoredMatrix};

/// Half the distance from one to the next f32: what one rounding may change.
const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// Numbers in -1..1 that look random.
pub(crate) fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            // A linear congruential generator (Knuth, The Art of Computer Programming 2, section 3.3.4), its top bits.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// A way to run an operation on this processor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instructions {
    Of(Arch),
    /// Vectors of four lanes, as NEON has them.
    #[cfg(target_arch = "x86_64")]
    FourLanes(pulp::x86::V3_128b),
}

impl Instructions {
    /// Every one, and whether it fuses multiply-adds.
    pub(crate) fn all() -> Vec<(Self, bool)> {
        let best = Arch::new();
        let mut all = vec![(Self::Of(Arch::Scalar), false)];
        #[cfg(target_arch = "x86_64")]
        if let Some(v3) = pulp::x86::V3::try_new() {
            all.push((Self::Of(Arch::V3(v3)), true));
            all.push((Self::FourLanes(pulp::x86::V3_128b(v3)), true));
        }
        if !matches!(best, Arch::Scalar) {
            all.push((Self::Of(best), true));
        }
        all
    }

    pub(crate) fn run<Operation: WithSimd>(self, operation: Operation) -> Operation::Output {
        match self {
            Self::Of(architecture) => architecture.dispatch(operation),
            #[cfg(target_arch = "x86_64")]
            Self::FourLanes(simd) => simd.vectorize(operation),
        }
    }
}

/// The error that a sum of `terms` products may have, where `magnitude` is the sum of the products' magnitudes: one
/// rounding each for the product and the addition of every term. (Higham, Accuracy and Stability of Numerical
/// Algorithms, section 3.1; second-order terms are covered by counting one term more.)
pub(crate) fn dot_error(terms: usize, magnitude: f64) -> f64 {
    (terms + 2) as f64 * UNIT_ROUNDOFF * magnitude
}

/// The product in f64, and the bound on the error of the f32 one, both `[m, n]`.
fn reference(x: &[f32], w: &[f32], m: usize, n: usize, k: usize) -> Vec<(f64, f64)> {
    let mut out = Vec::with_capacity(m * n);
    for row in 0..m {
        for column in 0..n {
            let (mut sum, mut magnitude) = (0.0, 0.0);
            for input in 0..k {
                let product = f64::from(x[row * k + input]) * f64::from(w[column * k + input]);
                sum += product;
                magnitude += product.abs();
            }
            out.push((sum, dot_error(k, magnitude)));
        }
    }
    out
}

fn pack(w: &[f32], n: usize, k: usize, as_bf16: bool) -> (PackedMatrix, Vec<f32>) {
    if as_bf16 {
        let stored: Vec<bf16> = w.iter().map(|value| bf16::from_f32(*value)).collect();
        let exact = stored.iter().map(|value| value.to_f32()).collect();
        (PackedMatrix::pack(&[(WeightData::Bf16(&stored), n)], k), exact)
    } else {
        (PackedMatrix::pack(&[(WeightData::F32(w), n)], k), w.to_vec())
    }
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_product_is_that_of_f64(
        m in 0_usize..80, n in 0_usize..150, k in 0_usize..90, as_bf16 in any::<bool>(), seed in any::<u64>(),
    ) {
        let x = random(seed, m * k);
        let (packed, w) = pack(&random(!seed, n * k), n, k, as_bf16);
        let mut out = vec![f32::NAN; m * n];
        matmul(&x, &packed, &mut out);
        for (index, (got, (expected, error))) in out.iter().zip(reference(&x, &w, m, n, k)).enumerate() {
            prop_assert!((f64::from(*got) - expected).abs() <= error, "{index}: {got} is not {expected}");
        }
    }

    #[test]
    fn a_group_is_a_product_of_its_own(sizes in proptest::collection::vec((0_usize..9, 0_usize..3), 1..6), seed in any::<u64>()) {
        let (n, k) = (70, 33);
        let weights: Vec<PackedMatrix> =
            (0..sizes.len()).map(|expert| pack(&random(seed ^ expert as u64, n * k), n, k, true).0).collect();
        let mut groups: Vec<(usize, Range<usize>)> = Vec::new();
        let mut rows = 0;
        for (expert, (size, gap)) in sizes.iter().enumerate() {
            rows += gap;
            groups.push((expert, rows..rows + size));
            rows += size;
        }
        let x = random(seed, rows * k);
        let untouched = 7.0;
        let mut expected = vec![untouched; rows * n];
        for (expert, range) in &groups {
            let out = &mut expected[range.start * n..range.end * n];
            matmul(&x[range.start * k..range.end * k], &weights[*expert], out);
        }
        let mut out = vec![untouched; rows * n];
        matmul_grouped(&x, k, &groups, &weights, &mut out);
        prop_assert!(bits(&out) == bits(&expected));
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let (n, k) = (200, 77);
    for as_bf16 in [false, true] {
        let (packed, _) = pack(&random(1, n * k), n, k, as_bf16);
        let x = random(2, 140 * k);
        let mut alone = vec![0.0; 140 * n];
        for (x, out) in x.chunks_exact(k).zip(alone.chunks_exact_mut(n)) {
            matmul(x, &packed, out);
        }
        for m in [2, 5, 6, 7, 11, 64, 66, 67, 140] {
            let mut together = vec![0.0; m * n];
            matmul(&x[..m * k], &packed, &mut together);
            assert_eq!(bits(&together), bits(&alone[..m * n]), "{m} rows");
        }
    }
}

#[test]
fn a_result_does_not_depend_on_the_threads() {
    // Split by columns, by rows, and by both; the last one by groups.
    for (m, n, k) in [(64, 3000, 100), (64, 40, 5000), (300, 500, 64)] {
        let (packed, _) = pack(&random(3, n * k), n, k, true);
        let x = random(4, m * k);
        let [one, two, three] = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut out = vec![f32::NAN; m * n];
                matmul(&x, &packed, &mut out);
                let mut grouped = vec![f32::NAN; m * n];
                let groups = [(0, 0..m / 3), (0, m / 3..m)];
                matmul_grouped(&x, k, &groups, std::slice::from_ref(&packed), &mut grouped);
                assert_eq!(bits(&out), bits(&grouped), "{threads} threads");
                out
            })
        });
        assert_eq!(bits(&one), bits(&two), "{m} x {n} x {k}");
        assert_eq!(bits(&one), bits(&three), "{m} x {n} x {k}");
    }
}

#[test]
fn every_instruction_set_agrees() {
    for (m, n, k) in [
        (1, 64, 40),
        (2, 100, 9),
        (6, 128, 31),
        (17, 130, 100),
        (3, 5, 1),
        (4, 70, BLOCK_INPUTS + 5),
        (11, 40, 2 * BLOCK_INPUTS),
    ] {
        for as_bf16 in [false, true] {
            let (packed, w) = pack(&random(5, n * k), n, k, as_bf16);
            let x = random(6, m * k);
            let mut fused = Vec::new();
            for (instructions, fuses) in Instructions::all() {
                let mut out = vec![f32::NAN; m * n];
                let mut rows: Vec<&mut [f32]> = out.chunks_exact_mut(n).collect();
                match packed.panels() {
                    Panels::F32(panels) => instructions.run(Stripe { x: &x, k, panels, out: &mut rows }),
                    Panels::Bf16(panels) => instructions.run(Stripe { x: &x, k, panels, out: &mut rows }),
                    Panels::Quantised(_) => unreachable!("plain weights were packed"),
                }
                for (got, (expected, error)) in out.iter().zip(reference(&x, &w, m, n, k)) {
                    assert!((f64::from(*got) - expected).abs() <= error, "{instructions:?}: {got} is not {expected}");
                }
                if fuses {
                    fused.push(bits(&out));
                }
            }
            assert!(fused.windows(2).all(|pair| pair[0] == pair[1]), "{m} x {n} x {k}");
        }
    }
}

#[test]
fn bf16_weights_are_exact() {
    let (m, n, k) = (9, PANEL_COLUMNS + 3, 50);
    let (packed, exact) = pack(&random(7, n * k), n, k, true);
    let (as_f32, _) = pack(&exact, n, k, false);
    let x = random(8, m * k);
    let (mut from_bf16, mut from_f32) = (vec![0.0; m * n], vec![0.0; m * n]);
    matmul(&x, &packed, &mut from_bf16);
    matmul(&x, &as_f32, &mut from_f32);
    assert_eq!(bits(&from_bf16), bits(&from_f32));
}

#[test]
fn a_nan_stays_in_its_row() {
    let (n, k) = (70, 20);
    let (packed, _) = pack(&random(9, n * k), n, k, true);
    let mut x = random(10, 7 * k);
    x[3 * k + 5] = f32::NAN;
    let mut out = vec![0.0; 7 * n];
    matmul(&x, &packed, &mut out);
    for (row, values) in out.chunks_exact(n).enumerate() {
        assert!(values.iter().all(|value| value.is_nan() == (row == 3)), "row {row}");
    }
}

/// A matrix of random bytes, without NaN, and what it stands for.
fn random_bytes(seed: u64, count: usize) -> Vec<u8> {
    random(seed, count)
        .iter()
        .map(|value| (((value + 1.0) * 127.9) as u8).min(0xfe))
        .map(|byte| if byte == 0x7f { 0 } else { byte })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_product_with_fp8_is_that_of_f64(
        m in 0_usize..80, first in 0_usize..80, second in 0_usize..80, k in 0_usize..300, seed in any::<u64>(),
    ) {
        let n = first + second;
        let (bytes, scales) = (random_bytes(seed, n * k), random(!seed, n));
        let scales: Vec<f32> = scales.iter().map(|scale| scale.abs()).collect();
        let part = |rows: Range<usize>| {
            let matrix = Fp8Matrix {
                weights: &bytes[rows.start * k..rows.end * k],
                scales: scales[rows.clone()].to_vec(),
                rounds_inputs: false,
            };
            (StoredMatrix::Fp8(matrix), rows.len())
        };
        let parts = vec![part(0..first), part(first..n)];
        let packed = PackedMatrix::pack_stored(parts, k, Nvfp4Inputs::AsTheyAre).expect("both are FP8");
        let weights: Vec<f32> = bytes.iter().map(|byte| E4M3[usize::from(*byte)]).collect();
        check_scaled(&packed, &weights, &scales, m, k, seed)?;
    }

    #[test]
    fn a_product_with_nvfp4_is_that_of_f64(
        m in 0_usize..80, first in 0_usize..80, second in 0_usize..80, groups in 0_usize..20, seed in any::<u64>(),
    ) {
        let (n, k) = (first + second, groups * NVFP4_GROUP);
        let packed = random_bytes(seed, n * k / 2);
        let groups: Vec<u8> = random_bytes(!seed, n * k / NVFP4_GROUP).iter().map(|byte| byte & 0x7e).collect();
        let part = |rows: Range<usize>, global_scale| {
            let matrix = Nvfp4Matrix {
                packed: &packed[rows.start * k / 2..rows.end * k / 2],
                scales: &groups[rows.start * k / NVFP4_GROUP..rows.end * k / NVFP4_GROUP],
                global_scale,
                input_scale: None,
            };
            (StoredMatrix::Nvfp4(matrix), rows.len())
        };
        let parts = vec![part(0..first, 0.5), part(first..n, 0.0625)];
        let matrix = PackedMatrix::pack_stored(parts, k, Nvfp4Inputs::AsTheyAre).expect("both are NVFP4");
        let scales: Vec<f32> = (0..n).map(|row| if row < first { 0.5 } else { 0.0625 }).collect();
        let weights: Vec<f32> = (0..n * k)
            .map(|index| {
                let bits = packed[index / 2] >> (4 * (index % 2)) & 0xf;
                E2M1[usize::from(bits)] * E4M3[usize::from(groups[index / NVFP4_GROUP])]
            })
            .collect();
        check_scaled(&matrix, &weights, &scales, m, k, seed)?;
    }
}

/// Holds a packed matrix against the weights that it stands for, each row of which has a scale.
fn check_scaled(
    packed: &PackedMatrix,
    weights: &[f32],
    scales: &[f32],
    m: usize,
    k: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    let n = scales.len();
    let x = random(seed ^ 7, m * k);
    let mut out = vec![f32::NAN; m * n];
    matmul(&x, packed, &mut out);
    for (index, (got, (sum, error))) in out.iter().zip(reference(&x, weights, m, n, k)).enumerate() {
        let scale = f64::from(scales[index % n]);
        // One rounding more, for the scale.
        let error = error * scale + 2.0 * UNIT_ROUNDOFF * (sum * scale).abs();
        prop_assert!((f64::from(*got) - sum * scale).abs() <= error, "{index}: {got} is not {}", sum * scale);
    }
    for input in 0..k {
        let mut column = vec![f32::NAN; n];
        packed.copy_column(input, &mut column);
        for (row, got) in column.iter().enumerate() {
            prop_assert_eq!(*got, weights[row * k + input] * scales[row]);
        }
    }
    Ok(())
}

#[test]
fn rows_are_rounded_to_e4m3_on_their_own() {
    let (m, n, k) = (70, 3, 40);
    let bytes = random_bytes(3, n * k);
    let weights: Vec<f32> = bytes.iter().map(|byte| E4M3[usize::from(*byte)]).collect();
    let matrix = Fp8Matrix { weights: &bytes, scales: vec![1.0; n], rounds_inputs: true };
    let parts = vec![(StoredMatrix::Fp8(matrix), n)];
    let packed = PackedMatrix::pack_stored(parts, k, Nvfp4Inputs::AsTheyAre).expect("it is FP8");
    let mut x = random(4, m * k);
    x[5 * k..6 * k].fill(0.0);
    let rounded: Vec<f32> = x
        .chunks_exact(k)
        .flat_map(|row| {
            let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let scale = if largest == 0.0 { 1.0 } else { largest / 448.0 };
            row.iter().map(move |value| E4M3[usize::from(to_e4m3(value / scale))] * scale).collect::<Vec<f32>>()
        })
        .collect();
    let mut out = vec![f32::NAN; m * n];
    matmul(&x, &packed, &mut out);
    for (got, (sum, error)) in out.iter().zip(reference(&rounded, &weights, m, n, k)) {
        assert!((f64::from(*got) - sum).abs() <= 2.0 * error, "{got} is not {sum}");
    }
    assert!(out[5 * n..6 * n].iter().all(|value| *value == 0.0));
}

#[test]
fn parts_stored_in_different_ways_do_not_stack() {
    let (plain, bytes) = ([1.0_f32; 32], [0_u8; 32]);
    let fp8 = |rounds_inputs| StoredMatrix::Fp8(Fp8Matrix { weights: &bytes, scales: vec![1.0; 2], rounds_inputs });
    let plain = StoredMatrix::Plain(WeightData::F32(&plain));
    let packs = |parts: [StoredMatrix<'_>; 2]| {
        let parts = parts.map(|part| (part, 2)).into();
        PackedMatrix::pack_stored(parts, 16, Nvfp4Inputs::AsTheyAre).is_some()
    };
    assert!(packs([fp8(true), fp8(true)]));
    assert!(!packs([fp8(true), fp8(false)]));
    assert!(!packs([plain, fp8(true)]));
}
