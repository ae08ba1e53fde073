//! Which alternative each defect gets.
//!
//! The engine is asked about one defect at a time, in a window of whole lines round it, so that a long file costs no
//! more memory than a short one. Its answer counts if it is sure ([`SURE`]); else the alternative stands that simple
//! evidence prefers, which is to change nothing where there is no plain evidence. So a weak model can neither undo what
//! is plain nor make up what is not, unless it is sure.
//!
//! A model finds a short text likelier than a long one whatever stands round it, and no text at all likelier still. So
//! it is asked twice, once where the alternatives would stand and once about the alternatives by themselves, and what
//! counts is by how much the surroundings change its mind.

use std::collections::HashMap;
use std::ops::Range;

use lacuna_engine::{Cancel, Choice, Error, Extent, Hole, InfillRequest, Infiller, Language};

use super::defects::{Decision, Place};

/// The probability from which on the engine's answer counts against the evidence. From 0.9 on the embedded model would
/// be wrongly sure of one in five pieces of code whose fences were taken away.
const SURE: f64 = 0.98;
/// A probability is not told apart from one or nought beyond this.
const CERTAIN: f64 = 1e-6;
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
    let mut judge = Judge { text, engine, cancel, alone: HashMap::new() };
    decisions.iter().map(|decision| judge.settle(decision)).collect()
}

/// Asks the engine.
struct Judge<'a> {
    text: &'a str,
    engine: &'a dyn Infiller,
    cancel: &'a Cancel,
    /// The odds of alternatives by themselves, by the alternatives of each place.
    alone: HashMap<Vec<Vec<String>>, Option<f64>>,
}

impl Judge<'_> {
    fn settle(&mut self, decision: &Decision) -> Result<usize, Error> {
        let mut settled = (log_odds(SURE), decision.prior);
        for alternative in (0..decision.holes[0].choices.len()).filter(|index| *index != decision.prior) {
            let odds = self.odds(decision, alternative)?.unwrap_or(f64::NEG_INFINITY);
            if odds >= settled.0 {
                settled = (odds, alternative);
            }
        }
        Ok(settled.1)
    }

    /// By how much the surroundings speak for the alternative against what the evidence prefers: the logarithm of the
    /// odds. `None` if the engine cannot be asked about this.
    fn odds(&mut self, decision: &Decision, alternative: usize) -> Result<Option<f64>, Error> {
        let pair = [decision.prior.min(alternative), decision.prior.max(alternative)];
        let of_pair = |place: &Place| Place {
            byte_range: place.byte_range.clone(),
            choices: pair.iter().map(|index| place.choices[*index].clone()).collect(),
        };
        let start = decision.span().start;
        let near = decision.holes.iter().take_while(|place| place.byte_range.end - start <= ASKED_BYTES).count();
        for count in [near.max(1), 1] {
            let places: Vec<_> = decision.holes[..count].iter().map(of_pair).collect();
            let Some(here) = self.ask(&request(self.text, &places))? else { continue };
            let Some(alone) = self.alone(&places)? else { continue };
            let change = here - alone;
            return Ok(Some(if alternative == pair[1] { change } else { -change }));
        }
        Ok(None)
    }

    /// What the engine makes of the alternatives with nothing round them.
    fn alone(&mut self, places: &[Place]) -> Result<Option<f64>, Error> {
        let choices: Vec<_> = places.iter().map(|place| place.choices.clone()).collect();
        if let Some(odds) = self.alone.get(&choices) {
            return Ok(*odds);
        }
        let mut text = String::from("\n\n");
        let places: Vec<_> = choices
            .iter()
            .map(|choices| {
                let start = text.len();
                text.push_str(&choices[0]);
                let byte_range = start..text.len();
                text.push_str("\n\n");
                Place { byte_range, choices: choices.clone() }
            })
            .collect();
        let odds = self.ask(&request(&text, &places))?;
        self.alone.insert(choices, odds);
        Ok(odds)
    }

    /// The logarithm of the odds of the second choice against the first; `None` if they are too much for the engine.
    fn ask(&self, request: &InfillRequest) -> Result<Option<f64>, Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match self.engine.infill(request, self.cancel, &mut |_| ()) {
            Ok(infill) => {
                let choice = infill.candidates.first().and_then(|best| best.choices.first().copied().flatten());
                Ok(choice.map(odds_of_second))
            }
            // Too much for its canvas.
            Err(Error::Request(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn log_odds(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

fn odds_of_second(choice: Choice) -> f64 {
    let probability = f64::from(choice.probability).clamp(CERTAIN, 1.0 - CERTAIN);
    let odds = log_odds(probability);
    if choice.index == 1 { odds } else { -odds }
}

fn request(text: &str, places: &[Place]) -> InfillRequest {
    let window = window(text, places[0].byte_range.start..places[places.len() - 1].byte_range.end);
    let hole = |place: &Place| Hole {
        byte_range: place.byte_range.start - window.start..place.byte_range.end - window.start,
        extent: Extent::Block,
        max_tokens: None,
        choices: place.choices.clone(),
        group: Some(0),
    };
    InfillRequest::new(&text[window.clone()], Language::Markdown, places.iter().map(hole).collect())
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
