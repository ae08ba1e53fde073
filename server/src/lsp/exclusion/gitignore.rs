//! What Git ignores, by the files that tell it so.
//!
//! Git's own index is not read, so that a file that matches a rule is taken for ignored even where it was added to the
//! repository by force.

mod file_cache;
mod repository;

use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use file_cache::{FileCache, Links};
use repository::Repository;

/// The most folders between a file and its repository's root; one that lies deeper is not taken to be ignored.
const MAX_DEPTH: usize = 128;

/// Answers whether Git ignores a file. What it reads is kept for as long as it does not change.
#[derive(Debug)]
pub(super) struct IgnoredByGit {
    /// What the user has told Git to ignore everywhere.
    everywhere: Gitignore,
    caches: Mutex<Caches>,
}

#[derive(Debug, Default)]
struct Caches {
    rules: FileCache<Gitignore>,
    /// Where the files that stand in for a folder `.git` point.
    git_folders: FileCache<Option<PathBuf>>,
}

impl IgnoredByGit {
    /// With the rules that the user's own configuration of Git names.
    pub(super) fn with_users_rules() -> Self {
        // What is wrong with a rule is for Git to say.
        let (everywhere, _) = GitignoreBuilder::new("").build_global();
        Self::new(everywhere)
    }

    fn new(everywhere: Gitignore) -> Self {
        Self { everywhere, caches: Mutex::default() }
    }

    /// Whether Git ignores the file at `path`, which is absolute, without `.` and `..`, and need not exist.
    pub(super) fn contains(&self, path: &Path) -> bool {
        // A cache stays whole whatever happens while it is held.
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(repository) = Repository::around(path, &mut caches.git_folders) else { return false };
        let Ok(relative) = path.strip_prefix(&repository.root) else { return false };
        // What Git keeps for itself is no part of what it tracks.
        if relative.components().any(|component| component == Component::Normal(".git".as_ref())) {
            return false;
        }
        let of_repository = repository.excludes.and_then(|file| caches.rules.get(&file, Links::Follow, parse_rules));
        // Each with the number of folders above the one that it lies in.
        let mut of_folders: Vec<(usize, Arc<Gitignore>)> = Vec::new();
        let names: Vec<Component<'_>> = relative.components().collect();
        let part = |range: Range<usize>| names[range].iter().collect::<PathBuf>();
        // From the top, for nothing within an ignored folder can be taken back.
        for depth in 0..names.len() {
            let file = repository.root.join(part(0..depth)).join(".gitignore");
            of_folders.extend(caches.rules.get(&file, Links::Refuse, parse_rules).map(|rules| (depth, rules)));
            let is_folder = depth + 1 < names.len();
            let of_folders = of_folders.iter().rev().map(|(above, rules)| (*above, &**rules));
            let of_all = of_repository.iter().map(|rules| &**rules).chain([&self.everywhere]).map(|rules| (0, rules));
            // The nearest rules that say anything about it decide.
            let mut verdicts = of_folders
                .chain(of_all)
                .filter(|(_, rules)| !rules.is_empty())
                .map(|(above, rules)| rules.matched(part(above..depth + 1), is_folder).map(|_| ()))
                .skip_while(Match::is_none);
            if verdicts.next().is_some_and(|verdict| verdict.is_ignore()) {
                return true;
            }
        }
        false
    }
}

/// The rules in a `.gitignore`, without the ones that are wrong, relative to its folder.
fn parse_rules(_: &Path, text: &str) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in text.trim_start_matches('\u{feff}').lines() {
        // What is wrong with a rule is for Git to say.
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests;
