//! Names as they stand in source text, and sets of them.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Shorter names say too little.
const NAME_MIN_BYTES: usize = 2;

/// Files with these names are known by their folder's.
const NAMELESS: [&str; 4] = ["mod", "lib", "main", "__init__"];

/// A set of names. Only their hashes are kept: that two names share one is of no consequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Ascending, each once.
    hashes: Vec<u64>,
}

impl Names {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut hashes: Vec<u64> = names.map(hash_of).collect();
        hashes.sort_unstable();
        hashes.dedup();
        Self { hashes }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.hashes.binary_search(&hash_of(name)).is_ok()
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.in_common(other) > 0
    }

    /// Names in both over names in either, from 0 to 1 (the Jaccard index); 0 where there are none.
    pub(super) fn similarity(&self, other: &Self) -> f64 {
        let both = self.in_common(other);
        let either = self.hashes.len() + other.hashes.len() - both;
        if either == 0 { 0.0 } else { both as f64 / either as f64 }
    }

    fn in_common(&self, other: &Self) -> usize {
        let (mut left, mut right, mut count) = (self.hashes.iter().peekable(), other.hashes.iter().peekable(), 0);
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => drop(left.next()),
                std::cmp::Ordering::Greater => drop(right.next()),
                std::cmp::Ordering::Equal => {
                    count += 1;
                    left.next();
                    right.next();
                }
            }
        }
        count
    }
}

/// The words in a text that may be names.
pub(super) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|character: char| !(character.is_alphanumeric() || character == '_'));
    words.filter(|word| word.len() >= NAME_MIN_BYTES && !word.starts_with(|first: char| first.is_ascii_digit()))
}

/// Whether many files have this name.
pub(super) fn says_nothing(file_name: &str) -> bool {
    NAMELESS.contains(&stem_of(file_name))
}

/// What an import calls a file.
pub(super) fn module_of(path: &str) -> Option<&str> {
    let mut parts = path.rsplit(['/', '\\']).filter(|part| !part.is_empty());
    let name = parts.next()?;
    if says_nothing(name) { parts.next() } else { Some(stem_of(name)) }
}

fn stem_of(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
