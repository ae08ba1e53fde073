use super::quantised::{Packed, assert_both, assert_same, both, scaled};
use super::*;
use crate::ops::quantised::Fp4Rows;
use crate::reference::linear::Sum;
use crate::reference::quantised::{e2m1, e4m3, nvfp4};
use crate::testing::on_devices_with_fp4;

/// Some tensor cores keep fewer bits of a sum than f32 has.
const FP4_SUM_TOLERANCE: f64 = if cfg!(feature = "card") { 1e-3 } else { SUM_TOLERANCE };

/// Rows, outputs, inputs: whole stages, less than one, one more; groups that are not always whole words of scales or chunks of numbers; and tiles for
/// few rows and many that go through all of their stages, with rows and columns that are not there.
const SHAPES: [(usize, usize, usize); 13] = [
    (1, 2, 16),
    (1, 64, 128),
    (3, 70, 48),
    (9, 18, 32),
    (16, 128, 256),
    (17, 30, 352),
    (33, 66, 144),
    (57, 96, 640),
    (65, 64, 704),
    (70, 10, 528),
    (5, 64, 2112),
    (128, 70, 192),
    (130, 130, 64),
];

/// A checkpoint's words, which are little-endian.
fn words(packed: &[u8]) -> Vec<u32> {
    packed.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

/// Rows of e2m1 on the host. No scale of a group is negative.
struct Rows {
    packed: Packed,
    /// Of all rows, as an input has it.
    scale: f32,
}

impl Rows {
    fn new(random: &mut Random, rows: usize, inputs: usize) -> Self {
        let mut packed = Packed::new(random, rows, inputs);
        packed.group_scales.iter_mut().for_each(|scale| *scale &= 0x7F);
        Self { packed, scale: 1e-3 * (0.5 + random.uniform()) }
    }

    fn widened(&self) -> Vec<f32> {
        nvfp4(&self.packed.packed, &self.packed.group_scales)
    }

    fn upload(&self, device: &Device) -> Result<Uploaded, Error> {
        Ok(Uploaded {
            words: device.upload(&words(&self.packed.packed))?,
            group_scales: device.upload(&self.packed.group_scales)?,
            scales: device.upload(&self.packed.scales)?,
            scale: self.scale,
        })
    }
}

/// The same on a device: an input, or a weight.
struct Uploaded {
    words: Buffer<u32>,
    group_scales: Buffer<u8>,
    scales: Buffer<f32>,
    scale: f32,
}

impl Uploaded {
    fn rows(&self) -> Fp4Rows<'_> {
        Fp4Rows { words: self.words.as_slice(), group_scales: self.group_scales.as_slice(), scale: self.scale }
    }

    fn weights(&self) -> Weights<'_> {
        Weights::Nvfp4 {
            words: self.words.as_slice(),
            order: Fp4Order::Plain,
            group_scales: self.group_scales.as_slice(),
            scales: self.scales.as_slice(),
        }
    }
}

fn found(device: &Device, input: &Rows, weights: &Rows, outputs: usize) -> Result<(Vec<f32>, Vec<bf16>), Error> {
    let rows = input.packed.scales.len();
    both(device, input.upload(device)?.rows(), weights.upload(device)?.weights(), outputs, rows)
}

fn expected(input: &Rows, weights: &Rows, inputs: usize) -> Vec<Sum> {
    let sums = reference::linear(&input.widened(), &weights.widened(), inputs);
    scaled(&sums, Some(&vec![input.scale; input.packed.scales.len()]), &weights.packed.scales)
}

#[test]
fn e2m1_by_e2m1_is_a_sum_times_the_scales_of_groups_rows_and_input() {
    let mut random = Random::new(170);
    for (rows, outputs, inputs) in SHAPES {
        let (input, weights) = (Rows::new(&mut random, rows, inputs), Rows::new(&mut random, outputs, inputs));
        let found = on_devices_with_fp4(|device| found(device, &input, &weights, outputs));
        assert_both(&found, &expected(&input, &weights, inputs), outputs, FP4_SUM_TOLERANCE);
    }
}

