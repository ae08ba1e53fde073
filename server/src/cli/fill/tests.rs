use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use lacuna_engine::{Description, Infill, Step};
use serde_json::Value;

use super::*;
use crate::cli::fake::Fake;
use crate::holes::{Asked, OpenHole, fill_holes};
use crate::postprocess::Processed;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: FillArguments,
}

fn arguments(options: &[&str]) -> FillArguments {
    Line::parse_from(["fill", "file.rs"].iter().chain(options)).arguments
}

/// What is printed for a text that is filled like this.
fn printed(options: &[&str], text: &str, fills: &[&'static str], is_terminal: bool) -> String {
    answered(options, text, fills, is_terminal).unwrap()
}

fn answered(options: &[&str], text: &str, fills: &[&'static str], is_terminal: bool) -> anyhow::Result<String> {
    let arguments = arguments(options);
    let hole = arguments.hole(text, Language::Rust).unwrap();
    let request = InfillRequest::new(text, Language::Rust, vec![hole]);
    let infiller = Fake::with_fills(fills);
    let answer =
        Answer { arguments: &arguments, request: &request, infiller: &infiller, start: Instant::now(), load_ms: 1.5 };
    let mut out = Vec::new();
    assert_eq!(answer.print(&mut out, is_terminal)?, ExitCode::SUCCESS);
    Ok(String::from_utf8(out)?)
}

#[test]
fn a_fill_alone() {
    assert_eq!(printed(&["--at", "1:9"], "let a = ;\n", &["b"], false), "b");
    assert_eq!(printed(&["--at", "1:9"], "let a = ;\n", &["b"], true), "b\n");
}

#[test]
fn a_terminal_is_not_told_what_to_do() {
    assert_eq!(printed(&["--at", "1:9", "--raw"], "let a = ;\n", &["\x1b[2J"], true), "␛[2J\n");
    assert_eq!(printed(&["--at", "1:9", "--raw"], "let a = ;\n", &["\x1b[2J"], false), "\x1b[2J");
}

#[test]
fn several_fills_have_titles() {
    let out = printed(&["--at", "1:9", "--candidates", "3"], "let a = ;\n", &["b", "c"], false);
    assert_eq!(out, "--- candidate 1 of 2, confidence 0.75\nb\n--- candidate 2 of 2, confidence 0.75\nc\n");
}

#[test]
fn a_fill_is_made_to_fit_and_said_once() {
    let text = "let a = max(b, );\n";
    assert_eq!(printed(&["--at", "1:16"], text, &["c);", "c"], false), "c");
    assert_eq!(printed(&["--at", "1:16", "--raw"], text, &["c);"], false), "c);");
}

#[test]
fn what_does_not_fit_is_left_out_with_its_reason() {
    let text = "let a = max(b, );\n";
    let out = printed(&["--at", "1:16", "--json"], text, &["  ", "c);"], false);
    let object: Value = serde_json::from_str(&out).unwrap();
    let reason = "The fill has nothing but blanks.";
    assert_eq!(object["rejected"], serde_json::json!([{"filter": "blank", "reason": reason}]));
    assert_eq!(object["text"], "c");
    assert_eq!(object["candidates"][0]["changes"][0]["filter"], "overlap");
    let error = answered(&["--at", "1:16"], text, &["  "], false).unwrap_err();
    assert_eq!(format!("{error:#}"), format!("no fill fits the text around the hole: {reason}"));
}

#[test]
fn json_is_one_object_with_its_keys_in_order() {
    let out = printed(&["--at", "2:3", "--end", "2:5", "--json"], "é\nlet a\n", &["x", "y"], false);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(object["text"], "x");
    assert_eq!(object["start"], serde_json::json!({"line": 2, "col": 3}));
    assert_eq!(object["end"], serde_json::json!({"line": 2, "col": 5}));
    assert_eq!(
        object["candidates"][1],
        serde_json::json!({"text": "y", "confidence": 0.75, "tokens": 3, "steps": 5, "changes": []})
    );
    assert_eq!(object["timings_ms"]["load"], 1.5);
    assert!(out.ends_with("}\n") && out.lines().count() == 1);
    let places: Vec<_> =
        ["\"text\"", "\"start\"", "\"end\"", "\"candidates\"", "\"model\"", "\"device\"", "\"timings_ms\""]
            .map(|key| out.find(key).unwrap())
            .into();
    assert!(places.is_sorted(), "{out}");
}

#[test]
fn the_hole_is_found_or_given() {
    let hole = |options: &[&str], text| arguments(options).hole(text, Language::Rust);
    let found = |options: &[&str], text| hole(options, text).map(|hole| (hole.byte_range, hole.extent)).unwrap();
    assert_eq!(found(&["--at", "1:8"], "fn f() {  \n}"), (7..7, Extent::Line));
    assert_eq!(found(&["--at", "1:9"], "fn f() {  \n}"), (8..10, Extent::Block));
    assert_eq!(found(&["--at", "1:9", "--extent", "line"], "fn f() {  \n}"), (8..10, Extent::Line));
    assert_eq!(found(&["--at", "1:1", "--end", "2:2"], "a\nb"), (0..3, Extent::Block));
    let error = hole(&["--at", "2:1", "--end", "1:1"], "a\nb").unwrap_err();
    assert_eq!(format!("{error:#}"), "--end 1:1 stands before --at 2:1");
    let error = hole(&["--at", "1:1", "--end", "5:1"], "a\nb").unwrap_err();
    assert_eq!(format!("{error:#}"), "--end: 5:1 is past the end: there are 2 lines");
}

#[test]
fn a_cancelled_fill_prints_nothing() {
    let arguments = arguments(&["--at", "1:1"]);
    let hole = arguments.hole("", Language::Rust).unwrap();
    let request = InfillRequest::new("", Language::Rust, vec![hole]);
    let infiller = Fake::with_fills(&[]);
    let answer =
        Answer { arguments: &arguments, request: &request, infiller: &infiller, start: Instant::now(), load_ms: 0.0 };
    let mut out = Vec::new();
    assert_eq!(answer.print(&mut out, false).unwrap(), ExitCode::from(130));
    assert!(out.is_empty());
}

/// The new text, the notes and the status for holes that are all filled like this.
fn marked(options: &[&str], text: &str, fills: &[&'static str]) -> (String, String, ExitCode) {
    let arguments = arguments(&[&["--holes"], options].concat());
    let Wanted::Marked(marked) = arguments.wanted(text, Language::Rust).unwrap() else { panic!("holes are marked") };
    let infiller = Fake::with_fills(fills);
    let start = Instant::now();
    let (arguments, language) = (&arguments, Language::Rust);
    let many =
        Many { arguments, text, language, excerpts: &[], marked: &marked, infiller: &infiller, start, load_ms: 0.0 };
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let status = many.print(&mut out, false, &mut notes).unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap(), status)
}

#[test]
fn every_marked_hole_is_made_to_fit() {
    let text = "fn f() -> u8 {\n    todo!()\n}\nfn g() -> u8 { todo!() }\nfn h() -> u8 {\n    // TODO: more\n}\n";
    let new = "fn f() -> u8 {\n    7\n}\nfn g() -> u8 {7}\nfn h() -> u8 {\n    // TODO: more\n    7\n}\n";
    assert_eq!(marked(&[], text, &["7"]), (new.to_owned(), String::new(), ExitCode::SUCCESS));
}

#[test]
fn a_hole_without_a_fill_that_fits_keeps_its_marker() {
    let text = "fn f() -> u8 {\n    todo!()\n}\n// TODO: more\n";
    let (new, notes, status) = marked(&[], text, &["  "]);
    assert_eq!((new.as_str(), status), (text, ExitCode::from(3)));
    let expected = "lacuna: file.rs:2:5: `todo!()` stays: The fill has nothing but blanks.\n\
                    lacuna: file.rs:4:14: the hole stays: The fill has nothing but blanks.\n";
    assert_eq!(notes, expected);
    let (new, notes, _) = marked(&[], text, &["todo!()"]);
    assert!(new.starts_with("fn f() -> u8 {\n    todo!()\n"), "{new}");
    assert!(notes.contains("`todo!()` stays: The fill is the marker once more."), "{notes}");
    // Another candidate may fit.
    assert!(marked(&[], text, &["  ", "7"]).0.contains("    7\n"));
}

/// An engine that is interrupted after so many requests.
struct Interrupted {
    fake: Fake,
    left: AtomicUsize,
}

impl Infiller for Interrupted {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.checked_sub(1).ok_or(Error::Cancelled)?, Ordering::Relaxed);
        self.fake.infill(request, cancel, on_step)
    }

    fn describe(&self) -> &Description {
        self.fake.describe()
    }
}

