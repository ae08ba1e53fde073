use std::ops::Range;

use lacuna_engine::{Extent, Language};
use tree_sitter::{Node, Tree};

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
    let in_prose = tree.is_some_and(|tree| is_in_string_or_comment(tree, text, caret));
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

/// Whether a line that ends like this goes on in lines below it.
fn expects_block(before: &str, language: Language) -> bool {
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

fn is_in_string_or_comment(tree: &Tree, text: &str, caret: usize) -> bool {
    // The node that a caret stands in also contains the character before it.
    let Some(previous) = text[..caret].chars().next_back() else {
        return false;
    };
    let at = caret - previous.len_utf8();
    // Downwards, because each step up from a node starts at the root again.
    let mut cursor = tree.walk();
    while cursor.node().start_byte() <= at {
        let node = cursor.node();
        if is_string(node) && caret < node.end_byte() {
            return true;
        }
        // A line comment goes on for as long as somebody types; its node may contain the line's end.
        let goes_on = caret <= node.end_byte() && is_line_comment(node, text) && previous != '\n';
        if is_comment(node) && (caret < node.end_byte() || goes_on) {
            return true;
        }
        if cursor.goto_first_child_for_byte(at).is_none() {
            break;
        }
    }
    false
}

fn is_string(node: Node<'_>) -> bool {
    matches!(node.kind(), "string_literal" | "raw_string_literal" | "char_literal" | "string")
}

fn is_comment(node: Node<'_>) -> bool {
    matches!(node.kind(), "line_comment" | "block_comment" | "comment")
}

fn is_line_comment(node: Node<'_>, text: &str) -> bool {
    !text.get(node.byte_range()).is_some_and(|comment| comment.starts_with("/*"))
}

#[cfg(test)]
mod tests;
