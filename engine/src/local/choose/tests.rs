use std::sync::OnceLock;

use proptest::prelude::{ProptestConfig, Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::score::revealed_before;
use super::*;
use crate::backend::cpu::{CpuBackend, ENCODE_ROWS};
use crate::local::tests::open;
use crate::noise::NoiseKind;
use crate::{Candidate, Extent, Hole, Infiller, Language};

fn engine() -> &'static Engine<CpuBackend> {
    static ENGINE: OnceLock<Engine<CpuBackend>> = OnceLock::new();
    ENGINE.get_or_init(open)
}

fn choice_hole(byte_range: Range<usize>, choices: &[&str]) -> Hole {
    let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
    Hole { choices, ..Hole::new(byte_range, Extent::Line) }
}

/// A request with a hole at each `$0`, all with the same choices.
fn request(text: &str, choices: &[&str]) -> InfillRequest {
    let mut holes = Vec::new();
    let mut plain = String::new();
    for (index, part) in text.split("$0").enumerate() {
        if index > 0 {
            holes.push(choice_hole(plain.len()..plain.len(), choices));
        }
        plain.push_str(part);
    }
    InfillRequest { seed: 5, ..InfillRequest::new(plain, Language::Markdown, holes) }
}

fn answer(engine: &Engine<CpuBackend>, request: &InfillRequest) -> Candidate {
    engine.infill(request, &Cancel::new(), &mut |_| {}).unwrap().candidates.remove(0)
}

/// The same as the engine, but what a delete token would say is asked of the text behind a hole.
fn engine_without_delete() -> &'static Engine<CpuBackend> {
    static ENGINE: OnceLock<Engine<CpuBackend>> = OnceLock::new();
    ENGINE.get_or_init(|| Engine { delete: None, ..open() })
}

/// The probabilities of a single hole's choices, from whole rows of logits, one pass for every token.
fn probabilities_by_hand(engine: &Engine<CpuBackend>, request: &InfillRequest) -> Vec<f64> {
    let choices: Vec<Vec<u32>> =
        request.holes[0].choices.iter().map(|choice| engine.tokenizer.encode(choice)).collect();
    let rows = choices.iter().map(Vec::len).max().unwrap();
    let hole = SizedHole { byte_range: request.holes[0].byte_range.clone(), rows, rows_max: rows, set: BLOCK_SET };
    let passage = request.passage(&request.text, std::slice::from_ref(&hole));
    let layout = prompt::lay_out(&passage, &engine.tokenizer, &engine.form, engine.choice_budget).unwrap();
    let NoiseKind::Absorbing(mask) = engine.noise.kind else { panic!("the embedded model has a mask token") };
    let canvas: Vec<u32> = layout
        .canvas
        .iter()
        .map(|row| match row {
            crate::canvas::Row::Pinned(token) => *token,
            crate::canvas::Row::Hole { .. } => mask,
        })
        .collect();
    let vocabulary = engine.noise.vocabulary as usize;
    let mut workspace = engine.backend.new_workspace(ENCODE_ROWS).unwrap();
    let mut cache = engine.backend.new_cache();
    let cancel = Cancel::new();
    crate::backend::encode(&engine.backend, engine.layers, &layout.prompt, &mut cache, &mut workspace, &cancel)
        .unwrap();
    let hole = layout.holes[0].clone();
    let scores = choices.iter().map(|tokens| {
        let mut canvas = canvas.clone();
        let ended: Vec<u32> = match engine.delete {
            Some(delete) => tokens.iter().copied().chain([delete]).take(rows).collect(),
            None => {
                // The hole has as many rows as the choice and what follows it have tokens.
                let behind = canvas.get(hole.end).copied();
                let next = behind.unwrap_or_else(|| engine.tokenizer.encode("\n")[0]);
                let end = hole.end + usize::from(behind.is_some());
                canvas.splice(hole.start..end, vec![mask; tokens.len() + 1]);
                tokens.iter().copied().chain([next]).collect()
            }
        };
        let mut score = 0.0;
        for (row, token) in (hole.start..).zip(ended) {
            let segments = [crate::backend::Segment { rows: canvas.len(), prompt: 0 }];
            let backend = &engine.backend;
            crate::backend::denoise(backend, engine.layers, &canvas, &segments, &[&cache], &[], None, &mut workspace)
                .unwrap();
            let mut logits = vec![0.0; canvas.len() * vocabulary];
            backend.logits(&mut workspace, &mut logits).unwrap();
            let logits = &logits[row * vocabulary..][..vocabulary];
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            score += f64::from(logits[token as usize]) - total.ln();
            canvas[row] = token;
        }
        score.exp()
    });
    let scores: Vec<f64> = scores.collect();
    let total: f64 = scores.iter().sum();
    scores.into_iter().map(|score| score / total).collect()
}

