//! A file in parts: functions, types, members; or paragraphs, where there is no grammar.

use std::collections::BTreeSet;
use std::ops::Range;

use lacuna_engine::Language;
use tree_sitter::{Node, Tree};

use super::names::{Names, names_in};
use crate::syntax::lines::{is_blank, line_range, lines};

/// A longer file is none that somebody writes, and is left out.
const FILE_MAX_BYTES: usize = 256 << 10;
/// Neighbours are one part until they have as much text.
const PART_MIN_BYTES: usize = 256;
/// A part with more text is cut where a line ends, and one that is in itself an outline, where its members end.
const PART_MAX_BYTES: usize = 2 << 10;

/// A text, cut into parts.
#[derive(Debug)]
pub(crate) struct Parts {
    text: String,
    parts: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    byte_range: Range<usize>,
    names: Names,
    defines: Names,
}

/// Some lines that belong together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    /// All names in it.
    pub(super) names: &'a Names,
    /// Those of its functions, types and constants.
    pub(super) defines: &'a Names,
}

impl Parts {
    /// Cuts a text, whose tree may be that of an earlier one.
    pub(crate) fn new(text: &str, tree: Option<&Tree>, language: Language) -> Self {
        if text.len() > FILE_MAX_BYTES {
            return Self { text: String::new(), parts: Vec::new() };
        }
        let mut outline = Outline { text, cuts: BTreeSet::new(), definitions: Vec::new() };
        match tree {
            Some(tree) => outline.read(tree.root_node(), language),
            None => outline.cut_at_blank_lines(),
        }
        let Outline { cuts, mut definitions, .. } = outline;
        definitions.sort_by_key(|(at, _)| *at);
        let mut parts = Vec::new();
        for byte_range in ranges(text, &cuts) {
            let part = &text[byte_range.clone()];
            if is_blank(part) {
                continue;
            }
            let first = definitions.partition_point(|(at, _)| *at < byte_range.start);
            let behind = definitions.partition_point(|(at, _)| *at < byte_range.end);
            let defines = Names::new(definitions[first..behind].iter().map(|(_, name)| *name));
            parts.push(Found { names: Names::new(names_in(part)), defines, byte_range });
        }
        Self { text: text.to_owned(), parts }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Part<'_>> {
        self.parts.iter().map(|Found { byte_range, names, defines }| Part {
            text: &self.text[byte_range.clone()],
            names,
            defines,
        })
    }
}

/// Where a text can be cut, always behind a line's end, and what is defined where in it.
struct Outline<'a> {
    text: &'a str,
    cuts: BTreeSet<usize>,
    definitions: Vec<(usize, &'a str)>,
}

impl Outline<'_> {
    fn read(&mut self, parent: Node<'_>, language: Language) {
        let mut cursor = parent.walk();
        for item in parent.named_children(&mut cursor) {
            // What is said of an item before it belongs to it.
            let is_item = !matches!(item.kind(), "line_comment" | "block_comment" | "comment" | "attribute_item");
            if is_item && item.end_byte() <= self.text.len() {
                self.cuts.insert(line_end(self.text, item.end_byte()));
            }
            let item = item.child_by_field_name("definition").unwrap_or(item);
            self.define(item, language);
            if let Some(body) = item.child_by_field_name("body").filter(|_| has_members(item)) {
                if item.byte_range().len() > PART_MAX_BYTES {
                    self.read(body, language);
                } else {
                    let mut cursor = body.walk();
                    body.named_children(&mut cursor).for_each(|member| self.define(member, language));
                }
            }
        }
    }

    fn define(&mut self, item: Node<'_>, language: Language) {
        let name = match (language, item.kind()) {
            (Language::Rust, "impl_item") => item.child_by_field_name("type"),
            (Language::Python, "expression_statement") => item
                .named_child(0)
                .filter(|child| child.kind() == "assignment")
                .and_then(|it| it.child_by_field_name("left")),
            (Language::Python, "decorated_definition") => {
                item.child_by_field_name("definition").and_then(|definition| definition.child_by_field_name("name"))
            }
            // An import has a name too, and defines nothing.
            (Language::Python, "import_statement" | "import_from_statement") => None,
            _ => item.child_by_field_name("name"),
        };
        let text = name.and_then(|name| self.text.get(name.byte_range()));
        if let Some(name) = text.and_then(|name| names_in(name).next()) {
            self.definitions.push((item.start_byte(), name));
        }
    }

    fn cut_at_blank_lines(&mut self) {
        let mut at = 0;
        for line in lines(self.text) {
            at += line.len();
            if is_blank(line) {
                self.cuts.insert(at);
            }
        }
    }
}

fn has_members(item: Node<'_>) -> bool {
    matches!(item.kind(), "impl_item" | "trait_item" | "mod_item" | "class_definition")
}

/// The parts between the cuts: small ones together with those behind them, long ones cut once more.
fn ranges(text: &str, cuts: &BTreeSet<usize>) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        if cut < text.len() && cut.saturating_sub(start) < PART_MIN_BYTES {
            continue;
        }
        while cut - start > PART_MAX_BYTES {
            let last = line_range(text, text.floor_char_boundary(start + PART_MAX_BYTES));
            // A line that is longer than a part stays whole.
            let end = if last.start > start { whole_line_end(text, last.start) } else { line_end(text, last.end) };
            ranges.push(start..end.min(cut));
            start = end.min(cut);
        }
        if start < cut {
            ranges.push(start..cut);
            start = cut;
        }
    }
    ranges
}

/// Behind the end of the line that what ends there stands on.
fn line_end(text: &str, byte: usize) -> usize {
    let byte = text.floor_char_boundary(byte);
    if text[..byte].ends_with(['\n', '\r']) {
        return whole_line_end(text, byte);
    }
    let end = line_range(text, byte).end;
    whole_line_end(text, end + usize::from(end < text.len()))
}

/// Behind a line's end that may be the middle of one.
fn whole_line_end(text: &str, byte: usize) -> usize {
    let is_inside = text[..byte].ends_with('\r') && text[byte..].starts_with('\n');
    byte + usize::from(is_inside)
}
