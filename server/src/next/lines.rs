//! Lines, by tokens.

use std::collections::HashSet;
use std::ops::Range;

use super::tokens::Tokens;

/// Whether no token of the same line comes before.
pub(super) fn begins_line(tokens: &Tokens<'_>, at: usize) -> bool {
    at == 0 || tokens.get(at - 1) == "\n"
}

/// Whether no token of the same line stands there.
pub(super) fn ends_line(tokens: &Tokens<'_>, at: usize) -> bool {
    at >= tokens.len() || tokens.get(at) == "\n"
}

/// Whether agreement of so many tokens leads to the line's edge.
pub(super) fn reaches(tokens: &Tokens<'_>, at: usize, agreeing: usize, to_end: bool) -> bool {
    if to_end {
        (at..=at + agreeing).any(|index| ends_line(tokens, index))
    } else {
        (at - agreeing..=at).any(|index| begins_line(tokens, index))
    }
}

/// The tokens of the line or lines on which these are, without its end.
pub(super) fn line_around(tokens: &Tokens<'_>, indices: &Range<usize>) -> Range<usize> {
    let mut start = indices.start;
    while !begins_line(tokens, start) {
        start -= 1;
    }
    let mut end = indices.end;
    while !ends_line(tokens, end) {
        end += 1;
    }
    start..end
}

/// The share of tokens that two lines have in common.
pub(super) fn alike(tokens: &Tokens<'_>, a: &Range<usize>, b: &Range<usize>) -> f64 {
    let of = |range: &Range<usize>| tokens.texts(range.clone()).collect::<HashSet<_>>();
    let (a, b) = (of(a), of(b));
    let union = a.union(&b).count();
    if union == 0 { 0.0 } else { a.intersection(&b).count() as f64 / union as f64 }
}
