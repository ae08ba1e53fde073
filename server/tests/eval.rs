//! `lacuna eval`, through the binary.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/binary.rs"]
mod binary;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Output;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use binary::lacuna;

fn eval(folder: &Path, arguments: &[&str]) -> Output {
    lacuna(folder, &["eval"]).args(arguments).output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Three tasks: one whose answer stands elsewhere in it, one whose answer would be another, and one without any.
fn tasks() -> String {
    let task = |id: &str, before: &str, solution: &str, kind: &str| {
        let after = "\n    return total\n";
        json!({ "task_id": id, "prompt": before, "suffix": after, "canonical_solution": solution, "kind": kind })
    };
    let repeated = "def one(items):\n    total = sum(items)\n    return total\n\n\ndef two(items):\n    total = ";
    [
        task("repeated", repeated, "sum(items)", "rest_of_line"),
        task("changed", repeated, "len(items)", "rest_of_line"),
        task("new", "", "pass", "full_line"),
    ]
    .map(|task| format!("{task}\n"))
    .concat()
}

#[test]
fn what_is_right_and_what_is_shown_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tasks.jsonl"), tasks()).unwrap();
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(tasks().as_bytes()).unwrap();
    fs::write(folder.path().join("tasks.jsonl.gz"), compressed.finish().unwrap()).unwrap();

    let output = eval(folder.path(), &["tasks.jsonl", "--baseline", "copy", "--json", "--out", "out.jsonl"]);
    let all = report(&output);
    assert_eq!(all["n"], 3);
    assert!((all["exact_match"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9, "{all}");
    // Nothing is nothing to show.
    assert!((all["coverage"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9, "{all}");
    assert_eq!(all["precision_shown"], 0.5);
    assert_eq!(all["groups"].as_array().unwrap().len(), 2);
    let outcomes: Vec<Value> = fs::read_to_string(folder.path().join("out.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(outcomes[0]["completion"], "sum(items)");
    assert_eq!(outcomes[2]["shown"], false);

    let output = eval(folder.path(), &["tasks.jsonl.gz", "--limit", "1", "--json", "--min-confidence", "1"]);
    let limited = report(&output);
    assert_eq!((&limited["n"], &limited["coverage"]), (&json!(2), &json!(0.0)));
    assert_eq!(limited["model"], "nano (embedded)");
    assert_eq!(limited["precision_shown"], Value::Null);

    let reading = report(&eval(folder.path(), &["tasks.jsonl", "--baseline", "ar", "--json"]));
    assert_eq!((&reading["model"], &reading["n"]), (&json!("nano (embedded), autoregressive"), &json!(3)));

    let table = eval(folder.path(), &["tasks.jsonl"]);
    assert_eq!(String::from_utf8(table.stdout).unwrap().lines().count(), 5);
}

/// Two tasks whose answer stands in another file, which the second one names only.
fn tasks_beside_a_file() -> [Value; 2] {
    let task = |context: Value| {
        json!({
            "task_id": "a", "prompt": "from shapes import Page\n\n\ndef page():\n    return Page(",
            "suffix": "\n", "canonical_solution": "WIDTH_MM, HEIGHT_MM)", "kind": "rest_of_line", "context": context,
        })
    };
    let text = "def first_page():\n    return Page(WIDTH_MM, HEIGHT_MM)\n";
    [task(json!([{ "name": "shapes.py", "text": text }])), task(json!([{ "name": "shapes.py" }]))]
}

#[test]
fn other_files_help_where_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = tasks_beside_a_file();
    fs::write(folder.path().join("tasks.jsonl"), format!("{first}\n{second}\n")).unwrap();
    for baseline in [&["--baseline", "copy"][..], &[]] {
        let arguments = [&["tasks.jsonl", "--json"], baseline].concat();
        assert_eq!(report(&eval(folder.path(), &arguments))["exact_match"], 1.0);
        let arguments = [&arguments[..], &["--no-context"]].concat();
        assert_eq!(report(&eval(folder.path(), &arguments))["exact_match"], 0.0);
    }
}

#[test]
fn the_time_of_a_fill_is_told_by_stage() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tasks.jsonl"), tasks()).unwrap();
    let output = eval(folder.path(), &["tasks.jsonl", "--stages", "--json", "--out", "out.jsonl"]);
    let spent = report(&output)["spent"].clone();
    for stage in
        ["tokenising_ms", "prompt_encoding_ms", "attention_ms", "feed-forward_ms", "last_layer_ms", "canvas_rows"]
    {
        assert!(spent[stage].as_f64().unwrap() > 0.0, "{stage}: {spent}");
    }
    let outcomes = fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    let steps = outcomes.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["spent"]["steps"].as_f64());
    assert!((steps.map(Option::unwrap).sum::<f64>() / 3.0 - spent["steps"].as_f64().unwrap()).abs() < 1e-9);
    // Nobody asked.
    assert_eq!(report(&eval(folder.path(), &["tasks.jsonl", "--json"])).get("spent"), None);
    let table = eval(folder.path(), &["tasks.jsonl", "--stages"]);
    assert!(String::from_utf8(table.stdout).unwrap().contains("\nhead and samples "));
}

#[test]
fn several_jobs_come_to_the_same_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tasks.jsonl"), tasks().repeat(3)).unwrap();
    let fills = |jobs: &str| {
        let all = report(&eval(folder.path(), &["tasks.jsonl", "--json", "--out", "out.jsonl", "--jobs", jobs]));
        let lines = fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
        let outcomes: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let texts =
            outcomes.iter().map(|outcome| (outcome["task_id"].clone(), outcome["completion"].clone())).collect();
        (all, outcomes[0].get("ms").is_some(), texts)
    };
    let (one, is_timed, expected): (_, _, Vec<(Value, Value)>) = fills("1");
    let (three, is_timed_beside_others, actual) = fills("3");
    assert_eq!((expected.len(), is_timed, is_timed_beside_others), (9, true, false));
    assert_eq!(actual, expected);
    assert_eq!((&one["exact_match"], three.get("p50_ms")), (&three["exact_match"], None));
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.jsonl"), "\n").unwrap();
    fs::write(folder.path().join("wrong.jsonl"), "{\"task_id\": \"a\"}\n").unwrap();
    fs::write(folder.path().join("plain.jsonl.gz"), tasks()).unwrap();
    fs::write(folder.path().join("unknown.jsonl"), format!("{}\n", tasks_beside_a_file()[1])).unwrap();
    for (arguments, said) in [
        (&["none.jsonl"][..], "none.jsonl: No such file"),
        (&["."], ".: a folder, not a file"),
        (&["empty.jsonl"], "empty.jsonl: no tasks"),
        (&["wrong.jsonl"], "wrong.jsonl: line 1: missing field `prompt`"),
        (&["unknown.jsonl"], "unknown.jsonl: line 1: there is no text of shapes.py here or above"),
        (&["plain.jsonl.gz"], "plain.jsonl.gz: line 1: invalid gzip header"),
        (&["empty.jsonl", "--min-confidence", "2"], "--min-confidence is a share from 0 to 1"),
    ] {
        let output = eval(folder.path(), arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len(), stderr.lines().count()), (Some(1), 0, 1), "{stderr}");
        assert!(stderr.starts_with(&format!("lacuna: {said}")), "{stderr}");
    }
}
