//! Reads texts with marks: `$0` is the caret, and a hole stands between `«` and `»`.

use std::ops::Range;

/// The text without its caret, and where the caret was.
pub(super) fn caret(marked: &str) -> (String, usize) {
    let (before, after) = marked.split_once("$0").expect("a case has a caret");
    (format!("{before}{after}"), before.len())
}

/// The text without its marks, and what stood between them.
pub(super) fn holes(marked: &str) -> (String, Vec<Range<usize>>) {
    let (mut text, mut ranges, mut start) = (String::new(), Vec::new(), 0);
    for character in marked.chars() {
        match character {
            '«' => start = text.len(),
            '»' => ranges.push(start..text.len()),
            _ => text.push(character),
        }
    }
    (text, ranges)
}

/// Text with the marks put back in.
pub(super) fn mark(text: &str, ranges: &[Range<usize>]) -> String {
    let mut marked = text.to_owned();
    for range in ranges.iter().rev() {
        marked.insert(range.end, '»');
        marked.insert(range.start, '«');
    }
    marked
}
