//! What a frame looks like, apart from any terminal.

use std::ops::Range;

use lacuna_engine::{Candidate, Piece};
use unicode_width::UnicodeWidthChar;

use crate::cli::terminal_text::visible;
use crate::syntax::lines::{line_range, lines, without_end};

/// Lines of the document around the hole's own.
const CONTEXT_LINES: usize = 4;
/// A screen must have so many columns for some of them to go to line numbers.
const LEAST_FOR_NUMBERS: usize = 20;
/// Columns from one tab stop to the next.
const TAB: usize = 4;
/// A token this certain is shown, if only faintly; one that is less so is a dot.
const FAINT: f32 = 0.1;
/// A token this certain is shown plainly, even before it is accepted.
const LIKELY: f32 = 0.5;

/// How a character looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// The document.
    Document,
    /// Beside the document: line numbers and progress.
    Margin,
    /// Accepted.
    Settled,
    /// Not accepted, and more likely than not.
    Likely,
    /// Not accepted, and unlikely.
    Faint,
    /// Not known at all.
    Unknown,
}

/// One row on the screen.
pub(super) type Row = Vec<(char, Tone)>;

/// How far the engine has come.
#[derive(Debug)]
pub(super) enum Progress<'a> {
    /// The prompt is being encoded.
    Reading { model: &'a str },
    /// This many steps were taken.
    Denoising { model: &'a str, step: usize, limit: usize },
    /// All is done.
    Done { candidate: &'a Candidate, seconds: f64 },
}

/// The lines around a hole.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    before: Vec<&'a str>,
    line_before: &'a str,
    line_after: &'a str,
    after: Vec<&'a str>,
    /// The number of the hole's first line, from 1.
    number: usize,
}

impl<'a> Scene<'a> {
    pub(super) fn around(text: &'a str, byte_range: &Range<usize>) -> Self {
        let (start, end) = (byte_range.start, byte_range.end);
        let line_start = line_range(text, start).start;
        let earlier: Vec<_> = lines(&text[..line_start]).collect();
        // The last of these is the empty beginning of the hole's own line.
        let number = earlier.len();
        let before = earlier[..number - 1].iter().rev().take(CONTEXT_LINES).rev().map(|line| without_end(line));
        // A line end at the end of the file begins no line that anybody would number.
        let rest = &text[end..];
        let rest = rest.strip_suffix("\r\n").or_else(|| rest.strip_suffix(['\n', '\r'])).unwrap_or(rest);
        let mut later = lines(rest).map(without_end);
        Self {
            before: before.collect(),
            line_before: &text[line_start..start],
            line_after: later.next().unwrap_or_default(),
            after: later.take(CONTEXT_LINES).collect(),
            number,
        }
    }
}

/// The rows of a frame, none wider than `columns`, and no more of them than `height` if there is one.
pub(super) fn compose(
    scene: &Scene<'_>,
    pieces: &[Piece],
    progress: &Progress<'_>,
    columns: usize,
    height: Option<usize>,
) -> Vec<Row> {
    let mut hole = Lines::default();
    // Of a line that is longer than the screen is wide, only what is next to the hole is of interest.
    let half = columns / 2;
    hole.push(&end_of(scene.line_before, half), Tone::Document);
    for piece in pieces {
        match tone(piece) {
            Tone::Unknown => hole.push(if piece.text.is_empty() { "" } else { "·" }, Tone::Unknown),
            tone => hole.push(&piece.text, tone),
        }
    }
    if pieces.is_empty() {
        hole.push("···", Tone::Unknown);
    }
    hole.push(&beginning_of(scene.line_after, half), Tone::Document);

    let last_number = scene.number + hole.lines.len() - 1 + scene.after.len();
    let digits = last_number.to_string().len();
    let gutter = Gutter { digits: (columns >= LEAST_FOR_NUMBERS).then_some(digits) };
    let width = columns.saturating_sub(gutter.columns()).max(1);
    let numbered = |number: usize, line: Row| gutter.before(Some(number), line);
    let context = |line: &str| {
        let mut one = Lines::default();
        one.push(&beginning_of(line, width), Tone::Document);
        one.lines.into_iter().next().map(|line| wrap(line, width).swap_remove(0)).unwrap_or_default()
    };

    let first_after = scene.number + hole.lines.len();
    let first_before = scene.number - scene.before.len();
    let mut hole_rows = Vec::new();
    for (index, line) in hole.lines.into_iter().enumerate() {
        for (part, row) in wrap(line, width).into_iter().enumerate() {
            hole_rows.push(gutter.before((part == 0).then_some(scene.number + index), row));
        }
    }
    let mut before: Vec<_> =
        scene.before.iter().enumerate().map(|(index, line)| numbered(first_before + index, context(line))).collect();
    let mut after: Vec<_> =
        scene.after.iter().enumerate().map(|(index, line)| numbered(first_after + index, context(line))).collect();

    // One row is for the progress; what is next to the hole stays longest.
    let room = height.map_or(usize::MAX, |height| height.saturating_sub(1));
    hole_rows.truncate(room.max(1));
    after.truncate(room.saturating_sub(hole_rows.len()));
    let keep = before.len().min(room.saturating_sub(hole_rows.len() + after.len()));
    before.drain(..before.len() - keep);

    let mut rows = vec![progress_row(pieces, progress, columns)];
    rows.extend(before);
    rows.extend(hole_rows);
    rows.extend(after);
    for row in &mut rows {
        *row = wrap(std::mem::take(row), columns).swap_remove(0);
    }
    rows
}

/// Whether there is anything to show of a token yet.
pub(super) fn is_known(piece: &Piece) -> bool {
    tone(piece) != Tone::Unknown
}

fn tone(piece: &Piece) -> Tone {
    match piece.certainty {
        _ if piece.settled => Tone::Settled,
        certainty if certainty >= LIKELY => Tone::Likely,
        certainty if certainty >= FAINT => Tone::Faint,
        _ => Tone::Unknown,
    }
}

fn progress_row(pieces: &[Piece], progress: &Progress<'_>, columns: usize) -> Row {
    let mut row = Lines::default();
    match progress {
        Progress::Reading { model } => row.push(&format!("{model} · reading the context"), Tone::Margin),
        Progress::Denoising { model, step, limit } => {
            row.push(&format!("{model} · step {step} of {limit} · "), Tone::Margin);
            let settled = pieces.iter().filter(|piece| piece.settled).count();
            let width = (columns / 4).clamp(4, 24);
            let filled = (settled * width).checked_div(pieces.len()).unwrap_or(width);
            row.push(&"━".repeat(filled), Tone::Settled);
            row.push(&"─".repeat(width - filled), Tone::Margin);
            row.push(&format!(" {settled} of {} settled", pieces.len()), Tone::Margin);
        }
        Progress::Done { candidate, seconds } => {
            let Candidate { tokens, steps, confidence, .. } = candidate;
            let text = format!("{tokens} tokens in {steps} steps, {seconds:.2} s, confidence {confidence:.2}");
            row.push(&text, Tone::Margin);
        }
    }
    row.lines.swap_remove(0)
}

/// Lines of characters that can each be shown in a cell or two.
struct Lines {
    lines: Vec<Row>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { lines: vec![Row::new()] }
    }
}

