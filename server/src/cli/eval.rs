//! `lacuna eval`: how good a model's fills are, on tasks whose solutions are known.

mod next_place;
mod results;
mod score;
mod stages;
mod task;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use lacuna_engine::{Autoregressor, Cancel, Copier, Elastic, Error, InfillRequest, Infiller, LocalOptions};
use serde::Serialize;

use super::options::{EngineOptions, PromptOption, open_engine};
use crate::postprocess::{self, Filter, Options, Processed, Surroundings};
use crate::renoise;
use results::Results;
use score::{Outcome, Summary};
use stages::{Busy, FitTimes, Spent};
use task::Task;

#[derive(Debug, clap::Args)]
pub(crate) struct EvalArguments {
    /// JSON lines, one object a task: `task_id`, `prompt`, `suffix`, `canonical_solution`, `language`, `kind`, and
    /// `context`, other files as objects with `name` and `text`
    tasks: PathBuf,
    /// Offer next places instead, beside edits replayed from pairs of texts: `id`, `package`, `language`, `before`, `after`
    #[arg(long)]
    next_place: bool,
    /// Write what came of each task to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Stop after so many tasks of each language and kind
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Compare without the blanks at the end
    #[arg(long)]
    strip: bool,
    /// Score what the model says, whether or not it fits the text around it
    #[arg(long)]
    raw: bool,
    /// Leave what breaks the syntax as it is, instead of denoising it again
    #[arg(long)]
    no_renoise: bool,
    /// Leave the tasks' other files unread
    #[arg(long)]
    no_context: bool,
    /// Tell the model how many tokens and whether one line or several the solution has
    #[arg(long)]
    oracle_length: bool,
    /// How a hole finds its length, instead of what suits the model
    #[arg(long, value_enum, value_delimiter = ',')]
    elastic: Option<Vec<Mechanism>>,
    /// How sure the model must be of what is shown
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    min_confidence: f32,
    /// Score this instead of a model
    #[arg(long, value_enum)]
    baseline: Option<Baseline>,
    /// Run so many tasks at once, with one thread each; then no times are measured
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// Say what a fill costs, stage by stage; on the processor only
    #[arg(long, conflicts_with_all = ["baseline", "jobs"])]
    stages: bool,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    prompt: PromptOption,
    /// The same seed gives the same fills
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Baseline {
    /// What the document repeats, without a model
    Copy,
    /// The same weights, token by token
    Ar,
}

const PROGRESS: &str = "{bar:40} {pos} of {len} tasks, {eta} left";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mechanism {
    /// The model deletes what is left over
    Delete,
    /// Several lengths are tried side by side
    Lengths,
    /// A hole in which nothing is left over gets more
    Growth,
    /// None: all of a hole is text
    None,
}

/// The printed object.
#[derive(Serialize)]
struct Report {
    model: String,
    #[serde(flatten)]
    all: Summary,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    language: String,
    kind: String,
    #[serde(flatten)]
    summary: Summary,
}

pub(crate) fn run(arguments: &EvalArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    ensure!((0.0..=1.0).contains(&arguments.min_confidence), "--min-confidence is a share from 0 to 1");
    if arguments.next_place {
        return arguments.next_places(out);
    }
    let tasks = limited(task::read(&arguments.tasks)?, arguments.limit);
    let completions = match &arguments.out {
        Some(path) => Some(BufWriter::new(File::create(path).with_context(|| path.display().to_string())?)),
        None => None,
    };
    let bar = ProgressBar::new(tasks.len() as u64).with_style(ProgressStyle::with_template(PROGRESS)?);
    let (model, outcomes) = arguments.outcomes(&tasks, completions, &bar)?;
    bar.finish_and_clear();
    let report = report(model, &tasks, &outcomes, arguments.strip);
    if arguments.json {
        serde_json::to_writer(&mut *out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&report, out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The first tasks of each language and kind.
fn limited(mut tasks: Vec<Task>, limit: Option<usize>) -> Vec<Task> {
    let Some(limit) = limit else { return tasks };
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    tasks.retain(|task| {
        let count = counts.entry((task.language.clone(), task.kind.clone())).or_default();
        *count += 1;
        *count <= limit
    });
    tasks
}

impl EvalArguments {
    fn open(&self) -> anyhow::Result<Box<dyn Infiller>> {
        let options = || -> anyhow::Result<LocalOptions> {
            let one_each = (self.jobs.get() > 1).then_some(1);
            Ok(LocalOptions {
                model: self.engine.checked_source()?,
                device: self.engine.device,
                threads: self.engine.threads().or(one_each),
                elastic: self.elastic.as_deref().map(elastic),
                prompt: self.prompt.form(),
                clocked: self.stages,
            })
        };
        Ok(match self.baseline {
            Some(Baseline::Copy) => Box::new(Copier::new()),
            Some(Baseline::Ar) => Box::new(Autoregressor::open(&options()?)?),
            None => Box::new(open_engine(&options()?)?),
        })
    }

    /// Offers next places beside edits replayed from pairs of texts, and prints how many of them were right.
    fn next_places(&self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let mut pairs: Vec<next_place::Pair> = task::read_lines(&self.tasks, |_| Ok(()))?;
        pairs.truncate(self.limit.unwrap_or(usize::MAX));
        let bar = ProgressBar::new(pairs.len() as u64).with_style(ProgressStyle::with_template(PROGRESS)?);
        // What the text says by itself is the baseline.
        let engine = self.baseline.is_none().then(|| self.open()).transpose()?;
        let outcomes = next_place::run(&pairs, engine.as_deref(), self.out.as_deref(), &bar)?;
        bar.finish_and_clear();
        next_place::print(&outcomes, self.min_confidence, self.json, out)?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    /// What was asked, and what came of the tasks, in their order. What is wrong with one ends them all.
    fn outcomes(
        &self,
        tasks: &[Task],
        completions: Option<BufWriter<File>>,
        bar: &ProgressBar,
    ) -> anyhow::Result<(String, Vec<Outcome>)> {
        let jobs = self.jobs.get().min(tasks.len());
        let first = self.open()?;
        let on_processor = first.describe().device.starts_with("cpu");
        // A card has room for one engine, which answers several threads together.
        let others = if on_processor { jobs } else { 1 };
        let infillers = std::iter::once(Ok(first)).chain((1..others).map(|_| self.open()));
        let infillers = infillers.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(on_processor || !self.stages, "--stages clocks the processor; use --device cpu");
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Results::new(tasks.len(), completions));
        let work = |infiller: &dyn Infiller| -> anyhow::Result<()> {
            while let index = next.fetch_add(1, Ordering::Relaxed)
                && let Some(task) = tasks.get(index)
            {
                let add = |outcome| results.lock().unwrap_or_else(PoisonError::into_inner).add(index, outcome);
                let done = self.outcome(task, infiller).with_context(|| task.task_id.clone()).and_then(add);
                // The others stop at their next task.
                done.inspect_err(|_| next.store(tasks.len(), Ordering::Relaxed))?;
                bar.inc(1);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let work = &work;
            let engines = infillers.iter().cycle().take(jobs);
            let running: Vec<_> = engines.map(|infiller| scope.spawn(move || work(infiller.as_ref()))).collect();
            running.into_iter().try_for_each(|job| job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        let outcomes = results.into_inner().unwrap_or_else(PoisonError::into_inner).finish()?;
        Ok((infillers[0].describe().model.clone(), outcomes))
    }

    fn outcome(&self, task: &Task, infiller: &dyn Infiller) -> anyhow::Result<Outcome> {
        let (text, mut hole) = task.hole(self.oracle_length);
        if self.oracle_length {
            hole.max_tokens = infiller.token_count(&task.solution);
        }
        let extent = hole.extent;
        let start = Instant::now();
        let excerpts = if self.no_context { Vec::new() } else { task.excerpts(&text) };
        let request =
            InfillRequest { excerpts, seed: self.seed, ..InfillRequest::new(text, task.language(), vec![hole]) };
        let infill = match infiller.infill(&request, &Cancel::new(), &mut |_| ()) {
            Ok(infill) => infill,
            Err(Error::Request(reason)) => anyhow::bail!("{reason}"),
            Err(error) => return Err(error.into()),
        };
        let ms_of_fill = milliseconds_since(start);
        let best = infill.candidates.first().context("the engine gave no fill")?.clone();
        let around = Surroundings { before: &task.before, after: &task.after, extent, language: task.language() };
        // By themselves the filters take too little to matter, so for their times they are applied once more.
        let start = Instant::now();
        if self.stages && !self.raw {
            let others = Options { off: vec![Filter::Syntax], ..Options::default() };
            postprocess::process_with(&best.fills[0], None, &around, &others);
        }
        let filters = milliseconds_since(start);
        let start = Instant::now();
        let again = Busy::new(infiller);
        let (best, processed) = if self.raw {
            let text = best.fills.first().cloned().unwrap_or_default();
            (best, Processed { text, ..Processed::default() })
        } else if self.no_renoise {
            let processed = postprocess::process(&best.fills[0], &around);
            (best, processed)
        } else {
            renoise::process(&again, &request, best, &around, &Options::default(), &Cancel::new())?
        };
        let fit = FitTimes { all: milliseconds_since(start), filters, again: again.milliseconds() };
        let ms = ms_of_fill + fit.all;
        let fit = if self.raw { FitTimes::default() } else { fit };
        Ok(Outcome {
            task_id: task.task_id.clone(),
            completion: processed.text,
            shown: processed.rejected.is_none() && best.confidence >= self.min_confidence,
            confidence: best.confidence,
            tokens: best.tokens,
            steps: best.steps,
            ms: (self.jobs.get() == 1).then_some(ms),
            spent: Spent::of(&infill, fit),
        })
    }
}

fn milliseconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

fn elastic(mechanisms: &[Mechanism]) -> Elastic {
    let has = |mechanism| mechanisms.contains(&mechanism);
    Elastic { delete: has(Mechanism::Delete), lengths: has(Mechanism::Lengths), growth: has(Mechanism::Growth) }
}

fn report(model: String, tasks: &[Task], outcomes: &[Outcome], strip: bool) -> Report {
    let all = || tasks.iter().zip(outcomes);
    let groups: BTreeMap<_, ()> = tasks.iter().map(|task| ((task.language.clone(), task.kind.clone()), ())).collect();
    Report {
        model,
        all: Summary::of(all(), strip),
        groups: groups
            .into_keys()
            .map(|(language, kind)| Group {
                summary: Summary::of(all().filter(|(task, _)| task.language == language && task.kind == kind), strip),
                language,
                kind,
            })
            .collect(),
    }
}

fn print(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", report.model)?;
    writeln!(
        out,
        "{:<24} {:>5} {:>7} {:>7} {:>7} {:>7} {:>9} {:>7} {:>8}",
        "tasks", "n", "exact", "similar", "parse", "shown", "of these", "lines", "ms"
    )?;
    let groups = report.groups.iter().map(|group| (format!("{} {}", group.language, group.kind), &group.summary));
    for (name, summary) in groups.chain(std::iter::once(("all".to_owned(), &report.all))) {
        let percent =
            |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0));
        writeln!(
            out,
            "{name:<24} {:>5} {:>7} {:>7.3} {:>7} {:>7} {:>9} {:>7.2} {:>8}",
            summary.n,
            percent(Some(summary.exact_match)),
            summary.edit_similarity,
            percent(summary.syntax_valid),
            percent(Some(summary.coverage)),
            percent(summary.precision_shown),
            summary.length_error,
            summary.p50_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}")),
        )?;
    }
    report.all.spent.iter().try_for_each(|spent| spent.write(out))
}
