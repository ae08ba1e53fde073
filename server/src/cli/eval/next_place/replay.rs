//! Edits out of the difference between two texts, one at a time, and what is right beside each.

use std::collections::HashMap;
use std::ops::Range;

use crate::next::changes::{Change, changes};
use crate::next::tokens::Tokens;

/// Edits of one pair of texts that are replayed at most.
const REPLAYS_MAX: usize = 20;
/// Tokens on each side of a place within which a change may be described in another way and be the same.
const SLACK_TOKENS: usize = 3;

/// The text with the changes of one line made, and what else is yet to be changed.
pub(super) struct Replay {
    /// The text before the edit.
    pub(super) before: String,
    pub(super) edited: String,
    /// What was changed, for a reader.
    pub(super) edit: String,
    /// How often the same was changed, this time included.
    pub(super) nth: usize,
    /// Further places at which the same is changed.
    pub(super) repeats: usize,
    /// The changes that remain: indices into the tokens of the edited text, the new tokens, and whether it is one of
    /// the repeats.
    remaining: Vec<(Range<usize>, Vec<String>, bool)>,
}

/// What a place is held against.
pub(super) struct Judge<'a> {
    tokens: Tokens<'a>,
    replay: &'a Replay,
}

/// The edits to replay: the first one of each change, and the second one where the same line edit is made again.
/// Only edits within a line are replayed; the others are still what is right.
pub(super) fn replays(before: &str, after: &str) -> Vec<Replay> {
    let (before, after) = (Tokens::of(before), Tokens::of(after));
    let changes = changes(&before, &after);
    let keys: Vec<_> = changes.iter().map(|change| key(&before, &after, change)).collect();
    let mut lines = vec![0; before.len() + 1];
    for index in 0..before.len() {
        lines[index + 1] = lines[index] + usize::from(before.get(index) == "\n");
    }
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    for (index, key) in keys.iter().enumerate() {
        first_of.entry(key).or_insert(index);
    }
    let mut units: Vec<Range<usize>> = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        match units.last_mut() {
            Some(unit) if lines[changes[unit.start].old.start] == lines[change.old.start] => unit.end = index + 1,
            _ => units.push(index..index + 1),
        }
    }
    units.retain(|unit| unit.clone().all(|index| !keys[index].contains('\n')));
    let second_of = |unit: &Range<usize>| {
        let same = |other: &&Range<usize>| keys[(*other).clone()] == keys[unit.clone()] && other.start > unit.start;
        units.iter().find(same).cloned()
    };
    // An edit that changes nothing for the first time is one of the repeats of another.
    let is_new = |unit: &&Range<usize>| (*unit).clone().all(|index| first_of[keys[index].as_str()] >= unit.start);
    let firsts: Vec<_> = units.iter().filter(is_new).collect();
    let step = firsts.len().div_ceil(REPLAYS_MAX).max(1);
    let made = firsts.into_iter().step_by(step).flat_map(|first| {
        let second = second_of(first).map(|second| vec![first.clone(), second]);
        std::iter::once(vec![first.clone()]).chain(second)
    });
    made.filter_map(|units| replay(&before, &after, &changes, &keys, &units)).collect()
}

fn key(before: &Tokens<'_>, after: &Tokens<'_>, change: &Change) -> String {
    let join = |tokens: &Tokens<'_>, range: &Range<usize>| tokens.texts(range.clone()).collect::<Vec<_>>().join(" ");
    format!("{} → {}", join(before, &change.old), join(after, &change.new))
}

