use std::path::{Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::address::{Address, normal};
use crate::settings::Problem;

/// The setting that the user's globs come from.
const SETTING: &str = "exclude";

/// The most globs and the most characters of one: more would take long to prepare, and nobody writes so many.
const MAX_GLOBS: usize = 1000;
const MAX_GLOB_CHARS: usize = 1000;

/// The names of files that often hold secrets.
#[derive(Debug)]
pub(super) struct Secrets;

impl Secrets {
    /// In whatever case, for the same file is often found under either.
    pub(super) fn contain(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name.starts_with(".env")
            || name.starts_with("secrets.")
            || [".pem", ".key", ".cert", ".crt"].iter().any(|extension| name.ends_with(extension))
    }
}

/// What the user never wants read.
#[derive(Debug)]
pub(super) struct UserGlobs {
    set: GlobSet,
    /// The workspace's folders.
    roots: Vec<PathBuf>,
}

impl UserGlobs {
    pub(super) fn new(globs: &[String], roots: Vec<PathBuf>) -> (Self, Vec<Problem>) {
        let mut builder = GlobSetBuilder::new();
        let mut problems = Vec::new();
        for glob in globs.iter().take(MAX_GLOBS) {
            match parse(glob) {
                Ok(glob) => {
                    builder.add(glob);
                }
                Err(reason) => problems.push(problem(format!("the glob `{}` {reason}", shown(glob)))),
            }
        }
        if globs.len() > MAX_GLOBS {
            problems.push(problem(format!("`{SETTING}` has more than {MAX_GLOBS} globs; only the first are used")));
        }
        let set = builder.build().unwrap_or_else(|error| {
            problems.push(problem(format!("the globs of `{SETTING}` are too many to be used together: {error}")));
            GlobSet::empty()
        });
        let roots = roots.iter().filter_map(|root| normal(root)).collect();
        (Self { set, roots }, problems)
    }

    /// Whether a glob matches the document, by its name or its path, or a folder that it lies in.
    pub(super) fn match_address(&self, address: &Address) -> bool {
        if self.set.is_empty() {
            return false;
        }
        let Some(path) = &address.path else { return self.set.is_match(&address.name) };
        let in_roots = self.roots.iter().filter_map(|root| path.strip_prefix(root).ok());
        self.set.is_match(&address.name)
            || path.ancestors().any(|ancestor| self.set.is_match(ancestor))
            || in_roots.into_iter().any(|relative| self.match_within_root(relative))
    }

    /// Within the workspace a folder's name alone counts too; above it, it says nothing about the document.
    fn match_within_root(&self, relative: &Path) -> bool {
        let with_name =
            |path: &Path| self.set.is_match(path) || path.file_name().is_some_and(|name| self.set.is_match(name));
        relative.ancestors().filter(|path| !path.as_os_str().is_empty()).any(with_name)
    }
}

/// The glob, or what is wrong with it, as the end of a sentence about it.
fn parse(glob: &str) -> Result<Glob, String> {
    let pattern = glob.strip_prefix("./").unwrap_or(glob);
    // A folder is matched like any other name.
    let pattern = if pattern.len() > 1 { pattern.trim_end_matches('/') } else { pattern };
    if pattern.is_empty() {
        return Err("is empty".to_owned());
    }
    if pattern.chars().count() > MAX_GLOB_CHARS {
        return Err(format!("has more than {MAX_GLOB_CHARS} characters"));
    }
    if pattern.starts_with('!') {
        return Err("begins with `!`, but nothing can be taken back here".to_owned());
    }
    GlobBuilder::new(pattern)
        .literal_separator(true)
        // As their file systems are.
        .case_insensitive(cfg!(any(windows, target_os = "macos")))
        .build()
        .map_err(|error| format!("cannot be used: {}", error.kind()))
}

fn problem(message: String) -> Problem {
    Problem { key: SETTING.to_owned(), message }
}

fn shown(glob: &str) -> String {
    glob.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(80).collect()
}
