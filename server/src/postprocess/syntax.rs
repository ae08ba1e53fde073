//! Ends or rejects a fill that breaks the syntax of the text around it.

use std::time::{Duration, Instant};

use lacuna_engine::{Extent, Language};

use super::Surroundings;
use crate::syntax::lines::{is_blank, lines};
use crate::syntax::{Checker, grammar};

/// A fill whose check takes longer than this is left alone.
const BUDGET: Duration = Duration::from_millis(60);
/// How many shorter beginnings of a fill are tried.
const TRIES: usize = 8;
/// What a line may lack at its end, in any language and, more likely, in one of them.
const MARKS: [&str; 8] = [")", "]", ",", "),", "))", "\"", "\",", "\")"];
const RUST_MARKS: [&str; 4] = [";", ");", " {", ") {"];
const PYTHON_MARKS: [&str; 3] = [":", "):", "\"):"];

/// Cuts to the most lines with which the text has no more errors than it had without the fill.
pub(super) fn cut(fill: &str, around: &Surroundings<'_>) -> Option<(usize, String)> {
    // Without a grammar nothing is sure enough to cut.
    grammar(around.language)?;
    let mut checker = Checker::new(around.before, around.after, around.language, Instant::now() + BUDGET)?;
    let mut fits = |kept: &str| checker.damage(kept).map(|damage| damage.errors == 0);
    if fits(fill)? {
        return lacking(fill, around, &mut checker).map(|reason| (0, reason));
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

/// Why a fill for the rest of a line is none, though it breaks nothing that was not broken without it: with a mark behind
/// it the text has fewer errors, or with a mark instead of its words none at all. Then the line is to go on in another way,
/// whatever else is wrong with the text.
///
/// A text that ends here is one that somebody is still writing, and any beginning is good.
fn lacking(fill: &str, around: &Surroundings<'_>, checker: &mut Checker<'_>) -> Option<String> {
    let is_rest = around.extent == Extent::Line && around.ends_line() && !is_blank(around.after);
    let errors = if is_rest { checker.errors(fill)? } else { 0 };
    if errors == 0 {
        return None;
    }
    let has_words = fill.chars().any(char::is_alphanumeric);
    let of_language: &[&str] = if around.language == Language::Rust { &RUST_MARKS } else { &PYTHON_MARKS };
    for mark in of_language.iter().chain(&MARKS) {
        if checker.errors(&[fill, mark].concat())? < errors {
            return Some(format!("The line would lack something, such as `{}`.", mark.trim()));
        }
        if has_words && checker.errors(mark)? == 0 {
            return Some(format!("Only something else, such as `{}`, makes the text whole.", mark.trim()));
        }
    }
    None
}
