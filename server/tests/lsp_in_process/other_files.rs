//! What the engine is told of other files.

use serde_json::{Value, json};

use crate::client::Client;
use crate::engine::Call;
use crate::harness::{assert_idle, code_action, insert_texts, next_call, ready, ready_with, resolving};

const TELLTALE: &str = "fn telltale(secret: u8) {}\n";
const CARET: (u32, u32) = (0, 8);

/// What the engine is told when the editor asks in a document whose name has one letter.
fn told(client: &mut Client, calls: &std::sync::mpsc::Receiver<Call>, name: &str) -> Vec<(String, String)> {
    let uri = format!("file:///{name}.rs");
    // Of its own, so that no answer is known already.
    client.open(&uri, "rust", &format!("let {name} = \n"));
    let id = client.ask(&uri, CARET);
    let call = next_call(calls);
    let excerpts = call.request.excerpts.iter().map(|excerpt| (excerpt.name.clone(), excerpt.text.clone())).collect();
    call.fill(&["1;"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1;"]);
    client.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri } }));
    excerpts
}

fn telltale(name: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), TELLTALE.to_owned())]
}

#[test]
fn open_files_of_the_same_language_are_read() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///other.rs", "rust", TELLTALE);
    client.open("file:///other.py", "python", "def telltale(): pass\n");
    assert_eq!(told(&mut client, &calls, "a"), telltale("other.rs"));
    client.finish();
}

#[test]
fn excluded_files_are_never_read() {
    let settings = json!({ "inlineCompletion": { "debounceMs": 0 }, "exclude": ["**/private/**"] });
    let (mut client, calls) = ready_with(json!({}), settings);
    for uri in ["file:///secrets.rs", "file:///private/a.rs", "file:///later.rs"] {
        client.open(uri, "rust", TELLTALE);
        client.change(uri, 2, (0, 0), (0, 0), "\n");
    }
    let open = told(&mut client, &calls, "a");
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].0, "later.rs");
    // Nor are files that are excluded while they are open, or after they were closed.
    client.open("file:///later_closed.rs", "rust", TELLTALE);
    client.change("file:///later_closed.rs", 2, (0, 0), (0, 0), "\n");
    client.notify("textDocument/didClose", json!({ "textDocument": { "uri": "file:///later_closed.rs" } }));
    assert_eq!(told(&mut client, &calls, "b").len(), 2);
    let settings = json!({ "inlineCompletion": { "debounceMs": 0 }, "exclude": ["later*"] });
    client.notify("workspace/didChangeConfiguration", json!({ "settings": { "lacuna": settings } }));
    assert_eq!(told(&mut client, &calls, "c"), []);
    for uri in ["file:///secrets.rs", "file:///private/a.rs", "file:///later.rs"] {
        client.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri } }));
    }
    assert_eq!(told(&mut client, &calls, "d"), []);
    client.finish();
}

#[test]
fn a_file_that_was_edited_is_remembered_when_it_is_closed_and_one_that_was_not_is_forgotten() {
    let (mut client, calls) = ready(json!({}));
    let close = |client: &mut Client, uri: &str| {
        client.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri } }));
    };
    client.open("file:///other.rs", "rust", TELLTALE);
    close(&mut client, "file:///other.rs");
    assert_eq!(told(&mut client, &calls, "a"), []);
    client.open("file:///other.rs", "rust", &TELLTALE[1..]);
    client.change("file:///other.rs", 2, (0, 0), (0, 0), "f");
    close(&mut client, "file:///other.rs");
    assert_eq!(told(&mut client, &calls, "b"), telltale("other.rs"));
    // What is opened again counts as it now is.
    client.open("file:///other.rs", "rust", "struct New;\n");
    assert_eq!(told(&mut client, &calls, "c"), [("other.rs".to_owned(), "struct New;\n".to_owned())]);
    client.finish();
}

#[test]
fn other_files_can_be_left_alone() {
    let settings = json!({ "inlineCompletion": { "debounceMs": 0, "otherFiles": false } });
    let (mut client, calls) = ready_with(json!({}), settings);
    client.open("file:///other.rs", "rust", TELLTALE);
    assert_eq!(told(&mut client, &calls, "a"), []);
    client.finish();
}

#[test]
fn an_answer_is_kept_until_another_file_changes() {
    let (mut client, calls) = ready(json!({}));
    client.open("file:///a.rs", "rust", "let x = \n");
    client.open("file:///other.rs", "rust", TELLTALE);
    client.open("file:///other.py", "python", "pass\n");
    let ask = |client: &mut Client| -> Value {
        let id = client.ask("file:///a.rs", CARET);
        client.result_of(id)
    };
    let id = client.ask("file:///a.rs", CARET);
    next_call(&calls).fill(&["1;"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1;"]);
    // Going away and coming back ends what is kept for as long as the caret stays.
    let mut version = 1;
    let mut come_back = |client: &mut Client| {
        client.change("file:///a.rs", version + 1, (0, 0), (0, 0), "//");
        client.change("file:///a.rs", version + 2, (0, 0), (0, 2), "");
        version += 2;
    };
    come_back(&mut client);
    client.change("file:///other.py", 2, (0, 0), (0, 0), "# another language\n");
    assert_eq!(insert_texts(&ask(&mut client)), ["1;"]);
    assert_idle(&calls);
    come_back(&mut client);
    client.change("file:///other.rs", 2, (0, 3), (0, 11), "two");
    let id = client.ask("file:///a.rs", CARET);
    let call = next_call(&calls);
    assert_eq!(call.request.excerpts[0].text, TELLTALE.replace("telltale", "two"));
    call.fill(&["2;"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["2;"]);
    client.finish();
}

#[test]
fn code_actions_read_other_files_too() {
    let (mut client, calls) = ready(resolving());
    client.open("file:///other.rs", "rust", TELLTALE);
    client.open("file:///a.rs", "rust", "fn a() {\n    todo!()\n}\nfn b() {\n    todo!()\n}\n");
    let offered = client.result("textDocument/codeAction", code_action("file:///a.rs", (1, 6)));
    for title in ["Fill this hole", "Fill all"] {
        let actions = offered.as_array().expect("code actions");
        let named = |action: &&Value| action["title"].as_str().is_some_and(|found| found.starts_with(title));
        let action = actions.iter().find(named).unwrap_or_else(|| panic!("{title}: {offered}"));
        let id = client.request("codeAction/resolve", action.clone());
        for _ in 0..if title == "Fill all" { 2 } else { 1 } {
            let call = next_call(&calls);
            assert_eq!(call.request.excerpts[0].text, TELLTALE, "{title}");
            call.fill(&["one();"]);
        }
        assert!(client.result_of(id)["edit"].is_object(), "{title}");
    }
    client.finish();
}
