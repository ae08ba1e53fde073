//! Line ends and the byte order mark, which formatting has nothing to do with.

use std::borrow::Cow;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices};

use crate::syntax::lines::{lines, without_end};

/// The byte order marks that a text begins with, and the rest.
pub(super) fn split_marks(text: &str) -> (&str, &str) {
    text.split_at(text.len() - text.trim_start_matches('\u{feff}').len())
}

/// The text with `\n` at the end of each line.
pub(super) fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if !text.contains('\r') {
        return text.into();
    }
    text.replace("\r\n", "\n").replace('\r', "\n").into()
}

/// The text with an end of its last line, if it has a line.
pub(super) fn with_last_end(text: &str) -> Cow<'_, str> {
    if text.is_empty() || text.ends_with(['\n', '\r']) { text.into() } else { format!("{text}\n").into() }
}

/// The new text, in which all lines end in `\n`, with the line ends of the old: a line that is still there keeps its
/// own, and the others get the one that the old text has most.
pub(super) fn with_ends_of<'a>(old: &str, new: &'a str) -> Cow<'a, str> {
    if !old.contains('\r') {
        return new.into();
    }
    let usual = usual_end(old);
    let old_lines: Vec<_> = lines(old).collect();
    let new_lines: Vec<_> = lines(new).collect();
    let old_contents: Vec<_> = old_lines.iter().map(|line| without_end(line)).collect();
    let new_contents: Vec<_> = new_lines.iter().map(|line| without_end(line)).collect();
    let mut text = String::with_capacity(new.len() + new_lines.len());
    for operation in capture_diff_slices(Algorithm::Myers, &old_contents, &new_contents) {
        for (step, index) in operation.new_range().enumerate() {
            text.push_str(new_contents[index]);
            if new_lines[index].ends_with('\n') {
                let kept = kept_line(&operation, step).map(|line| end_of(old_lines[line]));
                let end = kept.filter(|end| !end.is_empty()).unwrap_or(usual);
                // Behind a carriage return a line feed would be no line end of its own.
                let would_join = text.ends_with('\r') && new_contents[index].is_empty() && end == "\n";
                text.push_str(if would_join { "\r" } else { end });
            }
        }
    }
    text.into()
}

/// Which of the old lines stands at a step of the new ones.
fn kept_line(operation: &DiffOp, step: usize) -> Option<usize> {
    (operation.tag() == DiffTag::Equal).then(|| operation.old_range().start + step)
}

fn end_of(line: &str) -> &str {
    &line[without_end(line).len()..]
}

/// The line end that most lines have.
fn usual_end(text: &str) -> &'static str {
    let ends = ["\n", "\r\n", "\r"];
    let count = |end: &str| lines(text).filter(|line| end_of(line) == end).count();
    ends.into_iter().max_by_key(|end| count(end)).unwrap_or("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_but_line_ends_differs(old in "[ab\r\n]{0,40}", new in "[ab\n]{0,40}") {
            let restored = with_ends_of(&old, &new).into_owned();
            prop_assert_eq!(with_line_feeds(&restored), new.as_str());
            let same = with_line_feeds(&old).into_owned();
            prop_assert_eq!(with_ends_of(&old, &same), old);
        }
    }

    #[test]
    fn a_line_keeps_its_end() {
        assert_eq!(with_ends_of("a\r\nb\nc\r\nd", "a\nb\nx\nc\nd\n"), "a\r\nb\nx\r\nc\r\nd\r\n");
        assert_eq!(with_ends_of("a\rb\r", "a\n\nb\n"), "a\r\rb\r");
        assert_eq!(with_ends_of("a\nb", "a\nc\n"), "a\nc\n");
        assert_eq!(with_line_feeds("a\r\nb\rc\n"), "a\nb\nc\n");
        assert_eq!(split_marks("\u{feff}\u{feff}a\u{feff}"), ("\u{feff}\u{feff}", "a\u{feff}"));
    }
}
