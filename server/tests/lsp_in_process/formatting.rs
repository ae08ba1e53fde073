//! *Format this Markdown*.

use serde_json::{Value, json};

use crate::client::position;
use crate::harness::{assert_idle, code_action, ready, resolving};

const MESSY: &str = "#   Title\nText\n\n\n\n*   one\n*   two\n";

fn formatting(uri: &str) -> Value {
    json!({ "textDocument": { "uri": uri }, "options": { "tabSize": 4, "insertSpaces": true } })
}

#[test]
fn formatting_is_registered_for_markdown_alone() {
    let dynamic = json!({ "textDocument": {
        "formatting": { "dynamicRegistration": true },
        "rangeFormatting": { "dynamicRegistration": true },
    } });
    let (mut client, _calls) = ready(dynamic);
    let register = client.message("client/registerCapability");
    let registrations = register["params"]["registrations"].as_array().expect("registrations");
    let methods: Vec<_> = registrations.iter().map(|registration| &registration["method"]).collect();
    assert_eq!(methods, ["textDocument/formatting", "textDocument/rangeFormatting"]);
    for registration in registrations {
        assert_eq!(registration["registerOptions"]["documentSelector"], json!([{ "language": "markdown" }]));
    }
    client.finish();
}

#[test]
fn formatting_lays_out_without_the_engine() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.md", "markdown", MESSY);
    let edits = client.result("textDocument/formatting", formatting("file:///a.md"));
    assert!(edits.as_array().is_some_and(|edits| !edits.is_empty()), "{edits}");
    let mut ranged = formatting("file:///a.md");
    ranged["range"] = json!({ "start": position((5, 0)), "end": position((6, 0)) });
    let edits = client.result("textDocument/rangeFormatting", ranged);
    for edit in edits.as_array().into_iter().flatten() {
        assert!(edit["range"]["start"]["line"].as_u64().is_some_and(|line| line >= 2), "{edit}");
    }
    // Nothing is done to what is no Markdown, or in order already.
    client.open("file:///a.rs", "rust", "fn f( ) {}\n");
    assert_eq!(client.result("textDocument/formatting", formatting("file:///a.rs")), Value::Null);
    client.open("file:///b.md", "markdown", "# Title\n\nText.\n");
    assert_eq!(client.result("textDocument/formatting", formatting("file:///b.md")), Value::Null);
    assert_idle(&calls);
    client.finish();
}

#[test]
fn the_command_and_the_action_apply_one_edit() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///a.md", "markdown", MESSY);
    let actions = client.result("textDocument/codeAction", code_action("file:///a.md", (0, 0)));
    let action = actions.as_array().into_iter().flatten().find(|action| action["title"] == "Format this Markdown");
    let resolved = client.result("codeAction/resolve", action.expect("it is offered").clone());
    let document = &resolved["edit"]["documentChanges"][0];
    assert_eq!(document["textDocument"]["version"], 1);

    let command = json!({ "command": "lacuna.formatMarkdown", "arguments": ["file:///a.md"] });
    let id = client.request("workspace/executeCommand", command);
    let apply = client.message("workspace/applyEdit");
    assert_eq!(&apply["params"]["edit"]["documentChanges"][0], document);
    client.send(&json!({ "jsonrpc": "2.0", "id": apply["id"], "result": { "applied": true } }));
    assert_eq!(client.result_of(id), Value::Null);
    // A document with nothing to decide costs no call.
    assert_idle(&calls);
    client.finish();
}
