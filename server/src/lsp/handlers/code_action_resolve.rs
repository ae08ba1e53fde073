//! `codeAction/resolve`: computes the edit of an action that the user has chosen.

use serde::Deserialize;
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::{CodeAction, Uri};

use crate::lsp::backend::Backend;
use crate::lsp::fill::{failed, outcome};
use crate::lsp::holes::edit_to_fill;
use crate::lsp::pending::CancelOnDrop;
use crate::lsp::worker::ModelState;

/// What the offered action carries.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    uri: Uri,
    version: i32,
    start_byte: usize,
}

pub(crate) async fn handle(backend: &Backend, mut action: CodeAction) -> Result<CodeAction> {
    let data = action.data.clone().unwrap_or_default();
    let Ok(data) = serde_json::from_value::<Data>(data) else {
        return Err(Error::invalid_params("the code action is not one of this server's"));
    };
    let (snapshot, facts) = {
        let session = backend.session();
        (session.snapshot(&data.uri), session.client)
    };
    let Some(snapshot) = snapshot.filter(|snapshot| snapshot.document.version == data.version) else {
        return Err(Error::content_modified());
    };
    match backend.model_state() {
        ModelState::Ready(_) => {}
        ModelState::Loading => return Err(failed("the model is still loading".to_owned())),
        ModelState::Failed(reason) => return Err(failed(reason)),
    }
    let cancel = CancelOnDrop::default();
    let for_engine = cancel.flag();
    let edit = backend
        .worker
        .submit(cancel.flag(), move |engine| edit_to_fill(engine, &snapshot, data.start_byte, facts, &for_engine));
    let edit = outcome(edit.await)?;
    let is_current = backend.session().document(&data.uri).is_some_and(|open| open.document.version == data.version);
    if !is_current {
        return Err(Error::content_modified());
    }
    match edit {
        Some(Some(edit)) => {
            action.edit = Some(edit);
            Ok(action)
        }
        Some(None) => Err(failed("the model found nothing that fits into this hole".to_owned())),
        None => Err(failed("too much was asked for at once".to_owned())),
    }
}
