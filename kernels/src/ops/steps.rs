//! What the head and the sampler share of a denoising run, all of it on the device, so that a captured graph serves every step.

use crate::error::require;
use crate::memory::{Buffer, Element, Slice};
use crate::{Device, Error};

/// The step under way.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What logits are divided by.
    pub temperature: f32,
    /// From 0; random numbers are drawn by it.
    pub index: u32,
}

/// What the head found in one row.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowOutcome {
    /// The likeliest token, of equally likely ones the lowest.
    pub argmax: u32,
    /// A token drawn from the tempered distribution.
    pub sample: u32,
    /// Nats, of the tempered distribution over the allowed tokens.
    pub entropy: f32,
    /// Of the argmax, in the tempered distribution.
    pub probability: f32,
    /// Of the sample, in the model's own distribution at temperature 1 and without votes; 1 where it is not wanted.
    pub own_probability: f32,
}

/// A row whose distribution is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRow {
    /// The packed row.
    pub row: usize,
    /// Which of the token sets may stand here; all tokens where it is `None`.
    pub set: Option<usize>,
    /// The key of its random numbers.
    pub seed: u64,
    /// Distinguishes canvases with the same seed.
    pub candidate: u32,
    /// The row of its canvas, pinned rows counted.
    pub canvas_row: u32,
}

/// As the kernels read it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SampleRecord {
    seed: u64,
    row: u32,
    set: u32,
    candidate: u32,
    canvas_row: u32,
}

// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for Step {}
// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for RowOutcome {}
// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for SampleRecord {}

const NO_SET: u32 = u32::MAX;

/// The rows whose distributions are wanted, on the device.
pub struct SampleRows {
    records: Buffer<SampleRecord>,
    count: usize,
    /// One more than the greatest packed row, canvas row and set that is named.
    packed_rows: usize,
    canvas_rows: usize,
    sets: usize,
}

impl SampleRows {
    /// Room for so many rows, and none in it.
    pub fn new(device: &Device, rows: usize) -> Result<Self, Error> {
        Ok(Self { records: device.allocate(rows)?, count: 0, packed_rows: 0, canvas_rows: 0, sets: 0 })
    }

    /// Puts other rows in the place of those before.
    pub fn write(&mut self, rows: &[SampleRow]) -> Result<(), Error> {
        const NAME: &str = "sample rows";
        require!(NAME, rows.len() <= self.records.len(), "{} rows do not fit {}", rows.len(), self.records.len());
        let limit = i32::MAX as usize;
        require!(NAME, rows.iter().all(|row| row.row < limit && row.set.unwrap_or(0) < limit), "a row has no place");
        let records: Vec<SampleRecord> = (rows.iter())
            .map(|row| SampleRecord {
                seed: row.seed,
                row: row.row as u32,
                set: row.set.map_or(NO_SET, |set| set as u32),
                candidate: row.candidate,
                canvas_row: row.canvas_row,
            })
            .collect();
        self.records.slice_mut(0..records.len()).write(&records)?;
        self.count = rows.len();
        self.packed_rows = rows.iter().map(|row| row.row + 1).max().unwrap_or(0);
        self.canvas_rows = rows.iter().map(|row| row.canvas_row as usize + 1).max().unwrap_or(0);
        self.sets = rows.iter().filter_map(|row| row.set).map(|set| set + 1).max().unwrap_or(0);
        Ok(())
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn packed_rows(&self) -> usize {
        self.packed_rows
    }

    pub(crate) fn canvas_rows(&self) -> usize {
        self.canvas_rows
    }

    pub(crate) fn sets(&self) -> usize {
        self.sets
    }

    pub(crate) fn records(&self) -> Slice<'_, SampleRecord> {
        self.records.slice(0..self.count)
    }
}

/// Sets of tokens, on the device.
pub struct TokenSets {
    /// [sets, words]
    words: Buffer<u64>,
    /// [sets, words + 1]: members before each word, and all.
    ranks: Buffer<u32>,
    count: usize,
    words_per_set: usize,
}

impl TokenSets {
    /// Uploads sets of tokens below `vocabulary`, each as bits, the lowest token first.
    pub fn upload(device: &Device, sets: &[&[u64]], vocabulary: usize) -> Result<Self, Error> {
        const NAME: &str = "token sets";
        let words_per_set = vocabulary.div_ceil(64);
        let fits = sets.iter().all(|set| set.len() == words_per_set);
        require!(NAME, fits, "a set has not {words_per_set} words for {vocabulary} tokens");
        let last = vocabulary % 64;
        let stays_below = last == 0 || sets.iter().all(|set| set.last().is_none_or(|word| word >> last == 0));
        require!(NAME, stays_below, "a set has tokens beyond {vocabulary}");
        let mut ranks = Vec::with_capacity(sets.len() * (words_per_set + 1));
        for set in sets {
            let mut before = 0;
            ranks.push(before);
            for word in *set {
                before += word.count_ones();
                ranks.push(before);
            }
        }
        let words = sets.concat();
        Ok(Self { words: device.upload(&words)?, ranks: device.upload(&ranks)?, count: sets.len(), words_per_set })
    }

