use std::sync::Mutex;

use lacuna_engine::{Description, Infill, Language, Step};

use super::*;

/// Answers with the texts that it was given, and remembers what was asked.
struct Scripted {
    answers: Mutex<Vec<Vec<&'static str>>>,
    asked: Mutex<Vec<InfillRequest>>,
    description: Description,
}

impl Scripted {
    fn new(answers: &[&[&'static str]]) -> Self {
        let description =
            Description { model: "script".to_owned(), device: "none".to_owned(), parameters: 0, context_tokens: 0 };
        let answers = answers.iter().rev().map(|answer| answer.to_vec()).collect();
        Self { answers: Mutex::new(answers), asked: Mutex::default(), description }
    }
}

impl Infiller for Scripted {
    fn infill(
        &self,
        request: &InfillRequest,
        _cancel: &Cancel,
        _on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        self.asked.lock().unwrap().push(request.clone());
        let fills = self.answers.lock().unwrap().pop().ok_or(Error::Cancelled)?;
        Ok(Infill {
            candidates: vec![candidate(&fills, 0.5)],
            prompt: Default::default(),
            length: Default::default(),
            timings: Default::default(),
        })
    }

    fn describe(&self) -> &Description {
        &self.description
    }
}

fn candidate(fills: &[&str], confidence: f32) -> Candidate {
    let fills: Vec<String> = fills.iter().map(|fill| (*fill).to_owned()).collect();
    Candidate {
        choices: vec![None; fills.len()],
        confidences: vec![confidence; fills.len()],
        fills,
        confidence,
        tokens: 3,
        steps: 2,
    }
}

fn request(before: &str, after: &str) -> InfillRequest {
    let hole = Hole::new(before.len()..before.len(), Extent::Line);
    InfillRequest { seed: 1, ..InfillRequest::new([before, after].concat(), Language::Rust, vec![hole]) }
}

const BEFORE: &str = "fn a() {\n    let b = ";
const AFTER: &str = ";\n}\n";

#[test]
fn what_parses_is_left_alone() {
    let engine = Scripted::new(&[]);
    let request = request(BEFORE, AFTER);
    let renoised = renoise(&engine, &request, &candidate(&["c(d)"], 0.9), &Cancel::new()).unwrap();
    assert_eq!((renoised, engine.asked.lock().unwrap().len()), (None, 0));
}

#[test]
fn only_what_is_broken_is_denoised_again() {
    let engine = Scripted::new(&[&[""]]);
    let renoised = renoise(&engine, &request(BEFORE, AFTER), &candidate(&["c(d))"], 0.9), &Cancel::new());
    let asked = engine.asked.lock().unwrap();
    let hole = &asked[0].holes[0].byte_range;
    assert_eq!(&asked[0].text[hole.start..], &[")", AFTER].concat(), "{:?}", asked[0]);
    assert_ne!(asked[0].seed, 1);
    let renoised = renoised.unwrap().unwrap();
    assert_eq!((renoised.rounds, renoised.candidate.confidence, renoised.candidate.steps), (1, 0.5, 4));
    assert_eq!(renoised.candidate.fills, ["c(d)"]);
}

#[test]
fn it_ends_after_some_rounds_and_keeps_nothing_that_is_no_better() {
    let engine = Scripted::new(&[&["+ +"], &["+ + +"], &["c"]]);
    let renoised = renoise(&engine, &request(BEFORE, AFTER), &candidate(&["c + +"], 0.9), &Cancel::new()).unwrap();
    assert_eq!((renoised, engine.asked.lock().unwrap().len()), (None, ROUNDS));
}

#[test]
fn parts_come_back_into_their_places() {
    let texts = ["1".to_owned(), String::new()];
    assert_eq!(splice("abcdef", &[1..2, 4..5], &texts), "a1cdf");
}
