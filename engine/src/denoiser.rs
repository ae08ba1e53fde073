//! Whole denoising runs: canvases in, settled canvases out.

use std::ops::Range;

use crate::backend::{Backend, CanvasHoles, RowOutcome, RowVote, SampleRow, Segment, StepInput, StepOutcome};
use crate::canvas::{Canvas, Row, TokenSet};
use crate::noise::Noise;
use crate::philox::Place;
use crate::prior::{AcceptedRow, Votes};
use crate::sampler::{History, Schedule};
use crate::{Cancel, Error};

mod growth;
mod surplus;
#[cfg(test)]
mod tests;

use growth::{Growth, pushed};
use surplus::{moved, surplus};

/// One canvas of a run.
pub(crate) struct CanvasJob {
    pub(crate) canvas: Canvas,
    /// The rows of each hole, ascending. They need not be named where nothing is deleted.
    pub(crate) holes: Vec<Range<usize>>,
    /// The rows that each hole may have at most, if holes may grow.
    pub(crate) limits: Vec<usize>,
    /// Which of the run's prompts it stands over.
    pub(crate) prompt: usize,
    pub(crate) seed: u64,
    /// Distinguishes canvases with the same seed.
    pub(crate) candidate: u32,
    pub(crate) votes: Votes,
}

/// One canvas after one step.
pub(crate) struct StepReport<'a> {
    /// Which of the run's canvases.
    pub(crate) job: usize,
    /// From 0.
    pub(crate) step: usize,
    /// After renoising.
    pub(crate) canvas: &'a Canvas,
    /// The rows of each hole.
    pub(crate) holes: &'a [Range<usize>],
    /// The hole rows, ascending; the following slices have one entry for each.
    pub(crate) hole_rows: &'a [usize],
    pub(crate) outcomes: &'a [RowOutcome],
    pub(crate) accepted: &'a [bool],
}

/// A settled canvas.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Denoised {
    /// The last argmax, pinned rows included.
    pub(crate) tokens: Vec<u32>,
    /// The argmax's probability in the last step; 1 for pinned rows.
    pub(crate) probabilities: Vec<f32>,
    /// The probability, in the model's own distribution at temperature 1, of what was sampled in the last step; 1 for
    /// pinned rows, and for all of them where it was not wanted.
    pub(crate) own_probabilities: Vec<f32>,
    /// Where the holes are now, after what was left over of them went.
    pub(crate) holes: Vec<Range<usize>>,
    pub(crate) steps: usize,
}

/// What a run works with.
pub(crate) struct Run<'a, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) layers: usize,
    pub(crate) prompts: &'a [&'a B::Cache],
    /// For each prompt, whether its canvases are still wanted.
    pub(crate) cancels: &'a [&'a Cancel],
    pub(crate) schedule: &'a Schedule,
    pub(crate) noise: Noise<'a>,
    /// The token sets that the canvases' rows name.
    pub(crate) sets: &'a [TokenSet],
    /// The token that says that a row holds no text; rows at a hole's end that do are removed between steps.
    pub(crate) delete: Option<u32>,
    /// Holes in which no row is left over grow until their canvas has so many rows; not at all where it is `None`.
    pub(crate) grow_to: Option<usize>,
    /// Whether the model's own probabilities are wanted, as they are wherever a canvas has votes.
    pub(crate) own_probabilities: bool,
    /// Logits of an earlier step to condition the first one on, [hole rows of all canvases, vocabulary].
    pub(crate) first_soft: Option<&'a [f32]>,
}

/// The state of one canvas during a run.
struct Progress {
    job: CanvasJob,
    hole_rows: Vec<usize>,
    history: History,
    outcomes: Vec<RowOutcome>,
    accepted: Vec<bool>,
    /// Which rows the soft embeddings of the last pass that it took part in belong to, in their order.
    soft_rows: Vec<Option<usize>>,
    done: bool,
    steps: usize,
}

