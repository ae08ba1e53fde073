mod nvfp4;
mod quantised;

use super::*;
use crate::EmulatorOptions;
use crate::reference::linear as reference;
use crate::testing::{KINDS, Random, assert_within, on_devices, on_kinds, special_values};

/// Of the sum of the terms' magnitudes: what f32 sums of some thousand terms of either sign lose, with room for tensor cores, which
/// truncate.
const SUM_TOLERANCE: f64 = 1e-6;

/// Rows, outputs, inputs: whole tiles, less than one, one more, and sizes of which rows begin at any multiple of two bytes.
const SHAPES: [(usize, usize, usize); 14] = [
    (1, 1, 1),
    (1, 64, 64),
    (3, 70, 33),
    (16, 128, 256),
    (17, 30, 72),
    (33, 66, 130),
    (64, 192, 96),
    (65, 64, 200),
    (70, 10, 513),
    (100, 140, 130),
    (130, 130, 64),
    (257, 66, 160),
    (5, 64, 2112),
    (40, 96, 704),
];

fn widened(numbers: &[bf16]) -> Vec<f32> {
    numbers.iter().map(|number| number.to_f32()).collect()
}

fn widened_sums(sums: &[f32]) -> Vec<f64> {
    sums.iter().map(|sum| f64::from(*sum)).collect()
}

fn run<T: Operand>(device: &Device, input: &[T], weights: &Data, outputs: usize) -> Result<Vec<f32>, Error> {
    let weights = weights.upload(device)?;
    let matrix = weights.matrix(outputs);
    let input = device.upload(input)?;
    let mut output = device.allocate::<f32>(input.len() / matrix.inputs * outputs)?;
    linear(input.as_slice(), &matrix, &mut LinearScratch::new(device)?, output.as_mut())?;
    output.as_slice().read()
}

fn run_gated<T: Operand>(device: &Device, input: &[T], weights: &Data, outputs: usize) -> Result<Vec<T>, Error> {
    let weights = weights.upload(device)?;
    let matrix = weights.matrix(outputs);
    let input = device.upload(input)?;
    let mut output = device.allocate::<T>(input.len() / matrix.inputs * outputs / 2)?;
    let mut scratch = LinearScratch::new(device)?;
    gated_linear(input.as_slice(), &matrix, &mut scratch, output.as_mut())?;
    output.as_slice().read()
}

/// A matrix on the host, and on a device.
enum Data {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

enum Uploaded {
    F32(Buffer<f32>),
    Bf16(Buffer<bf16>),
}

impl Data {
    fn upload(&self, device: &Device) -> Result<Uploaded, Error> {
        Ok(match self {
            Self::F32(numbers) => Uploaded::F32(device.upload(numbers)?),
            Self::Bf16(numbers) => Uploaded::Bf16(device.upload(numbers)?),
        })
    }

    fn widened(&self) -> Vec<f32> {
        match self {
            Self::F32(numbers) => numbers.clone(),
            Self::Bf16(numbers) => widened(numbers),
        }
    }
}

impl Uploaded {
    fn matrix(&self, outputs: usize) -> Matrix<'_> {
        let weights = match self {
            Self::F32(buffer) => Weights::F32(buffer.as_slice()),
            Self::Bf16(buffer) => Weights::Bf16(buffer.as_slice()),
        };
        Matrix { inputs: weights.len() / outputs, outputs, weights }
    }
}

#[test]
fn exact_products_are_chains_of_fused_multiply_adds() {
    let mut random = Random::new(2);
    for (rows, outputs, inputs) in SHAPES {
        let input = random.normal(rows * inputs, 1.0);
        for weights in
            [Data::F32(random.normal(outputs * inputs, 0.1)), Data::Bf16(random.normal_bf16(outputs * inputs, 0.1))]
        {
            let expected = reference::linear_exact(&input, &weights.widened(), inputs);
            let found = on_devices(|device| run(device, &input, &weights, outputs));
            assert!(found == expected, "{rows} x {outputs} x {inputs}");
        }
    }
}

#[test]
fn tensor_products_are_sums_of_products_of_bf16() {
    let mut random = Random::new(3);
    for (rows, outputs, inputs) in SHAPES {
        let input = random.normal_bf16(rows * inputs, 1.0);
        let weights = Data::Bf16(random.normal_bf16(outputs * inputs, 0.1));
        let expected = reference::linear(&widened(&input), &weights.widened(), inputs);
        for found in on_kinds(|device| run(device, &input, &weights, outputs)) {
            assert_within(&widened_sums(&found), expected.iter().map(|sum| (sum.value, SUM_TOLERANCE * sum.magnitude)));
        }
    }
}

