use crate::checkpoint::quantised::formats::{E2M1, E4M3, any_e4m3_nan, round_to_e2m1, round_to_e4m3, to_e2m1, to_e4m3};

/// A number of a small format from its fields, as the specification has it: an exponent field of zero is subnormal.
fn from_fields(bits: u8, exponent_bits: u32, mantissa_bits: u32, bias: i32) -> f64 {
    let mantissa = f64::from(bits & ((1 << mantissa_bits) - 1)) / f64::from(1_u32 << mantissa_bits);
    let exponent = i32::from(bits >> mantissa_bits & ((1 << exponent_bits) - 1));
    let magnitude = match exponent {
        0 => mantissa * 2_f64.powi(1 - bias),
        _ => (1.0 + mantissa) * 2_f64.powi(exponent - bias),
    };
    if bits >> (exponent_bits + mantissa_bits) & 1 == 1 { -magnitude } else { magnitude }
}

/// The nearest of all numbers of a format, which are in ascending order of their bits; of two as near the one with even bits.
fn nearest(value: f32, numbers: &[(u8, f64)]) -> u8 {
    let largest = numbers[numbers.len() - 1].1;
    let magnitude = f64::from(value.abs()).min(largest);
    let mut best = numbers[0];
    for number in numbers {
        let (distance, least) = ((number.1 - magnitude).abs(), (best.1 - magnitude).abs());
        if distance < least || distance == least && number.0 % 2 == 0 {
            best = *number;
        }
    }
    best.0
}

/// Values around every number and every midpoint, over the whole range and beyond, and many between.
fn probes(numbers: &[(u8, f64)]) -> Vec<f32> {
    let mut probes = vec![0.0, 1e-30, f32::MAX, f32::INFINITY];
    let midpoints = numbers.windows(2).map(|pair| (pair[0].1 + pair[1].1) / 2.0);
    for centre in numbers.iter().map(|number| number.1).chain(midpoints) {
        let centre = centre as f32;
        probes.extend([centre, centre.next_up(), centre.next_down().max(0.0)]);
    }
    probes.extend((0..20_000_u32).map(|step| f32::from_bits(0x3000_0000 + step * 30_011)));
    let negative: Vec<f32> = probes.iter().map(|probe| -probe).collect();
    probes.extend(negative);
    probes
}

#[test]
fn every_byte_of_e4m3_is_what_the_specification_says() {
    for byte in 0..=255_u8 {
        let number = E4M3[usize::from(byte)];
        if byte & 0x7f == 0x7f {
            assert!(number.is_nan(), "{byte:#x}");
        } else {
            assert_eq!(f64::from(number), from_fields(byte, 4, 3, 7), "{byte:#x}");
            assert_eq!(number.is_sign_negative(), byte >= 0x80, "{byte:#x}");
            assert_eq!(to_e4m3(number), byte);
            assert_eq!(round_to_e4m3(number).to_bits(), number.to_bits());
        }
        assert_eq!(any_e4m3_nan(&[0, 0x7e, byte]), number.is_nan());
    }
    assert_eq!((E4M3[0x7e], E4M3[1]), (448.0, 1.0 / 512.0));
}

#[test]
fn every_number_of_e2m1_is_what_the_specification_says() {
    for bits in 0..16_u8 {
        let number = E2M1[usize::from(bits)];
        assert_eq!(f64::from(number), from_fields(bits, 2, 1, 1), "{bits:#x}");
        assert_eq!(number.is_sign_negative(), bits >= 8, "{bits:#x}");
        assert_eq!(to_e2m1(number), bits);
        assert_eq!(round_to_e2m1(number).to_bits(), number.to_bits());
    }
}

#[test]
fn rounding_to_e4m3_takes_the_nearest_of_all_numbers() {
    let numbers: Vec<(u8, f64)> = (0..0x7f).map(|byte| (byte, from_fields(byte, 4, 3, 7))).collect();
    for value in probes(&numbers) {
        let byte = nearest(value, &numbers) | if value.is_sign_negative() { 0x80 } else { 0 };
        assert_eq!(to_e4m3(value), byte, "{value:e}");
        assert_eq!(round_to_e4m3(value).to_bits(), E4M3[usize::from(byte)].to_bits(), "{value:e}");
    }
    assert_eq!(to_e4m3(f32::NAN), 0x7f);
    assert!(round_to_e4m3(f32::NAN).is_nan());
}

#[test]
fn rounding_to_e2m1_takes_the_nearest_of_all_numbers() {
    let numbers: Vec<(u8, f64)> = (0..8).map(|bits| (bits, from_fields(bits, 2, 1, 1))).collect();
    for value in probes(&numbers) {
        let bits = nearest(value, &numbers) | if value.is_sign_negative() { 8 } else { 0 };
        assert_eq!(to_e2m1(value), bits, "{value:e}");
        assert_eq!(round_to_e2m1(value).to_bits(), E2M1[usize::from(bits)].to_bits(), "{value:e}");
    }
    assert_eq!(to_e2m1(f32::NAN), 0);
}
