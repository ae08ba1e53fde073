use super::quantised::{Matrices, SHAPES, down, gated};
use super::*;
use crate::ops::quantised::{Fp4RowsMut, quantise_groups};
use crate::reference::quantised as numbers;
use crate::testing::on_devices_with_fp4;

/// Some tensor cores keep fewer bits of a sum than f32 has.
const FP4_SUM_TOLERANCE: f64 = if cfg!(feature = "card") { 1e-3 } else { SUM_TOLERANCE };
/// With which numbers around one get scales of some middle size.
const INPUT_SCALE: f32 = 1.0 / 64.0;

/// Matrices of which no group's scale is negative.
fn matrices(random: &mut Random, outputs: usize, inputs: usize) -> Matrices {
    let mut matrices = Matrices::new(random, outputs, inputs);
    matrices.group_scales.iter_mut().for_each(|scale| *scale &= 0x7F);
    matrices
}

/// Of a weight, or of rows that were rounded.
struct OnDevice {
    words: Buffer<u32>,
    group_scales: Buffer<u8>,
    scales: Buffer<f32>,
}

impl OnDevice {
    fn new(device: &Device, matrices: &Matrices) -> Result<Self, Error> {
        let words = matrices.packed.chunks_exact(4);
        let words = words.map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        Ok(Self {
            words: device.upload(&words.collect::<Vec<u32>>())?,
            group_scales: device.upload(&matrices.group_scales)?,
            scales: device.upload(&matrices.scales)?,
        })
    }

    fn rounded(device: &Device, rows: &[bf16], width: usize) -> Result<Self, Error> {
        let mut words = device.allocate::<u32>(rows.len() / 8)?;
        let mut group_scales = device.allocate::<u8>(rows.len() / 16)?;
        let output = Fp4RowsMut { words: words.as_mut(), group_scales: group_scales.as_mut(), scale: INPUT_SCALE };
        quantise_groups(device.upload(rows)?.as_slice(), width, output)?;
        Ok(Self { words, group_scales, scales: device.allocate(0)? })
    }

    fn weights(&self) -> Weights<'_> {
        Weights::Nvfp4 {
            words: self.words.as_slice(),
            order: Fp4Order::Plain,
            group_scales: self.group_scales.as_slice(),
            scales: self.scales.as_slice(),
        }
    }

    fn rows(&self) -> Fp4Rows<'_> {
        Fp4Rows { words: self.words.as_slice(), group_scales: self.group_scales.as_slice(), scale: INPUT_SCALE }
    }
}

/// What rows are after they were rounded.
fn rounded(rows: &[bf16]) -> Vec<f32> {
    let rows: Vec<f32> = rows.iter().map(|number| number.to_f32()).collect();
    let (words, scales) = numbers::quantise_groups(&rows, INPUT_SCALE);
    let packed: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    numbers::nvfp4(&packed, &scales).into_iter().map(|number| number * INPUT_SCALE).collect()
}

#[test]
fn each_assignment_goes_through_its_experts_gate_in_four_bits() {
    let mut random = Random::new(180);
    for shape in SHAPES {
        let case = Case::new(&mut random, shape);
        let Shape { experts, hidden, width, .. } = shape;
        let matrices = matrices(&mut random, experts * 2 * width, hidden);
        let input = narrow(&case.input);
        let found = on_devices_with_fp4(|device| {
            let (weights, input) = (OnDevice::new(device, &matrices)?, OnDevice::rounded(device, &input, hidden)?);
            gated(device, &case.routing(device)?, input.rows(), weights.weights(), width)
        });
        let input = rounded(&input);
        let sums = case.assignments().into_iter().flat_map(|(row, expert, _)| {
            matrices.sums(&input[row * hidden..][..hidden], expert * 2 * width, 2 * width, false)
        });
        let expected = reference::gated(&sums.collect::<Vec<Sum>>(), width, FP4_SUM_TOLERANCE).into_iter();
        assert_within(&widen(&found), expected.map(|(value, error)| (value, error + value.abs() / 256.0 + 1e-40)));
    }
}

#[test]
fn each_assignment_comes_down_in_four_bits_to_its_row_and_slot_weighted() {
    let mut random = Random::new(181);
    for shape in SHAPES {
        let case = Case::new(&mut random, shape);
        let Shape { experts, hidden, width, .. } = shape;
        let matrices = matrices(&mut random, experts * hidden, width);
        let activated = narrow(&random.normal(case.assignments().len() * width, 1.0));
        let found = on_devices_with_fp4(|device| {
            let (weights, input) = (OnDevice::new(device, &matrices)?, OnDevice::rounded(device, &activated, width)?);
            down(device, &case.routing(device)?, input.rows(), weights.weights(), hidden)
        });
        let activated = rounded(&activated);
        let expected = case.expected_down(FP4_SUM_TOLERANCE, |place, expert| {
            matrices.sums(&activated[place * width..][..width], expert * hidden, hidden, false)
        });
        assert_within(&widen(&found), expected);
    }
}

#[test]
fn four_bits_in_the_other_order_are_refused() {
    let device = Device::emulator_with(crate::EmulatorOptions::blackwell());
    let mut random = Random::new(182);
    let case = Case::new(&mut random, SHAPES[1]);
    let Shape { hidden, width, .. } = SHAPES[1];
    let routing = case.routing(&device).unwrap();
    let weights = OnDevice::new(&device, &matrices(&mut random, 4 * 2 * width, hidden)).unwrap();
    let input = OnDevice::rounded(&device, &narrow(&case.input), hidden).unwrap();
    let Weights::Nvfp4 { words, group_scales, scales, .. } = weights.weights() else { unreachable!("it was made so") };
    let arranged = Weights::Nvfp4 { words, order: Fp4Order::Arranged, group_scales, scales };
    let error = gated(&device, &routing, input.rows(), arranged, width).unwrap_err().to_string();
    assert!(error.contains("an input in nvfp4 with weights in nvfp4, arranged to be widened"), "{error}");
    let thin = device.upload(&narrow(&case.input)).unwrap();
    let error = gated(&device, &routing, thin.as_slice(), weights.weights(), width).unwrap_err().to_string();
    assert!(error.contains("an input in bf16 with weights in nvfp4, as it is stored"), "{error}");
}
