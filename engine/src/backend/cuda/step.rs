//! A step of a run without a word from the host: pass, head and sampler, as one graph where the same step was taken before.
//!
//! What a step needs to be told stands in buffers of its own, and is written only where it is not there already: in the second step of a canvas
//! nothing is. The host waits once, for the report.

use lacuna_kernels::Error;
use lacuna_kernels::ops::head::{self as kernel_head, SampleSettings as KernelSettings};
use lacuna_kernels::ops::sampler::{AdvanceInput, Renoise, Schedule as KernelSchedule, advance};

use super::attention::{attend_canvas, canvas_tables};
use super::feed_forward::feed_forward;
use super::head::{
    embed_written, keep_sets, keep_soft, outcome_of, self_condition_written, votes_in, write_ids, write_sources,
};
use super::weights::Weights;
use super::workspace::Workspace;
use super::{Activation, Cache};
use crate::backend::{SampleNoise, Segment, Stack, StepInput, StepOutcome};
use crate::noise::{Noise, NoiseKind};
use crate::sampler::Schedule;

mod graphs;
mod rows;
#[cfg(test)]
mod tests;

use graphs::Known;
pub(super) use rows::RunRows;

/// All that the launches of a step follow from, besides the model and addresses that stay the same.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepShape {
    rows: usize,
    holes: usize,
    /// Rows of each canvas.
    canvases: Vec<usize>,
    /// As the attention's launches go by it.
    cached_bound: usize,
    /// Soft embeddings that the rows are conditioned on.
    entries: Option<usize>,
    keeps_soft: bool,
    has_votes: bool,
    own_probabilities: bool,
    /// Which upload of token sets.
    sets: u64,
    noise: ShapeNoise,
    schedule: Schedule,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ShapeNoise {
    Uniform,
    Absorbing(u32),
    /// A tape moves from step to step.
    Tape,
}

pub(super) fn step<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    input: StepInput<'_>,
    caches: &[&Cache<T>],
    outcome: &mut StepOutcome,
) -> Result<(), Error> {
    let shape = prepare(weights, workspace, input, caches)?;
    let mut graphs = std::mem::take(&mut workspace.run.graphs);
    let launched = match graphs.find(&shape) {
        Known::Graph(graph) => {
            workspace.rows = shape.rows;
            graph.launch()
        }
        Known::Shape => {
            let device = workspace.device.clone();
            let captured = device.capture(|| launch(weights, workspace, &shape, input.segments, caches));
            captured.and_then(|graph| graph.launch().map(|()| graphs.add(shape, graph)))
        }
        Known::Nothing => {
            let launched = launch(weights, workspace, &shape, input.segments, caches);
            if shape.noise != ShapeNoise::Tape {
                graphs.note(shape);
            }
            launched
        }
    };
    workspace.run.graphs = graphs;
    launched?;
    conclude(workspace, input, outcome)
}

/// Tells the device all that it does not know yet.
fn prepare<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    input: StepInput<'_>,
    caches: &[&Cache<T>],
) -> Result<StepShape, Error> {
    if !workspace.run.is_continued_by(&input) {
        write_ids(workspace, input.ids)?;
        workspace.run.begin(&workspace.device, &input)?;
    }
    let is_conditioned = write_sources(workspace, input.ids.len(), input.soft_targets)?;
    let Workspace { device, head, attention, run, .. } = workspace;
    keep_sets(device, head, input.sets, weights.vocabulary)?;
    let has_votes = input.own_probabilities && !input.votes.is_empty();
    if has_votes {
        run.write_votes(input.rows, input.votes)?;
    }
    let noise = match input.noise {
        Noise::Seeded(seeded) => match seeded.kind {
            NoiseKind::Uniform => ShapeNoise::Uniform,
            NoiseKind::Absorbing(token) => ShapeNoise::Absorbing(token),
        },
        Noise::Tape(tape) => {
            let SampleNoise::Tape(gumbel) = input.noise.gumbel(input.step) else { unreachable!("a tape is a tape") };
            run.write_tape(device, gumbel, tape)?;
            ShapeNoise::Tape
        }
    };
    let tables = canvas_tables(weights, &mut attention.canvases, input.segments, caches)?;
    Ok(StepShape {
        rows: input.ids.len(),
        holes: input.rows.len(),
        canvases: input.segments.iter().map(|segment| segment.rows).collect(),
        cached_bound: if weights.layers.is_empty() { 0 } else { tables.layer(0).cached_bound() },
        entries: is_conditioned.then_some(input.soft_targets.len()),
        keeps_soft: input.keeps_soft(),
        has_votes,
        own_probabilities: input.own_probabilities,
        sets: head.sets_written,
        noise,
        schedule: *input.schedule,
    })
}

