//! What of a text may reach a terminal: nothing in a document may move the cursor, set a colour or turn the line around.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

use crate::syntax::lines::{lines, without_end};

/// The character itself, or a picture of it where it would do more than stand there.
pub(crate) fn visible(character: char) -> char {
    match character {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        // More controls, separators of lines, and marks that change the direction of the text after them.
        '\u{80}'..='\u{9f}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ => character,
    }
}

/// The text as it may be printed, with its lines and tabs.
pub(crate) fn printable(text: &str) -> String {
    let contents = lines(text).map(|line| without_end(line).chars().map(|c| if c == '\t' { c } else { visible(c) }));
    contents.map(|characters| characters.collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// The text in one line.
pub(crate) fn in_one_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(|character| visible(character) != character) {
        text.chars().map(visible).collect()
    } else {
        text.into()
    }
}

/// The text in lines of this width, broken at blanks; a longer word has a line of its own.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_become_pictures() {
        assert_eq!(printable("a\x1b[31m\tb\r\n\u{9b}2J\u{202e}c"), "a␛[31m\tb\n\u{fffd}2J\u{fffd}c");
        assert_eq!(in_one_line("a\nb"), "a␊b");
        assert_eq!(in_one_line("né 漢 🦀"), "né 漢 🦀");
    }

    #[test]
    fn paragraphs_are_broken_at_blanks() {
        assert_eq!(wrapped("a bb  ccc\ndd", 4), ["a bb", "ccc", "dd"]);
        assert_eq!(wrapped("abcdef gh", 4), ["abcdef", "gh"]);
        assert_eq!(wrapped("", 4), Vec::<String>::new());
        assert_eq!(wrapped("漢字 漢", 4), ["漢字", "漢"]);
    }
}
