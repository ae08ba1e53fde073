//! What is different between two texts, by tokens.

use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffTag, capture_diff_slices_deadline};

use super::tokens::Tokens;

/// A pair of lines of whose tokens fewer than this share are the same was written anew, not changed.
const ALIKE_MIN: f64 = 0.5;
/// Telling two texts apart takes no longer.
const BUDGET: Duration = Duration::from_millis(100);

/// Tokens that gave way to others; at least one of both ranges has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Indices into the tokens of the text before.
    pub(crate) old: Range<usize>,
    /// Indices into the tokens of the text after.
    pub(crate) new: Range<usize>,
}

impl Change {
    /// What it has taken away and what it has put there.
    pub(crate) fn texts<'a>(&self, before: &Tokens<'a>, after: &Tokens<'a>) -> (&'a str, &'a str) {
        (&before.source()[before.bytes(self.old.clone())], &after.source()[after.bytes(self.new.clone())])
    }
}

/// All changes from one text to another, ascending. Blanks and blank lines do not count.
///
/// Lines are told apart first, and then the tokens of those that changed. Where what gave way closes a bracket that it
/// does not open, or the other way round, the change goes on to where the other one is.
pub(crate) fn changes(before: &Tokens<'_>, after: &Tokens<'_>) -> Vec<Change> {
    let deadline = Some(Instant::now() + BUDGET);
    let (old_lines, new_lines) = (lines(before), lines(after));
    let key = |tokens: &Tokens<'_>, line: &Range<usize>| tokens.texts(line.clone()).collect::<Vec<_>>().join("\0");
    let old_keys: Vec<_> = old_lines.iter().map(|line| key(before, line)).collect();
    let new_keys: Vec<_> = new_lines.iter().map(|line| key(after, line)).collect();
    let mut found = Vec::new();
    for op in capture_diff_slices_deadline(Algorithm::Patience, &old_keys, &new_keys, deadline) {
        let (old, new) = (op.old_range(), op.new_range());
        match op.tag() {
            DiffTag::Equal => {}
            DiffTag::Replace if old.len() == new.len() => {
                for (old, new) in old_lines[old].iter().zip(&new_lines[new]) {
                    in_block(before, old.clone(), after, new.clone(), deadline, &mut found);
                }
            }
            _ => in_block(before, joined(&old_lines, old), after, joined(&new_lines, new), deadline, &mut found),
        }
    }
    found
}

/// The tokens of each line, with its end.
fn lines(tokens: &Tokens<'_>) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for index in 0..tokens.len() {
        if tokens.get(index) == "\n" {
            lines.push(start..index + 1);
            start = index + 1;
        }
    }
    if start < tokens.len() {
        lines.push(start..tokens.len());
    }
    lines
}

/// The tokens of several lines in a row; of none, the place where they would be.
fn joined(lines: &[Range<usize>], indices: Range<usize>) -> Range<usize> {
    match lines[indices.clone()] {
        [] => {
            let at = indices.start.checked_sub(1).map_or(0, |before| lines[before].end);
            at..at
        }
        [ref first, ..] => first.start..lines[indices.end - 1].end,
    }
}

fn in_block(
    before: &Tokens<'_>,
    old: Range<usize>,
    after: &Tokens<'_>,
    new: Range<usize>,
    deadline: Option<Instant>,
    found: &mut Vec<Change>,
) {
    let old_texts: Vec<_> = before.texts(old.clone()).collect();
    let new_texts: Vec<_> = after.texts(new.clone()).collect();
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old_texts, &new_texts, deadline);
    let same: usize = ops.iter().filter(|op| op.tag() == DiffTag::Equal).map(|op| op.old_range().len()).sum();
    let longest = old.len().max(new.len());
    if (same as f64) < ALIKE_MIN * longest as f64 {
        if longest > 0 && old_texts != new_texts {
            found.push(Change { old, new });
        }
        return;
    }
    let mut open: Option<Change> = None;
    for op in ops.iter().filter(|op| op.tag() != DiffTag::Equal) {
        let at = |start: usize, range: Range<usize>| start + range.start..start + range.end;
        let (part_old, part_new) = (at(old.start, op.old_range()), at(new.start, op.new_range()));
        let change = match open.take() {
            Some(open) => Change { old: open.old.start..part_old.end, new: open.new.start..part_new.end },
            None => Change { old: part_old, new: part_new },
        };
        if is_balanced(before, &change.old) && is_balanced(after, &change.new) {
            found.push(change);
        } else {
            open = Some(change);
        }
    }
    found.extend(open);
}

fn is_balanced(tokens: &Tokens<'_>, indices: &Range<usize>) -> bool {
    let mut depth = 0;
    for token in tokens.texts(indices.clone()) {
        match token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return false,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::{Tokens, changes};

    /// Each change as `old>new`.
    fn of(before: &str, after: &str) -> Vec<String> {
        let (before, after) = (Tokens::of(before), Tokens::of(after));
        let join = |tokens: &Tokens<'_>, range| tokens.texts(range).collect::<Vec<_>>().join(" ");
        let found = changes(&before, &after);
        found.into_iter().map(|change| format!("{}>{}", join(&before, change.old), join(&after, change.new))).collect()
    }

    #[test]
    fn token_by_token() {
        assert_eq!(of("a = b.c(d)\n", "a = b.e(d)\n"), ["c>e"]);
        assert_eq!(of("f(a)\n", "f(a, b)\n"), [">, b"]);
        assert_eq!(of("x = y\nz\n", "x  =  y\n\n\nz\n"), [""; 0]);
    }

    #[test]
    fn brackets_go_together() {
        assert_eq!(of("x: Optional[str] = None\n", "x: str | None = None\n"), ["Optional [ str ]>str | None"]);
    }

    #[test]
    fn lines_side_by_side() {
        assert_eq!(of("a.b = 1\na.b = 2\n", "a.c = 1\na.c = 2\n"), ["b>c", "b>c"]);
        assert_eq!(of("a\nb\n", "a\nc = d(e)\nb\n"), [">c = d ( e ) \n"]);
    }

    #[test]
    fn a_line_written_anew_is_one_change() {
        assert_eq!(of("return f(a, b)\n", "yield from self.x\n"), ["return f ( a , b ) \n>yield from self . x \n"]);
    }
}
