//! The two ends of the model: embedding with self-conditioning, and the head with the sampler's arithmetic.

use rayon::prelude::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator, ParallelSliceMut};

use crate::backend::{ROW_VOTES_MAX, RowOutcome, RowVote, SampleNoise, SampleRow, SampleSettings, ScoredToken};
use crate::canvas::TokenSet;
use crate::philox::{self, GUMBEL_MAX, Place, Purpose};

use super::feed_forward::{activate, norm_rows};
use super::matmul::matmul;
use super::vector;
use super::weights::Weights;
use super::workspace::{HeadRows, Workspace};

/// The logit of a token that must not stand here.
const FORBIDDEN: f32 = f32::NEG_INFINITY;
/// What votes leave to the model at least.
const OWN_SHARE_MIN: f32 = 1e-6;

pub(crate) fn embed(weights: &Weights, workspace: &mut Workspace, ids: &[u32]) {
    assert!(ids.len() <= workspace.capacity, "{} rows in a workspace for {}", ids.len(), workspace.capacity);
    workspace.rows = ids.len();
    for (row, id) in workspace.stream.chunks_exact_mut(weights.hidden).zip(ids) {
        weights.embedding.transposed.copy_column(*id as usize, row);
        for value in row {
            *value *= weights.embedding_scale;
        }
    }
}

pub(crate) fn self_condition(weights: &Weights, workspace: &mut Workspace, targets: &[Option<usize>]) {
    let hidden = weights.hidden;
    let wanted = targets.iter().flatten().count();
    let Workspace { stream, normed, gate_up, activated, head, rows, .. } = workspace;
    if wanted > 0 {
        gather_soft(weights, head, targets);
        let conditioning = &weights.self_conditioning;
        let signal = &mut head.signal[..wanted * hidden];
        let normed = &mut normed[..wanted * hidden];
        norm_rows(&head.soft[..wanted * hidden], Some(&conditioning.pre_norm), weights, normed);
        let gate_up = &mut gate_up[..wanted * 2 * weights.mlp_width];
        let activated = &mut activated[..wanted * weights.mlp_width];
        matmul(normed, &conditioning.gate_up, gate_up);
        activate(gate_up, weights.mlp_width, activated);
        matmul(activated, &conditioning.down, signal);
        for (signal, row) in signal.chunks_exact(hidden).zip(targets.iter().flatten()) {
            for (value, signal) in stream[row * hidden..][..hidden].iter_mut().zip(signal) {
                *value += signal;
            }
        }
    }
    for row in stream[..*rows * hidden].chunks_exact_mut(hidden) {
        vector::rms_norm_in_place(row, None, weights.eps);
    }
}

/// Makes the first soft embeddings those that have targets. Entries without one, of rows that have gone since and of
/// canvases that have stopped, are not even computed where their distributions are still there.
fn gather_soft(weights: &Weights, head: &mut HeadRows, targets: &[Option<usize>]) {
    let HeadRows { logits, soft, unsoftened, .. } = head;
    let (entries, width) =
        if *unsoftened > 0 { (&mut *logits, weights.vocabulary) } else { (&mut *soft, weights.hidden) };
    let wanted = targets.iter().enumerate().filter_map(|(entry, target)| target.map(|_| entry));
    let mut count = 0;
    for entry in wanted {
        if entry != count {
            entries.copy_within(entry * width..(entry + 1) * width, count * width);
        }
        count += 1;
    }
    if *unsoftened > 0 {
        *unsoftened = 0;
        soften_block(weights, &logits[..count * weights.vocabulary], &mut soft[..count * weights.hidden]);
    }
}

pub(crate) fn soften(weights: &Weights, workspace: &mut Workspace, logits: &[f32]) {
    let (hidden, vocabulary) = (weights.hidden, weights.vocabulary);
    let block = workspace.head.block;
    workspace.head.unsoftened = 0;
    for (index, source) in logits.chunks(block * vocabulary).enumerate() {
        let rows = source.len() / vocabulary;
        let HeadRows { logits, soft, .. } = &mut workspace.head;
        let probabilities = &mut logits[..rows * vocabulary];
        probabilities.copy_from_slice(source);
        for row in probabilities.chunks_exact_mut(vocabulary) {
            vector::softmax_in_place(row);
        }
        soften_block(weights, probabilities, &mut soft[index * block * hidden..][..rows * hidden]);
    }
}

