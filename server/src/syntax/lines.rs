//! Lines, which end at `\n`, `\r\n` and `\r` only.

use std::ops::Range;

/// Where the line begins and ends on which the offset stands, without the line's end.
pub(super) fn line_range(text: &str, byte_offset: usize) -> Range<usize> {
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
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// The blanks that a line begins with.
pub(super) fn indentation(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}
