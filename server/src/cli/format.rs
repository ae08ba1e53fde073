//! `lacuna format`: Markdown, printed, checked or written back.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use lacuna_engine::{Cancel, LocalInfiller, LocalOptions};

use super::options::{EngineOptions, PromptOption, open_engine};
use super::terminal_text::in_one_line;
use super::{complain, document};
use crate::markdown::{self, Formatted};

#[derive(Debug, clap::Args)]
pub(crate) struct FormatArguments {
    /// Markdown files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write nothing; say what would change, and end with status 1 if anything would
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Write each file back where anything changes, instead of printing it
    #[arg(long)]
    write: bool,
    /// Lay the text out without asking a model about its defects
    #[arg(long)]
    no_model: bool,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    prompt: PromptOption,
}

pub(crate) fn run(arguments: &FormatArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut engine = Engine::new(arguments)?;
    let mut code = ExitCode::SUCCESS;
    for file in &arguments.files {
        match arguments.format(file, &mut engine, out) {
            Ok(true) => (),
            Ok(false) => code = ExitCode::FAILURE,
            // Whoever read this has seen enough.
            Err(error) if super::is_broken_pipe(&error) => return Err(error),
            // The other files can be right all the same.
            Err(error) => {
                complain(&format!("{error:#}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    out.flush()?;
    Ok(code)
}

/// The engine, which is opened for the first document that needs it.
struct Engine {
    /// `None` where no model may be asked.
    options: Option<LocalOptions>,
    opened: Option<LocalInfiller>,
}

impl Engine {
    fn new(arguments: &FormatArguments) -> anyhow::Result<Self> {
        let engine = &arguments.engine;
        // A wrong folder is wrong, needed or not.
        let model = engine.checked_source()?;
        let options = LocalOptions {
            model,
            device: engine.device,
            threads: engine.threads(),
            prompt: arguments.prompt.form(),
            ..LocalOptions::default()
        };
        Ok(Self { options: (!arguments.no_model).then_some(options), opened: None })
    }

    fn format(&mut self, text: &str) -> anyhow::Result<Formatted> {
        let laid_out = markdown::format(text, None, None, &Cancel::new())?;
        let Some(options) = self.options.as_ref().filter(|_| markdown::has_defects(&laid_out.text)) else {
            return Ok(laid_out);
        };
        let engine = match self.opened.take() {
            Some(engine) => engine,
            None => open_engine(options)?,
        };
        let formatted = markdown::format(text, Some(&engine), None, &Cancel::new());
        self.opened = Some(engine);
        Ok(formatted?)
    }
}

impl FormatArguments {
    /// Whether the file is as it should be, now.
    fn format(&self, file: &Path, engine: &mut Engine, out: &mut dyn Write) -> anyhow::Result<bool> {
        let is_stdin = file == Path::new("-");
        ensure!(!(is_stdin && self.write), "-: standard input cannot be written back");
        let text = if is_stdin { document::read_stdin()? } else { document::read(file)? };
        let name = file.display();
        let formatted = engine.format(&text).with_context(|| name.to_string())?;
        if let Some(note) = &formatted.note {
            complain(&format!("{name}: {note}"));
        }
        let is_changed = formatted.text != text;
        if self.check {
            for change in &formatted.changes {
                writeln!(out, "{}", in_one_line(&format!("{name}: {change}")))?;
            }
            return Ok(!is_changed);
        }
        if !self.write {
            out.write_all(formatted.text.as_bytes())?;
        } else if is_changed {
            replace(file, &formatted.text).with_context(|| name.to_string())?;
        }
        Ok(true)
    }
}

/// Writes the file anew, whole or not at all, with the permissions that it has; a link stays a link.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let file = fs::canonicalize(file)?;
    let permissions = fs::metadata(&file)?.permissions();
    ensure!(!permissions.readonly(), "it is read-only");
    // Says whether this may be written, which a new file in its place would not ask.
    drop(OpenOptions::new().write(true).open(&file)?);
    let folder = file.parent().context("it has no folder")?;
    let mut new = tempfile::Builder::new().prefix(".lacuna-").tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(permissions)?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    Ok(())
}
