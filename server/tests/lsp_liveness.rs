//! The server in this process, over pipes, with an engine that waits for the test: nothing that an editor does may
//! wait for inference. What comes before what is told by the engine, which does nothing until it is released.

#[path = "lsp_support/client.rs"]
mod client;
#[path = "lsp_support/engine.rs"]
mod engine;

use std::sync::mpsc;
use std::time::Duration;

use lacuna_engine::{Error, Infiller};
use serde_json::{Value, json};

use client::{Client, inline_completion, position};
use engine::{Call, fake_engine};

const REQUEST_CANCELLED: i64 = -32800;
const CONTENT_MODIFIED: i64 = -32801;
const REQUEST_FAILED: i64 = -32803;

type Loaded = Result<Box<dyn Infiller>, Error>;

/// A client of a server whose engine comes from the loader.
fn connect(loader: impl FnOnce() -> Loaded + Send + 'static) -> Client {
    let (server_input, to_server) = std::io::pipe().expect("a pipe");
    let (from_server, server_output) = std::io::pipe().expect("a pipe");
    std::thread::spawn(move || lacuna_server::lsp::serve(server_input, server_output, loader));
    Client::new(to_server, from_server)
}

/// A client of a server that is ready, and the calls to its engine.
fn ready(capabilities: Value) -> (Client, mpsc::Receiver<Call>) {
    let (engine, calls) = fake_engine();
    let mut client = connect(move || Ok(engine));
    client.initialize(capabilities);
    let status = client.message("lacuna/status");
    assert_eq!(status["params"]["health"], "ok");
    (client, calls)
}

fn next_call(calls: &mpsc::Receiver<Call>) -> Call {
    calls.recv_timeout(Duration::from_secs(120)).expect("the engine is called")
}

fn assert_idle(calls: &mpsc::Receiver<Call>) {
    assert!(calls.try_recv().is_err(), "the engine was called");
}

fn cancel(client: &mut Client, id: i64) {
    client.notify("$/cancelRequest", json!({ "id": id }));
}

fn insert_texts(result: &Value) -> Vec<&str> {
    let items = result["items"].as_array().unwrap_or_else(|| panic!("no items: {result}"));
    items.iter().map(|item| item["insertText"].as_str().expect("a text")).collect()
}

fn code_action(uri: &str, at: (u32, u32)) -> Value {
    let range = json!({ "start": position(at), "end": position(at) });
    json!({ "textDocument": { "uri": uri }, "range": range, "context": { "diagnostics": [] } })
}

fn resolving() -> Value {
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
    let newer = client.ask("file:///a.rs", (0, 7));
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
fn typing_the_beginning_of_an_answer_keeps_and_shortens_it() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = \n");
    let id = client.ask("file:///a.rs", (0, 8));
    let call = next_call(&calls);
    client.change("file:///a.rs", 2, (0, 8), (0, 8), "f");
    client.change("file:///a.rs", 3, (0, 9), (0, 9), "oo");
    // The edits have been applied before the engine answers.
    client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 0)));
    call.fill(&["foo(1)"]);
    let result = client.result_of(id);
    assert_eq!(insert_texts(&result), ["(1)"]);
    assert_eq!(result["items"][0]["range"], json!({ "start": position((0, 11)), "end": position((0, 11)) }));

    // And so on from memory, without the engine.
    client.change("file:///a.rs", 4, (0, 11), (0, 11), "(");
    let result = client.result("textDocument/inlineCompletion", inline_completion("file:///a.rs", (0, 12), 2));
    assert_eq!(insert_texts(&result), ["1)"]);
    client.change("file:///a.rs", 5, (0, 9), (0, 12), "");
    let result = client.result("textDocument/inlineCompletion", inline_completion("file:///a.rs", (0, 9), 2));
    assert_eq!(insert_texts(&result), ["oo(1)"]);
    assert_idle(&calls);

    // Until something else is typed, or the user asks for more.
    let id = client.request("textDocument/inlineCompletion", inline_completion("file:///a.rs", (0, 9), 1));
    let call = next_call(&calls);
    assert!(call.request.candidates > 1);
    call.fill(&["our", "ive"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["our", "ive"]);
    client.change("file:///a.rs", 6, (0, 9), (0, 9), "i");
    let id = client.ask("file:///a.rs", (0, 10));
    assert_eq!(insert_texts(&client.result_of(id)), ["ve"]);
    client.change("file:///a.rs", 7, (0, 10), (0, 10), "x");
    let id = client.ask("file:///a.rs", (0, 11));
    next_call(&calls).fill(&["y"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["y"]);
    client.finish();
}

#[test]
fn an_answer_that_the_edits_do_not_fit_is_dropped() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = \n");
    let id = client.ask("file:///a.rs", (0, 8));
    let call = next_call(&calls);
    client.change("file:///a.rs", 2, (0, 8), (0, 8), "bar");
    client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 0)));
    call.fill(&["foo(1)"]);
    assert_eq!(client.result_of(id), Value::Null);

    // An edit anywhere else ends the request at once.
    let id = client.ask("file:///a.rs", (0, 11));
    let call = next_call(&calls);
    client.change("file:///a.rs", 3, (1, 0), (1, 0), "// elsewhere");
    assert_eq!(client.result_of(id), Value::Null);
    call.wait_until_cancelled();

    // And so does closing the document.
    let id = client.ask("file:///a.rs", (0, 11));
    let call = next_call(&calls);
    client.notify("textDocument/didClose", json!({ "textDocument": { "uri": "file:///a.rs" } }));
    assert_eq!(client.result_of(id), Value::Null);
    call.wait_until_cancelled();
    client.finish();
}

