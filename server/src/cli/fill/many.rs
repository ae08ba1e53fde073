//! `lacuna fill --holes`: every marked place of a file.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use lacuna_engine::{Cancel, Candidate, Error, Excerpt, InfillRequest, Infiller, Language, LengthUse, Step};
use serde::Serialize;

use super::output::TimingsMs;
use super::{FillArguments, diff, milliseconds_since};
use crate::cli::interrupt::{INTERRUPTED, cancel_on_interrupt};
use crate::cli::position::{Position, positions_of};
use crate::cli::terminal_text::{in_one_line, printable};
use crate::holes::{Asked, Filled, Holes, OpenHole, Outcome, around, fill_holes};
use crate::postprocess::{Change, Filter, Options, Processed};
use crate::renoise;
use crate::syntax::lines::is_blank;
use crate::syntax::{find_markers, find_placeholders, is_residue, is_sequence_file, parse};

/// The status where some holes are left as they were.
const SOME_LEFT: u8 = 3;

/// What `--holes` shows of itself where somebody looks on.
const PROGRESS: &str = "{bar:30} {pos} of {len} holes, {elapsed} of {duration}";

/// All that it takes to fill many holes.
pub(super) struct Many<'a> {
    pub(super) arguments: &'a FillArguments,
    pub(super) text: &'a str,
    pub(super) language: Language,
    pub(super) excerpts: &'a [Excerpt],
    pub(super) marked: &'a Marked,
    pub(super) infiller: &'a dyn Infiller,
    /// When the command began.
    pub(super) start: Instant,
    pub(super) load_ms: f64,
}

/// The holes of a file.
#[derive(Debug)]
pub(super) struct Marked {
    pub(super) holes: Vec<OpenHole>,
    /// What marks them, where it was named.
    marker: Option<String>,
    /// Whether they stand in biological sequences.
    in_sequences: bool,
}

/// The holes that the arguments ask for, at least one.
pub(super) fn find(
    arguments: &FillArguments,
    marker: Option<&str>,
    text: &str,
    language: Language,
) -> anyhow::Result<Marked> {
    let in_sequences = marker.is_some() && language == Language::Text && is_sequence_file(&arguments.file, text);
    let mut holes: Vec<OpenHole> = match marker {
        Some(marker) => {
            ensure!(!is_blank(marker), "--holes: a marker has to be something to see");
            ensure!(!marker.contains(['\n', '\r']), "--holes: a marker is no longer than a line");
            let found = find_markers(text, marker, in_sequences).into_iter();
            found.map(|(byte_range, extent)| OpenHole { byte_range, lead: String::new(), extent }).collect()
        }
        None => {
            let Some(tree) = parse(text, language) else {
                bail!("only Rust and Python have placeholders of their own; name the marker with --holes MARK");
            };
            find_placeholders(text, &tree, language).into_iter().map(OpenHole::from).collect()
        }
    };
    holes.iter_mut().for_each(|hole| hole.extent = arguments.extent.or(hole.extent));
    if holes.is_empty() {
        let place = if in_sequences { "the sequences of this file" } else { "this file" };
        match marker {
            Some(marker) => bail!("there is no marker `{marker}` in {place}"),
            None => bail!("there is no placeholder in this file; name another marker with --holes MARK"),
        }
    }
    Ok(Marked { holes, marker: marker.map(str::to_owned), in_sequences })
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    /// The whole new file.
    text: &'a str,
    holes: Vec<HoleReport<'a>>,
    /// How many of the holes are filled.
    filled: usize,
    tokens: usize,
    steps: usize,
    model: &'a str,
    device: &'a str,
    length: LengthUse,
    timings_ms: TimingsMs,
}

#[derive(Serialize)]
struct HoleReport<'a> {
    /// Where the text begins, in the old file, that the fill replaces.
    start: Position,
    /// Where it ends.
    end: Position,
    /// What stands there now, lines and blanks before it included.
    text: Option<String>,
    confidence: f32,
    shown: bool,
    /// Why the marker stays.
    rejected: &'a Option<Change>,
    /// What was cut to make the fill fit.
    changes: &'a [Change],
}

