//! The next fill, begun as soon as one was accepted: the editor is about to ask for it.

use std::sync::Arc;

use tower_lsp::ls_types::Uri;

use crate::lsp::backend::Backend;
use crate::lsp::caret::CaretRequest;
use crate::lsp::draft::Drafts;
use crate::lsp::fill::{Filled, Received};
use crate::lsp::interpolate::Anchor;
use crate::lsp::pending::Ticket;

/// A request that nobody has made yet. Dropping it stops the inference.
#[derive(Debug)]
pub(crate) struct Prefetch {
    pub(crate) ticket: Ticket,
    pub(crate) answer: Received<Filled>,
}

/// Begins on the fill at a caret, if the editor will ask for it.
pub(crate) fn prefetch(backend: &Backend, uri: &Uri, caret_byte: usize) {
    let mut session = backend.session();
    let settings = Arc::clone(&session.settings);
    let is_wanted = settings.inline_completion.prefetch && settings.inline_completion.automatic;
    if !is_wanted || session.switched_off(uri).is_some() || backend.model_state().serving.is_none() {
        return;
    }
    let Some(snapshot) = session.snapshot(uri) else {
        return;
    };
    let Some(ticket) = session.begin(uri, Some(Anchor::new(caret_byte))) else {
        return;
    };
    let request =
        CaretRequest { snapshot, caret_byte, selected: None, is_invoked: false, settings, drafts: Drafts::default() };
    let answer = request.submit(&backend.worker, &ticket);
    if let Some(open) = session.document_mut(uri) {
        open.prefetch = Some(Prefetch { ticket, answer });
    }
}
