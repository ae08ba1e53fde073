//! The context prior: what a document itself, and the files beside it, say about its holes.
//!
//! Source code repeats itself. Wherever the text before a hole ends as some other place in the document does, what
//! follows there may follow here, the more so the longer the two agree and if the text behind the hole follows there
//! too. So it is, to a lesser degree, with other files that bear on the document. [`continuations`] finds these texts,
//! and how likely each is what is missing; [`Votes`] mixes them into a model's probabilities while a canvas is denoised.
//!
//! The probabilities are a logit model's, with "none of these" as one alternative. `fixtures/nano/training/prior.py`
//! fits its weights, and says what they predict of documents that they were not fitted to.

mod brackets;
mod copier;
mod evidence;
mod votes;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use brackets::Brackets;
pub use copier::Copier;
use evidence::{Sightings, Weights};
pub(crate) use votes::{AcceptedRow, Votes};

use crate::infiller::{Excerpt, Extent};
use crate::prompt::normalise;

/// Text on each side of the hole that is searched.
const SEARCHED_BYTES: usize = 128 << 10;
/// Text of other files that is searched.
const SEARCHED_ELSEWHERE_BYTES: usize = 64 << 10;
/// Texts that agree for longer count no more.
const AGREEMENT_MAX_BYTES: usize = 64;
/// Places that are looked at in the document, and again in other files: those that agree with the text before the hole
/// for the longest, and of these the nearest, or those in the most relevant file.
const PLACES_MAX: usize = 24;
/// A continuation has no more bytes.
const CONTINUATION_MAX_BYTES: usize = 240;
/// Nor more line ends.
const CONTINUATION_MAX_LINES: usize = 6;
/// A continuation that does not end with its line ends where so many bytes agree with those behind the hole, or all of
/// them if they are fewer.
const END_MIN_BYTES: usize = 2;

/// By how much more than their shares of it the likelier continuations vote.
const SHARPNESS: f64 = 4.0;

/// A text that stands elsewhere in the document and may be what is missing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Continuation {
    pub(crate) text: String,
    pub(crate) probability: f64,
}

/// A place where a text goes on as the document may go on at the hole.
struct Place<'a> {
    /// The text from there on.
    rest: &'a str,
    before: usize,
    /// Bytes between the place and the hole; in other files, files that are more relevant.
    distance: usize,
}

/// The texts that may fill a hole of a text with any line ends, beside excerpts with any line ends; see
/// [`continuations`].
pub(crate) fn continuations_at(
    text: &str,
    hole: Range<usize>,
    excerpts: &[Excerpt],
    extent: Extent,
) -> Vec<Continuation> {
    let mut left = SEARCHED_ELSEWHERE_BYTES;
    let mut others = Vec::with_capacity(excerpts.len());
    for excerpt in excerpts {
        let searched = &excerpt.text[..excerpt.text.floor_char_boundary(left)];
        left -= searched.len();
        others.push(normalise(searched));
    }
    continuations(&normalise(&text[..hole.start]), &normalise(&text[hole.end..]), &others, extent)
}