/// The last of some edits, after the ones before it.
fn replay(
    before: &Tokens<'_>,
    after: &Tokens<'_>,
    changes: &[Change],
    keys: &[String],
    units: &[Range<usize>],
) -> Option<Replay> {
    let (last, earlier) = units.split_last()?;
    let is_made = |index: &usize| units.iter().any(|unit| unit.contains(index));
    let mut shift = 0;
    let mut remaining = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        if is_made(&index) {
            shift += change.new.len() as isize - change.old.len() as isize;
            continue;
        }
        let moved = |at: usize| at.checked_add_signed(shift);
        let texts = after.texts(change.new.clone()).map(str::to_owned).collect();
        let is_repeat = keys[last.clone()].contains(&keys[index]);
        remaining.push((moved(change.old.start)?..moved(change.old.end)?, texts, is_repeat));
    }
    let repeats = remaining.iter().filter(|(_, _, is_repeat)| *is_repeat).count();
    let edited = with_changes(before, after, changes.iter().enumerate().filter(|(index, _)| is_made(index)));
    let made_earlier = |(index, _): &(usize, &Change)| earlier.iter().any(|unit| unit.contains(index));
    let text_before = with_changes(before, after, changes.iter().enumerate().filter(made_earlier));
    // Tokens that have run into each other would be others than the ones that the history speaks of.
    let is_sound = before.len().checked_add_signed(shift) == Some(Tokens::of(&edited).len());
    let edit = keys[last.clone()].join("; ");
    is_sound.then_some(Replay { before: text_before, edited, edit, nth: units.len(), repeats, remaining })
}

/// The text before with some of the changes made.
fn with_changes<'a>(
    before: &Tokens<'_>,
    after: &Tokens<'_>,
    changes: impl Iterator<Item = (usize, &'a Change)>,
) -> String {
    let mut text = String::new();
    let mut done = 0;
    for (_, change) in changes {
        text.push_str(&before.source()[done..before.end_before(change.old.start).max(done)]);
        text.push_str(&after.source()[after.end_before(change.new.start)..after.start_of(change.new.end)]);
        done = before.start_of(change.old.end);
    }
    text.push_str(&before.source()[done..]);
    text
}

impl Replay {
    pub(super) fn judge(&self) -> Judge<'_> {
        Judge { tokens: Tokens::of(&self.edited), replay: self }
    }
}

impl Judge<'_> {
    /// `None` where a place is not changed in just this way; else which of the repeats it is, if it is one.
    ///
    /// The same may be described in several ways, as when one of two commas is new: what counts is that the text around
    /// becomes what it became in the history.
    pub(super) fn verdict(&self, byte_range: &Range<usize>, new_text: &str) -> Option<Option<usize>> {
        let tokens = &self.tokens;
        let first = tokens.at_byte(byte_range.start);
        let mut last = first;
        while last < tokens.len() && tokens.range(last).start < byte_range.end {
            last += 1;
        }
        (0..=SLACK_TOKENS).find_map(|slack| {
            let region = first.saturating_sub(slack)..(last + slack).min(tokens.len());
            self.is_right_within(region, byte_range, new_text)
        })
    }

    fn is_right_within(
        &self,
        mut region: Range<usize>,
        byte_range: &Range<usize>,
        new_text: &str,
    ) -> Option<Option<usize>> {
        let tokens = &self.tokens;
        let remaining = &self.replay.remaining;
        let touching = |region: &Range<usize>| -> Vec<usize> {
            let touches = |range: &Range<usize>| range.start <= region.end && region.start <= range.end;
            (0..remaining.len()).filter(|&index| touches(&remaining[index].0)).collect()
        };
        let mut within = touching(&region);
        loop {
            for &index in &within {
                let range = &remaining[index].0;
                region = region.start.min(range.start)..region.end.max(range.end);
            }
            let more = touching(&region);
            if more.len() == within.len() {
                break;
            }
            within = more;
        }
        if within.is_empty() {
            return None;
        }
        let mut wanted = Vec::new();
        let mut at = region.start;
        for &index in &within {
            let (range, texts, _) = &remaining[index];
            wanted.extend(tokens.texts(at..range.start.max(at)));
            wanted.extend(texts.iter().map(String::as_str));
            at = range.end;
        }
        wanted.extend(tokens.texts(at..region.end.max(at)));
        let start = tokens.start_of(region.start).min(byte_range.start);
        let end = tokens.end_before(region.end).max(byte_range.end);
        let source = tokens.source();
        let proposed = [&source[start..byte_range.start], new_text, &source[byte_range.end..end]].concat();
        let proposed = Tokens::of(&proposed);
        let proposed = proposed.texts(0..proposed.len()).skip_while(|token| *token == "\n");
        let is_right = proposed.eq(wanted.into_iter().skip_while(|token| *token == "\n"));
        is_right.then(|| within.into_iter().find(|&index| remaining[index].2))
    }
}
