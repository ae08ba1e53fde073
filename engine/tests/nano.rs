//! The embedded model: the reference implementation's logits, and fills of real text.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

#[path = "support/recorded.rs"]
mod recorded;

use std::collections::HashMap;

use lacuna_engine::{
    Cancel, Device, Elastic, Error, Excerpt, Extent, Hole, Infill, InfillRequest, Infiller, Language, LengthUse,
    LocalInfiller, LocalOptions, ModelSource,
};
use recorded::{fixtures, floats, relative_distance, run};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// Relative L2 distance of logits.
const LOGITS_TOLERANCE: f64 = 1e-4;

const RUST: &str = "use std::collections::HashMap;\n\n/// Counts words.\nfn count(text: &str) -> HashMap<&str, usize> {\n    let mut counts = HashMap::new();\n    for word in text.split_whitespace() {\n        $0\n    }\n    counts\n}\n";

fn open(threads: Option<usize>) -> LocalInfiller {
    LocalInfiller::open(&LocalOptions {
        model: ModelSource::Embedded,
        device: Device::Cpu,
        threads,
        ..LocalOptions::default()
    })
    .unwrap()
}

/// A request whose hole is where `$0` stands.
fn request(text: &str, language: Language, extent: Extent) -> InfillRequest {
    let caret = text.find("$0").unwrap();
    let hole = Hole::new(caret..caret, extent);
    InfillRequest { seed: 7, ..InfillRequest::new(text.replace("$0", ""), language, vec![hole]) }
}

fn fill(engine: &LocalInfiller, request: &InfillRequest) -> Infill {
    engine.infill(request, &Cancel::new(), &mut |_| {}).unwrap()
}

#[test]
fn logits_are_those_of_the_reference() {
    let recorded = std::fs::read(fixtures().join("nano/reference.safetensors")).unwrap();
    let recorded = SafeTensors::deserialize(&recorded).unwrap();
    for (expected, inputs) in [
        ("logits_plain", &["prompt_ids", "canvas_ids"][..]),
        ("logits_conditioned", &["prompt_ids", "canvas_ids", "self_conditioning_logits"]),
    ] {
        let views: HashMap<&str, TensorView<'_>> =
            inputs.iter().map(|name| (*name, recorded.tensor(name).unwrap())).collect();
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.safetensors");
        std::fs::write(&input, safetensors::serialize(views, None).unwrap()).unwrap();
        let got = run(&fixtures().join("nano"), &input, false, 2);
        let got = floats(&SafeTensors::deserialize(&got).unwrap(), "logits");
        let distance = relative_distance(&got, &floats(&recorded, expected));
        assert!(distance < LOGITS_TOLERANCE, "{expected}: {distance:.2e}");
    }
}

#[test]
fn the_same_request_has_the_same_answer_on_any_number_of_threads() {
    let request = InfillRequest { candidates: 3, ..request(RUST, Language::Rust, Extent::Line) };
    let one = fill(&open(Some(1)), &request);
    let three = fill(&open(Some(3)), &request);
    assert_eq!(one.candidates, three.candidates);
}

#[test]
fn a_hole_has_room_for_what_the_document_repeats_there() {
    let line = "call(alpha, beta, gamma, delta, epsilon, zeta, eta, theta, iota, kappa, lambda, mu, nu, xi)";
    let text =
        format!("def a():\n    {line}\n    return 1\n\n\ndef b():\n    {line}\n    return 2\n\n\ndef c():\n    ");
    let hole = Hole::new(text.len()..text.len(), Extent::Line);
    let text = format!("{text}\n    return 3\n");
    let request = InfillRequest::new(text, Language::Python, vec![hole]);
    let infill = fill(&open(None), &request);
    assert_eq!(infill.candidates[0].fills, [line]);
    assert!(infill.length.rows_at_start > 24 && infill.length.rows_at_end <= infill.length.rows_at_start);
}

fn excerpt(text: impl Into<String>) -> Excerpt {
    Excerpt { name: "other.rs".to_owned(), text: text.into() }
}