#[test]
fn the_engine_sees_the_document_and_the_answer_fits_it() {
    for (encodings, space) in [(json!(["utf-16"]), 8), (json!(["utf-32", "utf-8"]), 12), (json!(["utf-32"]), 7)] {
        let (mut client, calls) = ready(json!({ "general": { "positionEncodings": encodings } }));
        client.open("file:///a.rs", "rust", "let 漢😀= {  \r\n");
        // The space after the equals sign goes.
        client.change("file:///a.rs", 2, (0, space), (0, space + 1), "");
        let id = client.ask("file:///a.rs", (0, space + 1));
        let call = next_call(&calls);
        assert_eq!(call.around(), ("let 漢😀={", "\r\n"));
        call.fill(&["\r\n    1\r\n}"]);
        let item = &client.result_of(id)["items"][0];
        // What stands after the caret is kept, and a range is always there.
        assert_eq!(item["insertText"], "\r\n    1\r\n}  ");
        assert_eq!(item["range"], json!({ "start": position((0, space + 1)), "end": position((0, space + 3)) }));
        assert!(item["filterText"].as_str().is_some_and(|text| text.starts_with("  ")));
        client.finish();
    }
}

#[test]
fn a_selected_completion_is_extended_in_its_own_range() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "console.lo()\n");
    let range = json!({ "start": position((0, 8)), "end": position((0, 10)) });
    let mut params = inline_completion("file:///a.rs", (0, 10), 2);
    params["context"]["selectedCompletionInfo"] = json!({ "range": range, "text": "log" });
    let id = client.request("textDocument/inlineCompletion", params.clone());
    let call = next_call(&calls);
    assert_eq!(call.around(), ("console.log", "()\n"));
    call.fill(&["Line"]);
    let result = client.result_of(id);
    assert_eq!(insert_texts(&result), ["logLine"]);
    assert_eq!(result["items"][0]["range"], range);

    // What cannot be a selected completion is left aside.
    params["context"]["selectedCompletionInfo"]["text"] = json!("write");
    let id = client.request("textDocument/inlineCompletion", params);
    let call = next_call(&calls);
    assert_eq!(call.around(), ("console.lo", "()\n"));
    call.fill(&["g"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["g"]);
    client.finish();
}

#[test]
fn an_empty_fill_is_no_answer() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = \n");
    let id = client.ask("file:///a.rs", (0, 8));
    next_call(&calls).fill(&["", "  "]);
    assert_eq!(client.result_of(id), Value::Null);
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
fn a_model_that_cannot_be_loaded_is_told_of() {
    let failing: [Box<dyn FnOnce() -> Loaded + Send>; 2] =
        [Box::new(|| Err(Error::Request("there is no model".to_owned()))), Box::new(|| panic!("the test wants this"))];
    for (loader, expected) in failing.into_iter().zip(["there is no model", "unexpectedly"]) {
        let mut client = connect(loader);
        client.initialize(resolving());
        let status = client.message("lacuna/status");
        assert_eq!(status["params"]["health"], "error");
        assert!(status["params"]["message"].as_str().is_some_and(|message| message.contains(expected)));
        client.open("file:///a.rs", "rust", "let x = todo!();");
        let id = client.ask("file:///a.rs", (0, 8));
        assert_eq!(client.result_of(id), Value::Null);
        let actions = client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 8)));
        assert!(actions[0]["disabled"]["reason"].as_str().is_some_and(|reason| reason.contains(expected)));
        client.finish();
    }
}

#[test]
fn secret_files_are_never_read() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///p/.env.local", "rust", "fn f() { todo!() }");
    client.change("file:///p/.env.local", 2, (0, 0), (0, 0), "// ");
    let id = client.ask("file:///p/.env.local", (0, 8));
    assert_eq!(client.result_of(id), Value::Null);
    let id = client.ask("file:///p/.env.local", (0, 8));
    assert_eq!(client.result_of(id), Value::Null);
    let actions = client.result("textDocument/codeAction", code_action("file:///p/.env.local", (0, 14)));
    assert_eq!(actions, Value::Null);
    assert_idle(&calls);
    let unread = client.finish();
    let told: Vec<_> = unread.iter().filter(|message| message["method"] == "lacuna/status").collect();
    assert_eq!(told.len(), 1, "the reason is told once");
    assert!(told[0]["params"]["message"].as_str().is_some_and(|message| message.contains("secrets")));
}

