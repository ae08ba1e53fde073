use super::*;
use crate::reference::quantised as reference;
use crate::testing::{Random, on_devices, special_values};
use crate::{Device, bf16};

fn quantised<T: NormOutput>(device: &Device, input: &[T], width: usize) -> Result<(Vec<u8>, Vec<f32>), Error> {
    let mut numbers = device.allocate::<u8>(input.len())?;
    let mut scales = device.allocate::<f32>(input.len() / width)?;
    let output = Fp8RowsMut { numbers: numbers.as_mut(), scales: scales.as_mut() };
    quantise_rows(device.upload(input)?.as_slice(), width, output)?;
    Ok((numbers.as_slice().read()?, scales.as_slice().read()?))
}

#[test]
fn rows_are_scaled_by_their_greatest_and_rounded() {
    let mut random = Random::new(60);
    for (rows, width) in [(1, 1), (3, 5), (2, 256), (5, 704), (1, 8192), (4, 513), (0, 7)] {
        let deviations = [1.0, 1e-3, 1e4, 1e-38, 1e30];
        let row = |row: usize, random: &mut Random| random.normal(width, deviations[row % deviations.len()]);
        let input: Vec<f32> = (0..rows).flat_map(|index| row(index, &mut random)).collect();
        let expected = reference::quantise_rows(&input, width);
        assert!(on_devices(|device| quantised(device, &input, width)) == expected, "{rows} x {width}");
        let input: Vec<bf16> = input.into_iter().map(bf16::from_f32).collect();
        let widened: Vec<f32> = input.iter().map(|number| number.to_f32()).collect();
        let expected = reference::quantise_rows(&widened, width);
        assert!(on_devices(|device| quantised(device, &input, width)) == expected, "{rows} x {width}");
    }
}

/// Numbers whose row has scale 1, so that what is tested is the rounding alone.
fn rounded(numbers: &[f32]) -> Vec<u8> {
    let mut row = numbers.to_vec();
    row.push(448.0);
    let width = row.len();
    let (mut found, scales) = on_devices(|device| quantised(device, &row, width));
    assert_eq!(scales, [1.0]);
    found.pop();
    found
}

#[test]
fn every_e4m3_is_what_it_is_rounded_to() {
    let bytes: Vec<u8> = (0..=255).filter(|byte| byte & 0x7F != 0x7F).collect();
    let numbers: Vec<f32> = bytes.iter().map(|byte| reference::e4m3(*byte)).collect();
    assert_eq!(rounded(&numbers), bytes);
}

#[test]
fn what_lies_between_two_goes_to_the_nearer_and_from_the_middle_to_the_even_one() {
    let mut numbers = Vec::new();
    for byte in 0..0x7E {
        let (below, above) = (reference::e4m3(byte), reference::e4m3(byte + 1));
        let middle = (below + above) / 2.0;
        numbers.extend([below.next_up(), middle.next_down(), middle, middle.next_up(), above.next_down()]);
    }
    let negative: Vec<f32> = numbers.iter().map(|number| -number).collect();
    for numbers in [numbers, negative] {
        let expected: Vec<u8> = numbers.iter().map(|number| reference::to_e4m3(*number)).collect();
        assert_eq!(rounded(&numbers), expected);
    }
}

#[test]
fn any_float_is_rounded_as_the_definition_says() {
    let mut random = Random::new(61);
    let numbers: Vec<f32> = (0..20_000).map(|_| f32::from_bits(random.next() as u32)).collect();
    let numbers: Vec<f32> = numbers.into_iter().filter(|number| number.is_nan() || number.abs() <= 448.0).collect();
    assert!(numbers.len() > 5_000);
    let expected: Vec<u8> = numbers.iter().map(|number| reference::to_e4m3(*number)).collect();
    assert_eq!(rounded(&numbers), expected);
}

#[test]
fn what_is_no_number_stays_in_its_row() {
    let width = 40;
    for value in special_values() {
        let mut input = vec![0.5_f32; 3 * width];
        input[width + 7] = value;
        let (numbers, scales) = on_devices(|device| quantised(device, &input, width));
        assert_eq!((numbers.clone(), scales.clone()), reference::quantise_rows(&input, width), "{value}");
        for row in [0, 2] {
            assert!(numbers[row * width..][..width].iter().all(|byte| *byte == 0x7E));
            assert_eq!(scales[row], 0.5 / 448.0);
        }
        assert_eq!(numbers[width + 7] == 0x7F, value.is_nan() || value.is_infinite(), "{value}");
    }
}

