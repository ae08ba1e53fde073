//! `lacuna fill --holes` and `--show-canvas`, with the embedded model, through the binary.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/binary.rs"]
mod binary;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use binary::lacuna;

const RUST: &str = "fn add(a: u32, b: u32) -> u32 {\r\n    a + b // Größe 🦀\r\n}\r\n\r\nfn sub(a: u32, b: u32) -> u32 {\r\n    todo!()\r\n}\r\n\r\nfn mul(a: u32, b: u32) -> u32 { todo!() }\r\n";
const SEQUENCES: &str = ">sp|X1|XX an X\r\nMKVLAXXXXGHKL\r\n;XX\r\nXMKVLAGHKLMKV";

fn fill(name: &str, text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let output = lacuna(folder.path(), &["fill", name]).args(arguments).output().unwrap();
    assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text, "the file was written");
    output
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// What the JSON object says, held against the old text and the new one.
fn checked(name: &str, text: &str, marker: &[&str]) -> Value {
    let arguments = |format: &'static [&str]| [&["--holes"], marker, &["--min-confidence", "0"], format].concat();
    let output = fill(name, text, &arguments(&["--json"]));
    let object: Value = serde_json::from_str(stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let holes = object["holes"].as_array().unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let byte = |place: &Value| {
        let number = |part: &str| usize::try_from(place[part].as_u64().unwrap()).unwrap() - 1;
        let line = lines.get(number("line")).copied().unwrap_or_default();
        let before: usize = lines[..number("line")].iter().map(|line| line.len()).sum();
        before + line.chars().take(number("col")).map(char::len_utf8).sum::<usize>()
    };
    // The new file is the old one with the fills that are shown.
    let mut new = text.to_owned();
    for hole in holes.iter().rev() {
        assert_eq!(hole["shown"].as_bool().unwrap(), hole["rejected"].is_null(), "{hole}");
        assert!((0.0..=1.0).contains(&hole["confidence"].as_f64().unwrap()), "{hole}");
        if let Some(fill) = hole["text"].as_str() {
            assert_eq!(hole["shown"], true);
            new.replace_range(byte(&hole["start"])..byte(&hole["end"]), fill);
        }
    }
    assert_eq!(object["text"], new.as_str());
    let shown = holes.iter().filter(|hole| hole["shown"] == true).count();
    assert_eq!(object["filled"], shown);

    // What is left is said, a line each, and by the status.
    assert_eq!(stderr(&output).lines().count(), holes.len() - shown, "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(if shown == holes.len() { 0 } else { 3 }));

    // The other ways of printing say the same.
    assert_eq!(stdout(&fill(name, text, &arguments(&[]))), new);
    let diff = fill(name, text, &arguments(&["--diff"]));
    assert_eq!(applied(name, text, stdout(&diff)), new);
    assert_eq!(diff.status.code(), output.status.code());
    object
}

/// The text after a unified diff, read as its format says.
fn applied(name: &str, old: &str, diff: &str) -> String {
    if diff.is_empty() {
        return old.to_owned();
    }
    let mut rest = diff.strip_prefix(&format!("--- a/{name}\n+++ b/{name}\n")).unwrap();
    let mut old = old.split_inclusive('\n');
    let (mut new, mut taken) = (String::new(), 0);
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.find('\n').unwrap() + 1);
        let is_last = after.starts_with("\\ No newline at end of file\n");
        rest = after.strip_prefix("\\ No newline at end of file\n").unwrap_or(after);
        let content = if is_last { line[1..].strip_suffix('\n').unwrap() } else { &line[1..] };
        match &line[..1] {
            "@" => {
                let first: usize = line[4..].split([',', ' ']).next().unwrap().parse().unwrap();
                new.extend(old.by_ref().take(first - 1 - taken));
                taken = first - 1;
            }
            "+" => new.push_str(content),
            mark => {
                assert_eq!(old.next(), Some(content), "{line}");
                taken += 1;
                if mark == " " {
                    new.push_str(content);
                }
            }
        }
    }
    new.extend(old);
    new
}

#[test]
fn placeholders_are_filled_and_all_else_stays() {
    let object = checked("a.rs", RUST, &[]);
    let places: Vec<_> = object["holes"].as_array().unwrap().iter().map(|hole| hole["start"].clone()).collect();
    assert_eq!(places, [json!({"line": 6, "col": 5}), json!({"line": 9, "col": 32})]);
    let text = object["text"].as_str().unwrap();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
}

#[test]
fn placeholders_of_python_are_known() {
    let object = checked("a.py", "def f(x):\n    return x + 1\n\n\ndef g(x):\n    ...\n\n\ndef h(x):\n    pass\n", &[]);
    assert_eq!(object["holes"].as_array().unwrap().len(), 2);
}

#[test]
fn runs_in_sequences_are_filled_and_headers_are_not() {
    let object = checked("a.fasta", SEQUENCES, &["X"]);
    let holes = object["holes"].as_array().unwrap();
    let edges: Vec<_> = holes.iter().map(|hole| (hole["start"].clone(), hole["end"].clone())).collect();
    let place = |line: usize, column: usize| json!({"line": line, "col": column});
    assert_eq!(edges, [(place(2, 6), place(2, 10)), (place(4, 1), place(4, 2))]);
    for fill in holes.iter().filter_map(|hole| hole["text"].as_str()) {
        assert!(fill.chars().all(|c| matches!(c, 'A'..='Z' | 'a'..='z' | '-' | '*') && c != 'X'), "{fill}");
    }
}

#[test]
fn a_marker_in_plain_text_is_a_hole() {
    let text =
        "Grüße, ____!\nThe first line and the second line.\n<?> and the third line.\nThe first line and the ____";
    assert_eq!(checked("a.txt", text, &["____"])["holes"].as_array().unwrap().len(), 2);
    assert_eq!(checked("a.txt", text, &["<?>"])["holes"].as_array().unwrap().len(), 1);
}

