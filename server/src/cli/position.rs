//! Places in a text as people count them.

use std::num::NonZeroUsize;
use std::str::FromStr;

use anyhow::{anyhow, bail};

use crate::syntax::lines::{lines, without_end};

/// A line and a column, both from 1; the column counts Unicode scalar values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(crate) struct Position {
    pub(crate) line: NonZeroUsize,
    #[serde(rename = "col")]
    pub(crate) column: NonZeroUsize,
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once(':').and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
        let (line, column) = numbers.ok_or("expected LINE:COL, two numbers from 1")?;
        Ok(Self { line, column })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// The byte offset of a position, up to just past the last character of its line.
pub(crate) fn byte_offset_of(text: &str, position: Position) -> anyhow::Result<usize> {
    let Position { line, column } = position;
    let mut line_start = 0;
    let mut count = 0;
    for content in lines(text) {
        count += 1;
        if count < line.get() {
            line_start += content.len();
            continue;
        }
        let content = without_end(content);
        let mut carets = content.char_indices().map(|(offset, _)| offset).chain([content.len()]);
        let offset = carets.nth(column.get() - 1).ok_or_else(|| {
            let (width, total) = (content.chars().count(), lines(text).count());
            anyhow!("{position} is past the end of line {line} of {total}, which has {width} characters")
        })?;
        return Ok(line_start + offset);
    }
    bail!("{position} is past the end: there are {count} lines")
}

/// The position of a byte offset that is on a character boundary.
pub(crate) fn position_of(text: &str, byte_offset: usize) -> Position {
    let last = lines(&text[..byte_offset]).enumerate().last();
    let (line, before) = last.unwrap_or_default();
    let from_one = |number: usize| NonZeroUsize::MIN.saturating_add(number);
    Position { line: from_one(line), column: from_one(before.chars().count()) }
}

/// The positions of ascending byte offsets that are on character boundaries, in one go through the text.
pub(crate) fn positions_of(text: &str, byte_offsets: impl Iterator<Item = usize>) -> impl Iterator<Item = Position> {
    let (mut at, mut line, mut column) = (0, NonZeroUsize::MIN, NonZeroUsize::MIN);
    byte_offsets.map(move |byte_offset| {
        let (newer_lines, last) = lines(&text[at..byte_offset]).enumerate().last().unwrap_or_default();
        if newer_lines > 0 {
            (line, column) = (line.saturating_add(newer_lines), NonZeroUsize::MIN);
        }
        column = column.saturating_add(last.chars().count());
        at = byte_offset;
        Position { line, column }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offset(text: &str, position: &str) -> Result<usize, String> {
        byte_offset_of(text, position.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_count_scalar_values() {
        assert_eq!(offset("é🦀x\n", "1:3"), Ok(6));
        assert_eq!(offset("e\u{301}x", "1:3"), Ok(3));
    }

    #[test]
    fn just_past_the_end_is_a_place() {
        assert_eq!(offset("", "1:1"), Ok(0));
        assert_eq!(offset("ab\r\ncd", "1:3"), Ok(2));
        assert_eq!(offset("ab\rcd", "2:3"), Ok(5));
        assert_eq!(offset("ab\n", "2:1"), Ok(3));
    }

    #[test]
    fn further_is_none() {
        let error = offset("ab\ncd\n", "1:4").unwrap_err();
        assert_eq!(error, "1:4 is past the end of line 1 of 3, which has 2 characters");
        assert_eq!(offset("ab\n", "3:1").unwrap_err(), "3:1 is past the end: there are 2 lines");
    }

    #[test]
    fn what_is_no_position() {
        for text in ["", "1", "1:", ":1", "0:1", "1:0", "-1:1", "1:1:1", "a:b", "99999999999999999999:1"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_caret_has_a_position(text in any::<String>(), at in 0_usize..100) {
            let caret = crate::syntax::hole_of_range(&text, at..at).byte_range.start;
            prop_assert_eq!(byte_offset_of(&text, position_of(&text, caret)).unwrap(), caret);
        }

        #[test]
        fn many_positions_are_those_of_each(text in "[a\\r\\né🦀]{0,40}", at in prop::collection::vec(0_usize..100, 0..6)) {
            let caret = |at: usize| crate::syntax::hole_of_range(&text, at..at).byte_range.start;
            let mut carets: Vec<_> = at.into_iter().map(caret).collect();
            carets.sort_unstable();
            let expected: Vec<_> = carets.iter().map(|caret| position_of(&text, *caret)).collect();
            prop_assert_eq!(positions_of(&text, carets.into_iter()).collect::<Vec<_>>(), expected);
        }
    }
}
