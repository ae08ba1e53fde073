//! What the server knows: the client's abilities and the open documents.
//!
//! Messages that change the state run on this, to their end, before anything else is looked at. Everything that
//! takes time works on a [`Snapshot`].

use std::collections::HashMap;

use tower_lsp::ls_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, Position, Uri,
};

use crate::lsp::capabilities::ClientFacts;
use crate::lsp::document::Document;
use crate::lsp::exclusion::reason_to_exclude;
use crate::lsp::interpolate::{Anchor, Suggestion};
use crate::lsp::pending::{Pending, Ticket};
use crate::lsp::positions::{Encoding, byte_of_position};
use crate::syntax;

/// The mutable state, never held while anything is waited for.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) client: ClientFacts,
    documents: HashMap<Uri, Entry>,
    next_request_id: u64,
}

/// A document that will not change any more.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) uri: Uri,
    pub(crate) document: Document,
    pub(crate) encoding: Encoding,
}

/// A document that can be read, and what is going on in it.
#[derive(Debug)]
pub(crate) struct OpenDocument {
    pub(crate) document: Document,
    pub(crate) pending: Option<Pending>,
    pub(crate) suggestion: Option<Suggestion>,
}

#[derive(Debug)]
enum Entry {
    Open(OpenDocument),
    Excluded { reason: &'static str, is_told: bool },
}

impl Session {
    pub(crate) fn open(&mut self, params: DidOpenTextDocumentParams) {
        let opened = params.text_document;
        let entry = match reason_to_exclude(&opened.uri) {
            Some(reason) => Entry::Excluded { reason, is_told: false },
            None => Entry::Open(OpenDocument {
                document: Document::new(&opened.text, opened.version, syntax::language_of_id(&opened.language_id)),
                pending: None,
                suggestion: None,
            }),
        };
        if self.documents.insert(opened.uri, entry).is_some() {
            tracing::warn!("a document was opened twice; the second text counts");
        }
    }

    pub(crate) fn change(&mut self, params: DidChangeTextDocumentParams) {
        let encoding = self.client.encoding;
        let open = match self.documents.get_mut(&params.text_document.uri) {
            Some(Entry::Open(open)) => open,
            Some(Entry::Excluded { .. }) => return,
            None => {
                tracing::warn!("an edit of a document that is not open was ignored");
                return;
            }
        };
        if params.text_document.version <= open.document.version {
            tracing::warn!(version = params.text_document.version, "an edit did not raise its document's version");
        }
        open.document.version = params.text_document.version;
        for change in &params.content_changes {
            let edit = open.document.apply(change, encoding);
            // What an edit makes worthless is given up here already, so that nothing is computed in vain.
            open.pending.take_if(|pending| !pending.follow(&edit));
            open.suggestion.take_if(|suggestion| !suggestion.anchor.follow(&edit));
        }
    }

    pub(crate) fn close(&mut self, params: &DidCloseTextDocumentParams) {
        if self.documents.remove(&params.text_document.uri).is_none() {
            tracing::warn!("a document that is not open was closed");
        }
    }

    /// The open document with this name, if it may be read.
    pub(crate) fn document(&self, uri: &Uri) -> Option<&OpenDocument> {
        match self.documents.get(uri) {
            Some(Entry::Open(open)) => Some(open),
            _ => None,
        }
    }

    pub(crate) fn document_mut(&mut self, uri: &Uri) -> Option<&mut OpenDocument> {
        match self.documents.get_mut(uri) {
            Some(Entry::Open(open)) => Some(open),
            _ => None,
        }
    }

    pub(crate) fn snapshot(&self, uri: &Uri) -> Option<Snapshot> {
        let document = self.document(uri)?.document.clone();
        Some(Snapshot { uri: uri.clone(), document, encoding: self.client.encoding })
    }

    /// Why the document is not read, the first time that this is asked.
    pub(crate) fn exclusion_to_tell(&mut self, uri: &Uri) -> Option<&'static str> {
        match self.documents.get_mut(uri) {
            Some(Entry::Excluded { reason, is_told }) if !*is_told => {
                *is_told = true;
                Some(reason)
            }
            _ => None,
        }
    }

    /// Begins a request that supersedes any older one in the same document. `anchor` is `None` where no edit at all
    /// may be made meanwhile.
    pub(crate) fn begin(&mut self, uri: &Uri, anchor: Option<Anchor>) -> Option<Ticket> {
        let id = self.next_request_id;
        self.next_request_id += 1;
        let (pending, ticket) = Pending::begin(id, anchor);
        self.document_mut(uri)?.pending = Some(pending);
        Some(ticket)
    }
}

impl Snapshot {
    pub(crate) fn byte_of(&self, position: Position) -> usize {
        byte_of_position(&self.document.text, position, self.encoding)
    }
}
