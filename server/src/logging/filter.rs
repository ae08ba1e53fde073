use tracing_subscriber::EnvFilter;

use crate::settings::{LogLevel, LogSettings};

/// The framework that reads and writes messages. Its finer levels quote whole messages, and with them documents.
const FRAMEWORK: &str = "tower_lsp_server";

/// The framework's warnings are about messages that every editor sends and no server has to know.
const QUIET: [&str; 2] = ["tower_lsp_server=error", "tower_lsp_server::codec=off"];

/// What is logged: what the environment names if that is understood, and otherwise what the settings name.
pub(super) fn filter(settings: &LogSettings, from_environment: Option<&str>) -> EnvFilter {
    // What names a part of the framework would come before what keeps all of it quiet.
    let named = from_environment
        .map(|text| text.split(',').filter(|directive| settings.text || !directive.contains(FRAMEWORK)))
        .map(|directives| directives.collect::<Vec<_>>().join(","));
    let filter = named
        .and_then(|directives| EnvFilter::try_new(directives).ok())
        .unwrap_or_else(|| EnvFilter::new(level(settings.level)));
    if settings.text {
        return filter;
    }
    QUIET.iter().filter_map(|directive| directive.parse().ok()).fold(filter, EnvFilter::add_directive)
}

pub(super) fn is_understood(directives: &str) -> bool {
    EnvFilter::try_new(directives).is_ok()
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}
