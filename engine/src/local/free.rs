//! Free holes: denoised, canvas after canvas.

use std::ops::Range;
use std::time::Instant;

use super::{Engine, State, answer, milliseconds_since, progress::Progress};
use crate::backend::Backend;
use crate::canvas::Canvas;
use crate::clock::Stage;
use crate::denoiser::{CanvasJob, Run, StepReport};
use crate::noise::Noise;
use crate::philox::Place;
use crate::prior::{Continuation, Votes, continuations_at, weights};
use crate::prompt::{self, LINE_SET, Layout, LineEnd, Passage, SizedHole};
use crate::{Cancel, Error, Extent, Piece, Step};

/// Canvases in a batch at most; each costs as much again.
const CANDIDATES_LIMIT: usize = 16;
/// Rows that holes have where several lengths are tried, besides all that they may have.
const LENGTHS: [usize; 8] = [1, 2, 4, 6, 9, 13, 19, 32];
/// What the document repeats with this probability gets room in its hole.
const LIKELY: f64 = 0.02;

impl<B: Backend> Engine<B> {
    /// Fills the holes that are left; those on later canvases read what was made of the earlier ones.
    pub(super) fn fill(
        &self,
        state: &mut State<B>,
        progress: &mut Progress<'_>,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<(), Error> {
        loop {
            let remainder = progress.remainder();
            let sized: Vec<SizedHole> = remainder
                .open
                .iter()
                .map(|(index, range)| {
                    let hole = &progress.request.holes[*index];
                    SizedHole::free(range.clone(), hole.extent, hole.max_tokens)
                })
                .collect();
            if sized.is_empty() {
                return Ok(());
            }
            let passage = progress.request.passage(&remainder.text, &sized);
            self.fill_canvas(&passage, &remainder.open, state, progress, cancel, on_step)?;
        }
    }

    /// Fills as many of the first holes as share a canvas.
    fn fill_canvas(
        &self,
        passage: &Passage<'_>,
        holes: &[(usize, Range<usize>)],
        state: &mut State<B>,
        progress: &mut Progress<'_>,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<(), Error> {
        cancel.check()?;
        let candidates = progress.request.candidates.clamp(1, CANDIDATES_LIMIT);
        let seed = progress.request.seed;
        let started = Instant::now();
        let mut layout =
            self.time(Stage::LayOut, || prompt::lay_out(passage, &self.tokenizer, &self.form, self.budget))?;
        let holes = &holes[..layout.holes.len()];
        let priors = self.time(Stage::Prior, || self.priors(passage, layout.holes.len()));
        self.make_room_for_priors(passage, &priors, &mut layout);
        let layouts = self.lengths(&layout);
        let limits: Vec<usize> = passage.holes[..layout.holes.len()].iter().map(|hole| hole.rows_max).collect();
        let canvases = layouts.iter().map(|layout| layout.canvas.len()).sum::<usize>() * candidates;
        let may_grow = layouts.len() * candidates * self.budget.canvas_rows;
        state.make_room(&self.backend, if self.elastic.growth { may_grow } else { canvases })?;
        let (cache, reused) =
            state.prompts.encode(&self.backend, self.layers, &layout.prompt, &mut state.workspace, cancel)?;
        progress.prompted(&layout, reused, started);
        progress.length.lengths_tried = layouts.len();
        progress.length.rows_at_start += layout.holes.iter().map(Range::len).sum::<usize>();

        let started = Instant::now();
        let jobs = (0..candidates)
            .flat_map(|candidate| layouts.iter().map(move |layout| (candidate, layout)))
            .map(|(candidate, layout)| self.job(seed, candidate as u32, layout, &limits, &priors));
        let jobs = self.time(Stage::Votes, || jobs.collect());
        let run = Run {
            backend: &self.backend,
            layers: self.layers,
            prompts: &[cache],
            schedule: &self.schedule,
            noise: Noise::Seeded(self.noise),
            sets: &self.sets,
            delete: self.delete,
            grow_to: self.elastic.growth.then_some(self.budget.canvas_rows),
            own_probabilities: self.prior_odds.is_some(),
            first_soft: None,
        };
        let denoised = run.run(jobs, &mut state.workspace, cancel, &mut |report| {
            let draft = progress.draft(holes, self.draft(&report));
            on_step(Step {
                index: progress.steps + report.step + 1,
                limit: progress.steps + self.schedule.step_limit,
                candidate: report.job / layouts.len(),
                holes: &draft,
            });
        })?;
        let reader = answer::Reader {
            tokenizer: &self.tokenizer,
            delete: self.delete,
            prior_odds: self.prior_odds.unwrap_or(1.0),
            length_bonus: self.length_bonus.filter(|_| layouts.len() > 1),
            line_end: LineEnd::near(passage.text, passage.holes[0].byte_range.start),
        };
        let steps = denoised.iter().map(|canvas| canvas.steps).max().unwrap_or(0);
        let mut ranked = reader.rank(&denoised, &priors);
        ranked.truncate(candidates);
        progress.end_canvas(holes, ranked, steps);
        progress.timings.denoise_ms += milliseconds_since(started);
        Ok(())
    }