impl Many<'_> {
    pub(super) fn print(
        &self,
        out: &mut dyn Write,
        is_terminal: bool,
        notes: &mut dyn Write,
    ) -> anyhow::Result<ExitCode> {
        let filled = self.fill()?;
        if filled.cancelled {
            let count = filled.outcomes.iter().filter(|outcome| outcome.fill.is_some()).count();
            writeln!(notes, "lacuna: interrupted: {count} of {} holes are filled", filled.outcomes.len())?;
        }
        if self.arguments.json {
            serde_json::to_writer(&mut *out, &self.report(&filled)).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            let text = match self.arguments.diff {
                true => diff::unified(&self.arguments.file, self.text, &filled.text),
                false => filled.text.clone(),
            };
            out.write_all(if is_terminal { printable(&text) } else { text }.as_bytes())?;
        }
        out.flush()?;
        if filled.cancelled {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        self.write_notes(notes, &filled.outcomes)?;
        let all_filled = filled.outcomes.iter().all(|outcome| outcome.fill.is_some());
        Ok(if all_filled { ExitCode::SUCCESS } else { ExitCode::from(SOME_LEFT) })
    }

    fn fill(&self) -> anyhow::Result<Filled> {
        let bar = ProgressBar::new(self.marked.holes.len() as u64).with_style(ProgressStyle::with_template(PROGRESS)?);
        let fit = |candidate: Candidate, hole: &OpenHole, request: &InfillRequest| self.fit(candidate, hole, request);
        let name = self.arguments.name();
        let holes = Holes {
            text: self.text,
            language: self.language,
            name: name.as_deref(),
            excerpts: self.excerpts,
            holes: &self.marked.holes,
        };
        let asked = Asked {
            together: self.arguments.together.get(),
            seed: self.arguments.seed,
            candidates: self.arguments.candidates.get(),
            fit: &fit,
        };
        // The whole file can still be printed with what is filled by then.
        let cancel = Cancel::new();
        cancel_on_interrupt(&cancel)?;
        let filled = fill_holes(self.infiller, &holes, &asked, &cancel, &mut |done, step| {
            bar.set_position((done + settled(&step)) as u64);
        })?;
        bar.finish_and_clear();
        Ok(filled)
    }

    fn fit(
        &self,
        mut candidate: Candidate,
        hole: &OpenHole,
        request: &InfillRequest,
    ) -> Result<(Candidate, Processed), Error> {
        let fill = &mut candidate.fills[0];
        if self.arguments.raw {
            let processed = Processed { text: fill.clone(), ..Processed::default() };
            return Ok((candidate, processed));
        }
        let reject = |candidate, filter, reason: &str| {
            let rejected = Some(Change { filter, reason: reason.to_owned() });
            Ok((candidate, Processed { rejected, ..Processed::default() }))
        };
        let mut changes = Vec::new();
        if self.marked.in_sequences {
            let marker = self.marked.marker.as_deref().unwrap_or_default();
            let residues = fill.find(|c: char| !is_residue(c) || marker.contains(c)).unwrap_or(fill.len());
            if residues == 0 {
                return reject(candidate, Filter::Sequence, "The fill is no sequence.");
            }
            if residues < fill.len() {
                fill.truncate(residues);
                let reason = "What follows is no sequence.".to_owned();
                changes.push(Change { filter: Filter::Sequence, reason });
            }
        }
        let options = Options { min_confidence: self.arguments.min_confidence as f32, ..Options::default() };
        let cancel = Cancel::new();
        let (candidate, mut processed) =
            renoise::process(self.infiller, request, candidate, &around(request), &options, &cancel)?;
        let stood_there = self.text[hole.byte_range.clone()].trim();
        if processed.rejected.is_none() && !stood_there.is_empty() && processed.text.trim() == stood_there {
            return reject(candidate, Filter::Marker, "The fill is the marker once more.");
        }
        processed.changes.splice(..0, changes);
        Ok((candidate, processed))
    }

    fn report<'b>(&'b self, filled: &'b Filled) -> Report<'b> {
        let description = self.infiller.describe();
        let of_hole = |((hole, outcome), [start, end]): ((&OpenHole, &'b Outcome), [Position; 2])| HoleReport {
            start,
            end,
            text: outcome.fill.as_ref().map(|fill| format!("{}{fill}", hole.lead)),
            confidence: outcome.confidence,
            shown: outcome.fill.is_some(),
            rejected: &outcome.rejected,
            changes: &outcome.changes,
        };
        let holes = self.marked.holes.iter().zip(&filled.outcomes).zip(self.positions());
        Report {
            text: &filled.text,
            holes: holes.map(of_hole).collect(),
            filled: filled.outcomes.iter().filter(|outcome| outcome.fill.is_some()).count(),
            tokens: filled.tokens,
            steps: filled.steps,
            model: &description.model,
            device: &description.device,
            length: filled.length,
            timings_ms: TimingsMs {
                load: self.load_ms,
                prompt: filled.timings.prompt_ms,
                denoise: filled.timings.denoise_ms,
                total: milliseconds_since(self.start),
            },
        }
    }

    /// Says which holes are left as they were and why, a line a hole, and what was changed if that is wanted.
    fn write_notes(&self, notes: &mut dyn Write, outcomes: &[Outcome]) -> io::Result<()> {
        let file = self.arguments.file.display();
        for ((hole, outcome), [start, _]) in self.marked.holes.iter().zip(outcomes).zip(self.positions()) {
            if outcome.fill.is_none() {
                let reason = outcome.rejected.as_ref().map_or("The engine gave no fill.", |change| &change.reason);
                let stays = match self.text[hole.byte_range.clone()].trim() {
                    "" => "the hole".to_owned(),
                    marker => format!("`{marker}`"),
                };
                let note = format!("{file}:{start}: {stays} stays: {reason}");
                writeln!(notes, "lacuna: {}", in_one_line(&note))?;
            }
            for change in outcome.changes.iter().filter(|_| self.arguments.verbose) {
                let note = format!("{file}:{start}: {:?}: {}", change.filter, change.reason);
                writeln!(notes, "{}", in_one_line(&note))?;
            }
        }
        Ok(())
    }

    fn positions(&self) -> impl Iterator<Item = [Position; 2]> {
        let edges = self.marked.holes.iter().flat_map(|hole| [hole.byte_range.start, hole.byte_range.end]);
        let mut positions = positions_of(self.text, edges);
        std::iter::from_fn(move || Some([positions.next()?, positions.next()?]))
    }
}

/// How many holes of a request are done: those on canvases that are.
fn settled(step: &Step<'_>) -> usize {
    step.holes.iter().filter(|pieces| matches!(&pieces[..], [piece] if piece.settled)).count()
}
