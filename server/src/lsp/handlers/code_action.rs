//! `textDocument/codeAction`: offers *Fill this hole* where something is yet to be written.

use serde_json::json;
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::{
    CodeAction, CodeActionDisabled, CodeActionKind, CodeActionOrCommand, CodeActionParams, CodeActionResponse,
};

use crate::lsp::backend::Backend;
use crate::lsp::fill::outcome;
use crate::lsp::holes::{edit_to_fill, placeholders_of, range_of};
use crate::lsp::pending::CancelOnDrop;
use crate::lsp::session::Snapshot;
use crate::lsp::worker::ModelState;
use crate::syntax::Placeholder;

const TITLE: &str = "Fill this hole";

pub(crate) async fn handle(backend: &Backend, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
    let (snapshot, facts) = {
        let session = backend.session();
        (session.snapshot(&params.text_document.uri), session.client)
    };
    let Some(snapshot) = snapshot.filter(|_| wants_rewrites(params.context.only.as_deref())) else {
        return Ok(None);
    };
    let selection = snapshot.byte_of(params.range.start)..snapshot.byte_of(params.range.end);
    // Parsing takes its time, and this thread has messages to see to.
    let (snapshot, placeholders) = tokio::task::spawn_blocking(move || {
        let mut placeholders = placeholders_of(&snapshot);
        placeholders.retain(|hole| hole.byte_range.start <= selection.end && selection.start <= hole.byte_range.end);
        (snapshot, placeholders)
    })
    .await
    .map_err(|_| Error::internal_error())?;

    let state = backend.model_state();
    if let ModelState::Failed(reason) = state {
        let offers = placeholders.iter().filter(|_| facts.knows_disabled_actions);
        let disabled = offers.map(|hole| CodeAction {
            disabled: Some(CodeActionDisabled { reason: reason.clone() }),
            ..action(&snapshot, hole, placeholders.len())
        });
        return Ok(answer(disabled.collect()));
    }
    if facts.resolves_edits {
        let offers = placeholders.iter().map(|hole| CodeAction {
            data: Some(json!({
                "uri": snapshot.uri,
                "version": snapshot.document.version,
                "startByte": hole.byte_range.start,
            })),
            ..action(&snapshot, hole, placeholders.len())
        });
        return Ok(answer(offers.collect()));
    }
    // The edit must come along, so that only one hole can be offered in reasonable time.
    let Some(hole) = placeholders.first().filter(|_| matches!(state, ModelState::Ready(_))) else {
        return Ok(None);
    };
    let mut action = action(&snapshot, hole, 1);
    let start_byte = hole.byte_range.start;
    let cancel = CancelOnDrop::default();
    let for_engine = cancel.flag();
    let edit = backend
        .worker
        .submit(cancel.flag(), move |engine| edit_to_fill(engine, &snapshot, start_byte, facts, &for_engine));
    action.edit = outcome(edit.await)?.flatten();
    Ok(answer(action.edit.is_some().then_some(action).into_iter().collect()))
}

/// Whether the client asks for actions of this server's kind, or for all.
fn wants_rewrites(only: Option<&[CodeActionKind]>) -> bool {
    let is_wanted = |kind: &CodeActionKind| {
        let rewrite = CodeActionKind::REFACTOR_REWRITE;
        let rest = rewrite.as_str().strip_prefix(kind.as_str());
        kind.as_str().is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    only.is_none_or(|kinds| kinds.iter().any(is_wanted))
}

fn action(snapshot: &Snapshot, hole: &Placeholder, offered: usize) -> CodeAction {
    let title = if offered > 1 {
        format!("Fill the hole in line {}", range_of(snapshot, &hole.byte_range).start.line + 1)
    } else {
        TITLE.to_owned()
    };
    CodeAction { title, kind: Some(CodeActionKind::REFACTOR_REWRITE), ..CodeAction::default() }
}

fn answer(actions: Vec<CodeAction>) -> Option<CodeActionResponse> {
    let actions: Vec<_> = actions.into_iter().map(CodeActionOrCommand::CodeAction).collect();
    (!actions.is_empty()).then_some(actions)
}

#[cfg(test)]
mod tests {
    use super::wants_rewrites;

    #[test]
    fn rewrites_are_offered_to_whoever_wants_them() {
        let wants = |only: &[&'static str]| {
            let kinds: Vec<_> = only.iter().map(|kind| (*kind).to_owned().into()).collect();
            wants_rewrites(Some(&kinds))
        };
        assert!(wants_rewrites(None));
        assert!(wants(&[""]) && wants(&["refactor"]) && wants(&["quickfix", "refactor.rewrite"]));
        assert!(!wants(&["quickfix"]) && !wants(&["refactor.rewrite.more"]) && !wants(&["ref"]) && !wants(&[]));
    }
}
