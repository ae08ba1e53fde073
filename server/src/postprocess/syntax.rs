//! Ends or rejects a fill that breaks the syntax of the text around it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tree_sitter::{InputEdit, ParseOptions, Parser, Point, Tree};

use super::Surroundings;
use crate::syntax::lines::lines;
use crate::syntax::{errors, grammar};

/// A fill whose check takes longer than this is left alone.
const BUDGET: Duration = Duration::from_millis(60);
/// How many shorter beginnings of a fill are tried.
const TRIES: usize = 8;

/// Cuts to the most lines with which the text has no more errors than it had without the fill.
pub(super) fn cut(fill: &str, around: &Surroundings<'_>) -> Option<(usize, String)> {
    let deadline = Instant::now() + BUDGET;
    let mut parser = Parser::new();
    parser.set_language(&grammar(around.language)?).ok()?;
    let (before, after) = (around.before, around.after);
    let old = parse(&mut parser, &format!("{before}{after}"), None, deadline)?;
    let allowed = errors(&old);
    let mut errors_with = |kept: &str| {
        let mut moved = old.clone();
        let at = end_of(Point::new(0, 0), before);
        moved.edit(&InputEdit {
            start_byte: before.len(),
            old_end_byte: before.len(),
            new_end_byte: before.len() + kept.len(),
            start_position: at,
            old_end_position: at,
            new_end_position: end_of(at, kept),
        });
        parse(&mut parser, &format!("{before}{kept}{after}"), Some(&moved), deadline).map(|tree| errors(&tree))
    };
    if errors_with(fill)? <= allowed {
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
        if kept > 0 && errors_with(&fill[..kept])? <= allowed {
            return Some((kept, "What follows would break the syntax.".to_owned()));
        }
    }
    Some((0, "The fill would break the syntax.".to_owned()))
}

fn parse(parser: &mut Parser, text: &str, old: Option<&Tree>, deadline: Instant) -> Option<Tree> {
    let mut out_of_time =
        |_: &_| if Instant::now() > deadline { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let options = ParseOptions::new().progress_callback(&mut out_of_time);
    let mut read = |byte: usize, _| text.as_bytes().get(byte..).unwrap_or_default();
    parser.parse_with_options(&mut read, old, Some(options))
}

fn end_of(start: Point, text: &str) -> Point {
    match text.rfind('\n') {
        Some(last) => Point::new(start.row + text.matches('\n').count(), text.len() - last - 1),
        None => Point::new(start.row, start.column + text.len()),
    }
}
