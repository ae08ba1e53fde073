use std::ops::Range;

use crate::backend::RowVote;

/// A row that was accepted, and the model's own probability of the token in it, without any votes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AcceptedRow {
    pub(crate) row: usize,
    pub(crate) token: u32,
    pub(crate) own_probability: f32,
}

/// Votes that are weaker go to the model.
const PROBABILITY_MIN: f64 = 1e-4;
/// How likely it is that a row differs from a text that is right all the same: a sampler may take back what it accepted.
const SLIP: f64 = 1e-6;

/// The texts that may stand in the holes of one canvas.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Votes {
    holes: Vec<HoleVotes>,
}

#[derive(Clone, Debug, PartialEq)]
struct HoleVotes {
    rows: Range<usize>,
    /// One token a row each, with how likely they are.
    sequences: Vec<(Vec<u32>, f64)>,
}

impl Votes {
    /// Whether nobody votes.
    pub(crate) fn is_empty(&self) -> bool {
        self.holes.is_empty()
    }

    /// Adds a hole in these rows, which are behind those of the holes before. Each sequence has one token for each of them; their probabilities add up to less than
    /// one.
    pub(crate) fn add(&mut self, rows: Range<usize>, sequences: Vec<(Vec<u32>, f64)>) {
        debug_assert!(sequences.iter().all(|(tokens, _)| tokens.len() == rows.len()));
        if !sequences.is_empty() {
            self.holes.push(HoleVotes { rows, sequences });
        }
    }

    /// Takes away rows at the end of a hole, which all hold `delete`; the rows behind them move up. A sequence with text
    /// there votes no more.
    pub(crate) fn remove(&mut self, removed: Range<usize>, delete: u32) {
        for hole in &mut self.holes {
            if hole.rows.contains(&removed.start) {
                hole.rows.end -= removed.len();
                let left = hole.rows.len();
                hole.sequences.retain(|(tokens, _)| tokens[left..].iter().all(|token| *token == delete));
                hole.sequences.iter_mut().for_each(|(tokens, _)| tokens.truncate(left));
            } else if hole.rows.start >= removed.end {
                hole.rows = hole.rows.start - removed.len()..hole.rows.end - removed.len();
            }
        }
    }

    /// Adds rows to a hole's end; sequences hold `delete` there. The rows behind them move down.
    pub(crate) fn insert(&mut self, inserted: Range<usize>, delete: u32) {
        for hole in &mut self.holes {
            if hole.rows.end == inserted.start {
                hole.rows.end += inserted.len();
                let rows = hole.rows.len();
                hole.sequences.iter_mut().for_each(|(tokens, _)| tokens.resize(rows, delete));
            } else if hole.rows.start >= inserted.start {
                hole.rows = hole.rows.start + inserted.len()..hole.rows.end + inserted.len();
            }
        }
    }

    /// Calls `vote` with what may stand in each row of the canvas, given what was accepted there before. Rows come in
    /// ascending order, each token once.
    pub(crate) fn cast(&self, accepted: &[AcceptedRow], mut vote: impl FnMut(RowVote)) {
        for hole in &self.holes {
            let posterior = hole.posterior(accepted);
            let mut votes: Vec<(u32, f64)> = Vec::new();
            for (index, row) in hole.rows.clone().enumerate() {
                votes.clear();
                for ((tokens, _), probability) in hole.sequences.iter().zip(&posterior) {
                    match votes.iter_mut().find(|(token, _)| *token == tokens[index]) {
                        Some((_, sum)) => *sum += probability,
                        None => votes.push((tokens[index], *probability)),
                    }
                }
                for (token, probability) in votes.iter().filter(|(_, probability)| *probability > PROBABILITY_MIN) {
                    vote(RowVote { row, token: *token, probability: *probability as f32 });
                }
            }
        }
    }
}

impl HoleVotes {
    /// The sequences' probabilities after some rows are known, by Bayes' rule. The alternative to them all is that the
    /// model is right.
    fn posterior(&self, accepted: &[AcceptedRow]) -> Vec<f64> {
        let known = || accepted.iter().filter(|known| self.rows.contains(&known.row));
        let total: f64 = self.sequences.iter().map(|(_, probability)| probability).sum();
        let model = (1.0 - total).max(SLIP).ln()
            + known().map(|known| f64::from(known.own_probability).max(SLIP).ln()).sum::<f64>();
        let scores: Vec<f64> = self
            .sequences
            .iter()
            .map(|(tokens, probability)| {
                let likelihood = known()
                    .map(|known| if tokens[known.row - self.rows.start] == known.token { 0.0 } else { SLIP.ln() });
                probability.ln() + likelihood.sum::<f64>()
            })
            .collect();
        let highest = scores.iter().copied().fold(model, f64::max);
        let partition: f64 = (model - highest).exp() + scores.iter().map(|score| (score - highest).exp()).sum::<f64>();
        scores.into_iter().map(|score| (score - highest).exp() / partition).collect()
    }
}
