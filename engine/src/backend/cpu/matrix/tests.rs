use half::{bf16, f16};

use super::{PackedMatrix, Panels};
use crate::backend::cpu::matmul::tests::random;
use crate::checkpoint::WeightData;

/// Asserts that the packed matrix is `rows`, `[n, k]`.
fn assert_holds(packed: &PackedMatrix, rows: &[f32], n: usize, k: usize) {
    assert_eq!((packed.rows(), packed.columns()), (n, k));
    for input in 0..k {
        let mut column = vec![f32::NAN; n];
        packed.copy_column(input, &mut column);
        let expected: Vec<f32> = (0..n).map(|row| rows[row * k + input]).collect();
        assert_eq!(column, expected, "input {input} of {n} x {k}");
    }
}

fn to_bf16(values: &[f32]) -> (Vec<bf16>, Vec<f32>) {
    let stored: Vec<bf16> = values.iter().map(|value| bf16::from_f32(*value)).collect();
    let exact = stored.iter().map(|value| value.to_f32()).collect();
    (stored, exact)
}

#[test]
fn parts_are_stacked() {
    let k = 13;
    let (first, second, third) = (random(1, 50 * k), random(2, 3 * k), random(3, 90 * k));
    let ((first, first_exact), (second, second_exact), (third, third_exact)) =
        (to_bf16(&first), to_bf16(&second), to_bf16(&third));
    let packed = PackedMatrix::pack(
        &[(WeightData::Bf16(&first), 50), (WeightData::Bf16(&second), 3), (WeightData::Bf16(&third), 90)],
        k,
    );
    assert_holds(&packed, &[first_exact, second_exact, third_exact].concat(), 143, k);
}

#[test]
fn every_type_is_stored_exactly() {
    for (n, k) in [(1, 1), (64, 7), (65, 20), (127, 3), (0, 4), (4, 0)] {
        let values = random(4, n * k);
        let (as_bf16, bf16_exact) = to_bf16(&values);
        let as_f16: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
        let f16_exact: Vec<f32> = as_f16.iter().map(|value| value.to_f32()).collect();
        assert_holds(&PackedMatrix::pack(&[(WeightData::F32(&values), n)], k), &values, n, k);
        assert_holds(&PackedMatrix::pack(&[(WeightData::Bf16(&as_bf16), n)], k), &bf16_exact, n, k);
        assert_holds(&PackedMatrix::pack(&[(WeightData::F16(&as_f16), n)], k), &f16_exact, n, k);
        let mixed = [(WeightData::F32(&values[..]), n), (WeightData::Bf16(&as_bf16), n), (WeightData::F16(&as_f16), n)];
        assert_holds(&PackedMatrix::pack(&mixed, k), &[values, bf16_exact, f16_exact].concat(), 3 * n, k);
    }
}

#[test]
fn a_transpose_holds_the_same_numbers() {
    for (n, k) in [(1, 1), (64, 7), (65, 20), (130, 33)] {
        let values = random(5, n * k);
        let (as_bf16, exact) = to_bf16(&values);
        let as_f16: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
        let f16_exact: Vec<f32> = as_f16.iter().map(|value| value.to_f32()).collect();
        // `values` read as [k, n].
        let transposed = |values: &[f32]| -> Vec<f32> {
            (0..n)
                .flat_map(|row| (0..k).map(move |input| (row, input)))
                .map(|(row, input)| values[input * n + row])
                .collect()
        };
        assert_holds(&PackedMatrix::pack_transposed(&WeightData::F32(&values), k, n), &transposed(&values), n, k);
        assert_holds(&PackedMatrix::pack_transposed(&WeightData::Bf16(&as_bf16), k, n), &transposed(&exact), n, k);
        assert_holds(&PackedMatrix::pack_transposed(&WeightData::F16(&as_f16), k, n), &transposed(&f16_exact), n, k);
    }
}

#[test]
fn only_a_matrix_of_bf16_alone_stays_bf16() {
    let values = random(6, 128 * 10);
    let (as_bf16, _) = to_bf16(&values);
    let (as_f32, as_bf16) = ((WeightData::F32(&values), 128), (WeightData::Bf16(&as_bf16), 128));
    assert!(matches!(PackedMatrix::pack(&[as_bf16, as_bf16], 10).panels(), Panels::Bf16(_)));
    assert!(matches!(PackedMatrix::pack_transposed(&as_bf16.0, 10, 128).panels(), Panels::Bf16(_)));
    assert!(matches!(PackedMatrix::pack(&[as_bf16, as_f32], 10).panels(), Panels::F32(_)));
}