/// The texts that may fill a hole between `prefix` and `suffix`, beside others, the most relevant first, whose lines all
/// end in `\n`: the likeliest first, and together with a probability of less than one. None of them is blank, and where
/// all brackets around the hole are closed, none of them closes one that it does not open.
fn continuations(prefix: &str, suffix: &str, others: &[Cow<'_, str>], extent: Extent) -> Vec<Continuation> {
    let prefix = &prefix[prefix.ceil_char_boundary(prefix.len().saturating_sub(SEARCHED_BYTES))..];
    let suffix = &suffix[..suffix.floor_char_boundary(SEARCHED_BYTES)];
    let is_at_end = suffix.trim().is_empty();
    let suffix = if is_at_end { "" } else { suffix };
    let mut found: HashMap<&str, Sightings> = HashMap::new();
    let is_closed = Brackets::of(&[prefix, suffix]).are_closed();
    let end_of = |place: &Place<'_>| end(place.rest, suffix, extent, is_closed);
    for place in places(prefix, suffix) {
        let Some((length, behind)) = end_of(&place) else { continue };
        found.entry(&place.rest[..length]).or_default().here.add(place.before, behind, place.distance);
    }
    for place in places_elsewhere(prefix, others) {
        let Some((length, behind)) = end_of(&place) else { continue };
        found.entry(&place.rest[..length]).or_default().elsewhere.add(place.before, behind, place.distance);
    }
    let weights = Weights::of(extent, is_at_end);
    let mut scored: Vec<(f64, &str)> =
        found.into_iter().map(|(text, sightings)| (weights.score(text, &sightings).exp(), text)).collect();
    scored.sort_by(|(a, a_text), (b, b_text)| b.total_cmp(a).then(a_text.cmp(b_text)));
    let total: f64 = 1.0 + scored.iter().map(|(odds, _)| odds).sum::<f64>();
    // That nothing is missing is what remains, if that is what the document says.
    let scored = scored.into_iter().filter(|(_, text)| !text.trim().is_empty());
    scored.map(|(odds, text)| Continuation { text: text.to_owned(), probability: odds / total }).collect()
}

/// With what probability each continuation is to vote, where what the document repeats has these odds against a model
/// that could be right as well.
///
/// The likeliest votes with more than its share. Rows are settled one by one, and what all the unlikely ones have in
/// common, such as their ends, would else be settled before what the likeliest says.
pub(crate) fn weights(continuations: &[Continuation], odds: f64) -> impl Iterator<Item = f64> {
    let total: f64 = continuations.iter().map(|continuation| continuation.probability).sum();
    let together = odds * total / (1.0 - total + odds * total);
    let sharpened = |continuation: &Continuation| continuation.probability.powf(SHARPNESS);
    let partition = continuations.iter().map(sharpened).sum::<f64>();
    continuations.iter().map(move |continuation| together * sharpened(continuation) / partition)
}

/// Where the text before the hole ends too, but for the hole itself.
fn places<'a>(prefix: &'a str, suffix: &'a str) -> Vec<Place<'a>> {
    let Some(last) = prefix.as_bytes().last() else { return Vec::new() };
    let in_text = |text: &'a str, distance: fn(usize, usize) -> usize| {
        let ends = text.bytes().enumerate().filter(|(_, byte)| byte == last).map(|(at, _)| at + 1);
        ends.filter(|end| text.is_char_boundary(*end)).map(move |end| Place {
            rest: &text[end..],
            before: agreement(text.as_bytes()[..end].iter().rev(), prefix.as_bytes().iter().rev()),
            distance: distance(text.len(), end),
        })
    };
    let mut places: Vec<_> = in_text(prefix, |length, end| length - end).collect();
    // The hole itself.
    places.pop();
    places.extend(in_text(suffix, |_, end| end));
    places.sort_by_key(|place| (Reverse(place.before), place.distance));
    places.truncate(PLACES_MAX);
    places
}

/// Where other texts stand as the text before the hole ends.
fn places_elsewhere<'a>(prefix: &str, others: &'a [Cow<'_, str>]) -> Vec<Place<'a>> {
    let Some(last) = prefix.as_bytes().last() else { return Vec::new() };
    let mut places = Vec::new();
    for (rank, text) in others.iter().enumerate() {
        let ends = text.bytes().enumerate().filter(|(_, byte)| byte == last).map(|(at, _)| at + 1);
        places.extend(ends.filter(|end| text.is_char_boundary(*end)).map(|end| Place {
            rest: &text[end..],
            before: agreement(text.as_bytes()[..end].iter().rev(), prefix.as_bytes().iter().rev()),
            distance: rank,
        }));
    }
    let order = |place: &Place<'_>| (Reverse(place.before), place.distance, Reverse(place.rest.len()));
    if places.len() > PLACES_MAX {
        places.select_nth_unstable_by_key(PLACES_MAX, order);
        places.truncate(PLACES_MAX);
    }
    places.sort_by_key(order);
    places
}

/// Where a text that may fill a hole ends, and how many bytes behind it agree with those behind the hole: at the end of a
/// line, or elsewhere in it if they do. With `is_closed`, only where its brackets are closed, but for those that a line
/// opens at its end for the lines to come.
fn end(text: &str, suffix: &str, extent: Extent, is_closed: bool) -> Option<(usize, usize)> {
    let ends_line = suffix.is_empty() || suffix.starts_with('\n');
    let limit = text.len().min(CONTINUATION_MAX_BYTES);
    let mut best: Option<(usize, usize)> = None;
    let mut lines = 0;
    let mut brackets = Brackets::default();
    for at in 0..=limit {
        if at > 0 {
            brackets.read(text.as_bytes()[at - 1]);
        }
        if !text.is_char_boundary(at) {
            continue;
        }
        let is_line_end = text[at..].starts_with('\n');
        let opens_at_end = extent == Extent::Line && ends_line && brackets.are_in_turn();
        let may_stand = !is_closed || brackets.are_closed() || opens_at_end;
        if may_stand && (is_line_end || at == text.len() || extent == Extent::Line) {
            let behind = agreement(text.as_bytes()[at..].iter(), suffix.as_bytes().iter());
            let may_end = (is_line_end && ends_line)
                || (behind >= END_MIN_BYTES.min(suffix.len()) && behind > 0)
                || (extent == Extent::Line && is_line_end && best.is_none());
            if may_end && best.is_none_or(|(_, most)| behind > most) {
                best = Some((at, behind));
            }
        }
        if is_line_end {
            lines += 1;
            if extent == Extent::Line || lines > CONTINUATION_MAX_LINES {
                break;
            }
        }
    }
    best
}

/// How many bytes are the same in both, up to a limit.
fn agreement<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take(AGREEMENT_MAX_BYTES).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
