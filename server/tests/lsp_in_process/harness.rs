//! A server in this process, and what the tests say to it over and over.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use lacuna_engine::{Error, Infiller};
use lacuna_server::lsp::LoadEngine;
use lacuna_server::settings::Settings;
use lacuna_server::stats::Stats;
use serde_json::{Value, json};

use crate::client::{Client, position};
use crate::engine::{Call, fake_engine};

pub(crate) const REQUEST_CANCELLED: i64 = -32800;
pub(crate) const CONTENT_MODIFIED: i64 = -32801;
pub(crate) const INVALID_PARAMS: i64 = -32602;
pub(crate) const REQUEST_FAILED: i64 = -32803;

pub(crate) type Loaded = Result<Box<dyn Infiller>, Error>;

/// A loader for a test that loads once.
pub(crate) fn once(loader: impl FnOnce() -> Loaded + Send + 'static) -> impl LoadEngine {
    let loader = Mutex::new(Some(loader));
    move |_: &Settings| {
        let loader = loader.lock().expect("no test panics in here").take();
        loader.expect("the engine is loaded once")()
    }
}

/// A client of a server whose engine comes from the loader, once.
pub(crate) fn connect(loader: impl FnOnce() -> Loaded + Send + 'static) -> Client {
    connect_to(once(loader))
}

/// A client of a server whose engines come from the loader.
pub(crate) fn connect_to(loader: impl LoadEngine) -> Client {
    connect_counting(loader, Stats::default())
}

/// The same, with counts.
pub(crate) fn connect_counting(loader: impl LoadEngine, stats: Stats) -> Client {
    let (server_input, to_server) = std::io::pipe().expect("a pipe");
    let (from_server, server_output) = std::io::pipe().expect("a pipe");
    std::thread::spawn(move || lacuna_server::lsp::serve_counting(server_input, server_output, loader, stats));
    Client::new(to_server, from_server)
}

/// A client of a server that is ready, and the calls to its engine.
pub(crate) fn ready(capabilities: Value) -> (Client, mpsc::Receiver<Call>) {
    ready_with(capabilities, json!({ "inlineCompletion": { "debounceMs": 0 } }))
}

/// The same with settings.
pub(crate) fn ready_with(capabilities: Value, settings: Value) -> (Client, mpsc::Receiver<Call>) {
    let (engine, calls) = fake_engine();
    let mut client = connect(move || Ok(engine));
    client.initialize_with(capabilities, settings);
    let status = client.message("lacuna/status");
    assert_eq!(status["params"]["health"], "ok");
    (client, calls)
}

/// Waits until the engine has begun on a request.
pub(crate) fn next_call(calls: &mpsc::Receiver<Call>) -> Call {
    calls.recv_timeout(Duration::from_secs(120)).expect("the engine is called")
}

pub(crate) fn assert_idle(calls: &mpsc::Receiver<Call>) {
    assert!(calls.try_recv().is_err(), "the engine was called");
}

pub(crate) fn cancel(client: &mut Client, id: i64) {
    client.notify("$/cancelRequest", json!({ "id": id }));
}

pub(crate) fn insert_texts(result: &Value) -> Vec<&str> {
    let items = result["items"].as_array().unwrap_or_else(|| panic!("no items: {result}"));
    items.iter().map(|item| item["insertText"].as_str().expect("a text")).collect()
}

pub(crate) fn code_action(uri: &str, at: (u32, u32)) -> Value {
    let range = json!({ "start": position(at), "end": position(at) });
    json!({ "textDocument": { "uri": uri }, "range": range, "context": { "diagnostics": [] } })
}

/// The abilities of a client that resolves code actions.
pub(crate) fn resolving() -> Value {
    json!({
        "textDocument": { "codeAction": {
            "codeActionLiteralSupport": { "codeActionKind": { "valueSet": ["refactor.rewrite"] } },
            "dataSupport": true,
            "disabledSupport": true,
            "resolveSupport": { "properties": ["edit"] },
        } },
        "workspace": { "workspaceEdit": { "documentChanges": true } },
    })
}