fn check_by_hand(engine: &Engine<CpuBackend>, request: &InfillRequest) {
    let expected = probabilities_by_hand(engine, request);
    let most = (0..expected.len()).max_by(|a, b| expected[*a].total_cmp(&expected[*b])).unwrap();
    let answer = answer(engine, request);
    let choice = answer.choices[0].unwrap();
    assert_eq!(choice.index, most, "{expected:?}");
    let difference = (f64::from(choice.probability) - expected[most]).abs();
    assert!(difference < 1e-4, "{} instead of {expected:?}", choice.probability);
    assert_eq!(answer.fills, [request.holes[0].choices[most].clone()]);
    assert!((answer.confidence - choice.probability).abs() < 1e-6);
}

#[test]
fn choices_of_one_token_share_the_models_own_probabilities() {
    let choices = ["-", "*", "+", "#", "1"];
    let tokens = choices.map(|choice| engine().tokenizer.encode(choice).len());
    assert_eq!(tokens, [1; 5]);
    for text in
        ["# List\n\n- one\n- two\n$0 three\n- four\n", "Title\n\n* one\n$0 two\n* three\n", "$0 Heading\n\nText.\n"]
    {
        check_by_hand(engine(), &request(text, &choices));
        // The order of the choices means nothing.
        let backwards: Vec<&str> = choices.iter().rev().copied().collect();
        check_by_hand(engine(), &request(text, &backwards));
    }
}

#[test]
fn choices_of_different_lengths_are_read_token_by_token() {
    for text in ["# One\n\nText.\n\n$0Two\n\nMore.\n", "- one\n$0two\n- three\n"] {
        check_by_hand(engine(), &request(text, &["", "# ", "## ", "- ", "1. "]));
    }
    check_by_hand(
        engine(),
        &request("Run:\n\n```$0\nfn main() {}\n```\n", &["", "rust", "python", "sh", "javascript"]),
    );
}

#[test]
fn without_a_delete_token_the_text_behind_a_hole_ends_it() {
    let marks = ["", "# ", "## ", "- ", "1. "];
    for text in ["# One\n\nText.\n\n$0Two\n\nMore.\n", "- one\n$0two\n- three\n", "# One\n\n- two\n$0"] {
        check_by_hand(engine_without_delete(), &request(text, &marks));
    }
    // Of two decisions on one canvas, the one that is settled first stands there for the other.
    let mut list = request("- one\n$0two\n$0three\n- four\n", &marks);
    let both = answer(engine_without_delete(), &list);
    let first = usize::from(both.choices[1].unwrap().probability > both.choices[0].unwrap().probability);
    let at = list.holes[first].byte_range.start;
    list.text.insert_str(at, &both.fills[first]);
    list.holes.remove(first);
    if first == 0 {
        let moved = list.holes[0].byte_range.start + both.fills[0].len();
        list.holes[0].byte_range = moved..moved;
    }
    assert_eq!(answer(engine_without_delete(), &list).choices[0], both.choices[1 - first]);
    // A group, two of whose holes have nothing between them.
    let mut pair = request("Some $0$0words$0 here.\n", &["", "*", "**"]);
    pair.holes.iter_mut().for_each(|hole| hole.group = Some(0));
    let choices = answer(engine_without_delete(), &pair).choices;
    assert!(choices[0].is_some() && choices.iter().all(|choice| *choice == choices[0]), "{choices:?}");
}

#[test]
fn beginnings_are_revealed_ever_more_rarely() {
    let revealed: Vec<usize> = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 63].map(revealed_before).to_vec();
    assert_eq!(revealed, [0, 1, 2, 3, 4, 4, 4, 8, 8, 16, 32]);
}

