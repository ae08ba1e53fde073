//! Fills of the embedded model, through the binary.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/binary.rs"]
mod binary;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use binary::lacuna;

const TEXT: &str = "fn add(a: u32, b: u32) -> u32 {\n    a + \n}\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.rs"), TEXT).unwrap();
    folder
}

fn succeed(arguments: &[&str]) -> Output {
    let folder = folder();
    let output = lacuna(folder.path(), arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(folder.path().join("a.rs")).unwrap(), TEXT, "the file was written");
    output
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_slice(&succeed(arguments).stdout).unwrap()
}

#[test]
fn other_files_are_filled_in_the_light_of() {
    let folder = folder();
    let text = "use crate::pages::Page;\n\nfn page() -> Page {\n    Page::sized(\n}\n";
    fs::write(folder.path().join("page.rs"), text).unwrap();
    let other = "fn first() -> Page {\n    Page::sized(WIDTH_MM, HEIGHT_MM)\n}\n";
    fs::write(folder.path().join("pages.rs"), other).unwrap();
    let fill = |arguments: &[&str]| {
        let arguments = [&["fill", "page.rs"], arguments].concat();
        let output = lacuna(folder.path(), &arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let filled = "WIDTH_MM, HEIGHT_MM)";
    assert!(!fill(&["--at", "4:17", "--raw"]).contains(filled));
    assert_eq!(fill(&["--at", "4:17", "--context", "a.rs", "pages.rs"]).trim_end(), filled);
    assert!(fill(&["--at", "4:17", "--context", "pages.rs", "--show-canvas"]).starts_with("beside it: "));
    // With markers, too.
    fs::write(folder.path().join("page.rs"), text.replace("sized(", "sized(____")).unwrap();
    let all = fill(&["--holes", "____", "--min-confidence", "0", "--context", "pages.rs"]);
    assert_eq!(all, text.replace("sized(", &format!("sized({filled}")));
    let missing = lacuna(folder.path(), &["fill", "page.rs", "--at", "1:1", "--context", "none.rs"]).output().unwrap();
    let stderr = String::from_utf8(missing.stderr).unwrap();
    assert_eq!((missing.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.starts_with("lacuna: none.rs: "), "{stderr}");
}

#[test]
fn the_object_says_what_replaces_what() {
    let object = json_of(&["fill", "a.rs", "--at", "2:9", "--json", "--candidates", "2"]);
    assert_eq!(object["start"], json!({"line": 2, "col": 9}));
    assert_eq!(object["end"], json!({"line": 2, "col": 9}));
    let candidates = object["candidates"].as_array().unwrap();
    assert!((1..=2).contains(&candidates.len()));
    assert_eq!(candidates[0]["text"], object["text"]);
    for candidate in candidates {
        let confidence = candidate["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&confidence), "{candidate}");
        assert!(candidate["steps"].as_u64().unwrap() > 0, "{candidate}");
        assert!(!candidate["text"].as_str().unwrap().contains('\n'), "{candidate}");
    }
    let timings = &object["timings_ms"];
    let stages = ["load", "prompt", "denoise"].map(|stage| timings[stage].as_f64().unwrap());
    assert!(stages.iter().all(|&ms| ms > 0.0), "{timings}");
    assert!(stages.iter().sum::<f64>() <= timings["total"].as_f64().unwrap(), "{timings}");
    assert_eq!(object["model"], "nano (embedded)");
}

#[test]
fn a_seed_decides() {
    let text = |seed: &str, threads: &str| {
        json_of(&["fill", "a.rs", "--at", "2:9", "--raw", "--json", "--seed", seed, "--threads", threads])["text"]
            .take()
    };
    assert_eq!(text("7", "1"), text("7", "2"));
}

#[test]
fn watching_without_a_terminal_is_plain() {
    let plain = succeed(&["fill", "a.rs", "--at", "2:9"]).stdout;
    let watched = succeed(&["fill", "a.rs", "--at", "2:9", "--watch"]).stdout;
    assert_eq!(watched, plain);
    let object = json_of(&["fill", "a.rs", "--at", "2:9", "--json"]);
    assert_eq!(String::from_utf8(plain).unwrap(), object["text"].as_str().unwrap());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder();
    let mut child = lacuna(folder.path(), &["doctor"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Long before anything is written.
    drop(child.stdout.take());
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!((child.wait().unwrap().code(), error.as_str()), (Some(0), ""));
}

#[test]
fn a_healthy_doctor_says_so() {
    let report = json_of(&["doctor", "--json"]);
    assert_eq!(report["problems"], json!([]));
    assert_eq!(report["model"]["source"], "embedded");
    assert!(report["trial"]["ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn every_sample_has_its_hole() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/samples");
    let readme = fs::read_to_string(samples.join("README.md")).unwrap();
    let commands: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("    lacuna ").filter(|line| line.starts_with("fill ")))
        .collect();
    assert!(commands.len() >= 4, "{readme}");
    for line in commands {
        // Where the hole is does not depend on whether the model's fill fits.
        let arguments: Vec<_> = line.split(' ').chain(["--json", "--raw"]).collect();
        let output = lacuna(&samples, &arguments).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = fs::read_to_string(samples.join(arguments[1])).unwrap();
        let number = |edge: &str, part: &str| usize::try_from(object[edge][part].as_u64().unwrap()).unwrap();
        let row = text.lines().nth(number("start", "line") - 1).unwrap();
        let (before, hole) = row.split_at(number("start", "col") - 1);
        let after = &row[number("end", "col") - 1..];
        let is_given = ["todo!()", "..."].iter().any(|given| hole == format!("{given}{after}"));
        assert!(
            is_given || before.is_empty() || before.ends_with(['{', '.', '(', ')', ':']),
            "{line}: {before}|{hole}"
        );
    }
}