#[test]
fn rows_of_zeros_and_of_next_to_nothing_have_a_scale_that_is_a_number() {
    for value in [0.0, -0.0, f32::from_bits(1), 1e-40, f32::MIN_POSITIVE] {
        let (numbers, scales) = on_devices(|device| quantised(device, &[value; 9], 9));
        assert!(numbers.iter().all(|byte| byte & 0x7F < 0x7F), "{value}");
        assert_eq!(scales, [f32::MIN_POSITIVE]);
        let expected = f64::from(value);
        let found = f64::from(reference::e4m3(numbers[0])) * f64::from(scales[0]);
        assert!((found - expected).abs() <= f64::from(f32::MIN_POSITIVE) * 2.0_f64.powi(-4), "{value}");
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let device = Device::emulator();
    let input = device.allocate::<f32>(12).unwrap();
    let (mut numbers, mut scales) = (device.allocate::<u8>(12).unwrap(), device.allocate::<f32>(3).unwrap());
    let mut refused = |width: usize, inputs: usize, outputs: usize, rows: usize| {
        let output = Fp8RowsMut { numbers: numbers.slice_mut(0..outputs), scales: scales.slice_mut(0..rows) };
        let error = quantise_rows(input.slice(0..inputs), width, output).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    };
    refused(5, 12, 12, 3);
    refused(0, 12, 12, 3);
    refused(4, 8, 12, 3);
    refused(4, 12, 12, 2);
    let (packed, mut words) = (device.allocate::<u8>(12).unwrap(), device.allocate::<u32>(3).unwrap());
    let error = arrange_fp4(packed.slice(0..11), words.as_mut()).unwrap_err();
    assert_eq!(error.to_string(), "arrange_fp4: 11 bytes are not 3 words");
}

fn grouped<T: NormOutput>(
    device: &Device,
    input: &[T],
    width: usize,
    scale: f32,
) -> Result<(Vec<u32>, Vec<u8>), Error> {
    let mut words = device.allocate::<u32>(input.len() / FP4_WORD)?;
    let mut group_scales = device.allocate::<u8>(input.len() / FP4_GROUP)?;
    let output = Fp4RowsMut { words: words.as_mut(), group_scales: group_scales.as_mut(), scale };
    quantise_groups(device.upload(input)?.as_slice(), width, output)?;
    Ok((words.as_slice().read()?, group_scales.as_slice().read()?))
}

#[test]
fn groups_are_scaled_by_their_greatest_and_rounded() {
    let mut random = Random::new(63);
    for (rows, width) in [(1, 16), (3, 48), (2, 256), (5, 704), (1, 8192), (0, 32)] {
        // Those of some groups overflow their scale's format, and those of others are lost.
        let deviations = [1.0, 1e-3, 1e4, 1e-38, 1e30, 0.0];
        let input: Vec<f32> = (0..rows * width / FP4_GROUP)
            .flat_map(|group| random.normal(FP4_GROUP, deviations[group % deviations.len()]))
            .collect();
        for scale in [1.0, 0.003, 3e-20, 7e18] {
            let expected = reference::quantise_groups(&input, scale);
            let found = on_devices(|device| grouped(device, &input, width.max(1), scale));
            assert!(found == expected, "{rows} x {width} with {scale}");
        }
        let input: Vec<bf16> = input.into_iter().map(bf16::from_f32).collect();
        let widened: Vec<f32> = input.iter().map(|number| number.to_f32()).collect();
        let expected = reference::quantise_groups(&widened, 0.01);
        assert!(on_devices(|device| grouped(device, &input, width, 0.01)) == expected, "{rows} x {width}");
    }
}

/// The four bits of numbers in groups of scale 1.
fn fours(numbers: &[f32]) -> Vec<u8> {
    // The greatest of each group is six.
    let groups: Vec<f32> = numbers
        .chunks(15)
        .flat_map(|part| {
            let mut group = part.to_vec();
            group.resize(16, 6.0);
            group
        })
        .collect();
    let (words, scales) = on_devices(|device| grouped(device, &groups, 16, 1.0));
    assert!(scales.iter().all(|scale| *scale == 0x38));
    let codes = words.iter().flat_map(|word| (0..8).map(move |index| (word >> (4 * index) & 15) as u8));
    let mut codes: Vec<u8> = codes.enumerate().filter(|(index, _)| index % 16 != 15).map(|(_, code)| code).collect();
    codes.truncate(numbers.len());
    codes
}

#[test]
fn every_e2m1_and_what_lies_between_two_is_rounded_to_the_nearer_and_from_the_middle_to_the_even_one() {
    let codes: Vec<u8> = (0..16).collect();
    assert_eq!(fours(&codes.iter().map(|code| reference::e2m1(*code)).collect::<Vec<f32>>()), codes);
    let mut numbers = Vec::new();
    for code in 0..7 {
        let (below, above) = (reference::e2m1(code), reference::e2m1(code + 1));
        let middle = (below + above) / 2.0;
        numbers.extend([below.next_up(), middle.next_down(), middle, middle.next_up(), above.next_down()]);
    }
    numbers.extend(numbers.clone().into_iter().map(|number: f32| -number));
    numbers.extend([f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1e-45]);
    assert_eq!(fours(&numbers), numbers.iter().map(|number| reference::to_e2m1(*number)).collect::<Vec<u8>>());
    // By themselves: 0.25 is as near to zero as to one half, and 5 to four as to six.
    assert_eq!(fours(&[0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, -5.0]), [0, 2, 2, 4, 4, 6, 6, 14]);
}

#[test]
fn what_is_no_number_or_infinite_stays_in_its_group_and_is_seen() {
    for value in special_values() {
        let mut input = vec![0.5_f32; 64];
        input[23] = value;
        let (words, scales) = on_devices(|device| grouped(device, &input, 64, 0.1));
        assert_eq!((words.clone(), scales.clone()), reference::quantise_groups(&input, 0.1), "{value}");
        assert_eq!(scales[1] == 0x7F, value.is_nan());
        assert_eq!(scales[1] == 0x7E, value == f32::MAX || value.is_infinite() || value == 1e30);
        let group = &words[2..4];
        if value.is_infinite() {
            assert_eq!(
                group,
                [if value > 0.0 { 0x7000_0000 } else { 0xF000_0000 }, 0],
                "one half is nothing beside it"
            );
        }
        for other in [0, 2, 3] {
            assert_eq!((words[2 * other], scales[other]), (words[0], scales[0]));
        }
    }
    // Of zeros, and of what is too small for a scale, there is nothing left.
    for small in [0.0, -0.0, 1e-5, -1e-6] {
        let found = on_devices(|device| grouped(device, &[small; 16], 16, 1.0));
        assert_eq!(found, (vec![0, 0], vec![0]));
    }
    // The least scale is 2^-9 times the one for all.
    let found = on_devices(|device| grouped(device, &[6.0 / 512.0; 16], 16, 1.0));
    assert_eq!(found, (vec![0x7777_7777; 2], vec![1]));
}

#[test]
fn groups_that_do_not_fit_are_refused() {
    let device = Device::emulator();
    let input = device.allocate::<f32>(64).unwrap();
    let (mut words, mut scales) = (device.allocate::<u32>(8).unwrap(), device.allocate::<u8>(4).unwrap());
    let mut refused = |width: usize, inputs: usize, groups: usize, scale: f32, expected: &str| {
        let group_scales = scales.slice_mut(0..groups);
        let output = Fp4RowsMut { words: words.as_mut(), group_scales, scale };
        let error = quantise_groups(input.slice(0..inputs), width, output).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }) && error.to_string().contains(expected), "{error}");
    };
    refused(8, 64, 4, 1.0, "rows of 8 numbers are not groups of 16");
    refused(48, 64, 4, 1.0, "64 numbers are not rows of 48");
    refused(32, 48, 4, 1.0, "the input has 48 numbers, not 64");
    refused(32, 64, 3, 1.0, "the output's list of groups' scales has 3 numbers, not 4");
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(32, 64, 4, scale, "not a number above zero");
    }
}

