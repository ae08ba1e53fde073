//! Clients that do everything wrong, from a seed, against a server in this process.
//!
//! Whatever they send, each request has exactly one response, nothing but the protocol comes out, and in the end the
//! server still answers as if nothing had happened.

mod engine;
mod messages;
mod random;
mod server;
#[path = "../support/wire.rs"]
mod wire;

use serde_json::{Value, json};

use messages::Messages;
use random::Random;
use server::Server;

const INVALID_REQUEST: i64 = -32600;
const SERVER_NOT_INITIALIZED: i64 = -32002;

/// A life from before `initialize` to after `shutdown`, with `disturb` wherever there is room for it.
fn live(seed: u64, disturb: impl Fn(&mut Server, &mut Messages)) {
    let mut server = Server::start(seed);
    let mut messages = Messages::new(Random::new(seed));

    disturb(&mut server, &mut messages);
    let early = server.ask("textDocument/inlineCompletion", messages.completion());
    assert_eq!(server.response(&early)["error"]["code"], SERVER_NOT_INITIALIZED);
    let initialize = server.ask("initialize", json!({ "capabilities": messages.capabilities() }));
    assert!(server.response(&initialize)["result"]["capabilities"].is_object());
    server.notify("initialized", json!({}));
    server.wait_until_ready();

    disturb(&mut server, &mut messages);
    server.wait_for_all();
    disturb(&mut server, &mut messages);
    probe(&mut server);
    server.wait_for_all();

    let shutdown = server.ask("shutdown", Value::Null);
    assert_eq!(server.response(&shutdown)["result"], Value::Null);
    disturb(&mut server, &mut messages);
    let late = server.ask("textDocument/inlineCompletion", messages.completion());
    assert_eq!(server.response(&late)["error"]["code"], INVALID_REQUEST);
    server.wait_for_all();
    server.finish();
}

/// A document that nothing before has touched: an edit of it takes effect, and its hole is filled.
fn probe(server: &mut Server) {
    let uri = "file:///probe/untouched.rs";
    let document = json!({ "uri": uri, "languageId": "rust", "version": 1, "text": "fn f() -> u8 {\n😀    \n}\n" });
    server.notify("textDocument/didOpen", json!({ "textDocument": document }));
    let emoji =
        json!({ "start": { "line": 1, "character": 0 }, "end": { "line": 1, "character": server.emoji_units() } });
    server.notify(
        "textDocument/didChange",
        json!({ "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [{ "range": emoji, "text": "" }] }),
    );
    let caret = json!({ "line": 1, "character": 4 });
    let request = json!({ "textDocument": { "uri": uri }, "position": caret, "context": { "triggerKind": 1 } });
    let id = server.ask("textDocument/inlineCompletion", request);
    let response = server.response(&id);
    let expected = json!([{ "insertText": engine::FILL, "range": { "start": caret, "end": caret } }]);
    assert_eq!(response["result"]["items"], expected, "{response}");
}

#[test]
fn bytes_that_are_no_messages() {
    for seed in 0..12 {
        live(seed, |server, messages| {
            for _ in 0..40 {
                let bytes = messages.broken_bytes();
                server.send_bytes(&bytes);
                if messages.random.chance(0.3) {
                    let (method, params) = messages.request();
                    server.ask(method, params);
                }
            }
        });
    }
}

#[test]
fn messages_that_make_no_sense() {
    for seed in 100..112 {
        live(seed, |server, messages| {
            for _ in 0..60 {
                disturb_with_message(server, messages);
            }
        });
    }
}

fn disturb_with_message(server: &mut Server, messages: &mut Messages) {
    match messages.random.below(8) {
        0..=2 => {
            let (method, params) = messages.request();
            server.ask(method, params);
        }
        3..=4 => {
            let (method, params) = messages.notification();
            server.notify(method, params);
        }
        5 => {
            let (method, params) = messages.request();
            server.ask_again(&mut messages.random, method, params);
        }
        6 => {
            let id = server.some_id(&mut messages.random);
            server.send(&messages.unasked_response(id));
        }
        _ => {
            let id = server.some_id(&mut messages.random);
            server.notify("$/cancelRequest", json!({ "id": id }));
        }
    }
}

#[test]
fn floods() {
    for seed in 200..203 {
        live(seed, |server, messages| {
            for _ in 0..500 {
                let (method, params) = messages.request();
                server.ask(method, params);
                let (method, params) = messages.notification();
                server.notify(method, params);
            }
        });
    }
}