/// Queues the step. Nothing in it makes the host wait, so that all of it can be captured.
fn launch<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    shape: &StepShape,
    segments: &[Segment],
    caches: &[&Cache<T>],
) -> Result<(), Error> {
    embed_written(weights, workspace, shape.rows)?;
    self_condition_written(weights, workspace, shape.entries)?;
    for layer in 0..weights.layers.len() {
        attend_canvas(weights, workspace, layer, segments, caches)?;
        feed_forward(weights, workspace, layer, Stack::Decoder)?;
    }
    let Workspace { stream, head, run, ids, .. } = workspace;
    let stream = stream.slice(0..shape.rows * weights.hidden);
    let sets = head.sets.as_ref().map(|(_, sets)| sets);
    let tape = run.tape.as_ref();
    let mut first = 0;
    for block in &mut run.blocks {
        let rows = first..first + block.rows.len();
        if rows.is_empty() {
            break;
        }
        let settings = KernelSettings {
            step: run.state.step(),
            sets,
            tape: tape.map(|tape| tape.gumbel.as_slice()),
            votes: shape.has_votes.then_some(&mut block.votes),
            own_probabilities: shape.own_probabilities,
            keep_soft: shape.keeps_soft,
        };
        let outcomes = run.outcomes.slice_mut(rows.clone());
        kernel_head::sample(weights.vocabulary(), stream, &block.rows, settings, &mut head.workspace, outcomes)?;
        if shape.keeps_soft {
            keep_soft(weights, &mut head.workspace, &mut head.soft, first)?;
        }
        first = rows.end;
    }
    let input = AdvanceInput {
        outcomes: run.outcomes.slice(0..shape.holes),
        sets,
        renoise: match (shape.noise, tape) {
            (ShapeNoise::Absorbing(token), _) => Renoise::Absorbing(token),
            (ShapeNoise::Tape, Some(tape)) => {
                Renoise::Tape { tokens: tape.renoise.as_slice(), canvas_rows: tape.canvas_rows }
            }
            _ => Renoise::Uniform,
        },
        vocabulary: weights.vocabulary,
    };
    advance(&mut run.state, &run.table, input, ids.slice_mut(0..shape.rows))
}

/// Waits for the step, and hands over what became of the canvases.
fn conclude<T>(workspace: &mut Workspace<T>, input: StepInput<'_>, outcome: &mut StepOutcome) -> Result<(), Error> {
    let report = workspace.run.state.report()?;
    outcome.clear();
    outcome.outcomes.extend(report.rows.iter().map(|row| outcome_of(&row.outcome)));
    outcome.accepted.extend(report.rows.iter().map(|row| row.is_accepted));
    outcome.tokens.extend(report.rows.iter().map(|row| row.token));
    outcome.done.extend(report.canvases.iter().map(|canvas| canvas.is_done));
    workspace.run.follow(&input, &outcome.tokens);
    Ok(())
}

/// The schedule as the kernels have it.
fn kernel_schedule(schedule: &Schedule) -> KernelSchedule {
    KernelSchedule {
        step_limit: schedule.step_limit as u32,
        entropy_bound: schedule.entropy_bound,
        t_min: schedule.t_min,
        t_max: schedule.t_max,
        stability_threshold: schedule.stability_threshold as u32,
        confidence_threshold: schedule.confidence_threshold,
    }
}