fn soften_block(weights: &Weights, probabilities: &[f32], soft: &mut [f32]) {
    matmul(probabilities, &weights.embedding.transposed, soft);
    for value in soft {
        *value *= weights.embedding_scale;
    }
}

pub(crate) fn logits(weights: &Weights, workspace: &mut Workspace, out: &mut [f32]) {
    let elements = workspace.rows * weights.hidden;
    norm_rows(&workspace.stream[..elements], Some(&weights.final_norm), weights, &mut workspace.normed[..elements]);
    matmul(&workspace.normed[..elements], &weights.embedding.head, out);
    for row in out.chunks_exact_mut(weights.vocabulary) {
        vector::soft_cap(row, weights.soft_cap);
    }
}

pub(crate) fn log_probabilities(weights: &Weights, workspace: &mut Workspace, tokens: &[ScoredToken], out: &mut [f32]) {
    let (hidden, vocabulary) = (weights.hidden, weights.vocabulary);
    let Workspace { stream, head, .. } = workspace;
    let HeadRows { normed, logits, soft, unsoftened, block, .. } = head;
    // The logits go where distributions may still wait.
    soften_block(weights, &logits[..*unsoftened * vocabulary], &mut soft[..*unsoftened * hidden]);
    *unsoftened = 0;
    let mut rows = tokens.chunk_by(|a, b| a.row == b.row);
    let mut out = out;
    loop {
        let mut count = 0;
        for (tokens, normed) in rows.clone().zip(normed.chunks_exact_mut(hidden)).take(*block) {
            let source = &stream[tokens[0].row * hidden..][..hidden];
            vector::rms_norm(source, Some(&weights.final_norm), weights.eps, normed);
            count += 1;
        }
        if count == 0 {
            return;
        }
        let logits = &mut logits[..count * vocabulary];
        matmul(&normed[..count * hidden], &weights.embedding.head, logits);
        logits.par_chunks_exact_mut(vocabulary).for_each(|row| vector::soft_cap(row, weights.soft_cap));
        // The logits come first: a zip that ends there has taken no row too many.
        for (logits, tokens) in logits.chunks_exact(vocabulary).zip(rows.by_ref()) {
            let log_partition = vector::distribution(logits, 1.0).log_partition;
            for token in tokens {
                let Some((first, rest)) = out.split_first_mut() else { return };
                *first = logits[token.token as usize] - log_partition;
                out = rest;
            }
        }
    }
}

pub(crate) fn sample(
    weights: &Weights,
    workspace: &mut Workspace,
    rows: &[SampleRow],
    settings: SampleSettings<'_>,
    outcomes: &mut [RowOutcome],
) {
    let (hidden, vocabulary) = (weights.hidden, weights.vocabulary);
    let Workspace { stream, head, .. } = workspace;
    let HeadRows { normed, logits, soft, unsoftened, block, .. } = head;
    // Which rows the next pass has, and whether there is one, is known only then; so distributions that fit wait.
    let waits = settings.keep_soft && rows.len() <= *block;
    *unsoftened = if waits { rows.len() } else { 0 };
    for ((rows, outcomes), soft) in
        rows.chunks(*block).zip(outcomes.chunks_mut(*block)).zip(soft.chunks_mut(*block * hidden))
    {
        let normed = &mut normed[..rows.len() * hidden];
        for (row, normed) in rows.iter().zip(normed.chunks_exact_mut(hidden)) {
            let source = &stream[row.row * hidden..][..hidden];
            vector::rms_norm(source, Some(&weights.final_norm), weights.eps, normed);
        }
        let logits = &mut logits[..rows.len() * vocabulary];
        matmul(normed, &weights.embedding.head, logits);
        logits
            .par_chunks_exact_mut(vocabulary)
            .zip(rows.par_iter())
            .zip(outcomes)
            .for_each(|((logits, row), outcome)| *outcome = sample_row(weights, logits, row, &settings));
        if settings.keep_soft && !waits {
            soften_block(weights, logits, &mut soft[..rows.len() * hidden]);
        }
    }
}

