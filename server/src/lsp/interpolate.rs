//! Keeps a suggestion alive while the user types its beginning.

use crate::lsp::document::ByteEdit;

/// A caret that text may be typed at, followed through the edits after a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    caret_byte: usize,
    /// What stands between the caret's place and the caret that the typing has moved.
    typed: String,
}

impl Anchor {
    pub(crate) fn new(caret_byte: usize) -> Self {
        Self { caret_byte, typed: String::new() }
    }

    /// Where the caret is now.
    pub(crate) fn caret_byte(&self) -> usize {
        self.caret_byte + self.typed.len()
    }

    /// Where the caret was in the snapshot.
    pub(crate) fn start_byte(&self) -> usize {
        self.caret_byte
    }

    /// What has been typed since.
    pub(crate) fn typed(&self) -> &str {
        &self.typed
    }

    /// Follows an edit; `false` if the document is now another one than the snapshot with something typed into it.
    #[must_use]
    pub(crate) fn follow(&mut self, edit: &ByteEdit<'_>) -> bool {
        let caret = self.caret_byte();
        if edit.removed.end != caret || edit.removed.start < self.caret_byte {
            return false;
        }
        let kept_bytes = edit.removed.start - self.caret_byte;
        if !self.typed.is_char_boundary(kept_bytes) {
            return false;
        }
        self.typed.truncate(kept_bytes);
        self.typed.push_str(edit.inserted);
        true
    }

    /// What is left of a fill after what has been typed; `None` if something else was typed, or all of it.
    pub(crate) fn rest_of<'a>(&self, fill: &'a str) -> Option<&'a str> {
        fill.strip_prefix(self.typed.as_str()).filter(|rest| !rest.is_empty())
    }
}

/// Fills that were answered, for as long as only their own beginning has been typed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suggestion {
    pub(crate) anchor: Anchor,
    pub(crate) fills: Vec<String>,
    /// Whether they were asked for by the user, so that there are as many as there will ever be.
    pub(crate) is_invoked: bool,
}

impl Suggestion {
    /// Whether all of one fill stands in the text now.
    pub(crate) fn is_accepted(&self) -> bool {
        self.fills.contains(&self.anchor.typed)
    }
}

#[cfg(test)]
mod tests {
    use super::Anchor;
    use crate::lsp::document::ByteEdit;

    fn after(edits: &[(std::ops::Range<usize>, &str)]) -> Option<Anchor> {
        let mut anchor = Anchor::new(10);
        edits
            .iter()
            .all(|(removed, inserted)| anchor.follow(&ByteEdit { removed: removed.clone(), inserted }))
            .then_some(anchor)
    }

    fn rest(fill: &'static str, edits: &[(std::ops::Range<usize>, &str)]) -> Option<&'static str> {
        after(edits)?.rest_of(fill)
    }

    #[test]
    fn typing_the_beginning_leaves_the_rest() {
        assert_eq!(rest("return x", &[]), Some("return x"));
        assert_eq!(rest("return x", &[(10..10, "r"), (11..11, "et")]), Some("urn x"));
        assert_eq!(rest("日本語", &[(10..10, "日")]), Some("本語"));
    }

    #[test]
    fn taking_typing_back_gives_it_back() {
        assert_eq!(rest("return", &[(10..10, "rx"), (11..12, ""), (11..11, "e")]), Some("turn"));
        assert_eq!(rest("return", &[(10..10, "rx"), (10..12, "ret")]), Some("urn"));
    }

    #[test]
    fn anything_else_ends_it() {
        assert_eq!(rest("return", &[(10..10, "x")]), None);
        assert_eq!(rest("return", &[(10..10, "return")]), None);
        assert_eq!(rest("return", &[(10..10, "return x")]), None);
        // Edits before the caret, after it, and around it.
        assert_eq!(after(&[(0..0, "r")]), None);
        assert_eq!(after(&[(9..10, "")]), None);
        assert_eq!(after(&[(10..11, "")]), None);
        assert_eq!(after(&[(30..30, "r")]), None);
        assert_eq!(after(&[(10..10, "r"), (10..10, "e")]), None);
    }
}
