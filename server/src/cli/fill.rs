//! `lacuna fill`: one hole in one file, or all that are marked, printed. The file is only read.

mod canvas;
mod diff;
mod many;
mod output;

use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use lacuna_engine::{
    Cancel, Candidate, Error, Excerpt, Extent, Hole, InfillRequest, Infiller, Language, LocalOptions, show_canvases,
};

use super::document;
use super::interrupt::INTERRUPTED;
use super::options::{EngineOptions, PromptOption, open_engine};
use super::position::{Position, byte_offset_of, position_of};
use super::terminal_text::printable;
use super::watch::{self, Screen};
use crate::excerpts::{self, OtherFile, Places};
use crate::holes::{Holes, with_leads};
use crate::postprocess::{Change, Options, Surroundings};
use crate::renoise;
use crate::settings::InlineCompletionSettings;
use crate::syntax::{find_hole, hole_of_range, language_of, parse};
use many::{Many, Marked};
use output::{CandidateReport, Report, TimingsMs};

#[derive(Debug, clap::Args)]
pub(crate) struct FillArguments {
    /// The file with the hole; it is only read
    file: PathBuf,
    /// Where the hole is, both counted from 1
    #[arg(long, value_name = "LINE:COL", required_unless_present = "holes")]
    at: Option<Position>,
    /// Where the hole ends, instead of where the text around it suggests
    #[arg(long, value_name = "LINE:COL", requires = "at")]
    end: Option<Position>,
    /// Fill every place where MARK stands, and print the whole file: a run of it, if it is one character; without MARK,
    /// the language's own placeholders, such as todo!(). The status is 3 where some are left as they were
    #[arg(long, value_name = "MARK", num_args = 0..=1, conflicts_with_all = ["at", "end", "watch"])]
    holes: Option<Option<String>>,
    /// How sure the model must be of a fill, or the marker stays; 0 takes whatever fits
    #[arg(long, value_name = "SHARE", requires = "holes", conflicts_with = "at",
        default_value_t = InlineCompletionSettings::default().min_confidence)]
    min_confidence: f64,
    /// Holes that are filled at once, as far as they are near each other; the next ones read what was made of these
    #[arg(long, value_name = "N", requires = "holes", conflicts_with = "at", default_value = "32")]
    together: NonZeroUsize,
    /// Print what changes in the file, as a unified diff
    #[arg(long, requires = "holes", conflicts_with_all = ["at", "json"])]
    diff: bool,
    /// Other files to fill in the light of, the most important ones first; they are only read
    #[arg(long, value_name = "FILE", num_args = 1..)]
    context: Vec<PathBuf>,
    /// How many different fills to try for
    #[arg(long, value_name = "N", default_value = "1")]
    candidates: NonZeroUsize,
    /// Show the text condensing
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print what the model would get, prompt and canvas token by token, and fill nothing
    #[arg(long, conflicts_with_all = ["json", "watch", "diff"])]
    show_canvas: bool,
    /// What the file is written in: text, rust, python or markdown, instead of what its name suggests
    #[arg(long, value_name = "LANGUAGE", value_parser = language_named)]
    language: Option<Language>,
    /// How far the fill may go
    #[arg(long, value_enum, default_value = "auto")]
    extent: ExtentChoice,
    /// Print what the model says, whether or not it fits the text around it
    #[arg(long)]
    raw: bool,
    /// Say on standard error what was changed to make a fill fit, and why
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    prompt: PromptOption,
    /// The same seed gives the same fill
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ExtentChoice {
    /// As the text around the hole suggests
    Auto,
    /// To the end of a line
    Line,
    /// Any number of lines
    Block,
}

impl ExtentChoice {
    fn or(self, suggested: Extent) -> Extent {
        match self {
            Self::Auto => suggested,
            Self::Line => Extent::Line,
            Self::Block => Extent::Block,
        }
    }
}

fn language_named(name: &str) -> Result<Language, &'static str> {
    match name {
        "text" => Ok(Language::Text),
        "rust" => Ok(Language::Rust),
        "python" => Ok(Language::Python),
        "markdown" => Ok(Language::Markdown),
        _ => Err("expected text, rust, python or markdown"),
    }
}

