//! Holes with choices: scored, the surest settled first, the rest scored again beside them.

mod score;

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use self::score::{AskedHole, Question, Scorer};
use super::{Engine, State, milliseconds_since, progress::Progress};
use crate::backend::Backend;
use crate::prompt::{self, BLOCK_SET, HOLE_MAX_TOKENS, Layout, Passage, SizedHole};
use crate::tokenizer::Tokenizer;
use crate::{Cancel, Choice, Error, InfillRequest, Step};

/// Rounds at most. Each settles at least its share of what is open, so that the last one settles all that is left.
const ROUNDS_MAX: usize = 4;
/// A decision of at least this probability is settled at once.
const SURE: f32 = 0.9;

/// Holes that take the same index of their choices: a group, or one hole that is in none.
struct Decision {
    /// Ascending.
    holes: Vec<usize>,
    options: usize,
    /// The best option, by the last round that scored it.
    best: Choice,
    settled: bool,
}

/// All decisions of a request, in the order of their first holes.
struct Decisions {
    all: Vec<Decision>,
    /// Which decision a hole belongs to; `None` for a free one.
    of_hole: Vec<Option<usize>>,
    /// The choices of each hole as token ids.
    choices: Vec<Vec<Vec<u32>>>,
}

/// What is asked of the model in one round.
struct Round<'a> {
    decisions: &'a Decisions,
    /// From 0.
    index: usize,
    /// By decision and option.
    scores: Vec<Vec<f64>>,
}

impl<B: Backend> Engine<B> {
    /// Decides all holes that have choices.
    pub(super) fn choose(
        &self,
        state: &mut State<B>,
        progress: &mut Progress<'_>,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<(), Error> {
        let mut decisions = Decisions::new(progress.request, &self.tokenizer)?;
        decisions.settle_forced(progress);
        let free = decisions.of_hole.iter().any(Option::is_none);
        let limit = ROUNDS_MAX + if free { self.schedule.step_limit } else { 0 };
        for round in 0..ROUNDS_MAX {
            if decisions.all.iter().all(|decision| decision.settled) {
                break;
            }
            let scores = self.score_round(&decisions, round, state, progress, cancel)?;
            decisions.settle(&scores, ROUNDS_MAX - round, progress);
            progress.end_round(limit, on_step);
        }
        Ok(())
    }

    /// The scores of each open decision's options, over all canvases that its holes lie on.
    fn score_round(
        &self,
        decisions: &Decisions,
        index: usize,
        state: &mut State<B>,
        progress: &mut Progress<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let remainder = progress.remainder();
        let sized: Vec<SizedHole> = remainder
            .open
            .iter()
            .map(|(index, range)| {
                let hole = &progress.request.holes[*index];
                match decisions.of_hole[*index] {
                    None => SizedHole::free(range.clone(), hole.extent, hole.max_tokens),
                    Some(_) => {
                        // One for what ends the text, where no delete token does.
                        let rows = decisions.longest(*index) + usize::from(self.delete.is_none());
                        SizedHole { byte_range: range.clone(), rows, rows_max: rows, set: BLOCK_SET }
                    }
                }
            })
            .collect();
        let scores = decisions.all.iter().map(|decision| vec![0.0; decision.options]).collect();
        let mut round = Round { decisions, index, scores };
        let mut first = 0;
        while first < sized.len() {
            let passage = progress.request.passage(&remainder.text, &sized[first..]);
            let holes = &remainder.open[first..];
            first += self.score_canvas(&passage, holes, &mut round, state, progress, cancel)?;
        }
        Ok(round.scores)
    }

    /// Scores what may stand in the first holes, as many as share a canvas. Returns how many these are.
    fn score_canvas(
        &self,
        passage: &Passage<'_>,
        holes: &[(usize, Range<usize>)],
        round: &mut Round<'_>,
        state: &mut State<B>,
        progress: &mut Progress<'_>,
        cancel: &Cancel,
    ) -> Result<usize, Error> {
        cancel.check()?;
        let started = Instant::now();
        let layout = prompt::lay_out(passage, &self.tokenizer, &self.form, self.choice_budget)?;
        let count = layout.holes.len();
        let questions = round.decisions.questions(&holes[..count], &layout, self.line_end());
        if questions.is_empty() {
            return Ok(count);
        }
        state.make_room(&self.backend, layout.canvas.len())?;
        let State { prompts, workspace, .. } = state;
        let (id, reused) = prompts.encode(&self.backend, self.layers, &layout.prompt, &[], workspace, cancel)?;
        progress.prompted(&layout, reused, milliseconds_since(started));

        let started = Instant::now();
        let scorer = Scorer {
            backend: &self.backend,
            layers: self.layers,
            cache: prompts.cache(id),
            delete: self.delete,
            pass_rows: self.choice_budget.canvas_rows.max(self.backend.encode_rows()),
        };
        let canvas = self.noise_canvas(progress.request.seed, 0, round.index as u32, &layout);
        scorer.score(canvas.tokens(), &questions, workspace, cancel, &mut round.scores)?;
        progress.timings.denoise_ms += milliseconds_since(started);
        Ok(count)
    }

