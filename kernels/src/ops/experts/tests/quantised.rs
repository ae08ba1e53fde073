use super::*;
use crate::ops::quantised::{Fp8RowsMut, arrange_fp4, quantise_rows};
use crate::reference::quantised::{e4m3, nvfp4};

/// Some tensor cores that multiply e4m3 keep fewer bits of a sum than f32 has.
const FP8_SUM_TOLERANCE: f64 = if cfg!(feature = "card") { 1e-3 } else { SUM_TOLERANCE };

pub(super) const SHAPES: [Shape; 10] = [
    Shape { rows: 1, experts: 1, slots: 1, hidden: 16, width: 16 },
    Shape { rows: 5, experts: 4, slots: 2, hidden: 144, width: 48 },
    Shape { rows: 33, experts: 2, slots: 2, hidden: 80, width: 32 },
    Shape { rows: 20, experts: 8, slots: 3, hidden: 128, width: 352 },
    // Of tiles for many rows, with several tiles an expert.
    Shape { rows: 60, experts: 4, slots: 2, hidden: 32, width: 16 },
    Shape { rows: 150, experts: 3, slots: 2, hidden: 32, width: 16 },
    // Of experts that many rows go round and some have none.
    Shape { rows: 40, experts: 6, slots: 1, hidden: 144, width: 48 },
    // Of more stages than there is room for, and more rows than a tile has.
    Shape { rows: 70, experts: 2, slots: 1, hidden: 656, width: 32 },
    Shape { rows: 70, experts: 2, slots: 1, hidden: 32, width: 656 },
    Shape { rows: 0, experts: 4, slots: 2, hidden: 16, width: 16 },
];

/// Matrices of all experts, one below the other, as checkpoints of both formats hold them.
pub(super) struct Matrices {
    inputs: usize,
    fp8: Vec<u8>,
    pub(super) packed: Vec<u8>,
    pub(super) group_scales: Vec<u8>,
    /// Of rows, in either format.
    pub(super) scales: Vec<f32>,
}

impl Matrices {
    pub(super) fn new(random: &mut Random, outputs: usize, inputs: usize) -> Self {
        let mut bytes = |count: usize| (0..count).map(|_| random.next() as u8).collect::<Vec<u8>>();
        let numbers =
            |bytes: Vec<u8>| bytes.into_iter().map(|byte| if byte & 0x7F == 0x7F { 0x38 } else { byte }).collect();
        Self {
            inputs,
            fp8: numbers(bytes(outputs * inputs)),
            packed: bytes(outputs * inputs / 2),
            group_scales: numbers(bytes(outputs * inputs / 16)).iter().map(|byte| byte & 0x7F).collect(),
            scales: (0..outputs).map(|_| 1e-3 * (0.5 + random.uniform())).collect(),
        }
    }

    /// The sums of a row with so many rows of a matrix from the first one on, in either format.
    pub(super) fn sums(&self, input: &[f32], first: usize, outputs: usize, is_fp8: bool) -> Vec<Sum> {
        let range = first * self.inputs..(first + outputs) * self.inputs;
        let numbers: Vec<f32> = if is_fp8 {
            self.fp8[range].iter().map(|byte| e4m3(*byte)).collect()
        } else {
            nvfp4(&self.packed[range.start / 2..range.end / 2], &self.group_scales[range.start / 16..range.end / 16])
        };
        let sums = reference::linear(input, &numbers, self.inputs).into_iter().zip(&self.scales[first..]);
        let scaled = |(sum, scale): (Sum, &f32)| {
            let scale = f64::from(*scale);
            Sum { value: sum.value * scale, magnitude: sum.magnitude * scale }
        };
        sums.map(scaled).collect()
    }
}

struct OnDevice {
    fp8: Buffer<u8>,
    words: Buffer<u32>,
    group_scales: Buffer<u8>,
    scales: Buffer<f32>,
}

impl OnDevice {
    fn new(device: &Device, matrices: &Matrices) -> Result<Self, Error> {
        let mut words = device.allocate::<u32>(matrices.packed.len() / 4)?;
        arrange_fp4(device.upload(&matrices.packed)?.as_slice(), words.as_mut())?;
        Ok(Self {
            fp8: device.upload(&matrices.fp8)?,
            words,
            group_scales: device.upload(&matrices.group_scales)?,
            scales: device.upload(&matrices.scales)?,
        })
    }

    fn fp8(&self) -> Weights<'_> {
        Weights::Fp8 { numbers: self.fp8.as_slice(), scales: self.scales.as_slice() }
    }

    fn nvfp4(&self) -> Weights<'_> {
        Weights::Nvfp4 {
            order: Fp4Order::Arranged,
            words: self.words.as_slice(),
            group_scales: self.group_scales.as_slice(),
            scales: self.scales.as_slice(),
        }
    }
}

/// Rows on the host that are quantised on the device, and what they are then.
fn quantised(device: &Device, rows: &[bf16], width: usize) -> Result<(Buffer<u8>, Buffer<f32>), Error> {
    let (mut numbers, mut scales) = (device.allocate::<u8>(rows.len())?, device.allocate::<f32>(rows.len() / width)?);
    let output = Fp8RowsMut { numbers: numbers.as_mut(), scales: scales.as_mut() };
    quantise_rows(device.upload(rows)?.as_slice(), width, output)?;
    Ok((numbers, scales))
}

fn dequantised(rows: &[bf16], width: usize) -> Vec<f32> {
    let rows: Vec<f32> = rows.iter().map(|number| number.to_f32()).collect();
    let (numbers, scales) = crate::reference::quantised::quantise_rows(&rows, width);
    numbers.iter().enumerate().map(|(index, byte)| e4m3(*byte) * scales[index / width]).collect()
}

