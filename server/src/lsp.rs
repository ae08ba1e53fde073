//! The language server.
//!
//! Entry points: [`run`], and [`serve`] for any engine over any two streams.
//!
//! Invariants:
//! - An edit is applied, and a cancellation takes effect, however much inference is under way: inference has a thread
//!   of its own, and nothing that other messages need is ever locked meanwhile.
//! - Each request gets exactly one response; a panic in it is an error to it alone.
//! - Nothing that a client sends ends the process but `exit` and the end of input.
//! - No document's text is logged unless the settings say so.

mod actions;
mod asking;
mod backend;
mod cache;
mod capabilities;
mod caret;
mod configuration;
mod document;
mod draft;
mod edits;
mod exclusion;
mod fill;
mod framing;
mod guard;
mod interpolate;
mod local_engine;
mod next_place;
mod offer;
mod others;
mod pending;
mod positions;
mod prefetch;
mod progress;
mod selected;
mod session;
mod status;
mod transport;
mod worker;

mod handlers {
    pub(super) mod code_action;
    pub(super) mod code_action_resolve;
    pub(super) mod execute_command;
    pub(super) mod formatting;
    pub(super) mod inline_completion;
}

use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lacuna_engine::{Device, ModelSource, PromptForm};
use tower_lsp::{LspService, Server};

use crate::logging::{self, LogHandle};
use crate::settings::LogSettings;
use crate::stats::{Stats, Store};
use backend::Backend;
use local_engine::LocalEngines;
use transport::{Ended, Gate};
use worker::Worker;

pub use worker::LoadEngine;

/// What the language server runs with.
#[derive(Clone, Debug)]
pub struct LspOptions {
    /// Where the weights come from.
    pub model: ModelSource,
    /// Where to run.
    pub device: Device,
    /// Threads to compute with; all cores where it is `None`.
    pub threads: Option<usize>,
    /// How text becomes a prompt; as suits the checkpoint where it is `None`.
    pub prompt: Option<PromptForm>,
    /// Whether the engine of a model in a folder is shared with the user's other servers that want the same.
    pub shares: bool,
}

/// Messages under way in the framework at once. Past this number even an edit would wait; no more requests than the
/// worker's queue holds ever take long.
const MAX_CONCURRENT_MESSAGES: usize = 4096;

/// Threads that look for holes; more of them would only take the engine's place.
const MAX_PARSING_THREADS: usize = 2;

/// How long requests under way may still take after the end of input.
const GRACE_AFTER_INPUT: Duration = Duration::from_secs(2);

/// How long the framework may take to end after `exit`. It cancels every request then, but it would wait for
/// notifications, one of which may be waiting for an answer that the client will never give.
const GRACE_AFTER_EXIT: Duration = Duration::from_millis(200);

/// How long the last answers may take to be read.
const GRACE_FOR_OUTPUT: Duration = Duration::from_secs(1);

/// Bytes between the framework and the threads that read and write.
const PIPE_BYTES: usize = 1 << 16;

/// Serves one editor over standard input and output until it says goodbye.
pub fn run(options: LspOptions) -> anyhow::Result<ExitCode> {
    // Kept here to the end: what was logged last is written when it goes.
    let log = Arc::new(logging::init(&LogSettings::default()));
    // Nobody is without a server for want of its counts.
    let counting = Store::of_user().map(Stats::start).and_then(Result::ok);
    // Dropped before the log, to which it may have something to say.
    let (stats, _writer) = counting.unzip();
    let engines = LocalEngines(options);
    serve_with(std::io::stdin(), std::io::stdout(), engines, Some(Arc::clone(&log)), stats.unwrap_or_default())
}

/// Serves one editor over two streams until it says goodbye. Engines are loaded in the background, when the client's
/// settings are known.
///
/// The code is a failure where the editor left without a `shutdown`.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    loader: impl LoadEngine,
) -> anyhow::Result<ExitCode> {
    serve_counting(input, output, loader, Stats::default())
}

/// The same as [`serve`], and counts what is shown and what becomes of it.
pub fn serve_counting(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    loader: impl LoadEngine,
    stats: Stats,
) -> anyhow::Result<ExitCode> {
    serve_with(input, output, loader, None, stats)
}

fn serve_with(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    loader: impl LoadEngine,
    log: Option<Arc<LogHandle>>,
    stats: Stats,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(MAX_PARSING_THREADS)
        .enable_time()
        .build()?;
    let code = runtime.block_on(serve_until_exit(input, output, Worker::start(loader)?, log, stats));
    // Nothing that still runs may keep the process: a parse, or a write that the client does not read.
    runtime.shutdown_background();
    code
}

async fn serve_until_exit(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    worker: Worker,
    log: Option<Arc<LogHandle>>,
    stats: Stats,
) -> anyhow::Result<ExitCode> {
    let frames = transport::read_frames(input)?;
    let output = transport::write_bodies(output)?;
    let gate = Gate::default();
    let (to_framework, framework_input) = tokio::io::duplex(PIPE_BYTES);
    let (framework_output, from_framework) = tokio::io::duplex(PIPE_BYTES);
    let shutdown_seen = Arc::new(AtomicBool::new(false));

    let (service, socket) = {
        let shutdown_seen = Arc::clone(&shutdown_seen);
        LspService::build(|client| Backend::new(client, worker, log, stats, shutdown_seen))
            .custom_method("textDocument/inlineCompletion", Backend::inline_completion)
            .custom_method("lacuna/feedback", Backend::feedback)
            .finish()
    };
    let framework = Server::new(framework_input, framework_output, socket)
        .concurrency_level(MAX_CONCURRENT_MESSAGES)
        .serve(service);
    let (answers, responses, mut written) = (output.bodies.clone(), output.bodies, output.written);
    let feed_then_grace = async {
        match transport::feed(frames, to_framework, answers, &gate).await {
            Ok(Ended::Input) => {
                tokio::time::sleep(GRACE_AFTER_INPUT).await;
                tracing::warn!("requests were still under way when the input had ended");
            }
            Ok(Ended::Exit) => tokio::time::sleep(GRACE_AFTER_EXIT).await,
            // The framework has stopped reading, and is about to end.
            Err(_) => std::future::pending().await,
        }
    };
    let framework_or_grace = async {
        tokio::select! {
            () = framework => {}
            () = feed_then_grace => {}
        }
    };
    let all_given = async { tokio::join!(framework_or_grace, transport::drain(from_framework, responses, &gate)) };
    tokio::select! {
        _ = all_given => {}
        // Nobody reads any more.
        _ = &mut written => return Ok(exit_code(&shutdown_seen)),
    }
    let _ = tokio::time::timeout(GRACE_FOR_OUTPUT, written).await;
    Ok(exit_code(&shutdown_seen))
}

fn exit_code(shutdown_seen: &AtomicBool) -> ExitCode {
    if shutdown_seen.load(Ordering::SeqCst) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
