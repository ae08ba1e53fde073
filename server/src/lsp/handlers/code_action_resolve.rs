//! `codeAction/resolve`: computes the edit of an action that the user has chosen.

use std::sync::Arc;

use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::{CodeAction, WorkspaceEdit};

use crate::lsp::actions::{Action, Outcome, perform};
use crate::lsp::backend::Backend;
use crate::lsp::capabilities::ClientFacts;
use crate::lsp::draft::Drafts;
use crate::lsp::edits::{with_preview, workspace_edit};
use crate::lsp::fill::{failed, outcome};
use crate::lsp::handlers::code_action::Data;
use crate::lsp::pending::CancelOnDrop;
use crate::lsp::progress;
use crate::lsp::worker::Loading;
use crate::settings::Settings;

pub(crate) async fn handle(backend: &Backend, mut action: CodeAction) -> Result<CodeAction> {
    let data = action.data.clone().unwrap_or_default();
    let Ok(data) = serde_json::from_value::<Data>(data) else {
        return Err(Error::invalid_params("the code action is not one of this server's"));
    };
    match compute(backend, &data).await? {
        Ok(edit) => {
            action.edit = Some(edit);
            Ok(action)
        }
        Err(reason) => Err(failed(reason)),
    }
}

/// The edit of an action, or why there is none.
pub(crate) async fn compute(backend: &Backend, data: &Data) -> Result<std::result::Result<WorkspaceEdit, String>> {
    let (snapshot, facts, settings, id) = {
        let mut session = backend.session();
        if let Some(reason) = session.switched_off(&data.uri) {
            return Ok(Err(reason));
        }
        (session.snapshot(&data.uri), session.client, Arc::clone(&session.settings), session.next_id())
    };
    let Some(snapshot) = snapshot.filter(|snapshot| snapshot.document.version == data.version) else {
        return Err(Error::content_modified());
    };
    let state = backend.model_state();
    if state.serving.is_none() {
        return Ok(Err(match state.loading {
            Loading::Failed(reason) => reason,
            Loading::UnderWay | Loading::Done => "the model is still loading".to_owned(),
        }));
    }
    let drafts = if settings.drafts {
        Drafts::to(backend.client.clone(), id, data.uri.clone(), data.version)
    } else {
        Drafts::default()
    };
    let cancel = CancelOnDrop::default();
    let for_engine = cancel.flag();
    let chosen = data.action.clone();
    let previews = is_previewed(&data.action, facts, &settings);
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
    let received = match data.action {
        Action::FillAll => progress::during(backend, facts, "Lacuna: filling all holes", found).await,
        Action::FormatMarkdown => progress::during(backend, facts, "Lacuna: formatting", found).await,
        _ => found.await,
    };
    let found = outcome(received)?;
    if !backend.session().is_current(&data.uri, data.version) {
        return Err(Error::content_modified());
    }
    Ok(found.unwrap_or_else(|| Err("too much was asked for at once".to_owned())))
}

/// Whether the editor shows the action's edit, and applies it once somebody agrees.
pub(crate) fn is_previewed(action: &Action, facts: ClientFacts, settings: &Settings) -> bool {
    *action == Action::FillAll && settings.preview_fill_all && facts.previews_edits && facts.versioned_edits
}
