//! The two ends of the model: embedding with self-conditioning, and the head with the sampler's arithmetic.

use lacuna_kernels::ops::embed::{self as embedding, NO_SIGNAL, Signal};
use lacuna_kernels::ops::head::{self, HeadWorkspace, SampleSettings as KernelSettings};
use lacuna_kernels::ops::norm::rms_norm;
use lacuna_kernels::ops::rows::NormedOutput;
use lacuna_kernels::ops::steps::{RowOutcome as KernelOutcome, SampleRow as KernelRow, Step, TokenLists, TokenSets};
use lacuna_kernels::{Buffer, Device, Error};

use super::Activation;
use super::weights::Weights;
use super::workspace::{HeadRows, Ready, Workspace};
use crate::backend::{RowOutcome, RowVote, SampleNoise, SampleRow, SampleSettings, ScoredToken};
use crate::canvas::TokenSet;

pub(super) fn embed<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    ids: &[u32],
) -> Result<(), Error> {
    write_ids(workspace, ids)?;
    embed_written(weights, workspace, ids.len())
}

/// Brings tokens to the device.
pub(super) fn write_ids<T>(workspace: &mut Workspace<T>, ids: &[u32]) -> Result<(), Error> {
    assert!(ids.len() <= workspace.capacity, "{} rows in a workspace for {}", ids.len(), workspace.capacity);
    workspace.run.forget();
    workspace.ids.slice_mut(0..ids.len()).write(ids)
}

/// Makes the first `count` tokens on the device, scaled, the workspace's rows.
pub(super) fn embed_written<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    count: usize,
) -> Result<(), Error> {
    let Workspace { rows, ready, ids, stream, .. } = workspace;
    (*rows, *ready) = (count, Ready::Nothing);
    let stream = stream.slice_mut(0..count * weights.hidden);
    embedding::embed(ids.slice(0..count), &weights.table(), weights.embedding_scale, stream)
}

pub(super) fn self_condition<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    targets: &[Option<usize>],
) -> Result<(), Error> {
    let is_conditioned = write_sources(workspace, workspace.rows, targets)?;
    self_condition_written(weights, workspace, is_conditioned.then_some(targets.len()))
}

/// Brings to the device which entry goes to which of `rows` rows; whether there is one at all.
pub(super) fn write_sources<T>(
    workspace: &mut Workspace<T>,
    rows: usize,
    targets: &[Option<usize>],
) -> Result<bool, Error> {
    if targets.iter().all(Option::is_none) {
        return Ok(false);
    }
    let HeadRows { sources, written_sources, .. } = &mut workspace.head;
    let mut wanted = vec![NO_SIGNAL; rows];
    for (entry, target) in targets.iter().enumerate() {
        if let Some(row) = target {
            wanted[*row] = entry as u32;
        }
    }
    if *written_sources != wanted {
        // Nothing is known to stand there while it is being written.
        written_sources.clear();
        sources.slice_mut(0..rows).write(&wanted)?;
        *written_sources = wanted;
    }
    Ok(true)
}

/// Conditions the rows on so many entries, if any, that go where the device was told.
pub(super) fn self_condition_written<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    entries: Option<usize>,
) -> Result<(), Error> {
    let hidden = weights.hidden;
    let Workspace { rows, ready, stream, normed, activated, linear: scratch, head, .. } = workspace;
    let [first, pre_normed, _] = normed;
    if let Some(entries) = entries {
        let conditioning = &weights.self_conditioning;
        let (numbers, width) = (entries * hidden, entries * weights.mlp_width);
        let pre_norm = Some(conditioning.pre_norm.as_slice());
        let gate_up = &conditioning.gate_up;
        let output = pre_normed.target(gate_up, entries);
        rms_norm(head.soft.slice(0..numbers), pre_norm, hidden, weights.eps, output)?;
        pre_normed.gated(entries, gate_up, scratch, activated.plain_mut(width))?;
        activated.round_for(&conditioning.down, entries)?;
        activated.linear(entries, &conditioning.down, scratch, head.signal.slice_mut(0..numbers))?;
    }
    let signal = entries.map(|entries| Signal {
        sources: head.sources.slice(0..*rows),
        entries: head.signal.slice(0..entries * hidden),
    });
    let numbers = *rows * hidden;
    let next = weights.layers.first().map(|layer| NormedOutput {
        weight: Some(layer.input_norm.as_slice()),
        output: first.target(&layer.qkv, *rows),
    });
    embedding::self_condition(signal, hidden, weights.eps, stream.slice_mut(0..numbers), [next, None, None])?;
    *ready = Ready::Attention(0);
    Ok(())
}

pub(super) fn soften<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    logits: &[f32],
) -> Result<(), Error> {
    let vocabulary = weights.vocabulary;
    let Workspace { device, head, .. } = workspace;
    let HeadRows { workspace, block, soft, .. } = head;
    for (index, part) in logits.chunks(*block * vocabulary).enumerate() {
        let logits = device.upload(part)?;
        head::soften(logits.as_slice(), workspace)?;
        keep_soft(weights, workspace, soft, index * *block)?;
    }
    Ok(())
}

/// Makes the soft embeddings of the distributions that the head has kept, from the entry `first` on.
pub(super) fn keep_soft<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut HeadWorkspace<T>,
    soft: &mut Buffer<f32>,
    first: usize,
) -> Result<(), Error> {
    let range = first * weights.hidden..(first + workspace.kept_rows()) * weights.hidden;
    head::soft_embeddings(weights.vocabulary(), workspace, weights.embedding_scale, soft.slice_mut(range))
}

