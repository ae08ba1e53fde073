//! `workspace/executeCommand`.

use serde_json::{Value, json};
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::{ExecuteCommandParams, MessageType, Position, ShowDocumentParams, Uri};

use crate::lsp::actions::Action;
use crate::lsp::backend::Backend;
use crate::lsp::capabilities::{FILL_ALL, FORMAT_MARKDOWN, NEXT_PLACE, STATUS};
use crate::lsp::fill::failed;
use crate::lsp::handlers::code_action_resolve::{compute, is_previewed};
use crate::lsp::next_place::Place;
use crate::lsp::status::Status;

pub(crate) async fn handle(backend: &Backend, params: ExecuteCommandParams) -> Result<Option<Value>> {
    let uri = match params.arguments.first() {
        None | Some(Value::Null) => None,
        Some(argument) => match serde_json::from_value::<Uri>(argument.clone()) {
            Ok(uri) => Some(uri),
            Err(_) => return Err(Error::invalid_params("the argument is not a document's URI")),
        },
    };
    let needs_document = || Error::invalid_params("the command needs a document's URI");
    match params.command.as_str() {
        STATUS => {
            let (status, message) = status(backend, uri.as_ref());
            backend.client.show_message(MessageType::INFO, message).await;
            Ok(Some(status))
        }
        NEXT_PLACE => {
            let position = match params.arguments.get(1) {
                None | Some(Value::Null) => None,
                Some(position) => match serde_json::from_value::<Position>(position.clone()) {
                    Ok(position) => Some(position),
                    Err(_) => return Err(Error::invalid_params("the second argument is not a position")),
                },
            };
            go_to_next_place(backend, &uri.ok_or_else(needs_document)?, position).await
        }
        FILL_ALL => apply(backend, uri.ok_or_else(needs_document)?, Action::FillAll, "Fill all holes").await,
        FORMAT_MARKDOWN => {
            apply(backend, uri.ok_or_else(needs_document)?, Action::FormatMarkdown, "Format Markdown").await
        }
        _ => Err(Error::invalid_params("there is no such command")),
    }
}

/// Has the client show the next place, and gives it; null where there is none.
async fn go_to_next_place(backend: &Backend, uri: &Uri, position: Option<Position>) -> Result<Option<Value>> {
    let (place, shows_documents) = {
        let mut session = backend.session();
        if let Some(reason) = session.switched_off(uri) {
            return Err(failed(reason));
        }
        let place = session.snapshot(uri).and_then(|snapshot| {
            let next = &mut session.document_mut(uri)?.next;
            let from = position.map_or(next.burst_end(), |position| snapshot.byte_of(position));
            let found = next.after(snapshot.document.version, from)?.clone();
            next.go_to(&found.0);
            Some(Place::of(&snapshot, &found))
        });
        (place, session.client.shows_documents)
    };
    let Some(place) = place else {
        backend.client.show_message(MessageType::INFO, "Lacuna: no other place here wants the last change.").await;
        return Ok(None);
    };
    if shows_documents {
        let params = ShowDocumentParams {
            uri: uri.clone(),
            external: None,
            take_focus: Some(true),
            selection: Some(place.range()),
        };
        if let Err(error) = backend.client.show_document(params).await {
            tracing::warn!("the editor did not show the next place: {error}");
        }
    }
    Ok(Some(json!(place)))
}

/// How things stand, and why the last completion in a document did not come.
fn status(backend: &Backend, uri: Option<&Uri>) -> (Value, String) {
    let status = Status::of_model(&backend.model_state());
    let session = backend.session();
    let silence = uri.and_then(|uri| {
        let last = || session.document(uri).and_then(|open| open.silence.clone());
        session.switched_off(uri).or_else(last)
    });
    let model = status.model.as_deref().unwrap_or("no model");
    let mut message = format!("Lacuna: {}; {model}", status.message);
    if let Some(silence) = &silence {
        message.push_str(&format!("; no completion here because {silence}"));
    }
    let mut status = json!(status);
    status["silence"] = json!(silence);
    (status, message)
}

/// Computes an edit and has the client apply it.
async fn apply(backend: &Backend, uri: Uri, action: Action, label: &str) -> Result<Option<Value>> {
    let version = backend.session().document(&uri).map(|open| open.document.version);
    let Some(version) = version else {
        let reason = backend.session().switched_off(&uri);
        return Err(failed(reason.unwrap_or_else(|| "the document is not open".to_owned())));
    };
    let is_previewed = {
        let session = backend.session();
        is_previewed(&action, session.client, &session.settings)
    };
    match compute(backend, &uri, version, action).await? {
        Ok(edit) => match backend.client.apply_edit(edit).await {
            Ok(response) if response.applied => Ok(None),
            // Somebody has looked at it and does not want it.
            Ok(response) if is_previewed && response.failure_reason.is_none() => Ok(None),
            Ok(response) => {
                let reason = response.failure_reason.unwrap_or_else(|| "no reason given".to_owned());
                Err(failed(format!("the editor did not apply the edit: {reason}")))
            }
            Err(error) => Err(failed(format!("the editor did not apply the edit: {error}"))),
        },
        Err(reason) => {
            backend.client.show_message(MessageType::INFO, format!("{label}: {reason}.")).await;
            Ok(None)
        }
    }
}
