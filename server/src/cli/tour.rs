//! `lacuna tour`: what the program does, shown on prepared files that are part of it, and how an editor is set up for it.
//!
//! Nothing is said of a fill that was not seen: whether it is right, and whether an editor would show it, is looked at when
//! it is there. The figures come from the embedded model's own card.

mod card;
mod editors;
mod stops;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use lacuna_engine::{Cancel, Candidate, Error, Infill, InfillRequest, Infiller, LocalOptions};
use unicode_width::UnicodeWidthStr;

use super::interrupt::INTERRUPTED;
use super::options::open_engine;
use super::terminal_text::{in_one_line, printable, wrapped};
use super::watch::{self, Screen};
use crate::markdown;
use crate::postprocess::{Options, Surroundings};
use crate::renoise;
use crate::settings::InlineCompletionSettings;
use editors::Setup;
use stops::{Stop, stops};

/// The widest that a paragraph is set.
const TEXT_COLUMNS: usize = 78;
/// Columns of what is read by no one or by a program.
const COLUMNS: usize = 80;
/// The most that is told of what was mended.
const CHANGES: usize = 12;

#[derive(Debug, clap::Args)]
pub(crate) struct TourArguments {
    /// Wait for nobody, and move no cursor
    #[arg(long)]
    fast: bool,
}

pub(crate) fn run(arguments: &TourArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let infiller = open_engine(&LocalOptions::default())?;
    let is_terminal = std::io::stdout().is_terminal();
    let is_shown = is_terminal && !arguments.fast;
    let columns =
        if is_terminal { crossterm::terminal::size().map_or(COLUMNS, |(columns, _)| columns.into()) } else { COLUMNS };
    let mut tour = Tour { out, columns, is_shown, waits: is_shown && std::io::stdin().is_terminal() };
    match tour.all(&infiller, &editors::on_this_machine()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Only the one who looks on can cancel, and knows it.
        Err(Ended::Cancelled) => Ok(ExitCode::from(INTERRUPTED)),
        Err(Ended::Left) => Ok(ExitCode::SUCCESS),
        Err(Ended::Failed(error)) => Err(error),
    }
}

/// Why the tour went no further.
enum Ended {
    /// By Ctrl-C, in the middle of a fill.
    Cancelled,
    /// The reader has seen enough.
    Left,
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Tour<'a> {
    out: &'a mut dyn Write,
    columns: usize,
    /// Whether a canvas is drawn over and over.
    is_shown: bool,
    /// Whether the reader says when to go on.
    waits: bool,
}

