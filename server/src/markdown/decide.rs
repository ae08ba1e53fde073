//! Which alternative each defect gets.
//!
//! The engine is asked about one defect at a time, in a window of whole lines round it, so that a long file costs no
//! more memory than a short one. Its answer counts if it is sure, with a probability of [`SURE`] or more; else the
//! alternative stands that simple evidence prefers, which is to change nothing where there is no plain evidence. So
//! a weak model can neither undo what is plain nor make up what is not, unless it is sure.

use std::ops::Range;

use lacuna_engine::{Cancel, Choice, Error, Extent, Hole, InfillRequest, Infiller, Language};

use super::defects::Decision;

/// The probability from which on the engine's answer counts against the evidence.
pub(super) const SURE: f32 = 0.9;
/// Text on each side of the places that are asked about; more than the prompt of a small model holds.
const CONTEXT_BYTES: usize = 8 << 10;
/// The places of one defect are asked about as far as they lie in so many bytes, since an engine fills few lines at
/// a time; the others follow.
const ASKED_BYTES: usize = 256;

/// The index of an alternative for each decision.
pub(super) fn decide(
    text: &str,
    decisions: &[Decision],
    engine: &dyn Infiller,
    cancel: &Cancel,
) -> Result<Vec<usize>, Error> {
    decisions.iter().map(|decision| Ok(settle(decision, ask(text, decision, engine, cancel)?))).collect()
}

fn settle(decision: &Decision, answer: Option<Choice>) -> usize {
    match answer {
        Some(choice) if choice.probability >= SURE && choice.index < decision.holes[0].choices.len() => choice.index,
        _ => decision.prior,
    }
}

/// What the engine would choose; `None` if it cannot be asked about this.
fn ask(text: &str, decision: &Decision, engine: &dyn Infiller, cancel: &Cancel) -> Result<Option<Choice>, Error> {
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let start = decision.span().start;
    let near = decision.holes.iter().take_while(|place| place.byte_range.end - start <= ASKED_BYTES).count();
    for count in [near.max(1), 1] {
        match engine.infill(&request(text, decision, count), cancel, &mut |_| ()) {
            Ok(infill) => {
                return Ok(infill.candidates.first().and_then(|best| best.choices.first().copied().flatten()));
            }
            // Too much for its canvas.
            Err(Error::Request(_)) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn request(text: &str, decision: &Decision, count: usize) -> InfillRequest {
    let places = &decision.holes[..count];
    let window = window(text, places[0].byte_range.start..places[count - 1].byte_range.end);
    let hole = |place: &super::defects::Place| Hole {
        byte_range: place.byte_range.start - window.start..place.byte_range.end - window.start,
        extent: Extent::Block,
        max_tokens: None,
        choices: place.choices.clone(),
        group: Some(0),
    };
    InfillRequest {
        text: text[window.clone()].to_owned(),
        language: Language::Markdown,
        holes: places.iter().map(hole).collect(),
        seed: 0,
        candidates: 1,
    }
}

/// Whole lines round a range, where lines are of a usual length.
fn window(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start.saturating_sub(CONTEXT_BYTES));
    let end = text.ceil_char_boundary((range.end + CONTEXT_BYTES).min(text.len()));
    let start = if start == 0 { 0 } else { text[start..range.start].find('\n').map_or(start, |at| start + at + 1) };
    let end =
        if end == text.len() { end } else { text[range.end..end].rfind('\n').map_or(end, |at| range.end + at + 1) };
    start..end
}
