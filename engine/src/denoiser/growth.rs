//! Holes that start too short: where no row is left over, more are added.

use std::ops::Range;

use crate::backend::RowOutcome;

/// Rows that a hole grows by at a time.
const GROWTH_ROWS: usize = 8;
/// A first draft is too rough to say that a hole is full.
const STEPS_BEFORE: usize = 2;

/// How far a hole may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    /// Its rows at most.
    pub(super) hole_rows: usize,
    /// Rows of the whole canvas at most.
    pub(super) canvas_rows: usize,
}

impl Growth {
    /// How many rows a hole gets: none as long as one of its rows is thought to hold no text, because its text ends
    /// there.
    pub(super) fn of(
        self,
        outcomes: &[RowOutcome],
        delete: u32,
        steps: usize,
        is_done: bool,
        canvas_rows: usize,
    ) -> usize {
        let is_full = outcomes.iter().all(|outcome| outcome.argmax != delete);
        if !is_full || (steps < STEPS_BEFORE && !is_done) {
            return 0;
        }
        let in_hole = self.hole_rows.saturating_sub(outcomes.len());
        let on_canvas = self.canvas_rows.saturating_sub(canvas_rows);
        GROWTH_ROWS.min(in_hole).min(on_canvas)
    }
}

/// Where a row is after `inserted` rows came before what was in their place.
pub(super) fn pushed(row: usize, inserted: &Range<usize>) -> usize {
    if row < inserted.start { row } else { row + inserted.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELETE: u32 = 5;
    const GROWTH: Growth = Growth { hole_rows: 20, canvas_rows: 40 };

    fn outcomes(tokens: &[u32]) -> Vec<RowOutcome> {
        tokens.iter().map(|token| RowOutcome { argmax: *token, ..RowOutcome::default() }).collect()
    }

    #[test]
    fn a_full_hole_grows_and_no_other() {
        assert_eq!(GROWTH.of(&outcomes(&[9, 9]), DELETE, 2, false, 10), 8);
        assert_eq!(GROWTH.of(&outcomes(&[9, DELETE]), DELETE, 2, false, 10), 0);
        assert_eq!(GROWTH.of(&outcomes(&[DELETE, 9]), DELETE, 2, true, 10), 0);
    }

    #[test]
    fn a_first_draft_counts_only_where_it_is_the_last() {
        assert_eq!(GROWTH.of(&outcomes(&[9, 9]), DELETE, 1, false, 10), 0);
        assert_eq!(GROWTH.of(&outcomes(&[9, 9]), DELETE, 1, true, 10), 8);
    }

    #[test]
    fn limits_are_kept() {
        assert_eq!(GROWTH.of(&outcomes(&[9; 17]), DELETE, 2, false, 20), 3);
        assert_eq!(GROWTH.of(&outcomes(&[9; 20]), DELETE, 2, false, 20), 0);
        assert_eq!(GROWTH.of(&outcomes(&[9; 2]), DELETE, 2, false, 39), 1);
    }

    #[test]
    fn rows_behind_move_down() {
        assert_eq!([1, 2, 3].map(|row| pushed(row, &(2..5))), [1, 5, 6]);
    }
}
