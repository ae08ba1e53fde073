//! Where the engine of a model is found.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Two files in a folder that only the user can enter.
pub(super) struct Place {
    /// The host listens here.
    pub(super) socket: PathBuf,
    /// The host holds its lock.
    lock: PathBuf,
}

impl Place {
    /// The place of what `key` names, for this user and this version of the program.
    pub(super) fn of(key: &str) -> io::Result<Self> {
        Self::within(&folder(), key)
    }

    pub(super) fn within(folder: &Path, key: &str) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(folder, &error)),
            _ => {}
        }
        let found = folder.symlink_metadata().map_err(|error| named(folder, &error))?;
        if !found.is_dir() || found.permissions().mode() & 0o077 != 0 {
            let reason = "it is not a folder that only its owner can enter";
            return Err(io::Error::other(format!("{}: {reason}", folder.display())));
        }
        let name = format!("{:016x}", hash(&(env!("CARGO_PKG_VERSION"), key)));
        Ok(Self { socket: folder.join(format!("{name}.socket")), lock: folder.join(format!("{name}.lock")) })
    }

    /// The lock, unless another process has it. It is free again when the file is dropped, or its process ends however it ends.
    pub(super) fn try_lock(&self) -> io::Result<Option<File>> {
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.lock);
        let file = opened.map_err(|error| named(&self.lock, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(named(&self.lock, &error)),
        }
    }
}

/// The user's folder for sockets, or one of our own among temporary files.
fn folder() -> PathBuf {
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    of_user.map_or_else(
        || std::env::temp_dir().join(format!("lacuna-{:016x}", hash(&std::env::home_dir()))),
        |folder| folder.join("lacuna"),
    )
}

/// The same in all processes of one version of the program.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
