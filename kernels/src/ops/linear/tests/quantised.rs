use super::*;
use crate::ops::quantised::arrange_fp4;
use crate::reference::linear::Sum;
use crate::reference::quantised::{e2m1, e4m3, nvfp4, to_e4m3};

/// Some tensor cores that multiply e4m3 keep fewer bits of a sum than f32 has.
const FP8_SUM_TOLERANCE: f64 = if cfg!(feature = "card") { 1e-3 } else { SUM_TOLERANCE };

/// Rows, outputs, inputs: whole stages, less than one, one more, and rows that begin at any byte.
const SHAPES: [(usize, usize, usize); 14] = [
    (1, 2, 1),
    (1, 64, 128),
    (3, 70, 33),
    (16, 128, 256),
    (17, 30, 80),
    (33, 66, 130),
    (64, 192, 96),
    (65, 64, 200),
    (70, 10, 513),
    (100, 140, 130),
    (130, 130, 64),
    (257, 66, 160),
    (5, 64, 704),
    (40, 96, 352),
];

/// The same for weights with scales of groups: the inputs are groups of 16, and of these not always whole words or chunks.
const GROUPED_SHAPES: [(usize, usize, usize); 10] = [
    (1, 2, 16),
    (1, 64, 128),
    (3, 70, 48),
    (16, 128, 256),
    (17, 30, 80),
    (33, 66, 144),
    (65, 64, 192),
    (70, 10, 528),
    (5, 64, 704),
    (40, 96, 352),
];

/// Rows of e4m3 on the host.
struct Bytes {
    numbers: Vec<u8>,
    scales: Vec<f32>,
}

impl Bytes {
    /// Every byte that is a number, with scales of some magnitude.
    fn new(random: &mut Random, rows: usize, inputs: usize, scale: f32) -> Self {
        let numbers =
            (0..rows * inputs).map(|_| random.next() as u8).map(|byte| if byte & 0x7F == 0x7F { 0x38 } else { byte });
        Self { numbers: numbers.collect(), scales: (0..rows).map(|_| scale * (0.5 + random.uniform())).collect() }
    }

    fn widened(&self) -> Vec<f32> {
        self.numbers.iter().map(|byte| e4m3(*byte)).collect()
    }
}

/// A weight of 4 bits as a checkpoint holds it.
pub(super) struct Packed {
    pub(super) packed: Vec<u8>,
    pub(super) group_scales: Vec<u8>,
    pub(super) scales: Vec<f32>,
}

impl Packed {
    pub(super) fn new(random: &mut Random, outputs: usize, inputs: usize) -> Self {
        let bytes = Bytes::new(random, outputs, inputs / 16, 1e-3);
        let packed = (0..outputs * inputs / 2).map(|_| random.next() as u8).collect();
        // Scales of groups are never negative.
        let group_scales = bytes.numbers.iter().map(|byte| byte & 0x7F).collect();
        Self { packed, group_scales, scales: bytes.scales }
    }
}

/// A quantised weight on a device.
enum Quantised {
    Fp8(Buffer<u8>, Buffer<f32>),
    Nvfp4(Buffer<u32>, Buffer<u8>, Buffer<f32>),
}

impl Quantised {
    fn fp8(device: &Device, weights: &Bytes) -> Result<Self, Error> {
        Ok(Self::Fp8(device.upload(&weights.numbers)?, device.upload(&weights.scales)?))
    }

    fn nvfp4(device: &Device, weights: &Packed) -> Result<Self, Error> {
        let mut words = device.allocate::<u32>(weights.packed.len() / 4)?;
        arrange_fp4(device.upload(&weights.packed)?.as_slice(), words.as_mut())?;
        Ok(Self::Nvfp4(words, device.upload(&weights.group_scales)?, device.upload(&weights.scales)?))
    }