#[test]
fn a_hole_is_filled_when_the_user_has_chosen_it() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///a.rs", "rust", "fn 漢() -> u8 { todo!() }\n");
    let actions = client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 18)));
    assert_eq!(actions.as_array().map(Vec::len), Some(1));
    assert!(actions[0]["title"].as_str().is_some_and(|title| title.starts_with("Fill")));
    assert_eq!((&actions[0]["kind"], actions[0].get("edit")), (&json!("refactor.rewrite"), None));
    assert_idle(&calls);

    let id = client.request("codeAction/resolve", actions[0].clone());
    let call = next_call(&calls);
    assert_eq!(call.around(), ("fn 漢() -> u8 {", "}\n"));
    call.fill(&[" 1 "]);
    let edit = &client.result_of(id)["edit"];
    let expected = json!({ "documentChanges": [{
        "textDocument": { "uri": "file:///a.rs", "version": 1 },
        "edits": [{
            "range": { "start": position((0, 14)), "end": position((0, 23)) },
            "newText": " 1 ",
        }],
    }] });
    assert_eq!(edit, &expected);

    // An action for an older text is no longer one.
    let id = client.request("codeAction/resolve", actions[0].clone());
    let call = next_call(&calls);
    client.change("file:///a.rs", 2, (0, 0), (0, 0), "pub ");
    client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 0)));
    call.fill(&[" 1 "]);
    assert_eq!(client.error_of(id), CONTENT_MODIFIED);
    let id = client.request("codeAction/resolve", actions[0].clone());
    assert_eq!(client.error_of(id), CONTENT_MODIFIED);

    // Nothing to fill in is said so; and cancelling works here too.
    let actions = client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 22)));
    let id = client.request("codeAction/resolve", actions[0].clone());
    next_call(&calls).fill(&[""]);
    assert_eq!(client.error_of(id), REQUEST_FAILED);
    let id = client.request("codeAction/resolve", actions[0].clone());
    let call = next_call(&calls);
    cancel(&mut client, id);
    assert_eq!(client.error_of(id), REQUEST_CANCELLED);
    call.wait_until_cancelled();
    client.finish();
}

#[test]
fn a_client_that_cannot_resolve_gets_the_edit_at_once() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.py", "python", "def f():\n    pass\n");
    let id = client.request("textDocument/codeAction", code_action("file:///a.py", (1, 5)));
    let call = next_call(&calls);
    assert_eq!(call.around(), ("def f():\n    ", "\n"));
    call.fill(&["return 1"]);
    let edit = &client.result_of(id)[0]["edit"];
    let range = json!({ "start": position((1, 4)), "end": position((1, 8)) });
    let expected = json!({ "changes": { "file:///a.py": [{ "range": range, "newText": "return 1" }] } });
    assert_eq!(edit, &expected);

    // Not where it is not asked for, and not where there is no hole.
    let mut params = code_action("file:///a.py", (1, 5));
    params["context"]["only"] = json!(["quickfix"]);
    assert_eq!(client.result("textDocument/codeAction", params), Value::Null);
    assert_eq!(client.result("textDocument/codeAction", code_action("file:///a.py", (0, 2))), Value::Null);
    assert_idle(&calls);
    client.finish();
}

#[test]
fn inline_completion_is_offered_either_statically_or_dynamically() {
    let (engine, _calls) = fake_engine();
    let mut client = connect(move || Ok(engine));
    let dynamic = json!({ "textDocument": { "inlineCompletion": { "dynamicRegistration": true } } });
    let capabilities = client.initialize(dynamic);
    assert_eq!(capabilities.get("inlineCompletionProvider"), None);
    let register = client.message("client/registerCapability");
    assert_eq!(register["params"]["registrations"][0]["method"], "textDocument/inlineCompletion");
    client.send(&json!({ "jsonrpc": "2.0", "id": register["id"], "result": null }));
    client.finish();

    let (engine, _calls) = fake_engine();
    let mut client = connect(move || Ok(engine));
    let capabilities = client.initialize(json!({}));
    assert!(capabilities["inlineCompletionProvider"].is_object());
    let unread = client.finish();
    assert!(unread.iter().all(|message| message["method"] != "client/registerCapability"));
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
fn the_end_of_input_ends_the_server_even_during_inference() {
    let (engine, calls) = fake_engine();
    let (server_input, to_server) = std::io::pipe().expect("a pipe");
    let (from_server, server_output) = std::io::pipe().expect("a pipe");
    let server = std::thread::spawn(move || lacuna_server::lsp::serve(server_input, server_output, move || Ok(engine)));
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
