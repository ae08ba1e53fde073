//! *Fill this hole*.

use serde_json::{Value, json};

use crate::client::position;
use crate::harness::{
    CONTENT_MODIFIED, REQUEST_CANCELLED, REQUEST_FAILED, assert_idle, cancel, code_action, next_call, ready, resolving,
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

#[test]
fn several_holes_are_told_apart() {
    let (mut client, _calls) = ready(resolving());
    client.open("file:///a.rs", "rust", "fn f() -> u8 {\n    todo!()\n}\nfn g() -> u8 {\n    todo!()\n}\n");
    let mut params = code_action("file:///a.rs", (0, 0));
    params["range"]["end"] = position((9, 0));
    let actions = client.result("textDocument/codeAction", params);
    let titles: Vec<_> = actions.as_array().into_iter().flatten().map(|action| &action["title"]).collect();
    assert_eq!(titles, ["Fill the hole in line 2", "Fill the hole in line 5"]);
    client.finish();
}