    fn weights(&self) -> Weights<'_> {
        match self {
            Self::Fp8(numbers, scales) => Weights::Fp8 { numbers: numbers.as_slice(), scales: scales.as_slice() },
            Self::Nvfp4(words, group_scales, scales) => Weights::Nvfp4 {
                order: Fp4Order::Arranged,
                words: words.as_slice(),
                group_scales: group_scales.as_slice(),
                scales: scales.as_slice(),
            },
        }
    }
}

/// The plain and the gated product of an input with a weight.
pub(super) fn both<I: Input<Gated = bf16>>(
    device: &Device,
    input: I,
    weights: Weights<'_>,
    outputs: usize,
    rows: usize,
) -> Result<(Vec<f32>, Vec<bf16>), Error> {
    let matrix = Matrix { inputs: weights.len() / outputs, outputs, weights };
    let mut scratch = LinearScratch::new(device)?;
    let mut output = device.allocate::<f32>(rows * outputs)?;
    linear(input, &matrix, &mut scratch, output.as_mut())?;
    let mut gated = device.allocate::<bf16>(rows * outputs / 2)?;
    gated_linear(input, &matrix, &mut scratch, gated.as_mut())?;
    Ok((output.as_slice().read()?, gated.as_slice().read()?))
}

fn both_of_bf16(
    device: &Device,
    input: &[bf16],
    weights: &Quantised,
    outputs: usize,
    rows: usize,
) -> Result<(Vec<f32>, Vec<bf16>), Error> {
    both(device, device.upload(input)?.as_slice(), weights.weights(), outputs, rows)
}

fn both_of_fp8(
    device: &Device,
    input: &Bytes,
    weights: &Quantised,
    outputs: usize,
) -> Result<(Vec<f32>, Vec<bf16>), Error> {
    let (numbers, scales) = (device.upload(&input.numbers)?, device.upload(&input.scales)?);
    let rows = Fp8Rows { numbers: numbers.as_slice(), scales: scales.as_slice() };
    both(device, rows, weights.weights(), outputs, input.scales.len())
}

/// Sums times their rows' and columns' scales.
pub(super) fn scaled(sums: &[Sum], row_scales: Option<&[f32]>, scales: &[f32]) -> Vec<Sum> {
    let scale = |index: usize| {
        let row = row_scales.map_or(1.0, |row_scales| f64::from(row_scales[index / scales.len()]));
        row * f64::from(scales[index % scales.len()])
    };
    let one = |(index, sum): (usize, &Sum)| Sum {
        value: sum.value * scale(index),
        magnitude: sum.magnitude * scale(index).abs(),
    };
    sums.iter().enumerate().map(one).collect()
}

#[track_caller]
pub(super) fn assert_both(found: &(Vec<f32>, Vec<bf16>), sums: &[Sum], outputs: usize, tolerance: f64) {
    assert_within(&widened_sums(&found.0), sums.iter().map(|sum| (sum.value, tolerance * sum.magnitude)));
    let expected = reference::gated(sums, outputs / 2, tolerance).into_iter();
    // The result's own rounding to bf16 is at most half of its last place.
    let rounded = expected.map(|(value, error)| (value, error + value.abs() / 256.0 + 1e-40));
    assert_within(&widened_sums(&widened(&found.1)), rounded);
}

#[test]
fn e4m3_by_e4m3_is_a_sum_times_both_scales() {
    let mut random = Random::new(70);
    for (rows, outputs, inputs) in SHAPES {
        let input = Bytes::new(&mut random, rows, inputs, 1e-4);
        let weights = Bytes::new(&mut random, outputs, inputs, 1e-2);
        let sums = reference::linear(&input.widened(), &weights.widened(), inputs);
        let sums = scaled(&sums, Some(&input.scales), &weights.scales);
        for found in on_kinds(|device| both_of_fp8(device, &input, &Quantised::fp8(device, &weights)?, outputs)) {
            assert_both(&found, &sums, outputs, FP8_SUM_TOLERANCE);
        }
    }
}

