//! Ends or rejects a fill that breaks the syntax of the text around it.

use std::time::{Duration, Instant};

use super::Surroundings;
use crate::syntax::lines::lines;
use crate::syntax::{Checker, grammar};

/// A fill whose check takes longer than this is left alone.
const BUDGET: Duration = Duration::from_millis(60);
/// How many shorter beginnings of a fill are tried.
const TRIES: usize = 8;

/// Cuts to the most lines with which the text has no more errors than it had without the fill.
pub(super) fn cut(fill: &str, around: &Surroundings<'_>) -> Option<(usize, String)> {
    // Without a grammar nothing is sure enough to cut.
    grammar(around.language)?;
    let mut checker = Checker::new(around.before, around.after, around.language, Instant::now() + BUDGET)?;
    let mut fits = |kept: &str| checker.damage(kept).map(|damage| damage.errors == 0);
    if fits(fill)? {
        return None;
    }
    let ends = lines(fill).scan(0, |end, line| {
        *end += line.len();
        Some(*end)
    });
    let mut ends: Vec<usize> = ends.filter(|&end| end < fill.len()).collect();
    ends.reverse();
    for &end in ends.iter().take(TRIES) {
        let kept = fill[..end].trim_end().len();
        if kept > 0 && fits(&fill[..kept])? {
            return Some((kept, "What follows would break the syntax.".to_owned()));
        }
    }
    Some((0, "The fill would break the syntax.".to_owned()))
}
