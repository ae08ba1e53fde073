use lacuna_engine::Language;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::prop_oneof;
use tower_lsp::ls_types::{Position, Range, TextDocumentContentChangeEvent};

use super::Document;
use crate::lsp::positions::{Encoding, byte_of_position, line_end_byte, position_of_byte};

const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

/// The same document kept in the plainest way there is: the reference that the rope is held against.
struct Plain(String);

impl Plain {
    /// The byte ranges of the lines without their ends.
    fn lines(&self) -> Vec<std::ops::Range<usize>> {
        let mut lines = Vec::new();
        let mut start = 0;
        let mut chars = self.0.char_indices().peekable();
        while let Some((index, char)) = chars.next() {
            let end_bytes = match char {
                '\r' if chars.next_if(|&(_, next)| next == '\n').is_some() => 2,
                '\r' | '\n' => 1,
                _ => continue,
            };
            lines.push(start..index);
            start = index + end_bytes;
        }
        lines.push(start..self.0.len());
        lines
    }

    fn byte_of(&self, position: Position, encoding: Encoding) -> usize {
        let Some(line) = self.lines().get(position.line as usize).cloned() else {
            return self.0.len();
        };
        let mut units = 0;
        for (index, char) in self.0[line.clone()].char_indices() {
            units += units_of(char, encoding);
            if units > position.character as usize {
                return line.start + index;
            }
        }
        line.end
    }

    fn position_of(&self, byte: usize, encoding: Encoding) -> Position {
        let lines = self.lines();
        let index = lines.iter().rposition(|line| line.start <= byte).expect("the first line begins at 0");
        let before = &self.0[lines[index].start..byte];
        Position::new(index as u32, before.chars().map(|char| units_of(char, encoding)).sum::<usize>() as u32)
    }
}

fn units_of(char: char, encoding: Encoding) -> usize {
    match encoding {
        Encoding::Utf8 => char.len_utf8(),
        Encoding::Utf16 => char.len_utf16(),
        Encoding::Utf32 => 1,
    }
}

/// Text with what goes wrong: wide characters of every width, and everything that anybody calls a line end.
fn text(max_pieces: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z ]{0,5}".boxed(),
        2 => proptest::sample::select(vec!["\n", "\r\n", "\r"]).prop_map(str::to_owned).boxed(),
        2 => proptest::sample::select(vec!["é", "漢字", "😀", "👩‍👩‍👧", "e\u{301}", "\u{feff}"]).prop_map(str::to_owned).boxed(),
        1 => proptest::sample::select(vec!["\u{2028}", "\u{85}", "\u{c}", "\u{b}"]).prop_map(str::to_owned).boxed(),
    ];
    proptest::collection::vec(piece, 0..max_pieces).prop_map(|pieces| pieces.concat())
}

