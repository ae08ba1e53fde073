use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::background::Background;
use super::rotating_file::RotatingFile;

/// How long the last records may take to be written to each place.
const GRACE: Duration = if cfg!(test) { Duration::from_secs(20) } else { Duration::from_secs(1) };

/// Where records go to.
#[derive(Debug)]
pub(super) struct Outlets(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    standard_error: Option<Background>,
    file: Option<(PathBuf, Background)>,
}

impl Outlets {
    /// Standard error alone, or nowhere if there can be no thread for it.
    pub(super) fn new(mut standard_error: impl io::Write + Send + 'static) -> Self {
        let background = Background::start(move |record| {
            // When nobody reads this, there is nobody left to tell.
            let _ = standard_error.write_all(record).and_then(|()| standard_error.flush());
        });
        Self(Mutex::new(Places { standard_error: background.ok(), file: None }))
    }

    /// Has records go to this file too, and to no other. Does not wait for what still has to be written to another.
    pub(super) fn set_file(outlets: &Arc<Self>, path: Option<&Path>) {
        let mut places = outlets.places();
        if places.file.as_ref().map(|(path, _)| path.as_path()) == path {
            return;
        }
        places.file = path.and_then(|path| {
            let mut file = RotatingFile::new(path.to_owned());
            let outlets = Arc::downgrade(outlets);
            let mut has_failed = false;
            let background = Background::start(move |record| {
                if let Err(error) = file.write(record)
                    && !std::mem::replace(&mut has_failed, true)
                {
                    warn(&outlets, &error);
                }
            });
            Some((path.to_owned(), background.ok()?))
        });
    }

    /// Waits until all has been written, but not for long; what is logged later goes nowhere.
    pub(super) fn finish(&self) {
        // The file's thread may still have something to say on standard error.
        let file = self.places().file.take();
        if let Some((_, background)) = file {
            background.finish(GRACE);
        }
        let standard_error = self.places().standard_error.take();
        if let Some(background) = standard_error {
            background.finish(GRACE);
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(outlets: &Weak<Outlets>, error: &io::Error) {
    let Some(outlets) = outlets.upgrade() else { return };
    if let Some(standard_error) = &outlets.places().standard_error {
        standard_error.send(format!("lacuna: the log file cannot be written: {error}\n").as_bytes());
    }
}

/// Takes one record with every write.
#[derive(Debug)]
pub(super) struct Writer(pub(super) Arc<Outlets>);

impl io::Write for Writer {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let places = self.0.places();
        let file = places.file.as_ref().map(|(_, background)| background);
        for background in places.standard_error.iter().chain(file) {
            background.send(record);
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
