//! Ends a fill before a closing bracket whose partner the text after the hole already closes.

use lacuna_engine::Language;

use super::Surroundings;

const KINDS: [(u8, u8); 3] = [(b'(', b')'), (b'[', b']'), (b'{', b'}')];

/// Cuts before the first bracket that closes something which the fill has not opened, and which needs no closing:
/// the brackets left open before the hole and those closed after it are as many.
pub(super) fn cut(fill: &str, around: &Surroundings<'_>) -> Option<(usize, String)> {
    if !matches!(around.language, Language::Rust | Language::Python) {
        return None;
    }
    let doubled = |&(opener, closer): &(u8, u8)| {
        let at = closing_of_nothing(fill, opener, closer)?;
        let open = left_open(around.before, opener, closer);
        let is_closed = open > 0 && open == closed_of_outside(around.after, opener, closer);
        is_closed.then_some((at, char::from(closer)))
    };
    let (at, closer) = KINDS.iter().filter_map(doubled).min()?;
    Some((at, format!("`{closer}` would close what is already closed after the hole.")))
}

/// Where the depth falls below the fill's own beginning for good: `} else {` closes, but opens again.
fn closing_of_nothing(fill: &str, opener: u8, closer: u8) -> Option<usize> {
    let (mut depth, mut at) = (0_isize, None);
    let mut quote = None;
    let mut escaped = false;
    for (index, byte) in fill.bytes().enumerate() {
        // Brackets in a string close nothing. A single quote may be a lifetime's.
        if byte == b'"' && !escaped {
            quote = if quote.is_none() { Some(byte) } else { None };
        }
        escaped = byte == b'\\' && !escaped;
        if quote.is_some() {
            continue;
        }
        if byte == opener {
            depth += 1;
            if depth >= 0 {
                at = None;
            }
        } else if byte == closer {
            depth -= 1;
            if depth == -1 {
                at = Some(index);
            }
        }
    }
    at
}

fn left_open(text: &str, opener: u8, closer: u8) -> usize {
    unpaired(text.bytes(), opener, closer)
}

fn closed_of_outside(text: &str, opener: u8, closer: u8) -> usize {
    unpaired(text.bytes().rev(), closer, opener)
}

/// How many of the one have no partner further on.
fn unpaired(bytes: impl Iterator<Item = u8>, one: u8, partner: u8) -> usize {
    bytes.fold(0_usize, |open, byte| match byte {
        _ if byte == one => open + 1,
        _ if byte == partner => open.saturating_sub(1),
        _ => open,
    })
}
