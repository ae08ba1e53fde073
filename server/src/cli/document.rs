//! The text that a command works on. Nothing here ever writes a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// What is larger than this is no text that anybody edits, and would take long to read and longer to lay out.
const LIMIT_BYTES: u64 = 64 << 20;

/// The file's text.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name)?;
    ensure!(!file.metadata().with_context(name)?.is_dir(), "{}: a folder, not a file", path.display());
    read_from(file, path)
}

/// Standard input's text.
pub(crate) fn read_stdin() -> anyhow::Result<String> {
    read_from(std::io::stdin().lock(), Path::new("-"))
}

fn read_from(source: impl Read, path: &Path) -> anyhow::Result<String> {
    let name = || path.display().to_string();
    let mut bytes = Vec::new();
    // One more than is allowed tells apart what ends there and what goes on, even where no size is known beforehand.
    source.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).with_context(name)?;
    ensure!(bytes.len() as u64 <= LIMIT_BYTES, "{}: larger than {} MiB", path.display(), LIMIT_BYTES >> 20);
    String::from_utf8(bytes).or_else(|error| {
        let at = error.utf8_error().valid_up_to();
        bail!("{}: not UTF-8 text, at byte {at}", path.display())
    })
}
