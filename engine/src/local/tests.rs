//! The embedded model's engine: cancelling ends a request at the first look that finds it, and every backend fills the same.

use super::{Engine, LocalOptions};
use crate::backend::Backend;
use crate::backend::cpu::{CpuBackend, ENCODE_ROWS, Nvfp4Inputs};
use crate::backend::cuda::CudaBackend;
use crate::backend::cuda::tests::device;
use crate::{Cancel, Candidate, Error, Extent, Hole, InfillRequest, Infiller, Language, Piece};

/// The embedded model on the processor, with all that it is made of.
pub(super) fn open() -> Engine<CpuBackend> {
    let checkpoint = crate::embedded::open().unwrap();
    let backend = CpuBackend::new(&checkpoint, Some(2), Nvfp4Inputs::default()).unwrap();
    Engine::new(&checkpoint, backend, "cpu".to_owned(), &LocalOptions::default()).unwrap()
}

/// A hole with choices and a free one behind a text that fills a prompt.
fn request() -> InfillRequest {
    let text = "fn step(left: &mut Vec<u32>, right: usize) -> usize {\n    left.push(7);\n    right\n}\n\n".repeat(60);
    let at = |caret: usize| Hole { max_tokens: Some(3), ..Hole::new(caret..caret, Extent::Line) };
    let choices = ["", "// ", "/// "].map(str::to_owned).to_vec();
    let holes = vec![Hole { choices, ..at(text.len() - 6) }, at(text.len())];
    InfillRequest::new(text, Language::Rust, holes)
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
    let looks = blocks * (2 * engine.layers - 1) + infill.candidates[0].steps;
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

/// The embedded model on the CUDA backend, all arithmetic f32.
fn open_on_cuda() -> Engine<CudaBackend<f32>> {
    let checkpoint = crate::embedded::open().unwrap();
    let backend = CudaBackend::new(&device(), &checkpoint.config, &checkpoint, &mut |_| {}).unwrap();
    Engine::new(&checkpoint, backend, "cuda".to_owned(), &LocalOptions::default()).unwrap()
}

/// Short requests of all kinds: free holes with what the document repeats, several candidates, choices, and both together.
fn short_requests() -> Vec<InfillRequest> {
    let request = |text: &str, language, extent| {
        let caret = text.find("$0").unwrap();
        let hole = Hole { max_tokens: Some(6), ..Hole::new(caret..caret, extent) };
        InfillRequest { seed: 11, ..InfillRequest::new(text.replacen("$0", "", 1), language, vec![hole]) }
    };
    let python = "def first(values):\n    total = 0\n    return total\n\n\ndef second(values):\n    total = $0\n";
    let rust = "fn add(a: u32, b: u32) -> u32 {\n    $0\n}\n";
    let mut choosing = request("# List\n\n- one\n$0 two\n", Language::Markdown, Extent::Line);
    choosing.holes[0].choices = ["-", "*", "  +"].map(str::to_owned).to_vec();
    vec![
        request(python, Language::Python, Extent::Line),
        InfillRequest { candidates: 2, ..request(rust, Language::Rust, Extent::Block) },
        choosing,
    ]
}

#[test]
fn every_backend_fills_the_same_token_for_token() {
    let (cpu, cuda) = (open(), open_on_cuda());
    fn fill<B: Backend>(engine: &Engine<B>, request: &InfillRequest) -> (Vec<Candidate>, Vec<Vec<Piece>>) {
        let mut drafts = Vec::new();
        let infill = engine.infill(request, &Cancel::new(), &mut |step| drafts.extend_from_slice(step.holes)).unwrap();
        (infill.candidates, drafts)
    }
    for request in short_requests() {
        let (expected, expected_drafts) = fill(&cpu, &request);
        let (got, drafts) = fill(&cuda, &request);
        // Every step's draft, what was accepted in it, and what came out.
        let tokens = |drafts: &[Vec<Piece>]| -> Vec<Vec<(String, bool)>> {
            drafts.iter().map(|hole| hole.iter().map(|piece| (piece.text.clone(), piece.settled)).collect()).collect()
        };
        assert_eq!(tokens(&drafts), tokens(&expected_drafts));
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!((&got.fills, got.tokens, got.steps), (&expected.fills, expected.tokens, expected.steps));
            assert!((got.confidence - expected.confidence).abs() < 1e-3, "{got:?} {expected:?}");
            let chosen = |candidate: &Candidate| -> Vec<_> {
                candidate.choices.iter().map(|choice| choice.map(|choice| choice.index)).collect()
            };
            assert_eq!(chosen(got), chosen(expected));
        }
        println!("{} steps, {:?}", drafts.len(), got[0].fills);
    }
    assert_eq!(cuda.describe().device, "cuda");
}
