//! Progress in the editor while something takes long.

use std::time::Duration;

use tokio::sync::watch;
use tower_lsp::Client;
use tower_lsp::ls_types::ProgressToken;

use crate::lsp::backend::Backend;
use crate::lsp::capabilities::ClientFacts;

/// What is done within this time needs no progress.
const PATIENCE: Duration = Duration::from_millis(500);

/// Progress that is shown until this is dropped.
pub(crate) struct Progress {
    _shown: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Progress {
    /// Begins to show progress, without waiting for the client; of `stages` it shows each that is not empty.
    pub(crate) fn begin(
        client: Client,
        facts: ClientFacts,
        name: String,
        title: String,
        mut stages: watch::Receiver<String>,
    ) -> Self {
        if !facts.shows_progress {
            return Self { _shown: None };
        }
        let (shown, mut ended) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let token = ProgressToken::String(name);
            // The client must agree to the token before it is used.
            if client.create_work_done_progress(token.clone()).await.is_ok() {
                let progress = client.progress(token, title).begin().await;
                loop {
                    let stage = stages.borrow_and_update().clone();
                    if !stage.is_empty() {
                        progress.report(stage).await;
                    }
                    tokio::select! {
                        // Nothing is ever sent: the channel closes.
                        _ = &mut ended => break,
                        Ok(()) = stages.changed() => {}
                    }
                }
                progress.finish().await;
            }
        });
        Self { _shown: Some(shown) }
    }
}

/// Waits for some work, and shows progress if it takes long.
pub(crate) async fn during<T>(backend: &Backend, facts: ClientFacts, title: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let id = backend.session().next_id();
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let (_no_stages, stages) = watch::channel(String::new());
    let _shown = Progress::begin(backend.client.clone(), facts, format!("lacuna-{id}"), title.to_owned(), stages);
    work.await
}
