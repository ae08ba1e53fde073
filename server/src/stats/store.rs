//! The file of all counts: one for each user, written by all of the user's servers.
//!
//! Whoever has something new locks a second file, reads the counts, adds its own and puts the sum in the old file's
//! place. So nothing that another process has counted is lost, and there is never half a file. The lock ends with its
//! process, however that ends.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use etcetera::BaseStrategy;

use super::ledger::Ledger;

/// The file's name. Another layout of it gets another name, so that programs of several versions leave each other's alone.
const FILE: &str = "counts-2.json";
/// The file's name before there were next places. What stands in it comes into the other file with the first new counts, and
/// with later ones what a program of that time has added since.
const OLD_FILE: &str = "counts-1.json";
/// The old one, so that programs of all versions wait for each other.
const LOCK: &str = "counts-1.lock";
/// What could not be read gets this extension.
const ASIDE: &str = "broken";
/// A file longer than this is none of ours: all days with all models have less.
const MAX_BYTES: u64 = 16 << 20;
/// How often a lock is tried.
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Where the counts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    folder: PathBuf,
}

/// Why counts could not be read or written, in one sentence without its end.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Of the file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is there are no counts.
    #[error("{path}: these are not Lacuna's counts: {reason}", path = path.display())]
    Foreign {
        /// Of the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process did not let go of the file.
    #[error("{path}: another process holds it", path = path.display())]
    Busy {
        /// Of the lock.
        path: PathBuf,
    },
}

impl Store {
    /// The user's own: `lacuna` in the folder for programs' state, which on Unix is `$XDG_STATE_HOME` or
    /// `~/.local/state`, and on Windows that for local data; `None` for a user without a home.
    pub fn of_user() -> Option<Self> {
        let folders = etcetera::choose_base_strategy().ok()?;
        Some(Self::within(folders.state_dir().unwrap_or_else(|| folders.cache_dir()).join("lacuna")))
    }

    /// One in this folder, which is made when there is something to be written.
    pub fn within(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// The file, and the one of old.
    fn paths(&self) -> [PathBuf; 2] {
        [self.path(), self.folder.join(OLD_FILE)]
    }

    /// The counts so far; `None` where nothing has ever been counted.
    pub fn read(&self) -> Result<Option<Ledger>, StoreError> {
        let mut sum: Option<Ledger> = None;
        for path in self.paths() {
            if let Some(ledger) = read(&path)? {
                sum.get_or_insert_default().add(&ledger);
            }
        }
        Ok(sum)
    }

    /// Adds counts to those that are there. What is there and cannot be read is put aside, with a line in the log.
    pub fn add(&self, new: &Ledger, patience: Duration) -> Result<(), StoreError> {
        let _lock = self.lock(patience)?;
        let [path, old_path] = self.paths();
        let mut sum = read_or_put_aside(&path)?.unwrap_or_default();
        let old = read_or_put_aside(&old_path)?;
        old.iter().chain([new]).for_each(|more| sum.add(more));
        self.replace(&path, &sum.to_bytes()).map_err(|source| StoreError::Io { path, source })?;
        if old.is_some() {
            fs::remove_file(&old_path).map_err(|source| StoreError::Io { path: old_path, source })?;
        }
        Ok(())
    }

    /// Forgets all counts, whatever stands in their place. Gives whether there was anything.
    pub fn reset(&self, patience: Duration) -> Result<bool, StoreError> {
        let is_missing =
            |path: &PathBuf| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let mut paths = self.paths().to_vec();
        paths.retain(|path| !is_missing(path));
        if paths.is_empty() {
            return Ok(false);
        }
        let _lock = self.lock(patience)?;
        for path in paths {
            fs::remove_file(&path).map_err(|source| StoreError::Io { path, source })?;
        }
        Ok(true)
    }

    /// The lock, for as long as the file is open.
    fn lock(&self, patience: Duration) -> Result<File, StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        make_private_folder(&self.folder).map_err(at(&self.folder))?;
        let path = self.folder.join(LOCK);
        let file =
            private(OpenOptions::new().create(true).truncate(false).write(true)).open(&path).map_err(at(&path))?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                // A disk without locks is hardly shared by two servers that write in the same millisecond.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(StoreError::Busy { path }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_TRIES),
            }
        }
    }

    /// Puts a whole file in the place of another, or changes nothing. Only the owner may read it.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(bytes)?;
        // A file that is in its place before its bytes are is an empty one after a loss of power.
        file.as_file().sync_data()?;
        file.persist(path)?;
        Ok(())
    }
}

/// The counts in a file, if it is there.
fn read(path: &Path) -> Result<Option<Ledger>, StoreError> {
    let at = |source| StoreError::Io { path: path.to_owned(), source };
    let foreign = |reason: &str| StoreError::Foreign { path: path.to_owned(), reason: reason.to_owned() };
    // A pipe would keep whoever opens it.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(foreign("it is not a file")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(at)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(at)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(foreign("it is too long"));
    }
    Ledger::parse(&bytes).map(Some).map_err(|malformed| foreign(&malformed.to_string()))
}

/// The same, but what cannot be read is put aside, with a line in the log.
fn read_or_put_aside(path: &Path) -> Result<Option<Ledger>, StoreError> {
    match read(path) {
        Err(StoreError::Foreign { path, reason }) => {
            let aside = path.with_extension(ASIDE);
            fs::rename(&path, &aside).map_err(|source| StoreError::Io { path, source })?;
            let aside = aside.display();
            tracing::warn!("the file of `lacuna stats` could not be read and is now {aside}: {reason}");
            Ok(None)
        }
        counts => counts,
    }
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(folder)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(test)]
mod tests;
