//! `lacuna doctor`: what this program runs on, and whether it works.

mod machine;
mod memory;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use lacuna_engine::fit::{Needs, needs};
use lacuna_engine::{Cancel, Error, Extent, Hole, InfillRequest, Infiller, Language, LocalOptions, ModelSource};
use serde::Serialize;

use super::options::{EngineOptions, PromptOption, open_engine};
use super::terminal_text::in_one_line;
use crate::syntax::{grammar, parse};
use machine::Machine;
use memory::{Downloadable, downloadable, memory_line};

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    prompt: PromptOption,
    /// Decides what the trial fill is
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    model: Option<Model>,
    /// What was asked for.
    device_option: String,
    machine: Machine,
    grammars: Vec<Grammar>,
    trial: Option<Trial>,
    /// What the folder's model needs of a card.
    memory: Option<Needs>,
    /// Larger checkpoints that can be had.
    downloadable: Vec<Downloadable>,
    /// What does not work; nothing if all is well.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Model {
    name: String,
    /// `embedded`, or the folder.
    source: String,
    parameters: u64,
    /// How text around a hole is laid out, where the folder's config.json says so.
    layout_version: Option<u64>,
    context_tokens: usize,
    /// Where it runs.
    device: String,
    open_ms: f64,
}

#[derive(Serialize)]
struct Grammar {
    language: &'static str,
    abi_version: usize,
    works: bool,
}

/// A small fill, to see that one comes out, and how fast.
#[derive(Serialize)]
struct Trial {
    before: &'static str,
    text: String,
    confidence: f32,
    steps: usize,
    ms: f64,
}

/// The trial's text, with its hole at the end.
const TRIAL_TEXT: &str = "def add(a, b):\n    return a";

pub(crate) fn run(arguments: &DoctorArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let options = LocalOptions {
        model: arguments.engine.source(),
        device: arguments.engine.device,
        threads: arguments.engine.threads(),
        prompt: arguments.prompt.form(),
        ..LocalOptions::default()
    };
    let open = |options: &LocalOptions| Ok(Box::new(open_engine(options)?) as Box<dyn Infiller>);
    let report = examine(&options, arguments.seed, &open);
    if arguments.json {
        serde_json::to_writer(&mut *out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        report.write(out)?;
    }
    out.flush()?;
    if report.problems.is_empty() { Ok(ExitCode::SUCCESS) } else { bail!("{}", report.problems.join("; ")) }
}

/// Opens an engine.
type Open = dyn Fn(&LocalOptions) -> Result<Box<dyn Infiller>, Error>;

fn examine(options: &LocalOptions, seed: u64, open: &Open) -> Report {
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: None,
        device_option: match options.device {
            lacuna_engine::Device::Cpu => "cpu".to_owned(),
            lacuna_engine::Device::Cuda(index) => format!("cuda:{index}"),
            lacuna_engine::Device::Auto => "auto".to_owned(),
        },
        machine: Machine::examine(),
        grammars: examine_grammars(),
        trial: None,
        memory: None,
        downloadable: downloadable(),
        problems: Vec::new(),
    };
    if let ModelSource::Folder(_) = options.model {
        // What is wrong with the folder is said when it is opened.
        report.memory = needs(&options.model).ok();
    }
    for grammar in report.grammars.iter().filter(|grammar| !grammar.works) {
        report.problems.push(format!("the grammar for {} cannot read a simple program", grammar.language));
    }
    let start = Instant::now();
    let infiller = match open(options) {
        Ok(infiller) => infiller,
        Err(error) => {
            report.problems.push(format!("the model cannot be opened: {error}"));
            return report;
        }
    };
    let description = infiller.describe();
    let (source, layout_version) = match &options.model {
        ModelSource::Embedded => ("embedded".to_owned(), None),
        ModelSource::Folder(folder) => (folder.display().to_string(), layout_version(folder)),
    };
    report.model = Some(Model {
        name: description.model.clone(),
        source,
        parameters: description.parameters,
        layout_version,
        context_tokens: description.context_tokens,
        device: description.device.clone(),
        open_ms: start.elapsed().as_secs_f64() * 1000.0,
    });
    match try_fill(&*infiller, seed) {
        Ok(trial) => report.trial = Some(trial),
        Err(error) => report.problems.push(format!("the model cannot fill a hole: {error}")),
    }
    report
}

fn try_fill(infiller: &dyn Infiller, seed: u64) -> Result<Trial, Error> {
    let end = TRIAL_TEXT.len();
    let request = InfillRequest {
        seed,
        ..InfillRequest::new(
            TRIAL_TEXT,
            Language::Python,
            vec![Hole { max_tokens: Some(16), ..Hole::new(end..end, Extent::Line) }],
        )
    };
    let start = Instant::now();
    let infill = infiller.infill(&request, &Cancel::new(), &mut |_| ())?;
    let ms = start.elapsed().as_secs_f64() * 1000.0;
    let best = infill.candidates.into_iter().next();
    let candidate = best.ok_or_else(|| Error::Request("the engine gave no fill".to_owned()))?;
    Ok(Trial {
        before: TRIAL_TEXT,
        text: candidate.fills.concat(),
        confidence: candidate.confidence,
        steps: candidate.steps,
        ms,
    })
}

fn examine_grammars() -> Vec<Grammar> {
    let programs = [("rust", Language::Rust, "fn main() {}\n"), ("python", Language::Python, "def f():\n    pass\n")];
    let examined = programs.into_iter().map(|(name, language, program)| Grammar {
        language: name,
        abi_version: grammar(language).map_or(0, |grammar| grammar.abi_version()),
        works: parse(program, language).is_some_and(|tree| !tree.root_node().has_error()),
    });
    examined.collect()
}

/// The engine has read this file by now, and refused what it doesn't understand.
fn layout_version(folder: &Path) -> Option<u64> {
    let config = std::fs::read(folder.join("config.json")).ok()?;
    serde_json::from_slice::<serde_json::Value>(&config).ok()?.pointer("/lacuna/layout_version")?.as_u64()
}

impl Report {
    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut line = |name: &str, value: &str| writeln!(out, "{name:<11} {}", in_one_line(value));
        line("lacuna", self.version)?;
        if let Some(model) = &self.model {
            line("model", &format!("{}, {} parameters", model.name, model.parameters))?;
            line("source", &model.source)?;
            if let Some(layout_version) = model.layout_version {
                line("layout", &layout_version.to_string())?;
            }
            line("context", &format!("{} tokens", model.context_tokens))?;
            line("device", &format!("{} (--device {})", model.device, self.device_option))?;
            line("opened", &format!("in {:.0} ms", model.open_ms))?;
        }
        line("processor", &self.machine.processor())?;
        line("cuda", &self.machine.cuda())?;
        for grammar in &self.grammars {
            let state = if grammar.works { "works" } else { "does not work" };
            line("grammar", &format!("{} {state} (tree-sitter ABI {})", grammar.language, grammar.abi_version))?;
        }
        if let Some(Trial { before, text, confidence, steps, ms }) = &self.trial {
            let last_line = before.lines().last().unwrap_or_default().trim_start();
            line("fill", &format!("`{last_line}` goes on with `{text}`, confidence {confidence:.2}"))?;
            line("", &format!("in {ms:.0} ms and {steps} steps"))?;
        }
        if let Some(needs) = &self.memory {
            line("memory", &memory_line(needs))?;
        }
        for (index, checkpoint) in self.downloadable.iter().enumerate() {
            line(if index == 0 { "download" } else { "" }, &checkpoint.line())?;
        }
        for problem in &self.problems {
            line("problem", problem)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
