//! The next place: where a text wants the change that was just made elsewhere in it.
//!
//! Entry point: [`find`], from a text before and after an edit to the places that may want the same.
//!
//! Invariants:
//! - Everything here is pure: texts and a tree in, plain data out. No text makes it panic, whatever its tree.
//! - Ranges are on character boundaries of the text after the edit, within one line each, and outside of what was edited.

mod ask;
pub(crate) mod candidates;
pub(crate) mod changes;
pub(crate) mod evidence;
mod spot;
pub(crate) mod tokens;

use std::collections::HashMap;

use lacuna_engine::{Cancel, Error};
use tree_sitter::Tree;

pub(crate) use ask::{Document, ask};
pub(crate) use candidates::{Candidate, Kind};

use candidates::Edit;
use changes::changes;
use tokens::Tokens;

/// A longer text is left alone.
const TEXT_MAX_BYTES: usize = 1 << 20;
/// Places that are offered at once at most.
const OFFERS_MAX: usize = 16;

/// The places that may want what an edit has changed; they may overlap. The tree is that of the text after the edit.
///
/// What was changed `earlier`, from that text to the one before the edit, says how often the same was done already.
pub(crate) fn find(
    earlier: &str,
    before: &str,
    after: &str,
    tree: &Tree,
    cancel: &Cancel,
) -> Result<Vec<Candidate>, Error> {
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

/// The places to offer: those that are sure enough, ascending and disjoint; where two overlap, the surer one.
pub(crate) fn offers(mut candidates: Vec<Candidate>, min_confidence: f32) -> Vec<Candidate> {
    candidates.retain(|candidate| candidate.confidence >= min_confidence);
    candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.byte_range.start.cmp(&b.byte_range.start)));
    let mut offers: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let is_apart = |other: &Candidate| {
            candidate.byte_range.end < other.byte_range.start || other.byte_range.end < candidate.byte_range.start
        };
        if offers.len() < OFFERS_MAX && offers.iter().all(is_apart) {
            offers.push(candidate);
        }
    }
    offers.sort_by_key(|offer| offer.byte_range.start);
    offers
}