pub(crate) fn run(arguments: &FillArguments) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    ensure!((0.0..=1.0).contains(&arguments.min_confidence), "--min-confidence is a share from 0 to 1");
    let text = document::read(&arguments.file)?;
    let language = arguments.language.unwrap_or_else(|| {
        let first_line = text.lines().next().unwrap_or_default();
        language_of(&arguments.file, first_line)
    });
    let wanted = arguments.wanted(&text, language).with_context(|| arguments.file.display().to_string())?;
    let excerpts = arguments.excerpts(&text, language, &wanted)?;
    let engine = &arguments.engine;
    let options = LocalOptions {
        model: engine.checked_source()?,
        device: engine.device,
        threads: engine.threads(),
        prompt: arguments.prompt.form(),
        ..LocalOptions::default()
    };
    let mut stdout = std::io::stdout();
    let is_terminal = stdout.is_terminal();
    if arguments.show_canvas {
        let request = arguments.request(text, language, &wanted, excerpts);
        let canvases = show_canvases(&options, &request)?;
        let with_colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        canvas::write(&mut stdout, &canvases, &request.excerpts, with_colour)?;
        return Ok(ExitCode::SUCCESS);
    }
    let infiller = open_engine(&options)?;
    let load_ms = milliseconds_since(start);
    if let Wanted::Marked(marked) = &wanted {
        let many =
            Many { arguments, text: &text, language, excerpts: &excerpts, marked, infiller: &infiller, start, load_ms };
        return many.print(&mut stdout, is_terminal, &mut std::io::stderr());
    }
    let request = arguments.request(text, language, &wanted, excerpts);
    let answer = Answer { arguments, request: &request, infiller: &infiller, start, load_ms };
    answer.print(&mut stdout, is_terminal)
}

/// What is to be filled.
enum Wanted {
    One(Hole),
    Marked(Marked),
}

impl FillArguments {
    fn wanted(&self, text: &str, language: Language) -> anyhow::Result<Wanted> {
        Ok(match &self.holes {
            Some(marker) => Wanted::Marked(many::find(self, marker.as_deref(), text, language)?),
            None => Wanted::One(self.hole(text, language)?),
        })
    }

    /// All that is wanted as one request.
    fn request(&self, text: String, language: Language, wanted: &Wanted, excerpts: Vec<Excerpt>) -> InfillRequest {
        let name = self.name();
        let (text, holes) = match wanted {
            Wanted::One(hole) => (text, vec![hole.clone()]),
            Wanted::Marked(Marked { holes, .. }) => with_leads(
                &Holes { text: &text, language, name: name.as_deref(), excerpts: &excerpts, holes },
                holes,
                "",
                0,
            ),
        };
        InfillRequest {
            name,
            excerpts,
            seed: self.seed,
            candidates: self.candidates.get(),
            ..InfillRequest::new(text, language, holes)
        }
    }

    /// What the files of `--context` say that bears on the holes.
    fn excerpts(&self, text: &str, language: Language, wanted: &Wanted) -> anyhow::Result<Vec<Excerpt>> {
        let bytes: Vec<usize> = match wanted {
            Wanted::One(hole) => vec![hole.byte_range.start],
            Wanted::Marked(Marked { holes, .. }) => holes.iter().map(|hole| hole.byte_range.start).collect(),
        };
        let mut others = Vec::with_capacity(self.context.len());
        for path in &self.context {
            others.push(OtherFile::new(path.to_string_lossy(), &document::read(path)?, language));
        }
        let tree = parse(text, language);
        Ok(excerpts::choose(&Places { text, tree: tree.as_ref(), language, bytes: &bytes }, &others))
    }

    /// The file's name, without its folder.
    fn name(&self) -> Option<String> {
        self.file.file_name().map(|name| name.to_string_lossy().into_owned())
    }

    /// The hole that `--at` and `--end` name.
    fn hole(&self, text: &str, language: Language) -> anyhow::Result<Hole> {
        let position = self.at.context("--at: no place is given")?;
        let at = byte_offset_of(text, position).context("--at")?;
        let found = if let Some(end) = self.end {
            ensure!(position <= end, "--end {end} stands before --at {position}");
            hole_of_range(text, at..byte_offset_of(text, end).context("--end")?)
        } else {
            find_hole(text, parse(text, language).as_ref(), language, at)
        };
        Ok(Hole::new(found.byte_range, self.extent.or(found.extent)))
    }
}