impl Lines {
    fn push(&mut self, text: &str, tone: Tone) {
        for (index, line) in lines(text).enumerate() {
            if index > 0 {
                self.lines.push(Row::new());
            }
            for character in without_end(line).chars() {
                let Some(row) = self.lines.last_mut() else { break };
                if character == '\t' {
                    let blanks = TAB - width_of(row) % TAB;
                    row.extend(std::iter::repeat_n((' ', tone), blanks));
                } else {
                    row.push((visible(character), tone));
                }
            }
        }
    }
}

/// Line numbers, if there are any, in this many digits.
struct Gutter {
    digits: Option<usize>,
}

impl Gutter {
    fn columns(&self) -> usize {
        self.digits.map_or(0, |digits| digits + 3)
    }

    fn before(&self, number: Option<usize>, row: Row) -> Row {
        let Some(digits) = self.digits else { return row };
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        let text = format!("{number:>digits$} │ ");
        text.chars().map(|character| (character, Tone::Margin)).chain(row).collect()
    }
}

/// Columns that a character takes.
fn columns_of(character: char) -> usize {
    character.width().unwrap_or(0)
}

fn width_of(row: &Row) -> usize {
    row.iter().map(|(character, _)| columns_of(*character)).sum()
}

/// The row in parts no wider than this, at least one; a character that is wider is left out.
fn wrap(row: Row, width: usize) -> Vec<Row> {
    let (mut rows, mut used) = (vec![Row::new()], 0);
    for cell in row {
        let columns = columns_of(cell.0);
        if columns > width {
            continue;
        }
        if used + columns > width {
            rows.push(Row::new());
            used = 0;
        }
        used += columns;
        if let Some(last) = rows.last_mut() {
            last.push(cell);
        }
    }
    rows
}

/// The text, or its first so many characters and a mark that there are more.
fn beginning_of(text: &str, limit: usize) -> String {
    let mut characters = text.chars();
    let mut beginning: String = characters.by_ref().take(limit).collect();
    if characters.next().is_some() {
        beginning.pop();
        beginning.push('…');
    }
    beginning
}

/// The text, or its last so many characters and a mark that there are more.
fn end_of(text: &str, limit: usize) -> String {
    let end = text.char_indices().rev().take(limit).last().map_or(text.len(), |(offset, _)| offset);
    if end == 0 { text.to_owned() } else { format!("…{}", &text[end..]) }
}

#[cfg(test)]
mod tests;
