//! What one request does never waits for another one's inference.

use std::sync::mpsc;
use std::time::Duration;

use lacuna_engine::Error;
use serde_json::{Value, json};

use crate::client::Client;
use crate::engine::fake_engine;
use crate::harness::{
    REQUEST_CANCELLED, REQUEST_FAILED, assert_idle, cancel, code_action, connect, insert_texts, next_call, once, ready,
    resolving,
};
#[test]
fn edits_cancellations_and_cheap_requests_overtake_dozens_of_slow_ones() {
    let (mut client, calls) = ready(resolving());
    let uri = |index: usize| format!("file:///slow/{index}.rs");
    let ask = |client: &mut Client, index| {
        client.open(&uri(index), "rust", "fn f() -> u8 {\n    \n}\n");
        client.ask(&uri(index), (1, 4))
    };
    let mut ids = vec![ask(&mut client, 0)];
    let running = next_call(&calls);
    ids.extend((1..48).map(|index| ask(&mut client, index)));

    // An edit that nothing but its own effect shows: the hole that it makes is found.
    client.change(&uri(40), 2, (1, 0), (1, 4), "    todo!()");
    let actions = client.result("textDocument/codeAction", code_action(&uri(40), (1, 6)));
    assert_eq!(actions[0]["data"]["version"], 2);
    assert_eq!(client.result_of(ids[40]), Value::Null, "the edit made the request worthless");
    cancel(&mut client, ids[20]);
    assert_eq!(client.error_of(ids[20]), REQUEST_CANCELLED);
    assert!(!running.cancel.is_cancelled(), "the engine has been at the same request all the time");
    running.fill(&["1"]);

    // What was given up never reaches the engine; all else does, and is answered.
    let mut filled = 1;
    while filled < ids.len() - 2 {
        next_call(&calls).fill(&["1"]);
        filled += 1;
    }
    for (index, &id) in ids.iter().enumerate().filter(|(index, _)| ![20, 40].contains(index)) {
        assert_eq!(insert_texts(&client.result_of(id)), ["1"], "request {index}");
    }
    assert_idle(&calls);
    client.finish();
}

#[test]
fn cancelling_stops_the_inference() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = ");
    let id = client.ask("file:///a.rs", (0, 8));
    let call = next_call(&calls);
    cancel(&mut client, id);
    assert_eq!(client.error_of(id), REQUEST_CANCELLED);
    call.wait_until_cancelled();
    client.finish();
}

#[test]
fn a_newer_request_supersedes_the_older_one_in_its_document_alone() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = \nlet y = ");
    client.open("file:///b.rs", "rust", "let z = ");
    let other = client.ask("file:///b.rs", (0, 8));
    let other_call = next_call(&calls);
    let older = client.ask("file:///a.rs", (0, 8));
    let newer = client.ask("file:///a.rs", (1, 8));
    assert_eq!(client.result_of(older), Value::Null);
    other_call.fill(&["3"]);
    let call = next_call(&calls);
    assert_eq!(call.around().0, "let x = \nlet y = ");
    call.fill(&["2"]);
    assert_eq!(insert_texts(&client.result_of(newer)), ["2"]);
    assert_eq!(insert_texts(&client.result_of(other)), ["3"]);

    // Also while the older one is being computed.
    let older = client.ask("file:///a.rs", (0, 8));
    let call = next_call(&calls);
    let newer = client.ask("file:///a.rs", (1, 7));
    assert_eq!(client.result_of(older), Value::Null);
    call.wait_until_cancelled();
    next_call(&calls).fill(&["4"]);
    assert_eq!(insert_texts(&client.result_of(newer)), ["4"]);
    assert_idle(&calls);
    client.finish();
}

#[test]
fn the_newest_request_is_computed_first() {
    let (mut client, calls) = ready(json!({}));
    let ask = |client: &mut Client, name: &str| {
        let uri = format!("file:///{name}.rs");
        client.open(&uri, "rust", name);
        client.ask(&uri, (0, 1))
    };
    ask(&mut client, "a");
    let running = next_call(&calls);
    for name in ["b", "c", "d"] {
        ask(&mut client, name);
    }
    // By the time of this answer, all requests before it have been queued.
    client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 0)));
    running.fill(&["1"]);
    let order = [(); 3].map(|()| {
        let call = next_call(&calls);
        let text = call.request.text.clone();
        call.fill(&["1"]);
        text
    });
    assert_eq!(order, ["d", "c", "b"]);
    client.finish();
}

