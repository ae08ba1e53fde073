use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use lacuna_engine::{Device, ModelSource};

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