    /// What the text says of its first holes, if the model gains by it.
    fn priors(&self, passage: &Passage<'_>, count: usize) -> Vec<Option<Vec<Continuation>>> {
        if self.prior_odds.is_none() {
            return vec![None; count];
        }
        let Passage { text, holes, .. } = *passage;
        let of_hole = |hole: &SizedHole| {
            let replaced = text[hole.byte_range.clone()].trim();
            let extent = if hole.set == LINE_SET { Extent::Line } else { Extent::Block };
            let mut found = continuations_at(text, hole.byte_range.clone(), extent);
            // Whoever replaces a placeholder does not want another one.
            found.retain(|continuation| replaced.is_empty() || !continuation.text.contains(replaced));
            Some(found)
        };
        holes[..count].iter().map(of_hole).collect()
    }

    /// Lengthens holes that are too short for what is likely to stand in them, as far as the canvas has room.
    fn make_room_for_priors(&self, passage: &Passage<'_>, priors: &[Option<Vec<Continuation>>], layout: &mut Layout) {
        for (index, (continuations, hole)) in priors.iter().zip(passage.holes).enumerate() {
            let likely = continuations.iter().flatten().filter(|continuation| continuation.probability > LIKELY);
            // And one row that says where it ends.
            let rows =
                likely.map(|continuation| self.tokenizer.encode(&continuation.text).len() + 1).max().unwrap_or(0);
            let now = layout.holes[index].len();
            let room = self.budget.canvas_rows - layout.canvas.len();
            let rows = rows.min(hole.rows_max).min(now + room);
            if rows > now && self.delete.is_some() {
                layout.resize(index, rows);
            }
        }
    }

    /// The layout with its holes at all the lengths that are to be tried.
    fn lengths(&self, layout: &Layout) -> Vec<Layout> {
        if !self.elastic.lengths {
            return vec![layout.clone()];
        }
        let longest = layout.holes.iter().map(Range::len).max().unwrap_or(0);
        let shorter = LENGTHS.into_iter().filter(|rows| *rows < longest);
        shorter
            .chain([longest])
            .map(|rows| {
                let mut layout = layout.clone();
                for hole in 0..layout.holes.len() {
                    layout.resize(hole, rows.min(layout.holes[hole].len()));
                }
                layout
            })
            .collect()
    }

    /// The priors as tokens in the holes' rows, those that have room there. Every candidate goes without the likeliest
    /// ones of those before it, so that it comes to something else.
    fn votes(&self, priors: &[Option<Vec<Continuation>>], holes: &[Range<usize>], candidate: u32) -> Votes {
        let mut votes = Votes::default();
        let odds = self.prior_odds.unwrap_or(1.0);
        for (continuations, rows) in priors.iter().zip(holes) {
            let continuations =
                continuations.as_ref().and_then(|all| all.get(candidate as usize..)).unwrap_or_default();
            let sequences =
                continuations.iter().zip(weights(continuations, odds)).filter_map(|(continuation, weight)| {
                    let mut tokens = self.tokenizer.encode(&continuation.text);
                    let fits = tokens.len() == rows.len() || (tokens.len() < rows.len() && self.delete.is_some());
                    fits.then(|| {
                        tokens.resize(rows.len(), self.delete.unwrap_or_default());
                        (tokens, weight)
                    })
                });
            votes.add(rows.clone(), sequences.collect());
        }
        votes
    }

    fn job(
        &self,
        seed: u64,
        candidate: u32,
        layout: &Layout,
        limits: &[usize],
        priors: &[Option<Vec<Continuation>>],
    ) -> CanvasJob {
        let canvas = self.noise_canvas(seed, candidate, 0, layout);
        let votes = self.votes(priors, &layout.holes, candidate);
        CanvasJob { canvas, holes: layout.holes.clone(), limits: limits.to_vec(), prompt: 0, seed, candidate, votes }
    }

    /// The layout's canvas with noise in all its holes.
    pub(super) fn noise_canvas(&self, seed: u64, candidate: u32, step: u32, layout: &Layout) -> Canvas {
        Canvas::new(layout.canvas.clone(), |row| {
            let allowed = layout.canvas[row].allowed().map(|set| &self.sets[set]);
            self.noise.start(Place { seed, candidate, step, row: row as u32 }, allowed)
        })
    }

    /// The holes as text, piece by piece.
    fn draft(&self, report: &StepReport<'_>) -> Vec<Vec<Piece>> {
        let mut drafts: Vec<Vec<Piece>> = vec![Vec::new(); report.holes.len()];
        let mut tokens: Vec<Vec<u32>> = vec![Vec::new(); report.holes.len()];
        for ((row, outcome), accepted) in report.hole_rows.iter().zip(report.outcomes).zip(report.accepted) {
            let Some(hole) = report.holes.iter().position(|hole| hole.contains(row)) else { continue };
            tokens[hole].push(outcome.argmax);
            drafts[hole].push(Piece { text: String::new(), settled: *accepted, certainty: outcome.probability });
        }
        for (draft, tokens) in drafts.iter_mut().zip(&tokens) {
            for ((piece, text), token) in draft.iter_mut().zip(self.tokenizer.pieces(tokens)).zip(tokens) {
                if Some(*token) != self.delete {
                    piece.text = text;
                }
            }
        }
        drafts
    }
}
