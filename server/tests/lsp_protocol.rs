//! The real binary over its standard streams: what it makes of bytes that are no messages, of messages that are out
//! of order, and of its end.

#[path = "support/binary.rs"]
mod binary;
#[path = "support/client.rs"]
mod client;
#[path = "support/process.rs"]
mod process;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use client::{Client, framed, position};
use process::Process;

fn start() -> (Process, Client) {
    Process::start(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

#[test]
fn a_polite_end_is_a_success() {
    let (mut process, mut client) = start();
    client.initialize(json!({}));
    assert_eq!(client.result("shutdown", Value::Null), Value::Null);
    client.notify("exit", Value::Null);
    assert_eq!(process.code(), Some(0));
    client.finish();
}

#[test]
fn an_exit_without_a_shutdown_is_a_failure() {
    let (mut process, mut client) = start();
    client.initialize(json!({}));
    client.notify("exit", Value::Null);
    assert_eq!(process.code(), Some(1));
    client.finish();

    let (mut process, mut client) = start();
    client.notify("exit", Value::Null);
    assert_eq!(process.code(), Some(1));
    client.finish();
}

#[test]
fn the_end_of_input_ends_the_process() {
    let (mut process, mut client) = start();
    client.initialize(json!({}));
    client.open("file:///a.rs", "rust", "fn main() {\n    let x = \n}\n");
    client.ask("file:///a.rs", (1, 12));
    let start = Instant::now();
    client.finish();
    process.code();
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

#[test]
fn a_client_that_waits_for_nothing_is_served_all_the_same() {
    let (mut process, mut client) = start();
    let initialize = client.request("initialize", json!({ "capabilities": {} }));
    client.notify("initialized", json!({}));
    client.open("file:///a.rs", "rust", "fn f() { todo!() }");
    let range = json!({ "start": position((0, 9)), "end": position((0, 9)) });
    let context = json!({ "diagnostics": [], "only": ["quickfix"] });
    let document = json!({ "uri": "file:///a.rs" });
    let params = json!({ "textDocument": document, "range": range, "context": context });
    let code_action = client.request("textDocument/codeAction", params);
    let shutdown = client.request("shutdown", Value::Null);
    client.notify("exit", Value::Null);
    assert!(client.result_of(initialize)["capabilities"].is_object());
    assert_eq!(client.result_of(code_action), Value::Null);
    assert_eq!(client.result_of(shutdown), Value::Null);
    assert_eq!(process.code(), Some(0));
    client.finish();
}

#[test]
fn bytes_that_are_no_message_are_answered_and_survived() {
    const PARSE_ERROR: i64 = -32700;
    const INVALID_REQUEST: i64 = -32600;
    let (mut process, mut client) = start();
    client.initialize(json!({}));
    let long = format!("Content-Length: 200\r\n\r\n{}", json!({ "jsonrpc": "2.0", "method": "m" }));
    for (bytes, code) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], PARSE_ERROR),
        (b"Content-Length: many\r\n\r\n{}", PARSE_ERROR),
        (&framed("{\"jsonrpc\":\"2.0\",\"method\":"), PARSE_ERROR),
        (&framed("\"\\ud800"), PARSE_ERROR),
        (&framed("[]"), INVALID_REQUEST),
        (&framed(r#"{"jsonrpc":"2.0","id":null}"#), INVALID_REQUEST),
        (long.as_bytes(), PARSE_ERROR),
    ] {
        client.send_bytes(bytes);
        // The next message is understood; only its header shows that the last one above is cut off.
        let id = client.request("unknown/method", json!({}));
        let answer = client.wait_for(|message| message["id"].is_null() && message.get("error").is_some());
        assert_eq!(answer["error"]["code"], code, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(client.error_of(id), -32601);
    }
    client.result("shutdown", Value::Null);
    client.notify("exit", Value::Null);
    assert_eq!(process.code(), Some(0));
    client.finish();
}

#[test]
fn half_a_surrogate_pair_in_a_document_is_survived() {
    let (mut process, mut client) = start();
    client.initialize(json!({}));
    let body = r#"{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":
        {"uri":"file:///a.py","languageId":"python","version":1,"text":"'\ud83d'\ndef f():\n    pass\n"}}}"#;
    client.send_bytes(&framed(body));
    client.change("file:///a.py", 2, (0, 1), (0, 2), "x");
    let range = json!({ "start": position((2, 5)), "end": position((2, 5)) });
    let document = json!({ "uri": "file:///a.py" });
    let params = json!({ "textDocument": document, "range": range, "context": { "diagnostics": [] } });
    let id = client.request("textDocument/codeAction", params);
    // Whether there is an edit yet depends on how far the model is; that there is an answer does not.
    assert!(client.response(id).get("result").is_some());
    client.result("shutdown", Value::Null);
    client.notify("exit", Value::Null);
    assert_eq!(process.code(), Some(0));
    client.finish();
}

#[test]
fn requests_out_of_place_are_refused() {
    let (mut process, mut client) = start();
    let early = client.request("textDocument/codeAction", json!({}));
    assert_eq!(client.error_of(early), -32002);
    client.initialize(json!({}));
    let again = client.request("initialize", json!({ "capabilities": {} }));
    assert_eq!(client.error_of(again), -32600);
    let malformed = client.request("textDocument/inlineCompletion", json!({ "position": 3 }));
    assert_eq!(client.error_of(malformed), -32602);
    let unknown_document = client.ask("file:///nowhere.rs", (0, 0));
    assert_eq!(client.result_of(unknown_document), Value::Null);
    client.result("shutdown", Value::Null);
    let late = client.ask("file:///nowhere.rs", (0, 0));
    assert_eq!(client.error_of(late), -32600);
    client.notify("exit", Value::Null);
    assert_eq!(process.code(), Some(0));
    client.finish();
}

#[test]
fn the_embedded_model_answers() {
    let (mut process, mut client) = start();
    client.initialize(json!({}));
    let status = client.message("lacuna/status");
    assert_eq!(status["params"]["health"], "ok", "{status}");
    assert!(status["params"]["model"].is_string() && status["params"]["device"].is_string());
    let lines = ["def add(a, b):", "    return a", "", "print(add(1, 2))"];
    client.open("file:///a.py", "python", &lines.join("\n"));
    let id = client.ask("file:///a.py", (1, 12));
    let result = client.result_of(id);
    // What the model says is not this test's business, but that what it says can be shown is.
    for item in result["items"].as_array().into_iter().flatten() {
        assert!(item["insertText"].as_str().is_some_and(|text| !text.is_empty()), "{item}");
        assert_eq!(item["range"], json!({ "start": position((1, 12)), "end": position((1, 12)) }));
    }
    client.result("shutdown", Value::Null);
    client.notify("exit", Value::Null);
    assert_eq!(process.code(), Some(0));
    client.finish();
}