    /// The token of a line's end, which goes on where a text ends.
    fn line_end(&self) -> Option<u32> {
        self.tokenizer.encode("\n").first().copied()
    }
}

impl Decisions {
    fn new(request: &InfillRequest, tokenizer: &Tokenizer) -> Result<Self, Error> {
        let mut all: Vec<Decision> = Vec::new();
        let mut groups = HashMap::new();
        let mut of_hole = Vec::with_capacity(request.holes.len());
        let mut choices = Vec::with_capacity(request.holes.len());
        for (index, hole) in request.holes.iter().enumerate() {
            let tokens: Vec<Vec<u32>> =
                hole.choices.iter().map(|choice| tokenizer.encode(&prompt::normalise(choice))).collect();
            let longest = tokens.iter().map(Vec::len).max().unwrap_or(0);
            if longest > HOLE_MAX_TOKENS && tokens.len() > 1 {
                let range = &hole.byte_range;
                return Err(Error::Request(format!(
                    "the hole at bytes {}..{} has a choice of {longest} tokens, more than the {HOLE_MAX_TOKENS} that a hole may have",
                    range.start, range.end
                )));
            }
            choices.push(tokens);
            if hole.choices.is_empty() {
                of_hole.push(None);
                continue;
            }
            let next = all.len();
            let decision = hole.group.map_or(next, |group| *groups.entry(group).or_insert(next));
            of_hole.push(Some(decision));
            if decision == next {
                let best = Choice { index: 0, probability: 1.0 };
                all.push(Decision { holes: Vec::new(), options: hole.choices.len(), best, settled: false });
            }
            all[decision].holes.push(index);
        }
        Ok(Self { all, of_hole, choices })
    }

    /// Rows that a hole needs for any of its choices.
    fn longest(&self, hole: usize) -> usize {
        self.choices[hole].iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Settles what has only one option.
    fn settle_forced(&mut self, progress: &mut Progress<'_>) {
        for decision in self.all.iter_mut().filter(|decision| decision.options == 1) {
            decision.settled = true;
            progress.decide(&decision.holes, decision.best, |hole| self.choices[hole][0].len());
        }
    }

    /// Settles what is sure, and at least this round's share.
    fn settle(&mut self, scores: &[Vec<f64>], rounds_left: usize, progress: &mut Progress<'_>) {
        let mut open: Vec<usize> = (0..self.all.len()).filter(|index| !self.all[*index].settled).collect();
        for index in &open {
            self.all[*index].best = best(&scores[*index]);
        }
        // Stable, so that ties go to the first in the text.
        open.sort_by(|a, b| self.all[*b].best.probability.total_cmp(&self.all[*a].best.probability));
        let share = open.len().div_ceil(rounds_left);
        for (rank, index) in open.into_iter().enumerate() {
            let decision = &mut self.all[index];
            if rank < share || decision.best.probability >= SURE {
                decision.settled = true;
                let choice = decision.best.index;
                progress.decide(&decision.holes, decision.best, |hole| self.choices[hole][choice].len());
            } else {
                decision.holes.iter().for_each(|hole| progress.show(*hole, decision.best, false));
            }
        }
    }

    /// What to ask of a canvas with these holes, behind which the text goes on with `after` if it ends there.
    fn questions(&self, holes: &[(usize, Range<usize>)], layout: &Layout, after: Option<u32>) -> Vec<Question<'_>> {
        let mut questions: Vec<Question<'_>> = Vec::new();
        for ((hole, _), rows) in holes.iter().zip(&layout.holes) {
            let Some(decision) = self.of_hole[*hole] else { continue };
            let found = questions.iter().position(|question| question.decision == decision);
            let question = found.unwrap_or_else(|| {
                questions.push(Question { decision, options: self.all[decision].options, holes: Vec::new() });
                questions.len() - 1
            });
            let next = layout.canvas.get(rows.end).map_or(after, |row| row.pinned());
            questions[question].holes.push(AskedHole { rows: rows.clone(), choices: &self.choices[*hole], next });
        }
        questions
    }
}

/// The option with the highest score, the first of equals, and its share of them all. A score that is no number counts
/// as hopeless.
fn best(scores: &[f64]) -> Choice {
    let usable = |score: &f64| if score.is_nan() { f64::NEG_INFINITY } else { *score };
    let (mut index, mut highest) = (0, f64::NEG_INFINITY);
    for (option, score) in scores.iter().map(usable).enumerate() {
        if score > highest {
            (index, highest) = (option, score);
        }
    }
    let total: f64 = match highest.is_finite() {
        true => scores.iter().map(|score| (usable(score) - highest).exp()).sum(),
        false => scores.len() as f64,
    };
    Choice { index, probability: (1.0 / total) as f32 }
}

#[cfg(test)]
mod tests;