#[test]
fn each_number_times_each_scale_is_exact_wherever_it_stands() {
    let inputs = 256;
    let many = 16 * 128;
    for place in [0, 1, 7, 8, 15, 16, 22, 31, 32, 47, 48, 63, 64, 79, 96, 127, 128, 170, 255] {
        // Row 16s + n has number n with scale s; all other numbers of the row are 6, and are multiplied by zero.
        let mut packed = vec![0x77; many * inputs / 2];
        let mut group_scales = vec![0x38; many * inputs / 16];
        for row in 0..many {
            let number = (row % 16) as u8;
            packed[(row * inputs + place) / 2] = if place % 2 == 0 { 0x70 | number } else { number << 4 | 7 };
            group_scales[(row * inputs + place) / 16] = (row / 16) as u8;
        }
        let varied = Rows { packed: Packed { packed, group_scales, scales: vec![1.0; many] }, scale: 1.0 };
        // One at the place; the scales of other groups are great, and would show.
        let (mut packed, mut group_scales) = (vec![0; inputs / 2], vec![0x7E; inputs / 16]);
        packed[place / 2] = if place % 2 == 0 { 2 } else { 0x20 };
        group_scales[place / 16] = 0x38;
        let one = Rows { packed: Packed { packed, group_scales, scales: vec![1.0] }, scale: 1.0 };
        let products = || (0..many).map(|row| e2m1((row % 16) as u8) * e4m3((row / 16) as u8));
        let device = Device::emulator_with(EmulatorOptions::blackwell());
        let as_weights = found(&device, &one, &varied, many).unwrap().0;
        assert_same(&as_weights, products());
        // The same as rows of the input.
        let (varied, one) = (varied.upload(&device).unwrap(), one.upload(&device).unwrap());
        let mut output = device.allocate::<f32>(many).unwrap();
        let matrix = Matrix { weights: one.weights(), outputs: 1, inputs };
        linear(varied.rows(), &matrix, &mut LinearScratch::new(&device).unwrap(), output.as_mut()).unwrap();
        assert_same(&output.as_slice().read().unwrap(), products());
    }
}

#[test]
fn a_scale_that_is_no_number_or_zero_or_extreme_stays_in_its_row_and_its_column() {
    let (rows, outputs, inputs) = (20, 40, 160);
    let mut random = Random::new(171);
    for byte in [0x7F, 0x7E, 0x01, 0x00] {
        let (mut input, mut weights) = (Rows::new(&mut random, rows, inputs), Rows::new(&mut random, outputs, inputs));
        input.packed.group_scales[7 * inputs / 16 + 9] = byte;
        weights.packed.group_scales[11 * inputs / 16 + 3] = byte;
        let sums = expected(&input, &weights, inputs);
        assert_eq!(sums.iter().filter(|sum| sum.value.is_nan()).count(), if byte == 0x7F { 59 } else { 0 });
        let found = on_devices_with_fp4(|device| found(device, &input, &weights, outputs));
        assert_both(&found, &sums, outputs, FP4_SUM_TOLERANCE);
    }
}

#[test]
fn signs_of_scales_count_for_nothing() {
    let (rows, outputs, inputs) = (5, 20, 96);
    let mut random = Random::new(172);
    let (input, weights) = (Rows::new(&mut random, rows, inputs), Rows::new(&mut random, outputs, inputs));
    let sums = expected(&input, &weights, inputs);
    let (mut signed_input, mut signed_weights) = (input, weights);
    // Of other groups on either side, as two signs would be none.
    let of_both = [(&mut signed_input.packed.group_scales, 3), (&mut signed_weights.packed.group_scales, 5)];
    for (scales, step) in of_both {
        scales.iter_mut().step_by(step).for_each(|scale| *scale |= 0x80);
    }
    let found = on_devices_with_fp4(|device| found(device, &signed_input, &signed_weights, outputs));
    assert_both(&found, &sums, outputs, FP4_SUM_TOLERANCE);
}