#[test]
fn gated_products_are_gelu_of_one_half_times_the_other() {
    let mut random = Random::new(4);
    for (rows, outputs, inputs) in SHAPES {
        let width = outputs.div_ceil(2);
        let input = random.normal(rows * inputs, 1.0);
        for weights in
            [Data::F32(random.normal(2 * width * inputs, 0.2)), Data::Bf16(random.normal_bf16(2 * width * inputs, 0.2))]
        {
            let sums = reference::linear(&input, &weights.widened(), inputs);
            let found = on_devices(|device| run_gated(device, &input, &weights, 2 * width));
            assert_within(&widened_sums(&found), reference::gated(&sums, width, SUM_TOLERANCE));
        }
        let input: Vec<bf16> = input.into_iter().map(bf16::from_f32).collect();
        let weights = Data::Bf16(random.normal_bf16(2 * width * inputs, 0.2));
        let sums = reference::linear(&widened(&input), &weights.widened(), inputs);
        for found in on_kinds(|device| run_gated(device, &input, &weights, 2 * width)) {
            let expected = reference::gated(&sums, width, SUM_TOLERANCE).into_iter();
            // The result's own rounding to bf16 is at most half of its last place.
            let rounded = expected.map(|(value, error)| (value, error + value.abs() / 256.0 + 1e-40));
            assert_within(&widened_sums(&widened(&found)), rounded);
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_row_and_its_column() {
    let (rows, outputs, inputs) = (20, 40, 80);
    let mut random = Random::new(5);
    for value in special_values() {
        let mut input = random.normal_bf16(rows * inputs, 1.0);
        let mut weights = random.normal_bf16(outputs * inputs, 1.0);
        input[7 * inputs + 79] = bf16::from_f32(value);
        weights[11 * inputs] = bf16::from_f32(value);
        let (input_f32, weights_f32) = (widened(&input), widened(&weights));
        let sums = reference::linear(&input_f32, &weights_f32, inputs);
        let weights = Data::Bf16(weights);
        for found in [
            on_devices(|device| run(device, &input, &weights, outputs)),
            on_devices(|device| run(device, &input_f32, &weights, outputs)),
        ] {
            for (index, (found, sum)) in found.iter().zip(&sums).enumerate() {
                let (row, column) = (index / outputs, index % outputs);
                if row != 7 && column != 11 {
                    assert!((f64::from(*found) - sum.value).abs() <= SUM_TOLERANCE * sum.magnitude);
                } else if sum.value.is_nan() {
                    assert!(found.is_nan(), "{found} is not a sum with {value}");
                } else if sum.value.abs() > f64::from(f32::MAX) {
                    assert!(!found.is_finite(), "{found} is not {}", sum.value);
                } else {
                    assert!((f64::from(*found) - sum.value).abs() <= SUM_TOLERANCE * sum.magnitude);
                }
            }
        }
    }
}

#[test]
fn rows_that_begin_anywhere_are_read_and_written_as_well() {
    let (rows, outputs, inputs) = (9, 24, 136);
    let mut random = Random::new(6);
    let input = random.normal_bf16(rows * inputs + 3, 1.0);
    let weights = random.normal_bf16(outputs * inputs + 5, 1.0);
    let expected = reference::linear(&widened(&input[3..]), &widened(&weights[5..]), inputs);
    for found in on_kinds(|device| {
        let (input, weights) = (device.upload(&input)?, device.upload(&weights)?);
        let mut output = device.allocate::<f32>(rows * outputs + 1)?;
        let matrix = Matrix { weights: Weights::Bf16(weights.slice(5..weights.len())), outputs, inputs };
        let target = output.slice_mut(1..rows * outputs + 1);
        linear(input.slice(3..input.len()), &matrix, &mut LinearScratch::new(device)?, target)?;
        output.slice(1..rows * outputs + 1).read()
    }) {
        assert_within(&widened_sums(&found), expected.iter().map(|sum| (sum.value, SUM_TOLERANCE * sum.magnitude)));
    }
}

#[test]
fn a_row_alone_is_what_it_is_among_others_of_the_same_tile() {
    let (outputs, inputs) = (64, 320);
    let mut random = Random::new(7);
    let input = random.normal_bf16(32 * inputs, 1.0);
    let weights = Data::Bf16(random.normal_bf16(outputs * inputs, 0.1));
    let together = on_devices(|device| run(device, &input, &weights, outputs));
    let alone = on_devices(|device| run(device, &input[21 * inputs..22 * inputs], &weights, outputs));
    assert_eq!(alone, together[21 * outputs..22 * outputs]);
}

#[test]
fn products_that_share_a_scratch_leave_it_as_it_was() {
    let (rows, outputs, inputs) = (3, 30, 1024);
    let mut random = Random::new(8);
    let inputs_of_two = [random.normal_bf16(rows * inputs, 1.0), random.normal_bf16(rows * inputs, 1.0)];
    let weights = Data::Bf16(random.normal_bf16(outputs * inputs, 0.1));
    let alone = inputs_of_two.each_ref().map(|input| on_devices(|device| run(device, input, &weights, outputs)));
    let (together, arrivals) = on_devices(|device| {
        let uploaded = weights.upload(device)?;
        let matrix = uploaded.matrix(outputs);
        let mut scratch = LinearScratch::new(device)?;
        let mut together = Vec::new();
        for input in &inputs_of_two {
            let mut output = device.allocate::<f32>(rows * outputs)?;
            linear(device.upload(input)?.as_slice(), &matrix, &mut scratch, output.as_mut())?;
            together.extend(output.as_slice().read()?);
        }
        Ok((together, scratch.arrivals.as_slice().read()?))
    });
    assert_eq!(together, alone.concat());
    assert!(arrivals.iter().all(|count| *count == 0), "a tile still waits for a block");
}

#[test]
fn products_are_the_same_sums_however_tiles_are_dealt_out() {
    let inputs = 570;
    let mut random = Random::new(9);
    // Of few rows, and of rows that fill the tiles of warpgroups.
    for (rows, outputs) in [(2, 290), (2, 440), (2, 700), (70, 440), (140, 290)] {
        let input = random.normal_bf16(rows * inputs, 1.0);
        let weights = Data::Bf16(random.normal_bf16(outputs * inputs, 0.1));
        let expected = reference::linear(&widened(&input), &weights.widened(), inputs);
        for (multiprocessors, kind) in [1, 3, 5, 100].into_iter().flat_map(|count| KINDS.map(|kind| (count, kind))) {
            let device = Device::emulator_with(EmulatorOptions { multiprocessors, ..kind() });
            let found = run(&device, &input, &weights, outputs).unwrap();
            assert_within(&widened_sums(&found), expected.iter().map(|sum| (sum.value, SUM_TOLERANCE * sum.magnitude)));
        }
    }
}

#[test]
fn tiles_are_dealt_out_where_they_do_not_fill_the_device() {
    // A card of 132 multiprocessors that runs two blocks on each.
    let blocks = |tiles, inputs: usize| blocks(264, tiles, inputs.div_ceil(64));
    // Queries, keys and values of a sliding layer's canvas fill it; those of a full layer are a few tiles too many.
    assert_eq!(blocks(256, 2816), 256);
    assert_eq!(blocks(288, 2816), 264);
    // The attention's output, and a router, that has few tiles.
    assert_eq!(blocks(88, 4096), 264);
    assert_eq!(blocks(4, 2816), 44);
    // As few inputs as these are not worth it; of many tiles the last ones are no matter.
    assert_eq!(blocks(2, 256), 2);
    assert_eq!(blocks(1, 64), 1);
    assert_eq!(blocks(1200, 2816), 1200);
    assert_eq!(blocks(0, 2816), 0);
    for tiles in 1..3000 {
        for inputs in [8, 64, 704, 2112, 4096] {
            let blocks = blocks(tiles, inputs);
            assert!(blocks <= tiles * inputs.div_ceil(64), "{tiles} tiles leave a block of {blocks} without work");
            let room = blocks <= 264 && tiles <= 264 * TILES_PER_BLOCK_MAX;
            assert!(blocks == tiles || room, "{tiles} tiles among {blocks} blocks do not fit the scratch");
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let device = Device::emulator();
    let mut scratch = LinearScratch::new(&device).unwrap();
    let weights = device.allocate::<f32>(12).unwrap();
    let input = device.allocate::<f32>(12).unwrap();
    let narrow = device.allocate::<bf16>(12).unwrap();
    let mut output = device.allocate::<f32>(12).unwrap();
    let matrix = |outputs, inputs| Matrix { weights: Weights::F32(weights.as_slice()), outputs, inputs };
    let mut refused = |matrix: Matrix<'_>, rows: usize, length: usize| {
        let error = linear(input.slice(0..rows), &matrix, &mut scratch, output.slice_mut(0..length)).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    };
    refused(matrix(3, 5), 5, 3);
    refused(matrix(0, 5), 5, 3);
    refused(matrix(3, 4), 8, 5);
    refused(matrix(3, 4), 12, 6);
    let error = linear(narrow.slice(0..4), &matrix(3, 4), &mut scratch, output.slice_mut(0..3)).unwrap_err();
    assert!(error.to_string().contains("no product of an input in bf16 with weights in f32"), "{error}");
    let error = gated_linear(input.slice(0..4), &matrix(3, 4), &mut scratch, output.slice_mut(0..1)).unwrap_err();
    assert!(error.to_string().contains("two halves"), "{error}");
}

#[test]
fn no_rows_are_no_work() {
    let found = on_devices(|device| run(device, &[] as &[f32], &Data::F32(vec![1.0; 6]), 2));
    assert!(found.is_empty());
}
