//! Which answers there are, and which form they have.

use lacuna_engine::Error;
use serde_json::{Value, json};

use crate::client::{inline_completion, position};
use crate::engine::fake_engine;
use crate::harness::{
    Loaded, assert_idle, code_action, connect, insert_texts, next_call, ready, ready_with, resolving,
};
#[test]
fn typing_the_beginning_of_an_answer_keeps_and_shortens_it() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = \n");
    let id = client.ask("file:///a.rs", (0, 8));
    let call = next_call(&calls);
    assert_eq!(call.request.name.as_deref(), Some("a.rs"));
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
    let settings = json!({ "inlineCompletion": { "debounceMs": 0, "midLine": "always" } });
    let (mut client, calls) = ready_with(json!({}), settings);
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
    // Not null, which leaves what an editor shows from before.
    assert_eq!(client.result_of(id), json!({ "items": [] }));
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