#[test]
fn rows_that_begin_anywhere_are_read_as_well_and_no_others() {
    let mut random = Random::new(173);
    // Of groups that are whole chunks of numbers and words of scales, and that are not.
    for (rows, outputs, inputs) in [(9, 24, 192), (40, 24, 80)] {
        let (input, weights) = (Rows::new(&mut random, rows, inputs), Rows::new(&mut random, outputs, inputs));
        // Words and groups' scales before the input's, and before the weight's.
        for (of_input, of_weight) in [
            ((1, 0), (0, 0)),
            ((0, 3), (0, 0)),
            ((0, 0), (2, 0)),
            ((0, 0), (0, 1)),
            ((3, 1), (1, 2)),
            ((4, 4), (8, 16)),
        ] {
            let output = on_devices_with_fp4(|device| {
                // What stands around them is not a number.
                let upload = |rows: &Rows, before: (usize, usize)| {
                    let words = [vec![u32::MAX; before.0], words(&rows.packed.packed), vec![u32::MAX; 40]].concat();
                    let scales = [&vec![0x7F; before.1], &rows.packed.group_scales[..], &[0x7F; 40]].concat();
                    Ok::<_, Error>((device.upload(&words)?, device.upload(&scales)?))
                };
                let words_of = |rows: usize, before: (usize, usize)| before.0..before.0 + rows * inputs / 8;
                let groups_of = |rows: usize, before: (usize, usize)| before.1..before.1 + rows * inputs / 16;
                let (input_words, input_scales) = upload(&input, of_input)?;
                let (weight_words, weight_scales) = upload(&weights, of_weight)?;
                let scales = device.upload(&weights.packed.scales)?;
                let shifted = Fp4Rows {
                    words: input_words.slice(words_of(rows, of_input)),
                    group_scales: input_scales.slice(groups_of(rows, of_input)),
                    scale: input.scale,
                };
                let weights = Weights::Nvfp4 {
                    words: weight_words.slice(words_of(outputs, of_weight)),
                    order: Fp4Order::Plain,
                    group_scales: weight_scales.slice(groups_of(outputs, of_weight)),
                    scales: scales.as_slice(),
                };
                both(device, shifted, weights, outputs, rows)
            });
            assert_both(&output, &expected(&input, &weights, inputs), outputs, FP4_SUM_TOLERANCE);
        }
    }
}

#[test]
fn products_are_the_same_sums_however_tiles_are_dealt_out() {
    let (rows, inputs) = (2, 1040);
    let mut random = Random::new(174);
    let input = Rows::new(&mut random, rows, inputs);
    for outputs in [290, 440, 700] {
        let weights = Rows::new(&mut random, outputs, inputs);
        let sums = expected(&input, &weights, inputs);
        for multiprocessors in [1, 2, 3, 5, 100] {
            let options = EmulatorOptions { multiprocessors, ..EmulatorOptions::blackwell() };
            let found = found(&Device::emulator_with(options), &input, &weights, outputs).unwrap();
            assert_both(&found, &sums, outputs, SUM_TOLERANCE);
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let with = Device::emulator_with(EmulatorOptions::blackwell());
    let mut random = Random::new(175);
    let (input, weights) = (Rows::new(&mut random, 2, 16), Rows::new(&mut random, 4, 16));
    let refused = |device: &Device, change: &dyn Fn(&mut Fp4Rows<'_>, &mut Weights<'_>), expected: &str| {
        let (input, weights) = (input.upload(device).unwrap(), weights.upload(device).unwrap());
        let (mut rows, mut weights) = (input.rows(), weights.weights());
        change(&mut rows, &mut weights);
        let matrix = Matrix { weights, outputs: 4, inputs: 16 };
        let mut output = device.allocate::<f32>(8).unwrap();
        let error = linear(rows, &matrix, &mut LinearScratch::new(device).unwrap(), output.as_mut()).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }) && error.to_string().contains(expected), "{error}");
    };
    let arrange = |_: &mut Fp4Rows<'_>, weights: &mut Weights<'_>| {
        if let Weights::Nvfp4 { order, .. } = weights {
            *order = Fp4Order::Arranged;
        }
    };
    refused(&with, &arrange, "an input in nvfp4 with weights in nvfp4, arranged to be widened");
    refused(&Device::emulator(), &|_, _| {}, "no tensor cores for nvfp4");
    refused(&with, &|rows, _| rows.group_scales = rows.group_scales.slice(0..1), "1 scales of 2 groups of the input");
    let mut output = with.allocate::<f32>(8).unwrap();
    let thin = with.allocate::<bf16>(32).unwrap();
    let uploaded = weights.upload(&with).unwrap();
    let matrix = Matrix { weights: uploaded.weights(), outputs: 4, inputs: 16 };
    let mut scratch = LinearScratch::new(&with).unwrap();
    let error = linear(thin.as_slice(), &matrix, &mut scratch, output.as_mut()).unwrap_err();
    assert!(error.to_string().contains("an input in bf16 with weights in nvfp4, as it is stored"), "{error}");
}
