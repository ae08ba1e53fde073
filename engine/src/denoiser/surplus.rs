//! Holes that start too long: the rows that are left over go.

use std::ops::Range;

use crate::backend::RowOutcome;

/// The rows at a hole's end that hold no text for certain: all but the first of those whose deletion has been
/// accepted. The first stays, because it is the decision that the text ends there, and may be taken back.
///
/// `outcomes` and `accepted` are the hole's own; the result counts from its first row.
pub(super) fn surplus(outcomes: &[RowOutcome], accepted: &[bool], delete: u32) -> Range<usize> {
    let deleted = outcomes
        .iter()
        .zip(accepted)
        .rev()
        .take_while(|(outcome, accepted)| **accepted && outcome.sample == delete && outcome.argmax == delete)
        .count();
    outcomes.len() - deleted.saturating_sub(1)..outcomes.len()
}

/// Where a row is after `removed` rows went; `None` if it was one of them.
pub(super) fn moved(row: usize, removed: &Range<usize>) -> Option<usize> {
    match row {
        row if row < removed.start => Some(row),
        row if row < removed.end => None,
        row => Some(row - removed.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELETE: u32 = 5;

    fn of(tokens: &[u32], accepted: &[bool]) -> Range<usize> {
        let outcomes: Vec<RowOutcome> =
            tokens.iter().map(|token| RowOutcome { argmax: *token, sample: *token, ..RowOutcome::default() }).collect();
        surplus(&outcomes, accepted, DELETE)
    }

    #[test]
    fn all_but_the_first_deleted_row_go() {
        assert_eq!(of(&[9, DELETE, DELETE, DELETE], &[true; 4]), 2..4);
        assert_eq!(of(&[DELETE, DELETE], &[true; 2]), 1..2);
        assert_eq!(of(&[9, DELETE], &[true; 2]), 2..2);
        assert_eq!(of(&[9, 9], &[true; 2]), 2..2);
    }

    #[test]
    fn what_is_not_accepted_ends_the_tail() {
        assert_eq!(of(&[9, DELETE, DELETE, DELETE], &[true, true, false, true]), 4..4);
        assert_eq!(of(&[9, DELETE, DELETE, DELETE], &[false, false, true, true]), 3..4);
    }

    #[test]
    fn a_deleted_row_before_text_stays() {
        assert_eq!(of(&[DELETE, 9, DELETE, DELETE], &[true; 4]), 3..4);
    }

    #[test]
    fn rows_behind_move_up() {
        assert_eq!([1, 2, 3, 4].map(|row| moved(row, &(2..4))), [Some(1), None, None, Some(2)]);
        assert_eq!(moved(7, &(2..2)), Some(7));
    }
}