impl<B: Backend> Run<'_, B> {
    /// Denoises all canvases together until each has stopped. `workspace` must have room for all their rows. A canvas that
    /// is not wanted any more stops where it is, and where none is wanted any more the run fails with [`Error::Cancelled`].
    pub(crate) fn run(
        &self,
        jobs: Vec<CanvasJob>,
        workspace: &mut B::Workspace,
        on_step: &mut dyn FnMut(StepReport<'_>),
    ) -> Result<Vec<Denoised>, Error> {
        let mut states: Vec<Progress> = jobs.into_iter().map(|job| Progress::new(job, self.schedule)).collect();
        let mut pass = Pass::with_room_for(&states);
        for step in 0..self.schedule.step_limit {
            if states.iter().all(|state| state.done) {
                break;
            }
            self.stop_cancelled(&mut states)?;
            if states.iter().all(|state| state.done) {
                break;
            }
            self.step(step, &mut states, &mut pass, workspace)?;
            for (index, state) in states.iter().enumerate().filter(|(_, state)| state.steps == step + 1) {
                on_step(state.report(index, step));
            }
            if let Some(delete) = self.delete
                && step + 1 < self.schedule.step_limit
            {
                states.iter_mut().filter(|state| state.steps == step + 1).for_each(|state| self.stretch(state, delete));
            }
        }
        Ok(states.into_iter().map(Progress::finish).collect())
    }

    fn stop_cancelled(&self, states: &mut [Progress]) -> Result<(), Error> {
        let mut wanted = 0;
        for (prompt, cancel) in self.cancels.iter().enumerate() {
            if cancel.is_cancelled() {
                states.iter_mut().filter(|state| state.job.prompt == prompt).for_each(|state| state.done = true);
            } else {
                wanted += 1;
            }
        }
        if wanted == 0 { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn step(
        &self,
        step: usize,
        states: &mut [Progress],
        pass: &mut Pass,
        workspace: &mut B::Workspace,
    ) -> Result<(), Error> {
        pass.lay_out(step, states, self.first_soft.is_some());
        let Self { backend, layers, prompts, schedule, noise, sets, own_probabilities, .. } = *self;
        if let Some(logits) = self.first_soft.filter(|_| step == 0) {
            backend.run(|| backend.soften(workspace, logits))?;
        }
        let input = StepInput {
            step,
            schedule,
            noise,
            ids: &pass.ids,
            segments: &pass.segments,
            soft_targets: &pass.soft_targets,
            rows: &pass.rows,
            canvases: &pass.canvases,
            history: &pass.history,
            sets,
            votes: &pass.votes,
            own_probabilities,
        };
        backend.step(layers, input, prompts, workspace, &mut pass.outcome)?;
        let mut first = 0;
        for (index, state) in states.iter_mut().filter(|state| !state.done).enumerate() {
            let range = first..first + state.hole_rows.len();
            first = range.end;
            state.advance(step, &pass.outcome, range, index);
        }
        Ok(())
    }

    /// Makes the holes as long as they need to be; a canvas that was done goes on where one of them grows.
    fn stretch(&self, state: &mut Progress, delete: u32) {
        let grown = self.grow_to.is_some_and(|rows| state.grow(rows, delete, self.noise, self.sets));
        state.done &= !grown;
        let shrunk = !state.done && state.remove_surplus(delete);
        if grown || shrunk {
            state.history.clear();
        }
    }
}

impl CanvasJob {
    fn place(&self, step: usize, row: usize) -> Place {
        Place { seed: self.seed, candidate: self.candidate, step: step as u32, row: row as u32 }
    }
}

impl Progress {
    fn new(job: CanvasJob, schedule: &Schedule) -> Self {
        let hole_rows: Vec<usize> = job.canvas.hole_rows().collect();
        Self {
            history: History::new(schedule),
            outcomes: vec![RowOutcome::default(); hole_rows.len()],
            accepted: vec![false; hole_rows.len()],
            soft_rows: Vec::with_capacity(hole_rows.len()),
            done: hole_rows.is_empty(),
            steps: 0,
            job,
            hole_rows,
        }
    }

    /// Takes what a step made of its hole rows, which stand in `range` among all, and of the canvas, which is the `index`-th.
    fn advance(&mut self, step: usize, outcome: &StepOutcome, range: Range<usize>, index: usize) {
        self.outcomes.copy_from_slice(&outcome.outcomes[range.clone()]);
        self.accepted.copy_from_slice(&outcome.accepted[range.clone()]);
        for (row, token) in self.hole_rows.iter().zip(&outcome.tokens[range]) {
            self.job.canvas.set(*row, *token);
        }
        self.history.push(self.outcomes.iter().map(|outcome| outcome.argmax));
        self.steps = step + 1;
        self.done = outcome.done[index];
    }

    /// The next pass leaves a soft embedding for each hole row.
    fn keep_soft_rows(&mut self) {
        self.soft_rows.clear();
        self.soft_rows.extend(self.hole_rows.iter().copied().map(Some));
    }

    fn report(&self, job: usize, step: usize) -> StepReport<'_> {
        StepReport {
            job,
            step,
            canvas: &self.job.canvas,
            holes: &self.job.holes,
            hole_rows: &self.hole_rows,
            outcomes: &self.outcomes,
            accepted: &self.accepted,
        }
    }

    /// Adds rows of noise to holes in which none is left over; whether there are any.
    fn grow(&mut self, canvas_rows: usize, delete: u32, noise: Noise<'_>, sets: &[TokenSet]) -> bool {
        let mut first = 0;
        let mut grown = false;
        for hole in 0..self.job.holes.len() {
            let Range { start, end } = self.job.holes[hole];
            let outcomes = &self.outcomes[first..first + (end - start)];
            let growth = Growth { hole_rows: self.job.limits[hole], canvas_rows };
            let count = growth.of(outcomes, delete, self.steps, self.done, self.job.canvas.len());
            first += end - start;
            if count > 0 {
                let row = self.job.canvas.row(end - 1);
                let allowed = row.allowed().map(|set| &sets[set]);
                let place = |row: usize| self.job.place(self.steps - 1, row);
                let tokens: Vec<u32> = (end..end + count).map(|row| noise.renoise(place(row), allowed)).collect();
                self.insert(hole, row, &tokens, first, delete);
                first += count;
                grown = true;
            }
        }
        grown
    }

    /// Adds rows to a hole's end, which is before the hole rows' `index`-th. All rows behind it move down.
    fn insert(&mut self, hole: usize, row: Row, tokens: &[u32], index: usize, delete: u32) {
        let Range { end, .. } = self.job.holes[hole];
        let rows = end..end + tokens.len();
        self.job.canvas.insert(end, row, tokens);
        self.job.votes.insert(rows.clone(), delete);
        self.job.holes[hole].end += rows.len();
        for later in &mut self.job.holes[hole + 1..] {
            *later = later.start + rows.len()..later.end + rows.len();
        }
        self.hole_rows[index..].iter_mut().for_each(|row| *row += rows.len());
        self.hole_rows.splice(index..index, rows.clone());
        self.outcomes.splice(index..index, rows.clone().map(|_| RowOutcome::default()));
        self.accepted.splice(index..index, rows.clone().map(|_| false));
        for row in self.soft_rows.iter_mut().flatten() {
            *row = pushed(*row, &rows);
        }
    }

    /// Removes what is left over of the holes, so that later steps have less to compute; whether anything is.
    fn remove_surplus(&mut self, delete: u32) -> bool {
        let mut first = 0;
        let mut shrunk = false;
        for hole in 0..self.job.holes.len() {
            let Range { start, end } = self.job.holes[hole];
            let own = first..first + (end - start);
            let surplus = surplus(&self.outcomes[own.clone()], &self.accepted[own], delete);
            if !surplus.is_empty() {
                self.remove(hole, start + surplus.start..start + surplus.end, first + surplus.start, delete);
                shrunk = true;
            }
            first += self.job.holes[hole].len();
        }
        shrunk
    }

    /// Removes rows of a hole that hold `delete`, whose first is the hole rows' `index`-th. All rows behind them move up.
    fn remove(&mut self, hole: usize, rows: Range<usize>, index: usize, delete: u32) {
        self.job.canvas.remove(rows.clone());
        self.job.votes.remove(rows.clone(), delete);
        self.job.holes[hole].end -= rows.len();
        for later in &mut self.job.holes[hole + 1..] {
            *later = later.start - rows.len()..later.end - rows.len();
        }
        let indices = index..index + rows.len();
        self.hole_rows.drain(indices.clone());
        self.hole_rows[index..].iter_mut().for_each(|row| *row -= rows.len());
        self.outcomes.drain(indices.clone());
        self.accepted.drain(indices);
        for row in &mut self.soft_rows {
            *row = row.and_then(|row| moved(row, &rows));
        }
    }

    /// What the last step accepted; nothing before the first.
    fn accepted_rows(&self) -> Vec<AcceptedRow> {
        let rows = self.hole_rows.iter().zip(&self.outcomes).zip(&self.accepted);
        rows.filter(|(_, accepted)| **accepted)
            .map(|((row, outcome), _)| AcceptedRow {
                row: *row,
                token: outcome.sample,
                own_probability: outcome.own_probability,
            })
            .collect()
    }

    fn finish(self) -> Denoised {
        let mut tokens = self.job.canvas.tokens().to_vec();
        let mut probabilities = vec![1.0; tokens.len()];
        let mut own_probabilities = probabilities.clone();
        for (row, outcome) in self.hole_rows.iter().zip(&self.outcomes) {
            tokens[*row] = outcome.argmax;
            probabilities[*row] = outcome.probability;
            own_probabilities[*row] = outcome.own_probability;
        }
        Denoised { tokens, probabilities, own_probabilities, holes: self.job.holes, steps: self.steps }
    }
}

/// Buffers of one pass, used again in the next.
struct Pass {
    ids: Vec<u32>,
    segments: Vec<Segment>,
    rows: Vec<SampleRow>,
    canvases: Vec<CanvasHoles>,
    history: Vec<u32>,
    votes: Vec<RowVote>,
    soft_targets: Vec<Option<usize>>,
    outcome: StepOutcome,
}

impl Pass {
    fn with_room_for(states: &[Progress]) -> Self {
        let rows = states.iter().map(|state| state.job.canvas.len()).sum();
        Self {
            ids: Vec::with_capacity(rows),
            segments: Vec::with_capacity(states.len()),
            rows: Vec::with_capacity(rows),
            canvases: Vec::with_capacity(states.len()),
            history: Vec::new(),
            votes: Vec::new(),
            soft_targets: Vec::with_capacity(rows),
            outcome: StepOutcome::default(),
        }
    }

    /// Packs the canvases that are not done.
    fn lay_out(&mut self, step: usize, states: &mut [Progress], soft_from_outside: bool) {
        self.ids.clear();
        self.segments.clear();
        self.rows.clear();
        self.canvases.clear();
        self.history.clear();
        self.votes.clear();
        self.soft_targets.clear();
        for state in states {
            let first = self.ids.len();
            if step == 0 && soft_from_outside {
                state.keep_soft_rows();
            }
            if state.done {
                // A canvas that has stopped since left its soft embeddings behind; they go nowhere.
                self.soft_targets.extend(state.soft_rows.drain(..).map(|_| None));
                continue;
            }
            self.ids.extend_from_slice(state.job.canvas.tokens());
            self.segments.push(Segment { rows: state.job.canvas.len(), prompt: state.job.prompt });
            self.soft_targets.extend(state.soft_rows.iter().map(|row| row.map(|row| first + row)));
            state.keep_soft_rows();
            self.canvases.push(CanvasHoles { holes: state.hole_rows.len(), remembered: state.history.len() });
            state.history.iter().for_each(|argmax| self.history.extend_from_slice(argmax));
            for row in &state.hole_rows {
                let allowed = state.job.canvas.row(*row).allowed();
                self.rows.push(SampleRow { row: first + row, allowed, place: state.job.place(step, *row) });
            }
            if !state.job.votes.is_empty() {
                let votes = &mut self.votes;
                let accepted = state.accepted_rows();
                state.job.votes.cast(&accepted, |vote| votes.push(RowVote { row: first + vote.row, ..vote }));
            }
        }
    }
}
