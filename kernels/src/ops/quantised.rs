//! Numbers of 8 and 4 bits: activations that are quantised by row or by group when a product needs them so, and weights as products read them.
//!
//! An e4m3 has a sign, four bits of exponent and three of mantissa: up to 448, down to 2^-9, and 0x7F and 0xFF are not a number. An e2m1 is
//! one of 0, 1/2, 1, 3/2, 2, 3, 4, 6 of either sign.
//!
//! Products of e4m3 by e4m3 give the same on every card: where tensor cores do not multiply them, as before sm_89 and on sm_90, both sides are
//! widened in registers first. Products of e2m1 by e2m1 are only where a device says
//! [`multiplies_fp4`](crate::Device::multiplies_fp4); elsewhere weights in e2m1 are widened, and multiply bf16.

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

/// Numbers of 4 bits that have one scale.
pub const FP4_GROUP: usize = 16;
/// Numbers of 4 bits in one word.
pub const FP4_WORD: usize = 8;

/// Rows of e2m1, each number times its group's scale in e4m3 and one scale for all.
#[derive(Clone, Copy)]
pub struct Fp4Rows<'a> {
    /// `[rows, width / 8]`, the first number in a word's lowest bits.
    pub words: Slice<'a, u32>,
    /// `[rows, width / 16]`: e4m3, whose signs count for nothing.
    pub group_scales: Slice<'a, u8>,
    /// What the scales of groups are multiplied by.
    pub scale: f32,
}

/// The same, to be written with a scale that is given: above zero and finite. The width is a multiple of 16.
pub struct Fp4RowsMut<'a> {
    /// `[rows, width / 8]`.
    pub words: SliceMut<'a, u32>,
    /// `[rows, width / 16]`.
    pub group_scales: SliceMut<'a, u8>,
    /// What the scales of groups are multiplied by.
    pub scale: f32,
}

impl Fp4RowsMut<'_> {
    /// How many numbers.
    pub(crate) fn len(&self) -> usize {
        self.words.len().saturating_mul(FP4_WORD)
    }

    /// Checks that these are such rows, and says where their groups' scales are.
    pub(crate) fn group_scales_of(&self, rows: &Rows<'_>, what: &str) -> Result<u64, Error> {
        let (name, width, scale) = (rows.operation, rows.width, self.scale);
        require!(name, width.is_multiple_of(FP4_GROUP), "rows of {width} numbers are not groups of {FP4_GROUP}");
        require!(name, scale.is_finite() && scale > 0.0, "{what}'s scale is {scale}, not a number above zero");
        let list = format!("{what}'s list of groups' scales");
        rows.input(&list, self.group_scales.as_slice(), rows.count * width / FP4_GROUP)
    }
}

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
struct QuantiseGroupsParameters {
    input: u64,
    words: u64,
    group_scales: u64,
    numbers: u64,
    input_scale: f32,
}

kernel!(static QUANTISE_GROUPS_F32: "quantise", quantise_groups_f32(QuantiseGroupsParameters));
kernel!(static QUANTISE_GROUPS_BF16: "quantise", quantise_groups_bf16(QuantiseGroupsParameters));

/// For each group of 16 numbers, with a scale that `output` brings, `group_scale = greatest magnitude / 6 / scale` as an e4m3, and
/// `numbers = input / (group_scale * scale)` as e2m1; both to the nearest, of two equally near ones the even one, and to the greatest from what is
/// beyond. A group that is too small for a scale becomes zero; one that holds something that is not a number gets the scale 0x7F. `input` is
/// `[rows, width]`, f32 or bf16.
pub fn quantise_groups<T: NormOutput>(input: Slice<'_, T>, width: usize, output: Fp4RowsMut<'_>) -> Result<(), Error> {
    const NAME: &str = "quantise_groups";
    const THREADS: usize = 256;
    let rows = Rows::new(NAME, output.len(), width, output.words.device())?;
    let numbers = rows.count * width;
    let blocks = numbers.div_ceil(THREADS);
    require!(NAME, blocks < 1 << 31, "{numbers} numbers are too many");
    let parameters = QuantiseGroupsParameters {
        input: rows.input("the input", input, numbers)?,
        words: output.words.address(),
        group_scales: output.group_scales_of(&rows, "the output")?,
        numbers: numbers as u64,
        input_scale: output.scale,
    };
    let launch = Launch { grid: [blocks as u32, 1, 1], threads: THREADS as u32, shared_bytes: 0 };
    // SAFETY: threads below the count of numbers, which is whole groups, read one each and write their words and scales, inside slices whose lengths
    // were just checked; both outputs are borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        rows.device.launch(T::choose(&QUANTISE_GROUPS_F32, &QUANTISE_GROUPS_BF16), launch, &parameters)
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

/// Brings e2m1 as checkpoints hold them, two a byte with the first in its lower half, into the order of bits in which products widen them.
/// `packed` has 4 bytes for each word.
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
        device.launch(&ARRANGE_FP4, launch, &parameters)?;
    }
    // Products may begin to read their weights before kernels asked for earlier have ended.
    device.synchronize()
}

#[cfg(test)]
mod tests;