#[test]
fn bf16_by_e4m3_is_a_sum_times_the_weights_scales() {
    let mut random = Random::new(71);
    for (rows, outputs, inputs) in SHAPES {
        let input = random.normal_bf16(rows * inputs, 1.0);
        let weights = Bytes::new(&mut random, outputs, inputs, 1e-3);
        let sums = reference::linear(&widened(&input), &weights.widened(), inputs);
        let sums = scaled(&sums, None, &weights.scales);
        let found =
            on_devices(|device| both_of_bf16(device, &input, &Quantised::fp8(device, &weights)?, outputs, rows));
        assert_both(&found, &sums, outputs, SUM_TOLERANCE);
    }
}

#[test]
fn bf16_by_e2m1_is_a_sum_times_groups_and_rows_scales() {
    let mut random = Random::new(72);
    for (rows, outputs, inputs) in GROUPED_SHAPES {
        let input = random.normal_bf16(rows * inputs, 1.0);
        let weights = Packed::new(&mut random, outputs, inputs);
        let sums = reference::linear(&widened(&input), &nvfp4(&weights.packed, &weights.group_scales), inputs);
        let sums = scaled(&sums, None, &weights.scales);
        let found =
            on_devices(|device| both_of_bf16(device, &input, &Quantised::nvfp4(device, &weights)?, outputs, rows));
        assert_both(&found, &sums, outputs, SUM_TOLERANCE);
    }
}

/// Same bits, or both no number.
#[track_caller]
pub(super) fn assert_same(found: &[f32], expected: impl Iterator<Item = f32>) {
    let mut count = 0;
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(found == &expected || (found.is_nan() && expected.is_nan()), "{index}: {found}, not {expected}");
        count += 1;
    }
    assert_eq!(count, found.len());
}

#[test]
fn each_byte_is_widened_to_its_number_wherever_it_stands() {
    let inputs = 256;
    for place in [0, 1, 2, 3, 6, 15, 16, 37, 64, 127, 131, 255] {
        let mut weights = Bytes { numbers: vec![0; 256 * inputs], scales: vec![1.0; 256] };
        for byte in 0..=255_u8 {
            weights.numbers[usize::from(byte) * inputs + place] = byte;
        }
        let mut input = vec![bf16::ZERO; inputs];
        input[place] = bf16::ONE;
        let (found, _) = on_devices(|device| both_of_bf16(device, &input, &Quantised::fp8(device, &weights)?, 256, 1));
        assert_same(&found, (0..=255).map(e4m3));
        let numbers = (0..inputs).map(|index| if index == place { to_e4m3(1.0) } else { 0 }).collect();
        let input = Bytes { numbers, scales: vec![1.0] };
        for (found, _) in on_kinds(|device| both_of_fp8(device, &input, &Quantised::fp8(device, &weights)?, 256)) {
            assert_same(&found, (0..=255).map(e4m3));
        }
    }
}

#[test]
fn each_e2m1_times_each_group_scale_is_exact_wherever_it_stands() {
    let inputs = 128;
    // For each scale that there may be.
    let outputs = 16 * 127;
    for place in [0, 1, 2, 3, 4, 5, 6, 7, 8, 22, 63, 64, 127] {
        // Row 16s + n has number n with scale s; all other numbers of the row are 6, and are multiplied by zero.
        let mut packed = vec![0x77; outputs * inputs / 2];
        let mut group_scales = vec![0x38; outputs * inputs / 16];
        for row in 0..outputs {
            let byte = &mut packed[(row * inputs + place) / 2];
            let number = (row % 16) as u8;
            *byte = if place % 2 == 0 { 0x70 | number } else { number << 4 | 7 };
            group_scales[(row * inputs + place) / 16] = (row / 16) as u8;
        }
        let weights = Packed { packed, group_scales, scales: vec![1.0; outputs] };
        let mut input = vec![bf16::ZERO; inputs];
        input[place] = bf16::ONE;
        let device = Device::emulator();
        let uploaded = Quantised::nvfp4(&device, &weights).unwrap();
        let (found, _) = both_of_bf16(&device, &input, &uploaded, outputs, 1).unwrap();
        assert_same(&found, (0..outputs).map(|row| e2m1((row % 16) as u8) * e4m3((row / 16) as u8)));
    }
}

