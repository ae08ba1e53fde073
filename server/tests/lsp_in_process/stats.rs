//! What is counted of a session, and that nothing else is kept of it.

use std::path::Path;

use lacuna_engine::Error;
use lacuna_server::postprocess::Filter;
use lacuna_server::stats::{Fate, Piece, Source, Stage, Stats, Store, Tally, Way, Withheld};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, inline_completion, position};
use crate::engine::fake_engine;
use crate::harness::{cancel, code_action, connect_counting, insert_texts, next_call, once, resolving};

const URI: &str = "file:///home/somebody/secretproject/secretfile.rs";

/// A client whose server counts into a folder, and what makes the counts complete.
struct Counted {
    folder: TempDir,
    writer: lacuna_server::stats::Writer,
}

impl Counted {
    fn connect(capabilities: Value, settings: Value) -> (Self, Client, std::sync::mpsc::Receiver<crate::engine::Call>) {
        let folder = TempDir::new().expect("a folder");
        let (stats, writer) = Stats::start(Store::within(folder.path().join("state"))).expect("a thread");
        let (engine, calls) = fake_engine();
        let mut client = connect_counting(once(move || Ok(engine)), stats);
        client.initialize_with(capabilities, settings);
        assert_eq!(client.message("lacuna/status")["params"]["health"], "ok");
        (Self { folder, writer }, client, calls)
    }

    /// Ends the session in order, and gives all that was counted and the bytes of all files.
    fn end(self, mut client: Client) -> (Option<Tally>, Vec<u8>) {
        client.result("shutdown", Value::Null);
        client.finish();
        drop(self.writer);
        let state = self.folder.path().join("state");
        let ledger = Store::within(&state).read().expect("counts");
        (ledger.map(|ledger| ledger.total()), all_bytes(&state))
    }
}

fn all_bytes(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flat_map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file")).collect()
}

fn at_once() -> Value {
    json!({ "inlineCompletion": { "debounceMs": 0, "prefetch": false } })
}

fn withheld(tally: &Tally) -> Vec<(Withheld, u64)> {
    tally.withheld.iter().map(|(reason, count)| (*reason, *count)).collect()
}

#[test]
fn what_becomes_of_completions_is_counted() {
    let (counted, mut client, calls) = Counted::connect(json!({}), at_once());
    client.open(URI, "rust", "let secretname = \n\n");
    // One is accepted, after it was shown twice from memory as its beginning was typed.
    let id = client.ask(URI, (0, 17));
    next_call(&calls).fill(&["secretfill(1);"]);
    assert_eq!(insert_texts(&client.result_of(id)), ["secretfill(1);"]);
    client.change(URI, 2, (0, 17), (0, 17), "s");
    let id = client.ask(URI, (0, 18));
    assert_eq!(insert_texts(&client.result_of(id)), ["ecretfill(1);"]);
    client.change(URI, 3, (0, 18), (0, 18), "ecretfill(1);");
    // One of the next is not good enough, and one is ignored.
    let id = client.ask(URI, (1, 0));
    next_call(&calls).fill_with_confidence("secretdoubt", 0.01);
    assert_eq!(client.result_of(id)["items"], json!([]));
    client.change(URI, 4, (1, 0), (1, 0), "le");
    let id = client.ask(URI, (1, 2));
    next_call(&calls).fill(&["t y = 2;"]);
    client.result_of(id);
    client.change(URI, 5, (1, 2), (1, 2), "q");

    let (tally, bytes) = counted.end(client);
    let tally = tally.expect("counts");
    assert_eq!(tally.fates.into_iter().collect::<Vec<_>>(), [(Fate::Accepted, 1), (Fate::Ignored, 1)]);
    assert_eq!(tally.pieces.into_iter().collect::<Vec<_>>(), [(Piece::Whole, 1)]);
    assert_eq!((tally.characters_shown, tally.characters_kept), (22, 13));
    assert_eq!(tally.withheld.into_iter().collect::<Vec<_>>(), [(Withheld::Filter(Filter::Confidence), 1)]);
    let answers = |source: Source, stage: Stage| tally.latency[&source][&stage].total();
    assert_eq!((answers(Source::Fresh, Stage::Total), answers(Source::Cached, Stage::Total)), (3, 1));
    assert_eq!(answers(Source::Fresh, Stage::Denoise), 3);

    // Whatever of it all is text stays out of the file.
    let kept = String::from_utf8(bytes).expect("a text");
    assert!(kept.contains("\"fake\"") && kept.contains("\"rust\""), "{kept}");
    for private in ["secret", "somebody", "home", "file:", ".rs", "let "] {
        assert!(!kept.contains(private), "{private} in {kept}");
    }
}

