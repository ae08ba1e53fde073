//! What becomes of the places that were found, for the counts of `lacuna stats`.
//!
//! A place is the same one for as long as searches find it anew, so that taking over one of five does not make four more of
//! the others. The edits tell most of it, as with completions, and an editor may tell more by `lacuna/feedback`.

use std::collections::BTreeSet;
use std::ops::Range;

use ropey::Rope;

use crate::lsp::document::ByteEdit;
use crate::lsp::edits::Replacement;
use crate::lsp::offer::FeedbackKind;
use crate::stats::{Fate, Group, Stats, Way};

/// The places of a document that may still get the change. When one is dropped, its fate is counted.
#[derive(Debug, Default)]
pub(super) struct Offers(Vec<Offer>);

#[derive(Debug)]
struct Offer {
    stats: Stats,
    group: Group,
    /// In bytes of the present text.
    range: Range<usize>,
    new_text: String,
    shown_by: BTreeSet<Way>,
    /// Its item is what was offered last in the line.
    is_in_line: bool,
    /// A code action with it was chosen.
    is_chosen: bool,
    is_accepted_in_part: bool,
    is_dismissed: bool,
    change: Change,
}

/// How a place came to its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It has not got it yet.
    Wanted,
    Accepted(Way),
    ByHand,
    /// What stood there is no more.
    Lost,
}

impl Offers {
    /// A search has found these places, and no others.
    pub(super) fn find(&mut self, places: &[Replacement], stats: &Stats, group: &Group) {
        let (kept, mut before) = std::mem::take(&mut self.0).into_iter().partition(|offer: &Offer| {
            // What has been typed into it hides it from the search, and the editor may show it still.
            offer.is_in_line && offer.change == Change::Wanted && places.iter().all(|(range, _)| *range != offer.range)
        });
        self.0 = kept;
        for (range, new_text) in places {
            let is_again = |offer: &Offer| offer.change == Change::Wanted && offer.range == *range;
            let again = before.iter().position(is_again).map(|index| before.swap_remove(index));
            self.0.push(match again {
                // The change itself may have gone on.
                Some(mut offer) => {
                    offer.new_text.clone_from(new_text);
                    offer.is_chosen = false;
                    offer
                }
                None => Offer::new(range.clone(), new_text.clone(), stats.clone(), group.clone()),
            });
        }
    }

    /// Follows an edit from one text to another.
    pub(super) fn follow(&mut self, edit: &ByteEdit<'_>, before: &Rope, after: &Rope) {
        self.0.iter_mut().for_each(|offer| offer.follow(edit, before, after));
    }

    /// Its item is offered in the line, in place of any other. `is_told` says that the editor tells what it shows.
    pub(super) fn offer_in_line(&mut self, range: &Range<usize>, is_told: bool) {
        for offer in &mut self.0 {
            offer.is_in_line = offer.range == *range;
            if offer.is_in_line && !is_told {
                offer.shown_by.insert(Way::Line);
            }
        }
    }

    /// Something else is offered in the line.
    pub(super) fn leave_line(&mut self) {
        self.0.iter_mut().for_each(|offer| offer.is_in_line = false);
    }

    /// The editor goes there.
    pub(super) fn go_to(&mut self, range: &Range<usize>) {
        let here = self.0.iter_mut().filter(|offer| offer.range == *range);
        here.for_each(|offer| _ = offer.shown_by.insert(Way::Command));
    }

    /// A code action was chosen that makes these replacements.
    pub(super) fn choose(&mut self, replacements: &[Replacement]) {
        for offer in &mut self.0 {
            if replacements.iter().any(|(range, _)| *range == offer.range) {
                offer.is_chosen = true;
                offer.shown_by.insert(Way::Action);
            }
        }
    }

    /// Takes the editor's word for what becomes of the item in the line.
    pub(super) fn hear(&mut self, kind: FeedbackKind) {
        let Some(offer) = self.0.iter_mut().find(|offer| offer.is_in_line) else {
            return;
        };
        offer.shown_by.insert(Way::Line);
        match kind {
            FeedbackKind::Shown => {}
            FeedbackKind::Accepted => offer.change = Change::Accepted(Way::Line),
            FeedbackKind::AcceptedWord | FeedbackKind::AcceptedLine => offer.is_accepted_in_part = true,
            FeedbackKind::Dismissed => offer.is_dismissed = true,
        }
    }
}

impl Offer {
    fn new(range: Range<usize>, new_text: String, stats: Stats, group: Group) -> Self {
        Self {
            stats,
            group,
            range,
            new_text,
            shown_by: BTreeSet::new(),
            is_in_line: false,
            is_chosen: false,
            is_accepted_in_part: false,
            is_dismissed: false,
            change: Change::Wanted,
        }
    }

    fn follow(&mut self, edit: &ByteEdit<'_>, before: &Rope, after: &Rope) {
        let (Range { start, end }, removed) = (self.range.clone(), &edit.removed);
        if self.change != Change::Wanted || removed.start > end {
            return;
        }
        let moved = |byte: usize| byte - removed.len() + edit.inserted.len();
        if removed.end < start {
            self.range = moved(start)..moved(end);
            return;
        }
        // Some editors replace more than the place, and put back what stood around it.
        let outer = start.min(removed.start)..end.max(removed.end);
        let is_changed = || {
            let [head, tail] = [outer.start..start, end..outer.end].map(|bytes| before.get_byte_slice(bytes));
            let changed = format!("{}{}{}", head?, self.new_text, tail?);
            Some(after.get_byte_slice(outer.start..moved(outer.end))? == changed.as_str())
        };
        if is_changed() == Some(true) {
            let comes_at_once = edit.inserted.chars().count() > 1;
            self.change = match (self.is_chosen, self.is_in_line && comes_at_once) {
                (true, _) => Change::Accepted(Way::Action),
                (false, true) => Change::Accepted(Way::Line),
                (false, false) => Change::ByHand,
            };
        } else if outer == (start..end) {
            self.range = start..moved(end);
        } else if removed.end == start {
            self.range = moved(start)..moved(end);
        } else if removed.start != end {
            self.change = Change::Lost;
        }
    }

    fn fate(&self) -> Fate {
        match self.change {
            _ if self.shown_by.is_empty() => Fate::NotSeen,
            Change::Accepted(_) => Fate::Accepted,
            Change::ByHand => Fate::TypedOut,
            _ if self.is_accepted_in_part => Fate::AcceptedInPart,
            _ if self.is_dismissed => Fate::Dismissed,
            Change::Wanted | Change::Lost => Fate::Ignored,
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let fate = self.fate();
        self.stats.count(&self.group, |tally| {
            let one_more = |count: &mut u64| *count = count.saturating_add(1);
            let places = &mut tally.next_places;
            one_more(places.fates.entry(fate).or_default());
            self.shown_by.iter().for_each(|way| one_more(places.shown_by.entry(*way).or_default()));
            if let (Fate::Accepted, Change::Accepted(way)) = (fate, self.change) {
                one_more(places.accepted_by.entry(way).or_default());
            }
        });
    }
}

#[cfg(test)]
mod tests;