#[test]
fn what_is_no_number_or_extreme_stays_in_its_row_and_its_column() {
    let (rows, outputs, inputs) = (20, 40, 160);
    let mut random = Random::new(73);
    for byte in [0x7F, 0xFF, 0x7E, 0xFE, 0x01, 0x81, 0x80] {
        let mut input = Bytes::new(&mut random, rows, inputs, 1e-3);
        let mut weights = Bytes::new(&mut random, outputs, inputs, 1e-3);
        input.numbers[7 * inputs + 159] = byte;
        weights.numbers[11 * inputs + 31] = byte;
        let sums = reference::linear(&input.widened(), &weights.widened(), inputs);
        let sums = scaled(&sums, Some(&input.scales), &weights.scales);
        assert_eq!(sums.iter().filter(|sum| sum.value.is_nan()).count(), if byte & 0x7F == 0x7F { 59 } else { 0 });
        for found in on_kinds(|device| both_of_fp8(device, &input, &Quantised::fp8(device, &weights)?, outputs)) {
            assert_both(&found, &sums, outputs, FP8_SUM_TOLERANCE);
        }

        let input = random.normal_bf16(rows * inputs, 1.0);
        let sums = reference::linear(&widened(&input), &weights.widened(), inputs);
        let sums = scaled(&sums, None, &weights.scales);
        let found =
            on_devices(|device| both_of_bf16(device, &input, &Quantised::fp8(device, &weights)?, outputs, rows));
        assert_both(&found, &sums, outputs, SUM_TOLERANCE);

        // Scales of groups are numbers, and not negative.
        let mut weights = Packed::new(&mut random, outputs, inputs);
        weights.group_scales[11 * inputs / 16 + 9] = if byte & 0x7F == 0x7F { 0 } else { byte & 0x7F };
        let sums = reference::linear(&widened(&input), &nvfp4(&weights.packed, &weights.group_scales), inputs);
        let sums = scaled(&sums, None, &weights.scales);
        let found =
            on_devices(|device| both_of_bf16(device, &input, &Quantised::nvfp4(device, &weights)?, outputs, rows));
        assert_both(&found, &sums, outputs, SUM_TOLERANCE);
    }
}

#[test]
fn an_input_that_is_no_number_stays_in_its_row() {
    let (rows, outputs, inputs) = (20, 40, 160);
    let mut random = Random::new(74);
    for value in special_values() {
        let mut input = random.normal_bf16(rows * inputs, 1.0);
        input[7 * inputs + 100] = bf16::from_f32(value);
        let is_finite = input[7 * inputs + 100].is_finite() && value.abs() < 1e31;
        let weights = Bytes::new(&mut random, outputs, inputs, 1e-3);
        let grouped = Packed::new(&mut random, outputs, inputs);
        let numbers = nvfp4(&grouped.packed, &grouped.group_scales);
        let (fp8, nvfp4) = on_devices(|device| {
            let (fp8, _) = both_of_bf16(device, &input, &Quantised::fp8(device, &weights)?, outputs, rows)?;
            let (nvfp4, _) = both_of_bf16(device, &input, &Quantised::nvfp4(device, &grouped)?, outputs, rows)?;
            Ok((fp8, nvfp4))
        });
        for (found, matrix, scales) in [(fp8, weights.widened(), &weights.scales), (nvfp4, numbers, &grouped.scales)] {
            let sums = scaled(&reference::linear(&widened(&input), &matrix, inputs), None, scales);
            for (index, (found, sum)) in found.iter().zip(&sums).enumerate() {
                if index / outputs != 7 || is_finite {
                    assert!(
                        (f64::from(*found) - sum.value).abs() <= SUM_TOLERANCE * sum.magnitude,
                        "{value} at {index}"
                    );
                } else if sum.value.is_nan() {
                    assert!(found.is_nan(), "{found} is not a sum with {value}");
                }
            }
        }
    }
}

