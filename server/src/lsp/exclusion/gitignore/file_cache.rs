use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The most files whose contents are kept.
const MAX_FILES: usize = 4096;

/// How much of a file is looked at; what follows is taken for a mistake.
const MAX_FILE_BYTES: u64 = 1 << 18;

/// A file that was read this soon after it had changed may change again without its time telling, for some file
/// systems count in such steps.
const STEP_OF_TIME: Duration = Duration::from_secs(2);

/// Whether a link stands for the file that it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    Follow,
    Refuse,
}

/// What was made of the contents of small files, until they change.
#[derive(Debug)]
pub(super) struct FileCache<T> {
    entries: HashMap<PathBuf, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    modified: SystemTime,
    byte_length: u64,
    /// Whether any later change shows in the two.
    is_settled: bool,
    value: Arc<T>,
}

impl<T> Default for FileCache<T> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<T> FileCache<T> {
    /// What `parse` makes of the file's path and text, or `None` where there is no such file.
    pub(super) fn get(&mut self, path: &Path, links: Links, parse: fn(&Path, &str) -> T) -> Option<Arc<T>> {
        let metadata = match links {
            Links::Follow => fs::metadata(path),
            Links::Refuse => fs::symlink_metadata(path),
        };
        // Anything but a plain file might never end, or never begin.
        let metadata = metadata.ok().filter(Metadata::is_file)?;
        let (modified, byte_length) = (metadata.modified().ok()?, metadata.len());
        if let Some(entry) = self.entries.get(path)
            && entry.is_settled
            && (entry.modified, entry.byte_length) == (modified, byte_length)
        {
            return Some(Arc::clone(&entry.value));
        }
        let is_settled = SystemTime::now().duration_since(modified).is_ok_and(|age| age > STEP_OF_TIME);
        let value = Arc::new(parse(path, &read(path)?));
        if self.entries.len() >= MAX_FILES {
            self.entries.clear();
        }
        let entry = Entry { modified, byte_length, is_settled, value: Arc::clone(&value) };
        self.entries.insert(path.to_owned(), entry);
        Some(value)
    }
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 == MAX_FILE_BYTES {
        // The last line may have been cut, and then says something else.
        bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0));
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