#[test]
fn a_panic_in_the_engine_is_an_error_to_its_request_alone() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = ");
    client.open("file:///b.rs", "rust", "let y = ");
    let panicking = client.ask("file:///a.rs", (0, 8));
    let call = next_call(&calls);
    let waiting = client.ask("file:///b.rs", (0, 8));
    call.panic();
    assert_eq!(client.error_of(panicking), REQUEST_FAILED);
    next_call(&calls).fill(&["1"]);
    assert_eq!(insert_texts(&client.result_of(waiting)), ["1"]);

    let failing = client.ask("file:///a.rs", (0, 8));
    next_call(&calls).fail(Error::Request("the text is too long".to_owned()));
    let response = client.response(failing);
    assert_eq!(response["error"]["message"], "the text is too long");
    client.finish();
}

#[test]
fn while_the_model_loads_a_completion_answers_at_once() {
    let (engine, calls) = fake_engine();
    let (load, loading) = mpsc::channel::<()>();
    let mut client = connect(move || {
        loading.recv().expect("the test says when");
        Ok(engine)
    });
    client.initialize(json!({ "window": { "workDoneProgress": true } }));
    client.open("file:///a.rs", "rust", "let x = ");
    let id = client.ask("file:///a.rs", (0, 8));
    assert_eq!(client.result_of(id), Value::Null);
    let create = client.message("window/workDoneProgress/create");
    client.send(&json!({ "jsonrpc": "2.0", "id": create["id"], "result": null }));
    let begin = client.message("$/progress");
    assert_eq!(begin["params"]["token"], create["params"]["token"]);
    assert_eq!(begin["params"]["value"]["kind"], "begin");

    load.send(()).expect("the server is loading");
    assert_eq!(client.message("$/progress")["params"]["value"]["kind"], "end");
    let status = client.message("lacuna/status");
    let expected = json!({ "health": "ok", "message": "ready", "model": "fake", "device": "none" });
    assert_eq!(status["params"], expected);
    let id = client.ask("file:///a.rs", (0, 8));
    next_call(&calls).fill(&["1"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1"]);
    client.finish();
}

#[test]
fn an_exit_ends_the_server_and_every_request() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = ");
    let id = client.ask("file:///a.rs", (0, 8));
    let call = next_call(&calls);
    client.notify("exit", Value::Null);
    // The framework answers what is still under way when it is told to leave.
    assert_eq!(client.error_of(id), REQUEST_CANCELLED);
    call.wait_until_cancelled();
    client.finish();
}

#[test]
fn an_exit_ends_the_server_that_still_waits_for_the_client() {
    let (engine, _calls) = fake_engine();
    let mut client = connect(move || Ok(engine));
    client.initialize(json!({ "workspace": { "configuration": true } }));
    // It is never answered, and the client keeps the input open while it waits for the server's end.
    client.message("workspace/configuration");
    client.result("shutdown", Value::Null);
    client.notify("exit", Value::Null);
    client.wait_for_end();
}

#[test]
fn the_end_of_input_ends_the_server_even_during_inference() {
    let (engine, calls) = fake_engine();
    let (server_input, to_server) = std::io::pipe().expect("a pipe");
    let (from_server, server_output) = std::io::pipe().expect("a pipe");
    let server =
        std::thread::spawn(move || lacuna_server::lsp::serve(server_input, server_output, once(move || Ok(engine))));
    let mut client = Client::new(to_server, from_server);
    client.initialize(json!({}));
    client.message("lacuna/status");
    client.open("file:///a.rs", "rust", "let x = ");
    client.ask("file:///a.rs", (0, 8));
    let call = next_call(&calls);
    let start = std::time::Instant::now();
    drop(client);
    server.join().expect("the server does not panic").expect("the server runs");
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    call.wait_until_cancelled();
}
