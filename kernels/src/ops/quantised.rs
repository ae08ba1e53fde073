//! Numbers of 8 and 4 bits: activations that are quantised by row when a product needs them so, and weights as products read them.
//!
//! An e4m3 has a sign, four bits of exponent and three of mantissa: up to 448, down to 2^-9, and 0x7F and 0xFF are not a number. An e2m1 is
//! one of 0, 1/2, 1, 3/2, 2, 3, 4, 6 of either sign.
//!
//! Products of e4m3 by e4m3 give the same on every card: where tensor cores do not multiply them, as before sm_89 and on sm_90, both sides are
//! widened in registers first.

use crate::Error;
use crate::error::require;
use crate::kernel::{Launch, kernel};
use crate::memory::{Slice, SliceMut};
use crate::ops::rows::{NormOutput, Rows};

/// Rows of e4m3, each times its scale.
#[derive(Clone, Copy)]
pub struct Fp8Rows<'a> {
    /// `[rows, width]`.
    pub numbers: Slice<'a, u8>,
    /// `[rows]`.
    pub scales: Slice<'a, f32>,
}

/// The same, to be written.
pub struct Fp8RowsMut<'a> {
    /// `[rows, width]`.
    pub numbers: SliceMut<'a, u8>,
    /// `[rows]`.
    pub scales: SliceMut<'a, f32>,
}

/// Numbers that have one scale in a weight of 4 bits.
pub const FP4_GROUP: usize = 16;
/// Numbers in one word of such a weight.
pub const FP4_WORD: usize = 8;

#[repr(C)]
#[derive(Clone, Copy)]
struct QuantiseRowsParameters {
    input: u64,
    output: u64,
    scales: u64,
    width: u32,
}

kernel!(static QUANTISE_ROWS_F32: "quantise", quantise_rows_f32(QuantiseRowsParameters));
kernel!(static QUANTISE_ROWS_BF16: "quantise", quantise_rows_bf16(QuantiseRowsParameters));

/// `scales[r] = max(greatest magnitude of row r / 448, 2^-126)`, `numbers[r] = input[r] / scales[r]`, to the nearest e4m3 and of two equally near
/// ones the even one. What is not a number becomes 0x7F, and counts for nothing in its row's scale. `input` is `[rows, width]`, f32 or
/// bf16.
pub fn quantise_rows<T: NormOutput>(input: Slice<'_, T>, width: usize, output: Fp8RowsMut<'_>) -> Result<(), Error> {
    let Fp8RowsMut { numbers, scales } = output;
    let rows = Rows::of("quantise_rows", &numbers, width)?;
    let parameters = QuantiseRowsParameters {
        input: rows.input("the input", input, numbers.len())?,
        output: numbers.address(),
        scales: rows.input("the list of scales", scales.as_slice(), rows.count)?,
        width: width as u32,
    };
    // SAFETY: block r reads and writes row r and scale r, inside slices whose lengths were just checked; both outputs are borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        rows.device.launch(T::choose(&QUANTISE_ROWS_F32, &QUANTISE_ROWS_BF16), rows.launch(0), &parameters)
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ArrangeFp4Parameters {
    packed: u64,
    arranged: u64,
    words: u64,
}

kernel!(static ARRANGE_FP4: "quantise", arrange_fp4(ArrangeFp4Parameters));

/// Brings e2m1 as checkpoints hold them, two a byte with the first in its lower half, into the order of bits that products take them in. `packed`
/// has 4 bytes for each word.
pub fn arrange_fp4(packed: Slice<'_, u8>, arranged: SliceMut<'_, u32>) -> Result<(), Error> {
    const NAME: &str = "arrange_fp4";
    const THREADS: usize = 256;
    let (words, device) = (arranged.len(), arranged.device());
    require!(NAME, words.checked_mul(4) == Some(packed.len()), "{} bytes are not {words} words", packed.len());
    require!(NAME, packed.device().is(device), "the bytes are on another device");
    let blocks = words.div_ceil(THREADS);
    require!(NAME, blocks < 1 << 31, "{words} words are too many");
    let parameters =
        ArrangeFp4Parameters { packed: packed.address(), arranged: arranged.address(), words: words as u64 };
    let launch = Launch { grid: [blocks as u32, 1, 1], threads: THREADS as u32, shared_bytes: 0 };
    // SAFETY: each thread below the count of words reads four bytes and writes one word, inside slices whose lengths were just checked; the words
    // are borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(&ARRANGE_FP4, launch, &parameters)
    }
}

#[cfg(test)]
mod tests;