/// All that it takes to answer.
struct Answer<'a> {
    arguments: &'a FillArguments,
    request: &'a InfillRequest,
    infiller: &'a dyn Infiller,
    /// When the command began.
    start: Instant,
    load_ms: f64,
}

/// A candidate that fits its surroundings.
struct Fitted {
    candidate: Candidate,
    changes: Vec<Change>,
}

impl Fitted {
    fn text(&self) -> &str {
        &self.candidate.fills[0]
    }
}

impl Answer<'_> {
    fn print(&self, out: &mut dyn Write, is_terminal: bool) -> anyhow::Result<ExitCode> {
        let mut screen = if self.arguments.watch && is_terminal { Screen::open() } else { None };
        let infill = match &mut screen {
            Some(screen) => watch::condense(self.infiller, self.request, screen),
            None => self.infiller.infill(self.request, &Cancel::new(), &mut |_| ()),
        };
        let infill = match infill {
            Ok(infill) => infill,
            // Only the one who looks on can cancel, and knows it.
            Err(Error::Cancelled) => return Ok(ExitCode::from(INTERRUPTED)),
            Err(error) => return Err(error.into()),
        };
        let (fitted, rejected) = self.fit(infill.candidates)?;
        let Some(best) = fitted.first() else {
            let rejection = rejected.first().context("the engine gave no fill")?;
            bail!("no fill fits the text around the hole: {}", printable(&rejection.reason));
        };
        let was_shown = screen.is_some();
        if let Some(mut screen) = screen {
            // Not the time that the drafts stayed on the screen.
            let seconds = (infill.timings.prompt_ms + infill.timings.denoise_ms) / 1000.0;
            screen.finish(self.request, &best.candidate, seconds)?;
        }
        if self.arguments.json {
            let byte_range = &self.request.holes[0].byte_range;
            let description = self.infiller.describe();
            let report = Report {
                text: best.text(),
                start: position_of(&self.request.text, byte_range.start),
                end: position_of(&self.request.text, byte_range.end),
                candidates: fitted.iter().map(CandidateReport::from).collect(),
                rejected: &rejected,
                model: &description.model,
                device: &description.device,
                length: infill.length,
                timings_ms: TimingsMs {
                    load: self.load_ms,
                    prompt: infill.timings.prompt_ms,
                    denoise: infill.timings.denoise_ms,
                    total: milliseconds_since(self.start),
                },
            };
            serde_json::to_writer(&mut *out, &report).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            output::write_fills(out, &fitted, usize::from(was_shown), is_terminal)?;
        }
        out.flush()?;
        if self.arguments.verbose {
            output::write_changes(&mut std::io::stderr(), &fitted, &rejected)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Makes each candidate fit the text around the hole, leaves out what has thereby become the same, and says why
    /// others do not fit.
    fn fit(&self, candidates: Vec<Candidate>) -> Result<(Vec<Fitted>, Vec<Change>), Error> {
        let hole = &self.request.holes[0];
        let around = Surroundings {
            before: &self.request.text[..hole.byte_range.start],
            after: &self.request.text[hole.byte_range.end..],
            extent: hole.extent,
            language: self.request.language,
        };
        let (mut all, mut rejected): (Vec<Fitted>, _) = (Vec::new(), Vec::new());
        for mut candidate in candidates {
            let mut changes = Vec::new();
            if !self.arguments.raw {
                let options = Options::default();
                let cancel = Cancel::new();
                let (better, processed) =
                    renoise::process(self.infiller, self.request, candidate, &around, &options, &cancel)?;
                candidate = better;
                if let Some(rejection) = processed.rejected {
                    rejected.push(rejection);
                    continue;
                }
                candidate.fills[0] = processed.text;
                changes = processed.changes;
            }
            if all.iter().all(|fitted| fitted.text() != candidate.fills[0]) {
                all.push(Fitted { candidate, changes });
            }
        }
        Ok((all, rejected))
    }
}

fn milliseconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;
