//! What a piece of code opens and does not close.

/// Whether the first `length` bytes leave something open that the whole fill closes.
pub(super) fn are_opened_by_cutting(fill: &str, length: usize) -> bool {
    let (kept, whole) = (Open::of(&fill[..length]), Open::of(fill));
    let quote = kept.quotes.iter().zip(whole.quotes).any(|(&kept, whole)| kept && !whole);
    quote || kept.brackets.iter().zip(whole.brackets).any(|(&kept, whole)| kept > whole)
}

const BRACKETS: [(char, char); 4] = [('(', ')'), ('[', ']'), ('{', '}'), ('<', '>')];
const QUOTES: [char; 3] = ['"', '\'', '`'];

#[derive(Default)]
struct Open {
    /// Of each kind, how many brackets have no partner to the right.
    brackets: [usize; 4],
    /// Of each kind, whether the number of quotes is odd.
    quotes: [bool; 3],
}

impl Open {
    /// Kinds are counted apart, so that a comparison's `<` doesn't hide the brackets around it.
    fn of(text: &str) -> Self {
        let mut open = Self::default();
        let mut previous = ' ';
        for character in text.chars() {
            let is_arrow = character == '>' && matches!(previous, '-' | '=');
            for (count, (opener, closer)) in open.brackets.iter_mut().zip(BRACKETS) {
                if character == opener {
                    *count += 1;
                } else if character == closer && !is_arrow {
                    *count = count.saturating_sub(1);
                }
            }
            for (odd, quote) in open.quotes.iter_mut().zip(QUOTES) {
                *odd ^= character == quote;
            }
            previous = character;
        }
        open
    }
}
