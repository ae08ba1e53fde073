use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use lacuna_engine::{Device, Error, LocalInfiller, LocalOptions, ModelSource, PromptForm};

use crate::settings::PromptChoice;

/// Which model runs where: the options that every subcommand has.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EngineOptions {
    /// A checkpoint folder in Hugging Face style, instead of the embedded model
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Where to run: cpu, cuda, cuda:N or auto
    #[arg(long, default_value = "auto")]
    pub(crate) device: Device,
    /// Threads to compute with, instead of all cores
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl EngineOptions {
    /// Where the weights come from, without a look at it.
    pub(crate) fn source(&self) -> ModelSource {
        self.model.clone().map_or(ModelSource::Embedded, ModelSource::Folder)
    }

    /// Where the weights come from; an error if it is plainly no folder.
    pub(crate) fn checked_source(&self) -> anyhow::Result<ModelSource> {
        if let Some(folder) = &self.model {
            let metadata = std::fs::metadata(folder).with_context(|| folder.display().to_string())?;
            ensure!(metadata.is_dir(), "{}: not a folder", folder.display());
        }
        Ok(self.source())
    }

    /// Threads to compute with; all cores where it is `None`.
    pub(crate) fn threads(&self) -> Option<usize> {
        self.threads.map(NonZeroUsize::get)
    }
}

/// While weights go to a card.
const LOADING: &str = "loading {bar:40} {bytes}/{total_bytes}";
/// What is loaded within this time needs no progress.
const PATIENCE: Duration = Duration::from_millis(500);

/// Opens the engine; where that takes long, whoever waits sees how far it has come.
pub(crate) fn open_engine(options: &LocalOptions) -> Result<LocalInfiller, Error> {
    let style = ProgressStyle::with_template(LOADING).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    let opened = LocalInfiller::open_with(options, &mut |progress| {
        if bar.elapsed() >= PATIENCE {
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.done_bytes);
        }
    });
    bar.finish_and_clear();
    opened
}

/// How text becomes a prompt: the option of the subcommands that fill text.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct PromptOption {
    /// How the model is asked: with the text itself, with a message about it, or as suits the checkpoint
    #[arg(long, value_enum, value_name = "FORM", default_value = "auto")]
    prompt: PromptChoice,
}

impl PromptOption {
    /// The form; as suits the checkpoint where it is `None`.
    pub(crate) fn form(self) -> Option<PromptForm> {
        self.prompt.form()
    }
}
