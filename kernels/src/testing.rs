//! What the kernels' tests share.

use half::bf16;

use crate::{Device, EmulatorOptions, Error};

/// Numbers that look random and are the same in every run (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators,
/// 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// At least 0 and below 1.
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// So many normal numbers of this standard deviation, as sums of twelve uniform ones.
    pub(crate) fn normal(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        let mut one = || (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0;
        (0..count).map(|_| one() * deviation).collect()
    }

    /// The same as bf16.
    pub(crate) fn normal_bf16(&mut self, count: usize, deviation: f32) -> Vec<bf16> {
        self.normal(count, deviation).into_iter().map(bf16::from_f32).collect()
    }
}

/// Values at which arithmetic goes wrong.
pub(crate) fn special_values() -> [f32; 8] {
    [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e30, -1e-30, f32::MIN_POSITIVE / 4.0, -0.0]
}

/// Runs the work on emulators that take blocks and threads in order, in reverse, and several blocks at a time, which must agree to the bit, and
/// returns their answer. With the feature `card` it runs on the first card instead, twice.
pub(crate) fn on_devices<R: Bits>(work: impl Fn(&Device) -> Result<R, Error>) -> R {
    on_devices_like(EmulatorOptions::default(), work)
}

/// The same on every kind of card that has kernels of its own for products; an answer of each.
pub(crate) fn on_kinds<R: Bits>(work: impl Fn(&Device) -> Result<R, Error>) -> Vec<R> {
    let kinds = if cfg!(feature = "card") { &KINDS[..1] } else { &KINDS };
    kinds.iter().map(|kind| on_devices_like(kind(), &work)).collect()
}

/// Cards that differ in what they multiply the same numbers by. A card that is there is of one kind.
pub(crate) const KINDS: [fn() -> EmulatorOptions; 2] = [EmulatorOptions::default, EmulatorOptions::hopper];

/// The same, on emulators too where the card multiplies no e2m1 by e2m1.
pub(crate) fn on_devices_with_fp4<R: Bits>(work: impl Fn(&Device) -> Result<R, Error>) -> R {
    if cfg!(feature = "card") && !card().multiplies_fp4() {
        return agreed(emulators(EmulatorOptions::blackwell()), work);
    }
    on_devices_like(EmulatorOptions::blackwell(), work)
}

fn on_devices_like<R: Bits>(options: EmulatorOptions, work: impl Fn(&Device) -> Result<R, Error>) -> R {
    agreed(if cfg!(feature = "card") { vec![card(); 2] } else { emulators(options) }, work)
}

fn card() -> Device {
    Device::cuda(0).unwrap_or_else(|error| panic!("the tests were asked to run on a card: {error}"))
}

fn emulators(options: EmulatorOptions) -> Vec<Device> {
    let several = [options, EmulatorOptions { reversed: true, ..options }, EmulatorOptions { threads: 3, ..options }];
    several.map(Device::emulator_with).to_vec()
}

fn agreed<R: Bits>(devices: Vec<Device>, work: impl Fn(&Device) -> Result<R, Error>) -> R {
    let mut answers = devices.iter().map(|device| work(device).unwrap_or_else(|error| panic!("{error}")));
    let first = answers.next().expect("there is a device");
    for other in answers {
        assert!(first.bits() == other.bits(), "the result depends on the order of threads or blocks");
    }
    first
}

/// A result as numbers that are equal where its bits are.
pub(crate) trait Bits {
    fn bits(&self) -> Vec<u64>;
}

macro_rules! bits {
    ($($type:ty => $bits:expr),*) => {$(
        impl Bits for Vec<$type> {
            fn bits(&self) -> Vec<u64> {
                self.iter().map(|value| $bits(*value)).collect()
            }
        }
    )*};
}
bits!(f32 => |value: f32| u64::from(value.to_bits()), bf16 => |value: bf16| u64::from(value.to_bits()), u32 => u64::from,
      u64 => |value| value, u8 => u64::from, i32 => |value| value as u64);

impl<A: Bits, B: Bits> Bits for (A, B) {
    fn bits(&self) -> Vec<u64> {
        let mut bits = self.0.bits();
        bits.extend(self.1.bits());
        bits
    }
}

impl<A: Bits, B: Bits, C: Bits> Bits for (A, B, C) {
    fn bits(&self) -> Vec<u64> {
        let mut bits = self.0.bits();
        bits.extend(self.1.bits());
        bits.extend(self.2.bits());
        bits
    }
}

/// Asserts that numbers differ by at most `relative` times the expected one's magnitude plus `absolute`; what is no number must be
/// none, and what is infinite the same.
#[track_caller]
pub(crate) fn assert_close(found: &[f32], expected: &[f64], relative: f64, absolute: f64) {
    compare(found, expected, |found| f64::from(*found), relative, absolute);
}

/// The same for results rounded to bf16, whose rounding is at most half of its last place: 2^-8 of the magnitude.
#[track_caller]
pub(crate) fn assert_close_bf16(found: &[bf16], expected: &[f64], relative: f64, absolute: f64) {
    compare(found, expected, |found| found.to_f64(), relative + 1.0 / 256.0, absolute + 1e-40);
}

/// Asserts that each number is within its own distance of the expected one; what is no number must be none, and what is infinite the same.
#[track_caller]
pub(crate) fn assert_within(found: &[f64], expected: impl IntoIterator<Item = (f64, f64)>) {
    let expected: Vec<(f64, f64)> = expected.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "as many results as expected ones");
    for (index, (found, (expected, distance))) in found.iter().zip(expected).enumerate() {
        let close = match expected {
            expected if expected.is_nan() => found.is_nan(),
            expected if expected.is_infinite() => *found == expected,
            expected => (found - expected).abs() <= distance,
        };
        assert!(close, "result {index} is {found}, not {expected} within {distance}");
    }
}

#[track_caller]
fn compare<T>(found: &[T], expected: &[f64], as_f64: impl Fn(&T) -> f64, relative: f64, absolute: f64) {
    let found: Vec<f64> = found.iter().map(as_f64).collect();
    assert_within(&found, expected.iter().map(|value| (*value, relative * value.abs() + absolute)));
}
