//! What can be done to a document on request, and the edits that do it.

use std::ops::Range;

use lacuna_engine::{Cancel, Candidate, Error, InfillRequest, Infiller};
use serde::{Deserialize, Serialize};

use crate::holes::{Asked, Holes, OpenHole, around, fill_holes};
use crate::lsp::draft::Drafts;
use crate::lsp::edits::{Replacement, range_of};
use crate::lsp::fill::{PARSE_BUDGET, SEED, Wanted, clause_of, fill};
use crate::lsp::session::Snapshot;
use crate::syntax::{self, Placeholder};
use crate::{markdown, postprocess, renoise};

/// Placeholders that are filled at once at most.
const MAX_PLACEHOLDERS: usize = 64;

/// What a user has chosen. Byte offsets are those of the document's version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Chosen {
    /// Something whose edits are still to be computed.
    Compute(Action),
    /// These replacements, which are known already.
    Apply { replacements: Vec<Replacement> },
}

/// Something that the engine is needed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Action {
    /// Fill the placeholder that begins there.
    FillHole { start_byte: usize },
    /// Fill every placeholder.
    FillAll,
    /// Put something else in place of a selection.
    Rewrite { start_byte: usize, end_byte: usize },
    /// Write what is missing in the block around the caret.
    CompleteBlock { caret_byte: usize },
    /// Format a Markdown document.
    FormatMarkdown,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Edits(Vec<Replacement>),
    /// Nothing is to be changed, for this reason, in one sentence.
    Nothing(String),
}

/// The placeholders of a document, in order. This parses the document.
pub(crate) fn placeholders_of(snapshot: &Snapshot) -> Vec<Placeholder> {
    placeholders_in(snapshot, &snapshot.document.text.to_string())
}

/// Computes the edits of an action. Runs on the worker's thread.
pub(crate) fn perform(
    engine: &dyn Infiller,
    snapshot: &Snapshot,
    action: &Action,
    drafts: &Drafts,
    cancel: &Cancel,
) -> Result<Outcome, Error> {
    let text = snapshot.document.text.to_string();
    let language = snapshot.document.language;
    let gone = || Outcome::Nothing("what was to be filled is no longer there".to_owned());
    match *action {
        Action::FillHole { start_byte } => {
            let mut placeholders = placeholders_in(snapshot, &text).into_iter();
            let Some(hole) = placeholders.find(|placeholder| placeholder.byte_range.start == start_byte) else {
                return Ok(gone());
            };
            let wanted = Wanted::one(snapshot, &text, hole.byte_range.clone(), hole.extent);
            fill_one(engine, snapshot, text, &hole.lead, wanted, drafts, cancel)
        }
        Action::FillAll => fill_all(engine, snapshot, &text, drafts, cancel),
        Action::Rewrite { start_byte, end_byte } => {
            let Some(hole) = syntax::hole_of_selection(&text, start_byte..end_byte) else {
                return Ok(gone());
            };
            // What it is to be replaced with may well be what stands there already.
            let mut wanted = Wanted::one(snapshot, &text, hole.byte_range, hole.extent);
            wanted.options.off = vec![postprocess::Filter::Neighbours];
            fill_one(engine, snapshot, text, "", wanted, drafts, cancel)
        }
        Action::CompleteBlock { caret_byte } => {
            let tree = snapshot.document.tree(PARSE_BUDGET);
            let Some(hole) = syntax::find_block(&text, tree.as_ref(), language, caret_byte) else {
                return Ok(gone());
            };
            let wanted = Wanted::one(snapshot, &text, hole.byte_range, hole.extent);
            fill_one(engine, snapshot, text, "", wanted, drafts, cancel)
        }
        Action::FormatMarkdown => format(Some(engine), &text, None, cancel),
    }
}

/// Formats Markdown, with the engine's help where there is one.
pub(crate) fn format(
    engine: Option<&dyn Infiller>,
    text: &str,
    range: Option<Range<usize>>,
    cancel: &Cancel,
) -> Result<Outcome, Error> {
    let formatted = markdown::format(text, engine, range, cancel)?;
    let edits = markdown::edits(text, &formatted.text);
    Ok(if edits.is_empty() {
        Outcome::Nothing(formatted.note.unwrap_or_else(|| "the document is formatted already".to_owned()))
    } else {
        Outcome::Edits(edits)
    })
}