/// Turns one row's raw logits into its outcome, and leaves the tempered probabilities in their place.
fn sample_row(weights: &Weights, logits: &mut [f32], row: &SampleRow, settings: &SampleSettings<'_>) -> RowOutcome {
    vector::soft_cap(logits, weights.soft_cap);
    if let Some(set) = row.allowed {
        forbid_all_but(&settings.sets[set], logits);
    }
    let votes = votes_in(row.row, settings.votes);
    let own = settings.own_probabilities.then(|| mix(votes, logits));
    let inverse_temperature = 1.0 / settings.temperature;
    for logit in logits.iter_mut() {
        *logit *= inverse_temperature;
    }
    let distribution = vector::distribution(logits, 1.0);
    let argmax = distribution.argmax;
    let sample = match settings.noise {
        SampleNoise::Philox => sample_philox(logits, argmax, row.place),
        SampleNoise::Tape(tape) => {
            let noise = &tape[row.place.row as usize * logits.len()..][..logits.len()];
            sample_tape(logits, noise)
        }
    };
    let own_probability =
        own.map_or(1.0, |own| own.probability(votes, sample as u32, logits[sample] * settings.temperature));
    if settings.keep_soft {
        vector::softmax_in_place(logits);
    }
    RowOutcome {
        argmax: argmax as u32,
        sample: sample as u32,
        entropy: distribution.entropy,
        probability: (distribution.max - distribution.log_partition).exp(),
        own_probability,
    }
}

/// The votes in one packed row that count.
fn votes_in(row: usize, votes: &[RowVote]) -> &[RowVote] {
    let first = votes.partition_point(|vote| vote.row < row);
    let count = votes[first..].partition_point(|vote| vote.row == row);
    &votes[first..first + count.min(ROW_VOTES_MAX)]
}

/// What the model itself said before votes were mixed in.
struct Own {
    log_partition: f32,
    /// The logits of the tokens that were voted for.
    logits: [f32; ROW_VOTES_MAX],
}

impl Own {
    /// The model's probability of a token that has this logit now.
    fn probability(&self, votes: &[RowVote], token: u32, logit: f32) -> f32 {
        let own = votes.iter().position(|vote| vote.token == token).map_or(logit, |index| self.logits[index]);
        (own - self.log_partition).exp()
    }
}

/// Makes the logits those of the mixture of the model's distribution with the votes.
fn mix(votes: &[RowVote], logits: &mut [f32]) -> Own {
    let log_partition = vector::distribution(logits, 1.0).log_partition;
    let own_share = 1.0 - votes.iter().map(|vote| vote.probability).sum::<f32>();
    let log_share = own_share.max(OWN_SHARE_MIN).ln();
    let mut own = Own { log_partition, logits: [FORBIDDEN; ROW_VOTES_MAX] };
    for (vote, before) in votes.iter().zip(&mut own.logits) {
        let logit = &mut logits[vote.token as usize];
        *before = *logit;
        if *logit != FORBIDDEN {
            // Everything else keeps its logit, so that the model's partition stands for its share.
            *logit = add_exponentials(*logit, log_partition + vote.probability.ln() - log_share);
        }
    }
    own
}

/// The logarithm of the sum of two exponentials.
fn add_exponentials(a: f32, b: f32) -> f32 {
    a.max(b) + (-(a - b).abs()).exp().ln_1p()
}

fn forbid_all_but(set: &TokenSet, logits: &mut [f32]) {
    for (word, chunk) in set.words().iter().zip(logits.chunks_mut(64)) {
        if *word == u64::MAX {
            continue;
        }
        for (bit, logit) in chunk.iter_mut().enumerate() {
            if word >> bit & 1 == 0 {
                *logit = FORBIDDEN;
            }
        }
    }
}

fn sample_tape(tempered: &[f32], noise: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, (logit, noise)) in tempered.iter().zip(noise).enumerate() {
        if logit + noise > best.1 {
            best = (token, logit + noise);
        }
    }
    best.0
}

