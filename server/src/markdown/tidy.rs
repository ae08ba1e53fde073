//! The formatter's layout as far as it keeps the guarantee.

use std::ops::Range;

use super::edits::{Hunk, exchange, hunks};
use super::guarantee::difference;
use super::harmless::harmless;
use super::normalise::normalise;
use super::parse::top_blocks;

/// How often a layout may be laid out again before it has to be the same.
const PASSES: usize = 4;

/// A text laid out, for which laying it out again changes nothing.
#[derive(Debug)]
pub(super) struct Tidy {
    pub(super) text: String,
    /// Where the range went that was asked for.
    pub(super) range: Option<Range<usize>>,
    /// Why a part stayed as it was.
    pub(super) note: Option<String>,
}

/// Lays out the text, or the blocks that the range touches, but for the lines that are `spared`. The document stays
/// [the same](super::guarantee); where part of the layout would not keep it so, that part is left out.
///
/// # Errors
///
/// A sentence that says why the document has to be left alone.
pub(super) fn tidy(
    text: &str,
    range: Option<Range<usize>>,
    spared: impl Fn(&str) -> Vec<Range<usize>>,
) -> Result<Tidy, String> {
    let mut tidy = Tidy { text: text.to_owned(), range, note: None };
    for _ in 0..PASSES {
        let next = pass(&tidy.text, tidy.range.clone(), &spared)?;
        let is_settled = next.text == tidy.text;
        tidy = Tidy { note: next.note.or(tidy.note), ..next };
        if is_settled {
            // Each pass keeps what it began with, so the last is as good as the first.
            return Ok(tidy);
        }
    }
    Err("formatting it again would change it again".to_owned())
}

fn pass(text: &str, range: Option<Range<usize>>, spared: &impl Fn(&str) -> Vec<Range<usize>>) -> Result<Tidy, String> {
    let laid_out = normalise(text)?;
    let mut wanted = if laid_out == text { Vec::new() } else { hunks(text, &laid_out) };
    if wanted.is_empty() {
        return Ok(Tidy { text: text.to_owned(), range, note: None });
    }
    if let Some(range) = &range {
        let touched = touched_blocks(text, range);
        wanted.retain(|hunk| touched.iter().any(|block| block.start <= hunk.old.start && hunk.old.end <= block.end));
    }
    let spared = spared(text);
    wanted.retain(|hunk| !spared.iter().any(|spared| touch(spared, &hunk.old)));
    let (kept, why) = harmless(wanted, |hunks| difference(text, &exchange(text, &laid_out, hunks)));
    let note = why.map(|why| format!("part of it is left as it was: {why}"));
    let range = range.map(|range| moved(range, &kept));
    Ok(Tidy { text: exchange(text, &laid_out, &kept), range, note })
}

/// The blocks of the top level that a range touches; a caret, which is an empty range, touches both its neighbours.
pub(super) fn touched_blocks(text: &str, range: &Range<usize>) -> Vec<Range<usize>> {
    let mut blocks = top_blocks(text);
    blocks.retain(|block| if range.is_empty() { touch(block, range) } else { overlap(block, range) });
    blocks
}

/// Whether two ranges have a place in common, their ends included.
fn touch(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start <= other.end && other.start <= one.end
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Where a range is after hunks have been exchanged; it grows to the whole of a hunk that it cuts.
fn moved(range: Range<usize>, exchanged: &[Hunk]) -> Range<usize> {
    place_of(range.start, exchanged).start..place_of(range.end, exchanged).end
}

/// Where an offset is after hunks have been exchanged: anywhere in the lines that replace its own.
fn place_of(offset: usize, exchanged: &[Hunk]) -> Range<usize> {
    let mut longer = 0_isize;
    for hunk in exchanged.iter().filter(|hunk| hunk.old.start < offset) {
        if hunk.old.end > offset {
            let start = hunk.old.start.saturating_add_signed(longer);
            return start..start + hunk.new.len();
        }
        longer += hunk.new.len() as isize - hunk.old.len() as isize;
    }
    let place = offset.saturating_add_signed(longer);
    place..place
}