fn placeholders_in(snapshot: &Snapshot, text: &str) -> Vec<Placeholder> {
    let language = snapshot.document.language;
    match snapshot.document.tree(PARSE_BUDGET) {
        Some(tree) => syntax::find_placeholders(text, &tree, language),
        None => Vec::new(),
    }
}

/// Fills one hole. `lead` stands before the fill, in the text that the engine sees and in the edit.
fn fill_one(
    engine: &dyn Infiller,
    snapshot: &Snapshot,
    mut text: String,
    lead: &str,
    mut wanted: Wanted,
    drafts: &Drafts,
    cancel: &Cancel,
) -> Result<Outcome, Error> {
    let byte_range = wanted.byte_range.clone();
    let ranges = [range_of(snapshot, &byte_range)];
    put_in_lead(&mut text, lead, &mut wanted);
    let filled = fill(engine, text, wanted, cancel, &mut |step| drafts.send(&ranges, &step))?;
    Ok(match filled.fills.into_iter().next() {
        Some(new_text) => Outcome::Edits(vec![(byte_range, format!("{lead}{new_text}"))]),
        None => Outcome::Nothing(why_nothing(filled.silence)),
    })
}

/// Puts a lead before a hole, which then begins after it.
fn put_in_lead(text: &mut String, lead: &str, wanted: &mut Wanted) {
    text.insert_str(wanted.byte_range.start, lead);
    wanted.byte_range = wanted.byte_range.start + lead.len()..wanted.byte_range.end + lead.len();
}

/// Fills one placeholder after the other, so that each sees what stands in those before it.
fn fill_all(
    engine: &dyn Infiller,
    snapshot: &Snapshot,
    text: &str,
    drafts: &Drafts,
    cancel: &Cancel,
) -> Result<Outcome, Error> {
    let mut placeholders = placeholders_in(snapshot, text);
    placeholders.truncate(MAX_PLACEHOLDERS);
    if placeholders.is_empty() {
        return Ok(Outcome::Nothing("there is no hole in this file".to_owned()));
    }
    let open: Vec<OpenHole> = placeholders.into_iter().map(OpenHole::from).collect();
    let ranges: Vec<_> = open.iter().map(|hole| range_of(snapshot, &hole.byte_range)).collect();
    let options = postprocess::Options::default();
    let fit = |candidate: Candidate, _: &OpenHole, request: &InfillRequest| {
        renoise::process(engine, request, candidate, &around(request), &options, cancel)
    };
    let name = snapshot.name();
    let starts: Vec<usize> = open.iter().map(|hole| hole.byte_range.start).collect();
    let excerpts = snapshot.excerpts(text, &starts);
    let language = snapshot.document.language;
    let holes = Holes { text, language, name: name.as_deref(), excerpts: &excerpts, holes: &open };
    let asked = Asked { together: 1, seed: SEED, candidates: 1, fit: &fit };
    let filled = fill_holes(engine, &holes, &asked, cancel, &mut |done, step| drafts.send(&ranges[done..], &step))?;
    if filled.cancelled {
        return Err(Error::Cancelled);
    }
    let mut replacements: Vec<Replacement> = Vec::new();
    let mut silence = None;
    for (hole, outcome) in open.into_iter().zip(filled.outcomes) {
        match outcome.fill {
            Some(fill) => replacements.push((hole.byte_range, format!("{}{fill}", hole.lead))),
            None => silence = silence.or(outcome.rejected.map(|rejected| clause_of(&rejected.reason))),
        }
    }
    Ok(if replacements.is_empty() { Outcome::Nothing(why_nothing(silence)) } else { Outcome::Edits(replacements) })
}

fn why_nothing(silence: Option<String>) -> String {
    let nothing = "the model found nothing that fits here";
    silence.map_or_else(|| nothing.to_owned(), |silence| format!("{nothing}: {silence}"))
}
