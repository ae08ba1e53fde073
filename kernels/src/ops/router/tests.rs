use super::*;
use crate::reference::router as reference;
use crate::testing::{Random, assert_within, on_devices};

type Answer = ((Vec<u32>, Vec<f32>), (Vec<u32>, Vec<u32>));

fn route(scores: &[f32], per_expert_scale: &[f32], slots: usize) -> Answer {
    let experts = per_expert_scale.len();
    on_devices(|device| {
        // More room than rows, as a workspace has.
        let mut routing = Routing::new(device, scores.len() / experts + 3, experts, slots)?;
        let (scores, scale) = (device.upload(scores)?, device.upload(per_expert_scale)?);
        routing.route(scores.as_slice(), scale.as_slice())?;
        let choice = (routing.chosen().read()?, routing.weights().read()?);
        Ok((choice, (routing.starts().read()?, routing.order().read()?)))
    })
}

fn check(scores: &[f32], per_expert_scale: &[f32], slots: usize) {
    let ((chosen, weights), (starts, order)) = route(scores, per_expert_scale, slots);
    let expected = reference::choose_experts(scores, per_expert_scale, slots).concat();
    assert_eq!(chosen, expected.iter().map(|(expert, _)| *expert).collect::<Vec<_>>());
    let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
    // The exponent is a rounded difference, of at most some hundred; then a product and a quotient.
    assert_within(&weights, expected.iter().map(|(_, weight)| (*weight, 1e-5 * weight.abs() + 1e-37)));
    assert_eq!((starts, order), reference::group_by_expert(&chosen, per_expert_scale.len()));
}

#[test]
fn rows_choose_their_greatest_scores_and_experts_get_their_rows_in_order() {
    let mut random = Random::new(30);
    for (rows, experts, slots) in
        [(1, 1, 1), (5, 4, 2), (16, 128, 8), (67, 128, 8), (3, 33, 32), (2, 1024, 5), (300, 7, 7), (0, 4, 2)]
    {
        let scores = random.normal(rows * experts, 4.0);
        let scale: Vec<f32> = random.normal(experts, 0.2).into_iter().map(|value| 1.0 + value).collect();
        check(&scores, &scale, slots);
    }
}

#[test]
fn of_equal_scores_the_lower_expert_is_chosen() {
    let mut scores = vec![0.25_f32; 3 * 40];
    scores[40 + 17] = 1.0;
    // Zero is zero whatever its sign.
    scores[80..120].copy_from_slice(&[0.0; 40]);
    scores[83] = -0.0;
    let ((chosen, _), _) = route(&scores, &[1.0; 40], 4);
    assert_eq!(chosen, [0, 1, 2, 3, 0, 1, 2, 17, 0, 1, 2, 3]);
    check(&scores, &[1.0; 40], 4);
}

#[test]
fn scores_without_end_or_number_still_choose_experts_that_exist() {
    let mut scores = vec![f32::NAN; 6 * 5];
    scores[5..10].copy_from_slice(&[f32::NEG_INFINITY, f32::NAN, 2.0, 1.0, f32::NAN]);
    scores[10..15].copy_from_slice(&[f32::INFINITY, 1.0, 2.0, f32::INFINITY, 0.0]);
    scores[15..20].copy_from_slice(&[f32::NEG_INFINITY; 5]);
    scores[20..25].copy_from_slice(&[f32::MAX, f32::MIN, 0.0, 1e30, -1e30]);
    check(&scores, &[1.0, 2.0, 3.0, 4.0, 5.0], 3);
}

#[test]
fn what_there_is_no_room_for_is_refused() {
    let device = Device::emulator();
    for (experts, slots) in [(0, 0), (4, 5), (2000, 8), (64, 33), (4, 0)] {
        assert!(Routing::new(&device, 4, experts, slots).is_err(), "{slots} of {experts}");
    }
    let mut routing = Routing::new(&device, 2, 4, 2).unwrap();
    let numbers = device.upload(&[0.0_f32; 12]).unwrap();
    let refused = |routing: &mut Routing, scores, scale| {
        let refused = routing.route(numbers.slice(0..scores), numbers.slice(0..scale)).unwrap_err();
        assert!(matches!(refused, Error::Shape { .. }), "{refused}");
    };
    refused(&mut routing, 12, 4);
    refused(&mut routing, 7, 4);
    refused(&mut routing, 8, 3);
}
