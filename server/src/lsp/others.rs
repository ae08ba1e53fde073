//! The other files that a document's snapshot can be filled in the light of.
//!
//! They are those of the same language that are open, and those that were edited and closed lately: who edits a function
//! and closes its file goes on to use it elsewhere. A file that was only looked at is forgotten as it is closed. Whatever
//! is excluded is neither here nor kept.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use tower_lsp::ls_types::Uri;

use crate::excerpts::OtherFile;
use crate::lsp::document::Document;
use crate::lsp::fill::PARSE_BUDGET;

/// Files that a snapshot knows of at most: those that were opened or edited last.
const OTHERS_MAX: usize = 24;
/// Closed files that are kept.
const CLOSED_MAX: usize = 8;

/// A document beside others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) document: &'a Document,
    pub(crate) language_id: &'a str,
    /// When it was opened or edited last, by the session's count of such events; the count is never the same for two
    /// texts.
    pub(crate) touched: u64,
}

/// The other files, the one that was touched last first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    files: Vec<(Uri, Document)>,
    fingerprint: u64,
}

impl Others {
    pub(crate) fn of<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> Self {
        let mut candidates: Vec<_> = candidates.collect();
        candidates.sort_by_key(|candidate| Reverse(candidate.touched));
        candidates.truncate(OTHERS_MAX);
        let mut hasher = DefaultHasher::new();
        candidates.iter().for_each(|candidate| candidate.touched.hash(&mut hasher));
        let files = candidates.iter().map(|candidate| (candidate.uri.clone(), candidate.document.clone()));
        Self { files: files.collect(), fingerprint: hasher.finish() }
    }

    /// The files in parts. What nobody has cut yet is cut in the calling thread.
    pub(crate) fn files(&self) -> Vec<OtherFile> {
        let file = |(uri, document): &(Uri, Document)| OtherFile {
            path: uri.path().decode().to_string_lossy().into_owned(),
            parts: document.parts(PARSE_BUDGET),
        };
        self.files.iter().map(file).collect()
    }

    /// Tells different states of the files apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// Files that were edited and closed, the last one last.
#[derive(Debug, Default)]
pub(crate) struct Closed(VecDeque<ClosedFile>);

#[derive(Debug)]
struct ClosedFile {
    uri: Uri,
    document: Document,
    language_id: String,
    touched: u64,
}

impl Closed {
    pub(crate) fn keep(&mut self, uri: Uri, document: Document, language_id: String, touched: u64) {
        self.0.push_back(ClosedFile { uri, document, language_id, touched });
        if self.0.len() > CLOSED_MAX {
            self.0.pop_front();
        }
    }

    /// Forgets the files for which `may_stay` is false.
    pub(crate) fn retain(&mut self, may_stay: impl Fn(&Uri) -> bool) {
        self.0.retain(|file| may_stay(&file.uri));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.0.iter().map(|ClosedFile { uri, document, language_id, touched }| Candidate {
            uri,
            document,
            language_id,
            touched: *touched,
        })
    }
}