    /// How many sets.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn words(&self) -> Slice<'_, u64> {
        self.words.as_slice()
    }

    pub(crate) fn ranks(&self) -> Slice<'_, u32> {
        self.ranks.as_slice()
    }

    pub(crate) fn words_per_set(&self) -> usize {
        self.words_per_set
    }
}

/// A few tokens of each row: those that are voted for, or whose log probabilities are wanted.
pub struct TokenLists {
    /// [rows + 1]: where each row's tokens begin.
    from: Buffer<u32>,
    tokens: Buffer<u32>,
    /// Of votes, their probabilities.
    probabilities: Buffer<f32>,
    /// What the head finds of each token.
    logits: Buffer<f32>,
    weights: Buffer<f32>,
    rows: usize,
    count: usize,
    are_votes: bool,
    vocabulary_least: usize,
}

/// Votes in one row at most; more are not counted.
pub const ROW_VOTES_MAX: usize = 24;

impl TokenLists {
    /// Room for so many rows and tokens, and none in it.
    pub fn new(device: &Device, rows: usize, tokens: usize) -> Result<Self, Error> {
        Ok(Self {
            from: device.allocate(rows + 1)?,
            tokens: device.allocate(tokens)?,
            probabilities: device.allocate(tokens)?,
            logits: device.allocate(tokens)?,
            weights: device.allocate(tokens)?,
            rows: 0,
            count: 0,
            are_votes: false,
            vocabulary_least: 0,
        })
    }

    /// Writes the votes of each row: tokens and their probabilities, more than nought, which in one row add up to less than one; what is
    /// missing is the model's. Only the first [`ROW_VOTES_MAX`] of a row count.
    pub fn write_votes(&mut self, rows: &[Vec<(u32, f32)>]) -> Result<(), Error> {
        let counted = |row: &Vec<(u32, f32)>| row[..row.len().min(ROW_VOTES_MAX)].to_vec();
        let lists: Vec<Vec<(u32, f32)>> = rows.iter().map(counted).collect();
        self.write(&lists, true)
    }

    /// Writes the tokens of each row.
    pub fn write_tokens(&mut self, rows: &[Vec<u32>]) -> Result<(), Error> {
        let lists: Vec<Vec<(u32, f32)>> =
            rows.iter().map(|row| row.iter().map(|token| (*token, 0.0)).collect()).collect();
        self.write(&lists, false)
    }

    fn write(&mut self, rows: &[Vec<(u32, f32)>], are_votes: bool) -> Result<(), Error> {
        const NAME: &str = "token lists";
        let count: usize = rows.iter().map(Vec::len).sum();
        require!(
            NAME,
            rows.len() < self.from.len() && count <= self.tokens.len(),
            "{count} tokens of {} rows do not fit {} of {}",
            rows.len(),
            self.tokens.len(),
            self.from.len() - 1
        );
        let mut from = vec![0];
        let mut end = 0;
        for row in rows {
            end += row.len() as u32;
            from.push(end);
        }
        let (tokens, probabilities): (Vec<u32>, Vec<f32>) = rows.iter().flatten().copied().unzip();
        self.from.slice_mut(0..from.len()).write(&from)?;
        self.tokens.slice_mut(0..count).write(&tokens)?;
        self.probabilities.slice_mut(0..count).write(&probabilities)?;
        (self.rows, self.count, self.are_votes) = (rows.len(), count, are_votes);
        self.vocabulary_least = tokens.iter().map(|token| *token as usize + 1).max().unwrap_or(0);
        Ok(())
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many tokens, those of all rows counted.
    pub fn tokens(&self) -> usize {
        self.count
    }

    pub(crate) fn are_votes(&self) -> bool {
        self.are_votes
    }

    /// One more than the greatest token.
    pub(crate) fn vocabulary_least(&self) -> usize {
        self.vocabulary_least
    }

    pub(crate) fn addresses(&self) -> ListAddresses {
        ListAddresses {
            from: self.from.as_slice().address(),
            tokens: self.tokens.as_slice().address(),
            probabilities: self.probabilities.as_slice().address(),
            logits: self.logits.as_slice().address(),
            weights: self.weights.as_slice().address(),
        }
    }

    pub(crate) fn is_on(&self, device: &Device) -> bool {
        self.from.as_slice().device().is(device)
    }
}

/// Where the parts of a list stand.
#[derive(Clone, Copy)]
pub(crate) struct ListAddresses {
    pub(crate) from: u64,
    pub(crate) tokens: u64,
    pub(crate) probabilities: u64,
    pub(crate) logits: u64,
    pub(crate) weights: u64,
}

#[cfg(test)]
mod tests;
