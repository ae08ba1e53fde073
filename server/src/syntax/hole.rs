use std::ops::Range;

use lacuna_engine::{Extent, Language};
use tree_sitter::Tree;

use super::caret::{CaretPlace, caret_place};
use super::lines::{floor_caret, is_blank, line_range};

/// Where something may be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundHole {
    /// Byte offsets into the text: what the fill replaces, empty for an insertion.
    pub byte_range: Range<usize>,
    /// How far the fill may go.
    pub extent: Extent,
    /// What stands around it.
    pub kind: HoleKind,
}

/// What stands around a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoleKind {
    /// Nothing but blanks follows on the line, and what the line has begun is to be ended.
    RestOfLine,
    /// Something follows on the line, and stays.
    InsideLine,
    /// Whole lines may follow: the line is blank, or ends with what a block follows.
    Block,
    /// Somebody said which range.
    Range,
}

/// The hole at a caret: the rest of the line when that is blank, else nothing but the caret's own place.
///
/// An offset outside the text, inside a character or inside a `\r\n` counts as the nearest caret before it.
pub fn find_hole(text: &str, tree: Option<&Tree>, language: Language, byte_offset: usize) -> FoundHole {
    let caret = floor_caret(text, byte_offset);
    let line = line_range(text, caret);
    let before = &text[line.start..caret];
    if !is_blank(&text[caret..line.end]) {
        return FoundHole { byte_range: caret..caret, extent: Extent::Line, kind: HoleKind::InsideLine };
    }
    let in_prose = caret_place(text, tree, language, caret) != CaretPlace::Code;
    let (extent, kind) = if !in_prose && (is_blank(before) || expects_block(before, language)) {
        (Extent::Block, HoleKind::Block)
    } else {
        (Extent::Line, HoleKind::RestOfLine)
    };
    FoundHole { byte_range: caret..line.end, extent, kind }
}

/// The hole that is exactly this range, but for edges where no caret can stand: they move back to where one can.
pub fn hole_of_range(text: &str, byte_range: Range<usize>) -> FoundHole {
    let end = floor_caret(text, byte_range.end);
    let start = floor_caret(text, byte_range.start).min(end);
    let extent = if text[start..end].contains(['\n', '\r']) { Extent::Block } else { Extent::Line };
    FoundHole { byte_range: start..end, extent, kind: HoleKind::Range }
}

/// The hole that a selection of lines or of a part of a line is: what is to be seen of it. The first line's indentation
/// and the last line's end stay; `None` where nothing is to be seen.
pub fn hole_of_selection(text: &str, byte_range: Range<usize>) -> Option<FoundHole> {
    let selected = hole_of_range(text, byte_range).byte_range;
    let trimmed = text[selected.clone()].trim_start();
    let start = selected.end - trimmed.len();
    let seen = trimmed.trim_end();
    (!seen.is_empty()).then(|| hole_of_range(text, start..start + seen.len()))
}

/// Whether a line that ends like this goes on in lines below it.
pub(super) fn expects_block(before: &str, language: Language) -> bool {
    let before = before.trim();
    match language {
        Language::Python => before.ends_with('{') || (before.ends_with(':') && begins_python_header(before)),
        Language::Rust => before.ends_with('{'),
        _ => before.ends_with(['{', ':']),
    }
}

/// Whether a colon at the end of this line ends a statement's head. It may as well belong to a dictionary, a slice, a
/// `lambda` or an annotation, and none of these begins a line with such a word.
fn begins_python_header(line: &str) -> bool {
    const HEADS: [&str; 14] = [
        "async", "case", "class", "def", "elif", "else", "except", "finally", "for", "if", "match", "try", "while",
        "with",
    ];
    // The last line of a head that goes over several, as in `) -> int:`.
    let ends_longer_head = line.starts_with([')', ']']);
    let first_word = line.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    ends_longer_head || HEADS.contains(&first_word)
}

#[cfg(test)]
mod tests;
