//! Which engine the settings and the command line name.

use lacuna_engine::{Device, Error, Infiller, LoadProgress, LocalInfiller, LocalOptions, ModelSource};

use crate::lsp::LspOptions;
use crate::lsp::worker::LoadEngine;
use crate::settings::Settings;

/// Loads engines into this process. What a setting leaves open, the command line decides.
pub(crate) struct LocalEngines(pub(crate) LspOptions);

impl LocalEngines {
    fn options(&self, settings: &Settings) -> Result<LocalOptions, Error> {
        let model = settings.model.clone().map_or_else(|| self.0.model.clone(), ModelSource::Folder);
        let device = match settings.device.parse()? {
            Device::Auto => self.0.device,
            device => device,
        };
        let threads = settings.threads.or(self.0.threads);
        let prompt = settings.prompt.form().or(self.0.prompt);
        Ok(LocalOptions { model, device, threads, prompt, ..LocalOptions::default() })
    }
}

impl LoadEngine for LocalEngines {
    fn load(&self, settings: &Settings, progress: &mut dyn FnMut(LoadProgress)) -> Result<Box<dyn Infiller>, Error> {
        let options = self.options(settings)?;
        let mut load = || {
            let engine = LocalInfiller::open_with(&options, progress)?;
            Ok(Box::new(engine) as Box<dyn Infiller>)
        };
        match &options.model {
            // The embedded model is too small to be worth a word with another process.
            #[cfg(unix)]
            ModelSource::Folder(folder) if self.0.shares => {
                let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
                let model = ModelSource::Folder(folder);
                crate::share::open(&format!("{:?}", LocalOptions { model, ..options.clone() }), load)
            }
            _ => load(),
        }
    }

    /// The embedded model, while another one is read from the disk.
    fn interim(&self, settings: &Settings) -> Option<Box<dyn Infiller>> {
        let options = self.options(settings).ok()?;
        let ModelSource::Folder(_) = options.model else {
            return None;
        };
        let embedded = LocalOptions {
            model: ModelSource::Embedded,
            device: Device::Cpu,
            threads: options.threads,
            ..LocalOptions::default()
        };
        LocalInfiller::open(&embedded).ok().map(|engine| Box::new(engine) as Box<dyn Infiller>)
    }
}

#[cfg(test)]
mod tests {
    use lacuna_engine::{Device, ModelSource, PromptForm};

    use super::LocalEngines;
    use crate::lsp::LspOptions;
    use crate::settings::{PromptChoice, Settings};

    #[test]
    fn settings_come_before_the_command_line() {
        let given = LspOptions {
            model: ModelSource::Folder("given".into()),
            device: Device::Cpu,
            threads: Some(3),
            prompt: Some(PromptForm::Chat),
            shares: true,
        };
        let engines = LocalEngines(given);
        let options = engines.options(&Settings::default()).expect("options");
        assert_eq!(options.model, ModelSource::Folder("given".into()));
        assert_eq!((options.device, options.threads), (Device::Cpu, Some(3)));
        assert_eq!(options.prompt, Some(PromptForm::Chat));
        let set = Settings {
            model: Some("set".into()),
            device: "cuda:1".to_owned(),
            threads: Some(1),
            prompt: PromptChoice::Raw,
            ..Settings::default()
        };
        let options = engines.options(&set).expect("options");
        assert_eq!(options.model, ModelSource::Folder("set".into()));
        assert_eq!((options.device, options.threads), (Device::Cuda(1), Some(1)));
        assert_eq!(options.prompt, Some(PromptForm::Raw));
        assert!(engines.options(&Settings { device: "abacus".to_owned(), ..Settings::default() }).is_err());
    }
}
