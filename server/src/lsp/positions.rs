//! Positions of the protocol to bytes of a document, and back.

use ropey::{Rope, RopeSlice};
use tower_lsp::ls_types::{Position, PositionEncodingKind};

/// What a position's `character` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Bytes.
    Utf8,
    /// UTF-16 code units.
    #[default]
    Utf16,
    /// Unicode scalar values.
    Utf32,
}

impl Encoding {
    /// The one to speak with a client that offers these: UTF-8 before the others, which need counting.
    pub(crate) fn negotiate(offered: &[PositionEncodingKind]) -> Self {
        [Self::Utf8, Self::Utf16, Self::Utf32]
            .into_iter()
            .find(|encoding| offered.contains(&encoding.kind()))
            .unwrap_or_default()
    }

    /// Its name in the protocol.
    pub(crate) fn kind(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
            Self::Utf32 => PositionEncodingKind::UTF32,
        }
    }

    /// The character that the given number of units lead to or into; the line's length where they lead past it.
    fn char_of_units(self, line: RopeSlice<'_>, units: usize) -> usize {
        match self {
            Self::Utf8 => line.byte_to_char(units.min(line.len_bytes())),
            Self::Utf16 => line.utf16_cu_to_char(units.min(line.len_utf16_cu())),
            Self::Utf32 => units.min(line.len_chars()),
        }
    }

    fn units_of_char(self, line: RopeSlice<'_>, char: usize) -> usize {
        match self {
            Self::Utf8 => line.char_to_byte(char),
            Self::Utf16 => line.char_to_utf16_cu(char),
            Self::Utf32 => char,
        }
    }
}

/// The byte at a position. A position past a line's end means the line's end, as the protocol has it; one past the
/// last line means the document's end, and one inside a character means the character's beginning.
pub(crate) fn byte_of_position(text: &Rope, position: Position, encoding: Encoding) -> usize {
    let Some((line_start_byte, line)) = line_without_end(text, position.line as usize) else {
        return text.len_bytes();
    };
    let char = encoding.char_of_units(line, position.character as usize);
    line_start_byte + line.char_to_byte(char)
}

/// Whether a position means a place inside a character, where no text can begin or end.
pub(crate) fn is_inside_character(text: &Rope, position: Position, encoding: Encoding) -> bool {
    let Some((_, line)) = line_without_end(text, position.line as usize) else {
        return false;
    };
    let units = position.character as usize;
    let reached = encoding.units_of_char(line, encoding.char_of_units(line, units));
    reached < units && reached < encoding.units_of_char(line, line.len_chars())
}

/// The position of a byte on a character boundary.
pub(crate) fn position_of_byte(text: &Rope, byte: usize, encoding: Encoding) -> Position {
    let byte = byte.min(text.len_bytes());
    let line_index = text.byte_to_line(byte);
    let Some((line_start_byte, line)) = line_without_end(text, line_index) else {
        return Position::new(line_index as u32, 0);
    };
    let char = line.byte_to_char((byte - line_start_byte).min(line.len_bytes()));
    Position::new(line_index as u32, encoding.units_of_char(line, char) as u32)
}

/// The byte where a byte's line ends, before its line break.
pub(crate) fn line_end_byte(text: &Rope, byte: usize) -> usize {
    let byte = byte.min(text.len_bytes());
    line_without_end(text, text.byte_to_line(byte)).map_or(byte, |(start, line)| start + line.len_bytes())
}

/// A line's first byte and its text without the line break.
fn line_without_end(text: &Rope, line_index: usize) -> Option<(usize, RopeSlice<'_>)> {
    let line = text.get_line(line_index)?;
    let chars = line.len_chars();
    let last = |back: usize| chars.checked_sub(back).map(|index| line.char(index));
    let break_chars = match (last(2), last(1)) {
        (Some('\r'), Some('\n')) => 2,
        (_, Some('\n' | '\r')) => 1,
        _ => 0,
    };
    Some((text.line_to_byte(line_index), line.slice(..chars - break_chars)))
}
