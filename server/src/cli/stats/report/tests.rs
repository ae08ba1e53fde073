use std::time::Duration;

use jiff::civil::date;
use lacuna_engine::Language;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Report, Span};
use crate::cli::stats::chart::Look;
use crate::postprocess::Filter;
use crate::stats::{Fate, Group, Ledger, NextPlaces, Piece, Source, Stage, Stats, Store, Tally, Way, Withheld};

/// What is printed of counts, at this many columns.
fn printed(ledger: Ledger, columns: usize, with_colour: bool) -> String {
    let mut out = Vec::new();
    report(ledger).write(&mut out, &Look { columns, with_colour }).expect("written");
    String::from_utf8(out).expect("a text")
}

fn report(ledger: Ledger) -> Report {
    let newest = ledger.by_day().keys().next_back().copied();
    let span = Span { from: date(2020, 1, 1), to: date(2020, 1, 30), days: 30 };
    Report { file: "/state/counts".into(), span, newest, ledger }
}

/// Ten completions of which five were accepted, one in part, and what came of other requests.
fn some() -> Ledger {
    counted(|tally| {
        tally.fates.extend([(Fate::Accepted, 5), (Fate::AcceptedInPart, 1), (Fate::Ignored, 4), (Fate::NotSeen, 2)]);
        tally.pieces.extend([(Piece::Whole, 5), (Piece::Word, 1)]);
        (tally.characters_shown, tally.characters_kept) = (120, 77);
        tally.withheld.extend([(Withheld::Filter(Filter::Confidence), 20), (Withheld::Filter(Filter::Syntax), 1)]);
        for milliseconds in 20..60 {
            tally.count_time(Source::Fresh, Stage::Total, Duration::from_millis(milliseconds));
            tally.count_time(Source::Fresh, Stage::Denoise, Duration::from_millis(milliseconds / 2));
        }
        tally.count_time(Source::Cached, Stage::Total, Duration::from_micros(150));
    })
}

/// The same, and eight next places of which three were shown and two accepted.
fn some_with_places() -> Ledger {
    let mut ledger = some();
    ledger.add(&counted(|tally| {
        tally.next_places = NextPlaces {
            fates: [(Fate::Accepted, 2), (Fate::Dismissed, 1), (Fate::NotSeen, 5)].into(),
            shown_by: [(Way::Line, 2), (Way::Command, 3), (Way::Action, 1)].into(),
            accepted_by: [(Way::Line, 1), (Way::Action, 1)].into(),
        };
    }));
    ledger
}

/// Counts of today.
fn counted(count: impl FnOnce(&mut Tally)) -> Ledger {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    let (stats, writer) = Stats::start(store.clone()).expect("a thread");
    let group = Group { language: Language::Rust, model: "nano (embedded)".to_owned() };
    stats.count(&group, count);
    drop(writer);
    store.read().expect("counts").expect("some counts")
}

#[test]
fn before_anything_was_counted_it_says_so() {
    let text = printed(Ledger::default(), 80, false);
    assert!(text.starts_with("Nothing has been counted yet."), "{text}");
    assert!(text.contains("/state/counts") && text.contains("`lacuna stats --reset`"), "{text}");
    let older = Report { newest: Some(date(2019, 5, 1)), ..report(Ledger::default()) };
    let mut out = Vec::new();
    older.write(&mut out, &Look { columns: 80, with_colour: false }).expect("written");
    let text = String::from_utf8(out).expect("a text");
    assert!(
        text.starts_with("Nothing was counted in the last 30 days; the newest counts are of 2019-05-01."),
        "{text}"
    );
}

#[test]
fn what_was_counted_is_said() {
    let text = printed(some(), 80, false);
    for part in [
        "shown                  10  100%",
        "accepted                5   50%",
        "60% of what was shown was accepted",
        "77 characters were taken over instead of typed:",
        "5 times all of it, 0 times a line, 1 time a word.",
        "2 more were offered, and not shown by the editor.",
        "6 of 10",
        "rust",
        "nano (embedded)",
        "the model was not sure enough",
        "known already",
        "denoising",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn next_places_are_a_kind_of_their_own() {
    assert!(!printed(some(), 80, false).contains("Next places"));
    let text = printed(some_with_places(), 80, false);
    let (completions, places) = text.split_once("Next places  ").expect("they have a part");
    assert!(printed(some(), 80, false).starts_with(completions), "they count as no completions: {text}");
    for part in [
        "shown                   3  100%  █",
        "accepted                2   67%  █",
        "dismissed               1   33%  █",
        "67% of what was shown was accepted",
        "Shown: 2 in the line, 3 by going there, 1 by a code action.",
        "Accepted: 1 in the line, 1 by a code action.",
        "5 more were found, and not shown.",
    ] {
        assert!(places.contains(part), "{part:?} is not in {places}");
    }

    let json = report(some_with_places()).to_json();
    let places = &json["total"]["next_places"];
    assert_eq!((&places["shown"], &places["fates"]["not_seen"]), (&json!(3), &json!(5)));
    assert_eq!((&places["shown_by"]["command"], &places["accepted_by"]["action"]), (&json!(3), &json!(1)));
    assert!((places["acceptance_rate"].as_f64().expect("a number") - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!(json["total"]["shown"], 10);
    assert_eq!(report(some()).to_json()["total"]["next_places"]["acceptance_rate"], Value::Null);
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    for columns in [60, 80, 120] {
        let text = printed(some_with_places(), columns, false);
        let charts = text.lines().filter(|line| line.starts_with("  ") && line.chars().any(|c| "█░▁▂".contains(c)));
        charts.for_each(|line| assert!(line.chars().count() < columns, "{columns}: {line}"));
    }
    assert!(!printed(some(), 20, false).contains('█'), "there is no room for bars");
    assert!(printed(some(), 80, true).contains("\u{1b}["));
}

#[test]
fn programs_get_the_same_counts() {
    let json = report(some()).to_json();
    let total = &json["total"];
    assert_eq!((total["shown"].as_u64(), total["acceptance_rate"].as_f64()), (Some(10), Some(0.6)));
    assert_eq!(total["fates"]["accepted_in_part"], 1);
    assert_eq!(total["withheld"]["confidence"], 20);
    assert_eq!(total["latency"]["fresh"]["total"]["n"], 40);
    let median = total["latency"]["fresh"]["total"]["p50_ms"].as_f64().expect("a number");
    assert!((median / 39.0 - 1.0).abs() < 0.1, "{median}");
    assert_eq!(json["languages"]["rust"], *total);
    assert_eq!(json["models"]["nano (embedded)"], *total);
    assert_eq!(json["days"].as_object().map(serde_json::Map::len), Some(1));
    assert!(report(Ledger::default()).to_json()["total"]["acceptance_rate"].is_null());
}
