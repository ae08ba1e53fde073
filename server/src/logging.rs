//! The server's log.
//!
//! Entry point: [`init`], whose handle takes every later change of the settings.
//!
//! Invariants:
//! - Logging never waits: records are handed to a thread for each place that they go to, and past 1024 that wait there
//!   they are dropped and counted. A full disk or a folder that is not there is one warning on standard error.
//! - A log file and the three that were moved aside for it have 4 MiB each at most, and on Unix nobody but their owner
//!   reads them.
//! - What other libraries might quote of documents is not logged, unless the setting `log.text` says so.

mod background;
mod filter;
mod outlets;
mod rotating_file;

use std::io;
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::settings::LogSettings;
use outlets::Outlets;

/// The environment variable that comes before the setting `log.level`.
const VARIABLE: &str = "LACUNA_LOG";

/// Changes what is logged. When it is dropped, what has been logged is written, if that takes no longer than a second
/// for each place, and nothing is logged any more.
#[derive(Debug)]
#[must_use = "nothing is logged any more once this is dropped"]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    outlets: Arc<Outlets>,
    from_environment: Option<String>,
}

/// Logs this process's events to standard error, and to a file if one is set.
pub fn init(settings: &LogSettings) -> LogHandle {
    let from_environment = std::env::var(VARIABLE).ok().filter(|directives| !directives.trim().is_empty());
    let is_understood = from_environment.as_deref().is_none_or(filter::is_understood);
    let (subscriber, handle) = build(settings, from_environment, io::stderr());
    // Where somebody else has set up logging already, it stays as it is.
    let _ = subscriber.try_init();
    // A panic's own message may quote text, so that only its place is told.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!("a request failed unexpectedly at {place}");
    }));
    if !is_understood {
        tracing::warn!("{VARIABLE} is not understood, so that the setting `log.level` is used");
    }
    handle
}

impl LogHandle {
    /// Logs by these settings from now on. What is wrong with the file shows on standard error when something is
    /// logged to it.
    pub fn apply(&self, settings: &LogSettings) {
        // Where somebody else's logging was left in place, there is no filter of ours to change.
        let _ = self.filter.reload(filter::filter(settings, self.from_environment.as_deref()));
        Outlets::set_file(&self.outlets, settings.file.as_deref());
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.outlets.finish();
    }
}

fn build(
    settings: &LogSettings,
    from_environment: Option<String>,
    standard_error: impl io::Write + Send + 'static,
) -> (impl Subscriber + Send + Sync, LogHandle) {
    let outlets = Arc::new(Outlets::new(standard_error));
    Outlets::set_file(&outlets, settings.file.as_deref());
    let (filter, handle) = reload::Layer::new(filter::filter(settings, from_environment.as_deref()));
    let writer = Arc::clone(&outlets);
    let lines = fmt::layer().with_ansi(false).with_writer(move || outlets::Writer(Arc::clone(&writer)));
    let subscriber = Registry::default().with(filter).with(lines);
    (subscriber, LogHandle { filter: handle, outlets, from_environment })
}

#[cfg(test)]
mod tests;
