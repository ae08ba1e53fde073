use std::fmt;
use std::ops::Range as ByteRange;

use ropey::Rope;
use tower_lsp::ls_types::{Range, TextDocumentContentChangeEvent};

use crate::lsp::positions::{Encoding, is_inside_character};

/// Why an edit cannot have been meant for the text that it was applied to.
///
/// Whatever a client may have a right to send, or is known to send for something else, is none: a character past its
/// line's end, an end past the document's, a beginning on the line after the last one, a range that is the wrong way
/// around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It begins more than one line below the last one.
    BelowTheEnd,
    /// It begins or ends inside a character: client and server count differently.
    InsideCharacter,
    /// It says that it replaces more or less than it does.
    OtherLength,
}

impl Doubt {
    /// What is wrong with a change of the range, which is that of the bytes in the text before it.
    pub(super) fn of(
        change: &TextDocumentContentChangeEvent,
        range: Range,
        text: &Rope,
        removed: &ByteRange<usize>,
        encoding: Encoding,
    ) -> Option<Self> {
        let lines = text.len_lines();
        let (start_line, end_line) = (range.start.line as usize, range.end.line as usize);
        if start_line.min(end_line) > lines {
            return Some(Self::BelowTheEnd);
        }
        if is_inside_character(text, range.start, encoding) || is_inside_character(text, range.end, encoding) {
            return Some(Self::InsideCharacter);
        }
        // The deprecated length, where it can be relied on: not where the end was brought into the text, and not
        // where it is zero, which some clients always say.
        let length = change.range_length.filter(|&length| length != 0 && start_line.max(end_line) < lines)?;
        (!lengths(text, removed).contains(&(length as usize))).then_some(Self::OtherLength)
    }
}

/// How long clients may say some text is. They count bytes, UTF-16 code units or characters, whatever encoding was
/// agreed on, and a line's end as one or as what it is.
fn lengths(text: &Rope, bytes: &ByteRange<usize>) -> std::ops::RangeInclusive<usize> {
    let chars = text.byte_to_char(bytes.end) - text.byte_to_char(bytes.start);
    let breaks = text.byte_to_line(bytes.end) - text.byte_to_line(bytes.start);
    chars.saturating_sub(breaks)..=bytes.len()
}

impl fmt::Display for Doubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BelowTheEnd => "it begins below the last line",
            Self::InsideCharacter => "it begins or ends inside a character",
            Self::OtherLength => "it gives another length for the text that it replaces",
        })
    }
}

#[cfg(test)]
mod tests;
