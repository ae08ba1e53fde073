//! Settings on their way into a running server.

use std::sync::{Mutex, mpsc};

use lacuna_server::settings::Settings;
use serde_json::{Value, json};

use crate::client::Client;
use crate::engine::fake_engine;
use crate::harness::{assert_idle, connect_to, insert_texts, next_call, ready, ready_with};

fn completion(client: &mut Client, uri: &str) -> i64 {
    client.open(uri, "rust", "let x = \n");
    client.ask(uri, (0, 8))
}

fn configure(client: &mut Client, settings: Value) {
    client.notify("workspace/didChangeConfiguration", json!({ "settings": settings }));
}

#[test]
fn a_mistake_is_told_and_the_rest_counts() {
    let settings = json!({ "lacuna": { "enabel": true, "languages": { "rust": false } } });
    let (mut client, calls) = ready_with(json!({}), settings.clone());
    let message = client.message("window/showMessage");
    assert!(message["params"]["message"].as_str().is_some_and(|message| message.contains("enabel")), "{message}");
    let id = completion(&mut client, "file:///a.rs");
    assert_eq!(client.result_of(id), Value::Null);
    assert_idle(&calls);
    // Editors send the same settings in several ways.
    configure(&mut client, settings);
    let id = completion(&mut client, "file:///b.rs");
    assert_eq!(client.result_of(id), Value::Null);
    let unread = client.finish();
    assert!(unread.iter().all(|message| message["method"] != "window/showMessage"), "{unread:?}");
}

#[test]
fn changed_settings_count_at_once() {
    let (mut client, calls) = ready(json!({}));
    configure(&mut client, json!({ "lacuna": { "enable": false } }));
    let id = completion(&mut client, "file:///a.rs");
    assert_eq!(client.result_of(id), Value::Null);
    configure(&mut client, json!({ "lacuna": { "exclude": ["b.*"], "inlineCompletion": { "debounceMs": 0 } } }));
    let id = completion(&mut client, "file:///b.rs");
    assert_eq!(client.result_of(id), Value::Null);
    let status = client.message("lacuna/status");
    assert!(status["params"]["message"].as_str().is_some_and(|message| message.contains("exclude")), "{status}");
    assert_idle(&calls);
    let id = client.ask("file:///a.rs", (0, 8));
    next_call(&calls).fill(&["1"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1"]);
    client.finish();
}

#[test]
fn settings_are_asked_for_where_the_client_gives_them() {
    let capabilities = json!({ "workspace": {
        "configuration": true,
        "didChangeConfiguration": { "dynamicRegistration": true },
    } });
    let (mut client, calls) = ready(capabilities);
    let register = client.message("client/registerCapability");
    assert_eq!(register["params"]["registrations"][0]["method"], "workspace/didChangeConfiguration");
    let give = |client: &mut Client, settings: Value| {
        let asked = client.message("workspace/configuration");
        assert_eq!(asked["params"]["items"][0]["section"], "lacuna");
        client.send(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": [settings] }));
    };
    // Null leaves what came with the beginning.
    give(&mut client, Value::Null);
    let id = completion(&mut client, "file:///a.rs");
    next_call(&calls).fill(&["1"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1"]);

    configure(&mut client, Value::Null);
    give(&mut client, json!({ "enable": false, "nonsense": 1 }));
    client.message("window/showMessage");
    let id = completion(&mut client, "file:///b.rs");
    assert_eq!(client.result_of(id), Value::Null);
    assert_idle(&calls);
    client.finish();
}

#[test]
fn another_model_is_loaded_without_a_restart() {
    let (engines, models) = mpsc::channel();
    let models = Mutex::new(models);
    let mut client = connect_to(move |settings: &Settings| {
        let (model, engine) = models.lock().expect("one loading at a time").recv().expect("the test says which");
        assert_eq!(settings.model, model);
        Ok(engine)
    });
    let (first, calls) = fake_engine();
    engines.send((None, first)).expect("it is loading");
    client.initialize(json!({}));
    assert_eq!(client.message("lacuna/status")["params"]["health"], "ok");
    let id = completion(&mut client, "file:///a.rs");
    next_call(&calls).fill(&["1"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["1"]);

    let (second, calls) = fake_engine();
    engines.send((Some("other".into()), second)).expect("it is loading");
    configure(&mut client, json!({ "model": "other", "inlineCompletion": { "debounceMs": 0 } }));
    assert_eq!(client.message("lacuna/status")["params"]["health"], "ok");
    // What the first one has answered is forgotten.
    let id = client.ask("file:///a.rs", (0, 8));
    next_call(&calls).fill(&["2"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["2"]);
    client.finish();
}