fn position() -> impl Strategy<Value = Position> {
    let coordinate = |likely: u32| prop_oneof![20 => 0..likely, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    (coordinate(12), coordinate(16)).prop_map(|(line, character)| Position::new(line, character))
}

fn change() -> impl Strategy<Value = TextDocumentContentChangeEvent> {
    let range = (position(), position()).prop_map(|(start, end)| Range::new(start, end));
    (proptest::option::weighted(0.97, range), text(4)).prop_map(|(range, text)| TextDocumentContentChangeEvent {
        range,
        range_length: None,
        text,
    })
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 400, ..Default::default() })]

    #[test]
    fn a_document_follows_edits_as_a_plain_string_does(
        initial in text(60),
        changes in proptest::collection::vec(change(), 1..30),
        encoding in proptest::sample::select(ENCODINGS.to_vec()),
    ) {
        let mut plain = Plain(initial.clone());
        let mut document = Document::new(&initial, 0, Language::Text);
        for change in &changes {
            let edit = document.apply(change, encoding);
            let gone = &plain.0[edit.removed.clone()];
            match change.range {
                None => {
                    prop_assert!(edit.is_empty() || gone.chars().next() != edit.inserted.chars().next());
                    prop_assert!(edit.is_empty() || gone.chars().next_back() != edit.inserted.chars().next_back());
                    prop_assert_eq!(document.doubt(), None);
                    plain.0.replace_range(edit.removed.clone(), edit.inserted);
                    prop_assert_eq!(plain.0.as_str(), change.text.as_str());
                }
                Some(range) => {
                    let (start, end) = (plain.byte_of(range.start, encoding), plain.byte_of(range.end, encoding));
                    prop_assert_eq!(&edit.removed, &(start.min(end)..start.max(end)));
                    plain.0.replace_range(edit.removed.clone(), edit.inserted);
                }
            }
            prop_assert_eq!(document.text.to_string(), plain.0.as_str());
            document.text.assert_invariants();
        }
        prop_assert_eq!(document.text.len_lines(), plain.lines().len());
        for (byte, _) in plain.0.char_indices() {
            let line = plain.lines().into_iter().rfind(|line| line.start <= byte).expect("a line");
            prop_assert_eq!(line_end_byte(&document.text, byte), line.end);
            // Nothing in the protocol names the place inside a line break.
            if byte <= line.end {
                let position = position_of_byte(&document.text, byte, encoding);
                prop_assert_eq!(position, plain.position_of(byte, encoding));
                prop_assert_eq!(byte_of_position(&document.text, position, encoding), byte);
            }
        }
    }
}

#[test]
fn a_whole_text_is_an_edit_of_what_differs() {
    for (old, new, removed, inserted) in [
        ("fn f() {}", "fn f() {}", 9..9, ""),
        ("aa", "aaa", 2..2, "a"),
        ("aaa", "a", 1..3, ""),
        ("", "é", 0..0, "é"),
        // The first byte of both is the same, and so is the last one.
        ("a漢b", "a漣b", 1..4, "漣"),
        ("xÿ", "xÃ", 1..3, "Ã"),
        ("x\u{10ffff}y", "x\u{ffff}y", 1..5, "\u{ffff}"),
    ] {
        let mut document = Document::new(old, 0, Language::Text);
        let edit = document.resynchronise(new);
        assert_eq!((edit.removed, edit.inserted), (removed, inserted), "{old:?} to {new:?}");
        assert_eq!(document.text.to_string(), new);
    }
}

#[test]
fn a_position_beyond_the_text_means_the_nearest_place_in_it() {
    let document = Document::new("漢😀\r\nb", 0, Language::Text);
    for (encoding, inside_emoji, emoji_start) in
        [(Encoding::Utf8, 5, 3), (Encoding::Utf16, 2, 3), (Encoding::Utf32, 1, 3)]
    {
        let byte = |line, character| byte_of_position(&document.text, Position::new(line, character), encoding);
        assert_eq!(byte(0, inside_emoji), emoji_start, "{encoding:?}");
        assert_eq!(byte(0, 99), 7, "{encoding:?}");
        assert_eq!(byte(1, 99), 10, "{encoding:?}");
        assert_eq!(byte(2, 0), 10, "{encoding:?}");
    }
}

#[test]
fn the_encoding_is_one_that_the_client_offers_and_utf8_where_it_may_be() {
    let negotiate = |offered: &[&'static str]| {
        let offered: Vec<_> = offered.iter().map(|name| (*name).to_owned().into()).collect();
        Encoding::negotiate(&offered)
    };
    assert_eq!(negotiate(&[]), Encoding::Utf16);
    assert_eq!(negotiate(&["utf-7"]), Encoding::Utf16);
    assert_eq!(negotiate(&["utf-32"]), Encoding::Utf32);
    assert_eq!(negotiate(&["utf-32", "utf-16"]), Encoding::Utf16);
    assert_eq!(negotiate(&["utf-32", "utf-16", "utf-8"]), Encoding::Utf8);
}
