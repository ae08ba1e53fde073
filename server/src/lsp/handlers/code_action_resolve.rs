//! `codeAction/resolve`: gives the edit of an action that the user has chosen. What is not known yet is computed.

use std::sync::Arc;

use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::{CodeAction, Uri, WorkspaceEdit};

use crate::lsp::actions::{Action, Chosen, Outcome, perform};
use crate::lsp::backend::Backend;
use crate::lsp::capabilities::ClientFacts;
use crate::lsp::draft::Drafts;
use crate::lsp::edits::{Replacement, with_preview, workspace_edit};
use crate::lsp::fill::{failed, outcome};
use crate::lsp::handlers::code_action::Data;
use crate::lsp::pending::CancelOnDrop;
use crate::lsp::progress;
use crate::lsp::worker::Loading;
use crate::settings::Settings;

pub(crate) async fn handle(backend: &Backend, mut action: CodeAction) -> Result<CodeAction> {
    let data = action.data.clone().unwrap_or_default();
    let Ok(Data { uri, version, chosen }) = serde_json::from_value::<Data>(data) else {
        return Err(Error::invalid_params("the code action is not one of this server's"));
    };
    let edit = match chosen {
        Chosen::Compute(action) => compute(backend, &uri, version, action).await?,
        // Nothing of this is the engine's business, so that it waits for nothing that the engine does.
        Chosen::Apply { replacements } => known(backend, &uri, version, replacements)?,
    };
    match edit {
        Ok(edit) => {
            action.edit = Some(edit);
            Ok(action)
        }
        Err(reason) => Err(failed(reason)),
    }
}

/// The edit of replacements that were found for this version of the document, or why there is none.
fn known(
    backend: &Backend,
    uri: &Uri,
    version: i32,
    replacements: Vec<Replacement>,
) -> Result<std::result::Result<WorkspaceEdit, String>> {
    let mut session = backend.session();
    if let Some(reason) = session.switched_off(uri) {
        return Ok(Err(reason));
    }
    let facts = session.client;
    let snapshot = session.snapshot(uri).filter(|snapshot| snapshot.document.version == version);
    let Some((snapshot, open)) = snapshot.zip(session.document_mut(uri)) else {
        return Err(Error::content_modified());
    };
    // What comes back need not be what went.
    let found = open.next.found(version);
    if !replacements.iter().all(|replacement| found.contains(replacement)) {
        return Err(Error::content_modified());
    }
    open.next.choose(&replacements);
    Ok(Ok(workspace_edit(&snapshot, replacements, facts)))
}

/// The edit of an action, or why there is none.
pub(crate) async fn compute(
    backend: &Backend,
    uri: &Uri,
    version: i32,
    action: Action,
) -> Result<std::result::Result<WorkspaceEdit, String>> {
    let (snapshot, facts, settings, id) = {
        let mut session = backend.session();
        if let Some(reason) = session.switched_off(uri) {
            return Ok(Err(reason));
        }
        (session.snapshot(uri), session.client, Arc::clone(&session.settings), session.next_id())
    };
    let Some(snapshot) = snapshot.filter(|snapshot| snapshot.document.version == version) else {
        return Err(Error::content_modified());
    };
    let state = backend.model_state();
    if state.serving.is_none() {
        return Ok(Err(match state.loading {
            Loading::Failed(reason) => reason,
            Loading::UnderWay | Loading::Done => "the model is still loading".to_owned(),
        }));
    }
    let drafts =
        if settings.drafts { Drafts::to(backend.client.clone(), id, uri.clone(), version) } else { Drafts::default() };
    let cancel = CancelOnDrop::default();
    let for_engine = cancel.flag();
    let chosen = action.clone();
    let previews = is_previewed(&action, facts, &settings);
    let found = backend.worker.submit(cancel.flag(), move |engine| {
        let outcome = perform(engine, &snapshot, &chosen, &drafts, &for_engine)?;
        Ok(match outcome {
            Outcome::Edits(edits) if previews => {
                let label = format!("Fill {} {}", edits.len(), if edits.len() == 1 { "hole" } else { "holes" });
                Ok(with_preview(workspace_edit(&snapshot, edits, facts), label))
            }
            Outcome::Edits(edits) => Ok(workspace_edit(&snapshot, edits, facts)),
            Outcome::Nothing(reason) => Err(reason),
        })
    });
    let received = match action {
        Action::FillAll => progress::during(backend, facts, "Lacuna: filling all holes", found).await,
        Action::FormatMarkdown => progress::during(backend, facts, "Lacuna: formatting", found).await,
        _ => found.await,
    };
    let found = outcome(received)?;
    if !backend.session().is_current(uri, version) {
        return Err(Error::content_modified());
    }
    Ok(found.unwrap_or_else(|| Err("too much was asked for at once".to_owned())))
}

/// Whether the editor shows the action's edit, and applies it once somebody agrees.
pub(crate) fn is_previewed(action: &Action, facts: ClientFacts, settings: &Settings) -> bool {
    *action == Action::FillAll && settings.preview_fill_all && facts.previews_edits && facts.versioned_edits
}
