use lacuna_engine::{Cancel, Choice, Error};

use super::super::guarantee::{difference, loss};
use super::fake::Fake;
use super::*;

#[test]
fn what_is_the_same_document() {
    for (before, after) in [
        ("* a\n* b\n", "- a\n- b\n"),
        ("1. a\n1. b\n", "1. a\n2. b\n"),
        ("Title\n=====\n", "# Title\n"),
        ("~~~rust\nfn f() {}\n~~~\n", "```rust\nfn f() {}\n```\n"),
        ("|a|b|\n|-|-|\n|1|2|\n", "| a | b |\n| --- | --- |\n| 1 | 2 |\n"),
        ("*a*  __b__", "_a_ **b**\n"),
    ] {
        assert_eq!(difference(before, after), None, "{before} {after}");
        assert_eq!(loss(before, after).is_some(), before.starts_with("1."), "{before} {after}");
    }
}

#[test]
fn what_is_another_document() {
    for (before, after, says) in [
        ("a b\n", "a c\n", "words"),
        ("a b\n", "ab\n", "words"),
        ("3. a\n", "4. a\n", "structure"),
        ("1986\\. a\n", "1986. a\n", "words"),
        ("# a\n", "## a\n", "structure"),
        ("- a\n- b\n", "- a\n\n- b\n", "structure"),
        ("a\nb\n", "a\\\nb\n", "structure"),
        ("*a*\n", "a\n", "structure"),
        ("    a\n", "```\na\n```\n", "structure"),
        ("```\na\n```\n", "```\na \n```\n", "code"),
        ("```x\na\n```\n", "```y\na\n```\n", "code"),
        ("[a](b)\n", "[a](b?)\n", "links"),
        ("[a](b 'c')\n", "[a](b 'c.')\n", "links"),
        ("[a]: b\n", "[a]: b?\n", "links"),
        ("a <b>\n", "a <b >\n", "HTML"),
        ("---\na:  b\n---\n", "---\na: b\n---\n", "front matter"),
        ("| a |\n| - |\n", "| a |\n| -: |\n", "structure"),
        // One dialect is enough.
        ("$a_b$ and c_d$\n", "$a\\_b$ and c\\_d$\n", "structure"),
    ] {
        let difference = difference(before, after).unwrap_or_else(|| panic!("{before:?} {after:?}"));
        assert!(difference.contains(says), "{before:?} {after:?}: {difference}");
    }
}

#[test]
fn what_a_decision_may_not_lose() {
    for (before, after) in [
        ("# a\n", "#a\n"),
        ("- a\n- b\n", "- a\n-b\n"),
        ("> a\n", "a\n"),
        ("| a |\n| - |\n", "| a |\n"),
        ("```\na\n```\n", "a\n"),
        ("```sh\na\n```\n", "```c\na\n```\n"),
        ("[a](b)\n", "```\n[a](b)\n```\n"),
        ("a <b>\n", "```\na <b>\n```\n"),
        ("1. a\n", "2. a\n"),
    ] {
        assert!(loss(before, after).is_some(), "{before:?} {after:?}");
    }
    for (before, after) in [("a\n", "```sh\na\n```\n"), ("##a\n", "## a\n"), ("```\na\n```\n", "```sh\na\n```\n")] {
        assert_eq!(loss(before, after), None, "{before:?} {after:?}");
    }
}

/// An engine that is always sure of the last alternative.
fn last() -> Fake<impl Fn(usize, &lacuna_engine::InfillRequest) -> Result<Choice, Error> + Send + Sync> {
    Fake::new(|_, request| Ok(Choice { index: request.holes[0].choices.len() - 1, probability: 1.0 }))
}

/// Two lists that would become one, so that the second would be counted on.
#[test]
fn a_decision_that_does_harm_is_left_out() {
    let text = "(1) one\n(2) two\n\n(1) other\n(2) more\n";
    let formatted = format(text, Some(&last()), None, &Cancel::new()).unwrap();
    assert_eq!(formatted.text, "1. one\n2. two\n\n(1) other\n(2) more\n");
    assert_eq!(formatted.note.as_deref(), Some("a defect is left as it was: its words would change"));
    assert_eq!(formatted.changes.len(), 1);
}

#[test]
fn a_part_that_cannot_be_laid_out_is_left_and_the_rest_is_not() {
    let text = "#  a\n\n<a href=\"foo  \nbar\">\n\n*  b\n";
    let formatted = laid_out(text);
    assert_eq!(formatted.text, "# a\n\n<a href=\"foo  \nbar\">\n\n* b\n");
    assert_eq!(formatted.note.as_deref(), Some("part of it is left as it was: its HTML or front matter would change"));
}

#[test]
fn an_engine_that_fails_or_is_stopped() {
    let broken = Fake::new(|_, _| Err(Error::Cancelled));
    assert!(matches!(format("##a\n", Some(&broken), None, &Cancel::new()), Err(Error::Cancelled)));
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(matches!(format("##a\n", Some(&last()), None, &cancel), Err(Error::Cancelled)));
    // What it cannot be asked is decided without it, once it was asked about the first place alone.
    let small = Fake::new(|_, _| Err(Error::Request("too much".to_owned())));
    assert_eq!(format("• a\n• b\n", Some(&small), None, &Cancel::new()).unwrap().text, "- a\n- b\n");
    assert_eq!(small.asked().iter().map(|request| request.holes.len()).collect::<Vec<_>>(), [2, 1]);
}

/// A model that likes no text at all better than any is not sure of anything.
#[test]
fn what_an_engine_always_prefers_does_not_count() {
    let leave = Choice { index: 0, probability: 0.9999 };
    let formatted = |here, alone| {
        let engine = Fake::new(move |_, _| Ok(here)).with_bias(alone);
        format("##a\n", Some(&engine), None, &Cancel::new()).unwrap().text
    };
    assert_eq!(formatted(leave, leave), "## a\n");
    assert_eq!(formatted(leave, Choice { probability: 0.5, ..leave }), "##a\n");
    // Here it finds the change likelier than elsewhere, but not likely.
    assert_eq!(formatted(Choice { probability: 0.6, ..leave }, leave), "## a\n");
}

/// However long the text, a request is short.
#[test]
fn a_window_at_a_time() {
    let text = "##Title\n\nSome words.\n\n```\n$ cargo run\n```\n\n".repeat(500);
    let fake = last();
    let formatted = format(&text, Some(&fake), None, &Cancel::new()).unwrap();
    assert_eq!(
        formatted.text,
        "## Title\n\nSome words.\n\n```console\n$ cargo run\n```\n\n".repeat(500).trim_end().to_owned() + "\n"
    );
    let asked = fake.asked();
    assert_eq!(asked.len(), 1000);
    assert!(asked.iter().all(|request| request.text.len() < 17 << 10));
}
