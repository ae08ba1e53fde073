use super::{
    Argmax, Distribution, ExpInPlaceAndSum, GeluTanhMul, Maximum, Partition, SoftCap, SumOfSquares, argmax,
    distribution, exp_in_place_and_sum, gelu_tanh_mul, rms_norm, rms_norm_in_place, soft_cap, softmax_in_place,
};
use crate::backend::cpu::matmul::tests::{Instructions, bits, random};

/// Relative error of an exponential whose argument is exact: a few roundings of 6e-8, and 3e-8 of the polynomial.
const EXP: f64 = 3e-7;
/// What rounding an argument once does to its exponential, for each unit of the argument.
const ROUNDED_ARGUMENT: f64 = 6e-8;
/// Relative error of a capped logit: the quotient, the exponential, the division and two products.
const SOFT_CAP: f64 = 1e-6;
/// Error of a gelu over the input's magnitude. Far below zero, where its relative error is larger, gelu is tiny.
const GELU: f64 = 5e-7;
/// Relative error of a normed value: the sum of squares (of positive terms, so nothing cancels) and four roundings.
const RMS_NORM: f64 = 1e-6;
/// Relative error of a sum of exponentials, or of what is proportional to it.
const PARTITION: f64 = 1e-6;
/// Absolute error of an entropy, in nats, for each unit of the entropy, and at least for one.
const ENTROPY: f64 = 1e-6;

/// Relative difference that fused multiply-adds make: most in a gelu far below zero, whose exponent is large.
const UNFUSED: f32 = 2e-5;

/// Around every multiple of a block's length, and long enough for several blocks of sums.
const LENGTHS: [usize; 14] = [0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000, 9001];

fn assert_relative(got: f32, expected: f64, tolerance: f64, place: &str) {
    assert!((f64::from(got) - expected).abs() <= tolerance * expected.abs(), "{place}: {got} is not {expected}");
}

/// `count` numbers from `from` to `to`, evenly.
fn sweep(from: f32, to: f32, count: usize) -> Vec<f32> {
    (0..count).map(|index| from + (to - from) * index as f32 / (count - 1) as f32).collect()
}

/// Numbers of both signs and of every magnitude from 1e-30 to 1e4.
fn every_magnitude() -> Vec<f32> {
    (0..20_000)
        .map(|index| 10_f32.powf(-30.0 + 34.0 * index as f32 / 20_000.0) * if index % 2 == 0 { 1.0 } else { -1.0 })
        .collect()
}

fn gelu_reference(x: f32) -> f64 {
    let x = f64::from(x);
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    x / (1.0 + (-2.0 * inner).exp())
}

#[test]
fn exponentials_are_those_of_f64() {
    let row = sweep(-87.3, 0.0, 200_001);
    let mut got = row.clone();
    exp_in_place_and_sum(&mut got);
    for (x, got) in row.iter().zip(got) {
        let expected = f64::from(*x).exp();
        assert_relative(got, expected, EXP + ROUNDED_ARGUMENT * f64::from(x.abs()), &format!("exp({x})"));
    }
}

