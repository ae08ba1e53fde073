use std::ops::Range;
use std::sync::LazyLock;

use lacuna_engine::{Extent, Language};
use tree_sitter::{Node, Query, QueryCursor, StreamingIterator, Tree};

use super::grammar;
use super::lines::{indentation, is_blank, line_range};

/// Something that stands where code is yet to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// Byte offsets into the text: what the fill replaces.
    pub byte_range: Range<usize>,
    /// Where it is to be seen: the same range, or the comment that the fill comes after.
    pub shown_at: Range<usize>,
    /// What comes before the fill: a line end and the indentation, where the fill begins a line of its own.
    pub lead: String,
    /// How far the fill may go.
    pub extent: Extent,
    /// The blanks at the beginning of the line on which the range begins.
    pub indentation: String,
}

/// All placeholders of a text, ascending and disjoint.
///
/// In Rust `todo!()`, `unimplemented!()` and functions without a body; in Python `...`, `pass` and
/// `raise NotImplementedError` that are all of a body but for its docstring. The empty body of a class or of a
/// handler is finished as it stands. In both, a comment in a line of its own that begins with `TODO` or `FIXME` and has
/// nothing written below it: the comment stays, and the fill comes in a line after it.
pub fn find_placeholders(text: &str, tree: &Tree, language: Language) -> Vec<Placeholder> {
    let (query, place): (_, fn(Node<'_>, &str) -> Option<Placeholder>) = match language {
        Language::Rust => (&*RUST, in_rust),
        Language::Python => (&*PYTHON, in_python),
        _ => return Vec::new(),
    };
    let Some(query) = query else {
        return Vec::new();
    };
    let mut placeholders = Vec::new();
    let mut cursor = QueryCursor::new();
    // A tree that is out of date may name ranges that the text doesn't have: each is looked up before it is used.
    let text_of = |node: Node<'_>| text.get(node.byte_range()).into_iter();
    let mut matches = cursor.matches(query, tree.root_node(), text_of);
    while let Some(found) = matches.next() {
        let here = query.capture_index_for_name("here");
        let nodes = found.captures().iter().filter(|capture| Some(capture.index) == here).map(|capture| capture.node);
        placeholders.extend(nodes.filter_map(|node| place(node, text)));
    }
    placeholders.sort_by_key(|placeholder| (placeholder.byte_range.start, placeholder.byte_range.end));
    let mut end = 0;
    placeholders.retain(|placeholder| {
        let keep = placeholder.byte_range.start >= end;
        end = end.max(placeholder.byte_range.end);
        keep
    });
    placeholders
}

static RUST: LazyLock<Option<Query>> = LazyLock::new(|| {
    let source = r#"
        ((macro_invocation macro: [
            (identifier) @name
            (scoped_identifier name: (identifier) @name)
        ]) @here (#any-of? @name "todo" "unimplemented"))
        (function_item body: (block) @here)
        (line_comment) @here
    "#;
    Query::new(&grammar(Language::Rust)?, source).ok()
});

static PYTHON: LazyLock<Option<Query>> =
    LazyLock::new(|| Query::new(&grammar(Language::Python)?, "(block) @here (comment) @here").ok());

fn in_rust(node: Node<'_>, text: &str) -> Option<Placeholder> {
    if node.kind() == "line_comment" {
        return after_comment(node, text, "//");
    }
    if node.kind() == "block" {
        let inside = inside_braces(node, text)?;
        return is_blank(&text[inside.clone()]).then(|| placeholder(text, inside, Extent::Block));
    }
    let statement = node.parent().filter(|parent| parent.kind() == "expression_statement").unwrap_or(node);
    text.get(statement.byte_range())?;
    let block = statement.parent().filter(|parent| parent.kind() == "block");
    if let Some(block) = block
        && block.named_child_count() == 1
        && block.start_position().row == block.end_position().row
    {
        // A body in one line may want to become several.
        return Some(placeholder(text, inside_braces(block, text)?, Extent::Block));
    }
    let extent = if block.is_some() && is_alone(text, statement.byte_range()) { Extent::Block } else { Extent::Line };
    Some(placeholder(text, statement.byte_range(), extent))
}

fn inside_braces(block: Node<'_>, text: &str) -> Option<Range<usize>> {
    let range = block.byte_range();
    // A brace that is missing is there in the tree, without a width.
    let braces = [block.child(0)?, block.child(block.child_count().checked_sub(1)?)?];
    let inside = range.start + 1..range.end.checked_sub(1)?;
    (braces.iter().all(|brace| brace.byte_range().len() == 1) && text.get(inside.clone()).is_some()).then_some(inside)
}

fn in_python(block: Node<'_>, text: &str) -> Option<Placeholder> {
    if block.kind() == "comment" {
        return after_comment(block, text, "#");
    }
    let owner = block.parent()?;
    if matches!(owner.kind(), "class_definition" | "except_clause" | "except_group_clause" | "finally_clause") {
        return None;
    }
    let mut cursor = block.walk();
    let mut statements = block.named_children(&mut cursor).filter(|child| child.kind() != "comment").peekable();
    let first = statements.next()?;
    let statement = if is_docstring(first) && statements.peek().is_some() { statements.next()? } else { first };
    if statements.next().is_some() || !stands_for_a_body(statement, text) {
        return None;
    }
    let range = statement.byte_range();
    text.get(range.clone())?;
    let line = line_range(text, range.start);
    let before = text[line.start..range.start].trim_end();
    if before.ends_with(':') && is_blank(&text[range.end..line_range(text, range.end).end]) {
        // A body behind its head's colon may want to become several lines.
        return Some(placeholder(text, line.start + before.len()..range.end, Extent::Block));
    }
    let extent = if is_alone(text, range.clone()) { Extent::Block } else { Extent::Line };
    Some(placeholder(text, range, extent))
}

fn is_docstring(statement: Node<'_>) -> bool {
    let expression = statement.named_child(0).filter(|_| statement.kind() == "expression_statement");
    expression.is_some_and(|expression| expression.kind() == "string")
}

fn stands_for_a_body(statement: Node<'_>, text: &str) -> bool {
    let Some(first) = statement.named_child(0) else {
        return statement.kind() == "pass_statement";
    };
    let named = |node: Node<'_>| text.get(node.byte_range()) == Some("NotImplementedError");
    match statement.kind() {
        "expression_statement" => first.kind() == "ellipsis" && statement.named_child_count() == 1,
        "raise_statement" => named(first) || first.child_by_field_name("function").is_some_and(named),
        _ => false,
    }
}

/// The place after a comment that says what is to be written there.
fn after_comment(comment: Node<'_>, text: &str, mark: &str) -> Option<Placeholder> {
    // A comment's node may contain its line's end.
    let line = line_range(text, comment.start_byte());
    let words = text.get(comment.start_byte()..line.end)?.strip_prefix(mark)?.trim_start();
    let after_word = words.strip_prefix("TODO").or_else(|| words.strip_prefix("FIXME"))?;
    let is_alone = is_blank(text.get(line.start..comment.start_byte())?);
    if !is_alone || after_word.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    // What is written below it is what it is about; the end of a block is not.
    let end = &text[line.end..];
    let line_end = if end.starts_with("\r\n") { "\r\n" } else { end.get(..1).unwrap_or("\n") };
    let below = end.get(line_end.len()..).unwrap_or_default().split(['\n', '\r']).next().unwrap_or_default();
    let indentation = indentation(&text[line.clone()]);
    let ends_block = below.trim_start().starts_with('}') || super::lines::indentation(below).len() < indentation.len();
    (is_blank(below) || ends_block).then(|| Placeholder {
        lead: format!("{line_end}{indentation}"),
        shown_at: comment.start_byte()..line.end,
        ..placeholder(text, line.end..line.end, Extent::Block)
    })
}

/// Whether nothing but blanks stands before the range and after it on its lines.
fn is_alone(text: &str, range: Range<usize>) -> bool {
    let before = &text[line_range(text, range.start).start..range.start];
    let after = &text[range.end..line_range(text, range.end).end];
    is_blank(before) && is_blank(after)
}

fn placeholder(text: &str, byte_range: Range<usize>, extent: Extent) -> Placeholder {
    let line = line_range(text, byte_range.start);
    let indentation = indentation(&text[line]).to_owned();
    Placeholder { shown_at: byte_range.clone(), lead: String::new(), byte_range, extent, indentation }
}

#[cfg(test)]
mod tests;