/// The token with the largest sum of tempered logit and Gumbel noise; ties go to the lowest.
///
/// Noise has a largest value, so tokens that could not win even with it are never drawn for; and of what is drawn, only
/// words that could beat the best so far are turned into noise, which takes two logarithms.
fn sample_philox(tempered: &[f32], argmax: usize, place: Place) -> usize {
    let max = tempered[argmax];
    let mut best = (argmax, max + philox::gumbel(place, (argmax / 4) as u32)[argmax % 4]);
    let mut least_word = philox::least_word_with_gumbel(best.1 - max);
    for (group, logits) in tempered.chunks(4).enumerate() {
        let threshold = best.1 - GUMBEL_MAX;
        if !logits.iter().any(|logit| *logit >= threshold) {
            continue;
        }
        let words = philox::words(place, Purpose::Sample, group as u32);
        for (index, (logit, word)) in logits.iter().zip(words).enumerate() {
            if word < least_word {
                continue;
            }
            let (token, value) = (group * 4 + index, logit + philox::gumbel_of_word(word));
            if value > best.1 || (value == best.1 && token < best.0) {
                best = (token, value);
                least_word = philox::least_word_with_gumbel(best.1 - max);
            }
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { seed: 3, candidate: 0, step: 1, row: 2 };

    #[test]
    fn skipping_hopeless_tokens_changes_no_sample() {
        for row in 0..200 {
            let place = Place { row, ..PLACE };
            let scale = 1.0 + row as f32 / 4.0;
            let logits: Vec<f32> =
                (0..1003).map(|token| philox::words(place, Purpose::Start, token)[0] as f32 / 4e9 * scale).collect();
            let noise: Vec<f32> = (0..251).flat_map(|group| philox::gumbel(place, group)).collect();
            assert_eq!(
                sample_philox(&logits, vector::argmax(&logits).0, place),
                sample_tape(&logits, &noise[..1003]),
                "row {row}"
            );
        }
    }

    #[test]
    fn samples_follow_the_distribution() {
        let logits = [0.0_f32, 1.0, 2.0, -1.0, 0.5];
        let total: f32 = logits.iter().map(|logit| logit.exp()).sum();
        let draws = 20_000;
        let mut counts = [0_u32; 5];
        for row in 0..draws {
            counts[sample_philox(&logits, 2, Place { row, ..PLACE })] += 1;
        }
        for (logit, count) in logits.iter().zip(counts) {
            let (expected, seen) = (logit.exp() / total, count as f32 / draws as f32);
            assert!((expected - seen).abs() < 0.015, "{expected} {seen}");
        }
    }

    #[test]
    fn only_allowed_tokens_are_left() {
        let set = TokenSet::from_predicate(100, |id| id == 70 || id == 3);
        let mut logits: Vec<f32> = (0..100).map(|token| token as f32).collect();
        forbid_all_but(&set, &mut logits);
        assert_eq!(vector::argmax(&logits).0, 70);
        assert_eq!(logits.iter().filter(|logit| **logit > FORBIDDEN).count(), 2);
    }

    #[test]
    fn votes_are_mixed_into_the_distribution() {
        let logits = [1.0_f32, -2.0, 3.0, FORBIDDEN, 0.5, -60.0];
        let softmax = |logits: &[f32]| {
            let partition: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            logits.iter().map(|logit| f64::from(*logit).exp() / partition).collect::<Vec<_>>()
        };
        let own = softmax(&logits);
        let vote = |token, probability| RowVote { row: 3, token, probability };
        // One of them is for a token that must not stand here.
        let votes = [vote(1, 0.5), vote(3, 0.2), vote(5, 0.1)];
        let mut mixed = logits;
        let kept = mix(&votes, &mut mixed);
        let voted = [0.0, 0.5, 0.0, 0.0, 0.0, 0.1];
        let share = 1.0 / (1.0 - 0.2);
        for (token, probability) in softmax(&mixed).into_iter().enumerate() {
            let expected = (0.2 * own[token] + voted[token]) * share;
            assert!((probability - expected).abs() < 1e-6, "{token}: {probability}, not {expected}");
            let before = f64::from(kept.probability(&votes, token as u32, mixed[token]));
            assert!((before - own[token]).abs() < 1e-6, "{token}: {before}, not {}", own[token]);
        }
    }

    #[test]
    fn a_rows_votes_are_found() {
        let votes: Vec<_> = [(1, 30), (2, 2)]
            .iter()
            .flat_map(|(row, count)| (0..*count).map(|token| RowVote { row: *row, token, probability: 0.01 }))
            .collect();
        assert_eq!(votes_in(0, &votes), []);
        assert_eq!(votes_in(1, &votes).len(), ROW_VOTES_MAX);
        assert_eq!(votes_in(2, &votes), &votes[30..]);
        assert_eq!(votes_in(3, &votes), []);
    }
}