#[test]
fn what_only_another_file_says_is_filled_in_with_the_documents_line_ends() {
    let engine = open(None);
    let known = "        *counts.entry(word).or_default() += weight_of(word);\n        total += 1;\n";
    let other = format!("    for word in text.split_whitespace() {{\n{known}    }}\n    counts\n}}\n");
    let alone = request(RUST, Language::Rust, Extent::Block);
    let beside = InfillRequest { excerpts: vec![excerpt(other)], ..alone.clone() };
    let expected = known.trim();
    assert!(!fill(&engine, &alone).candidates[0].fills[0].contains("weight_of"));
    let infill = fill(&engine, &beside);
    assert_eq!(infill.candidates[0].fills[0].trim(), expected);
    // Layout 1 shows nothing of it, so that nothing is encoded anew.
    assert_eq!(
        (infill.prompt.tokens, infill.prompt.reused),
        (fill(&engine, &alone).prompt.tokens, infill.prompt.tokens)
    );
    let windows = InfillRequest {
        excerpts: beside.excerpts,
        ..request(&RUST.replace('\n', "\r\n"), Language::Rust, Extent::Block)
    };
    assert_eq!(fill(&engine, &windows).candidates[0].fills[0].trim(), expected.replace('\n', "\r\n"));
}

#[test]
fn hostile_excerpts_are_texts_like_any() {
    let engine = open(None);
    let hostile = ["", "\0\0", "`````\n```\n", "\r\r\n\n\r", "<bos><|turn>user\n", "\u{202e}\u{feff}é\u{301}🦀"];
    let mut texts: Vec<String> = hostile.map(str::to_owned).to_vec();
    texts.extend(hostile.map(|text| text.repeat(2_000)));
    texts.push("        ".repeat(1 << 18));
    for extent in [Extent::Line, Extent::Block] {
        let alone = request(RUST, Language::Rust, extent);
        for text in &texts {
            let request = InfillRequest { excerpts: vec![excerpt(text), excerpt(text)], ..alone.clone() };
            let candidate = &fill(&engine, &request).candidates[0];
            assert_eq!(candidate.fills.len(), 1);
            assert!(extent == Extent::Block || !candidate.fills[0].contains(['\n', '\r']), "{candidate:?}");
            assert!((0.0..=1.0).contains(&candidate.confidence), "{candidate:?}");
        }
    }
}

#[test]
fn each_way_to_find_the_length_works_alone_and_with_the_others() {
    let request = request(RUST, Language::Rust, Extent::Line);
    for bits in 0..8 {
        let elastic = Elastic { delete: bits & 1 != 0, lengths: bits & 2 != 0, growth: bits & 4 != 0 };
        let options = LocalOptions { device: Device::Cpu, elastic: Some(elastic), ..LocalOptions::default() };
        let infill = fill(&LocalInfiller::open(&options).unwrap(), &request);
        assert_eq!((infill.length.elastic, infill.candidates.len()), (elastic, 1));
        assert_eq!(infill.length.lengths_tried > 1, elastic.lengths);
        let LengthUse { rows_at_start, rows_at_end, .. } = infill.length;
        assert!(rows_at_end <= rows_at_start || elastic.growth, "{:?}", infill.length);
        assert!(rows_at_end == rows_at_start || elastic != Elastic::default());
        assert!(!infill.candidates[0].fills[0].contains('\n'));
    }
}

#[test]
fn what_was_asked_before_changes_no_answer() {
    let engine = open(None);
    let text = RUST.repeat(6).replace("$0", "");
    let at = |caret: usize| {
        let hole = Hole::new(caret..caret, Extent::Line);
        InfillRequest { seed: 1, ..InfillRequest::new(text.clone(), Language::Rust, vec![hole]) }
    };
    let carets: Vec<usize> = text.match_indices('{').map(|(caret, _)| caret + 1).collect();
    let mut reused = 0;
    // There and back: prompts are extended on the way there, and cut on the way back.
    for caret in carets.iter().chain(carets.iter().rev()) {
        let warm = fill(&engine, &at(*caret));
        let cold = fill(&open(None), &at(*caret));
        assert_eq!(warm.candidates, cold.candidates, "at byte {caret}");
        assert_eq!(cold.prompt.reused, 0);
        reused += warm.prompt.reused;
    }
    assert!(reused > 0, "nothing was ever reused, so this test tests nothing");
}

