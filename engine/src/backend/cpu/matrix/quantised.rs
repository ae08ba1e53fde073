//! Quantised matrices in panels: the bytes of the checkpoint in another order, turned into numbers a block at a time as they are
//! multiplied.
//!
//! E4M3 has four significant bits and E2M1 two, so either, and the product of both, is exact in BF16: decoding rounds nothing. The
//! scales that do not vary along the inputs are left out, and multiply the sums instead.

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::{Bf16Step, PANEL_COLUMNS, STEP_WORDS, WORD_GROUP, first_column_of_word, word_of_column};
use crate::checkpoint::quantised::formats::{E2M1, E4M3};
use crate::checkpoint::quantised::{Fp8Matrix, NVFP4_GROUP, Nvfp4Matrix};

/// What happens to inputs before they meet the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rounding {
    /// They are left as they are.
    None,
    /// Each row is rounded to E4M3, by its largest magnitude over 448.
    Rows,
    /// Each group of 16 is rounded to E2M1 by its largest magnitude over 6, which itself is rounded to E4M3 in units of this scale.
    Groups { input_scale: f32 },
}

/// What becomes of the inputs of an NVFP4 matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nvfp4Inputs {
    /// Left as they are, as on cards that multiply BF16 or F32 with the weights.
    #[default]
    AsTheyAre,
    /// Rounded to NVFP4 themselves, as on cards that multiply it natively; where the checkpoint has no scale for them, left as they are.
    Rounded,
}

/// A matrix `[outputs, inputs]` in panels of stored bytes.
pub(crate) struct QuantisedPanels {
    inputs: usize,
    numbers: Numbers,
    /// What the sums of each output are multiplied by.
    output_scales: Vec<f32>,
    rounding: Rounding,
}

enum Numbers {
    /// `[panels, inputs]`
    E4m3(Vec<E4m3Step>),
    E2m1 {
        /// `[panels, inputs]`
        steps: Vec<E2m1Step>,
        /// `[panels, inputs / 16]`: in E4M3.
        scales: Vec<E4m3Step>,
    },
}

/// One byte a column of a panel: of each word the first column, then of each word the second.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct E4m3Step {
    bytes: [u8; PANEL_COLUMNS],
}

/// Half a byte a column of a panel: a word's low half is its first column, the high half its second.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct E2m1Step {
    bytes: [u8; STEP_WORDS],
}

/// Every number in E4M3 as BF16.
const E4M3_AS_BF16: [u16; 256] = {
    let mut numbers = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        numbers[byte] = (E4M3[byte].to_bits() >> 16) as u16;
        byte += 1;
    }
    numbers
};