pub(super) fn gated<I: ExpertInput<Gated = bf16>>(
    device: &Device,
    routing: &Routing,
    input: I,
    weights: Weights<'_>,
    width: usize,
) -> Result<Vec<bf16>, Error> {
    let mut output = device.allocate::<bf16>(routing.assignments() * width)?;
    experts_gated(input, routing, weights, width, output.as_mut())?;
    output.as_slice().read()
}

pub(super) fn down<I: ExpertInput>(
    device: &Device,
    routing: &Routing,
    input: I,
    weights: Weights<'_>,
    columns: usize,
) -> Result<Vec<f32>, Error> {
    let mut output = device.allocate::<f32>(routing.assignments() * columns)?;
    experts_down(input, routing, weights, columns, output.as_mut())?;
    output.as_slice().read()
}

#[test]
fn each_assignment_goes_through_its_experts_quantised_gate() {
    let mut random = Random::new(80);
    for shape in SHAPES {
        let case = Case::new(&mut random, shape);
        let Shape { experts, hidden, width, .. } = shape;
        let matrices = Matrices::new(&mut random, experts * 2 * width, hidden);
        let input = narrow(&case.input);
        for (fp8, mixed, four_bits) in on_kinds(|device| {
            let (routing, weights) = (case.routing(device)?, OnDevice::new(device, &matrices)?);
            let (numbers, scales) = quantised(device, &input, hidden)?;
            let rows = Fp8Rows { numbers: numbers.as_slice(), scales: scales.as_slice() };
            let wide = device.upload(&input)?;
            Ok((
                gated(device, &routing, rows, weights.fp8(), width)?,
                gated(device, &routing, wide.as_slice(), weights.fp8(), width)?,
                gated(device, &routing, wide.as_slice(), weights.nvfp4(), width)?,
            ))
        }) {
            let rounded = dequantised(&input, hidden);
            for (found, input, is_fp8) in
                [(fp8, &rounded, true), (mixed, &case.input, true), (four_bits, &case.input, false)]
            {
                let sums = case.assignments().into_iter().flat_map(|(row, expert, _)| {
                    matrices.sums(&input[row * hidden..][..hidden], expert * 2 * width, 2 * width, is_fp8)
                });
                let expected = reference::gated(&sums.collect::<Vec<Sum>>(), width, FP8_SUM_TOLERANCE).into_iter();
                assert_within(
                    &widen(&found),
                    expected.map(|(value, error)| (value, error + value.abs() / 256.0 + 1e-40)),
                );
            }
        }
    }
}

#[test]
fn each_assignment_comes_down_by_quantised_weights_to_its_row_and_slot_weighted() {
    let mut random = Random::new(81);
    for shape in SHAPES {
        let case = Case::new(&mut random, shape);
        let Shape { experts, hidden, width, .. } = shape;
        let matrices = Matrices::new(&mut random, experts * hidden, width);
        let activated = narrow(&random.normal(case.assignments().len() * width, 1.0));
        for (fp8, mixed, four_bits) in on_kinds(|device| {
            let (routing, weights) = (case.routing(device)?, OnDevice::new(device, &matrices)?);
            let (numbers, scales) = quantised(device, &activated, width)?;
            let rows = Fp8Rows { numbers: numbers.as_slice(), scales: scales.as_slice() };
            let wide = device.upload(&activated)?;
            Ok((
                down(device, &routing, rows, weights.fp8(), hidden)?,
                down(device, &routing, wide.as_slice(), weights.fp8(), hidden)?,
                down(device, &routing, wide.as_slice(), weights.nvfp4(), hidden)?,
            ))
        }) {
            let rounded = dequantised(&activated, width);
            let activated: Vec<f32> = activated.iter().map(|number| number.to_f32()).collect();
            for (found, input, is_fp8) in
                [(fp8, &rounded, true), (mixed, &activated, true), (four_bits, &activated, false)]
            {
                let expected = case.expected_down(FP8_SUM_TOLERANCE, |place, expert| {
                    matrices.sums(&input[place * width..][..width], expert * hidden, hidden, is_fp8)
                });
                assert_within(&widen(&found), expected);
            }
        }
    }
}

#[test]
fn quantised_weights_that_do_not_fit_are_refused() {
    let device = Device::emulator();
    let mut random = Random::new(82);
    let case = Case::new(&mut random, SHAPES[1]);
    let Shape { hidden, width, .. } = SHAPES[1];
    let routing = case.routing(&device).unwrap();
    let weights = OnDevice::new(&device, &Matrices::new(&mut random, 4 * 2 * width, hidden)).unwrap();
    let thin = device.upload(&narrow(&case.input)).unwrap();
    let (numbers, scales) = quantised(&device, &narrow(&case.input), hidden).unwrap();
    let rows = Fp8Rows { numbers: numbers.as_slice(), scales: scales.as_slice() };
    let refused = |error: Result<Vec<bf16>, Error>, expected: &str| {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let few = Weights::Fp8 { numbers: weights.fp8.as_slice(), scales: weights.scales.slice(0..383) };
    refused(gated(&device, &routing, rows, few, width), "383 scales of 384 rows of weights");
    refused(gated(&device, &routing, rows, weights.nvfp4(), width), "an input in fp8 with weights in nvfp4");
    let few = Fp8Rows { scales: scales.slice(0..4), ..rows };
    refused(gated(&device, &routing, few, weights.fp8(), width), "4 scales of 5 rows of the input");
    let few = Weights::Nvfp4 {
        order: Fp4Order::Arranged,
        words: weights.words.as_slice(),
        group_scales: weights.group_scales.slice(1..384 * 9),
        scales: weights.scales.as_slice(),
    };
    refused(gated(&device, &routing, thin.as_slice(), few, width), "3455 scales of 3456 groups of weights");
}