#[test]
fn a_typed_character_leaves_most_of_the_prompt_as_it_was() {
    let engine = open(None);
    let before = RUST.repeat(8).replace("$0", "*counts.entry(word).or_insert(0) += 1;");
    let typed = "\nfn main() {\n    let text = std::env::args().nth(1);\n    println!(";
    let mut encoded = Vec::new();
    for length in 0..=typed.len() {
        let text = format!("{before}{}$0\n}}\n", &typed[..length]);
        let prompt = fill(&engine, &request(&text, Language::Rust, Extent::Line)).prompt;
        encoded.push(prompt.tokens - prompt.reused);
    }
    let first = encoded[0];
    let later: usize = encoded[1..].iter().sum();
    assert!(first > 300, "the prompt is too short to show anything: {first} tokens");
    // Over the whole line of typing, what the typed text itself needs, and a margin for chunks that wait for it.
    assert!(later <= typed.len(), "{later} tokens encoded again over {} keystrokes: {encoded:?}", typed.len());
    assert!(encoded[1..].iter().filter(|count| **count == 0).count() * 10 > typed.len() * 9, "{encoded:?}");
}

#[test]
fn a_line_fill_has_no_line_end_and_a_fill_has_the_documents_own() {
    let engine = open(None);
    for seed in 0..4 {
        let line = InfillRequest { seed, ..request(RUST, Language::Rust, Extent::Line) };
        assert!(!fill(&engine, &line).candidates[0].fills[0].contains(['\n', '\r']));
        let block = InfillRequest { seed, ..request(&RUST.replace('\n', "\r\n"), Language::Rust, Extent::Block) };
        let text = fill(&engine, &block).candidates.remove(0).fills.remove(0);
        assert!(!text.replace("\r\n", "").contains(['\n', '\r']), "{text:?}");
    }
}

#[test]
fn steps_are_reported_and_candidates_differ() {
    let request = InfillRequest { candidates: 4, ..request(RUST, Language::Rust, Extent::Block) };
    let mut steps = [0; 4];
    let infill = open(None)
        .infill(&request, &Cancel::new(), &mut |step| {
            steps[step.candidate] += 1;
            assert_eq!(steps[step.candidate], step.index);
            assert!(step.index <= step.limit && step.holes.len() == 1);
            assert!(step.holes[0].iter().any(|piece| piece.settled));
        })
        .unwrap();
    assert!(steps.iter().all(|count| *count > 0));
    for (index, candidate) in infill.candidates.iter().enumerate() {
        assert!((0.0..=1.0).contains(&candidate.confidence));
        assert!(infill.candidates[..index].iter().all(|other| other.fills != candidate.fills));
    }
    assert!(infill.candidates.is_sorted_by(|a, b| a.confidence >= b.confidence));
}

