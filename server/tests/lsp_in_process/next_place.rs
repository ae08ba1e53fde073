//! The next place that wants the last change.

use lacuna_engine::Language;
use serde_json::{Value, json};

use crate::client::{Client, position};
use crate::harness::{
    CONTENT_MODIFIED, REQUEST_FAILED, assert_idle, code_action, insert_texts, next_call, ready, ready_with, resolving,
};

const TEXT: &str = "fn total_weight(items: &[u8]) -> u8 {\n    items.iter().sum()\n}\n\nfn main() {\n    let 漢 = total_weight(&[1]);\n    show(total_weight(&[2]));\n}\n";

/// Renames the function where it is declared, and waits until its calls are known to want that.
fn rename(client: &mut Client, calls: &std::sync::mpsc::Receiver<crate::engine::Call>) -> Value {
    client.open("file:///a.rs", "rust", TEXT);
    client.change("file:///a.rs", 2, (0, 3), (0, 15), "whole_weight");
    let call = next_call(calls);
    assert_eq!(call.request.language, Language::Rust);
    let asked: Vec<_> = call.request.holes.iter().map(|hole| hole.choices.join(" or ")).collect();
    assert_eq!(asked, ["total_weight or whole_weight", "total_weight or whole_weight"]);
    call.fill(&["whole_weight"]);
    client.message("lacuna/nextPlace")
}

fn next_place(client: &mut Client, arguments: Value) -> i64 {
    client.request("workspace/executeCommand", json!({ "command": "lacuna.nextPlace", "arguments": arguments }))
}

fn range(line: u32, start: u32) -> Value {
    json!({ "start": position((line, start)), "end": position((line, start + 12)) })
}

#[test]
fn a_change_is_offered_where_it_is_wanted_next() {
    let (mut client, calls) = ready(resolving());
    let told = rename(&mut client, &calls);
    let place = |range: Value| json!({ "range": range, "newText": "whole_weight" });
    let places = json!([place(range(5, 12)), place(range(6, 9))]);
    assert_eq!(told["params"], json!({ "uri": "file:///a.rs", "version": 2, "places": places }));

    // As actions, with an edit for this version alone.
    let actions = client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 5)));
    let titles: Vec<_> = actions.as_array().into_iter().flatten().map(|action| action["title"].clone()).collect();
    let expected = ["Apply the same change in line 6", "Apply the same change at all 2 places"];
    let at = titles.iter().position(|title| title == expected[0]).expect("it is offered");
    assert_eq!(titles[at + 1], expected[1]);
    for (action, count) in [(at, 1), (at + 1, 2)] {
        let resolved = client.result("codeAction/resolve", actions[action].clone());
        let change = &resolved["edit"]["documentChanges"][0];
        assert_eq!(change["textDocument"]["version"], 2);
        let edits = change["edits"].as_array().expect("edits");
        assert_eq!(edits[0], json!({ "range": range(5, 12), "newText": "whole_weight" }));
        assert_eq!(edits.len(), count);
    }

    // In the line, where the caret stands at one.
    let id = client.ask("file:///a.rs", (6, 21));
    let result = client.result_of(id);
    assert_eq!(insert_texts(&result), ["whole_weight"]);
    assert_eq!(result["items"][0]["range"], range(6, 9));

    // And by a command, from the edit on or from anywhere.
    let id = next_place(&mut client, json!(["file:///a.rs"]));
    assert_eq!(client.result_of(id), place(range(5, 12)));
    let id = next_place(&mut client, json!(["file:///a.rs", position((6, 0))]));
    assert_eq!(client.result_of(id), place(range(6, 9)));
    assert_idle(&calls);

    // Another version has none of it.
    client.change("file:///a.rs", 3, (4, 0), (4, 0), "pub ");
    let id = client.request("codeAction/resolve", actions[at].clone());
    assert_eq!(client.error_of(id), CONTENT_MODIFIED);
    let id = next_place(&mut client, json!(["file:///a.rs"]));
    assert_eq!(client.result_of(id), Value::Null);
    client.finish();
}

