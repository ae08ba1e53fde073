use std::fmt;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use lacuna_engine::Language;
use ropey::{Rope, RopeSlice};
use tree_sitter::{InputEdit, ParseOptions, Parser, Point, Tree};

use super::grammar;

/// A document's tree, which follows the document's edits.
///
/// Tell each edit with [`edit`](Self::edit), then call [`reparse`](Self::reparse) when the tree is next wanted: any
/// number of edits may lie in between. [`tree`](Self::tree) always gives the newest tree there is. A `Tree` is cheap
/// to clone, for a snapshot that goes to another thread.
pub struct SyntaxTree {
    parser: Parser,
    /// The newest tree, moved along with the edits since. `None` until a first parse has come to its end.
    tree: Option<Tree>,
    is_current: bool,
    /// How many `\n` the text has, the only character that ends a line for a tree's points.
    newlines: usize,
    /// How long the text is that the edits so far have led to.
    bytes: usize,
}

impl SyntaxTree {
    /// A tree yet to be parsed, or `None` where there is no grammar for the language.
    pub fn new(text: &Rope, language: Language) -> Option<Self> {
        let mut parser = Parser::new();
        parser.set_language(&grammar(language)?).ok()?;
        let (newlines, bytes) = (count_newlines(text.slice(..)), text.len_bytes());
        Some(Self { parser, tree: None, is_current: false, newlines, bytes })
    }

    /// Follows one edit: `removed`, bytes of the text `before` the edit, gave way to `inserted`.
    ///
    /// Takes microseconds and parses nothing. An edit that doesn't fit the text means that the two have lost each
    /// other: the next parse then begins anew.
    pub fn edit(&mut self, before: &Rope, removed: Range<usize>, inserted: &str) {
        // A parse that ran out of time cannot go on in another text.
        self.parser.reset();
        self.is_current = false;
        let fits = before.len_bytes() == self.bytes && removed.start <= removed.end && removed.end <= self.bytes;
        let Some(gone) = before.get_byte_slice(removed.clone()).filter(|_| fits) else {
            self.forget();
            return;
        };
        // Without a `\r` that stands alone, the rope's lines are the tree's rows.
        let rows_are_lines = before.len_lines() == self.newlines + 1;
        let point = |byte| if rows_are_lines { point_by_line(before, byte) } else { point_by_count(before, byte) };
        let start_position = point(removed.start);
        let edit = InputEdit {
            start_byte: removed.start,
            old_end_byte: removed.end,
            new_end_byte: removed.start + inserted.len(),
            start_position,
            old_end_position: point(removed.end),
            new_end_position: after(start_position, inserted),
        };
        if let Some(tree) = &mut self.tree {
            tree.edit(&edit);
        }
        self.newlines = self.newlines - count_newlines(gone) + inserted.matches('\n').count();
        self.bytes = self.bytes - removed.len() + inserted.len();
    }

    /// Forgets the tree: the next parse begins anew. For when the whole text was replaced.
    pub fn forget(&mut self) {
        self.parser.reset();
        self.tree = None;
        self.is_current = false;
        self.bytes = usize::MAX;
    }

    /// Brings the tree up to date with the text, and says whether it now is.
    ///
    /// What can be kept of the last tree is kept. Where the budget runs out, the last tree stays, moved along with
    /// the edits, and a further call without an edit in between goes on from where this one stopped.
    ///
    /// Around errors, what the parser makes of a text may depend on the tree that it began with. A tree with errors
    /// is therefore parsed anew, as far as the budget allows: where it doesn't, the tree is current all the same, but
    /// its errors may be other ones than those of a fresh parse.
    pub fn reparse(&mut self, text: &Rope, budget: Duration) -> bool {
        if self.bytes != text.len_bytes() {
            self.forget();
            (self.newlines, self.bytes) = (count_newlines(text.slice(..)), text.len_bytes());
        }
        if self.is_current {
            return true;
        }
        let start = Instant::now();
        let Some(tree) = self.parse(text, self.tree.clone(), start, budget) else {
            return false;
        };
        let depends_on_last = self.tree.is_some() && tree.root_node().has_error();
        let anew = if depends_on_last { self.parse(text, None, start, budget) } else { None };
        self.parser.reset();
        self.tree = Some(anew.unwrap_or(tree));
        self.is_current = true;
        true
    }

    /// The text's tree, or `None` where the budget ran out: the next parse of the same text then goes on.
    fn parse(&mut self, text: &Rope, last: Option<Tree>, start: Instant, budget: Duration) -> Option<Tree> {
        let mut out_of_time =
            |_: &_| if start.elapsed() > budget { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let options = ParseOptions::new().progress_callback(&mut out_of_time);
        let mut read = |byte, _| bytes_from(text, byte);
        self.parser.parse_with_options(&mut read, last.as_ref(), Some(options))
    }

    /// The newest tree. Its ranges fit the text after all edits; its nodes, only if it [is current](Self::is_current).
    pub fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    /// Whether the tree is that of the text after all edits.
    pub fn is_current(&self) -> bool {
        self.is_current
    }
}

impl fmt::Debug for SyntaxTree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tree, is_current, bytes, .. } = self;
        formatter
            .debug_struct("SyntaxTree")
            .field("tree", tree)
            .field("is_current", is_current)
            .field("bytes", bytes)
            .finish()
    }
}

/// The rope's bytes from this one on, as many as lie together; none at the text's end.
fn bytes_from(text: &Rope, byte: usize) -> &[u8] {
    if byte >= text.len_bytes() {
        return &[];
    }
    let (chunk, start, _, _) = text.chunk_at_byte(byte);
    &chunk.as_bytes()[byte - start..]
}

fn count_newlines(text: RopeSlice<'_>) -> usize {
    text.chunks().map(|chunk| chunk.bytes().filter(|&byte| byte == b'\n').count()).sum()
}

fn point_by_line(text: &Rope, byte: usize) -> Point {
    let row = text.byte_to_line(byte);
    Point::new(row, byte - text.line_to_byte(row))
}

fn point_by_count(text: &Rope, byte: usize) -> Point {
    text.byte_slice(..byte).chunks().fold(Point::new(0, 0), after)
}

/// Where a text ends that begins at the point.
fn after(start: Point, text: &str) -> Point {
    match text.rfind('\n') {
        Some(last) => Point::new(start.row + text.matches('\n').count(), text.len() - last - 1),
        None => Point::new(start.row, start.column + text.len()),
    }
}

#[cfg(test)]
mod tests;
