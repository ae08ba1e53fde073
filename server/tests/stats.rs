//! Counts from a real server to what `lacuna stats` prints, and the tour where nobody looks on.

#[path = "support/binary.rs"]
mod binary;
#[path = "support/client.rs"]
#[allow(dead_code, reason = "the client can do more than is needed here")]
mod client;
#[path = "support/process.rs"]
mod process;

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use binary::lacuna;
use process::Process;

fn run(state: &Path, arguments: &[&str]) -> Output {
    lacuna(state, arguments).output().expect("the binary runs")
}

fn stdout(state: &Path, arguments: &[&str]) -> String {
    let output = run(state, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

/// One session in which one request is answered, ended in order.
fn session(state: &Path) {
    let (mut process, mut client) = Process::start(state);
    client.initialize(json!({}));
    client.message("lacuna/status");
    let text = "fn one() -> i32 {\n    compute(1, 2)\n}\n\nfn two() -> i32 {\n    comp\n}\n";
    client.open("file:///a.rs", "rust", text);
    client.result("textDocument/inlineCompletion", client::inline_completion("file:///a.rs", (5, 8), 1));
    client.result("shutdown", Value::Null);
    client.notify("exit", Value::Null);
    assert_eq!(process.code(), Some(0));
    client.finish();
}

#[test]
fn sessions_come_together_in_one_file() {
    let state = TempDir::new().expect("a folder");
    assert!(stdout(state.path(), &["stats"]).starts_with("Nothing has been counted yet."));
    for sessions in 1..=2 {
        session(state.path());
        let counts: Value = serde_json::from_str(&stdout(state.path(), &["stats", "--json"])).expect("JSON");
        assert_eq!(counts["total"]["latency"]["fresh"]["total"]["n"], sessions, "{counts}");
        assert_eq!(counts["models"].as_object().map(serde_json::Map::len), Some(1), "{counts}");
    }
    let text = stdout(state.path(), &["stats", "--days", "1"]);
    assert!(text.contains("computed") && !text.contains('\u{1b}'), "{text}");
    assert!(stdout(state.path(), &["stats", "--reset"]).starts_with("The counts are forgotten"));
    assert!(stdout(state.path(), &["stats"]).starts_with("Nothing has been counted yet."));
    assert!(stdout(state.path(), &["stats", "--reset"]).starts_with("There is nothing to forget"));
}

#[test]
fn a_broken_file_is_said_and_does_not_stop_a_server() {
    let state = TempDir::new().expect("a folder");
    let folder = state.path().join("lacuna");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("counts-2.json"), "what is this?").expect("a file");
    let output = run(state.path(), &["stats"]);
    let error = String::from_utf8(output.stderr).expect("a text");
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("not Lacuna's counts") && error.contains("--reset"), "{error}");
    session(state.path());
    assert!(stdout(state.path(), &["stats"]).contains("computed"));
    assert_eq!(std::fs::read_to_string(folder.join("counts-2.broken")).expect("a text"), "what is this?");
}

#[test]
fn the_tour_waits_for_nobody_where_nobody_looks_on() {
    let state = TempDir::new().expect("a folder");
    let text = stdout(state.path(), &["tour"]);
    for part in ["exactly right", "Where it had to think", "What to expect", "In your editor"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains("[Enter]"), "{text}");
}
