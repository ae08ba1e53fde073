//! Ends a fill where it begins to repeat the text after its hole.

use super::{Surroundings, brackets};
use crate::syntax::lines::is_blank;

/// Cuts the longest end of the fill that is also the beginning of what comes after, where that is no coincidence:
/// closing brackets that the fill has not opened, punctuation, the rest of the line, or whole lines.
pub(super) fn cut(fill: &str, around: &Surroundings<'_>) -> Option<(usize, String)> {
    // On a blank line the fill begins with that line's indentation, and may be the next line all over again.
    let line_before = around.line_before();
    let is_whole_line = is_blank(line_before) && around.after.starts_with(['\n', '\r']);
    let lead = if is_whole_line { format!("{}{line_before}", line_end(around.after)) } else { String::new() };
    let repeated = format!("{lead}{}", fill.trim_end());
    let limit = around.after.floor_char_boundary(repeated.len());
    let ends = (1..=limit).rev().filter(|&end| around.after.is_char_boundary(end));
    for end in ends {
        let overlap = &around.after[..end];
        let Some(start) = repeated.strip_suffix(overlap).map(str::len) else {
            continue;
        };
        // An overlap that begins in the blanks before the fill must be all of it.
        let kept = match start.checked_sub(lead.len()) {
            Some(kept) => kept,
            None if start == 0 => 0,
            None => continue,
        };
        if is_no_coincidence(overlap, around.after) && !brackets::are_opened_by_cutting(fill, kept) {
            let first_words: String = overlap.trim().chars().take(30).collect();
            return Some((kept, format!("`{first_words}` already stands after the hole.")));
        }
    }
    None
}

fn is_no_coincidence(overlap: &str, after: &str) -> bool {
    if is_blank(overlap) {
        return false;
    }
    let is_closing = |c: char| c.is_whitespace() || ")]}>\"'`;,:".contains(c);
    if overlap.chars().all(is_closing) {
        return true;
    }
    // A word or two in common is chance, unless nothing else is left on the line.
    let rest_of_line = after[overlap.len()..].split(['\n', '\r']).next().unwrap_or_default();
    rest_of_line.chars().all(is_closing) && overlap.chars().filter(|c| c.is_alphanumeric()).count() >= 3
}

fn line_end(text: &str) -> &str {
    if text.starts_with("\r\n") { "\r\n" } else { &text[..1] }
}
