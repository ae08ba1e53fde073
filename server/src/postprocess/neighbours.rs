//! Rejects a fill that makes its line the same as the one above or below.

use super::Surroundings;
use crate::syntax::lines::{is_blank, lines};

/// Cuts all of a fill of one line that would stand there twice. Lines of punctuation may.
pub(super) fn cut(fill: &str, around: &Surroundings<'_>) -> Option<(usize, String)> {
    let fill_line = fill.trim();
    if fill_line.contains(['\n', '\r']) {
        return None;
    }
    let rest = around.after.split(['\n', '\r']).next().unwrap_or_default();
    let line_before = around.line_before();
    let line = format!("{line_before}{}{rest}", fill.trim_end());
    let line = line.trim();
    if line.chars().filter(|c| c.is_alphanumeric()).count() < 3 {
        return None;
    }
    let above = &around.before[..around.before.len() - line_before.len()];
    let above = above.rsplit(['\n', '\r']).find(|line| !is_blank(line));
    let below = lines(&around.after[rest.len()..]).find(|line| !is_blank(line));
    let is_same = |other: Option<&str>| other.is_some_and(|other| other.trim() == line);
    let place = if is_same(below) {
        "next"
    } else if is_same(above) {
        "previous"
    } else {
        return None;
    };
    Some((0, format!("The line would be the same as the {place} line.")))
}