#[test]
fn rows_that_begin_anywhere_are_read_as_well() {
    let (rows, outputs, inputs) = (9, 24, 160);
    let mut random = Random::new(75);
    let input = Bytes::new(&mut random, rows + 1, inputs, 1e-3);
    let weights = Bytes::new(&mut random, outputs + 1, inputs, 1e-3);
    let grouped = Packed::new(&mut random, outputs + 1, inputs);
    let wide = random.normal_bf16(rows * inputs + 1, 1.0);
    for (fp8, mixed, nvfp4_sums) in on_kinds(|device| {
        let (numbers, scales) = (device.upload(&input.numbers)?, device.upload(&input.scales)?);
        let (weight_numbers, weight_scales) = (device.upload(&weights.numbers)?, device.upload(&weights.scales)?);
        let wide = device.upload(&wide)?;
        let mut scratch = LinearScratch::new(device)?;
        let mut output = device.allocate::<f32>(rows * outputs)?;
        let numbers_end = inputs * rows + 3;
        let shifted = Fp8Rows { numbers: numbers.slice(3..numbers_end), scales: scales.slice(1..rows + 1) };
        let weights = Weights::Fp8 {
            numbers: weight_numbers.slice(5..outputs * inputs + 5),
            scales: weight_scales.slice(1..outputs + 1),
        };
        let matrix = Matrix { weights, outputs, inputs };
        linear(shifted, &matrix, &mut scratch, output.as_mut())?;
        let fp8 = output.as_slice().read()?;
        linear(wide.slice(1..rows * inputs + 1), &matrix, &mut scratch, output.as_mut())?;
        let mixed = output.as_slice().read()?;
        let Quantised::Nvfp4(words, group_scales, scales) = Quantised::nvfp4(device, &grouped)? else {
            unreachable!("it was made so")
        };
        let weights = Weights::Nvfp4 {
            order: Fp4Order::Arranged,
            words: words.slice(2..outputs * inputs / 8 + 2),
            group_scales: group_scales.slice(1..outputs * inputs / 16 + 1),
            scales: scales.slice(1..outputs + 1),
        };
        linear(wide.slice(1..rows * inputs + 1), &Matrix { weights, outputs, inputs }, &mut scratch, output.as_mut())?;
        Ok((fp8, mixed, output.as_slice().read()?))
    }) {
        let weight_numbers = &weights.widened()[5..outputs * inputs + 5];
        let sums = reference::linear(&input.widened()[3..inputs * rows + 3], weight_numbers, inputs);
        let sums = scaled(&sums, Some(&input.scales[1..]), &weights.scales[1..]);
        assert_within(&widened_sums(&fp8), sums.iter().map(|sum| (sum.value, FP8_SUM_TOLERANCE * sum.magnitude)));
        let wide = widened(&wide[1..]);
        let sums = scaled(&reference::linear(&wide, weight_numbers, inputs), None, &weights.scales[1..]);
        assert_within(&widened_sums(&mixed), sums.iter().map(|sum| (sum.value, SUM_TOLERANCE * sum.magnitude)));
        let group_scales = &grouped.group_scales[1..outputs * inputs / 16 + 1];
        let numbers = nvfp4(&grouped.packed[8..outputs * inputs / 2 + 8], group_scales);
        let sums = scaled(&reference::linear(&wide, &numbers, inputs), None, &grouped.scales[1..]);
        assert_within(&widened_sums(&nvfp4_sums), sums.iter().map(|sum| (sum.value, SUM_TOLERANCE * sum.magnitude)));
    }
}

