//! `textDocument/formatting` and `textDocument/rangeFormatting`, for Markdown alone.

use lacuna_engine::Language;
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::{Range, TextEdit, Uri};

use crate::lsp::actions::{Outcome, format};
use crate::lsp::backend::Backend;
use crate::lsp::edits::text_edits;
use crate::lsp::fill::{failed, outcome};
use crate::lsp::pending::CancelOnDrop;

/// Formats a document, or the blocks that a range touches. Without the model unless the settings say otherwise: an
/// editor that formats on saving waits for this, and must get the same each time.
pub(crate) async fn handle(backend: &Backend, uri: &Uri, range: Option<Range>) -> Result<Option<Vec<TextEdit>>> {
    let (snapshot, asks_model) = {
        let session = backend.session();
        if session.switched_off(uri).is_some() {
            return Ok(None);
        }
        (session.snapshot(uri), session.settings.markdown.format_on_save_with_model)
    };
    let is_right = |snapshot: &crate::lsp::session::Snapshot| {
        snapshot.document.language == Language::Markdown && snapshot.document.doubt().is_none()
    };
    let Some(snapshot) = snapshot.filter(is_right) else {
        return Ok(None);
    };
    let version = snapshot.document.version;
    let cancel = CancelOnDrop::default();
    let flag = cancel.flag();
    let range = range.map(|range| snapshot.byte_of(range.start)..snapshot.byte_of(range.end));
    let text = snapshot.document.text.to_string();
    let formatted = if asks_model && backend.model_state().serving.is_some() {
        let work = backend.worker.submit(cancel.flag(), move |engine| format(Some(engine), &text, range, &flag));
        outcome(work.await)?
    } else {
        let work = tokio::task::spawn_blocking(move || format(None, &text, range, &flag));
        Some(work.await.map_err(|_| Error::internal_error())?.map_err(|error| failed(error.to_string()))?)
    };
    if !backend.session().is_current(uri, version) {
        return Err(Error::content_modified());
    }
    Ok(match formatted {
        Some(Outcome::Edits(edits)) => Some(text_edits(&snapshot, edits)),
        Some(Outcome::Nothing(_)) | None => None,
    })
}
