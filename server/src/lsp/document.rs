//! One open document, as the client last described it.

use std::ops::Range;

use lacuna_engine::Language;
use ropey::Rope;
use tower_lsp::ls_types::TextDocumentContentChangeEvent;

use crate::lsp::positions::{Encoding, byte_of_position};

/// A document's text, with the version that the client gave to it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) text: Rope,
    pub(crate) version: i32,
    pub(crate) language: Language,
}

/// A replacement in bytes of the text before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ByteEdit<'a> {
    pub(crate) removed: Range<usize>,
    pub(crate) inserted: &'a str,
}

impl Document {
    pub(crate) fn new(text: &str, version: i32, language: Language) -> Self {
        Self { text: Rope::from_str(text), version, language }
    }

    /// Applies one change of a `didChange` and says what it replaced.
    ///
    /// A range that the text does not have is brought into it: an edit that is lost altogether would leave
    /// everything after it wrong.
    pub(crate) fn apply<'a>(&mut self, change: &'a TextDocumentContentChangeEvent, encoding: Encoding) -> ByteEdit<'a> {
        let inserted = change.text.as_str();
        let Some(range) = change.range else {
            let removed = 0..self.text.len_bytes();
            self.text = Rope::from_str(inserted);
            return ByteEdit { removed, inserted };
        };
        let start = byte_of_position(&self.text, range.start, encoding);
        let end = byte_of_position(&self.text, range.end, encoding);
        if start > end || range.end.line as usize > self.text.len_lines() {
            tracing::warn!(version = self.version, "an edit outside of the document was brought into it");
        }
        let removed = start.min(end)..start.max(end);
        let (start_char, end_char) = (self.text.byte_to_char(removed.start), self.text.byte_to_char(removed.end));
        self.text.remove(start_char..end_char);
        self.text.insert(start_char, inserted);
        ByteEdit { removed, inserted }
    }
}

#[cfg(test)]
mod tests;
