//! What becomes of a completion that was offered, for the counts of `lacuna stats`.
//!
//! The edits after it tell most of it: what is taken over comes in pieces, and what is typed comes a character at a time.
//! An editor may tell more, by `lacuna/feedback`. Nothing of the texts outlives the offer.

use ropey::Rope;
use serde::{Deserialize, Serialize};
use tower_lsp::ls_types::Uri;

use crate::lsp::document::ByteEdit;
use crate::lsp::interpolate::Anchor;
use crate::stats::{Fate, Group, Piece, Stats};

/// `lacuna/feedback`: what became of what was offered last in the line in a document, be it a completion or a next place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Feedback {
    pub(crate) uri: Uri,
    pub(crate) kind: FeedbackKind,
    /// Unicode scalar values that were taken over; for pieces of completions alone.
    #[serde(default)]
    pub(crate) characters: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum FeedbackKind {
    /// It is on the screen.
    Shown,
    /// What was left of it was taken over.
    Accepted,
    /// A word of it was taken over.
    AcceptedWord,
    /// A line of it was taken over.
    AcceptedLine,
    /// The user took it off the screen.
    Dismissed,
}

/// A completion that was offered. When it is dropped, its fate is counted.
#[derive(Debug)]
pub(crate) struct Offer {
    stats: Stats,
    group: Group,
    fills: Vec<String>,
    /// Followed for as long as nothing but text at its caret has changed.
    anchor: Option<Anchor>,
    /// Whether the editor tells what is shown and taken over, so that edits need not be looked at for it.
    is_told: bool,
    is_seen: bool,
    pieces: Vec<Piece>,
    characters_kept: u64,
    /// Characters of the edit that brought the end of it, if it brought several at once.
    last_characters: u64,
    /// What is certain already.
    fate: Option<Fate>,
    /// Not counted, because another offer continues it.
    is_continued: bool,
}

impl Offer {
    /// An offer at a place, in which none was before or `before` was. `is_told` says that the editor gives feedback.
    pub(crate) fn new(
        stats: Stats,
        group: Group,
        fills: &[String],
        anchor: &Anchor,
        is_told: bool,
        before: Option<Self>,
    ) -> Option<Self> {
        let is_again = |before: &Self| before.anchor.as_ref() == Some(anchor) && before.fate.is_none();
        let mut is_seen = !is_told;
        if let Some(mut before) = before
            && is_again(&before)
        {
            // More candidates for the same place, or the same ones once more.
            before.is_continued = !fills.is_empty();
            is_seen |= before.is_seen;
        }
        (!fills.is_empty()).then(|| Self {
            stats,
            group,
            fills: fills.to_vec(),
            anchor: Some(anchor.clone()),
            is_told,
            is_seen,
            pieces: Vec::new(),
            characters_kept: 0,
            last_characters: 0,
            fate: None,
            is_continued: false,
        })
    }

    /// Follows an edit. `text` is the document's after it.
    pub(crate) fn follow(&mut self, edit: &ByteEdit<'_>, text: &Rope) {
        let Some(anchor) = self.anchor.as_mut().filter(|_| self.fate.is_none()) else {
            return;
        };
        let start_byte = anchor.start_byte();
        let is_at_caret = (start_byte..=anchor.caret_byte()).contains(&edit.removed.start);
        if anchor.follow(edit) {
            let typed = anchor.typed();
            let Some(fill) = self.fills.iter().find(|fill| fill.starts_with(typed)) else {
                return;
            };
            let characters = edit.inserted.chars().count() as u64;
            let is_whole = fill.len() == typed.len();
            if is_whole {
                self.last_characters = if characters > 1 { characters } else { 0 };
                let was_taken = characters > 1 || !self.pieces.is_empty();
                self.fate = Some(if was_taken { Fate::Accepted } else { Fate::TypedOut });
            } else if characters > 1 && !self.is_told {
                let ends_line = fill[typed.len()..].starts_with(['\n', '\r']);
                let is_line = ends_line || edit.inserted.contains(['\n', '\r']);
                self.pieces.push(if is_line { Piece::Line } else { Piece::Word });
                self.characters_kept += characters;
            }
        } else {
            // Some editors replace the rest of the line, and put it back after the fill.
            let stands = |fill: &&String| {
                let end_byte = start_byte + fill.len();
                text.get_byte_slice(start_byte..end_byte).is_some_and(|slice| slice == fill.as_str())
            };
            if is_at_caret && let Some(fill) = self.fills.iter().find(stands) {
                let typed_characters = anchor.typed().chars().count();
                self.last_characters = fill.chars().count().saturating_sub(typed_characters) as u64;
                self.fate = Some(Fate::Accepted);
            }
            self.anchor = None;
        }
    }

    /// Takes the editor's word for it.
    pub(crate) fn hear(&mut self, kind: FeedbackKind, characters: u32) {
        self.is_seen = true;
        let piece = match kind {
            FeedbackKind::Shown => return,
            FeedbackKind::Dismissed => {
                self.fate.get_or_insert(Fate::Dismissed);
                return;
            }
            FeedbackKind::Accepted => {
                self.fate = Some(Fate::Accepted);
                Piece::Whole
            }
            FeedbackKind::AcceptedWord => Piece::Word,
            FeedbackKind::AcceptedLine => Piece::Line,
        };
        // Edits are looked at where the editor does not tell.
        if self.is_told || piece == Piece::Whole {
            self.pieces.push(piece);
            self.characters_kept += u64::from(characters);
        }
    }

    fn fate(&self) -> Fate {
        match self.fate {
            _ if !self.is_seen => Fate::NotSeen,
            Some(Fate::Dismissed) | None if !self.pieces.is_empty() => Fate::AcceptedInPart,
            Some(fate) => fate,
            None => Fate::Ignored,
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.is_continued {
            return;
        }
        let fate = self.fate();
        if fate == Fate::Accepted && self.last_characters > 0 && !self.pieces.contains(&Piece::Whole) {
            self.pieces.push(Piece::Whole);
            self.characters_kept += self.last_characters;
        }
        let longest = self.fills.iter().map(|fill| fill.chars().count() as u64).max().unwrap_or_default();
        self.stats.count(&self.group, |tally| {
            let one_more = |count: &mut u64| *count = count.saturating_add(1);
            one_more(tally.fates.entry(fate).or_default());
            if fate != Fate::NotSeen {
                tally.characters_shown = tally.characters_shown.saturating_add(longest);
                // An editor may say that it took over what was never offered.
                tally.characters_kept = tally.characters_kept.saturating_add(self.characters_kept.min(longest));
                self.pieces.iter().for_each(|piece| one_more(tally.pieces.entry(*piece).or_default()));
            }
        });
    }
}

#[cfg(test)]
mod tests;
