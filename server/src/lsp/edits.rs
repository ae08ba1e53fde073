//! Edits of a document in the protocol's terms.

use std::collections::HashMap;
use std::ops::Range;

use tower_lsp::ls_types::{
    self, AnnotatedTextEdit, ChangeAnnotation, DocumentChanges, OneOf, OptionalVersionedTextDocumentIdentifier,
    TextDocumentEdit, TextEdit, WorkspaceEdit,
};

use crate::lsp::capabilities::ClientFacts;
use crate::lsp::positions::position_of_byte;
use crate::lsp::session::Snapshot;

/// A replacement of a byte range; several of them are ascending, disjoint, and all of the same text.
pub(crate) type Replacement = (Range<usize>, String);

/// A range in the protocol's terms.
pub(crate) fn range_of(snapshot: &Snapshot, byte_range: &Range<usize>) -> ls_types::Range {
    let position = |byte| position_of_byte(&snapshot.document.text, byte, snapshot.encoding);
    ls_types::Range::new(position(byte_range.start), position(byte_range.end))
}

pub(crate) fn text_edits(snapshot: &Snapshot, replacements: Vec<Replacement>) -> Vec<TextEdit> {
    let edit = |(byte_range, new_text)| TextEdit { range: range_of(snapshot, &byte_range), new_text };
    replacements.into_iter().map(edit).collect()
}

/// One undo step that applies to the snapshot's version alone, where the client knows versions.
pub(crate) fn workspace_edit(snapshot: &Snapshot, replacements: Vec<Replacement>, facts: ClientFacts) -> WorkspaceEdit {
    let uri = snapshot.uri.clone();
    let edits = text_edits(snapshot, replacements);
    if facts.versioned_edits {
        let text_document = OptionalVersionedTextDocumentIdentifier { uri, version: Some(snapshot.document.version) };
        let edit = TextDocumentEdit { text_document, edits: edits.into_iter().map(OneOf::Left).collect() };
        WorkspaceEdit { document_changes: Some(DocumentChanges::Edits(vec![edit])), ..WorkspaceEdit::default() }
    } else {
        WorkspaceEdit { changes: Some(HashMap::from([(uri, edits)])), ..WorkspaceEdit::default() }
    }
}

/// The edit, which the editor is to show under this label and apply once somebody agrees. It needs a client that takes
/// edits that name the document's version.
pub(crate) fn with_preview(mut edit: WorkspaceEdit, label: String) -> WorkspaceEdit {
    const ANNOTATION: &str = "lacuna";
    let Some(DocumentChanges::Edits(documents)) = &mut edit.document_changes else {
        return edit;
    };
    for document in documents {
        for change in &mut document.edits {
            if let OneOf::Left(text_edit) = change {
                let text_edit = text_edit.clone();
                *change = OneOf::Right(AnnotatedTextEdit { text_edit, annotation_id: ANNOTATION.to_owned() });
            }
        }
    }
    let annotation = ChangeAnnotation { label, needs_confirmation: Some(true), description: None };
    edit.change_annotations = Some(HashMap::from([(ANNOTATION.to_owned(), annotation)]));
    edit
}
