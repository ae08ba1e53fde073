//! *Fill this hole*.

use serde_json::{Value, json};

use crate::client::{Client, position};
use crate::harness::{
    CONTENT_MODIFIED, INVALID_PARAMS, REQUEST_CANCELLED, REQUEST_FAILED, assert_idle, cancel, code_action, next_call,
    ready, ready_with, resolving,
};
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

fn titles(actions: &Value) -> Vec<&str> {
    actions.as_array().into_iter().flatten().filter_map(|action| action["title"].as_str()).collect()
}

/// The edits of a resolved action, each as its range and its text.
fn edits(action: &Value) -> Vec<(Value, &str)> {
    let edits = action["edit"]["documentChanges"][0]["edits"].as_array().expect("edits");
    edits.iter().map(|edit| (edit["range"].clone(), edit["newText"].as_str().expect("a text"))).collect()
}

#[test]
fn several_holes_are_told_apart_and_filled_together() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///a.rs", "rust", "fn f() -> u8 {\n    todo!()\n}\nfn g() -> u8 {\n    todo!()\n}\n");
    let mut params = code_action("file:///a.rs", (0, 0));
    params["range"]["end"] = position((9, 0));
    let actions = client.result("textDocument/codeAction", params);
    let expected = ["Fill the hole in line 2", "Fill the hole in line 5", "Fill all 2 holes in this file"];
    assert_eq!(titles(&actions)[..3], expected);

    // The second hole is filled in the light of the first, and both ranges are those of the document.
    let id = client.request("codeAction/resolve", actions[2].clone());
    next_call(&calls).fill(&["let long = 1;\n    long"]);
    let call = next_call(&calls);
    assert_eq!(call.around(), ("fn f() -> u8 {\n    let long = 1;\n    long\n}\nfn g() -> u8 {\n    ", "\n}\n"));
    call.fill(&["2"]);
    let action = client.result_of(id);
    let range = |line| json!({ "start": position((line, 4)), "end": position((line, 11)) });
    assert_eq!(edits(&action), [(range(1), "let long = 1;\n    long"), (range(4), "2")]);
    client.finish();
}

#[test]
fn a_selection_is_rewritten_and_nothing_else() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///a.rs", "rust", "let 漢 = old(1);\nlet y = 2;\n");
    let mut params = code_action("file:///a.rs", (0, 8));
    params["range"]["end"] = position((0, 14));
    let actions = client.result("textDocument/codeAction", params);
    assert!(titles(&actions)[0].starts_with("Rewrite selection"), "{actions}");
    let id = client.request("codeAction/resolve", actions[0].clone());
    let call = next_call(&calls);
    assert_eq!(call.around(), ("let 漢 = ", ";\nlet y = 2;\n"));
    call.fill(&["new()"]);
    let range = json!({ "start": position((0, 8)), "end": position((0, 14)) });
    assert_eq!(edits(&client.result_of(id)), [(range, "new()")]);
    client.finish();
}

#[test]
fn what_a_comment_asks_for_comes_after_it() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///a.rs", "rust", "fn f() {\n    // TODO: say 漢\n}\n");
    let actions = client.result("textDocument/codeAction", code_action("file:///a.rs", (1, 8)));
    assert_eq!(titles(&actions)[0], "Fill this hole");
    let id = client.request("codeAction/resolve", actions[0].clone());
    let call = next_call(&calls);
    assert_eq!(call.around(), ("fn f() {\n    // TODO: say 漢\n    ", "\n}\n"));
    call.fill(&["say();"]);
    let end = json!({ "start": position((1, 18)), "end": position((1, 18)) });
    assert_eq!(edits(&client.result_of(id)), [(end, "\n    say();")]);
    client.finish();
}

#[test]
fn a_block_is_completed() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///a.rs", "rust", "fn f() {\n    a();\n    \n}\nfn g() {}\n");
    let actions = client.result("textDocument/codeAction", code_action("file:///a.rs", (2, 4)));
    let index = titles(&actions).iter().position(|title| *title == "Complete this block").expect("it is offered");
    let id = client.request("codeAction/resolve", actions[index].clone());
    let call = next_call(&calls);
    let (before, after) = call.around();
    assert!(before.starts_with("fn f() {\n    a();\n") && after.trim_start() == "}\nfn g() {}\n");
    call.fill(&["b();"]);
    let action = client.result_of(id);
    assert!(edits(&action)[0].1.contains("b();"));
    client.finish();
}