#[test]
fn a_decision_reads_what_was_settled_before_it() {
    let request = request("# List\n\n$0 one\n$0 two\n\nEnd.\n", &["-", "*", "+"]);
    let mut rounds: Vec<Vec<bool>> = Vec::new();
    let infill = engine()
        .infill(&request, &Cancel::new(), &mut |step| {
            assert_eq!(step.index, rounds.len() + 1);
            assert!(step.index <= step.limit && step.holes.iter().all(|pieces| pieces.len() == 1));
            rounds.push(step.holes.iter().map(|pieces| pieces[0].settled).collect());
        })
        .unwrap();
    let answer = &infill.candidates[0];
    assert_eq!(answer.steps, rounds.len());
    assert_eq!(rounds.last().unwrap(), &[true, true]);
    let first = rounds[0].iter().position(|settled| *settled).unwrap();
    let second = rounds[0].iter().position(|settled| !settled).expect("only one is settled in the first round");
    // The same question with the first answer written down.
    let range = request.holes[first].byte_range.clone();
    let mut text = request.text.clone();
    text.replace_range(range, &answer.fills[first]);
    let shift = if first < second { answer.fills[first].len() } else { 0 };
    let at = request.holes[second].byte_range.start + shift;
    let alone = InfillRequest { text, holes: vec![choice_hole(at..at, &["-", "*", "+"])], ..request.clone() };
    let expected = super::tests::answer(engine(), &alone);
    assert_eq!(expected.choices[0], answer.choices[second]);
}

#[test]
fn a_group_far_apart_is_decided_as_one() {
    let body = "Some words of a paragraph that goes on for a while.\n".repeat(60);
    let mut request = request(&format!("Text:\n\n$0\n{body}$0\nEnd.\n"), &["```", "~~~", "<!--"]);
    request.holes[1].choices = ["```", "~~~", "-->"].map(str::to_owned).to_vec();
    let alone: Vec<Choice> = [0, 1]
        .map(|index| InfillRequest { holes: vec![request.holes[index].clone()], ..request.clone() })
        .map(|request| answer(engine(), &request).choices[0].unwrap())
        .to_vec();
    request.holes.iter_mut().for_each(|hole| hole.group = Some(9));
    let together = answer(engine(), &request);
    assert_eq!(together.choices[0], together.choices[1]);
    assert_eq!(together.steps, 1);
    // Where both sides alone agree, they are surer together.
    if alone[0].index == alone[1].index {
        let probability = together.choices[0].unwrap().probability;
        assert!(probability >= alone[0].probability.max(alone[1].probability) - 1e-4, "{probability} {alone:?}");
    }
}

#[test]
fn a_long_document_has_any_number_of_holes() {
    let section = "$0Heading\n\nA paragraph that says something about the heading above.\n\n- one\n- two\n\n";
    let mut request = request(&section.repeat(40), &["# ", "## ", "### "]);
    assert!(engine().tokenizer.encode(&request.text).len() > 1024);
    // Two free ones among them, far from each other.
    for index in [3, 33] {
        request.holes[index] =
            Hole { max_tokens: Some(4), ..Hole::new(request.holes[index].byte_range.clone(), Extent::Line) };
    }
    let mut indices = Vec::new();
    let infill = engine()
        .infill(&InfillRequest { candidates: 2, ..request.clone() }, &Cancel::new(), &mut |step| {
            assert!(step.index <= step.limit && step.holes.len() == 40);
            indices.push(step.index);
        })
        .unwrap();
    assert!(indices.is_sorted() && indices[0] == 1, "{indices:?}");
    assert!(infill.prompt.canvas_rows > 128, "one canvas was enough: {:?}", infill.prompt);
    for candidate in &infill.candidates {
        for ((hole, fill), choice) in request.holes.iter().zip(&candidate.fills).zip(&candidate.choices) {
            match choice {
                Some(choice) => assert_eq!(*fill, hole.choices[choice.index]),
                None => assert!(hole.choices.is_empty() && !fill.contains('\n')),
            }
        }
        assert_eq!(candidate.choices, infill.candidates[0].choices);
    }
    assert!(infill.candidates.is_sorted_by(|a, b| a.confidence >= b.confidence));
}

