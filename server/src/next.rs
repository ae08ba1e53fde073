//! The next place: where a text wants the change that was just made elsewhere in it.
//!
//! Entry point: [`find`], from a text before and after an edit to the places that may want the same.
//!
//! Invariants:
//! - Everything here is pure: texts and a tree in, plain data out. No text makes it panic, whatever its tree.
//! - Ranges are on character boundaries of the text after the edit, within one line each, and outside of what was edited.

mod ask;
mod calls;
pub(crate) mod candidates;
pub(crate) mod changes;
pub(crate) mod evidence;
mod lines;
mod spot;
pub(crate) mod tokens;

use std::collections::HashMap;

use lacuna_engine::{Cancel, Error, Infiller};
use tree_sitter::Tree;

pub(crate) use ask::{Document, ask};
pub(crate) use candidates::{Candidate, Kind};

use candidates::Edit;
use changes::changes;
use tokens::Tokens;

/// Below this, the model is not asked about a place.
pub(crate) const ASKED_MIN_CONFIDENCE: f32 = 0.3;
/// A longer text is left alone.
pub(crate) const TEXT_MAX_BYTES: usize = 1 << 20;
/// Places that the model is asked about at once, and that are offered, at most.
const PLACES_MAX: usize = 16;

/// What a text was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past<'a> {
    /// Before some earlier edits: how often the same was changed in them counts.
    pub(crate) earlier: &'a str,
    /// Just before the last edit.
    pub(crate) before: &'a str,
}

/// The places to offer in a document that was just edited, ascending and disjoint; none unless they are sure enough. The
/// tree is the document's.
pub(crate) fn offer(
    engine: &dyn Infiller,
    document: &Document<'_>,
    past: &Past<'_>,
    tree: &Tree,
    cancel: &Cancel,
) -> Result<Vec<Candidate>, Error> {
    let mut candidates = disjoint(find(past, document.text, tree, cancel)?, ASKED_MIN_CONFIDENCE);
    ask(engine, document, &mut candidates, cancel)?;
    candidates.retain(Candidate::is_sure);
    Ok(candidates)
}

/// The places that may want what the last edit has changed; they may overlap. The tree is that of the text after it.
pub(crate) fn find(past: &Past<'_>, after: &str, tree: &Tree, cancel: &Cancel) -> Result<Vec<Candidate>, Error> {
    let Past { earlier, before } = past;
    // The server looks at the lengths before it copies the texts; replayed histories come here with texts of any length,
    // and get what the server would give.
    if before.len().max(after.len()).max(earlier.len()) > TEXT_MAX_BYTES {
        return Ok(Vec::new());
    }
    let (first, before, after) = (Tokens::of(earlier), Tokens::of(before), Tokens::of(after));
    let mut counts = HashMap::new();
    for change in changes(&first, &before) {
        *counts.entry(change.texts(&first, &before)).or_default() += 1;
    }
    let changes = changes(&before, &after);
    let edit = Edit { before: &before, after: &after, tree, changes: &changes, earlier: &counts };
    candidates::candidates(&edit, cancel)
}

/// The places that are sure enough, ascending and disjoint; where two overlap, the surer one.
pub(crate) fn disjoint(mut candidates: Vec<Candidate>, min_confidence: f32) -> Vec<Candidate> {
    candidates.retain(|candidate| candidate.confidence >= min_confidence);
    candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.byte_range.start.cmp(&b.byte_range.start)));
    let mut apart: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let is_apart = |other: &Candidate| {
            candidate.byte_range.end < other.byte_range.start || other.byte_range.end < candidate.byte_range.start
        };
        if apart.len() < PLACES_MAX && apart.iter().all(is_apart) {
            apart.push(candidate);
        }
    }
    apart.sort_by_key(|place| place.byte_range.start);
    apart
}

#[cfg(test)]
mod tests;
