//! One step of a run: a pass, the head, and what the sampler makes of it.

use super::{Backend, RowOutcome, RowVote, SampleRow, SampleSettings, Segment, denoise};
use crate::Error;
use crate::canvas::TokenSet;
use crate::noise::Noise;
use crate::sampler::{Schedule, accept, is_settled};

/// All canvases of a run that are not done, packed one after the other.
#[derive(Clone, Copy)]
pub(crate) struct StepInput<'a> {
    /// From 0.
    pub(crate) step: usize,
    pub(crate) schedule: &'a Schedule,
    pub(crate) noise: Noise<'a>,
    /// The tokens of all packed rows.
    pub(crate) ids: &'a [u32],
    /// One a canvas.
    pub(crate) segments: &'a [Segment],
    /// As for [`Backend::self_condition`].
    pub(crate) soft_targets: &'a [Option<usize>],
    /// The hole rows, canvas after canvas. Their places are of this step.
    pub(crate) rows: &'a [SampleRow],
    /// One a canvas.
    pub(crate) canvases: &'a [CanvasHoles],
    /// What is remembered of each canvas in turn: the argmax of its hole rows in steps before this one, the oldest first.
    pub(crate) history: &'a [u32],
    /// The token sets that rows name.
    pub(crate) sets: &'a [TokenSet],
    /// As in [`SampleSettings`].
    pub(crate) votes: &'a [RowVote],
    /// As in [`SampleSettings`].
    pub(crate) own_probabilities: bool,
}

/// How many hole rows a canvas has, at least one, and of how many steps before this one their argmax is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CanvasHoles {
    pub(crate) holes: usize,
    pub(crate) remembered: usize,
}

impl<'a> StepInput<'a> {
    pub(crate) fn settings(&self) -> SampleSettings<'a> {
        SampleSettings {
            temperature: self.schedule.temperature(self.step),
            sets: self.sets,
            noise: self.noise.gumbel(self.step),
            votes: self.votes,
            own_probabilities: self.own_probabilities,
            keep_soft: self.keeps_soft(),
        }
    }

    /// Whether a next step will want the soft embeddings.
    pub(crate) fn keeps_soft(&self) -> bool {
        self.step + 1 < self.schedule.step_limit
    }
}

/// What became of the hole rows and the canvases; used again in the next step.
#[derive(Default)]
pub(crate) struct StepOutcome {
    /// Of each hole row.
    pub(crate) outcomes: Vec<RowOutcome>,
    /// Of each hole row: whether it holds its sample now, and not noise.
    pub(crate) accepted: Vec<bool>,
    /// What each hole row holds now.
    pub(crate) tokens: Vec<u32>,
    /// Of each canvas: whether it has stopped.
    pub(crate) done: Vec<bool>,
    entropies: Vec<f32>,
    order: Vec<usize>,
    /// The packed rows of the hole rows.
    read: Vec<usize>,
}

impl StepOutcome {
    pub(crate) fn clear(&mut self) {
        self.outcomes.clear();
        self.accepted.clear();
        self.tokens.clear();
        self.done.clear();
    }
}

/// A step whose pass runs on a backend and whose sampler here.
pub(crate) fn on_host<B: Backend>(
    backend: &B,
    layers: usize,
    input: StepInput<'_>,
    prompts: &[&B::Cache],
    workspace: &mut B::Workspace,
    outcome: &mut StepOutcome,
) -> Result<(), Error> {
    outcome.clear();
    outcome.outcomes.resize(input.rows.len(), RowOutcome::default());
    let StepOutcome { outcomes, read, .. } = outcome;
    read.clear();
    read.extend(input.rows.iter().map(|row| row.row));
    backend.run(|| {
        denoise(backend, layers, input.ids, input.segments, prompts, input.soft_targets, Some(read), workspace)?;
        backend.sample(workspace, input.rows, input.settings(), outcomes)
    })?;
    conclude(input, outcome);
    Ok(())
}

/// Accepts, renoises, and decides which canvases are done.
fn conclude(input: StepInput<'_>, outcome: &mut StepOutcome) {
    let StepOutcome { outcomes, accepted, tokens, done, entropies, order, .. } = outcome;
    accepted.resize(input.rows.len(), false);
    let mut history = input.history;
    let mut first = 0;
    for CanvasHoles { holes, remembered } in input.canvases.iter().copied() {
        let range = first..first + holes;
        let (past, others) = history.split_at(remembered * holes);
        (first, history) = (range.end, others);
        let (rows, outcomes, accepted) = (&input.rows[range.clone()], &outcomes[range.clone()], &mut accepted[range]);
        entropies.clear();
        entropies.extend(outcomes.iter().map(|outcome| outcome.entropy));
        accept(entropies, input.schedule.entropy_bound, order, accepted);
        tokens.extend(rows.iter().zip(outcomes).zip(accepted.iter()).map(
            |((row, outcome), accepted)| match accepted {
                true => outcome.sample,
                false => input.noise.renoise(row.place, row.allowed.map(|set| &input.sets[set])),
            },
        ));
        let argmax = outcomes.iter().map(|outcome| outcome.argmax);
        done.push(is_settled(past.chunks_exact(holes), argmax, entropies, input.schedule));
    }
}
