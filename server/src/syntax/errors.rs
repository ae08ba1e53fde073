use std::ops::Range;

use tree_sitter::Tree;

/// How many nodes stand for an error or for something missing.
pub(crate) fn errors(tree: &Tree) -> usize {
    error_ranges(tree).len()
}

/// Where, in bytes, nodes stand for an error or for something missing; what is missing has no length.
pub(super) fn error_ranges(tree: &Tree) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        if node.is_error() || node.is_missing() {
            found.push(node.byte_range());
        }
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
        }
    }
}
