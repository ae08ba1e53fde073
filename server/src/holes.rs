//! Many holes of one text, filled in the light of each other.

use std::ops::Range;

use lacuna_engine::{
    Cancel, Candidate, Error, Excerpt, Extent, Hole, InfillRequest, Infiller, Language, LengthUse, Step, Timings,
};

use crate::postprocess::{Change, Processed, Surroundings};
use crate::syntax::Placeholder;

/// One of several holes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenHole {
    /// Byte offsets into the text: what the fill replaces.
    pub(crate) byte_range: Range<usize>,
    /// What comes before the fill, and is no part of it.
    pub(crate) lead: String,
    /// How far the fill may go.
    pub(crate) extent: Extent,
}

impl From<Placeholder> for OpenHole {
    fn from(placeholder: Placeholder) -> Self {
        let Placeholder { byte_range, lead, extent, .. } = placeholder;
        Self { byte_range, lead, extent }
    }
}

/// A text and its holes, ascending and disjoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holes<'a> {
    pub(crate) text: &'a str,
    pub(crate) language: Language,
    /// The text's file name, if it has one.
    pub(crate) name: Option<&'a str>,
    /// What other files say, the most relevant first.
    pub(crate) excerpts: &'a [Excerpt],
    pub(crate) holes: &'a [OpenHole],
}

/// How holes are to be filled.
pub(crate) struct Asked<'a> {
    /// Holes in a request at most. Those of one request share canvases where they are near each other; those of the next
    /// one read what was made to fit of the ones before.
    pub(crate) together: usize,
    pub(crate) seed: u64,
    pub(crate) candidates: usize,
    /// Makes a fill fit what stands around its hole.
    pub(crate) fit: &'a Fit<'a>,
}

/// Makes a candidate for one of the holes fit, which is the request's only one there.
pub(crate) type Fit<'a> = dyn Fn(Candidate, &OpenHole, &InfillRequest) -> Result<(Candidate, Processed), Error> + 'a;

/// What became of a text.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// The text with all fills that fit; a hole without one is as it was.
    pub(crate) text: String,
    /// One entry a hole.
    pub(crate) outcomes: Vec<Outcome>,
    /// Tokens of text in all holes, and steps taken.
    pub(crate) tokens: usize,
    pub(crate) steps: usize,
    pub(crate) length: LengthUse,
    pub(crate) timings: Timings,
    /// Whether it was cancelled, so that the last holes are as they were.
    pub(crate) cancelled: bool,
}

/// What became of a hole.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What stands in the hole, without its lead; `None` where nothing fits.
    pub(crate) fill: Option<String>,
    /// Why nothing fits.
    pub(crate) rejected: Option<Change>,
    /// How likely the fill is to be right, in 0..=1.
    pub(crate) confidence: f32,
    /// What was cut to make it fit.
    pub(crate) changes: Vec<Change>,
}

