//! Finds and reads the files of a checkpoint folder, and says what is wrong with the ones that cannot be read.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::object::{Object, one_line};
use crate::Error;

/// Configuration, index and tokenizer are smaller than this; the largest published tokenizer has 33 MB.
const TEXT_LIMIT: u64 = 256 << 20;

/// How a file begins that stands in for one not yet fetched.
const POINTER: &[u8] = b"version https://git-lfs";

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The files of weights in a folder.
pub(super) struct WeightFiles {
    /// File by file.
    pub(super) paths: Vec<PathBuf>,
    /// Where the folder has an index: for each tensor, the position of its file in `paths`.
    pub(super) index: Option<BTreeMap<String, usize>>,
}

/// Finds the weights: one file, or the ones that an index names.
pub(super) fn find_weights(folder: &Path) -> Result<WeightFiles, Error> {
    let single = folder.join(SINGLE);
    if single.symlink_metadata().is_ok() {
        return Ok(WeightFiles { paths: vec![single], index: None });
    }
    let path = folder.join(INDEX);
    let Some(text) = read_text(&path)? else {
        return Err(Error::checkpoint(folder, format!("has neither {SINGLE} nor {INDEX}")));
    };
    let mut object = Object::parse(&path, &text)?;
    let map = match object.take("weight_map") {
        Some(Value::Object(map)) => map,
        Some(value) => return Err(object.invalid("weight_map", &value, "an object")),
        None => return Err(object.missing("weight_map")),
    };
    let mut positions: BTreeMap<String, usize> = BTreeMap::new();
    let mut paths = Vec::new();
    let mut index = BTreeMap::new();
    for (tensor, file) in map {
        let Some(name) = file.as_str().filter(|name| is_plain(name)) else {
            let reason = format!("{} is not the plain name of a file in this folder", one_line(&file.to_string()));
            return Err(Error::checkpoint(&path, reason));
        };
        let position = *positions.entry(name.to_owned()).or_insert_with(|| {
            paths.push(folder.join(name));
            paths.len() - 1
        });
        index.insert(tensor, position);
    }
    Ok(WeightFiles { paths, index: Some(index) })
}

/// Whether a name leads to nowhere but the folder that it is joined to, on any platform.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let first = components.next();
    matches!(first, Some(Component::Normal(only)) if only == name)
        && components.next().is_none()
        && !name.contains(['/', '\\', ':', '\0'])
}

/// Reads a whole text file; `None` where there is no such file.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    let Some(bytes) = read_bytes(path)? else {
        return Ok(None);
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Error::checkpoint(path, "is not UTF-8 text")),
    }
}

/// Reads a whole file that cannot be large; `None` where there is no such file.
pub(super) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        _ => check_regular(path)?,
    }
    let file = std::fs::File::open(path).map_err(|source| Error::io(path, source))?;
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes).map_err(|source| Error::io(path, source))?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(Error::checkpoint(path, format!("is larger than {} MiB", TEXT_LIMIT >> 20)));
    }
    check_fetched(path, &bytes)?;
    Ok(Some(bytes))
}

/// Refuses what is not a regular file with something in it. Opening a pipe could wait for ever.
pub(super) fn check_regular(path: &Path) -> Result<(), Error> {
    let metadata = path.metadata().map_err(|source| Error::io(path, source))?;
    if metadata.is_dir() {
        return Err(Error::checkpoint(path, "is a folder, not a file"));
    }
    if !metadata.is_file() {
        return Err(Error::checkpoint(path, "is not a regular file"));
    }
    if metadata.len() == 0 {
        return Err(Error::checkpoint(path, "is empty"));
    }
    Ok(())
}

/// Refuses the stand-in that Git leaves where a large file has not been fetched.
pub(super) fn check_fetched(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if bytes.starts_with(POINTER) {
        return Err(Error::checkpoint(path, "is a Git LFS pointer; fetch the file itself with `git lfs pull`"));
    }
    Ok(())
}