#[test]
fn the_smallest_exponentials_are_zero() {
    let mut row = [0.0, -88.0, -1e30, f32::NEG_INFINITY];
    assert_eq!(exp_in_place_and_sum(&mut row), 1.0);
    assert_eq!(row, [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_softmax_sums_to_one() {
    for length in LENGTHS {
        let row: Vec<f32> = random(1, length).iter().map(|x| x * 20.0 + 1000.0).collect();
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exact: f64 = row.iter().map(|x| f64::from(x - max).exp()).sum();
        let mut got = row.clone();
        softmax_in_place(&mut got);
        for (x, got) in row.iter().zip(&got) {
            let z = f64::from(x - max);
            assert_relative(
                *got,
                z.exp() / exact,
                EXP + PARTITION + ROUNDED_ARGUMENT * z.abs(),
                &format!("{length}: {x}"),
            );
        }
        if length > 0 {
            let sum: f64 = got.iter().map(|value| f64::from(*value)).sum();
            assert!((sum - 1.0).abs() <= PARTITION, "{sum}");
        }
    }
}

#[test]
fn masked_logits_weigh_nothing() {
    let mut row = vec![f32::NEG_INFINITY; 40];
    row[35] = 3.0;
    softmax_in_place(&mut row);
    assert!(row.iter().enumerate().all(|(index, value)| *value == if index == 35 { 1.0 } else { 0.0 }));

    let mut nothing = [f32::NEG_INFINITY; 40];
    assert_eq!(exp_in_place_and_sum(&mut nothing), 0.0);
    assert_eq!(nothing, [0.0; 40]);
}

#[test]
fn a_nan_spreads_through_a_softmax() {
    for place in [0, 20, 39] {
        let mut row = random(2, 40);
        row[place] = f32::NAN;
        softmax_in_place(&mut row);
        assert!(row.iter().all(|value| value.is_nan()), "{place}");
    }
}

#[test]
fn soft_caps_are_those_of_f64() {
    for cap in [30.0, 1.0, 50.0] {
        let row = [every_magnitude(), sweep(-12.0 * cap, 12.0 * cap, 100_001)].concat();
        let mut got = row.clone();
        soft_cap(&mut got, cap);
        for (x, got) in row.iter().zip(got) {
            let expected = f64::from(cap) * (f64::from(*x) / f64::from(cap)).tanh();
            assert_relative(got, expected, SOFT_CAP, &format!("cap {cap}: {x}"));
        }
    }
}

#[test]
fn soft_caps_keep_infinities_in_bounds_and_nan() {
    let mut row = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0];
    soft_cap(&mut row, 30.0);
    assert_eq!((row[0], row[1]), (30.0, -30.0));
    assert!(row[2].is_nan());
    assert_eq!((row[3].to_bits(), row[4].to_bits()), (0.0_f32.to_bits(), (-0.0_f32).to_bits()));
}

#[test]
fn gelus_are_those_of_f64() {
    let gate = [every_magnitude(), sweep(-15.0, 15.0, 100_001)].concat();
    let up = random(3, gate.len());
    let mut got = vec![0.0; gate.len()];
    gelu_tanh_mul(&gate, &up, &mut got);
    for ((gate, up), got) in gate.iter().zip(&up).zip(got) {
        let expected = gelu_reference(*gate) * f64::from(*up);
        let error = (f64::from(got) - expected).abs();
        assert!(error <= GELU * f64::from((gate * up).abs()), "gelu({gate}) * {up}: {got} is not {expected}");
    }
}

#[test]
fn a_gelu_of_a_nan_is_one() {
    let mut out = [0.0; 3];
    gelu_tanh_mul(&[f32::NAN, f32::INFINITY, -1e30], &[1.0; 3], &mut out);
    assert!(out[0].is_nan());
    assert_eq!(out[1..], [f32::INFINITY, 0.0]);
}

#[test]
fn norms_are_those_of_f64() {
    let eps = 1e-6;
    for length in LENGTHS {
        for scale in [1e-8, 1e-3, 1.0, 1e6] {
            let x: Vec<f32> = random(4, length).iter().map(|x| x * scale).collect();
            let weight = random(5, length);
            let squares: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            let factor = 1.0 / (squares / length.max(1) as f64 + f64::from(eps)).sqrt();
            let (mut weighted, mut plain) = (vec![0.0; length], vec![0.0; length]);
            rms_norm(&x, Some(&weight), eps, &mut weighted);
            rms_norm(&x, None, eps, &mut plain);
            for index in 0..length {
                let expected = f64::from(x[index]) * factor;
                assert_relative(plain[index], expected, RMS_NORM, &format!("{length}: {index}"));
                assert_relative(
                    weighted[index],
                    expected * f64::from(weight[index]),
                    RMS_NORM,
                    &format!("{length}: {index}"),
                );
            }
            let (mut weighted_in_place, mut plain_in_place) = (x.clone(), x);
            rms_norm_in_place(&mut weighted_in_place, Some(&weight), eps);
            rms_norm_in_place(&mut plain_in_place, None, eps);
            assert_eq!(bits(&weighted_in_place), bits(&weighted));
            assert_eq!(bits(&plain_in_place), bits(&plain));
        }
    }
}

#[test]
fn the_lowest_of_equal_maxima_wins() {
    for length in LENGTHS.into_iter().filter(|length| *length > 0) {
        let mut row = random(6, length);
        for places in [[0, length - 1], [length / 2, length - 1], [length / 3, length / 2]] {
            places.iter().for_each(|place| row[*place] = 2.0);
            assert_eq!(argmax(&row), (places[0], 2.0), "{length}: {places:?}");
            places.iter().for_each(|place| row[*place] = -2.0);
        }
        assert_eq!(argmax(&vec![f32::NEG_INFINITY; length]), (0, f32::NEG_INFINITY));
    }
}

#[test]
fn a_nan_is_never_greatest() {
    let mut row = random(7, 100);
    row[70] = 5.0;
    row[0] = f32::NAN;
    row[99] = f32::NAN;
    assert_eq!(argmax(&row), (70, 5.0));
    assert_eq!(argmax(&[f32::NAN; 40]), (0, f32::NEG_INFINITY));
    assert_eq!(argmax(&[]), (0, f32::NEG_INFINITY));
}

#[test]
fn distributions_are_those_of_f64() {
    for length in LENGTHS.into_iter().filter(|length| *length > 0) {
        for (spread, inverse_temperature) in [(0.0, 1.0), (1.0, 1.25), (30.0, 2.5), (300.0, 1.0)] {
            let row: Vec<f32> = random(8, length).iter().map(|x| x * spread - 50.0).collect();
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let beta = f64::from(inverse_temperature as f32);
            let z: Vec<f64> = row.iter().map(|x| (f64::from(*x) - f64::from(max)) * beta).collect();
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            let entropy = sum.ln() - z.iter().map(|z| z * z.exp()).sum::<f64>() / sum;
            let got = distribution(&row, inverse_temperature as f32);
            let place = format!("{length} of {spread}");
            assert_eq!((got.argmax, got.max), argmax(&row), "{place}");
            assert_eq!(got.max, max, "{place}");
            assert_relative(got.log_partition, f64::from(max) * beta + sum.ln(), PARTITION, &place);
            let error = (f64::from(got.entropy) - entropy).abs();
            assert!(error <= ENTROPY * entropy.max(1.0), "{place}: {} is not {entropy}", got.entropy);
        }
    }
}

#[test]
fn a_long_uniform_row_has_the_logarithm_of_its_length_as_entropy() {
    let length = 262_144;
    let got = distribution(&vec![-3.5; length], 1.0);
    assert_relative(got.entropy, (length as f64).ln(), ENTROPY, "entropy");
    assert_eq!((got.argmax, got.max), (0, -3.5));
}

#[test]
fn a_certain_row_has_no_entropy() {
    let mut row = vec![f32::NEG_INFINITY; 100];
    row[42] = 7.0;
    let certain = Distribution { max: 7.0, argmax: 42, log_partition: 14.0, entropy: 0.0 };
    assert_eq!(distribution(&row, 2.0), certain);
    row.fill(-1e30);
    row[42] = 7.0;
    assert_eq!(distribution(&row, 2.0), certain);
}

#[test]
fn without_a_distribution_the_entropy_is_nan() {
    assert!(distribution(&[f32::NEG_INFINITY; 33], 1.0).entropy.is_nan());
    let mut row = random(9, 50);
    row[20] = f32::NAN;
    let got = distribution(&row, 1.0);
    assert!(got.entropy.is_nan() && got.log_partition.is_nan());
}

#[test]
fn every_instruction_set_agrees() {
    for length in LENGTHS {
        let row: Vec<f32> = random(10, length).iter().map(|x| x * 8.0).collect();
        let up = random(11, length);
        let results: Vec<_> = Instructions::all()
            .into_iter()
            .map(|(instructions, fuses)| {
                let (mut capped, mut gelu, mut exponentials) = (row.clone(), vec![0.0; length], row.clone());
                instructions.run(SoftCap { row: &mut capped, cap: 3.0 });
                instructions.run(GeluTanhMul { gate: &row, up: &up, out: &mut gelu });
                let shift = instructions.run(Maximum { row: &row });
                let sum = instructions.run(ExpInPlaceAndSum { row: &mut exponentials, shift });
                let squares = instructions.run(SumOfSquares { x: &row });
                let partition = instructions.run(Partition { row: &row, shift, inverse_temperature: 1.5 });
                let greatest = instructions.run(Argmax { row: &row });
                let numbers =
                    [capped, gelu, exponentials, vec![sum, squares, partition.0 as f32, partition.1 as f32, shift]]
                        .concat();
                (fuses, greatest, numbers)
            })
            .collect();
        let (_, greatest, scalar) = &results[0];
        for (_, other, numbers) in &results[1..] {
            assert_eq!(greatest, other, "{length}");
            for (number, expected) in numbers.iter().zip(scalar) {
                let error = (number - expected).abs();
                assert!(
                    error <= UNFUSED * expected.abs() || number == expected,
                    "{length}: {number} is not {expected}"
                );
            }
        }
        let fused: Vec<Vec<u32>> =
            results.iter().filter(|(fuses, ..)| *fuses).map(|(.., numbers)| bits(numbers)).collect();
        assert!(fused.windows(2).all(|pair| pair[0] == pair[1]), "{length}");
    }
}