#[test]
fn cancelling_ends_the_request_within_a_step() {
    let engine = open(None);
    let cancel = Cancel::new();
    let mut steps = 0;
    let request = request(RUST, Language::Rust, Extent::Line);
    let result = engine.infill(&request, &cancel, &mut |_| {
        steps += 1;
        cancel.cancel();
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(steps, 1);
    assert!(matches!(engine.infill(&request, &cancel, &mut |_| steps += 1), Err(Error::Cancelled)));
    assert_eq!(steps, 1);
    // And the engine is as good as new.
    assert_eq!(fill(&engine, &request).candidates, fill(&open(None), &request).candidates);
}

#[test]
fn several_holes_share_a_canvas() {
    let text = "def area(width, height):\n    return \n\n\ndef volume(width, height, depth):\n    return \n";
    let holes: Vec<Hole> = text
        .match_indices("return ")
        .map(|(start, found)| start + found.len())
        .map(|caret| Hole { max_tokens: Some(12), ..Hole::new(caret..caret, Extent::Line) })
        .collect();
    let request = InfillRequest { seed: 3, ..InfillRequest::new(text, Language::Python, holes) };
    assert_eq!(fill(&open(None), &request).candidates[0].fills.len(), 2);
}

#[test]
fn holes_far_apart_have_canvases_of_their_own() {
    let text = format!("fn first() {{\n    \n}}\n\n{}fn last() {{\n    \n}}\n", "// Between them.\n".repeat(400));
    let at = |caret: usize| Hole { max_tokens: Some(8), ..Hole::new(caret..caret, Extent::Line) };
    let holes = vec![at(17), at(text.len() - 3)];
    let request = InfillRequest { seed: 2, candidates: 3, ..InfillRequest::new(text, Language::Rust, holes) };
    let infill = fill(&open(None), &request);
    assert!(infill.candidates.iter().all(|candidate| candidate.fills.len() == 2));
    assert!(infill.candidates.is_sorted_by(|a, b| a.confidence >= b.confidence));
    for (index, candidate) in infill.candidates.iter().enumerate() {
        assert!(infill.candidates[..index].iter().all(|other| other.fills != candidate.fills));
    }
    // The first canvas is what it would be alone, and the second what it would be with the first hole filled.
    let first = fill(&open(None), &InfillRequest { holes: request.holes[..1].to_vec(), ..request.clone() });
    assert_eq!(first.candidates[0].fills[0], infill.candidates[0].fills[0]);
    let mut text = request.text.clone();
    text.insert_str(17, &first.candidates[0].fills[0]);
    let second = InfillRequest { holes: vec![at(text.len() - 3)], text, ..request };
    assert_eq!(fill(&open(None), &second).candidates[0].fills[0], infill.candidates[0].fills[1]);
}

#[test]
fn holes_that_make_no_sense_are_refused() {
    let engine = open(None);
    let hole = |start: usize, end: usize| Hole::new(start..end, Extent::Line);
    let choosing = |start: usize, choices: &[&str], group: Option<u32>| {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        Hole { choices, group, ..hole(start, start) }
    };
    let text = "let s = \"é\";\n".repeat(400);
    for (holes, word) in [
        (vec![], "no hole"),
        (vec![hole(0, text.len() + 1)], "does not lie"),
        (vec![hole(10, 10)], "does not lie"),
        (vec![hole(4, 2)], "does not lie"),
        (vec![hole(5, 8), hole(6, 9)], "overlaps"),
        (vec![choosing(0, &["a", "b"], None), choosing(10, &["a"], None)], "does not lie"),
        (vec![choosing(0, &["a", "b", "a"], None)], "same choice twice, the second time at index 2"),
        (vec![choosing(0, &["", ""], None)], "same choice twice"),
        (vec![choosing(0, &[], Some(4))], "is in group 4, but has no choices"),
        (vec![choosing(0, &["a", "b"], Some(1)), choosing(1, &["a"], Some(1))], "has 1 choices, and"),
    ] {
        let request = InfillRequest::new(text.clone(), Language::Rust, holes);
        let error = engine.infill(&request, &Cancel::new(), &mut |_| {}).unwrap_err();
        assert!(matches!(&error, Error::Request(reason) if reason.contains(word)), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn unusual_documents_are_filled_too() {
    let engine = open(None);
    let long_line = format!("x = [{}$0]\n", "1, ".repeat(20_000));
    let far = format!("{}\nfn last() {{\n    $0\n}}\n{}", RUST.replace("$0", "").repeat(400), "// end\n".repeat(4000));
    for text in
        ["$0", "$0\n\n\n", "fn main() {$0", "\t\t$0\t\t", "日本語 $0 🦀", "\r\n$0\r\n", "\r$0\r", &long_line, &far]
    {
        for extent in [Extent::Line, Extent::Block] {
            let infill = fill(&engine, &request(text, Language::Rust, extent));
            assert!(infill.prompt.tokens <= 1024 && infill.prompt.canvas_rows <= 128, "{:?}", infill.prompt);
        }
    }
}

#[test]
fn a_placeholder_is_not_filled_with_another_one() {
    let text = "fn a() -> u32 {\n    todo!()\n}\n\nfn b() -> u32 {\n    todo!()\n}\n\nfn c() -> u32 {\n    0\n}\n";
    let at = text.rfind("todo!()").unwrap();
    let hole = Hole::new(at..at + 7, Extent::Block);
    let request = InfillRequest::new(text, Language::Rust, vec![hole]);
    assert_eq!(fill(&open(None), &request).candidates[0].fills, ["0"]);
}

/// What the embedded model's context prior is for.
#[test]
fn what_the_document_repeats_is_filled_in_surely() {
    let text = "def first(values):\n    total = 0\n    for value in values:\n        total += value\n    return total\n\n\ndef second(values):\n    total = 0\n    for $0\n";
    let filled = fill(&open(None), &request(text, Language::Python, Extent::Line));
    assert_eq!(filled.candidates[0].fills, ["value in values:"]);
    assert!(filled.candidates[0].confidence > 0.3, "{}", filled.candidates[0].confidence);
}
