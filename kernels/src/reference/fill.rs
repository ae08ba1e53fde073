//! Random numbers in place of a checkpoint's.

use super::philox::{Place, Purpose, words};

/// Numbers spread evenly over `-bound..bound`, in f32.
pub fn fill(count: usize, seed: u64, bound: f32) -> Vec<f32> {
    let number = |index: usize| {
        let group = index / 4;
        let place = Place { seed, candidate: 0, step: 0, row: (group as u64 >> 32) as u32 };
        let word = words(place, Purpose::Sample, group as u32)[index % 4];
        ((word >> 8) as f32 / 8_388_608.0 - 1.0) * bound
    };
    (0..count).map(number).collect()
}
