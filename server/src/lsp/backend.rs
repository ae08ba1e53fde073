//! The protocol's methods, each handed on to its handler.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::{
    CodeAction, CodeActionParams, CodeActionResponse, DidChangeConfigurationParams, DidChangeTextDocumentParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams, DocumentFormattingParams,
    DocumentRangeFormattingParams, ExecuteCommandParams, InitializeParams, InitializeResult, InitializedParams,
    InlineCompletionList, TextEdit,
};
use tower_lsp::{Client, LanguageServer};

use crate::logging::LogHandle;
use crate::lsp::capabilities::ClientFacts;
use crate::lsp::configuration;
use crate::lsp::guard::{guarded, guarded_now};
use crate::lsp::handlers::{code_action, code_action_resolve, execute_command, formatting, inline_completion};
use crate::lsp::next_place;
use crate::lsp::offer::Feedback;
use crate::lsp::prefetch::prefetch;
use crate::lsp::progress::Progress;
use crate::lsp::session::Session;
use crate::lsp::status::{Status, StatusNotification};
use crate::lsp::worker::{Loading, ModelState, Worker};
use crate::settings::LogSettings;
use crate::stats::Stats;

/// How long the answer to `shutdown` may wait for the counts to be written.
const MAX_WRITING: Duration = Duration::from_millis(300);

/// What every handler works with.
pub(crate) struct Backend {
    pub(crate) client: Client,
    pub(crate) worker: Worker,
    pub(crate) stats: Stats,
    session: Arc<Mutex<Session>>,
    log: Option<Arc<LogHandle>>,
    /// What is wrong with the settings that came with `initialize`, until the client can be told.
    problems: Mutex<Vec<String>>,
    shutdown_seen: Arc<AtomicBool>,
}

impl Backend {
    pub(crate) fn new(
        client: Client,
        worker: Worker,
        log: Option<Arc<LogHandle>>,
        stats: Stats,
        shutdown_seen: Arc<AtomicBool>,
    ) -> Self {
        Self { client, worker, stats, session: Arc::default(), log, problems: Mutex::default(), shutdown_seen }
    }

    /// The session, for as long as nothing is waited for.
    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    /// The session, for work that outlives a message.
    pub(crate) fn shared_session(&self) -> Arc<Mutex<Session>> {
        Arc::clone(&self.session)
    }

    pub(crate) fn model_state(&self) -> ModelState {
        self.worker.state().borrow().clone()
    }

    pub(crate) fn apply_log(&self, settings: &LogSettings) {
        if let Some(log) = &self.log {
            log.apply(settings);
        }
    }

    pub(crate) async fn inline_completion(
        &self,
        params: inline_completion::Params,
    ) -> Result<Option<InlineCompletionList>> {
        guarded(inline_completion::handle(self, params)).await
    }

    pub(crate) async fn feedback(&self, Feedback { uri, kind, characters }: Feedback) {
        guarded_now(|| {
            if let Some(open) = self.session().document_mut(&uri) {
                open.hear(kind, characters);
            }
        });
    }
}

/// Every edit is applied before its handler's first await: only so far does the framework keep messages in order.
impl LanguageServer for Backend {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let facts = ClientFacts::of(&params);
        {
            let mut session = self.session();
            session.client = facts;
            session.set_roots(roots(&params));
        }
        let sent = params.initialization_options.unwrap_or(Value::Null);
        let problems = configuration::take_over(self, &sent);
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).extend(problems);
        // The first engine is loaded even where its settings are the default ones.
        if self.worker.is_idle() {
            self.worker.load(&self.session().settings);
        }
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
                tracing::warn!("the client refused to register what this server does: {error}");
            }
        });
        let session = Arc::clone(&self.session);
        tokio::spawn(announce_model(self.client.clone(), facts, session, self.worker.state(), self.worker.stages()));
        let problems = std::mem::take(&mut *self.problems.lock().unwrap_or_else(PoisonError::into_inner));
        configuration::tell(self, problems).await;
        if facts.gives_configuration {
            configuration::pull(self).await;
        }
    }

    async fn shutdown(&self) -> Result<()> {
        self.shutdown_seen.store(true, Ordering::SeqCst);
        self.session().settle_offers();
        // Some editors end the process right after the answer to this, and none is kept waiting by a slow disk.
        let stats = self.stats.clone();
        let _ = tokio::time::timeout(MAX_WRITING, tokio::task::spawn_blocking(move || stats.write())).await;
        Ok(())
    }

    async fn did_change_configuration(&self, params: DidChangeConfigurationParams) {
        let gives_configuration = self.session().client.gives_configuration;
        // Some editors send nothing at all when they start, and mean nothing by it.
        let says_nothing = match &params.settings {
            Value::Null => true,
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if gives_configuration {
            configuration::pull(self).await;
        } else if !says_nothing {
            let problems = configuration::take_over(self, &params.settings);
            configuration::tell(self, problems).await;
        }
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        guarded_now(|| self.session().open(params));
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        guarded_now(|| {
            let accepted = self.session().change(&params);
            if let Some(caret_byte) = accepted {
                prefetch(self, &params.text_document.uri, caret_byte);
            }
            next_place::search(self, &params.text_document.uri);
        });
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        guarded_now(|| {
            if let Some(text) = &params.text {
                self.session().resynchronise(&params.text_document.uri, text);
            }
        });
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

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<Value>> {
        guarded(execute_command::handle(self, params)).await
    }

    async fn formatting(&self, params: DocumentFormattingParams) -> Result<Option<Vec<TextEdit>>> {
        guarded(formatting::handle(self, &params.text_document.uri, None)).await
    }

    async fn range_formatting(&self, params: DocumentRangeFormattingParams) -> Result<Option<Vec<TextEdit>>> {
        guarded(formatting::handle(self, &params.text_document.uri, Some(params.range))).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A handler that panicked leaves documents as they were before or after its edit.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The workspace's folders, as paths.
#[expect(deprecated, reason = "older clients name their folder only there")]
fn roots(params: &InitializeParams) -> Vec<PathBuf> {
    let folders = params.workspace_folders.iter().flatten().map(|folder| &folder.uri);
    let folders: Vec<_> = folders.filter_map(|uri| uri.to_file_path()).map(|path| path.into_owned()).collect();
    if folders.is_empty() {
        params.root_uri.iter().filter_map(|uri| uri.to_file_path()).map(|path| path.into_owned()).collect()
    } else {
        folders
    }
}

/// Follows the model: shows progress while it loads, says how it went, and forgets what another one has answered.
async fn announce_model(
    client: Client,
    facts: ClientFacts,
    session: Arc<Mutex<Session>>,
    mut states: watch::Receiver<ModelState>,
    stages: watch::Receiver<String>,
) {
    let mut progress = None;
    let mut loadings = 0;
    loop {
        let state = states.borrow_and_update().clone();
        if state.loading == Loading::UnderWay {
            let title = "Lacuna: loading the model".to_owned();
            progress.get_or_insert_with(|| {
                loadings += 1;
                Progress::begin(client.clone(), facts, format!("lacuna-model-{loadings}"), title, stages.clone())
            });
        } else {
            progress = None;
        }
        lock(&session).forget_answers();
        // Nobody has to know that nothing is there yet; what serves meanwhile is worth a word.
        if state.loading != Loading::UnderWay || state.serving.is_some() {
            client.send_notification::<StatusNotification>(Status::of_model(&state)).await;
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}
