//! The canvas: pinned tokens around and between holes.

use std::ops::Range;

/// A set of token ids below a vocabulary's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenSet {
    words: Vec<u64>,
}

impl TokenSet {
    /// The set of the ids for which `contains` holds.
    pub(crate) fn from_predicate(vocabulary: usize, mut contains: impl FnMut(u32) -> bool) -> Self {
        let mut words = vec![0_u64; vocabulary.div_ceil(64)];
        for id in 0..vocabulary {
            if contains(id as u32) {
                words[id / 64] |= 1 << (id % 64);
            }
        }
        Self { words }
    }

    /// Whether `id` is in the set; ids beyond the vocabulary are not.
    #[cfg(test)]
    pub(crate) fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// The members as bits, the lowest id first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The `index`-th id in ascending order.
    pub(crate) fn nth(&self, index: usize) -> Option<u32> {
        let mut left = index;
        for (position, word) in self.words.iter().enumerate() {
            let ones = word.count_ones() as usize;
            if left < ones {
                let mut word = *word;
                for _ in 0..left {
                    word &= word - 1;
                }
                return Some((position * 64) as u32 + word.trailing_zeros());
            }
            left -= ones;
        }
        None
    }
}

/// One row of a canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// Known, and never changed.
    Pinned(u32),
    /// Unknown.
    Hole {
        /// Which of the run's token sets may stand here; all tokens where it is `None`.
        allowed: Option<usize>,
    },
}

impl Row {
    /// Which of the run's token sets may stand here; `None` where all tokens may, or where one is pinned.
    pub(crate) fn allowed(self) -> Option<usize> {
        match self {
            Self::Hole { allowed } => allowed,
            Self::Pinned(_) => None,
        }
    }

    /// The token that is known to stand here, if there is one.
    pub(crate) fn pinned(self) -> Option<u32> {
        match self {
            Self::Pinned(token) => Some(token),
            Self::Hole { .. } => None,
        }
    }
}

/// A canvas: its rows, and the token that stands in each now.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    rows: Vec<Row>,
    tokens: Vec<u32>,
}

impl Canvas {
    /// A canvas whose hole rows hold what `start` gives for their row.
    pub(crate) fn new(rows: Vec<Row>, mut start: impl FnMut(usize) -> u32) -> Self {
        let tokens = rows
            .iter()
            .enumerate()
            .map(|(row, content)| match content {
                Row::Pinned(token) => *token,
                Row::Hole { .. } => start(row),
            })
            .collect();
        Self { rows, tokens }
    }

    /// Rows, pinned ones included.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The token in every row.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The rows that are not pinned, ascending.
    pub(crate) fn hole_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.iter().enumerate().filter(|(_, row)| matches!(row, Row::Hole { .. })).map(|(index, _)| index)
    }

    /// What `row` is.
    pub(crate) fn row(&self, row: usize) -> Row {
        self.rows[row]
    }

    /// Puts equal rows with these tokens before the row at `index`; it and those behind it move down.
    pub(crate) fn insert(&mut self, index: usize, row: Row, tokens: &[u32]) {
        self.rows.splice(index..index, std::iter::repeat_n(row, tokens.len()));
        self.tokens.splice(index..index, tokens.iter().copied());
    }

    /// Takes rows away; those behind them move up.
    pub(crate) fn remove(&mut self, rows: Range<usize>) {
        self.rows.drain(rows.clone());
        self.tokens.drain(rows);
    }

    /// Puts `token` into `row`; a pinned row stays as it is.
    pub(crate) fn set(&mut self, row: usize, token: u32) {
        if matches!(self.rows[row], Row::Hole { .. }) {
            self.tokens[row] = token;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_set_counts_and_finds_its_members() {
        let set = TokenSet::from_predicate(200, |id| id % 7 == 3);
        let members: Vec<u32> = (0..200).filter(|id| id % 7 == 3).collect();
        assert_eq!(set.len(), members.len());
        for (index, member) in members.iter().enumerate() {
            assert_eq!(set.nth(index), Some(*member));
            assert!(set.contains(*member) && !set.contains(member + 1));
        }
        assert_eq!(set.nth(members.len()), None);
        assert!(!set.contains(200) && !set.contains(u32::MAX));
    }

    #[test]
    fn rows_behind_removed_ones_move_up() {
        let mut canvas =
            Canvas::new(vec![Row::Hole { allowed: None }, Row::Hole { allowed: None }, Row::Pinned(7)], |row| {
                row as u32
            });
        canvas.remove(1..2);
        assert_eq!(canvas.tokens(), [0, 7]);
        assert_eq!(canvas.row(1), Row::Pinned(7));
        assert_eq!(canvas.hole_rows().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_pinned_row_cannot_be_set() {
        let mut canvas = Canvas::new(vec![Row::Pinned(5), Row::Hole { allowed: None }], |_| 9);
        assert_eq!(canvas.tokens(), [5, 9]);
        canvas.set(0, 1);
        canvas.set(1, 2);
        assert_eq!(canvas.tokens(), [5, 2]);
        assert_eq!(canvas.hole_rows().collect::<Vec<_>>(), [1]);
    }
}
