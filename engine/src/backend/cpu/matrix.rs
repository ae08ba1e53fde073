//! Weight matrices, packed once for every multiplication that follows.
//!
//! A checkpoint keeps a weight as `[outputs, inputs]`. The product wants, for one input, the weights of many outputs side by
//! side, so the outputs are grouped into panels of [`PANEL_COLUMNS`] and each panel is stored one input after another. BF16
//! stays at two bytes: a word holds two outputs, and a shift or a mask makes an f32 of either. Quantised matrices stay as they are
//! stored, too.

pub(super) mod quantised;

use quantised::{Nvfp4Inputs, QuantisedPanels};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::checkpoint::WeightData;
use crate::checkpoint::quantised::StoredMatrix;

/// Outputs in a panel: four AVX-512 vectors, which with six rows of inputs fill the registers.
pub(super) const PANEL_COLUMNS: usize = 64;
/// Words in one step of a panel; a word stands for two columns, [`WORD_GROUP`] apart.
pub(super) const STEP_WORDS: usize = PANEL_COLUMNS / 2;
/// How far the two columns of a word lie apart: the longest vector, so that both halves of a vector of words are
/// runs of adjacent columns.
pub(super) const WORD_GROUP: usize = 16;

/// The first of the two columns that word `word` of a step stands for; the second lies [`WORD_GROUP`] after it.
#[inline(always)]
pub(super) const fn first_column_of_word(word: usize) -> usize {
    word / WORD_GROUP * (2 * WORD_GROUP) + word % WORD_GROUP
}

/// One input's weights in a panel, as stored f32.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct F32Step {
    /// The first column of each word.
    pub(super) first: [f32; STEP_WORDS],
    /// The second column of each word.
    pub(super) second: [f32; STEP_WORDS],
}

impl F32Step {
    pub(super) const ZERO: Self = Self { first: [0.0; STEP_WORDS], second: [0.0; STEP_WORDS] };
}

/// One input's weights in a panel, as BF16: a word's low half is its first column, the high half its second.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Bf16Step {
    pub(super) words: [u32; STEP_WORDS],
}

impl Bf16Step {
    pub(super) const ZERO: Self = Self { words: [0; STEP_WORDS] };
}

pub(super) enum Panels {
    F32(Vec<F32Step>),
    Bf16(Vec<Bf16Step>),
    Quantised(QuantisedPanels),
}

/// A weight matrix `[n, k]` (n outputs, k inputs), packed for [`matmul`](super::matmul::matmul).
pub(crate) struct PackedMatrix {
    rows: usize,
    columns: usize,
    panels: Panels,
}

