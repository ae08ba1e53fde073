//! Settings on their way from the client.

use serde_json::Value;
use tower_lsp::ls_types::{ConfigurationItem, MessageType};

use crate::lsp::backend::Backend;
use crate::settings::Settings;

/// The section that a client's settings for this server are under.
const SECTION: &str = "lacuna";

/// Takes over settings without a restart. Gives what is wrong with them, in sentences.
pub(crate) fn take_over(backend: &Backend, sent: &Value) -> Vec<String> {
    let (settings, problems) = Settings::read(sent);
    let mut told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let needs_engine = {
        let mut session = backend.session();
        let needs_engine = session.settings.differences_needing_reload(&settings);
        told.extend(session.configure(settings.clone()));
        needs_engine
    };
    backend.apply_log(&settings.log);
    backend.stats.switch(settings.stats);
    if needs_engine {
        backend.worker.load(&settings);
    }
    told
}

/// Asks the client for its settings, and takes them over.
pub(crate) async fn pull(backend: &Backend) {
    let item = ConfigurationItem { scope_uri: None, section: Some(SECTION.to_owned()) };
    match backend.client.configuration(vec![item]).await {
        // Null says that nothing is set there; what came with `initialize` then stays.
        Ok(sections) => {
            if let Some(sent) = sections.first().filter(|sent| !sent.is_null()) {
                let problems = take_over(backend, sent);
                tell(backend, problems).await;
            }
        }
        Err(error) => tracing::warn!("the client does not give its settings: {error}"),
    }
}

/// Tells the user what is wrong with the settings, once: the same ones may come several times in several ways.
pub(crate) async fn tell(backend: &Backend, problems: Vec<String>) {
    if !backend.session().is_news(&problems) || problems.is_empty() {
        return;
    }
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    let message = format!("Lacuna's settings: {}", problems.join("; "));
    backend.client.show_message(MessageType::WARNING, message).await;
}
