use proptest::prelude::any;
use proptest::{prop_assert, proptest};

use super::*;
use crate::backend::RowVote;

fn texts(prefix: &str, suffix: &str, extent: Extent) -> Vec<String> {
    continuations(prefix, suffix, &[], extent).into_iter().map(|continuation| continuation.text).collect()
}

#[test]
fn what_follows_the_longest_agreement_is_likeliest() {
    let prefix = "self.width = old\nself.height = h\nother.width = new\nself.wid";
    let found = continuations(prefix, "\n", &[], Extent::Line);
    assert_eq!(found[0].text, "th = old");
    assert!(found[1..].iter().any(|other| other.text == "th = new" && other.probability < found[0].probability));
}

#[test]
fn what_the_text_behind_the_hole_repeats_is_likelier() {
    let prefix = "call(a, first);\ncall(b, second);\ncall(";
    assert_eq!(texts(prefix, ", second);\n", Extent::Line)[0], "b");
    assert_eq!(texts(prefix, ", first);\n", Extent::Line)[0], "a");
    // It is found behind the hole too.
    assert_eq!(texts("    let x = ", ";\n    let y = spam();\n", Extent::Line)[0], "spam()");
}

#[test]
fn a_line_ends_with_its_line_and_a_block_where_the_text_behind_begins() {
    let before = "fn a() {\n    one();\n    two();\n}\n\nfn b() {\n";
    assert_eq!(texts(before, "\n}\n", Extent::Block)[0], "    one();\n    two();");
    assert!(texts(before, "\n}\n", Extent::Line).iter().all(|text| !text.contains('\n')));
}

#[test]
fn what_is_closed_stays_closed() {
    let before = "fn a() {\n    {\n        one();\n    }\n}\n\nfn b() {\n    {\n";
    assert_eq!(texts(before, "\n    }\n}\n", Extent::Block)[0], "        one();");
    assert_eq!(texts("call(a(1));\ncall(", ");\n", Extent::Line), ["a(1)"]);
    assert_eq!(texts("call(a(1));\ncall(", ")", Extent::Line)[0], "a(1)");
    // A line may begin what other lines end.
    assert_eq!(texts("for a in b {\n}\nfor a ", "\n", Extent::Line)[0], "in b {");
    // Here something is to be closed.
    assert_eq!(texts("call(a(1));\ncall(", "\n", Extent::Line)[0], "a(1));");
    let closed = |text| Brackets::of(&[text]).are_closed();
    assert!(closed("f([a])") && !closed("(]") && !closed(")(") && !closed("{"));
}

fn excerpts(texts: &[&str]) -> Vec<Excerpt> {
    texts.iter().map(|text| Excerpt { name: "other.rs".to_owned(), text: (*text).to_owned() }).collect()
}

#[test]
fn what_only_another_file_says_is_found_there() {
    let text = "fn main() {\n    let page = Page::new(";
    let others = excerpts(&["fn unrelated() {}\n", "    let page = Page::new(WIDTH, HEIGHT);\r\n"]);
    let find = |others: &[Excerpt]| continuations_at(text, text.len()..text.len(), others, Extent::Line);
    assert!(find(&[]).iter().all(|found| found.text != "WIDTH, HEIGHT);"));
    assert_eq!(find(&others)[0].text, "WIDTH, HEIGHT);");
    // What stands in the document as well is the likelier for it, and what stands there alone keeps its weight.
    let text = "let a = Page::new(ONE);\nlet b = Page::new(TWO);\nlet c = Page::new(";
    let find = |others: &[Excerpt]| continuations_at(text, text.len()..text.len(), others, Extent::Line);
    let both = find(&excerpts(&["let d = Page::new(ONE);\n"]));
    let odds = |found: &[Continuation]| {
        let of = |text: &str| found.iter().find(|one| one.text == text).unwrap().probability;
        of("ONE);") / of("TWO);")
    };
    assert!(odds(&both) > odds(&find(&[])), "{both:?}");
}

#[test]
fn only_so_much_of_other_files_is_searched() {
    let text = "let page = Page::new(";
    let filler = "// filler\n".repeat(SEARCHED_ELSEWHERE_BYTES / 10);
    let find = |others: &[&str]| continuations_at(text, text.len()..text.len(), &excerpts(others), Extent::Line);
    assert_eq!(find(&["let page = Page::new(WIDTH);\n", &filler])[0].text, "WIDTH);");
    assert_eq!(find(&[&filler, "let page = Page::new(WIDTH);\n"]), []);
}

#[test]
fn there_is_nothing_to_repeat() {
    assert_eq!(continuations("", "abc\n", &[], Extent::Block), []);
    assert_eq!(continuations("x", "", &[], Extent::Line), []);
    assert_eq!(continuations("no such le", "", &[], Extent::Line), []);
}

proptest! {
    #[test]
    fn any_text_gives_parts_of_it_that_may_be_right(
        prefix in "[a-c\n é(]{0,60}",
        suffix in "[a-c\n é(]{0,60}",
        other in "[a-c\n é(`\0]{0,60}",
        line in any::<bool>(),
    ) {
        let extent = if line { Extent::Line } else { Extent::Block };
        let found = continuations(&prefix, &suffix, &[Cow::Borrowed(&other)], extent);
        let total: f64 = found.iter().map(|continuation| continuation.probability).sum();
        prop_assert!((0.0..1.0).contains(&total));
        for (index, continuation) in found.iter().enumerate() {
            prop_assert!([&prefix, &suffix, &other].iter().any(|text| text.contains(&continuation.text)));
            prop_assert!(!continuation.text.trim().is_empty());
            prop_assert!(!line || !continuation.text.contains('\n'));
            prop_assert!(found[..index].iter().all(|likelier| likelier.text != continuation.text));
            prop_assert!(index == 0 || found[index - 1].probability >= continuation.probability);
        }
    }
}

/// The votes in each of four rows.
fn cast(accepted: &[AcceptedRow]) -> Vec<Vec<(u32, f32)>> {
    let mut votes = Votes::default();
    votes.add(1..4, vec![(vec![7, 8, 0], 0.5), (vec![7, 9, 9], 0.25)]);
    let mut rows = vec![Vec::new(); 4];
    votes.cast(accepted, |RowVote { row, token, probability }| rows[row].push((token, probability)));
    rows
}

#[test]
fn rows_get_what_the_sequences_have_there() {
    assert_eq!(cast(&[]), [vec![], vec![(7, 0.75)], vec![(8, 0.5), (9, 0.25)], vec![(0, 0.5), (9, 0.25)]]);
}

#[test]
fn what_was_accepted_decides_between_the_sequences_and_the_model() {
    let accepted = |row, token, own_probability| AcceptedRow { row, token, own_probability };
    // Both sequences have it, and the model would not have: they gain together.
    let rows = cast(&[accepted(1, 7, 0.01)]);
    assert!((rows[2][0].1 - 0.5 / 0.7525).abs() < 1e-5, "{rows:?}");
    assert!((rows[2][1].1 - 0.25 / 0.7525).abs() < 1e-5, "{rows:?}");
    // Only one of them has it.
    let rows = cast(&[accepted(2, 9, 0.1)]);
    assert!(rows[3][0].0 == 9 && rows[3].len() == 1 && rows[3][0].1 > 0.9, "{rows:?}");
    // Neither has it, so that the model was right.
    assert_eq!(cast(&[accepted(3, 5, 0.5)]), vec![vec![]; 4]);
    // A row of another hole says nothing.
    assert_eq!(cast(&[accepted(0, 5, 0.5)]), cast(&[]));
}
