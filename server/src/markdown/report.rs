//! What formatting changed, for a person to read.

use std::fmt;

use super::defects::Decision;
use super::edits::{Hunk, hunks};

/// Something that formatting changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The line in the text before, counted from 1.
    pub line: usize,
    /// What is different there, in a few words.
    pub what: &'static str,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.what)
    }
}

/// What the layout changed.
pub(super) fn layout(old: &str, new: &str) -> Vec<Change> {
    let mut line = 1;
    let mut at = 0;
    let change = |hunk: Hunk| {
        line += count_lines(&old[at..hunk.old.start]);
        at = hunk.old.start;
        Change { line, what: layout_change(&old[hunk.old], &new[hunk.new]) }
    };
    hunks(old, new).into_iter().map(change).collect()
}

/// A decision about a text that was laid out, at the line of the text before.
pub(super) fn decision(old: &str, laid_out: &str, decision: &Decision) -> Change {
    let at = decision.span().start;
    let before = hunks(old, laid_out).into_iter().take_while(|hunk| hunk.new.end <= at);
    let longer: isize = before.map(|hunk| hunk.new.len() as isize - hunk.old.len() as isize).sum();
    let place = old.floor_char_boundary(at.saturating_add_signed(-longer).min(old.len()));
    Change { line: 1 + count_lines(&old[..place]), what: decision.what }
}

fn count_lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn layout_change(old: &str, new: &str) -> &'static str {
    let is_blank = |text: &str| text.trim().is_empty();
    if is_blank(old) && is_blank(new) {
        return "blank lines";
    }
    if old.lines().map(str::trim_end).eq(new.lines().map(str::trim_end)) {
        return "blanks at the end of a line";
    }
    if old.lines().all(|line| line.contains('|')) && new.lines().all(|line| line.contains('|')) {
        return "a table's columns";
    }
    let is_underline = |line: &str| !line.is_empty() && line.trim_end().bytes().all(|byte| matches!(byte, b'=' | b'-'));
    if old.lines().chain(new.lines()).any(is_underline) {
        return "a heading's form";
    }
    let without_marks = |text: &str| {
        let line = |line: &str| line.trim().trim_start_matches(['*', '-', '+', ' ', '.', ')']).to_owned();
        text.lines().map(line).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    if without_marks(old) == without_marks(new) { "a list's marks or indentation" } else { "blanks and marks" }
}
