//! When nothing is offered, and what is known without asking the engine.

use serde_json::{Value, json};

use crate::client::{Client, inline_completion};
use crate::harness::{assert_idle, insert_texts, next_call, ready, ready_with};

fn status_of(client: &mut Client, uri: &str) -> Value {
    client.result("workspace/executeCommand", json!({ "command": "lacuna.status", "arguments": [uri] }))
}

/// Asks as an editor does of its own accord, gets null, and gives the reason that the status names.
fn silence(client: &mut Client, uri: &str, at: (u32, u32)) -> String {
    let id = client.ask(uri, at);
    assert_eq!(client.result_of(id), Value::Null);
    let status = status_of(client, uri);
    status["silence"].as_str().unwrap_or_else(|| panic!("no reason: {status}")).to_owned()
}

#[test]
fn before_words_nothing_comes_by_itself() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x =  + f();\ng();\n");
    assert!(silence(&mut client, "file:///a.rs", (0, 8)).contains("on the line"));
    assert_idle(&calls);
    // Before closers it does, and wherever the user asks.
    let id = client.ask("file:///a.rs", (1, 2));
    next_call(&calls).fill(&["1"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1"]);
    let id = client.request("textDocument/inlineCompletion", inline_completion("file:///a.rs", (0, 8), 1));
    let call = next_call(&calls);
    assert_eq!(call.request.candidates, 3);
    call.fill(&["1"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1"]);
    client.finish();
}

#[test]
fn a_caret_that_only_moves_back_is_left_alone() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x =   \n");
    let id = client.ask("file:///a.rs", (0, 9));
    next_call(&calls).fill(&["1"]);
    client.result_of(id);
    assert!(silence(&mut client, "file:///a.rs", (0, 8)).contains("back"));
    assert_idle(&calls);
    client.finish();
}

#[test]
fn comments_and_strings_can_be_left_alone() {
    let settings = json!({ "inlineCompletion": { "debounceMs": 0, "comments": false, "strings": false } });
    let (mut client, calls) = ready_with(json!({}), settings);
    client.open("file:///a.rs", "rust", "// say \nlet x = \"say \n\";\nf(\n");
    for (line, word) in [(0, "comments"), (1, "strings")] {
        let id = client.ask("file:///a.rs", (line, if line == 0 { 7 } else { 13 }));
        assert_eq!(client.result_of(id), json!({ "items": [] }), "{word}");
        let status = status_of(&mut client, "file:///a.rs");
        assert!(status["silence"].as_str().is_some_and(|silence| silence.contains(word)), "{status}");
    }
    assert_idle(&calls);
    let id = client.ask("file:///a.rs", (3, 2));
    next_call(&calls).fill(&["1);"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1);"]);
    client.finish();
}

#[test]
fn what_the_model_doubts_is_not_shown_and_the_status_says_so() {
    let settings = json!({ "inlineCompletion": { "debounceMs": 0, "minConfidence": 0.5 } });
    let (mut client, calls) = ready_with(json!({}), settings);
    client.open("file:///a.rs", "rust", "let x = \n");
    let id = client.ask("file:///a.rs", (0, 8));
    next_call(&calls).fill_with_confidence("1", 0.25);
    assert_eq!(client.result_of(id), json!({ "items": [] }));
    let status = status_of(&mut client, "file:///a.rs");
    assert!(status["silence"].as_str().is_some_and(|silence| silence.contains("0.25")), "{status}");
    // Whoever asks sees it all the same.
    let id = client.request("textDocument/inlineCompletion", inline_completion("file:///a.rs", (0, 8), 1));
    next_call(&calls).fill_with_confidence("1", 0.25);
    assert_eq!(insert_texts(&client.result_of(id)), ["1"]);
    client.finish();
}

#[test]
fn typing_that_goes_on_never_reaches_the_engine() {
    // So long that nothing but being superseded can have ended the first request.
    let settings = json!({ "inlineCompletion": { "debounceMs": 10_000 } });
    let (mut client, calls) = ready_with(json!({}), settings);
    client.open("file:///a.rs", "rust", "let x = \n");
    let first = client.ask("file:///a.rs", (0, 8));
    client.change("file:///a.rs", 2, (0, 8), (0, 8), "f");
    let second = client.ask("file:///a.rs", (0, 9));
    assert_eq!(client.result_of(first), Value::Null);
    assert_idle(&calls);
    // Whoever asks does not wait, and neither does what is known already.
    let id = client.request("textDocument/inlineCompletion", inline_completion("file:///a.rs", (0, 9), 1));
    assert_eq!(client.result_of(second), Value::Null);
    next_call(&calls).fill(&["oo()"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["oo()"]);
    client.change("file:///a.rs", 3, (0, 9), (0, 9), "o");
    let id = client.ask("file:///a.rs", (0, 10));
    assert_eq!(insert_texts(&client.result_of(id)), ["o()"]);
    client.finish();
}

#[test]
fn an_answer_from_before_comes_back_with_its_text() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = \n");
    let id = client.ask("file:///a.rs", (0, 8));
    next_call(&calls).fill(&["1;"]);
    client.result_of(id);
    client.change("file:///a.rs", 2, (1, 0), (1, 0), "let y = ");
    let id = client.ask("file:///a.rs", (1, 8));
    next_call(&calls).fill(&["2;"]);
    client.result_of(id);
    client.change("file:///a.rs", 3, (1, 0), (1, 8), "");
    let id = client.ask("file:///a.rs", (0, 8));
    assert_eq!(insert_texts(&client.result_of(id)), ["1;"]);
    assert_idle(&calls);
    client.finish();
}

#[test]
fn what_follows_an_accepted_fill_is_computed_before_it_is_asked_for() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = \n");
    let id = client.ask("file:///a.rs", (0, 8));
    next_call(&calls).fill(&["f(1)"]);
    client.result_of(id);
    client.change("file:///a.rs", 2, (0, 8), (0, 8), "f(1)");
    let call = next_call(&calls);
    assert_eq!(call.around().0, "let x = f(1)");
    let id = client.ask("file:///a.rs", (0, 12));
    call.fill(&[".abs();"]);
    assert_eq!(insert_texts(&client.result_of(id)), [".abs();"]);
    assert_idle(&calls);

    // Whatever else is typed ends it.
    client.change("file:///a.rs", 3, (0, 12), (0, 12), ".abs();");
    let call = next_call(&calls);
    client.change("file:///a.rs", 4, (0, 0), (0, 0), " ");
    call.wait_until_cancelled();
    client.finish();
}

#[test]
fn drafts_are_sent_where_they_are_wanted() {
    let settings = json!({ "drafts": true, "inlineCompletion": { "debounceMs": 0 } });
    let (mut client, calls) = ready_with(json!({}), settings);
    client.open("file:///a.rs", "rust", "let x = \n");
    let id = client.request("textDocument/inlineCompletion", inline_completion("file:///a.rs", (0, 8), 1));
    let call = next_call(&calls);
    call.draft(&[("1", true), ("?", false)]);
    let draft = client.message("lacuna/draft")["params"].clone();
    assert_eq!((&draft["uri"], &draft["version"], &draft["done"]), (&json!("file:///a.rs"), &json!(1), &json!(false)));
    let pieces = &draft["holes"][0]["pieces"];
    assert_eq!(
        (&pieces[0]["text"], &pieces[0]["settled"], &pieces[1]["settled"]),
        (&json!("1"), &json!(true), &json!(false))
    );
    assert_eq!(draft["holes"][0]["range"]["start"], crate::client::position((0, 8)));
    call.fill(&["12"]);
    client.result_of(id);
    let last = client.message("lacuna/draft")["params"].clone();
    assert_eq!((&last["done"], &last["id"]), (&json!(true), &draft["id"]));

    // Also a request that is given up ends its drafts; one that nobody made has none.
    let id = client.request("textDocument/inlineCompletion", inline_completion("file:///a.rs", (0, 7), 1));
    let call = next_call(&calls);
    crate::harness::cancel(&mut client, id);
    call.wait_until_cancelled();
    assert_eq!(client.message("lacuna/draft")["params"]["done"], true);
    client.finish();
}
