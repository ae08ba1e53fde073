mod nvfp4;
mod quantised;

use super::*;
use crate::reference::linear::{self as reference, Sum};
use crate::testing::{Random, assert_within, on_kinds};
use crate::{Buffer, Device};

const SUM_TOLERANCE: f64 = 1e-6;

/// Rows, experts, slots, and the sizes of the experts' matrices.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    experts: usize,
    slots: usize,
    hidden: usize,
    width: usize,
}

const SHAPES: [Shape; 9] = [
    Shape { rows: 1, experts: 1, slots: 1, hidden: 8, width: 1 },
    Shape { rows: 5, experts: 4, slots: 2, hidden: 72, width: 40 },
    Shape { rows: 33, experts: 2, slots: 2, hidden: 65, width: 33 },
    Shape { rows: 20, experts: 8, slots: 3, hidden: 64, width: 32 },
    // Of tensor cores' tiles for many rows, with several tiles an expert.
    Shape { rows: 150, experts: 3, slots: 2, hidden: 32, width: 16 },
    Shape { rows: 40, experts: 6, slots: 1, hidden: 136, width: 24 },
    // Of more stages than there is room for, and more rows than a tile has.
    Shape { rows: 70, experts: 2, slots: 1, hidden: 328, width: 24 },
    Shape { rows: 70, experts: 2, slots: 1, hidden: 24, width: 328 },
    Shape { rows: 0, experts: 4, slots: 2, hidden: 8, width: 8 },
];

struct Case {
    shape: Shape,
    scores: Vec<f32>,
    input: Vec<f32>,
    gate_up: Vec<f32>,
    down: Vec<f32>,
}

impl Case {
    /// All numbers are bf16, so that they are the same for every kernel. The rows' choices are uneven: the first expert is everybody's.
    fn new(random: &mut Random, shape: Shape) -> Self {
        let Shape { rows, experts, hidden, width, .. } = shape;
        let mut scores = random.normal(rows * experts, 1.0);
        scores.iter_mut().step_by(experts).for_each(|score| *score += 3.0);
        let mut numbers = |count, deviation| {
            random.normal_bf16(count, deviation).iter().map(|number| number.to_f32()).collect::<Vec<f32>>()
        };
        Self {
            scores,
            input: numbers(rows * hidden, 1.0),
            gate_up: numbers(experts * 2 * width * hidden, 0.3),
            down: numbers(experts * hidden * width, 0.3),
            shape,
        }
    }

    fn routing(&self, device: &Device) -> Result<Routing, Error> {
        let mut routing = Routing::new(device, self.shape.rows, self.shape.experts, self.shape.slots)?;
        let scale: Vec<f32> = (0..self.shape.experts).map(|expert| 1.0 + expert as f32 / 8.0).collect();
        routing.route(device.upload(&self.scores)?.as_slice(), device.upload(&scale)?.as_slice())?;
        Ok(routing)
    }

    /// The assignments in order, each with its row, expert and weight.
    fn assignments(&self) -> Vec<(usize, usize, f32)> {
        let routing = self.routing(&Device::emulator()).unwrap();
        let (chosen, weights) = (routing.chosen().read().unwrap(), routing.weights().read().unwrap());
        let order = routing.order().read().unwrap().into_iter().map(|assignment| assignment as usize);
        order
            .map(|assignment| (assignment / self.shape.slots, chosen[assignment] as usize, weights[assignment]))
            .collect()
    }

    /// Gated sums of every assignment in order, with their errors.
    fn expected_gated(&self) -> Vec<(f64, f64)> {
        let Shape { hidden, width, .. } = self.shape;
        let sums = self.assignments().into_iter().flat_map(|(row, expert, _)| {
            let matrix = &self.gate_up[expert * 2 * width * hidden..][..2 * width * hidden];
            reference::linear(&self.input[row * hidden..][..hidden], matrix, hidden)
        });
        reference::gated(&sums.collect::<Vec<Sum>>(), width, SUM_TOLERANCE)
    }

    /// The weighted sums of every row and slot, with their errors. `sums` gives those of the assignment at a place in the order, by its expert.
    fn expected_down(&self, tolerance: f64, sums: impl Fn(usize, usize) -> Vec<Sum>) -> Vec<(f64, f64)> {
        let Shape { rows, slots, hidden, .. } = self.shape;
        let assignments = self.assignments();
        let mut expected = vec![(0.0, 0.0); assignments.len() * hidden];
        let mut slots_of_row = vec![0; rows];
        // Experts ascend in the order, and in a row's slots.
        for (place, (row, expert, weight)) in assignments.into_iter().enumerate() {
            let slot = slots_of_row[row];
            slots_of_row[row] += 1;
            let weight = f64::from(weight);
            for (expected, sum) in expected[(row * slots + slot) * hidden..].iter_mut().zip(sums(place, expert)) {
                *expected = (sum.value * weight, tolerance * sum.magnitude * weight.abs());
            }
        }
        expected
    }
}