#[test]
fn requests_that_get_nothing_are_counted_by_the_reason() {
    let (counted, mut client, calls) = Counted::connect(json!({}), at_once());
    client.open(URI, "rust", "let x = 1 + 2;\nlet y = \n");
    // A place where none comes by itself, one that is superseded, one that is cancelled, and an engine that fails.
    let id = client.ask(URI, (0, 7));
    assert_eq!(client.result_of(id), Value::Null);
    let first = client.ask(URI, (1, 8));
    let call = next_call(&calls);
    let second = client.request("textDocument/inlineCompletion", inline_completion(URI, (1, 8), 1));
    assert_eq!(client.result_of(first), Value::Null);
    call.wait_until_cancelled();
    let call = next_call(&calls);
    cancel(&mut client, second);
    client.error_of(second);
    call.wait_until_cancelled();
    let third = client.request("textDocument/inlineCompletion", inline_completion(URI, (1, 8), 1));
    next_call(&calls).fail(Error::Request("no more".to_owned()));
    client.error_of(third);

    let (tally, _) = counted.end(client);
    let tally = tally.expect("counts");
    assert_eq!(
        withheld(&tally),
        [(Withheld::Superseded, 1), (Withheld::Cancelled, 1), (Withheld::MidLine, 1), (Withheld::Failed, 1),]
    );
    assert!(tally.fates.is_empty() && tally.latency.is_empty());
}

#[test]
fn an_editor_may_say_what_becomes_of_them() {
    let capabilities = json!({ "experimental": { "lacuna": { "feedback": true } } });
    let (counted, mut client, calls) = Counted::connect(capabilities, at_once());
    let feedback = |client: &mut Client, kind: &str, characters: u32| {
        client.notify("lacuna/feedback", json!({ "uri": URI, "kind": kind, "characters": characters }));
    };
    client.open(URI, "rust", "\n\n\n");
    for line in 0..3 {
        let id = client.ask(URI, (line, 0));
        next_call(&calls).fill(&["mod word;"]);
        client.result_of(id);
        match line {
            // The first never got to the screen.
            0 => {}
            1 => {
                feedback(&mut client, "shown", 0);
                feedback(&mut client, "acceptedWord", 4);
            }
            _ => {
                feedback(&mut client, "shown", 0);
                feedback(&mut client, "dismissed", 0);
            }
        }
    }
    // What is no feedback, or about nothing, changes nothing.
    feedback(&mut client, "loved", 1);
    client.notify("lacuna/feedback", json!([]));
    client.notify("lacuna/feedback", json!({ "uri": "file:///b.rs", "kind": "accepted" }));
    let (tally, _) = counted.end(client);
    let tally = tally.expect("counts");
    let fates = [(Fate::AcceptedInPart, 1), (Fate::Dismissed, 1), (Fate::NotSeen, 1)];
    assert_eq!(tally.fates.iter().map(|(fate, count)| (*fate, *count)).collect::<Vec<_>>(), fates);
    assert_eq!((tally.shown(), tally.characters_kept, tally.pieces[&Piece::Word]), (2, 4, 1));
}

#[test]
fn switched_off_nothing_is_counted() {
    let settings = json!({ "stats": false, "inlineCompletion": { "debounceMs": 0 } });
    let (counted, mut client, calls) = Counted::connect(json!({}), settings);
    client.open(URI, "rust", "let x = \n");
    let id = client.ask(URI, (0, 8));
    next_call(&calls).fill(&["1"]);
    client.result_of(id);
    let (tally, bytes) = counted.end(client);
    assert_eq!((tally, bytes), (None, Vec::new()));
}