#[test]
fn each_number_of_four_bits_keeps_its_bits() {
    // One bit of the words that come out belongs to each that goes in.
    let found = on_devices(|device| {
        let packed: Vec<u8> = (0..32).flat_map(|bit| (1_u32 << bit).to_le_bytes()).collect();
        let mut words = device.allocate::<u32>(32)?;
        arrange_fp4(device.upload(&packed)?.as_slice(), words.as_mut())?;
        words.as_slice().read()
    });
    let places: Vec<u32> = found.iter().map(|word| word.trailing_zeros()).collect();
    assert!(found.iter().all(|word| word.count_ones() == 1));
    assert_eq!(found.iter().fold(0, |all, word| all | word), u32::MAX);
    // The second of each pair has its bits 16 places above the first one's.
    for pair in places.chunks_exact(8) {
        assert!((0..4).all(|bit| pair[4 + bit] == pair[bit] + 16), "{pair:?}");
    }
    // Words are arranged each by itself.
    let mut random = Random::new(62);
    let packed: Vec<u8> = (0..4 * 700).map(|_| random.next() as u8).collect();
    let arranged = on_devices(|device| {
        let mut words = device.allocate::<u32>(700)?;
        arrange_fp4(device.upload(&packed)?.as_slice(), words.as_mut())?;
        words.as_slice().read()
    });
    for (bytes, word) in packed.chunks_exact(4).zip(arranged) {
        let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let expected = (0..32).filter(|bit| bits >> bit & 1 == 1).fold(0, |all, bit| all | found[bit]);
        assert_eq!(word, expected);
    }
}
