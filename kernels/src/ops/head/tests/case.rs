//! A small model with rows to sample, and what must be found in them.

use super::super::*;
use crate::bf16;
use crate::memory::Arena;
use crate::ops::linear::Weights;
use crate::ops::steps::{ROW_VOTES_MAX, SampleRow};
use crate::reference::head as reference;
use crate::reference::philox::{self, Place};
use crate::testing::{Random, assert_close, on_devices};

/// Of a logit: products summed in f32, and a tanh.
pub(super) const LOGIT: f64 = 1e-4;
/// Of a probability: what [`LOGIT`] makes of it over temperatures of at least a quarter, and a few exponentials.
pub(super) const PROBABILITY: f64 = 5e-4;
pub(super) const EPS: f32 = 1e-6;
pub(super) const CAP: f32 = 30.0;
pub(super) const STEP: u32 = 5;
pub(super) const SEED: u64 = 0x0123_4567_89AB_CDEF;
pub(super) const SCALE: f32 = 1.5;

pub(super) trait TestElement: VocabularyElement {
    /// Of a probability: in bf16 it is rounded twice, by 2^-9 each time.
    const KEPT: f64;
    fn round(value: f32) -> Self;
    fn widen(self) -> f32;
    fn stored(slice: Slice<'_, Self>) -> Weights<'_>;
}

impl TestElement for f32 {
    const KEPT: f64 = 0.0;
    fn round(value: f32) -> Self {
        value
    }
    fn widen(self) -> f32 {
        self
    }
    fn stored(slice: Slice<'_, Self>) -> Weights<'_> {
        Weights::F32(slice)
    }
}

impl TestElement for bf16 {
    const KEPT: f64 = 1.0 / 256.0;
    fn round(value: f32) -> Self {
        bf16::from_f32(value)
    }
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn stored(slice: Slice<'_, Self>) -> Weights<'_> {
        Weights::Bf16(slice)
    }
}

pub(super) fn widen<T: TestElement>(values: &[T]) -> Vec<f32> {
    values.iter().map(|value| value.widen()).collect()
}

/// A row of the case.
#[derive(Clone, Debug, Default)]
pub(super) struct TestRow {
    pub(super) row: usize,
    pub(super) set: Option<usize>,
    pub(super) votes: Vec<(u32, f32)>,
}

#[derive(Clone)]
pub(super) struct Case<T> {
    pub(super) vocabulary: usize,
    pub(super) hidden: usize,
    pub(super) stream: Vec<f32>,
    pub(super) embedding: Vec<T>,
    /// Whether the embedding is stored as bf16 whatever is multiplied.
    pub(super) is_stored_narrow: bool,
    pub(super) final_norm: Vec<f32>,
    pub(super) rows: Vec<TestRow>,
    pub(super) sets: Vec<Vec<u64>>,
    pub(super) has_votes: bool,
    pub(super) tape: Option<Vec<f32>>,
    pub(super) temperature: f32,
    pub(super) own_probabilities: bool,
    pub(super) keep_soft: bool,
}

/// Normed rows, outcomes, and soft embeddings.
pub(super) type Sampled = (Vec<f32>, (Vec<u32>, Vec<f32>), Vec<f32>);

impl<T: TestElement> Case<T> {
    /// Rows of the stream in reverse, each of them free to be any token.
    pub(super) fn new(random: &mut Random, rows: usize, vocabulary: usize, hidden: usize) -> Self {
        // Logits have a deviation of about 4, so that entropies are of some nats.
        let embedding = random.normal(vocabulary * hidden, 4.0 / (hidden as f32).sqrt());
        Self {
            vocabulary,
            hidden,
            stream: random.normal((rows + 1) * hidden, 3.0),
            embedding: embedding.into_iter().map(T::round).collect(),
            is_stored_narrow: false,
            final_norm: random.normal(hidden, 1.0),
            rows: (0..rows).rev().map(|row| TestRow { row: row + 1, ..TestRow::default() }).collect(),
            sets: Vec::new(),
            has_votes: false,
            tape: None,
            temperature: 0.7,
            own_probabilities: true,
            keep_soft: true,
        }
    }

    /// The same with an embedding that bf16 holds exactly, stored so.
    pub(super) fn stored_narrow(mut self) -> Self {
        self.embedding = self.embedding.iter().map(|value| T::round(bf16::from_f32(value.widen()).to_f32())).collect();
        self.is_stored_narrow = true;
        self
    }

    pub(super) fn sample_rows(&self) -> Vec<SampleRow> {
        (self.rows.iter())
            .map(|row| SampleRow {
                row: row.row,
                set: row.set,
                seed: SEED,
                candidate: 2,
                canvas_row: row.row as u32 + 10,
            })
            .collect()
    }

