//! How an answer is written.

use std::io::{self, Write};

use lacuna_engine::LengthUse;
use serde::Serialize;

use super::Fitted;
use crate::cli::position::Position;
use crate::cli::terminal_text::printable;
use crate::postprocess::Change;

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) text: &'a str,
    /// Where the text begins that the fill replaces.
    pub(super) start: Position,
    /// Where it ends.
    pub(super) end: Position,
    pub(super) candidates: Vec<CandidateReport<'a>>,
    /// Why other candidates are left out.
    pub(super) rejected: &'a [Change],
    pub(super) model: &'a str,
    pub(super) device: &'a str,
    /// How the hole came to its length.
    pub(super) length: LengthUse,
    pub(super) timings_ms: TimingsMs,
}

#[derive(Serialize)]
pub(super) struct CandidateReport<'a> {
    text: &'a str,
    confidence: f32,
    tokens: usize,
    steps: usize,
    /// What was cut to make it fit.
    changes: &'a [Change],
}

/// Milliseconds by stage.
#[derive(Serialize)]
pub(super) struct TimingsMs {
    pub(super) load: f64,
    pub(super) prompt: f64,
    pub(super) denoise: f64,
    /// Since the command began.
    pub(super) total: f64,
}

impl<'a> From<&'a Fitted> for CandidateReport<'a> {
    fn from(fitted: &'a Fitted) -> Self {
        let candidate = &fitted.candidate;
        let (confidence, tokens, steps) = (candidate.confidence, candidate.tokens, candidate.steps);
        Self { text: fitted.text(), confidence, tokens, steps, changes: &fitted.changes }
    }
}

/// Writes the fills but for the first few: one alone as it is, several each under a title.
///
/// A terminal gets a line end after each, and nothing that it would obey.
pub(super) fn write_fills(out: &mut dyn Write, fitted: &[Fitted], skip: usize, is_terminal: bool) -> io::Result<()> {
    for (number, one) in fitted.iter().enumerate().skip(skip) {
        if fitted.len() > 1 {
            let (number, count, confidence) = (number + 1, fitted.len(), one.candidate.confidence);
            writeln!(out, "--- candidate {number} of {count}, confidence {confidence:.2}")?;
        }
        let text = if is_terminal { &printable(one.text()) } else { one.text() };
        out.write_all(text.as_bytes())?;
        if is_terminal || fitted.len() > 1 {
            writeln!(out)?;
        }
    }
    Ok(())
}

/// Writes what was changed in the fills, a line a change, and why others are left out.
pub(super) fn write_changes(out: &mut dyn Write, fitted: &[Fitted], rejected: &[Change]) -> io::Result<()> {
    for (number, one) in fitted.iter().enumerate() {
        for change in &one.changes {
            writeln!(out, "candidate {}: {:?}: {}", number + 1, change.filter, printable(&change.reason))?;
        }
    }
    for rejection in rejected {
        writeln!(out, "rejected: {:?}: {}", rejection.filter, printable(&rejection.reason))?;
    }
    Ok(())
}
