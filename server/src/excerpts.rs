//! Parts of other files that bear on a place in a document.
//!
//! Entry points: [`OtherFile`], a file in parts, and [`choose`], which ranks the parts of several. Both are pure: text
//! in, plain data out.
//!
//! A part counts for what the document imports of it, for what it defines of the names that stand around the place, and
//! for the names that both have in common. What is looked at around the place changes once in a few lines of typing, and
//! never with what is typed within a line, so that an engine which has read the excerpts need not read them again.

mod imports;
mod names;
mod parts;

use std::collections::BTreeSet;
use std::sync::Arc;

use lacuna_engine::{Excerpt, Language};
use tree_sitter::Tree;

use crate::syntax::lines::line_range;

use imports::imported_names;
use names::{Names, module_of, names_in};
pub(crate) use parts::Parts;

/// Text that excerpts have altogether at most.
const EXCERPTS_MAX_BYTES: usize = 64 << 10;
/// Lines above a place whose names count.
const LINES_ABOVE: usize = 60;
/// Lines below it.
const LINES_BELOW: usize = 20;
/// The lines above end where a multiple of so many is complete.
const LINES_STEP: usize = 4;

/// What a part counts for a name that it defines and the document imports. Names in common count up to one.
const DEFINES_IMPORTED: f64 = 2.0;
/// The same for a name that it defines and that stands around the place.
const DEFINES_NEAR: f64 = 2.0;
/// The same for being in a file that the document imports.
const IN_IMPORTED_FILE: f64 = 1.0;

/// A file that is not the document.
#[derive(Clone, Debug)]
pub(crate) struct OtherFile {
    /// Where it lies, with any separators; only the last parts count.
    pub(crate) path: String,
    pub(crate) parts: Arc<Parts>,
}

impl OtherFile {
    /// Cuts a text into parts.
    pub(crate) fn new(path: impl Into<String>, text: &str, language: Language) -> Self {
        let tree = crate::syntax::parse(text, language);
        Self { path: path.into(), parts: Arc::new(Parts::new(text, tree.as_ref(), language)) }
    }

    /// The name that an excerpt shows: the file's, with its folder where many files have the same.
    fn shown_name(&self) -> String {
        let mut parts = self.path.rsplit(['/', '\\']).filter(|part| !part.is_empty());
        let name = parts.next().unwrap_or_default();
        match parts.next().filter(|_| names::says_nothing(name)) {
            Some(folder) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }
}

/// Places in a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) text: &'a str,
    /// The text's tree, or that of an earlier text.
    pub(crate) tree: Option<&'a Tree>,
    pub(crate) language: Language,
    /// Byte offsets into the text.
    pub(crate) bytes: &'a [usize],
}

/// The parts that bear on the places, the most relevant first. Of other files that count the same, the first ones come
/// first: name those first that the user was in last.
pub(crate) fn choose(places: &Places<'_>, others: &[OtherFile]) -> Vec<Excerpt> {
    if others.is_empty() {
        return Vec::new();
    }
    let near = names_around(places);
    let imported = imported_names(places.text, places.tree, places.language);
    let mut ranked: Vec<(f64, &OtherFile, &str)> = Vec::new();
    for other in others {
        let is_imported = module_of(&other.path).is_some_and(|module| imported.contains(module));
        for part in other.parts.iter() {
            let counts = |applies: bool, count: f64| if applies { count } else { 0.0 };
            let score = counts(part.defines.overlaps(&imported), DEFINES_IMPORTED)
                + counts(part.defines.overlaps(&near), DEFINES_NEAR)
                + counts(is_imported, IN_IMPORTED_FILE)
                + part.names.similarity(&near);
            ranked.push((score, other, part.text));
        }
    }
    // This keeps the order of what counts the same.
    ranked.sort_by(|(left, ..), (right, ..)| right.total_cmp(left));
    let mut left = EXCERPTS_MAX_BYTES;
    ranked.retain(|(_, _, text)| {
        let has_room = text.len() <= left;
        left -= if has_room { text.len() } else { 0 };
        has_room
    });
    ranked.into_iter().map(|(_, other, text)| Excerpt { name: other.shown_name(), text: text.to_owned() }).collect()
}

/// The names that stand around the places, but for those on their own lines.
fn names_around(places: &Places<'_>) -> Names {
    let mut lines: BTreeSet<usize> = BTreeSet::new();
    let starts: Vec<usize> = line_starts(places.text);
    for byte in places.bytes {
        let line = starts.partition_point(|start| start <= byte).saturating_sub(1);
        let above = line - line % LINES_STEP;
        lines.extend(above.saturating_sub(LINES_ABOVE)..above);
        lines.extend(line + 1..(line + 1 + LINES_BELOW).min(starts.len()));
    }
    Names::new(lines.into_iter().flat_map(|line| names_in(&places.text[line_range(places.text, starts[line])])))
}

fn line_starts(text: &str) -> Vec<usize> {
    let mut at = 0;
    crate::syntax::lines::lines(text)
        .map(|line| {
            at += line.len();
            at - line.len()
        })
        .collect()
}

#[cfg(test)]
mod tests;
