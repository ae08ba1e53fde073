//! The embedded model's engine: cancelling ends a request at the first look that finds it, and every backend fills the same.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{Asked, Engine, LocalOptions};
use crate::backend::Backend;
use crate::backend::cpu::{CpuBackend, ENCODE_ROWS, Nvfp4Inputs};
use crate::backend::cuda::CudaBackend;
use crate::backend::cuda::tests::device;
use crate::{Cancel, Candidate, Error, Extent, Hole, InfillRequest, Infiller, Language, Piece, Step};

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

/// Requests whose prompts have much in common, nothing, and everything, and one of two canvases.
fn requests_of_several_threads() -> Vec<InfillRequest> {
    let rust = "fn step(left: &mut Vec<u32>, right: usize) -> usize {\n    left.push(7);\n    right\n}\n\n".repeat(20);
    let at = |caret: usize| Hole { max_tokens: Some(6), ..Hole::new(caret..caret, Extent::Line) };
    let of = |text: &str, holes| InfillRequest { seed: 3, ..InfillRequest::new(text, Language::Rust, holes) };
    let mut requests = short_requests();
    requests.push(of(&rust, vec![at(rust.len() - 20)]));
    requests.push(of(&rust, vec![at(rust.len() / 2)]));
    requests.push(InfillRequest { candidates: 2, ..of(&rust, vec![at(rust.len() - 20)]) });
    requests.push(of(&rust, vec![at(54), at(rust.len() - 20)]));
    requests
}

#[test]
fn requests_that_share_passes_are_answered_as_if_each_were_alone() {
    let requests = requests_of_several_threads();
    let alone = open();
    let alone: Vec<Vec<Candidate>> =
        requests.iter().map(|request| alone.infill(request, &Cancel::new(), &mut |_| {}).unwrap().candidates).collect();
    // With room for all of them, for two or three, and for one.
    for shared_rows in [1 << 20, 600, 1] {
        let engine = Engine { shared_rows, ..open() };
        let cancels: Vec<Cancel> = requests.iter().map(|_| Cancel::new()).collect();
        let mut steps = vec![0; requests.len()];
        let mut hooks: Vec<_> = steps.iter_mut().map(|steps| move |_: Step<'_>| *steps += 1).collect();
        let asked = requests.iter().zip(&cancels).zip(&mut hooks);
        let asked = asked.map(|((request, cancel), on_step)| Asked { request, cancel, on_step }).collect();
        let answers = engine.infill_together(asked);
        drop(hooks);
        for ((answer, alone), steps) in answers.into_iter().zip(&alone).zip(steps) {
            assert_eq!(&answer.unwrap().candidates, alone, "{shared_rows}");
            assert!(steps >= alone[0].steps);
        }
    }
}

#[test]
fn a_request_that_is_cancelled_takes_no_other_with_it() {
    let requests = requests_of_several_threads();
    let engine = Engine { shared_rows: 1 << 20, ..open() };
    let expected = engine.infill(&requests[3], &Cancel::new(), &mut |_| {}).unwrap().candidates;
    let looks = {
        let cancel = Cancel::new();
        engine.infill(&requests[0], &cancel, &mut |_| {}).unwrap();
        cancel.looks()
    };
    for look in 1..=looks {
        engine.lock_state().prompts.forget();
        let (ends, goes_on) = (Cancel::at_look(look), Cancel::new());
        let mut answers = engine.infill_together(vec![
            Asked { request: &requests[0], cancel: &ends, on_step: &mut |_| {} },
            Asked { request: &requests[3], cancel: &goes_on, on_step: &mut |_| {} },
        ]);
        assert_eq!(answers.remove(1).unwrap().candidates, expected);
        assert!(matches!(answers.remove(0), Err(Error::Cancelled)), "{look} of {looks}");
    }
}

#[test]
fn threads_share_a_card() {
    let requests = [short_requests(), short_requests()].concat();
    let cuda = open_on_cuda();
    let fills = |request: &InfillRequest| -> Vec<Vec<String>> {
        let infill = cuda.infill(request, &Cancel::new(), &mut |_| {}).unwrap();
        infill.candidates.into_iter().map(|candidate| candidate.fills).collect()
    };
    let expected: Vec<_> = requests.iter().map(fills).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|next| *next < requests.len())
                {
                    assert_eq!(fills(&requests[index]), expected[index]);
                }
            });
        }
    });
}
