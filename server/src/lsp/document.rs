//! One open document, as the client last described it.
//!
//! An edit takes microseconds, however long the document or the line: text is a rope, and the tree only hears of the
//! edit when somebody next wants it. A clone is a snapshot, and costs next to nothing.

mod difference;
mod doubt;
mod lazy_tree;

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lacuna_engine::Language;
use ropey::Rope;
use tower_lsp::ls_types::TextDocumentContentChangeEvent;
use tree_sitter::Tree;

use crate::excerpts::Parts;
use crate::lsp::positions::{Encoding, byte_of_position};

pub(crate) use doubt::Doubt;

use lazy_tree::LazyTree;

/// A document's text, with the version that the client gave to it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) text: Rope,
    pub(crate) version: i32,
    pub(crate) language: Language,
    tree: LazyTree,
    /// The text in parts, cut when somebody first wants them; all snapshots of the same text share them.
    parts: Arc<OnceLock<Arc<Parts>>>,
    doubt: Option<Doubt>,
}

/// A replacement in bytes of the text before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ByteEdit<'a> {
    pub(crate) removed: Range<usize>,
    pub(crate) inserted: &'a str,
}

impl Document {
    pub(crate) fn new(text: &str, version: i32, language: Language) -> Self {
        let tree = LazyTree::new(language);
        Self { text: Rope::from_str(text), version, language, tree, parts: Arc::default(), doubt: None }
    }

    /// Applies one change of a `didChange` and says what it replaced.
    ///
    /// A range that the text does not have is brought into it, because an edit that is lost altogether would surely
    /// leave everything after it wrong; where this is a guess, the document is in [doubt](Self::doubt) from then on.
    /// A change without a range is the whole text, which ends any doubt.
    pub(crate) fn apply<'a>(&mut self, change: &'a TextDocumentContentChangeEvent, encoding: Encoding) -> ByteEdit<'a> {
        let Some(range) = change.range else {
            return self.resynchronise(&change.text);
        };
        let start = byte_of_position(&self.text, range.start, encoding);
        let end = byte_of_position(&self.text, range.end, encoding);
        let edit = ByteEdit { removed: start.min(end)..start.max(end), inserted: &change.text };
        if let Some(doubt) = Doubt::of(change, range, &self.text, &edit.removed, encoding) {
            tracing::warn!(version = self.version, "an edit does not fit its document: {doubt}");
            // The first misfit is the one to know: those after it may be its consequences.
            self.doubt.get_or_insert(doubt);
        }
        self.replace(&edit);
        edit
    }

    /// Takes the whole text from the client, and says what is different in it: nothing where client and server have
    /// always agreed.
    pub(crate) fn resynchronise<'a>(&mut self, text: &'a str) -> ByteEdit<'a> {
        let edit = difference::between(&self.text, text);
        if !edit.is_empty() {
            self.replace(&edit);
        }
        self.doubt = None;
        edit
    }

    /// Why this may not be the text that the user sees. Until the client sends the whole text nothing can be done
    /// about it, so that nothing should be written into such a document.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// The document's tree, or `None` where there is no grammar for its language.
    ///
    /// Parses in the calling thread what has changed since somebody last asked, this document or an earlier or later
    /// state of it. Past the budget the tree is one of an earlier text, whose ranges have been moved along with the
    /// edits; or `None` where there has not been one yet.
    pub(crate) fn tree(&self, budget: Duration) -> Option<Tree> {
        self.tree.parse(&self.text, self.language, budget)
    }

    /// The text in parts, as other documents read it. Cuts them in the calling thread where nobody has yet.
    pub(crate) fn parts(&self, budget: Duration) -> Arc<Parts> {
        let cut = || Arc::new(Parts::new(&self.text.to_string(), self.tree(budget).as_ref(), self.language));
        Arc::clone(self.parts.get_or_init(cut))
    }

    fn replace(&mut self, edit: &ByteEdit<'_>) {
        self.parts = Arc::default();
        self.tree.record(&self.text, edit);
        let start_char = self.text.byte_to_char(edit.removed.start);
        let end_char = self.text.byte_to_char(edit.removed.end);
        self.text.remove(start_char..end_char);
        self.text.insert(start_char, edit.inserted);
    }
}

impl ByteEdit<'_> {
    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.inserted.is_empty()
    }
}

#[cfg(test)]
mod tests;
