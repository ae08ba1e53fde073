//! The protocol's methods, each handed on to its handler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::{
    CodeAction, CodeActionParams, CodeActionResponse, DidChangeTextDocumentParams, DidCloseTextDocumentParams,
    DidOpenTextDocumentParams, InitializeParams, InitializeResult, InitializedParams, InlineCompletionList,
};
use tower_lsp::{Client, LanguageServer};

use crate::lsp::capabilities::ClientFacts;
use crate::lsp::guard::{guarded, guarded_now};
use crate::lsp::handlers::{code_action, code_action_resolve, inline_completion};
use crate::lsp::session::Session;
use crate::lsp::status::{Status, StatusNotification};
use crate::lsp::worker::{ModelState, Worker};

/// What every handler works with.
pub(crate) struct Backend {
    pub(crate) client: Client,
    pub(crate) worker: Worker,
    session: Mutex<Session>,
    shutdown_seen: Arc<AtomicBool>,
}

impl Backend {
    pub(crate) fn new(client: Client, worker: Worker, shutdown_seen: Arc<AtomicBool>) -> Self {
        Self { client, worker, session: Mutex::default(), shutdown_seen }
    }

    /// The session, for as long as nothing is waited for.
    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        // A handler that panicked leaves documents as they were before or after its edit.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn model_state(&self) -> ModelState {
        self.worker.state().borrow().clone()
    }

    pub(crate) async fn inline_completion(
        &self,
        params: inline_completion::Params,
    ) -> Result<Option<InlineCompletionList>> {
        guarded(inline_completion::handle(self, params)).await
    }
}

/// Every edit is applied before its handler's first await: only so far does the framework keep messages in order.
impl LanguageServer for Backend {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let facts = ClientFacts::of(&params);
        self.session().client = facts;
        Ok(facts.initialize_result())
    }

    async fn initialized(&self, _: InitializedParams) {
        let facts = self.session().client;
        let client = self.client.clone();
        // Not awaited here: a client may take its time, or never answer.
        tokio::spawn(async move {
            let registrations = facts.registrations();
            if !registrations.is_empty()
                && let Err(error) = client.register_capability(registrations).await
            {
                tracing::warn!("the client refused to register inline completion: {error}");
            }
        });
        tokio::spawn(announce_model(self.client.clone(), facts, self.worker.state()));
    }

    async fn shutdown(&self) -> Result<()> {
        self.shutdown_seen.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        guarded_now(|| self.session().open(params));
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        guarded_now(|| self.session().change(params));
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        guarded_now(|| self.session().close(&params));
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        guarded(code_action::handle(self, params)).await
    }

    async fn code_action_resolve(&self, action: CodeAction) -> Result<CodeAction> {
        guarded(code_action_resolve::handle(self, action)).await
    }
}

/// Shows progress while the model loads, and then says how it went.
async fn announce_model(client: Client, facts: ClientFacts, mut state: tokio::sync::watch::Receiver<ModelState>) {
    let is_loading = *state.borrow() == ModelState::Loading;
    let mut progress = None;
    if is_loading && facts.shows_progress {
        let token = tower_lsp::ls_types::ProgressToken::String("lacuna-model".to_owned());
        // The client must agree to the token before it is used.
        if client.create_work_done_progress(token.clone()).await.is_ok() {
            progress = Some(client.progress(token, "Lacuna: loading the model").begin().await);
        }
    }
    let Ok(state) = state.wait_for(|state| *state != ModelState::Loading).await.map(|state| state.clone()) else {
        return;
    };
    if let Some(progress) = progress {
        progress.finish().await;
    }
    client.send_notification::<StatusNotification>(Status::of_model(&state)).await;
}
