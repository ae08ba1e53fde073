//! The tree that a document and all its snapshots share.
//!
//! Edits go into a log that each snapshot has for itself, so that the document never waits for a parse. Whoever wants
//! a tree brings the shared one up to its own state, and parses.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lacuna_engine::Language;
use ropey::Rope;
use tree_sitter::Tree;

use super::ByteEdit;
use crate::syntax::{SyntaxTree, grammar};

/// Edits remembered at most. After more of them without a parse, parsing anew costs little more than following them.
const MAX_EDITS: usize = 128;

#[derive(Clone, Debug)]
pub(super) struct LazyTree {
    /// `None` where there is no grammar.
    shared: Option<Arc<Mutex<Shared>>>,
    log: Arc<Log>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    /// The last edits, the newest of which led to `revision`.
    edits: VecDeque<Arc<Edit>>,
    /// How many edits there have been.
    revision: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// `None` until somebody wants one.
    tree: Option<SyntaxTree>,
    /// The edits that the tree knows of.
    revision: u64,
}

#[derive(Debug)]
struct Edit {
    before: Rope,
    removed: Range<usize>,
    inserted: String,
}

impl LazyTree {
    pub(super) fn new(language: Language) -> Self {
        let shared = grammar(language).map(|_| Arc::default());
        Self { shared, log: Arc::default() }
    }

    /// Remembers an edit of the text.
    pub(super) fn record(&mut self, before: &Rope, edit: &ByteEdit<'_>) {
        if self.shared.is_none() {
            return;
        }
        let log = Arc::make_mut(&mut self.log);
        if log.edits.len() == MAX_EDITS {
            log.edits.pop_front();
        }
        log.edits.push_back(Arc::new(Edit {
            before: before.clone(),
            removed: edit.removed.clone(),
            inserted: edit.inserted.to_owned(),
        }));
        log.revision += 1;
    }

    /// The tree of the text that the recorded edits have led to.
    pub(super) fn parse(&self, text: &Rope, language: Language, budget: Duration) -> Option<Tree> {
        let log = &*self.log;
        // Whoever waits here wants a tree, which the one that is being parsed saves them most of the work for.
        let mut shared = self.shared.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.revision > log.revision {
            // A later snapshot has been here; its tree cannot be moved back.
            drop(shared);
            return newest(&mut SyntaxTree::new(text, language)?, text, budget);
        }
        let mut tree = match shared.tree.take() {
            Some(tree) => tree,
            None => {
                shared.revision = log.revision;
                SyntaxTree::new(text, language)?
            }
        };
        let unknown = (log.revision - shared.revision) as usize;
        match log.edits.len().checked_sub(unknown) {
            Some(known) => {
                for edit in log.edits.iter().skip(known) {
                    tree.edit(&edit.before, edit.removed.clone(), &edit.inserted);
                }
            }
            None => tree.forget(),
        }
        shared.revision = log.revision;
        let newest = newest(&mut tree, text, budget);
        // A tree that panicked on its way was taken out above, and is not put back.
        shared.tree = Some(tree);
        newest
    }
}

fn newest(tree: &mut SyntaxTree, text: &Rope, budget: Duration) -> Option<Tree> {
    tree.reparse(text, budget);
    tree.tree().cloned()
}

#[cfg(test)]
mod tests;