pub(super) fn logits<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    out: &mut [f32],
) -> Result<(), Error> {
    let (hidden, vocabulary) = (weights.hidden, weights.vocabulary);
    let Workspace { device, rows, stream, head, .. } = workspace;
    let mut found = device.allocate(head.block.min(*rows) * vocabulary)?;
    for (index, part) in out.chunks_mut(head.block * vocabulary).enumerate() {
        let stream = stream.slice(index * head.block * hidden..*rows * hidden);
        let mut found = found.slice_mut(0..part.len());
        head::logits(weights.vocabulary(), stream, &mut head.workspace, found.reborrow())?;
        found.as_slice().read_into(part)?;
    }
    Ok(())
}

pub(super) fn log_probabilities<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    tokens: &[ScoredToken],
    out: &mut [f32],
) -> Result<(), Error> {
    let Workspace { device, rows: packed, stream, head, .. } = workspace;
    let stream = stream.slice(0..*packed * weights.hidden);
    let groups: Vec<&[ScoredToken]> = tokens.chunk_by(|a, b| a.row == b.row).collect();
    let mut done = 0;
    for groups in groups.chunks(head.block) {
        let rows: Vec<KernelRow> = groups.iter().map(|group| plain_row(group[0].row)).collect();
        let lists: Vec<Vec<u32>> = groups.iter().map(|group| group.iter().map(|token| token.token).collect()).collect();
        let count = lists.iter().map(Vec::len).sum();
        let mut listed = TokenLists::new(device, rows.len(), count)?;
        listed.write_tokens(&lists)?;
        head.rows.write(&rows)?;
        let mut found = device.allocate(count)?;
        head::log_probabilities(
            weights.vocabulary(),
            stream,
            &head.rows,
            &mut listed,
            &mut head.workspace,
            found.as_mut(),
        )?;
        found.as_slice().read_into(&mut out[done..done + count])?;
        done += count;
    }
    Ok(())
}

/// A packed row of which nothing is drawn.
fn plain_row(row: usize) -> KernelRow {
    KernelRow { row, set: None, seed: 0, candidate: 0, canvas_row: 0 }
}

pub(super) fn sample<T: Activation>(
    weights: &Weights<T>,
    workspace: &mut Workspace<T>,
    rows: &[SampleRow],
    settings: SampleSettings<'_>,
    outcomes: &mut [RowOutcome],
) -> Result<(), Error> {
    let Workspace { device, rows: packed, stream, head, .. } = workspace;
    let stream = stream.slice(0..*packed * weights.hidden);
    keep_sets(device, head, settings.sets, weights.vocabulary)?;
    let tape = match settings.noise {
        SampleNoise::Philox => None,
        SampleNoise::Tape(tape) => Some(device.upload(tape)?),
    };
    let mut first = 0;
    // Rows of one launch are of the same step.
    for rows in rows.chunk_by(|a, b| a.place.step == b.place.step).flat_map(|rows| rows.chunks(head.block)) {
        let listed: Vec<KernelRow> = rows.iter().map(kernel_row).collect();
        head.rows.write(&listed)?;
        head.step.as_mut().write(&[Step { temperature: settings.temperature, index: rows[0].place.step }])?;
        let mut votes = None;
        if settings.own_probabilities && !settings.votes.is_empty() {
            head.votes.write_votes(&votes_in(rows, settings.votes))?;
            votes = Some(&mut head.votes);
        }
        let outcomes_of_rows = head.outcomes.slice_mut(0..rows.len());
        let kernel_settings = KernelSettings {
            step: head.step.as_slice(),
            sets: head.sets.as_ref().map(|(_, sets)| sets),
            tape: tape.as_ref().map(Buffer::as_slice),
            votes,
            own_probabilities: settings.own_probabilities,
            keep_soft: settings.keep_soft,
        };
        head::sample(weights.vocabulary(), stream, &head.rows, kernel_settings, &mut head.workspace, outcomes_of_rows)?;
        if settings.keep_soft {
            keep_soft(weights, &mut head.workspace, &mut head.soft, first)?;
        }
        let found = &mut head.found[..rows.len()];
        head.outcomes.slice(0..rows.len()).read_into(found)?;
        for (outcome, found) in outcomes[first..].iter_mut().zip(&*found) {
            *outcome = outcome_of(found);
        }
        first += rows.len();
    }
    Ok(())
}

/// What the head found, as the engine has it.
pub(super) fn outcome_of(found: &KernelOutcome) -> RowOutcome {
    let KernelOutcome { argmax, sample, entropy, probability, own_probability } = *found;
    RowOutcome { argmax, sample, entropy, probability, own_probability }
}

pub(super) fn kernel_row(row: &SampleRow) -> KernelRow {
    let SampleRow { row, allowed, place } = *row;
    KernelRow { row, set: allowed, seed: place.seed, candidate: place.candidate, canvas_row: place.row }
}

/// The votes in each of these rows.
pub(super) fn votes_in(rows: &[SampleRow], votes: &[RowVote]) -> Vec<Vec<(u32, f32)>> {
    let of = |row: &SampleRow| {
        let first = votes.partition_point(|vote| vote.row < row.row);
        let own = votes[first..].iter().take_while(|vote| vote.row == row.row);
        own.map(|vote| (vote.token, vote.probability)).collect()
    };
    rows.iter().map(of).collect()
}

/// Brings the sets to the device, unless they are there.
pub(super) fn keep_sets<T>(
    device: &Device,
    head: &mut HeadRows<T>,
    sets: &[TokenSet],
    vocabulary: usize,
) -> Result<(), Error> {
    if head.sets.as_ref().is_some_and(|(kept, _)| kept == sets) {
        return Ok(());
    }
    let words: Vec<&[u64]> = sets.iter().map(TokenSet::words).collect();
    head.sets = Some((sets.to_vec(), TokenSets::upload(device, &words, vocabulary)?));
    head.sets_written += 1;
    Ok(())
}
