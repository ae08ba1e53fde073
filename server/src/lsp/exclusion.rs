//! Documents that are never read.
//!
//! Entry point: [`Exclusion::reason`], which needs no more than a document's address. It looks at the file system for
//! what Git ignores, and for nothing else.

mod address;
mod gitignore;
mod globs;

use std::fmt;
use std::path::PathBuf;

use tower_lsp::ls_types::Uri;

use crate::settings::Problem;
use address::Address;
pub(crate) use address::file_name;
use gitignore::IgnoredByGit;
use globs::{Secrets, UserGlobs};

/// Decides which documents are never read.
#[derive(Debug)]
pub(crate) struct Exclusion {
    secrets: Secrets,
    user_globs: UserGlobs,
    ignored_by_git: Option<IgnoredByGit>,
}

/// Why a document is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// Its name is one of those that often hold secrets.
    Secret,
    /// A glob of the user's matches it.
    Glob,
    /// Git ignores it.
    IgnoredByGit,
}

impl Reason {
    /// One sentence, without the document's name and without a full stop.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Secret => "files with this name often hold secrets, so that they are never read",
            Self::Glob => "the setting `exclude` covers this file, so that it is never read",
            Self::IgnoredByGit => "Git ignores this file, so that it is never read; see the setting `respectGitignore`",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl Exclusion {
    /// Excludes what often holds secrets, what the user's globs match, seen from the workspace's folders too, and what
    /// Git ignores if that is to be respected. A glob that is wrong is a problem, and the others are used.
    pub(crate) fn new(globs: &[String], respect_gitignore: bool, roots: Vec<PathBuf>) -> (Self, Vec<Problem>) {
        let (user_globs, problems) = UserGlobs::new(globs, roots);
        let ignored_by_git = respect_gitignore.then(IgnoredByGit::with_users_rules);
        (Self { secrets: Secrets, user_globs, ignored_by_git }, problems)
    }

    /// Why nothing is to be read of the document; `None` if it may be read.
    ///
    /// A document that is no file of this machine's is judged by its name alone.
    pub(crate) fn reason(&self, uri: &Uri) -> Option<Reason> {
        let address = Address::of(uri);
        let is_ignored_by_git =
            |path| self.ignored_by_git.as_ref().is_some_and(|ignored_by_git| ignored_by_git.contains(path));
        if self.secrets.contain(&address.name) {
            Some(Reason::Secret)
        } else if self.user_globs.match_address(&address) {
            Some(Reason::Glob)
        } else if address.path.as_deref().is_some_and(is_ignored_by_git) {
            Some(Reason::IgnoredByGit)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
