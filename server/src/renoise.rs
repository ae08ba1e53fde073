//! Denoises again, in place, what breaks the syntax around a hole.
//!
//! A diffusion model may change its mind: where a fill brings new errors, only the tokens under them become holes again,
//! and everything else that was filled is as known as the text around it.

use std::ops::Range;
use std::time::{Duration, Instant};

use lacuna_engine::{Cancel, Candidate, Error, Extent, Hole, InfillRequest, Infiller};

use crate::postprocess::{self, Filter, Options, Processed, Surroundings};
use crate::syntax::Checker;

/// How often the same fill is denoised again at most.
const ROUNDS: usize = 2;
/// Checking the syntax may take this long altogether.
const CHECK_BUDGET: Duration = Duration::from_millis(60);
/// Each round's seed differs from the one before, so that the model does not repeat itself.
const SEED_STEP: u64 = 0x9e37_79b9;

/// What came of denoising a fill again.
#[derive(Clone, Debug, PartialEq)]
pub struct Renoised {
    /// The better fill.
    pub candidate: Candidate,
    /// Rounds taken.
    pub rounds: usize,
}

/// Mends a candidate for the request's only hole where it breaks the syntax around it; `None` where it does not, or
/// where what can be done about it makes nothing better.
pub fn renoise(
    infiller: &dyn Infiller,
    request: &InfillRequest,
    candidate: &Candidate,
    cancel: &Cancel,
) -> Result<Option<Renoised>, Error> {
    let ([hole], [fill]) = (&request.holes[..], &candidate.fills[..]) else { return Ok(None) };
    let before = &request.text[..hole.byte_range.start];
    let after = &request.text[hole.byte_range.end..];
    let deadline = Instant::now() + CHECK_BUDGET;
    let Some(mut checker) = Checker::new(before, after, request.language, deadline) else { return Ok(None) };
    let Some(mut damage) = checker.damage(fill) else { return Ok(None) };
    let mut best: Option<Renoised> = None;
    let mut current = candidate.clone();
    for round in 1..=ROUNDS {
        if damage.errors == 0 || damage.spans.is_empty() {
            break;
        }
        let again = InfillRequest {
            name: request.name.clone(),
            excerpts: request.excerpts.clone(),
            seed: request.seed.wrapping_add(SEED_STEP.wrapping_mul(round as u64)),
            ..InfillRequest::new(
                [before, &current.fills[0], after].concat(),
                request.language,
                holes(before.len(), &current.fills[0], &damage.spans, hole.extent),
            )
        };
        let infill = infiller.infill(&again, cancel, &mut |_| ())?;
        let Some(parts) = infill.candidates.into_iter().next() else { break };
        let mended = splice(&current.fills[0], &damage.spans, &parts.fills);
        let Some(after_mending) = checker.damage(&mended) else { break };
        // What stayed is as sure as before, and what changed as sure as the model is now.
        let confidence = current.confidence.min(parts.confidence);
        current = Candidate {
            fills: vec![mended],
            choices: vec![None],
            confidence,
            confidences: vec![confidence],
            tokens: current.tokens,
            steps: current.steps + parts.steps,
        };
        let is_better = after_mending.errors < damage.errors && !current.fills[0].trim().is_empty();
        damage = after_mending;
        if is_better {
            best = Some(Renoised { candidate: current.clone(), rounds: round });
        }
    }
    Ok(best)
}

/// Makes a candidate fit the text around it; one that breaks the syntax is denoised again there first, and what was cut
/// or rejected for it is tried once more.
pub fn process(
    infiller: &dyn Infiller,
    request: &InfillRequest,
    candidate: Candidate,
    around: &Surroundings<'_>,
    options: &Options,
    cancel: &Cancel,
) -> Result<(Candidate, Processed), Error> {
    let fitted = |candidate: &Candidate| {
        postprocess::process_with(&candidate.fills[0], Some(candidate.confidence), around, options)
    };
    let processed = fitted(&candidate);
    let mut for_syntax = processed.changes.iter().chain(&processed.rejected);
    if !for_syntax.any(|change| change.filter == Filter::Syntax) {
        return Ok((candidate, processed));
    }
    let Some(renoised) = renoise(infiller, request, &candidate, cancel)? else { return Ok((candidate, processed)) };
    let mended = fitted(&renoised.candidate);
    let is_better =
        mended.rejected.is_none() && (processed.rejected.is_some() || mended.text.len() > processed.text.len());
    Ok(if is_better { (renoised.candidate, mended) } else { (candidate, processed) })
}

/// The spans as holes of the text with the fill in it.
fn holes(start: usize, fill: &str, spans: &[Range<usize>], extent: Extent) -> Vec<Hole> {
    let hole = |span: &Range<usize>| {
        let extent = if fill[span.clone()].contains('\n') { extent } else { Extent::Line };
        Hole::new(start + span.start..start + span.end, extent)
    };
    spans.iter().map(hole).collect()
}

/// The fill with other texts in the place of its spans.
fn splice(fill: &str, spans: &[Range<usize>], texts: &[String]) -> String {
    let mut mended = String::with_capacity(fill.len());
    let mut end = 0;
    for (span, text) in spans.iter().zip(texts) {
        mended.push_str(&fill[end..span.start]);
        mended.push_str(text);
        end = span.end;
    }
    mended.push_str(&fill[end..]);
    mended
}

#[cfg(test)]
mod tests;
