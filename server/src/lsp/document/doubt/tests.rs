use lacuna_engine::Language;
use tower_lsp::ls_types::{Position, Range, TextDocumentContentChangeEvent};

use super::Doubt;
use crate::lsp::document::Document;
use crate::lsp::positions::Encoding;

/// Four lines, the last of them empty.
const TEXT: &str = "a😀b\r\n漢字\r\nc\n";

fn change(start: (u32, u32), end: (u32, u32), range_length: Option<u32>) -> TextDocumentContentChangeEvent {
    let position = |(line, character)| Position::new(line, character);
    TextDocumentContentChangeEvent {
        range: Some(Range::new(position(start), position(end))),
        range_length,
        text: "x".to_owned(),
    }
}

fn doubt_after(start: (u32, u32), end: (u32, u32), range_length: Option<u32>, encoding: Encoding) -> Option<Doubt> {
    let mut document = Document::new(TEXT, 1, Language::Text);
    document.apply(&change(start, end, range_length), encoding);
    document.doubt()
}

#[test]
fn what_clients_may_send_raises_none() {
    for (start, end) in [
        ((0, 0), (0, 3)),
        ((0, 99), (0, u32::MAX)),
        ((0, 0), (u32::MAX, u32::MAX)),
        ((3, 0), (4, 0)),
        ((4, 0), (4, 0)),
        ((2, 1), (0, 1)),
    ] {
        assert_eq!(doubt_after(start, end, None, Encoding::Utf16), None, "{start:?} to {end:?}");
    }
}

#[test]
fn a_place_far_outside_raises_one() {
    assert_eq!(doubt_after((5, 0), (5, 0), None, Encoding::Utf16), Some(Doubt::BelowTheEnd));
    assert_eq!(doubt_after((5, 0), (9, 3), None, Encoding::Utf32), Some(Doubt::BelowTheEnd));
}

#[test]
fn a_place_inside_a_character_raises_one() {
    assert_eq!(doubt_after((0, 2), (0, 2), None, Encoding::Utf16), Some(Doubt::InsideCharacter));
    assert_eq!(doubt_after((1, 0), (1, 4), None, Encoding::Utf8), Some(Doubt::InsideCharacter));
    assert_eq!(doubt_after((0, 2), (0, 2), None, Encoding::Utf32), None);
}

#[test]
fn another_length_raises_one_however_the_client_counts() {
    // An emoji, a letter, a line's end of two characters, and another letter: 5, 6 or 9 units, or one less.
    let raises = |length| doubt_after((0, 1), (1, 1), Some(length), Encoding::Utf16);
    for length in 4..=10 {
        assert_eq!(raises(length), None, "{length}");
    }
    for length in [1, 3, 11, u32::MAX] {
        assert_eq!(raises(length), Some(Doubt::OtherLength), "{length}");
    }
    assert_eq!(raises(0), None, "some clients always send zero");
    // An end that was brought into the text says nothing of the length that was meant.
    assert_eq!(doubt_after((0, 0), (9, 0), Some(99), Encoding::Utf16), None);
}

#[test]
fn the_first_doubt_stays_until_the_whole_text_comes() {
    let mut document = Document::new(TEXT, 1, Language::Text);
    document.apply(&change((0, 2), (0, 2), None), Encoding::Utf16);
    document.apply(&change((0, 0), (0, 0), None), Encoding::Utf16);
    document.apply(&change((70, 0), (70, 0), None), Encoding::Utf16);
    assert_eq!(document.doubt(), Some(Doubt::InsideCharacter));
    let snapshot = document.clone();
    let whole = TextDocumentContentChangeEvent { range: None, range_length: None, text: TEXT.to_owned() };
    document.apply(&whole, Encoding::Utf16);
    assert_eq!((document.doubt(), document.text.to_string().as_str()), (None, TEXT));
    assert_eq!(snapshot.doubt(), Some(Doubt::InsideCharacter));
}
