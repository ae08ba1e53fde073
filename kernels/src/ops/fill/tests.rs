use super::*;
use crate::bf16;
use crate::reference::fill as reference;
use crate::testing::on_devices;

#[test]
fn numbers_are_the_twins_to_the_bit() {
    for count in [0, 1, 5, 1024, 5000] {
        let found = on_devices(|device| {
            let mut wide = device.allocate::<f32>(count)?;
            let mut narrow = device.allocate::<bf16>(count)?;
            fill(7, 0.25, wide.as_mut())?;
            fill(7, 0.25, narrow.as_mut())?;
            Ok((wide.as_slice().read()?, narrow.as_slice().read()?))
        });
        let expected = reference::fill(count, 7, 0.25);
        assert_eq!(found.0, expected);
        assert_eq!(found.1, expected.iter().map(|value| bf16::from_f32(*value)).collect::<Vec<_>>());
    }
}

#[test]
fn numbers_are_spread_evenly_and_follow_the_seed() {
    let numbers = reference::fill(20_000, 1, 3.0_f32.sqrt());
    let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
    let variance = numbers.iter().map(|value| value * value).sum::<f32>() / numbers.len() as f32;
    assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    assert!(numbers.iter().all(|value| value.abs() <= 3.0_f32.sqrt()));
    assert_ne!(reference::fill(8, 2, 1.0), reference::fill(8, 1, 1.0));
}
