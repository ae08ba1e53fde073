use lacuna_engine::Language;
use ropey::Rope;
use tempfile::TempDir;

use super::{FeedbackKind, Offer};
use crate::lsp::document::ByteEdit;
use crate::lsp::interpolate::Anchor;
use crate::stats::{Fate, Group, Piece, Stats, Store, Tally};

const TEXT: &str = "let x = );\n";
const CARET: usize = 8;

/// What happens after an offer.
enum Then {
    /// This many bytes at this distance from the offer's caret are replaced.
    Edit(usize, usize, &'static str),
    Told(FeedbackKind, u32),
}
use Then::{Edit, Told};

/// What is counted of an offer of these fills, after which all this happens.
fn counted(fills: &[&str], is_told: bool, after: &[Then]) -> Tally {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    let (stats, writer) = Stats::start(store.clone()).expect("a thread");
    let group = Group { language: Language::Rust, model: "fake".to_owned() };
    let fills: Vec<_> = fills.iter().map(|&fill| fill.to_owned()).collect();
    let mut offer = Offer::new(stats, group, &fills, &Anchor::new(CARET), is_told, None).expect("an offer");
    let mut text = Rope::from_str(TEXT);
    for event in after {
        match *event {
            Edit(from, length, inserted) => {
                let removed = CARET + from..CARET + from + length;
                text.remove(removed.clone());
                text.insert(removed.start, inserted);
                offer.follow(&ByteEdit { removed, inserted }, &text);
            }
            Told(kind, characters) => offer.hear(kind, characters),
        }
    }
    drop(offer);
    drop(writer);
    store.read().expect("counts").expect("some counts").total()
}

/// The one fate, the pieces, and the characters that were kept.
fn summary(tally: &Tally) -> (Fate, Vec<(Piece, u64)>, u64) {
    assert_eq!(tally.fates.values().sum::<u64>(), 1, "exactly one fate: {tally:?}");
    let fate = *tally.fates.keys().next().expect("one");
    (fate, tally.pieces.iter().map(|(piece, count)| (*piece, *count)).collect(), tally.characters_kept)
}

fn by_edits(after: &[Then]) -> (Fate, Vec<(Piece, u64)>, u64) {
    summary(&counted(&["compute(a,\n    b"], false, after))
}

#[test]
fn all_in_one_edit_is_accepted() {
    assert_eq!(by_edits(&[Edit(0, 0, "compute(a,\n    b")]), (Fate::Accepted, vec![(Piece::Whole, 1)], 16));
}

#[test]
fn what_follows_on_the_line_may_be_part_of_the_edit() {
    let whole = [Edit(0, 2, "compute(a,\n    b);")];
    assert_eq!(by_edits(&whole), (Fate::Accepted, vec![(Piece::Whole, 1)], 16));
    let rest = [Edit(0, 0, "c"), Edit(0, 3, "compute(a,\n    b);")];
    assert_eq!(by_edits(&rest), (Fate::Accepted, vec![(Piece::Whole, 1)], 15));
}

#[test]
fn words_and_lines_are_pieces() {
    let pieces = [Edit(0, 0, "compute"), Edit(7, 0, "(a,"), Edit(10, 0, "\n    b")];
    let expected = vec![(Piece::Whole, 1), (Piece::Word, 1), (Piece::Line, 1)];
    assert_eq!(by_edits(&pieces), (Fate::Accepted, expected, 16));
    assert_eq!(by_edits(&[Edit(0, 0, "compute")]), (Fate::AcceptedInPart, vec![(Piece::Word, 1)], 7));
    assert_eq!(by_edits(&[Edit(0, 0, "compute(a,")]), (Fate::AcceptedInPart, vec![(Piece::Line, 1)], 10));
    // What is done with a piece afterwards does not matter.
    assert_eq!(by_edits(&[Edit(0, 0, "compute"), Edit(7, 0, "_"), Edit(0, 0, "q")]).0, Fate::AcceptedInPart);
}

#[test]
fn typing_is_no_acceptance() {
    let typed =
        || "compute(a,\n    b".char_indices().map(|(index, _)| Edit(index, 0, &"compute(a,\n    b"[index..=index]));
    assert_eq!(by_edits(&typed().collect::<Vec<_>>()), (Fate::TypedOut, vec![], 0));
    assert_eq!(by_edits(&typed().take(3).collect::<Vec<_>>()), (Fate::Ignored, vec![], 0));
    assert_eq!(by_edits(&[Edit(0, 0, "x")]), (Fate::Ignored, vec![], 0));
    assert_eq!(by_edits(&[]), (Fate::Ignored, vec![], 0));
    // Edits elsewhere, also ones that bring the fill's own text.
    assert_eq!(by_edits(&[Edit(3, 0, "compute(a,\n    b")]), (Fate::Ignored, vec![], 0));
}

#[test]
fn any_of_several_candidates_may_be_the_one() {
    let tally = counted(&["abc", "a = b"], false, &[Edit(0, 0, "a = b")]);
    assert_eq!(summary(&tally), (Fate::Accepted, vec![(Piece::Whole, 1)], 5));
    assert_eq!(tally.characters_shown, 5);
}

#[test]
fn an_editors_word_counts_more_than_edits() {
    use FeedbackKind::{Accepted, AcceptedLine, AcceptedWord, Dismissed, Shown};
    let told = |after: &[Then]| summary(&counted(&["abc def"], true, after));
    assert_eq!(told(&[]), (Fate::NotSeen, vec![], 0));
    assert_eq!(told(&[Edit(0, 0, "abc def")]).0, Fate::NotSeen);
    assert_eq!(told(&[Told(Shown, 0)]), (Fate::Ignored, vec![], 0));
    assert_eq!(told(&[Told(Shown, 0), Told(Dismissed, 0)]), (Fate::Dismissed, vec![], 0));
    let word = [Told(Shown, 0), Told(AcceptedWord, 3), Edit(0, 0, "abc"), Told(Dismissed, 0)];
    assert_eq!(told(&word), (Fate::AcceptedInPart, vec![(Piece::Word, 1)], 3));
    // The word may come before the edit or after it.
    let whole = [Told(Shown, 0), Told(AcceptedLine, 3), Edit(0, 0, "abc"), Told(Accepted, 4), Edit(3, 0, " def")];
    assert_eq!(told(&whole), (Fate::Accepted, vec![(Piece::Whole, 1), (Piece::Line, 1)], 7));
    assert_eq!(told(&[Edit(0, 0, "abc def"), Told(Accepted, 7)]), (Fate::Accepted, vec![(Piece::Whole, 1)], 7));
    // More than there was is never kept.
    assert_eq!(told(&[Told(Accepted, u32::MAX)]).2, 7);
    assert_eq!(told(&[Told(Shown, 0), Edit(0, 0, "ab"), Edit(2, 0, "c def")]).2, 5, "an edit says it, too");
}

#[test]
fn an_editor_that_tells_only_of_acceptance_makes_it_certain() {
    let rest_of_one = [Edit(0, 0, "a"), Edit(1, 0, "b"), Told(FeedbackKind::Accepted, 1)];
    assert_eq!(summary(&counted(&["ab"], false, &rest_of_one)), (Fate::Accepted, vec![(Piece::Whole, 1)], 1));
    let whole = [Edit(0, 0, "ab"), Told(FeedbackKind::Accepted, 2)];
    assert_eq!(summary(&counted(&["ab"], false, &whole)), (Fate::Accepted, vec![(Piece::Whole, 1)], 2));
}

#[test]
fn the_same_place_asked_again_is_one_offer() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    let (stats, writer) = Stats::start(store.clone()).expect("a thread");
    let group = Group { language: Language::Rust, model: "fake".to_owned() };
    let at = |caret, fills: &[String], before| {
        Offer::new(stats.clone(), group.clone(), fills, &Anchor::new(caret), false, before)
    };
    let fills = ["abc".to_owned()];
    let offer = at(5, &fills, None);
    let offer = at(5, &fills, offer);
    let offer = at(6, &fills, offer);
    assert!(at(6, &[], offer).is_none());
    drop(writer);
    let tally = store.read().expect("counts").expect("some counts").total();
    assert_eq!(tally.with_fate(Fate::Ignored), 2);
}