fn narrow(numbers: &[f32]) -> Vec<bf16> {
    numbers.iter().copied().map(bf16::from_f32).collect()
}

fn widen<T: Copy + Into<f64>>(numbers: &[T]) -> Vec<f64> {
    numbers.iter().map(|number| (*number).into()).collect()
}

fn gated<T: ExpertOperand>(device: &Device, case: &Case, input: &[T], weights: Weights<'_>) -> Result<Vec<T>, Error> {
    let routing = case.routing(device)?;
    let mut output = device.allocate::<T>(routing.assignments() * case.shape.width)?;
    experts_gated(device.upload(input)?.as_slice(), &routing, weights, case.shape.width, output.as_mut())?;
    output.as_slice().read()
}

fn upload_both(device: &Device, numbers: &[f32]) -> Result<(Buffer<f32>, Buffer<bf16>), Error> {
    Ok((device.upload(numbers)?, device.upload(&narrow(numbers))?))
}

#[test]
fn each_assignment_goes_through_its_experts_gate() {
    let mut random = Random::new(40);
    for shape in SHAPES {
        let case = Case::new(&mut random, shape);
        for (f32s, widened, tensor) in on_kinds(|device| {
            let (wide, thin) = upload_both(device, &case.gate_up)?;
            Ok((
                gated(device, &case, &case.input, Weights::F32(wide.as_slice()))?,
                gated(device, &case, &case.input, Weights::Bf16(thin.as_slice()))?,
                gated(device, &case, &narrow(&case.input), Weights::Bf16(thin.as_slice()))?,
            ))
        }) {
            let expected = case.expected_gated();
            assert_within(&widen(&f32s), expected.iter().copied());
            assert_eq!(f32s, widened, "{shape:?}");
            let rounded = expected.iter().map(|(value, error)| (*value, error + value.abs() / 256.0 + 1e-40));
            assert_within(&widen(&tensor), rounded);
        }
    }
}

fn down<T: ExpertOperand>(device: &Device, case: &Case, input: &[T], weights: Weights<'_>) -> Result<Vec<f32>, Error> {
    let routing = case.routing(device)?;
    let mut output = device.allocate::<f32>(routing.assignments() * case.shape.hidden)?;
    experts_down(device.upload(input)?.as_slice(), &routing, weights, case.shape.hidden, output.as_mut())?;
    output.as_slice().read()
}

#[test]
fn each_assignment_comes_down_to_its_row_and_slot_weighted() {
    let mut random = Random::new(41);
    for shape in SHAPES {
        let case = Case::new(&mut random, shape);
        let Shape { hidden, width, .. } = shape;
        let activated = narrow(&random.normal(case.assignments().len() * width, 1.0));
        let activated_f32: Vec<f32> = activated.iter().map(|number| number.to_f32()).collect();
        for (f32s, widened, tensor) in on_kinds(|device| {
            let (wide, thin) = upload_both(device, &case.down)?;
            Ok((
                down(device, &case, &activated_f32, Weights::F32(wide.as_slice()))?,
                down(device, &case, &activated_f32, Weights::Bf16(thin.as_slice()))?,
                down(device, &case, &activated, Weights::Bf16(thin.as_slice()))?,
            ))
        }) {
            let expected = case.expected_down(SUM_TOLERANCE, |place, expert| {
                let matrix = &case.down[expert * hidden * width..][..hidden * width];
                reference::linear(&activated_f32[place * width..][..width], matrix, width)
            });
            assert_within(&widen(&f32s), expected.iter().copied());
            assert_eq!(f32s, widened, "{shape:?}");
            assert_within(&widen(&tensor), expected);
        }
    }
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let device = Device::emulator();
    let case = Case::new(&mut Random::new(42), SHAPES[1]);
    let routing = case.routing(&device).unwrap();
    let (wide, _) = upload_both(&device, &case.gate_up).unwrap();
    let (input, thin_input) = upload_both(&device, &case.input).unwrap();
    let weights = Weights::F32(wide.as_slice());
    let mut output = device.allocate::<f32>(10 * 40).unwrap();
    let mut thin_output = device.allocate::<bf16>(10 * 40).unwrap();
    let refused = experts_gated(input.as_slice(), &routing, weights, 41, output.as_mut()).unwrap_err();
    assert!(refused.to_string().contains("are not 4 matrices of 82 rows"), "{refused}");
    let refused = experts_gated(input.slice(0..71), &routing, weights, 40, output.as_mut()).unwrap_err();
    assert!(refused.to_string().contains("not 5 rows of 72"), "{refused}");
    let refused = experts_gated(input.as_slice(), &routing, weights, 40, output.slice_mut(0..399)).unwrap_err();
    assert!(refused.to_string().contains("outputs"), "{refused}");
    let refused = experts_gated(thin_input.as_slice(), &routing, weights, 40, thin_output.as_mut()).unwrap_err();
    assert!(refused.to_string().contains("an input in bf16 with weights in f32"), "{refused}");
}
