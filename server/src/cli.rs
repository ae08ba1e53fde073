//! The command line.

mod options;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::lsp::{self, LspOptions};
use options::EngineOptions;

/// Fills holes in code and text with a diffusion language model on your own machine.
#[derive(Debug, Parser)]
#[command(name = "lacuna", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an editor over standard input and output.
    Lsp(LspArguments),
}

#[derive(Debug, clap::Args)]
struct LspArguments {
    /// Talk over standard input and output, which is the only way there is.
    #[arg(long)]
    stdio: bool,
    #[command(flatten)]
    engine: EngineOptions,
}

/// All of the binary: reads the process's arguments, does what they say, and says how it went.
pub fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // When nobody reads the error either, there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "lacuna: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Lsp(arguments) => lsp::run(LspOptions {
            model: arguments.engine.model()?,
            device: arguments.engine.device,
            threads: arguments.engine.threads(),
        }),
    }
}
