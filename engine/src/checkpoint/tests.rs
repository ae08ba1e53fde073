mod config;
mod fuzz;
mod loading;

use std::path::Path;

use serde_json::Value;

use super::Checkpoint;
use crate::Error;

/// Opens a folder of these files.
fn open(config: &Value, weights: &[u8]) -> Result<Checkpoint, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("config.json"), config.to_string())
        .expect("the folder is writable");
    std::fs::write(folder.path().join("model.safetensors"), weights)
        .expect("the folder is writable");
    Checkpoint::open_folder(folder.path())
}

/// The message of a failure, on one line and without the folder's name.
fn message<T>(result: Result<T, Error>, folder: &Path) -> String {
    let error = result.err().expect("there should have been an error");
    let line = error
        .to_string()
        .replace(&folder.display().to_string(), "FOLDER");
    assert!(
        !line.is_empty() && !line.contains('\n'),
        "not one line: {line:?}"
    );
    line
}
