//! Answers from before, by the text that they were given for.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;

use lacuna_engine::Language;
use lru::LruCache;
use ropey::Rope;

/// How many answers are kept.
const MAX_ANSWERS: usize = 256;

/// Above this size, hashing a document would take longer than a cached answer may.
const MAX_BYTES: usize = 1 << 20;

/// What an answer was given for: a language, all of the text on both sides of the caret, and what stood in other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    language: Language,
    before: u64,
    after: u64,
    others: u64,
}

impl Key {
    /// `None` where the text is too long to be hashed in between. `others` tells states of the other files apart.
    pub(crate) fn of(text: &Rope, caret_byte: usize, language: Language, others: u64) -> Option<Self> {
        if text.len_bytes() > MAX_BYTES {
            return None;
        }
        let hash = |range: ropey::RopeSlice<'_>| {
            let mut hasher = DefaultHasher::new();
            range.hash(&mut hasher);
            hasher.finish()
        };
        let before = hash(text.get_byte_slice(..caret_byte)?);
        let after = hash(text.get_byte_slice(caret_byte..)?);
        Some(Self { language, before, after, others })
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Best first; none where nothing was good enough.
    pub(crate) fills: Vec<String>,
    /// Whether they were asked for by the user, so that there are as many as there will ever be.
    pub(crate) is_invoked: bool,
    /// Why there are none, in one sentence.
    pub(crate) silence: Option<String>,
}

/// The answers that were used last.
#[derive(Debug)]
pub(crate) struct Cache(LruCache<Key, Answer>);

impl Default for Cache {
    fn default() -> Self {
        Self(LruCache::new(const { NonZeroUsize::new(MAX_ANSWERS).unwrap() }))
    }
}

impl Cache {
    pub(crate) fn get(&mut self, key: &Key) -> Option<&Answer> {
        self.0.get(key)
    }

    pub(crate) fn put(&mut self, key: Key, answer: Answer) {
        self.0.put(key, answer);
    }

    /// Forgets everything: another model, or other settings, would answer otherwise.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use lacuna_engine::Language;
    use ropey::Rope;

    use super::{Answer, Cache, Key, MAX_ANSWERS, MAX_BYTES};

    fn key(text: &str, caret_byte: usize) -> Option<Key> {
        Key::of(&Rope::from_str(text), caret_byte, Language::Rust, 0)
    }

    #[test]
    fn only_the_same_text_with_the_same_caret_is_the_same() {
        assert_eq!(key("ab", 1), key("ab", 1));
        assert_ne!(key("ab", 1), key("ab", 2));
        assert_ne!(key("ab", 1), key("ac", 1));
        assert_ne!(key("ab", 1), Key::of(&Rope::from_str("ab"), 1, Language::Python, 0));
        assert_ne!(key("ab", 1), Key::of(&Rope::from_str("ab"), 1, Language::Rust, 1));
        // How a text came to be is of no matter.
        let long = "let x = 1;\n".repeat(2000);
        let mut typed = Rope::new();
        for (index, chunk) in long.as_bytes().chunks(7).enumerate() {
            typed.insert(index * 7, std::str::from_utf8(chunk).expect("ASCII"));
        }
        assert_eq!(Key::of(&typed, 5000, Language::Rust, 0), key(&long, 5000));
        assert_eq!(key(&"x".repeat(MAX_BYTES + 1), 0), None);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut cache = Cache::default();
        let keys: Vec<_> = (0..=MAX_ANSWERS).filter_map(|caret| key(&"x".repeat(MAX_ANSWERS), caret)).collect();
        let answer = Answer { fills: vec!["a".to_owned()], is_invoked: false, silence: None };
        for key in &keys {
            cache.put(*key, answer.clone());
        }
        assert_eq!(cache.get(&keys[0]), None);
        assert_eq!(cache.get(&keys[MAX_ANSWERS]), Some(&answer));
    }
}