#[test]
fn products_are_the_same_sums_however_tiles_are_dealt_out() {
    let (rows, inputs) = (2, 1040);
    let mut random = Random::new(76);
    let input = Bytes::new(&mut random, rows, inputs, 1e-3);
    let wide = random.normal_bf16(rows * inputs, 1.0);
    for outputs in [290, 440, 700] {
        let weights = Bytes::new(&mut random, outputs, inputs, 1e-3);
        let grouped = Packed::new(&mut random, outputs, inputs);
        let sums = reference::linear(&input.widened(), &weights.widened(), inputs);
        let sums = scaled(&sums, Some(&input.scales), &weights.scales);
        let numbers = nvfp4(&grouped.packed, &grouped.group_scales);
        let grouped_sums = scaled(&reference::linear(&widened(&wide), &numbers, inputs), None, &grouped.scales);
        for (multiprocessors, kind) in [1, 2, 3, 5, 100].into_iter().flat_map(|count| KINDS.map(|kind| (count, kind))) {
            let device = Device::emulator_with(EmulatorOptions { multiprocessors, ..kind() });
            let fp8 = Quantised::fp8(&device, &weights).unwrap();
            assert_both(&both_of_fp8(&device, &input, &fp8, outputs).unwrap(), &sums, outputs, FP8_SUM_TOLERANCE);
            let nvfp4 = Quantised::nvfp4(&device, &grouped).unwrap();
            let found = both_of_bf16(&device, &wide, &nvfp4, outputs, rows).unwrap();
            assert_both(&found, &grouped_sums, outputs, SUM_TOLERANCE);
        }
    }
}

#[test]
fn scales_that_do_not_fit_are_refused() {
    let device = Device::emulator();
    let mut scratch = LinearScratch::new(&device).unwrap();
    let mut random = Random::new(77);
    let fp8 = Quantised::fp8(&device, &Bytes::new(&mut random, 4, 16, 1.0)).unwrap();
    let nvfp4 = Quantised::nvfp4(&device, &Packed::new(&mut random, 4, 16)).unwrap();
    let (wide, thin) = (device.allocate::<f32>(32).unwrap(), device.allocate::<bf16>(32).unwrap());
    let bytes = device.allocate::<u8>(32).unwrap();
    let rows = Fp8Rows { numbers: bytes.as_slice(), scales: wide.slice(0..2) };
    let mut output = device.allocate::<f32>(8).unwrap();
    let refused = |error: Result<(), Error>, expected: &str| {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let matrix = |weights| Matrix { weights, outputs: 4, inputs: 16 };
    let mut multiply = |input: Fp8Rows<'_>, weights| linear(input, &matrix(weights), &mut scratch, output.as_mut());
    refused(multiply(rows, nvfp4.weights()), "an input in fp8 with weights in nvfp4");
    refused(multiply(Fp8Rows { scales: wide.slice(0..3), ..rows }, fp8.weights()), "3 scales of 2 rows of the input");
    let Weights::Fp8 { numbers, .. } = fp8.weights() else { unreachable!("it was made so") };
    let wrong = Weights::Fp8 { numbers, scales: wide.slice(0..5) };
    refused(multiply(rows, wrong), "5 scales of 4 rows of weights");
    let mut scratch = LinearScratch::new(&device).unwrap();
    let mut output = device.allocate::<f32>(8).unwrap();
    refused(
        linear(wide.as_slice(), &matrix(fp8.weights()), &mut scratch, output.as_mut()),
        "an input in f32 with weights in fp8",
    );
    let Weights::Nvfp4 { words, order, scales, .. } = nvfp4.weights() else { unreachable!("it was made so") };
    let wrong = Weights::Nvfp4 { words, order, group_scales: bytes.slice(0..5), scales };
    refused(linear(thin.as_slice(), &matrix(wrong), &mut scratch, output.as_mut()), "5 scales of 4 groups of weights");
    let wrong = Matrix { weights: nvfp4.weights(), outputs: 8, inputs: 8 };
    refused(linear(thin.slice(0..8), &wrong, &mut scratch, output.as_mut()), "8 inputs are not groups of 16");
}
