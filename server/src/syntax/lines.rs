//! Lines, which end at `\n`, `\r\n` and `\r` only.

use std::ops::Range;

/// The text's lines with their ends. After a line's end at the end of the text there is one more line, an empty one.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let after = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[after..]);
        Some(&text[..after])
    })
}

/// A line without its end.
pub(crate) fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

/// Where the line begins and ends on which the offset stands, without the line's end.
pub(crate) fn line_range(text: &str, byte_offset: usize) -> Range<usize> {
    let start = text[..byte_offset].rfind(['\n', '\r']).map_or(0, |line_end| line_end + 1);
    let end = text[byte_offset..].find(['\n', '\r']).map_or(text.len(), |length| byte_offset + length);
    start..end
}

/// The nearest place at or before the offset where a caret can stand.
pub(super) fn floor_caret(text: &str, byte_offset: usize) -> usize {
    let floor = text.floor_char_boundary(byte_offset);
    let splits_line_end = text[..floor].ends_with('\r') && text[floor..].starts_with('\n');
    if splits_line_end { floor - 1 } else { floor }
}

/// Whether there is nothing to see in the text.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// The blanks that a line begins with.
pub(crate) fn indentation(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn each_line_has_its_end() {
        let of = |text| lines(text).collect::<Vec<_>>();
        assert_eq!(of(""), [""]);
        assert_eq!(of("a"), ["a"]);
        assert_eq!(of("a\n"), ["a\n", ""]);
        assert_eq!(of("a\r\nb\rc\n\nd\u{2028}e"), ["a\r\n", "b\r", "c\n", "\n", "d\u{2028}e"]);
    }
}