#[test]
fn where_nothing_can_be_chosen_the_model_is_not_asked() {
    let long = "word ".repeat(500);
    let request = request("a $0 b\n", &[&long]);
    let infill = engine().infill(&request, &Cancel::new(), &mut |_| panic!("a step")).unwrap();
    assert_eq!(infill.prompt.tokens, 0);
    let [candidate] = &infill.candidates[..] else { panic!("{} candidates", infill.candidates.len()) };
    assert_eq!(candidate.fills, [long]);
    assert_eq!(candidate.choices, [Some(Choice { index: 0, probability: 1.0 })]);
    assert_eq!((candidate.confidence, candidate.steps), (1.0, 0));
}

#[test]
fn a_choice_longer_than_any_hole_is_refused() {
    let request = request("a $0 b\n", &["", &"word ".repeat(70)]);
    let error = engine().infill(&request, &Cancel::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(&error, Error::Request(reason) if reason.contains("more than the 64")), "{error}");
}

#[test]
fn uniform_noise_follows_the_seed() {
    let mut uniform = open();
    uniform.noise.kind = NoiseKind::Uniform;
    let request = request("# List\n\n$0one\n$0two\n- three\n", &["- ", "* ", "", "## x"]);
    let first = answer(&uniform, &request);
    assert_eq!(answer(&uniform, &request), first);
    let others = (6..10).map(|seed| answer(&uniform, &InfillRequest { seed, ..request.clone() }));
    assert!(others.into_iter().any(|other| other.choices != first.choices), "the seed changes nothing");
}

#[test]
fn scores_that_are_no_numbers_choose_something() {
    assert_eq!(best(&[f64::NAN, -2.0]), Choice { index: 1, probability: 1.0 });
    assert_eq!(best(&[f64::NAN, f64::NAN]), Choice { index: 0, probability: 0.5 });
    assert_eq!(best(&[-900.0, -900.0, -2000.0]), Choice { index: 0, probability: 0.5 });
}

/// Distinct choices of up to three pieces.
fn choices(count: usize) -> impl Strategy<Value = Vec<String>> {
    let piece = prop::sample::select(&["", "#", " ", "- ", "\n", "\r\n", "word", "é", "```", "🦀", "<mask>"][..]);
    let choice = prop::collection::vec(piece, 0..=3).prop_map(|pieces| pieces.concat());
    prop::collection::btree_set(choice, count).prop_map(|set| set.into_iter().collect())
}

/// Holes by their gaps in characters and their own lengths, some of them in the group 1, all choices of equal number.
fn holes() -> impl Strategy<Value = Vec<(usize, usize, bool, Vec<String>)>> {
    (1..4_usize)
        .prop_flat_map(|count| prop::collection::vec((0..40_usize, 0..4_usize, any::<bool>(), choices(count)), 1..6))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_among_the_choices(holes in holes(), seed in any::<u64>(), deletes in any::<bool>()) {
        let language = Language::Markdown;
        let engine = if deletes { engine() } else { engine_without_delete() };
        let text = "# Tïtle\r\n\r\n- one\n- two 🦀\n\n```\ncode\n```\nMore *text* in a line.\n".repeat(4);
        let starts: Vec<usize> = text.char_indices().map(|(start, _)| start).collect();
        let mut next = 0;
        let mut request = InfillRequest { seed, candidates: 2, ..InfillRequest::new(text.clone(), language, Vec::new()) };
        for (gap, length, grouped, choices) in holes {
            let byte_range = starts[next + gap]..starts[next + gap + length];
            next += gap + length;
            let group = grouped.then_some(1);
            request.holes.push(Hole { choices, group, ..Hole::new(byte_range, Extent::Line) });
        }
        let infill = engine.infill(&request, &Cancel::new(), &mut |_| {}).unwrap();
        prop_assert_eq!(infill.candidates.len(), 1);
        let candidate = &infill.candidates[0];
        prop_assert_eq!(candidate.fills.len(), request.holes.len());
        let mut of_group = None;
        for ((hole, fill), choice) in request.holes.iter().zip(&candidate.fills).zip(&candidate.choices) {
            let choice = choice.unwrap();
            prop_assert_eq!(fill, &hole.choices[choice.index]);
            let least = 1.0 / hole.choices.len() as f32;
            prop_assert!(choice.probability >= least - 1e-6 && choice.probability <= 1.0);
            if hole.group.is_some() {
                prop_assert_eq!(*of_group.get_or_insert(choice), choice);
            }
        }
        prop_assert!((0.0..=1.0).contains(&candidate.confidence));
        let again = answer(engine, &request);
        prop_assert_eq!(&again, candidate);
    }
}