impl Tour<'_> {
    fn all(&mut self, infiller: &dyn Infiller, setups: &[Setup]) -> Result<(), Ended> {
        let description = infiller.describe();
        let millions = description.parameters as f64 / 1e6;
        self.heading("Lacuna fills holes in text")?;
        self.paragraph(&format!(
            "It lays the text before a hole, the hole and the text after it on a canvas, and a diffusion model denoises \
             the hole: all of its tokens at once, in a few steps, the surest ones first. What stands around the hole \
             never changes. All of this runs here: {}, on {}, with {millions:.1} million parameters, which is very small. \
             It is part of the program.",
            description.model, description.device,
        ))?;
        if self.is_shown {
            self.paragraph(
                "A settled token is bright, a likely one plain, an unlikely one faint, and a dot is not known yet.",
            )?;
        }
        for stop in stops() {
            self.go_on()?;
            self.stop(infiller, &stop)?;
        }
        self.go_on()?;
        self.markdown(infiller)?;
        self.go_on()?;
        self.facts()?;
        self.go_on()?;
        self.setups(setups)
    }

    fn stop(&mut self, infiller: &dyn Infiller, stop: &Stop) -> Result<(), Ended> {
        self.heading(stop.title)?;
        self.paragraph(stop.introduction)?;
        let request = stop.request();
        let mut screen = if self.is_shown { Screen::open() } else { None };
        let start = Instant::now();
        let infill = match &mut screen {
            Some(screen) => watch::condense(infiller, &request, screen),
            None => self.drafts(infiller, &request),
        };
        let infill = match infill {
            Ok(infill) => infill,
            Err(Error::Cancelled) => return Err(Ended::Cancelled),
            Err(error) => return Err(error.into()),
        };
        let seconds = match infill.timings.prompt_ms + infill.timings.denoise_ms {
            ms if ms > 0.0 => ms / 1000.0,
            _ => start.elapsed().as_secs_f64(),
        };
        let (candidate, rejected) = fitted(infiller, &request, infill)?;
        match screen {
            Some(mut screen) => screen.finish(&request, &candidate, seconds)?,
            None => write!(self.out, "{}", watch::still(&request, &candidate, seconds, self.columns.max(2) - 1))?,
        }
        writeln!(self.out)?;
        self.paragraph(&verdict(stop, &candidate, rejected.as_deref()))
    }

    /// Fills the hole, and prints each draft in a line of its own.
    fn drafts(&mut self, infiller: &dyn Infiller, request: &InfillRequest) -> Result<Infill, Error> {
        let mut lines = Vec::new();
        let infill = infiller.infill(request, &Cancel::new(), &mut |step| {
            if step.candidate == 0 {
                lines.push(format!("  step {:<2} {}", step.index, watch::draft_line(&step.holes[0])));
            }
        })?;
        for line in lines {
            let shown: String = line.chars().take(self.columns).collect();
            // What cannot be written now cannot be written later either, which is then an error.
            let _ = writeln!(self.out, "{shown}");
        }
        let _ = writeln!(self.out);
        Ok(infill)
    }

    fn markdown(&mut self, infiller: &dyn Infiller) -> Result<(), Ended> {
        self.heading("Many small holes: Markdown")?;
        self.paragraph(
            "Here the holes are the marks in a page of notes, and each has only a few choices: is this line a heading, an \
             item, code? The model reads the page and picks. What is not sure stays as it is, and no word ever changes.",
        )?;
        let formatted = markdown::format(stops::NOTES, Some(infiller), None, &Cancel::new())?;
        for change in formatted.changes.iter().take(CHANGES) {
            let line = format!("  {}", in_one_line(&format!("notes.md: {change}")));
            writeln!(self.out, "{}", line.chars().take(self.columns).collect::<String>())?;
        }
        writeln!(self.out)?;
        let count = formatted.changes.len();
        self.paragraph(&format!("{count} places were mended. `lacuna format FILE.md` prints the whole page."))
    }

    fn facts(&mut self) -> Result<(), Ended> {
        self.heading("What to expect")?;
        for paragraph in card::facts().context("the model's card does not have its figures")? {
            self.paragraph(&paragraph)?;
        }
        Ok(())
    }

    fn setups(&mut self, setups: &[Setup]) -> Result<(), Ended> {
        self.heading("In your editor")?;
        for Setup { says, lines } in setups {
            self.paragraph(says)?;
            for line in lines {
                writeln!(self.out, "    {line}")?;
            }
            if !lines.is_empty() {
                writeln!(self.out)?;
            }
        }
        self.paragraph("`lacuna doctor` says what this machine has, and `lacuna --help` what else there is.")
    }

    fn heading(&mut self, text: &str) -> Result<(), Ended> {
        let rule = "─".repeat(text.width().min(self.columns.max(2) - 1));
        Ok(writeln!(self.out, "{text}\n{rule}")?)
    }

    fn paragraph(&mut self, text: &str) -> Result<(), Ended> {
        for line in wrapped(&printable(text), self.columns.saturating_sub(1).min(TEXT_COLUMNS)) {
            writeln!(self.out, "{line}")?;
        }
        Ok(writeln!(self.out)?)
    }

    /// Waits until the reader wants to go on.
    fn go_on(&mut self) -> Result<(), Ended> {
        if !self.waits {
            return Ok(());
        }
        write!(self.out, "[Enter] goes on, [q] and [Enter] ends ")?;
        self.out.flush()?;
        let mut line = String::new();
        let has_ended = std::io::stdin().read_line(&mut line)? == 0;
        if has_ended || line.trim().eq_ignore_ascii_case("q") {
            return Err(Ended::Left);
        }
        Ok(writeln!(self.out)?)
    }
}

/// The best fill as it fits the text around it, and why it does not, if it does not.
fn fitted(
    infiller: &dyn Infiller,
    request: &InfillRequest,
    infill: Infill,
) -> Result<(Candidate, Option<String>), Ended> {
    let hole = &request.holes[0];
    let around = Surroundings {
        before: &request.text[..hole.byte_range.start],
        after: &request.text[hole.byte_range.end..],
        extent: hole.extent,
        language: request.language,
    };
    let candidate = infill.candidates.into_iter().next().context("the engine gave no fill")?;
    let (mut candidate, processed) =
        renoise::process(infiller, request, candidate, &around, &Options::default(), &Cancel::new())?;
    if let Some(rejected) = processed.rejected {
        return Ok((candidate, Some(rejected.reason)));
    }
    candidate.fills[0] = processed.text;
    Ok((candidate, None))
}

/// What came of a stop.
fn verdict(stop: &Stop, candidate: &Candidate, rejected: Option<&str>) -> String {
    if let Some(reason) = rejected {
        return format!("This does not fit, and an editor would show nothing: {reason}");
    }
    let is_right = candidate.fills[0] == stop.solution;
    let right = if is_right {
        "That is exactly right.".to_owned()
    } else {
        format!("That is not right. What belongs there is `{}`.", stop.solution)
    };
    let (confidence, least) = (candidate.confidence, InlineCompletionSettings::default().min_confidence);
    let shown = if f64::from(confidence) >= least {
        format!("At a confidence of {confidence:.2} an editor would show it by itself, as ghost text.")
    } else {
        format!("Its confidence is {confidence:.2}, below {least}: an editor would show it only if you asked.")
    };
    format!("{right} {shown}")
}

#[cfg(test)]
mod tests;
