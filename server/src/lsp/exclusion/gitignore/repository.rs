use std::fs;
use std::path::{Path, PathBuf};

use super::MAX_DEPTH;
use super::file_cache::{FileCache, Links};

/// A repository of Git's with files to work on.
#[derive(Debug)]
pub(super) struct Repository {
    /// The folder that `.git` lies in.
    pub(super) root: PathBuf,
    /// The file that tells what to ignore in this copy of the repository alone.
    pub(super) excludes: Option<PathBuf>,
}

impl Repository {
    /// The innermost repository around a file.
    pub(super) fn around(path: &Path, git_folders: &mut FileCache<Option<PathBuf>>) -> Option<Self> {
        for root in path.ancestors().skip(1).take(MAX_DEPTH) {
            let git = root.join(".git");
            let Ok(metadata) = fs::metadata(&git) else { continue };
            let git_folder = if metadata.is_dir() {
                Some(git)
            } else {
                // A further copy of a repository, or a part of another one.
                git_folders
                    .get(&git, Links::Follow, parse_git_file)
                    .and_then(|folder| folder.as_deref().map(Path::to_owned))
            };
            let excludes = git_folder.map(|folder| folder.join("info/exclude"));
            return Some(Self { root: root.to_owned(), excludes });
        }
        None
    }
}

/// The folder that all copies of the repository share, by the file that stands in for a folder `.git`.
fn parse_git_file(file: &Path, text: &str) -> Option<PathBuf> {
    let folder = file.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    Some(match fs::read_to_string(folder.join("commondir")) {
        Ok(common) => folder.join(common.trim()),
        // A part of another repository shares its folder with no other copy.
        Err(_) => folder,
    })
}
