use std::path::{Path, PathBuf};

/// Why the engine could not do what was asked. Each message is one sentence that names the thing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The checkpoint's files are not what they must be.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint asks for something that this engine does not implement.
    #[error("{}: not supported: {reason}", path.display())]
    Unsupported {
        /// The file that asks.
        path: PathBuf,
        /// What it asks for.
        reason: String,
    },
    /// The device cannot be used.
    #[error("device {device}: {reason}")]
    Device {
        /// The device as it was asked for.
        device: String,
        /// Why not, and what to do about it.
        reason: String,
    },
    /// The request contradicts itself or the model's limits.
    #[error("{0}")]
    Request(String),
    /// The engine runs elsewhere, and is not there any more.
    #[error("the engine, which another process ran, has ended")]
    Ended,
    /// [`crate::Cancel`] was set.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn checkpoint(path: &Path, reason: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(crate) fn unsupported(path: &Path, reason: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_path_buf(), reason: reason.into() }
    }
}
