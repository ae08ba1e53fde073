use super::*;
use crate::reference::quantised::{e2m1, e4m3};
use crate::testing::Random;

#[repr(C)]
#[derive(Clone, Copy)]
struct BlockScaledParameters {
    a: u64,
    b: u64,
    scales: u64,
    d: u64,
}

kernel!(static BLOCK_SCALED_PRODUCTS: "block_scaled", block_scaled_products(BlockScaledParameters));

/// Eight numbers from the lowest bits up.
fn word(codes: impl DoubleEndedIterator<Item = u8>) -> u32 {
    codes.rev().fold(0, |word, code| word << 4 | u32::from(code))
}

#[test]
fn selectors_choose_the_lanes_whose_scales_count() {
    let mut random = Random::new(190);
    let mut codes = |count: usize| (0..count).map(|_| (random.next() & 15) as u8).collect::<Vec<u8>>();
    // Of 16 rows of 64, and of 8 columns of 64.
    let (a, b) = (codes(16 * 64), codes(8 * 64));
    let at = |matrix: &[u8], row: usize, first: usize| word(matrix[row * 64 + first..][..8].iter().copied());
    let lanes = || (0..32).map(|lane| (lane / 4, lane % 4));
    let a_words: Vec<u32> = lanes()
        .flat_map(|(g, t)| [(0, 0), (8, 0), (0, 32), (8, 32)].map(|(row, half)| at(&a, g + row, half + 8 * t)))
        .collect();
    let b_words: Vec<u32> = lanes().flat_map(|(g, t)| [0, 32].map(|half| at(&b, g, half + 8 * t))).collect();
    // Every byte but those of what is not a number; signs count for nothing.
    let scales: Vec<u32> = (0..64).map(|_| (random.next() as u32) & 0xF7F7_F7F7).collect();
    let start: Vec<f32> = (0..8 * 32 * 4).map(|_| random.uniform()).collect();

    let device = Device::emulator();
    let (a_buffer, b_buffer) = (device.upload(&a_words).unwrap(), device.upload(&b_words).unwrap());
    let (scale_buffer, mut d_buffer) = (device.upload(&scales).unwrap(), device.upload(&start).unwrap());
    let parameters = BlockScaledParameters {
        a: a_buffer.as_slice().address(),
        b: b_buffer.as_slice().address(),
        scales: scale_buffer.as_slice().address(),
        d: d_buffer.as_mut().address(),
    };
    let launch = Launch { grid: [1, 1, 1], threads: 32, shared_bytes: 0 };
    // SAFETY: the kernel reads and writes as many numbers of each lane as were just put there.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(&BLOCK_SCALED_PRODUCTS, launch, &parameters).unwrap();
    }
    let found = d_buffer.as_slice().read().unwrap();

    let scale = |lane: usize, k: usize| f64::from(e4m3((scales[lane] >> (k / 16 * 8)) as u8 & 0x7F));
    for (selector_a, selector_b) in (0..2).flat_map(|a| (0..4).map(move |b| (a, b))) {
        for (row, column) in (0..16).flat_map(|row| (0..8).map(move |column| (row, column))) {
            let (scale_a, scale_b) = (row % 8 * 4 + selector_a * 2 + row / 8, 32 + column * 4 + selector_b);
            let terms = (0..64).map(|k| {
                let numbers = f64::from(e2m1(a[row * 64 + k])) * f64::from(e2m1(b[column * 64 + k]));
                numbers * scale(scale_a, k) * scale(scale_b, k)
            });
            let lane = row % 8 * 4 + column / 2;
            let place = ((selector_a * 4 + selector_b) * 32 + lane) * 4 + row / 8 * 2 + column % 2;
            let sum = f64::from(start[place]) + terms.clone().sum::<f64>();
            let bound = 1e-5 * (1.0 + terms.map(f64::abs).sum::<f64>());
            let (got, of) = (f64::from(found[place]), (selector_a, selector_b));
            assert!((got - sum).abs() <= bound, "{got} is not {sum} at {row}, {column} of {of:?}");
        }
    }
}