/// Renames a function where it is declared, and waits until its three calls are known to want that.
fn rename(client: &mut Client, calls: &std::sync::mpsc::Receiver<crate::engine::Call>, uri: &str) {
    let text = "fn secretone(n: u8) {}\n\nfn main() {\n    secretone(1);\n    secretone(2);\n    secretone(3);\n}\n";
    client.open(uri, "rust", text);
    client.change(uri, 2, (0, 3), (0, 12), "secrettwo");
    next_call(calls).fill(&["secrettwo"]);
    let places = client.message("lacuna/nextPlace")["params"]["places"].clone();
    assert_eq!(places.as_array().map(Vec::len), Some(3));
}

fn counts<K: Copy>(counts: &std::collections::BTreeMap<K, u64>) -> Vec<(K, u64)> {
    counts.iter().map(|(key, count)| (*key, *count)).collect()
}

#[test]
fn what_becomes_of_next_places_is_counted() {
    let (counted, mut client, calls) = Counted::connect(resolving(), at_once());
    rename(&mut client, &calls, URI);
    // One is gone to by the command and accepted in the line.
    let go = json!({ "command": "lacuna.nextPlace", "arguments": [URI] });
    assert_eq!(client.result("workspace/executeCommand", go)["range"]["start"], position((3, 4)));
    let id = client.ask(URI, (3, 4));
    assert_eq!(insert_texts(&client.result_of(id)), ["secrettwo"]);
    client.change(URI, 3, (3, 4), (3, 13), "secrettwo");
    // Places for the same change are looked for anew, and none of them is sure enough.
    next_call(&calls).fill(&["secrettwo"]);
    client.notify("textDocument/didClose", json!({ "textDocument": { "uri": URI } }));
    // One is changed by an action.
    rename(&mut client, &calls, "file:///secret.rs");
    let actions = client.result("textDocument/codeAction", code_action("file:///secret.rs", (1, 0)));
    let is_one = |action: &&Value| action["title"].as_str().is_some_and(|title| title.ends_with("change in line 4"));
    let action = actions.as_array().into_iter().flatten().find(is_one).expect("it is offered");
    client.result("codeAction/resolve", action.clone());
    client.change("file:///secret.rs", 3, (3, 4), (3, 13), "secrettwo");

    let (tally, bytes) = counted.end(client);
    let tally = tally.expect("counts");
    let places = &tally.next_places;
    assert_eq!(counts(&places.fates), [(Fate::Accepted, 2), (Fate::NotSeen, 4)]);
    assert_eq!(counts(&places.shown_by), [(Way::Line, 1), (Way::Action, 1), (Way::Command, 1)]);
    assert_eq!(counts(&places.accepted_by), [(Way::Line, 1), (Way::Action, 1)]);
    // None of it is a completion's.
    assert!(tally.fates.is_empty() && tally.pieces.is_empty() && tally.withheld.is_empty(), "{tally:?}");
    assert!(tally.latency.is_empty(), "{tally:?}");
    let kept = String::from_utf8(bytes).expect("a text");
    assert!(kept.contains("\"next_places\"") && !kept.contains("secret"), "{kept}");
}

#[test]
fn an_editor_may_say_what_becomes_of_next_places() {
    let capabilities = json!({ "experimental": { "lacuna": { "feedback": true } } });
    let (counted, mut client, calls) = Counted::connect(capabilities, at_once());
    let feedback = |client: &mut Client, kind: &str| {
        client.notify("lacuna/feedback", json!({ "uri": URI, "kind": kind }));
    };
    rename(&mut client, &calls, URI);
    for (line, kinds) in [(3, &["shown", "dismissed"][..]), (4, &[]), (5, &["shown", "accepted"])] {
        let id = client.ask(URI, (line, 4));
        assert_eq!(insert_texts(&client.result_of(id)), ["secrettwo"]);
        kinds.iter().for_each(|kind| feedback(&mut client, kind));
    }
    // From now on it is about a completion.
    let id = client.ask(URI, (1, 0));
    next_call(&calls).fill(&["mod word;"]);
    client.result_of(id);
    feedback(&mut client, "dismissed");

    let (tally, _) = counted.end(client);
    let tally = tally.expect("counts");
    let fates = [(Fate::Accepted, 1), (Fate::Dismissed, 1), (Fate::NotSeen, 1)];
    assert_eq!(counts(&tally.next_places.fates), fates);
    assert_eq!(counts(&tally.next_places.accepted_by), [(Way::Line, 1)]);
    assert_eq!(counts(&tally.fates), [(Fate::Dismissed, 1)]);
}