impl PackedMatrix {
    /// Packs parts of `[n, k]` each, stacked along n. They stay BF16 if all of them are, and become f32 otherwise.
    pub(crate) fn pack(parts: &[(WeightData<'_>, usize)], k: usize) -> Self {
        for (data, n) in parts {
            assert!(Some(data.len()) == n.checked_mul(k), "a weight of {} values is not {n} x {k}", data.len());
        }
        let rows: usize = parts.iter().map(|(_, n)| n).sum();
        let steps = rows.div_ceil(PANEL_COLUMNS) * k;
        let panels = if parts.iter().all(|(data, _)| matches!(data, WeightData::Bf16(_))) {
            let mut packed = vec![Bf16Step::ZERO; steps];
            for_each_row(parts, k, &mut packed, |panel, word, second, row| {
                let WeightData::Bf16(row) = row else { unreachable!("every part is BF16") };
                let shift = if second { 16 } else { 0 };
                for (step, value) in panel.iter_mut().zip(row) {
                    step.words[word] |= u32::from(value.to_bits()) << shift;
                }
            });
            Panels::Bf16(packed)
        } else {
            let mut packed = vec![F32Step::ZERO; steps];
            for_each_row(parts, k, &mut packed, |panel, word, second, row| {
                let slots =
                    panel.iter_mut().map(|step| if second { &mut step.second[word] } else { &mut step.first[word] });
                match row {
                    WeightData::F32(row) => slots.zip(row).for_each(|(slot, value)| *slot = *value),
                    WeightData::Bf16(row) => slots.zip(row).for_each(|(slot, value)| *slot = value.to_f32()),
                    WeightData::F16(row) => slots.zip(row).for_each(|(slot, value)| *slot = value.to_f32()),
                }
            });
            Panels::F32(packed)
        };
        Self { rows, columns: k, panels }
    }

    /// Packs parts as they are stored, stacked along n; `None` where they are not all stored in one way.
    pub(crate) fn pack_stored(parts: Vec<(StoredMatrix<'_>, usize)>, k: usize, inputs: Nvfp4Inputs) -> Option<Self> {
        let (mut plain, mut fp8, mut nvfp4) = (Vec::new(), Vec::new(), Vec::new());
        let count = parts.len();
        let rows = parts.iter().map(|(_, n)| n).sum();
        for (part, n) in parts {
            match part {
                StoredMatrix::Plain(data) => plain.push((data, n)),
                StoredMatrix::Fp8(matrix) => fp8.push((matrix, n)),
                StoredMatrix::Nvfp4(matrix) => nvfp4.push((matrix, n)),
            }
        }
        let panels = if plain.len() == count {
            return Some(Self::pack(&plain, k));
        } else if fp8.len() == count {
            let rounds = fp8[0].0.rounds_inputs;
            fp8.iter().all(|(matrix, _)| matrix.rounds_inputs == rounds).then(|| QuantisedPanels::fp8(&fp8, k))?
        } else if nvfp4.len() == count {
            QuantisedPanels::nvfp4(&nvfp4, k, inputs)
        } else {
            return None;
        };
        Some(Self { rows, columns: k, panels: Panels::Quantised(panels) })
    }

    /// Packs the transpose of `[k, n]`: a matrix with n outputs out of one that is stored input by input.
    pub(crate) fn pack_transposed(data: &WeightData<'_>, k: usize, n: usize) -> Self {
        assert!(Some(data.len()) == n.checked_mul(k), "a weight of {} values is not {k} x {n}", data.len());
        let steps = n.div_ceil(PANEL_COLUMNS) * k;
        let panels = if let WeightData::Bf16(_) = data {
            let mut packed = vec![Bf16Step::ZERO; steps];
            for_each_step(&mut packed, k, n, |step, input, columns| {
                let WeightData::Bf16(row) = data.row(input, n) else { unreachable!("the data is BF16") };
                for (column, value) in row[columns].iter().enumerate() {
                    let (word, second) = word_of_column(column);
                    step.words[word] |= u32::from(value.to_bits()) << if second { 16 } else { 0 };
                }
            });
            Panels::Bf16(packed)
        } else {
            let mut packed = vec![F32Step::ZERO; steps];
            for_each_step(&mut packed, k, n, |step, input, columns| {
                let mut store = |column: usize, value: f32| {
                    let (word, second) = word_of_column(column);
                    *(if second { &mut step.second[word] } else { &mut step.first[word] }) = value;
                };
                match data.row(input, n) {
                    WeightData::F32(row) => row[columns].iter().enumerate().for_each(|(c, value)| store(c, *value)),
                    WeightData::F16(row) => {
                        row[columns].iter().enumerate().for_each(|(c, value)| store(c, value.to_f32()))
                    }
                    WeightData::Bf16(_) => unreachable!("the data is not BF16"),
                }
            });
            Panels::F32(packed)
        };
        Self { rows: n, columns: k, panels }
    }

    /// Copies what input `input` contributes to every output: a column of `[n, k]`.
    pub(crate) fn copy_column(&self, input: usize, out: &mut [f32]) {
        assert!(input < self.columns && out.len() == self.rows, "column {input} of {} x {}", self.rows, self.columns);
        for (panel, out) in out.chunks_mut(PANEL_COLUMNS).enumerate() {
            let step = panel * self.columns + input;
            for (column, out) in out.iter_mut().enumerate() {
                let (word, second) = word_of_column(column);
                *out = match &self.panels {
                    Panels::Quantised(panels) => panels.number(panel, input, column),
                    Panels::F32(steps) if second => steps[step].second[word],
                    Panels::F32(steps) => steps[step].first[word],
                    Panels::Bf16(steps) if second => f32::from_bits(steps[step].words[word] & 0xffff_0000),
                    Panels::Bf16(steps) => f32::from_bits(steps[step].words[word] << 16),
                };
            }
        }
    }

    /// Outputs, n.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs, k.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn panels(&self) -> &Panels {
        &self.panels
    }
}

/// The word that holds a panel's column, and whether it is the word's second one.
const fn word_of_column(column: usize) -> (usize, bool) {
    let (group, rest) = (column / (2 * WORD_GROUP), column % (2 * WORD_GROUP));
    (group * WORD_GROUP + rest % WORD_GROUP, rest >= WORD_GROUP)
}

/// Hands every step of every panel to `store`, with its input and the outputs that it holds, panels in parallel.
fn for_each_step<Step: Send>(
    packed: &mut [Step],
    k: usize,
    n: usize,
    store: impl Fn(&mut Step, usize, std::ops::Range<usize>) + Sync,
) {
    if k == 0 {
        return;
    }
    packed.par_chunks_mut(k).enumerate().for_each(|(panel, steps)| {
        let columns = panel * PANEL_COLUMNS..n.min((panel + 1) * PANEL_COLUMNS);
        for (input, step) in steps.iter_mut().enumerate() {
            store(step, input, columns.clone());
        }
    });
}

/// Hands every row of the stacked parts to `store`, with the panel it belongs to and its place there (a word, and which
/// of the word's two columns), panels in parallel.
fn for_each_row<Step: Send>(
    parts: &[(WeightData<'_>, usize)],
    k: usize,
    packed: &mut [Step],
    store: impl Fn(&mut [Step], usize, bool, WeightData<'_>) + Sync,
) {
    if k == 0 {
        return;
    }
    packed.par_chunks_mut(k).enumerate().for_each(|(index, panel)| {
        let first_row = index * PANEL_COLUMNS;
        for word in 0..STEP_WORDS {
            for second in [false, true] {
                let column = first_column_of_word(word) + if second { WORD_GROUP } else { 0 };
                if let Some(row) = stacked_row(parts, first_row + column, k) {
                    store(panel, word, second, row);
                }
            }
        }
    });
}

/// Row `row` of the parts stacked on each other, or `None` past their end.
fn stacked_row<'a>(parts: &[(WeightData<'a>, usize)], mut row: usize, k: usize) -> Option<WeightData<'a>> {
    for (data, n) in parts {
        if row < *n {
            return Some(data.row(row, k));
        }
        row -= n;
    }
    None
}

#[cfg(test)]
mod tests;
