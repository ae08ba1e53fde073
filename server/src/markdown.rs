//! Formatting of Markdown, which changes how a document is written and never what it says.
//!
//! Entry points: [`format()`], a pure function of the text and the engine's answers, and [`edits()`], which makes few
//! edits of whole lines of its result.
//!
//! A well-kept formatter lays the text out. Then, if there is an engine, defects are looked for: marks that are
//! plainly not what was meant. Each is decided among a few ways to write it, and everything but the marks in question
//! stays pinned. A document without defects costs no call of the engine.
//!
//! Invariants, checked on every run before anything is offered; what would break one is left as it was:
//! - The words, the bytes of code blocks, links, front matter and HTML stay the same: the module `guarantee` says
//!   exactly what that means.
//! - The layout changes nothing that a reader of Markdown sees. A decision loses no heading, item, quote, table or
//!   code block, and leaves no more defects than there were.
//! - Formatting the result again changes nothing.

mod decide;
mod defects;
mod edits;
mod guarantee;
mod harmless;
mod line_ends;
mod normalise;
mod parse;
mod report;
mod tidy;

use std::ops::Range;

use lacuna_engine::{Cancel, Error, Infiller};

use defects::{Decision, apart, apply};
use harmless::harmless;
use line_ends::{split_marks, with_ends_of, with_last_end, with_line_feeds};
use tidy::{Tidy, tidy, touched_blocks};

pub use edits::edits;
pub use report::Change;

/// A formatted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formatted {
    /// The whole text; what it was where nothing had to change or nothing could.
    pub text: String,
    /// What is different, by line.
    pub changes: Vec<Change>,
    /// A sentence for the user, if something is left as it was that should have changed.
    pub note: Option<String>,
}

/// Formats Markdown.
///
/// Without an engine this is the formatter's layout alone: fast, and the same for the same text. With one, defects
/// are decided too. With a range of bytes, only whole blocks that the range touches change.
///
/// # Errors
///
/// The engine's, [`Error::Cancelled`] among them. A text that cannot be formatted is no error, but comes back as it
/// was, with a note.
pub fn format(
    text: &str,
    engine: Option<&dyn Infiller>,
    range: Option<Range<usize>>,
    cancel: &Cancel,
) -> Result<Formatted, Error> {
    let (marks, body) = split_marks(text);
    let given = with_line_feeds(body);
    // What stands in a last line without an end reads the same with one.
    let lines = with_last_end(&given);
    let range = range.map(|range| {
        let place = |offset: usize| {
            let offset = body.floor_char_boundary(offset.saturating_sub(marks.len()));
            with_line_feeds(&body[..offset]).len()
        };
        place(range.start)..place(range.end.max(range.start))
    });
    let outcome = match tidy(&lines, range, defects::spared) {
        Ok(tidy) => match engine {
            Some(engine) => decided(&given, tidy, engine, cancel)?,
            None => Outcome { changes: report::layout(&given, &tidy.text), text: tidy.text, note: tidy.note },
        },
        Err(reason) => Outcome::left_alone(&given, &reason),
    };
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let text = format!("{marks}{}", with_ends_of(body, &outcome.text));
    Ok(Formatted { text, changes: outcome.changes, note: outcome.note })
}

/// Whether [`format()`] would ask an engine about the text, once it is laid out.
pub fn has_defects(text: &str) -> bool {
    !defects::find(&with_line_feeds(split_marks(text).1)).is_empty()
}

/// A formatted text whose lines end in `\n`.
struct Outcome {
    text: String,
    changes: Vec<Change>,
    note: Option<String>,
}

impl Outcome {
    fn left_alone(text: &str, reason: &str) -> Self {
        Self { text: text.to_owned(), changes: Vec::new(), note: Some(format!("left as it was: {reason}")) }
    }
}

/// Decides the defects of a text that is laid out already, as far as that does no harm.
fn decided(old: &str, laid_out: Tidy, engine: &dyn Infiller, cancel: &Cancel) -> Result<Outcome, Error> {
    let Tidy { text, range, note } = laid_out;
    let mut changes = report::layout(old, &text);
    let defects = defects::find(&text);
    let defect_count = defects.len();
    let mut decisions = apart(defects);
    if let Some(range) = &range {
        let blocks = touched_blocks(&text, range);
        let is_inside = |at: &Range<usize>| blocks.iter().any(|block| block.start <= at.start && at.end <= block.end);
        decisions.retain(|decision| decision.holes.iter().all(|place| is_inside(&place.byte_range)));
    }
    let indices = decide::decide(&text, &decisions, engine, cancel)?;
    let wanted: Vec<(Decision, usize)> = decisions.into_iter().zip(indices).filter(|(_, index)| *index > 0).collect();
    if wanted.is_empty() {
        return Ok(Outcome { text, changes, note });
    }
    // Where there is no defect any more, the layout may differ.
    let finish = |decided: &[(Decision, usize)]| {
        let applied = apply(&text, decided);
        let range = range.clone().map(|range| moved_by_decisions(range, decided));
        tidy(&applied, range, defects::spared)
    };
    let harm = |decided: &[(Decision, usize)]| {
        let Ok(finished) = finish(decided) else { return Some("the result could not be laid out") };
        let has_more = defects::find(&finished.text).len() > defect_count;
        guarantee::loss(&text, &finished.text).or_else(|| has_more.then_some("there would be more defects"))
    };
    let (kept, why) = harmless(wanted, harm);
    let note = why.map(|why| format!("a defect is left as it was: {why}")).or(note);
    // Nothing kept is the text as it was, and that could be laid out.
    let Ok(finished) = finish(&kept) else { return Ok(Outcome { text, changes, note }) };
    changes.extend(kept.iter().map(|(decision, _)| report::decision(old, &text, decision)));
    changes.sort_by_key(|change| change.line);
    Ok(Outcome { text: finished.text, changes, note: note.or(finished.note) })
}

/// Where a range is once decisions are applied.
fn moved_by_decisions(range: Range<usize>, decided: &[(Decision, usize)]) -> Range<usize> {
    let places = decided.iter().flat_map(|(decision, index)| decision.holes.iter().map(move |place| (place, index)));
    places.fold(range.clone(), |moved, (place, index)| {
        let longer = place.choices[*index].len() as isize - place.byte_range.len() as isize;
        let shift =
            |offset: usize, is_behind: bool| if is_behind { offset.saturating_add_signed(longer) } else { offset };
        shift(moved.start, place.byte_range.end < range.start)..shift(moved.end, place.byte_range.start <= range.end)
    })
}

#[cfg(test)]
mod tests;