#[test]
fn what_is_filled_before_an_interruption_stays_and_the_rest_is_as_it_was() {
    let text = "a ? b ?\nc ? d\n";
    let at = |start: usize| OpenHole { byte_range: start..start + 1, lead: String::new(), extent: Extent::Line };
    let open = [at(2), at(6), at(10)];
    let holes = Holes { text, language: Language::Text, name: None, excerpts: &[], holes: &open };
    let fit = |candidate: Candidate, _: &OpenHole, _: &InfillRequest| {
        let text = candidate.fills[0].clone();
        Ok((candidate, Processed { text, ..Processed::default() }))
    };
    let filled = |together: usize, requests: usize| {
        let engine = Interrupted { fake: Fake::with_fills(&["x"]), left: AtomicUsize::new(requests) };
        let asked = Asked { together, seed: 0, candidates: 1, fit: &fit };
        let filled = fill_holes(&engine, &holes, &asked, &Cancel::new(), &mut |_, _| ()).unwrap();
        let shown: Vec<bool> = filled.outcomes.iter().map(|outcome| outcome.fill.is_some()).collect();
        (filled.text, filled.cancelled, shown)
    };
    assert_eq!(filled(1, 0), (text.to_owned(), true, vec![false; 3]));
    assert_eq!(filled(1, 1), ("a x b ?\nc ? d\n".to_owned(), true, vec![true, false, false]));
    assert_eq!(filled(2, 1), ("a x b x\nc ? d\n".to_owned(), true, vec![true, true, false]));
    assert_eq!(filled(2, 2), ("a x b x\nc x d\n".to_owned(), false, vec![true; 3]));
}
