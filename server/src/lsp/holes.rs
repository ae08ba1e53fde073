//! The places of a document that *Fill this hole* is offered at, and the edit that fills one.

use std::collections::HashMap;
use std::ops::Range;

use lacuna_engine::{Cancel, Error, Infiller};
use tower_lsp::ls_types::{
    self, DocumentChanges, OneOf, OptionalVersionedTextDocumentIdentifier, TextDocumentEdit, TextEdit, WorkspaceEdit,
};

use crate::lsp::capabilities::ClientFacts;
use crate::lsp::fill::fill;
use crate::lsp::positions::position_of_byte;
use crate::lsp::session::Snapshot;
use crate::syntax::{self, Placeholder};

/// The placeholders of a document, in order. This parses the document.
pub(crate) fn placeholders_of(snapshot: &Snapshot) -> Vec<Placeholder> {
    placeholders_in(&snapshot.document.text.to_string(), snapshot)
}

/// The edit that fills the placeholder that begins at a byte; `None` if there is none, or nothing to put there.
pub(crate) fn edit_to_fill(
    engine: &dyn Infiller,
    snapshot: &Snapshot,
    start_byte: usize,
    facts: ClientFacts,
    cancel: &Cancel,
) -> Result<Option<WorkspaceEdit>, Error> {
    let text = snapshot.document.text.to_string();
    let placeholders = placeholders_in(&text, snapshot);
    let Some(hole) = placeholders.into_iter().find(|placeholder| placeholder.byte_range.start == start_byte) else {
        return Ok(None);
    };
    let byte_range = hole.byte_range.clone();
    let fills = fill(engine, text, snapshot.document.language, hole.byte_range, hole.extent, 1, cancel)?;
    Ok(fills.into_iter().next().map(|new_text| workspace_edit(snapshot, byte_range, new_text, facts)))
}

/// A range in the protocol's terms.
pub(crate) fn range_of(snapshot: &Snapshot, byte_range: &Range<usize>) -> ls_types::Range {
    let position = |byte| position_of_byte(&snapshot.document.text, byte, snapshot.encoding);
    ls_types::Range::new(position(byte_range.start), position(byte_range.end))
}

fn placeholders_in(text: &str, snapshot: &Snapshot) -> Vec<Placeholder> {
    let language = snapshot.document.language;
    match syntax::parse(text, language) {
        Some(tree) => syntax::find_placeholders(text, &tree, language),
        None => Vec::new(),
    }
}

fn workspace_edit(
    snapshot: &Snapshot,
    byte_range: Range<usize>,
    new_text: String,
    facts: ClientFacts,
) -> WorkspaceEdit {
    let uri = snapshot.uri.clone();
    let edit = TextEdit { range: range_of(snapshot, &byte_range), new_text };
    if facts.versioned_edits {
        let text_document = OptionalVersionedTextDocumentIdentifier { uri, version: Some(snapshot.document.version) };
        let edit = TextDocumentEdit { text_document, edits: vec![OneOf::Left(edit)] };
        WorkspaceEdit { document_changes: Some(DocumentChanges::Edits(vec![edit])), ..WorkspaceEdit::default() }
    } else {
        WorkspaceEdit { changes: Some(HashMap::from([(uri, vec![edit])])), ..WorkspaceEdit::default() }
    }
}
