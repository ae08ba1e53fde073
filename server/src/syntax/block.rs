use lacuna_engine::{Extent, Language};
use tree_sitter::Tree;

use super::caret::{CaretPlace, caret_place};
use super::hole::{FoundHole, HoleKind, expects_block};
use super::lines::{floor_caret, indentation, is_blank, line_range, lines, without_end};

/// The hole that is the unwritten end of the innermost block around the caret.
///
/// There is one where nothing but blanks follows the caret on its line and in its block. In Rust the hole goes up to
/// the line of the closing brace; in Python it ends with the caret's line, because the blank lines after a suite
/// belong to what separates it from the next.
pub fn find_block(text: &str, tree: Option<&Tree>, language: Language, byte_offset: usize) -> Option<FoundHole> {
    let caret = floor_caret(text, byte_offset);
    let line_end = line_range(text, caret).end;
    if !is_blank(&text[caret..line_end]) || caret_place(text, tree, language, caret) != CaretPlace::Code {
        return None;
    }
    let end = match language {
        Language::Rust => end_of_rust_block(text, tree?, caret)?,
        Language::Python => is_end_of_suite(text, tree?, caret).then_some(line_end)?,
        _ => return None,
    };
    Some(FoundHole { byte_range: caret..end, extent: Extent::Block, kind: HoleKind::Block })
}

/// Where the line ends before the one with the brace that closes the caret's block.
fn end_of_rust_block(text: &str, tree: &Tree, caret: usize) -> Option<usize> {
    let brace = text.len() - text[caret..].trim_start().len();
    if !text[brace..].starts_with('}') {
        return None;
    }
    let node = tree.root_node().descendant_for_byte_range(brace, brace + 1)?;
    let block = node.parent()?;
    let is_block = matches!(block.kind(), "block" | "match_block" | "declaration_list");
    if node.kind() != "}" || node.start_byte() != brace || !is_block || block.start_byte() >= caret {
        return None;
    }
    let before = &text[caret..line_range(text, brace).start];
    let before = before.strip_suffix("\r\n").or_else(|| before.strip_suffix(['\n', '\r']))?;
    Some(caret + before.len())
}

/// Whether the caret is in a suite of which nothing is left below the caret's line.
fn is_end_of_suite(text: &str, tree: &Tree, caret: usize) -> bool {
    if is_in_brackets(tree, caret) || text[caret..].trim_start().starts_with([')', ']', '}']) {
        return false;
    }
    let Some(level) = suite_level(text, caret) else {
        return false;
    };
    let below = &text[line_range(text, caret).end..];
    for line in lines(below).map(without_end).filter(|line| !is_blank(line)) {
        if indentation(line).len() >= level {
            return false;
        }
        // A comment ends no suite, wherever it begins.
        if !line.trim_start().starts_with('#') {
            break;
        }
    }
    true
}

/// The least indentation, in bytes, of a line that belongs to the caret's suite; `None` at the top level.
fn suite_level(text: &str, caret: usize) -> Option<usize> {
    let line_start = line_range(text, caret).start;
    let before = &text[line_start..caret];
    let level_of = |line: &str| indentation(line).len() + usize::from(expects_block(line, Language::Python));
    let level = if is_blank(before) {
        let previous = text[..line_start].trim_end();
        let previous = &previous[line_range(previous, previous.len()).start..];
        if expects_block(previous, Language::Python) {
            level_of(previous)
        } else {
            // A caret to the left of the line above has left that line's suite.
            level_of(previous).min(before.len())
        }
    } else {
        level_of(before)
    };
    (level > 0).then_some(level)
}

fn is_in_brackets(tree: &Tree, caret: usize) -> bool {
    let mut cursor = tree.walk();
    while cursor.goto_first_child_for_byte(caret).is_some() {
        let node = cursor.node();
        if node.start_byte() >= caret {
            break;
        }
        if node.child(0).is_some_and(|first| matches!(first.kind(), "(" | "[" | "{")) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