#[test]
fn what_the_model_does_not_know_is_left_as_it_was() {
    let output = fill("a.fasta", SEQUENCES, &["--holes", "X"]);
    assert_eq!((stdout(&output), output.status.code()), (SEQUENCES, Some(3)));
    let notes: Vec<&str> = stderr(&output).lines().collect();
    // What the second hole would get is no sequence.
    assert!(notes.len() == 2 && notes[0].contains("stays: The confidence of "), "{notes:?}");

    let repeated = "The first line.\nThe second line.\n".repeat(6) + "The first @@\nThe second line.\n";
    let known = fill("a.txt", &repeated, &["--holes", "@@"]);
    assert_eq!((stdout(&known), known.status.code()), (repeated.replace("@@", "line.").as_str(), Some(0)));

    let wrong = fill("a.txt", "a @@", &["--holes", "@@", "--min-confidence", "2"]);
    assert_eq!(stderr(&wrong), "lacuna: --min-confidence is a share from 0 to 1\n");
}

#[test]
fn raw_fills_are_all_taken() {
    let output = fill("a.rs", RUST, &["--holes", "--raw", "--json"]);
    let object: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!((object["filled"].as_u64(), output.status.code()), (Some(2), Some(0)));
}

#[test]
fn more_holes_than_one_request_has_are_all_filled() {
    let count = 70;
    let text: String = (0..count).map(|index| format!("name {index}\ncity @@\n\n")).collect();
    let output = fill("a.txt", &text, &["--holes", "@@", "--raw", "--json"]);
    let object: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!((object["filled"].as_u64(), stderr(&output)), (Some(count), ""));
    assert!(!object["text"].as_str().unwrap().contains("city @@\n"));
}

#[test]
fn a_canvas_is_shown_as_the_model_gets_it() {
    let output = fill("a.rs", RUST, &["--at", "2:9", "--end", "2:10", "--show-canvas"]);
    let shown = stdout(&output);
    assert!(output.status.success() && shown.starts_with("prompt: "), "{shown}{}", stderr(&output));
    for part in [
        "⟦<bos>⟧⟦<rust>⟧⟦<suffix>⟧",
        "⟦<prefix>⟧",
        "  hole 1: ",
        "  pinned: ",
        "G|r|\\xc3|\\xb6|",
        "\n    \\n    |to|do|!|()",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    // Nothing in colour, and nothing filled.
    assert!(!shown.contains('\x1b'));

    // The holes of a whole file, and where there is no room for all of them, canvas after canvas.
    let output = fill("a.rs", RUST, &["--holes", "--show-canvas"]);
    assert!(stdout(&output).contains("  hole 2: "), "{}", stdout(&output));
    let far = RUST.repeat(4);
    let output = fill("a.rs", &far, &["--holes", "--show-canvas"]);
    assert!(stdout(&output).contains("canvas 2 of ") && stdout(&output).contains("  hole 8: "), "{}", stdout(&output));
}

#[test]
fn the_sample_has_its_place_filled() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/samples/inventory.py");
    let object = checked("inventory.py", &fs::read_to_string(sample).unwrap(), &[]);
    assert_eq!(object["holes"][0]["start"], json!({"line": 85, "col": 9}));
}

/// A checkpoint with random weights, a template for messages and a tokenizer of DiffusionGemma's kind.
fn chat_model() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden/chat-bf16").to_str().unwrap().to_owned()
}

#[test]
fn the_folder_says_how_a_model_is_asked() {
    let model = chat_model();
    let shown = |options: &[&str]| {
        let arguments = [&["--at", "6:5", "--end", "6:12", "--show-canvas", "--model", &model], options].concat();
        let output = fill("a.rs", RUST, &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).to_owned()
    };
    let message = shown(&[]);
    for part in ["\n    ⟦<bos>⟧⟦<|turn>⟧", "⟦<turn|>⟧", "⟦<|channel>⟧", "⟦<channel|>⟧", "  hole 1: "]
    {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(shown(&["--prompt", "chat"]), message);
    let raw = shown(&["--prompt", "raw"]);
    assert!(raw.starts_with("prompt: ") && raw.contains("⟦<bos>⟧") && !raw.contains("turn"), "{raw}");
    let canvas = |shown: &str| shown[shown.find("\ncanvas: ").unwrap()..].to_owned();
    assert_eq!(canvas(&raw), canvas(&message));

    let refused = fill("a.rs", RUST, &["--at", "2:9", "--prompt", "chat"]);
    assert_eq!((refused.status.code(), stderr(&refused).lines().count()), (Some(1), 1));
    assert!(stderr(&refused).contains("needs the token <|turn>"), "{}", stderr(&refused));
}

#[test]
fn a_model_that_never_learned_to_fill_holes_fills_them() {
    let model = chat_model();
    for prompt in ["auto", "raw"] {
        let options = ["--holes", "--raw", "--json", "--threads", "2", "--model", &model, "--prompt", prompt];
        let output = fill("a.rs", RUST, &options);
        let object: Value = serde_json::from_str(stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        assert_eq!((object["filled"].as_u64(), output.status.code()), (Some(2), Some(0)), "{object}");
        // Without a token that says where a text ends, several lengths are tried.
        assert!(object["length"]["lengths_tried"].as_u64().unwrap() > 1, "{object}");
        let text = object["text"].as_str().unwrap();
        let (before, _) = RUST.split_once("todo!()").unwrap();
        assert!(text.starts_with(before) && text.ends_with("}\r\n") && !text.contains("todo"), "{text}");
    }
}