#[test]
fn all_holes_are_shown_filled_before_they_are() {
    let mut capabilities = resolving();
    capabilities["workspace"]["workspaceEdit"]["changeAnnotationSupport"] = json!({});
    let (mut client, calls) = ready(capabilities.clone());
    let text = "def f():\n    pass\n\ndef g():\n    pass\n";
    client.open("file:///a.py", "python", text);
    let fill_all = json!({ "command": "lacuna.fillAll", "arguments": ["file:///a.py"] });
    let id = client.request("workspace/executeCommand", fill_all.clone());
    next_call(&calls).fill(&["return 1"]);
    next_call(&calls).fill(&["return 2"]);
    let apply = client.message("workspace/applyEdit");
    let edit = &apply["params"]["edit"];
    let edits = edit["documentChanges"][0]["edits"].as_array().expect("edits");
    assert_eq!(edits.len(), 2);
    for change in edits {
        let annotation = &edit["changeAnnotations"][change["annotationId"].as_str().expect("an annotation")];
        assert_eq!(annotation, &json!({ "label": "Fill 2 holes", "needsConfirmation": true }));
    }
    // Who has looked at it and does not want it needs no error.
    client.send(&json!({ "jsonrpc": "2.0", "id": apply["id"], "result": { "applied": false } }));
    assert_eq!(client.result_of(id), Value::Null);
    client.finish();

    let (mut client, calls) = ready_with(capabilities, json!({ "previewFillAll": false }));
    client.open("file:///a.py", "python", text);
    let id = client.request("workspace/executeCommand", fill_all);
    next_call(&calls).fill(&["return 1"]);
    next_call(&calls).fill(&["return 2"]);
    let apply = client.message("workspace/applyEdit");
    assert_eq!(apply["params"]["edit"]["changeAnnotations"], Value::Null);
    client.send(&json!({ "jsonrpc": "2.0", "id": apply["id"], "result": { "applied": true } }));
    assert_eq!(client.result_of(id), Value::Null);
    client.finish();
}

#[test]
fn commands_apply_one_edit_or_say_why_not() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///a.py", "python", "def f():\n    pass\n");
    let command = |client: &mut Client, name: &str, uri: &str| {
        client.request("workspace/executeCommand", json!({ "command": name, "arguments": [uri] }))
    };
    let id = command(&mut client, "lacuna.fillAll", "file:///a.py");
    next_call(&calls).fill(&["return 1"]);
    let apply = client.message("workspace/applyEdit");
    assert_eq!(apply["params"]["edit"]["documentChanges"][0]["textDocument"]["version"], 1);
    client.send(&json!({ "jsonrpc": "2.0", "id": apply["id"], "result": { "applied": true } }));
    assert_eq!(client.result_of(id), Value::Null);

    // What the editor refuses is an error; what there is nothing to do for is a message.
    let id = command(&mut client, "lacuna.fillAll", "file:///a.py");
    next_call(&calls).fill(&["return 1"]);
    let apply = client.message("workspace/applyEdit");
    let refusal = json!({ "applied": false, "failureReason": "read only" });
    client.send(&json!({ "jsonrpc": "2.0", "id": apply["id"], "result": refusal }));
    assert_eq!(client.error_of(id), REQUEST_FAILED);
    client.open("file:///b.py", "python", "x = 1\n");
    let id = command(&mut client, "lacuna.fillAll", "file:///b.py");
    assert_eq!(client.result_of(id), Value::Null);
    let message = client.message("window/showMessage");
    assert!(message["params"]["message"].as_str().is_some_and(|message| message.contains("no hole")));
    for (name, uri) in [("lacuna.fillAll", "file:///unknown.py"), ("lacuna.formatMarkdown", "file:///unknown.md")] {
        let id = command(&mut client, name, uri);
        assert_eq!(client.error_of(id), REQUEST_FAILED);
    }
    let id = command(&mut client, "lacuna.unknown", "file:///a.py");
    assert_eq!(client.error_of(id), INVALID_PARAMS);
    client.finish();
}
