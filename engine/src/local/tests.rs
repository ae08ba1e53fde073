//! Cancelling: a request ends at the first look that finds it cancelled, wherever that is.

use super::{LocalInfiller, LocalOptions};
use crate::backend::ENCODE_ROWS;
use crate::{Cancel, Device, Error, Extent, Hole, InfillRequest, Infiller, Language, ModelSource};

fn open() -> LocalInfiller {
    let options =
        LocalOptions { model: ModelSource::Embedded, device: Device::Cpu, threads: Some(2), ..LocalOptions::default() };
    LocalInfiller::open(&options).unwrap()
}

/// A hole with choices and a free one behind a text that fills a prompt.
fn request() -> InfillRequest {
    let text = "fn step(left: &mut Vec<u32>, right: usize) -> usize {\n    left.push(7);\n    right\n}\n\n".repeat(60);
    let at = |caret: usize| Hole { max_tokens: Some(3), ..Hole::new(caret..caret, Extent::Line) };
    let choices = ["", "// ", "/// "].map(str::to_owned).to_vec();
    let holes = vec![Hole { choices, ..at(text.len() - 6) }, at(text.len())];
    InfillRequest { text, language: Language::Rust, holes, seed: 0, candidates: 1 }
}

#[test]
fn a_long_prompt_is_encoded_with_a_look_at_every_half_layer_of_a_block() {
    let engine = open();
    let cancel = Cancel::new();
    let free = InfillRequest { holes: request().holes[1..].to_vec(), ..request() };
    let infill = engine.infill(&free, &cancel, &mut |_| {}).unwrap();
    assert!(infill.prompt.tokens > 700 && infill.prompt.reused == 0, "{:?}", infill.prompt);
    let blocks = infill.prompt.tokens.div_ceil(ENCODE_ROWS);
    // The last layer has only its keys and values made.
    let looks = blocks * (2 * engine.engine.layers - 1) + infill.candidates[0].steps;
    assert!(cancel.looks() >= looks, "{} looks, not {looks}", cancel.looks());
}

#[test]
fn the_first_look_that_finds_a_request_cancelled_is_the_last() {
    let request = request();
    let whole = Cancel::new();
    let expected = open().infill(&request, &whole, &mut |_| {}).unwrap();
    let total = whole.looks();
    assert!(total > 60, "{total} looks");
    let engine = open();
    // An odd stride, so that looks of every kind are met; what a cancelled request leaves behind serves the next.
    for look in (1..=total).step_by(7).chain([total]) {
        let cancel = Cancel::at_look(look);
        match engine.infill(&request, &cancel, &mut |_| {}) {
            Err(Error::Cancelled) => assert_eq!(cancel.looks(), look),
            Ok(infill) => assert!(infill.prompt.reused > 0 && cancel.looks() < look),
            Err(other) => panic!("{other}"),
        }
    }
    let answer = engine.infill(&request, &Cancel::new(), &mut |_| {}).unwrap();
    assert_eq!(answer.candidates, expected.candidates);
}
