//! The difference between two texts, in whole lines.

use std::ops::Range;

use similar::{Algorithm, DiffTag, capture_diff_slices};

use crate::syntax::lines::lines;

/// Lines of one text that stand in place of lines of another; both are byte ranges of whole lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

/// Few edits of whole lines that make `new` of `old`, ascending and disjoint: byte ranges of `old`, and what stands
/// there instead.
pub fn edits(old: &str, new: &str) -> Vec<(Range<usize>, String)> {
    hunks(old, new).into_iter().map(|hunk| (hunk.old, new[hunk.new].to_owned())).collect()
}

/// Where two texts differ, ascending.
pub(super) fn hunks(old: &str, new: &str) -> Vec<Hunk> {
    let (old, new) = (Lines::of(old), Lines::of(new));
    let operations = capture_diff_slices(Algorithm::Myers, &old.contents, &new.contents);
    let changes = operations.iter().filter(|operation| operation.tag() != DiffTag::Equal);
    changes.map(|change| Hunk { old: old.bytes(change.old_range()), new: new.bytes(change.new_range()) }).collect()
}

/// `old` with these of its hunks exchanged for what `new` has there.
pub(super) fn exchange<'a>(old: &str, new: &str, hunks: impl IntoIterator<Item = &'a Hunk>) -> String {
    let mut text = String::with_capacity(old.len().max(new.len()));
    let mut at = 0;
    for hunk in hunks {
        text.push_str(&old[at..hunk.old.start]);
        text.push_str(&new[hunk.new.clone()]);
        at = hunk.old.end;
    }
    text.push_str(&old[at..]);
    text
}

/// A text's lines, and where each begins.
struct Lines<'a> {
    contents: Vec<&'a str>,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let contents: Vec<_> = lines(text).filter(|line| !line.is_empty()).collect();
        let mut starts = vec![0];
        for line in &contents {
            starts.push(starts[starts.len() - 1] + line.len());
        }
        Self { contents, starts }
    }

    fn bytes(&self, lines: Range<usize>) -> Range<usize> {
        self.starts[lines.start]..self.starts[lines.end]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{edits, exchange, hunks};

    fn applied(old: &str, new: &str) -> String {
        let mut text = old.to_owned();
        for (range, replacement) in edits(old, new).into_iter().rev() {
            text.replace_range(range, &replacement);
        }
        text
    }

    #[test]
    fn an_edit_is_of_the_lines_that_differ() {
        assert_eq!(edits("a\nb\nc\n", "a\nB\nc\n"), [(2..4, "B\n".to_owned())]);
        assert_eq!(edits("a\r\nb", "a\r\nb\r\n"), [(3..4, "b\r\n".to_owned())]);
        assert_eq!(edits("a\n", "a\n"), []);
        assert_eq!(edits("", "a\n"), [(0..0, "a\n".to_owned())]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn edits_make_the_new_text(old in "[ab\r\n]{0,40}", new in "[ab\r\n]{0,40}") {
            prop_assert_eq!(applied(&old, &new), new.as_str());
            prop_assert_eq!(exchange(&old, &new, &hunks(&old, &new)), new.as_str());
            prop_assert_eq!(exchange(&old, &new, &[]), old);
        }
    }
}
