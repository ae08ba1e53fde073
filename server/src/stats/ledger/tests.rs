use std::time::Duration;

use jiff::civil::{Date, date};
use lacuna_engine::Language;
use proptest::prelude::*;

use super::{Ledger, MAX_DAYS, MAX_MODELS, OTHER_MODELS, model_name};
use crate::postprocess::Filter;
use crate::stats::{Fate, Group, NextPlaces, Source, Stage, Way, Withheld};

fn group(model: &str) -> Group {
    Group { language: Language::Rust, model: model.to_owned() }
}

fn ledger(day: Date, model: &str, accepted: u64) -> Ledger {
    let mut ledger = Ledger::default();
    let tally = ledger.tally_mut(day, &group(model));
    tally.fates.insert(Fate::Accepted, accepted);
    tally.withheld.insert(Withheld::Filter(Filter::Confidence), 1);
    tally.count_time(Source::Fresh, Stage::Total, Duration::from_millis(40));
    ledger
}

#[test]
fn what_is_written_is_read() {
    let written = ledger(date(2026, 1, 31), "nano (embedded)", 3);
    let text = String::from_utf8(written.to_bytes()).expect("a text");
    assert_eq!(
        text,
        r#"{"days":{"2026-01-31":{"rust":{"nano (embedded)":{"fates":{"accepted":3},"pieces":{},"characters_shown":0,"characters_kept":0,"withheld":{"confidence":1},"latency":{"fresh":{"total":{"39":1}}}}}}}}"#
    );
    assert_eq!(Ledger::parse(text.as_bytes()), Ok(written));
}

#[test]
fn next_places_are_written_and_read_too() {
    let (day, mut written) = (date(2026, 1, 31), Ledger::default());
    written.tally_mut(day, &group("nano")).next_places = NextPlaces {
        fates: [(Fate::Accepted, 2), (Fate::AcceptedInPart, 1), (Fate::Dismissed, 1), (Fate::NotSeen, 9)].into(),
        shown_by: [(Way::Line, 3), (Way::Command, 1)].into(),
        accepted_by: [(Way::Line, 1), (Way::Action, u64::MAX)].into(),
    };
    let text = String::from_utf8(written.to_bytes()).expect("a text");
    let expected = r#""next_places":{"fates":{"accepted":2,"accepted_in_part":1,"dismissed":1,"not_seen":9},"shown_by":{"line":3,"command":1},"accepted_by":{"line":1,"action":18446744073709551615}}"#;
    assert!(text.contains(expected), "{text}");
    assert_eq!(Ledger::parse(text.as_bytes()).as_ref(), Ok(&written));
    written.add(&written.clone());
    let total = written.total();
    assert_eq!((total.next_places.shown(), total.next_places.accepted()), (8, 6));
    assert_eq!(total.next_places.accepted_by[&Way::Action], u64::MAX);
    assert_eq!((total.shown(), total.accepted()), (0, 0), "they are no completions");
}

#[test]
fn sums_are_by_day_language_and_model() {
    let mut sum = ledger(date(2026, 1, 1), "a", 1);
    sum.add(&ledger(date(2026, 1, 1), "b", 2));
    sum.add(&ledger(date(2026, 1, 2), "a", 4));
    assert_eq!(sum.total().accepted(), 7);
    assert_eq!(sum.by_day().values().map(super::Tally::accepted).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(sum.by_model()["a"].accepted(), 5);
    assert_eq!(sum.by_language()["rust"].accepted(), 7);
    assert_eq!(sum.by_language().len(), 1);
    assert_eq!(sum.since(date(2026, 1, 2)).total().accepted(), 4);
}

#[test]
fn it_does_not_grow_without_end() {
    let mut sum = Ledger::default();
    for index in 0..MAX_DAYS as i64 + 5 {
        sum.add(&ledger(date(2020, 1, 1) + jiff::Span::new().days(index), "a", 1));
    }
    assert_eq!(sum.by_day().len(), MAX_DAYS);
    assert!(sum.by_day().keys().all(|day| *day > date(2020, 1, 5)), "the oldest went");
    let day = date(2026, 1, 1);
    for index in 0..1000 {
        sum.add(&ledger(day, &format!("model {index}"), 1));
    }
    assert_eq!(sum.by_model().len(), MAX_MODELS + 2);
    assert_eq!(sum.by_model()[OTHER_MODELS].accepted(), 1000 - MAX_MODELS as u64);
    assert_eq!(Ledger::parse(&sum.to_bytes()), Ok(sum));
}

#[test]
fn a_count_stops_where_numbers_end() {
    let mut sum = ledger(date(2026, 1, 1), "a", u64::MAX);
    sum.add(&ledger(date(2026, 1, 1), "a", 5));
    assert_eq!(sum.total().accepted(), u64::MAX);
    assert_eq!(sum.total().shown(), u64::MAX);
}

#[test]
fn a_models_name_is_no_path_and_moves_no_cursor() {
    assert_eq!(model_name("/home/somebody/models/secret-model/"), "secret-model");
    assert_eq!(model_name(r"C:\models\one"), "one");
    assert_eq!(model_name("a\u{1b}[2Jb\n\u{202e}c"), "a[2Jbc");
    assert_eq!(model_name("漢"), OTHER_MODELS);
    assert_eq!(model_name(&"x".repeat(1000)).len(), 64);
}

#[test]
fn other_things_are_refused_in_a_sentence() {
    let tally = r#"{"2026-01-01":{"rust":{"a":TALLY}}}"#;
    for (text, part) in [
        ("", "EOF"),
        ("null", "invalid type"),
        ("{}", "missing field"),
        (r#"{"days":{},"more":1}"#, "unknown field"),
        (r#"{"days":{"2026-02-30":{}}}"#, "2026-02"),
        (r#"{"days":{"2026-02-01":{"klingon":{}}}}"#, "klingon"),
        (r#"{"days":{"2026-02-01":{"rust":{"a/b":{}}}}}"#, "a/b"),
        (&format!("{{\"days\":{}}}", tally.replace("TALLY", r#"{"fates":{"loved":1}}"#)), "loved"),
        (&format!("{{\"days\":{}}}", tally.replace("TALLY", r#"{"characters_kept":-1}"#)), "-1"),
        (&format!("{{\"days\":{}}}", tally.replace("TALLY", r#"{"latency":{"fresh":{"total":{"99":1}}}}"#)), "bucket"),
    ] {
        let malformed = Ledger::parse(text.as_bytes()).expect_err(text).to_string();
        assert!(malformed.contains(part) && malformed.lines().count() == 1, "{text}: {malformed}");
    }
}

/// Bytes of a valid file with some of them changed, so that errors lie deep inside, too.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6);
    (1_u32..99, changes).prop_map(|(accepted, changes)| {
        let mut bytes = ledger(date(2026, 1, 31), "nano (embedded)", accepted.into()).to_bytes();
        for (index, byte, how) in changes {
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Ledger::parse(&bytes);
    }

    #[test]
    fn what_is_read_of_a_damaged_file_is_what_a_whole_one_has(bytes in damaged()) {
        if let Ok(ledger) = Ledger::parse(&bytes) {
            prop_assert_eq!(Ledger::parse(&ledger.to_bytes()), Ok(ledger));
        }
    }
}