#[test]
fn what_is_known_waits_for_no_fill() {
    let (mut client, calls) = ready(resolving());
    rename(&mut client, &calls);
    let actions = client.result("textDocument/codeAction", code_action("file:///a.rs", (0, 5)));
    let is_known = |action: &&Value| action["data"]["replacements"].is_array();
    let known: Vec<_> = actions.as_array().into_iter().flatten().filter(is_known).cloned().collect();
    assert_eq!(known.len(), 2);
    // The engine works on a fill, and another one waits.
    let fill = client.ask("file:///a.rs", (3, 0));
    let call = next_call(&calls);
    client.open("file:///b.rs", "rust", "\n");
    let waiting = client.ask("file:///b.rs", (0, 0));
    for (action, count) in known.iter().zip([1, 2]) {
        let resolved = client.result("codeAction/resolve", action.clone());
        assert_eq!(resolved["edit"]["documentChanges"][0]["edits"].as_array().map(Vec::len), Some(count));
    }
    // What was never found is not applied, nor is what was found in another version.
    for changed in [json!({ "replacements": [[{ "start": 0, "end": 999 }, ""]] }), json!({ "version": 1 })] {
        let mut foreign = known[0].clone();
        let members = foreign["data"].as_object_mut().expect("an object");
        members.extend(changed.as_object().cloned().expect("an object"));
        let id = client.request("codeAction/resolve", foreign);
        assert_eq!(client.error_of(id), CONTENT_MODIFIED);
    }
    assert_idle(&calls);
    call.fill(&["fn f() {}"]);
    assert_eq!(insert_texts(&client.result_of(fill)), ["fn f() {}"]);
    next_call(&calls).fill(&["fn g() {}"]);
    assert_eq!(insert_texts(&client.result_of(waiting)), ["fn g() {}"]);
    client.finish();
}

#[test]
fn the_editor_is_shown_the_next_place() {
    let (mut client, calls) = ready(json!({ "window": { "showDocument": { "support": true } } }));
    rename(&mut client, &calls);
    let id = next_place(&mut client, json!(["file:///a.rs"]));
    let show = client.message("window/showDocument");
    assert_eq!(show["params"]["selection"], range(5, 12));
    client.send(&json!({ "jsonrpc": "2.0", "id": show["id"], "result": { "success": true } }));
    assert_eq!(client.result_of(id)["newText"], "whole_weight");
    client.finish();
}

#[test]
fn an_edit_ends_the_search() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///a.rs", "rust", TEXT);
    client.change("file:///a.rs", 2, (0, 3), (0, 15), "whole_weight");
    let call = next_call(&calls);
    client.change("file:///a.rs", 3, (0, 15), (0, 15), "s");
    call.wait_until_cancelled();
    let call = next_call(&calls);
    assert_eq!(call.request.holes[0].choices[1], "whole_weights");
    call.fill(&["whole_weights"]);
    assert_eq!(client.message("lacuna/nextPlace")["params"]["version"], 3);
    client.finish();
}

#[test]
fn an_excluded_document_gets_nothing() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///secrets.rs", "rust", TEXT);
    client.change("file:///secrets.rs", 2, (0, 3), (0, 15), "whole_weight");
    // This search began later, so that the other one would have come to its end before it.
    let told = rename(&mut client, &calls);
    assert_eq!(told["params"]["uri"], "file:///a.rs");
    assert_idle(&calls);
    let actions = client.result("textDocument/codeAction", code_action("file:///secrets.rs", (0, 3)));
    assert_eq!(actions, Value::Null);
    let id = next_place(&mut client, json!(["file:///secrets.rs"]));
    assert_eq!(client.error_of(id), REQUEST_FAILED);
    client.finish();
}

#[test]
fn it_can_be_switched_off() {
    let settings = json!({ "nextPlace": false, "inlineCompletion": { "debounceMs": 0 } });
    let (mut client, calls) = ready_with(resolving(), settings);
    client.open("file:///a.rs", "rust", TEXT);
    client.change("file:///a.rs", 2, (0, 3), (0, 15), "whole_weight");
    let id = client.ask("file:///a.rs", (3, 0));
    next_call(&calls).fill(&["fn g() {}"]);
    client.result_of(id);
    let id = next_place(&mut client, json!(["file:///a.rs"]));
    assert_eq!(client.result_of(id), Value::Null);
    assert_idle(&calls);
    client.finish();
}