    pub(super) fn with_model<R>(
        &self,
        device: &Device,
        work: impl FnOnce(Vocabulary<'_>, Slice<'_, f32>, &SampleRows, &mut HeadWorkspace<T>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (embedding, norm) = (device.upload(&self.embedding)?, device.upload(&self.final_norm)?);
        let stream = device.upload(&self.stream)?;
        let narrow: Vec<bf16> = self.embedding.iter().map(|value| bf16::from_f32(value.widen())).collect();
        let narrow = device.upload(&narrow)?;
        let weights =
            if self.is_stored_narrow { Weights::Bf16(narrow.as_slice()) } else { T::stored(embedding.as_slice()) };
        let vocabulary = Vocabulary {
            embedding: Matrix { weights, outputs: self.vocabulary, inputs: self.hidden },
            final_norm: norm.as_slice(),
            eps: EPS,
            soft_cap: CAP,
        };
        let shape = HeadShape {
            rows: self.rows.len(),
            vocabulary: self.vocabulary,
            hidden: self.hidden,
            keeps_weights: self.keep_soft,
        };
        let mut arena = Arena::new(device, shape.footprint::<T>(device))?;
        let mut workspace = HeadWorkspace::new(device, &mut arena, shape)?;
        let mut rows = SampleRows::new(device, self.rows.len())?;
        rows.write(&self.sample_rows())?;
        work(vocabulary, stream.as_slice(), &rows, &mut workspace)
    }

    pub(super) fn run(&self, device: &Device) -> Result<Sampled, Error> {
        self.with_model(device, |vocabulary, stream, rows, workspace| {
            let step = device.upload(&[Step { temperature: self.temperature, index: STEP }])?;
            let sets: Vec<&[u64]> = self.sets.iter().map(Vec::as_slice).collect();
            let sets = TokenSets::upload(device, &sets, self.vocabulary)?;
            let tape = self.tape.as_ref().map(|tape| device.upload(tape)).transpose()?;
            let mut votes = TokenLists::new(device, rows.len(), rows.len() * ROW_VOTES_MAX)?;
            let lists: Vec<Vec<(u32, f32)>> = self.rows.iter().map(|row| row.votes.clone()).collect();
            votes.write_votes(&lists)?;
            let mut outcomes = device.allocate::<RowOutcome>(rows.len())?;
            let settings = SampleSettings {
                step: step.as_slice(),
                sets: Some(&sets),
                tape: tape.as_ref().map(|tape| tape.as_slice()),
                votes: self.has_votes.then_some(&mut votes),
                own_probabilities: self.own_probabilities,
                keep_soft: self.keep_soft,
            };
            sample(vocabulary, stream, rows, settings, workspace, outcomes.as_mut())?;
            let outcomes = outcomes.as_slice().read()?;
            let tokens = outcomes.iter().flat_map(|outcome| [outcome.argmax, outcome.sample]).collect();
            let numbers = (outcomes.iter())
                .flat_map(|outcome| [outcome.entropy, outcome.probability, outcome.own_probability])
                .collect();
            let mut soft = device.allocate::<f32>(workspace.kept_rows() * self.hidden)?;
            soft_embeddings(vocabulary, workspace, SCALE, soft.as_mut())?;
            let normed = widen(&workspace.rows_in.as_slice().read()?);
            Ok((normed, (tokens, numbers), soft.as_slice().read()?))
        })
    }

    /// The capped logits of every row, from the rows as the kernel normed and rounded them.
    pub(super) fn logits(&self, normed: &[f32]) -> Vec<Vec<f64>> {
        let embedding = widen(&self.embedding);
        normed.chunks_exact(self.hidden).map(|row| reference::logits(row, &embedding, CAP)).collect()
    }

    pub(super) fn noise(&self, row: &TestRow) -> Vec<f64> {
        let canvas_row = row.row as u32 + 10;
        match &self.tape {
            Some(tape) => (tape[canvas_row as usize * self.vocabulary..][..self.vocabulary].iter())
                .map(|noise| f64::from(*noise))
                .collect(),
            None => {
                let place = Place { seed: SEED, candidate: 2, step: STEP, row: canvas_row };
                (0..self.vocabulary as u32).map(|token| philox::gumbel(place, token)).collect()
            }
        }
    }

    /// Holds what was found against the twin.
    pub(super) fn check(&self, found: &Sampled) {
        let (normed, (tokens, numbers), soft) = found;
        let embedding = widen(&self.embedding);
        let greatest = embedding.iter().fold(0.0_f64, |greatest, value| greatest.max(f64::from(value.abs())));
        for (index, (row, logits)) in self.rows.iter().zip(self.logits(normed)).enumerate() {
            let allowed = row.set.map(|set| &self.sets[set][..]);
            let votes = if self.has_votes { &row.votes[..row.votes.len().min(ROW_VOTES_MAX)] } else { &[] };
            let twin_row = reference::Row { allowed, votes, temperature: self.temperature };
            let twin = reference::findings(&logits, twin_row);
            let (argmax, sample) = (tokens[2 * index] as usize, tokens[2 * index + 1] as usize);
            // Which of two nearly equal tokens wins is a matter of rounding.
            let best = twin.tempered[reference::argmax(&twin.tempered)];
            assert!(twin.tempered[argmax] >= best - LOGIT, "row {index}: argmax {argmax}");
            let noise = self.noise(row);
            let noisy: Vec<f64> = twin.tempered.iter().zip(&noise).map(|(logit, noise)| logit + noise).collect();
            assert!(noisy[sample] >= noisy[reference::argmax(&noisy)] - LOGIT, "row {index}: sample {sample}");
            let wants_own = self.own_probabilities || self.has_votes;
            let own = if wants_own { twin.own[sample] } else { 1.0 };
            let expected = [twin.entropy, twin.probabilities[argmax], own];
            assert_close(&numbers[3 * index..][..3], &expected, PROBABILITY, PROBABILITY);
            if self.keep_soft {
                let expected = reference::soft_embedding(&twin.probabilities, &embedding, self.hidden, SCALE);
                let tolerance = (T::KEPT + PROBABILITY) * greatest * f64::from(SCALE);
                assert_close(&soft[index * self.hidden..][..self.hidden], &expected, 0.0, tolerance);
            }
        }
        assert_eq!(soft.len(), if self.keep_soft { normed.len() } else { 0 });
    }

    pub(super) fn run_and_check(&self) {
        self.check(&on_devices(|device| self.run(device)));
    }
}
