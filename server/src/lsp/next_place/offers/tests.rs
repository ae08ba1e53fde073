use lacuna_engine::Language;
use proptest::prelude::*;
use ropey::Rope;
use tempfile::TempDir;

use super::{Change, Offers};
use crate::lsp::document::ByteEdit;
use crate::lsp::edits::Replacement;
use crate::lsp::offer::FeedbackKind::{self, Accepted, AcceptedWord, Dismissed, Shown};
use crate::stats::{Fate, Group, NextPlaces, Stats, Store, Way};

/// `old` stands in bytes 0..3 and 8..11.
const TEXT: &str = "old(1); old(漢);\n";
const FIRST: std::ops::Range<usize> = 0..3;
const SECOND: std::ops::Range<usize> = 8..11;
/// Where the second one stands when the first one has given way to `newer`, or to its first character.
const SECOND_AFTER_CHANGE: std::ops::Range<usize> = 10..13;
const SECOND_AFTER_CHARACTER: std::ops::Range<usize> = 6..9;

/// What happens to the places of a document.
enum Then {
    /// A search finds `newer` wanted at these places.
    Found(&'static [std::ops::Range<usize>]),
    /// So many bytes at this place give way.
    Edit(usize, usize, &'static str),
    /// The item of a place is offered in the line; to an editor that tells what it shows, or not.
    InLine(std::ops::Range<usize>, bool),
    LeftLine,
    GoneTo(std::ops::Range<usize>),
    Chosen(&'static [std::ops::Range<usize>]),
    Told(FeedbackKind),
}
use Then::{Chosen, Edit, Found, GoneTo, InLine, LeftLine, Told};

fn places(ranges: &[std::ops::Range<usize>]) -> Vec<Replacement> {
    ranges.iter().map(|range| (range.clone(), "newer".to_owned())).collect()
}

/// What is counted of all this, after both places have been found.
fn counted(after: &[Then]) -> NextPlaces {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    let (stats, writer) = Stats::start(store.clone()).expect("a thread");
    let group = Group { language: Language::Rust, model: "fake".to_owned() };
    let (mut offers, mut text) = (Offers::default(), Rope::from_str(TEXT));
    offers.find(&places(&[FIRST, SECOND]), &stats, &group);
    for event in after {
        match event {
            Found(ranges) => offers.find(&places(ranges), &stats, &group),
            Edit(at, length, inserted) => {
                let (before, removed) = (text.clone(), *at..at + length);
                let chars = text.byte_to_char(removed.start)..text.byte_to_char(removed.end);
                text.remove(chars.clone());
                text.insert(chars.start, inserted);
                offers.follow(&ByteEdit { removed, inserted }, &before, &text);
            }
            InLine(range, is_told) => offers.offer_in_line(range, *is_told),
            LeftLine => offers.leave_line(),
            GoneTo(range) => offers.go_to(range),
            Chosen(ranges) => offers.choose(&places(ranges)),
            Told(kind) => offers.hear(*kind),
        }
    }
    drop(offers);
    drop(writer);
    let total = store.read().expect("counts").expect("some counts").total();
    assert_eq!((total.shown(), total.accepted()), (0, 0), "they are no completions");
    total.next_places
}

/// The fates of all places.
fn fates(after: &[Then]) -> Vec<(Fate, u64)> {
    counted(after).fates.into_iter().collect()
}

#[test]
fn what_nobody_was_shown_is_not_seen() {
    assert_eq!(fates(&[]), [(Fate::NotSeen, 2)]);
    // Whoever makes the change all the same has not got it from here.
    assert_eq!(fates(&[Edit(0, 3, "newer")]), [(Fate::NotSeen, 2)]);
    assert_eq!(fates(&[InLine(FIRST, true), Edit(0, 3, "newer")]), [(Fate::NotSeen, 2)]);
}

#[test]
fn an_item_in_the_line_is_accepted_or_not() {
    let accepted = counted(&[InLine(FIRST, false), Edit(0, 3, "newer")]);
    assert_eq!(accepted.fates, [(Fate::Accepted, 1), (Fate::NotSeen, 1)].into());
    assert_eq!((accepted.shown_by, accepted.accepted_by), ([(Way::Line, 1)].into(), [(Way::Line, 1)].into()));
    let of_first = |after: Vec<Then>| {
        let mut events = vec![InLine(FIRST, false)];
        events.extend(after);
        fates(&events)[0].0
    };
    assert_eq!(of_first(vec![]), Fate::Ignored);
    assert_eq!(of_first(vec![Told(Dismissed)]), Fate::Dismissed);
    // Some editors replace the rest of the line, or no more than what differs.
    assert_eq!(of_first(vec![Edit(0, 7, "newer(1);")]), Fate::Accepted);
    assert_eq!(of_first(vec![Edit(0, 3, "newest"), Edit(4, 2, "r")]), Fate::TypedOut);
    // Typed by hand, a character after the other.
    let typed = "newer".char_indices().map(|(at, _)| Edit(at, 0, &"newer"[at..=at]));
    assert_eq!(of_first([Edit(0, 3, "")].into_iter().chain(typed).collect()), Fate::TypedOut);
    // Until the editor says that it was its own doing.
    assert_eq!(of_first(vec![Edit(0, 2, "newe"), Edit(4, 2, "r"), Told(Accepted)]), Fate::Accepted);
    // Another text stands there.
    assert_eq!(of_first(vec![Edit(0, 3, "newest")]), Fate::Ignored);
    assert_eq!(of_first(vec![Edit(0, 12, "newer"), Edit(0, 0, "newer")]), Fate::Ignored);
}

#[test]
fn an_editors_word_counts() {
    let told = |after: Vec<Then>| {
        let mut events = vec![InLine(SECOND, true)];
        events.extend(after);
        counted(&events)
    };
    let shown = told(vec![Told(Shown)]);
    assert_eq!((shown.shown(), shown.fates[&Fate::Ignored], shown.shown_by[&Way::Line]), (1, 1, 1));
    assert_eq!(told(vec![Told(Shown), Told(Dismissed)]).fates[&Fate::Dismissed], 1);
    // The word may come before the edit or after it.
    for after in [vec![Told(Accepted), Edit(8, 3, "newer")], vec![Edit(8, 3, "newer"), Told(Accepted)]] {
        let accepted = told(after);
        assert_eq!((accepted.fates[&Fate::Accepted], accepted.accepted_by[&Way::Line]), (1, 1));
    }
    let in_part = told(vec![Told(Shown), Told(AcceptedWord), Edit(8, 0, "new"), Told(Dismissed)]);
    assert_eq!((in_part.fates[&Fate::AcceptedInPart], in_part.accepted()), (1, 1));
    assert!(in_part.accepted_by.is_empty());
    // It is about what was offered last.
    let other = counted(&[InLine(FIRST, true), InLine(SECOND, true), Told(Dismissed)]);
    assert_eq!(other.fates, [(Fate::Dismissed, 1), (Fate::NotSeen, 1)].into());
    assert_eq!(fates(&[InLine(FIRST, true), LeftLine, Told(Dismissed)]), [(Fate::NotSeen, 2)]);
}

#[test]
fn a_chosen_action_is_accepted_when_its_edit_comes() {
    let all = counted(&[Chosen(&[FIRST, SECOND]), Edit(8, 3, "newer"), Edit(0, 3, "newer")]);
    assert_eq!(all.fates, [(Fate::Accepted, 2)].into());
    assert_eq!((all.shown_by, all.accepted_by), ([(Way::Action, 2)].into(), [(Way::Action, 2)].into()));
    // From the front, so that the other place moves, and no more than what differs.
    let one_by_one = [Chosen(&[FIRST, SECOND]), Edit(0, 3, "newer"), Edit(10, 3, "newer")];
    assert_eq!(fates(&one_by_one), [(Fate::Accepted, 2)]);
    assert_eq!(fates(&[Chosen(&[FIRST])]), [(Fate::Ignored, 1), (Fate::NotSeen, 1)]);
}

#[test]
fn going_there_shows_a_place_and_changes_nothing() {
    let gone = counted(&[GoneTo(FIRST), GoneTo(FIRST)]);
    assert_eq!((gone.shown(), gone.fates[&Fate::Ignored], gone.shown_by[&Way::Command]), (1, 1, 1));
    let taken = counted(&[GoneTo(FIRST), InLine(FIRST, false), Edit(0, 3, "newer")]);
    assert_eq!(taken.shown_by, [(Way::Line, 1), (Way::Command, 1)].into());
    assert_eq!(taken.accepted_by, [(Way::Line, 1)].into());
    assert_eq!(fates(&[GoneTo(FIRST), Edit(0, 3, "newer")])[0], (Fate::TypedOut, 1));
}

#[test]
fn a_place_that_is_found_again_is_one_place() {
    // The second one is found again where the first one's change has moved it to.
    let again = [
        GoneTo(FIRST),
        Edit(0, 3, "newer"),
        Found(&[SECOND_AFTER_CHANGE]),
        GoneTo(SECOND_AFTER_CHANGE),
        Edit(10, 3, "newer"),
    ];
    assert_eq!(fates(&again), [(Fate::TypedOut, 2)]);
    assert_eq!(fates(&[Found(&[FIRST]), Found(&[FIRST, SECOND])]), [(Fate::NotSeen, 3)]);
    // What gets its change and wants another one is a new place.
    assert_eq!(fates(&[Edit(0, 3, "newer"), Found(&[0..5, 10..13])]), [(Fate::NotSeen, 3)]);
}

#[test]
fn what_stands_in_the_line_stays_though_it_is_typed_into() {
    let typed = [InLine(FIRST, true), Told(Shown), Edit(0, 3, "n"), Found(&[SECOND_AFTER_CHARACTER]), Told(Accepted)];
    assert_eq!(fates(&typed), [(Fate::Accepted, 1), (Fate::NotSeen, 1)]);
}

proptest! {
    #[test]
    fn a_place_moves_with_its_text(edits in prop::collection::vec((0usize..=100, 0usize..=100, "[old(\n漢]{0,3}"), 0..8)) {
        let group = Group { language: Language::Rust, model: "fake".to_owned() };
        let (mut offers, mut text) = (Offers::default(), Rope::from_str(TEXT));
        offers.find(&places(&[FIRST, SECOND]), &Stats::default(), &group);
        for (from, to, inserted) in edits {
            let char = |share: usize| text.len_chars() * share / 100;
            let chars = char(from.min(to))..char(from.max(to));
            let removed = text.char_to_byte(chars.start)..text.char_to_byte(chars.end);
            let (before, ranges) = (text.clone(), offers.0.iter().map(|offer| offer.range.clone()).collect::<Vec<_>>());
            text.remove(chars.clone());
            text.insert(chars.start, &inserted);
            offers.follow(&ByteEdit { removed: removed.clone(), inserted: &inserted }, &before, &text);
            for (offer, range) in offers.0.iter().zip(ranges).filter(|(offer, _)| offer.change == Change::Wanted) {
                let now = text.get_byte_slice(offer.range.clone());
                prop_assert!(now.is_some(), "{:?} is outside the text or within a character", offer.range);
                if removed.end < range.start || range.end < removed.start {
                    prop_assert_eq!(now, before.get_byte_slice(range));
                }
            }
        }
    }
}