impl QuantisedPanels {
    /// Packs matrices of the same inputs, one below the other.
    pub(crate) fn fp8(parts: &[(Fp8Matrix<'_>, usize)], inputs: usize) -> Self {
        let rows: Vec<usize> = parts.iter().map(|(_, rows)| *rows).collect();
        let byte = |part: usize, row: usize| &parts[part].0.weights[row * inputs..][..inputs];
        let output_scales = parts.iter().flat_map(|(matrix, _)| matrix.scales.iter().copied()).collect();
        let rounding =
            if parts.iter().all(|(matrix, _)| matrix.rounds_inputs) { Rounding::Rows } else { Rounding::None };
        Self { inputs, numbers: Numbers::E4m3(pack_bytes(&rows, inputs, byte)), output_scales, rounding }
    }

    /// Packs matrices of the same inputs, one below the other. Where their scales for rounded inputs differ, the largest counts.
    pub(crate) fn nvfp4(parts: &[(Nvfp4Matrix<'_>, usize)], inputs: usize, treatment: Nvfp4Inputs) -> Self {
        let rows: Vec<usize> = parts.iter().map(|(_, rows)| *rows).collect();
        let (half, groups) = (inputs / 2, inputs / NVFP4_GROUP);
        let scales = pack_bytes(&rows, groups, |part, row| &parts[part].0.scales[row * groups..][..groups]);
        let steps = pack_nibbles(&rows, inputs, |part, row| &parts[part].0.packed[row * half..][..half]);
        let output_scales =
            parts.iter().flat_map(|(matrix, rows)| std::iter::repeat_n(matrix.global_scale, *rows)).collect();
        let input_scale = parts.iter().map(|(matrix, _)| matrix.input_scale).reduce(|a, b| Some(a?.max(b?))).flatten();
        let rounding = match (treatment, input_scale) {
            (Nvfp4Inputs::Rounded, Some(input_scale)) => Rounding::Groups { input_scale },
            _ => Rounding::None,
        };
        Self { inputs, numbers: Numbers::E2m1 { steps, scales }, output_scales, rounding }
    }

    pub(crate) fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// What the sums of each output are multiplied by.
    pub(crate) fn output_scales(&self) -> &[f32] {
        &self.output_scales
    }

    /// One number, its scales multiplied in.
    pub(super) fn number(&self, panel: usize, input: usize, column: usize) -> f32 {
        let group = input - input % NVFP4_GROUP;
        let mut decoded = [Bf16Step::ZERO; NVFP4_GROUP];
        self.decode(panel, group, &mut decoded[..=input - group]);
        let (word, second) = word_of_column(column);
        let word = decoded[input - group].words[word];
        let number = f32::from_bits(if second { word & 0xffff_0000 } else { word << 16 });
        number * self.output_scales[panel * PANEL_COLUMNS + column]
    }

    /// Decodes the steps of some inputs of a panel, beginning with one that is a multiple of 16.
    #[inline(always)]
    pub(crate) fn decode(&self, panel: usize, first_input: usize, out: &mut [Bf16Step]) {
        match &self.numbers {
            Numbers::E4m3(steps) => {
                let steps = &steps[panel * self.inputs + first_input..][..out.len()];
                for (step, out) in steps.iter().zip(out) {
                    let (first, second) = step.bytes.split_at(STEP_WORDS);
                    for ((word, first), second) in out.words.iter_mut().zip(first).zip(second) {
                        *word = u32::from(E4M3_AS_BF16[usize::from(*first)])
                            | u32::from(E4M3_AS_BF16[usize::from(*second)]) << 16;
                    }
                }
            }
            Numbers::E2m1 { steps, scales } => {
                let steps = &steps[panel * self.inputs + first_input..][..out.len()];
                let scales = &scales[(panel * self.inputs + first_input) / NVFP4_GROUP..];
                for ((steps, out), scales) in steps.chunks(NVFP4_GROUP).zip(out.chunks_mut(NVFP4_GROUP)).zip(scales) {
                    let scales = scales.bytes.map(|byte| E4M3[usize::from(byte)]);
                    let (first, second) = scales.split_at(STEP_WORDS);
                    for (step, out) in steps.iter().zip(out) {
                        for (word, ((byte, first), second)) in
                            out.words.iter_mut().zip(step.bytes.iter().zip(first).zip(second))
                        {
                            let low = E2M1[usize::from(byte & 0xf)] * first;
                            let high = E2M1[usize::from(byte >> 4)] * second;
                            *word = low.to_bits() >> 16 | high.to_bits() & 0xffff_0000;
                        }
                    }
                }
            }
        }
    }
}

/// The matrix that a row of the stack belongs to, and the row within it; `None` past the end.
fn place(parts: &[usize], mut row: usize) -> Option<(usize, usize)> {
    for (part, rows) in parts.iter().enumerate() {
        if row < *rows {
            return Some((part, row));
        }
        row -= rows;
    }
    None
}

/// The columns of a panel, each with its word and whether it is the word's second.
fn columns() -> impl Iterator<Item = (usize, usize, bool)> {
    (0..STEP_WORDS).flat_map(|word| {
        let first = first_column_of_word(word);
        [(first, word, false), (first + WORD_GROUP, word, true)]
    })
}

/// Packs rows of bytes, `[columns]` each, of which `row` gives one of a part.
fn pack_bytes<'a>(
    parts: &[usize],
    columns_each: usize,
    row: impl Fn(usize, usize) -> &'a [u8] + Sync,
) -> Vec<E4m3Step> {
    let panels = parts.iter().sum::<usize>().div_ceil(PANEL_COLUMNS);
    let mut packed = vec![E4m3Step { bytes: [0; PANEL_COLUMNS] }; panels * columns_each];
    packed.par_chunks_mut(columns_each.max(1)).enumerate().for_each(|(panel, steps)| {
        for (column, word, second) in columns() {
            let Some((part, place)) = place(parts, panel * PANEL_COLUMNS + column) else { continue };
            let slot = word + if second { STEP_WORDS } else { 0 };
            for (step, byte) in steps.iter_mut().zip(row(part, place)) {
                step.bytes[slot] = *byte;
            }
        }
    });
    packed
}

/// Packs rows of half bytes, `[inputs / 2]` bytes each.
fn pack_nibbles<'a>(parts: &[usize], inputs: usize, row: impl Fn(usize, usize) -> &'a [u8] + Sync) -> Vec<E2m1Step> {
    let panels = parts.iter().sum::<usize>().div_ceil(PANEL_COLUMNS);
    let mut packed = vec![E2m1Step { bytes: [0; STEP_WORDS] }; panels * inputs];
    packed.par_chunks_mut(inputs.max(1)).enumerate().for_each(|(panel, steps)| {
        for (column, word, second) in columns() {
            let Some((part, place)) = place(parts, panel * PANEL_COLUMNS + column) else { continue };
            let shift = if second { 4 } else { 0 };
            for (pair, byte) in steps.chunks_exact_mut(2).zip(row(part, place)) {
                pair[0].bytes[word] |= (byte & 0xf) << shift;
                pair[1].bytes[word] |= (byte >> 4) << shift;
            }
        }
    });
    packed
}
