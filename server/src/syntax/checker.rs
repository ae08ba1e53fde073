//! What a fill does to the syntax of the text around it.

use std::ops::{ControlFlow, Range};
use std::time::Instant;

use lacuna_engine::Language;
use tree_sitter::{InputEdit, ParseOptions, Parser, Point, Tree};

use super::errors::{error_ranges, errors};
use super::{balance, grammar};

/// A text with a gap, and how many errors it has without anything in it.
pub(crate) struct Checker<'a> {
    before: &'a str,
    after: &'a str,
    deadline: Instant,
    /// `None` for a language without a grammar, whose brackets are counted instead.
    parsed: Option<(Parser, Tree)>,
    allowed: usize,
}

/// What a text is like with a fill in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Errors in the fill, and those elsewhere that are more than without it.
    pub(crate) errors: usize,
    /// Where in the fill they are, ascending and disjoint; empty where none of them is inside.
    pub(crate) spans: Vec<Range<usize>>,
}

impl<'a> Checker<'a> {
    /// Reads the text without a fill. `None` if that takes beyond the deadline.
    pub(crate) fn new(before: &'a str, after: &'a str, language: Language, deadline: Instant) -> Option<Self> {
        let Some(grammar) = grammar(language) else {
            let allowed = balance::unmatched(before, "", after).len();
            return Some(Self { before, after, deadline, parsed: None, allowed });
        };
        let mut parser = Parser::new();
        parser.set_language(&grammar).ok()?;
        let tree = parse(&mut parser, &[before, after].concat(), None, deadline)?;
        let allowed = errors(&tree);
        Some(Self { before, after, deadline, parsed: Some((parser, tree)), allowed })
    }

    /// How many errors the whole text has with the fill. `None` if that takes beyond the deadline.
    pub(crate) fn errors(&mut self, fill: &str) -> Option<usize> {
        self.found(fill).map(|found| found.len())
    }

    /// What the text is like with the fill. `None` if that takes beyond the deadline.
    pub(crate) fn damage(&mut self, fill: &str) -> Option<Damage> {
        let start = self.before.len();
        let found = self.found(fill)?;
        let is_last = self.after.trim().is_empty();
        let (inside, outside): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|error| belongs_to(error, &(start..start + fill.len()), is_last));
        let mut inside: Vec<_> = inside.into_iter().filter(|error| !is_begun(fill, error)).collect();
        if !(inside.is_empty() && outside.is_empty()) {
            // An error that goes on for long may be one bracket's, which the fill opened and nobody closes.
            let kept = start..start + fill.trim_end_matches(['{', '(', '[', ' ', '\n']).len();
            let alone = balance::unmatched(self.before, fill, self.after);
            let is_known = |at: &Range<usize>| inside.iter().any(|error| error.contains(&at.start));
            let new: Vec<_> = alone.into_iter().filter(|at| kept.contains(&at.start) && !is_known(at)).collect();
            inside.extend(new);
        }
        let errors = inside.len() + outside.len().saturating_sub(self.allowed);
        Some(Damage { errors, spans: spans_in(fill, start, &inside) })
    }

    /// All errors of the text with the fill.
    fn found(&mut self, fill: &str) -> Option<Vec<Range<usize>>> {
        let Some((parser, old)) = &mut self.parsed else {
            return Some(balance::unmatched(self.before, fill, self.after));
        };
        let start = self.before.len();
        let mut moved = old.clone();
        let at = end_of(Point::new(0, 0), self.before);
        moved.edit(&InputEdit {
            start_byte: start,
            old_end_byte: start,
            new_end_byte: start + fill.len(),
            start_position: at,
            old_end_position: at,
            new_end_position: end_of(at, fill),
        });
        let text = [self.before, fill, self.after].concat();
        parse(parser, &text, Some(&moved), self.deadline).map(|tree| error_ranges(&tree))
    }
}

/// Whether a fill is to blame for an error: it begins or ends inside. What begins before the fill and goes on to its end or
/// beyond is the text's own, and so is what is missing at the end of a text that somebody is still writing.
fn belongs_to(error: &Range<usize>, fill: &Range<usize>, is_last: bool) -> bool {
    if error.start < fill.start {
        return error.end > fill.start && error.end < fill.end;
    }
    error.start < fill.end || (error.start == fill.end && !is_last)
}

/// Whether something is only missing because a block has been begun that somebody will go on with.
fn is_begun(fill: &str, error: &Range<usize>) -> bool {
    error.is_empty() && fill.trim_end().ends_with(['{', '(', '[', ':', ','])
}

