//! Free holes: denoised, canvas after canvas.

use std::ops::Range;
use std::time::Instant;

use super::{Engine, answer, milliseconds_since, progress::Progress};
use crate::backend::Backend;
use crate::canvas::Canvas;
use crate::clock::Stage;
use crate::denoiser::{CanvasJob, Denoised, Run, StepReport};
use crate::noise::Noise;
use crate::philox::Place;
use crate::prior::{Continuation, Votes, continuations_at, weights};
use crate::prompt::{self, LINE_SET, Layout, LineEnd, Passage, SizedHole};
use crate::{Cancel, Error, Extent, InfillRequest, Piece, Step};

/// Candidates of a canvas at most; each costs as much again.
const CANDIDATES_LIMIT: usize = 16;
/// Rows that holes have where several lengths are tried, besides all that they may have.
const LENGTHS: [usize; 8] = [1, 2, 4, 6, 9, 13, 19, 32];
/// What the document repeats with this probability gets room in its hole.
const LIKELY: f64 = 0.02;

/// The next canvas of a request's free holes.
pub(super) struct NextCanvas {
    /// The holes that share it: their indices in the request, and where in the text they are.
    holes: Vec<(usize, Range<usize>)>,
    /// With its holes at all the lengths that are to be tried, the longest last.
    layouts: Vec<Layout>,
    candidates: usize,
    /// The rows that each hole may have at most.
    limits: Vec<usize>,
    priors: Vec<Option<Vec<Continuation>>>,
    line_end: LineEnd,
    /// Rows that a pass needs for all candidates at all lengths, if they grow as far as they may.
    pub(super) rows: usize,
    pub(super) laid_out_ms: f64,
}

impl NextCanvas {
    pub(super) fn layout(&self) -> &Layout {
        &self.layouts[self.layouts.len() - 1]
    }

    pub(super) fn prompt(&self) -> &[u32] {
        &self.layout().prompt
    }

    /// In how many ways it is denoised.
    pub(super) fn jobs(&self) -> usize {
        self.layouts.len() * self.candidates
    }
}

impl<B: Backend> Engine<B> {
    /// What is to be denoised next of a request's holes; those on later canvases read what was made of the earlier ones.
    /// `None` if all are filled.
    pub(super) fn next_canvas(&self, progress: &Progress<'_>) -> Result<Option<NextCanvas>, Error> {
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
            return Ok(None);
        }
        let started = Instant::now();
        let passage = &progress.request.passage(&remainder.text, &sized);
        let mut layout =
            self.time(Stage::LayOut, || prompt::lay_out(passage, &self.tokenizer, &self.form, self.budget))?;
        let count = layout.holes.len();
        let priors = self.time(Stage::Prior, || self.priors(passage, count));
        self.make_room_for_priors(passage, &priors, &mut layout);
        let layouts = self.lengths(layout);
        let candidates = progress.request.candidates.clamp(1, CANDIDATES_LIMIT);
        let rows = match self.elastic.growth {
            true => layouts.len() * self.budget.canvas_rows,
            false => layouts.iter().map(|layout| layout.canvas.len()).sum(),
        };
        Ok(Some(NextCanvas {
            holes: remainder.open[..count].to_vec(),
            layouts,
            candidates,
            limits: sized[..count].iter().map(|hole| hole.rows_max).collect(),
            priors,
            line_end: LineEnd::near(&remainder.text, sized[0].byte_range.start),
            rows: rows * candidates,
            laid_out_ms: milliseconds_since(started),
        }))
    }

    /// The canvas in all the ways in which it is denoised, over the run's prompt of that index.
    pub(super) fn jobs(&self, canvas: &NextCanvas, request: &InfillRequest, prompt: usize) -> Vec<CanvasJob> {
        let jobs = (0..canvas.candidates)
            .flat_map(|candidate| canvas.layouts.iter().map(move |layout| (candidate, layout)))
            .map(|(candidate, layout)| self.job(request.seed, candidate as u32, layout, canvas, prompt));
        self.time(Stage::Votes, || jobs.collect())
    }

    /// How canvases over these prompts are denoised.
    pub(super) fn run<'a>(&'a self, prompts: &'a [&'a B::Cache], cancels: &'a [&'a Cancel]) -> Run<'a, B> {
        Run {
            backend: &self.backend,
            layers: self.layers,
            prompts,
            cancels,
            schedule: &self.schedule,
            noise: Noise::Seeded(self.noise),
            sets: &self.sets,
            delete: self.delete,
            grow_to: self.elastic.growth.then_some(self.budget.canvas_rows),
            own_probabilities: self.prior_odds.is_some(),
            first_soft: None,
        }
    }

    /// Tells of a step that the canvas's `job`-th way has taken.
    pub(super) fn show(
        &self,
        canvas: &NextCanvas,
        job: usize,
        report: &StepReport<'_>,
        progress: &Progress<'_>,
        on_step: &mut dyn FnMut(Step<'_>),
    ) {
        let draft = progress.draft(&canvas.holes, self.draft(report));
        on_step(Step {
            index: progress.steps + report.step + 1,
            limit: progress.steps + self.schedule.step_limit,
            candidate: job / canvas.layouts.len(),
            holes: &draft,
        });
    }

    /// Ranks what was made of the canvas, and settles its holes.
    pub(super) fn take_in(&self, canvas: &NextCanvas, denoised: &[Denoised], progress: &mut Progress<'_>) {
        let reader = answer::Reader {
            tokenizer: &self.tokenizer,
            delete: self.delete,
            prior_odds: self.prior_odds.unwrap_or(1.0),
            length_bonus: self.length_bonus.filter(|_| canvas.layouts.len() > 1),
            line_end: canvas.line_end,
        };
        let steps = denoised.iter().map(|canvas| canvas.steps).max().unwrap_or(0);
        let mut ranked = reader.rank(denoised, &canvas.priors);
        ranked.truncate(canvas.candidates);
        progress.length.lengths_tried = canvas.layouts.len();
        progress.length.rows_at_start += canvas.layout().holes.iter().map(Range::len).sum::<usize>();
        progress.end_canvas(&canvas.holes, ranked, steps);
    }

    /// What the text says of its first holes, if the model gains by it.
    fn priors(&self, passage: &Passage<'_>, count: usize) -> Vec<Option<Vec<Continuation>>> {
        if self.prior_odds.is_none() {
            return vec![None; count];
        }
        let Passage { text, excerpts, holes, .. } = *passage;
        let of_hole = |hole: &SizedHole| {
            let replaced = text[hole.byte_range.clone()].trim();
            let extent = if hole.set == LINE_SET { Extent::Line } else { Extent::Block };
            let mut found = continuations_at(text, hole.byte_range.clone(), excerpts, extent);
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
    fn lengths(&self, layout: Layout) -> Vec<Layout> {
        if !self.elastic.lengths {
            return vec![layout];
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

    fn job(&self, seed: u64, candidate: u32, layout: &Layout, of: &NextCanvas, prompt: usize) -> CanvasJob {
        let canvas = self.noise_canvas(seed, candidate, 0, layout);
        let votes = self.votes(&of.priors, &layout.holes, candidate);
        CanvasJob { canvas, holes: layout.holes.clone(), limits: of.limits.clone(), prompt, seed, candidate, votes }
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
