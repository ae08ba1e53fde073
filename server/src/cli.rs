//! The command line.
//!
//! What a person got wrong is one line on standard error and a status other than 0. No file is ever written but the
//! ones that `forward`, `eval` and `quantize` are told to write, and those that `format` is told to write back; `stats`
//! removes the counts when it is told to.

mod bench;
mod doctor;
mod document;
mod eval;
#[cfg(test)]
mod fake;
mod fill;
mod format;
mod forward;
mod interrupt;
mod options;
mod position;
mod quantize;
mod stats;
mod terminal_text;
mod tour;
mod watch;

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::lsp::{self, LspOptions};
use crate::settings::Settings;
use options::{EngineOptions, PromptOption};
use terminal_text::in_one_line;

/// Fills holes in code and text with a diffusion language model on your own machine
#[derive(Debug, Parser)]
#[command(name = "lacuna", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an editor over standard input and output
    Lsp(LspArguments),
    /// Fill a hole in a file, and print what belongs there
    Fill(fill::FillArguments),
    /// Lay out Markdown, and mend what is plainly broken in it
    Format(format::FormatArguments),
    /// Run a checkpoint on token ids, from file to file
    Forward(forward::ForwardArguments),
    /// Say how good fills are, on tasks whose solutions are known
    Eval(eval::EvalArguments),
    /// Measure what a denoising step costs on this machine
    Bench(bench::BenchArguments),
    /// Make a smaller checkpoint out of a plain one
    Quantize(quantize::QuantizeArguments),
    /// Say what this program runs on, and whether it works
    Doctor(doctor::DoctorArguments),
    /// See it at work on a few prepared files, and how to set up your editor
    Tour(tour::TourArguments),
    /// Show how many completions were shown and accepted, and how long they took
    Stats(stats::StatsArguments),
}

#[derive(Debug, clap::Args)]
struct LspArguments {
    /// Talk over standard input and output, which is the only way there is
    #[arg(long)]
    stdio: bool,
    /// Print what an editor may set, as a JSON schema, and end
    #[arg(long)]
    schema: bool,
    /// Load the model for this server alone, instead of sharing it with other editors' servers of the same user
    #[arg(long)]
    no_share: bool,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    prompt: PromptOption,
}

/// All of the binary: reads the process's arguments, does what they say, and says how it went.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(report_panic));
    match run(Arguments::parse().command) {
        Ok(code) => code,
        // Whoever read this has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Lsp(LspArguments { schema: true, .. }) => {
            writeln!(io::stdout(), "{:#}", Settings::schema())?;
            Ok(ExitCode::SUCCESS)
        }
        // An editor shows what its server says better than what the server's process said before it ended, so
        // whether the model is any good is for the server to find out.
        Command::Lsp(LspArguments { stdio: _, schema: false, no_share, engine, prompt }) => lsp::run(LspOptions {
            model: engine.source(),
            device: engine.device,
            threads: engine.threads(),
            prompt: prompt.form(),
            shares: !no_share,
        }),
        Command::Fill(arguments) => fill::run(&arguments),
        Command::Format(arguments) => format::run(&arguments, &mut io::stdout()),
        Command::Forward(arguments) => forward::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments, &mut io::stdout()),
        Command::Bench(arguments) => bench::run(&arguments, &mut io::stdout()),
        Command::Quantize(arguments) => quantize::run(&arguments, &mut io::stdout()),
        Command::Doctor(arguments) => doctor::run(&arguments, &mut io::stdout()),
        Command::Tour(arguments) => tour::run(&arguments, &mut io::stdout()),
        Command::Stats(arguments) => stats::run(&arguments, &mut io::stdout()),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error and what brought it about, each once: some say their cause themselves.
fn explain(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.ends_with(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// Says what is wrong, in one line.
fn complain(message: &str) {
    // When nobody reads this either, there is nobody left to tell.
    let _ = writeln!(io::stderr(), "lacuna: {}", in_one_line(message));
}

/// A panic is a mistake in this program; it is said in one line too, and on a terminal that shows lines.
fn report_panic(panic: &PanicHookInfo<'_>) {
    if crossterm::terminal::is_raw_mode_enabled().unwrap_or(false) {
        let _ = crossterm::terminal::disable_raw_mode();
        let _ = crossterm::execute!(io::stdout(), crossterm::cursor::Show);
        let _ = writeln!(io::stdout());
    }
    let place = panic.location().map(|location| format!(" at {location}")).unwrap_or_default();
    let payload = panic.payload_as_str().unwrap_or("no reason given");
    complain(&format!("internal error{place}: {payload}"));
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use lacuna_engine::Error;

    use super::explain;

    #[test]
    fn a_cause_is_said_once() {
        let source = || std::io::Error::other("the disk is full");
        let says_its_cause = Error::Io { path: "a".into(), source: source() };
        assert_eq!(explain(&says_its_cause.into()), "a: the disk is full");
        let error = Err::<(), _>(source()).context("a").expect_err("it is one");
        assert_eq!(explain(&error), "a: the disk is full");
    }
}
