//! Brackets, where there is no grammar to say what they mean.

use std::collections::HashMap;
use std::ops::Range;

const BRACKETS: [(u8, u8); 3] = [(b'(', b')'), (b'[', b']'), (b'{', b'}')];
/// How far around a fill brackets may have their partners.
const REACH_BYTES: usize = 8 << 10;

/// Where the brackets stand, in bytes of the whole text, that have no partner near a fill.
pub(super) fn unmatched(before: &str, fill: &str, after: &str) -> Vec<Range<usize>> {
    let first = before.ceil_char_boundary(before.len().saturating_sub(REACH_BYTES));
    let after = &after[..after.floor_char_boundary(REACH_BYTES)];
    let text = [&before[first..], fill, after].concat();
    let (_, alone) = pair(&text);
    alone.into_iter().map(|at| first + at..first + at + 1).collect()
}

/// Each bracket's partner, both ways.
pub(super) fn partners(text: &str) -> HashMap<usize, usize> {
    pair(text).0.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

/// Pairs of brackets, and those without a partner, ascending.
fn pair(text: &str) -> (Vec<(usize, usize)>, Vec<usize>) {
    let (mut pairs, mut alone, mut open): (Vec<_>, Vec<usize>, Vec<(usize, u8)>) = Default::default();
    for (at, byte) in text.bytes().enumerate() {
        if let Some((_, closer)) = BRACKETS.iter().find(|(opener, _)| *opener == byte) {
            open.push((at, *closer));
        } else if BRACKETS.iter().any(|(_, closer)| *closer == byte) {
            // A closer takes the nearest opener of its kind; those opened since have no partner.
            match open.iter().rposition(|(_, closer)| *closer == byte) {
                Some(index) => {
                    pairs.push((open[index].0, at));
                    alone.extend(open.drain(index..).skip(1).map(|(at, _)| at));
                }
                None => alone.push(at),
            }
        }
    }
    alone.extend(open.into_iter().map(|(at, _)| at));
    alone.sort_unstable();
    (pairs, alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_find_their_partners() {
        assert_eq!(pair("(a[b])"), (vec![(2, 4), (0, 5)], vec![]));
        assert_eq!(pair("(a[b)"), (vec![(0, 4)], vec![2]));
        assert_eq!(pair("a)("), (vec![], vec![1, 2]));
    }

    #[test]
    fn a_partner_may_stand_around_the_fill() {
        assert_eq!(unmatched("f(", "a", ")"), Vec::<Range<usize>>::new());
        let alone: Vec<usize> = unmatched("f(", "a]{", ")").into_iter().map(|at| at.start).collect();
        assert_eq!(alone, [3, 4]);
    }
}