/// Fills holes, request by request. `on_step` gets how many holes were done before the step's. What was made to fit
/// before a cancellation stays.
pub(crate) fn fill_holes(
    engine: &dyn Infiller,
    holes: &Holes<'_>,
    asked: &Asked<'_>,
    cancel: &Cancel,
    on_step: &mut dyn FnMut(usize, Step<'_>),
) -> Result<Filled, Error> {
    let Holes { text, language, name, excerpts, .. } = *holes;
    let mut filled = Filled { text: String::with_capacity(text.len()), ..Filled::default() };
    let mut read_to = 0;
    for together in holes.holes.chunks(asked.together.max(1)) {
        let (seen, open) = with_leads(holes, together, &filled.text, read_to);
        let Asked { seed, candidates, .. } = *asked;
        let request = InfillRequest {
            name: name.map(str::to_owned),
            excerpts: excerpts.to_vec(),
            seed,
            candidates,
            ..InfillRequest::new(seen, language, open)
        };
        let done = filled.outcomes.len();
        let infill = match engine.infill(&request, cancel, &mut |step| on_step(done, step)) {
            Err(Error::Cancelled) => {
                filled.cancelled = true;
                filled.outcomes.resize_with(holes.holes.len(), Outcome::default);
                break;
            }
            infill => infill?,
        };
        for (index, hole) in together.iter().enumerate() {
            filled.text.push_str(&text[read_to..hole.byte_range.start]);
            read_to = hole.byte_range.end;
            let before_lead = filled.text.len();
            filled.text.push_str(&hole.lead);
            let alone = InfillRequest {
                name: request.name.clone(),
                excerpts: request.excerpts.clone(),
                seed,
                ..InfillRequest::new(
                    [&filled.text, &request.text[request.holes[index].byte_range.end..]].concat(),
                    language,
                    vec![Hole::new(filled.text.len()..filled.text.len(), hole.extent)],
                )
            };
            let candidates = infill.candidates.iter().filter_map(|candidate| of_hole(candidate, index));
            let outcome = first_that_fits(candidates, |candidate| (asked.fit)(candidate, hole, &alone))?;
            match &outcome.fill {
                Some(fill) => filled.text.push_str(fill),
                None => {
                    filled.text.truncate(before_lead);
                    filled.text.push_str(&text[hole.byte_range.clone()]);
                }
            }
            filled.outcomes.push(outcome);
        }
        if let Some(best) = infill.candidates.first() {
            filled.tokens += best.tokens;
            filled.steps += best.steps;
        }
        filled.length = LengthUse {
            elastic: infill.length.elastic,
            lengths_tried: filled.length.lengths_tried.max(infill.length.lengths_tried),
            rows_at_start: filled.length.rows_at_start + infill.length.rows_at_start,
            rows_at_end: filled.length.rows_at_end + infill.length.rows_at_end,
        };
        filled.timings.prompt_ms += infill.timings.prompt_ms;
        filled.timings.denoise_ms += infill.timings.denoise_ms;
    }
    filled.text.push_str(&text[read_to..]);
    Ok(filled)
}

/// The text that a request for some of the holes sees, and where they are in it: `done`, then what follows `read_to`
/// with the leads in their places.
pub(crate) fn with_leads(holes: &Holes<'_>, together: &[OpenHole], done: &str, read_to: usize) -> (String, Vec<Hole>) {
    let mut text = String::with_capacity(done.len() + holes.text.len() - read_to);
    text.push_str(done);
    let mut at = read_to;
    let mut open = Vec::with_capacity(together.len());
    for hole in together {
        text.push_str(&holes.text[at..hole.byte_range.start]);
        text.push_str(&hole.lead);
        let start = text.len();
        text.push_str(&holes.text[hole.byte_range.clone()]);
        open.push(Hole::new(start..text.len(), hole.extent));
        at = hole.byte_range.end;
    }
    text.push_str(&holes.text[at..]);
    (text, open)
}

/// What a candidate has for one of its holes.
fn of_hole(candidate: &Candidate, index: usize) -> Option<Candidate> {
    let confidence = *candidate.confidences.get(index)?;
    Some(Candidate {
        fills: vec![candidate.fills.get(index)?.clone()],
        choices: vec![None],
        confidence,
        confidences: vec![confidence],
        tokens: candidate.tokens,
        steps: candidate.steps,
    })
}

fn first_that_fits(
    candidates: impl Iterator<Item = Candidate>,
    fit: impl Fn(Candidate) -> Result<(Candidate, Processed), Error>,
) -> Result<Outcome, Error> {
    let mut refused = None;
    for candidate in candidates {
        let (Candidate { confidence, .. }, Processed { text, changes, rejected }) = fit(candidate)?;
        let fill = rejected.is_none().then_some(text);
        let outcome = Outcome { fill, rejected, confidence, changes };
        if outcome.fill.is_some() {
            return Ok(outcome);
        }
        refused.get_or_insert(outcome);
    }
    Ok(refused.unwrap_or_default())
}

/// What stands around the only hole of a request.
pub(crate) fn around(request: &InfillRequest) -> Surroundings<'_> {
    let Hole { byte_range, extent, .. } = &request.holes[0];
    Surroundings {
        before: &request.text[..byte_range.start],
        after: &request.text[byte_range.end..],
        extent: *extent,
        language: request.language,
    }
}