/// The parts of the fill that the errors touch, whole words and with their brackets' partners. What is missing is
/// missed beside the word before it.
fn spans_in(fill: &str, start: usize, errors: &[Range<usize>]) -> Vec<Range<usize>> {
    let end = start + fill.len();
    let mut touched = vec![false; fill.len()];
    let partners = balance::partners(fill);
    for error in errors {
        let first = error.start.clamp(start, end) - start;
        let last = error.end.clamp(start, end) - start;
        let is_inside = error.start < end && error.end > start;
        let is_missing = error.is_empty() && (start..=end).contains(&error.start);
        let range = match (is_inside, is_missing) {
            (true, _) if first < last => word_around(fill, first).start..word_around(fill, last - 1).end,
            (_, true) if !fill.is_empty() => word_around(fill, first.saturating_sub(1)),
            _ => continue,
        };
        for byte in range {
            touched[byte] = true;
            if let Some(partner) = partners.get(&byte) {
                touched[*partner] = true;
            }
        }
    }
    let mut spans: Vec<Range<usize>> = Vec::new();
    for byte in (0..fill.len()).filter(|byte| touched[*byte]) {
        match spans.last_mut() {
            Some(span) if span.end == byte => span.end += 1,
            _ => spans.push(byte..byte + 1),
        }
    }
    spans
}

/// The word, or the character of another kind, that holds this byte.
fn word_around(text: &str, byte: usize) -> Range<usize> {
    let at = text.floor_char_boundary(byte);
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let Some(character) = text[at..].chars().next() else { return at..at };
    if !is_word(character) {
        return at..at + character.len_utf8();
    }
    let start = text[..at].trim_end_matches(is_word).len();
    let end = text.len() - text[at..].trim_start_matches(is_word).len();
    start..end
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn damage(before: &str, fill: &str, after: &str, language: Language) -> (usize, Vec<String>) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let damage = Checker::new(before, after, language, deadline).unwrap().damage(fill).unwrap();
        (damage.errors, damage.spans.into_iter().map(|span| fill[span].to_owned()).collect())
    }

    #[test]
    fn what_fits_does_no_damage() {
        assert_eq!(damage("fn a() {\n    let b = ", "c(d)", ";\n}\n", Language::Rust), (0, vec![]));
        // Somebody will go on, here and where the block that the hole is in has no end yet.
        assert_eq!(damage("fn a() {\n    ", "b();", "\n", Language::Rust), (0, vec![]));
        assert_eq!(damage("fn a() {\n    if ", "b {", "\n", Language::Rust), (0, vec![]));
        assert_eq!(damage("a = (", "b", ")\n", Language::Text), (0, vec![]));
        // The text was broken before.
        assert_eq!(damage("fn a() { let = ;\n    let b = ", "c", ";\n}\n", Language::Rust), (0, vec![]));
    }

    #[test]
    fn damage_is_found_where_it_is() {
        let (errors, spans) = damage("fn a() {\n    let b = ", "c(d]e)", ";\n}\n", Language::Rust);
        assert!(errors > 0 && spans.concat().contains(']') && !spans.concat().contains('c'), "{spans:?}");
        let (errors, spans) = damage("a = ", "é(b", "\n", Language::Python);
        assert!(errors > 0 && !spans.is_empty(), "{spans:?}");
    }

    #[test]
    fn all_errors_of_the_text_are_counted() {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut checker = Checker::new("fn a() { let = ; }\nfn b()", "\n}\n", Language::Rust, deadline).unwrap();
        let (without, with) = (checker.errors("").unwrap(), checker.errors(" {").unwrap());
        assert!(without > with && with > 0, "{without} {with}");
    }

    #[test]
    fn without_a_grammar_brackets_are_counted() {
        assert_eq!(damage("f(", "a[b", ")\n", Language::Text), (1, vec!["[".to_owned()]));
        assert_eq!(damage("f(", "a)", "\n", Language::Text), (0, vec![]));
    }

    #[test]
    fn any_fill_has_spans_on_characters() {
        for fill in ["", "é", "))((é{", "\n\n\u{2028}\"", "if if if (", "'''", "😀[😀"] {
            for language in [Language::Rust, Language::Python, Language::Markdown, Language::Text] {
                let deadline = Instant::now() + Duration::from_secs(10);
                let damage = Checker::new("f(\n", "\n)", language, deadline).unwrap().damage(fill).unwrap();
                assert!(damage.spans.iter().all(|span| fill.get(span.clone()).is_some_and(|text| !text.is_empty())));
            }
        }
    }
}
