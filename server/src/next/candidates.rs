//! Where a text may want a change that was just made in it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use lacuna_engine::{Cancel, Error};
use serde::Serialize;
use tree_sitter::Tree;

use super::calls::{Call, call_around, call_at, closing};
use super::changes::Change;
use super::evidence::{Evidence, Facts, confidence};
use super::lines::{alike, begins_line, ends_line, line_around, reaches};
use super::spot::{Prose, Role, Spot};
use super::tokens::{Tokens, is_name, is_word};

/// Places that are looked at for one change at most: the ones whose surroundings agree the most.
const PLACES_MAX: usize = 48;
/// Changes that are looked at at most; an edit with more of them is no simple one.
const CHANGES_MAX: usize = 6;
/// Surroundings that agree for longer count no more.
const AGREEMENT_MAX_TOKENS: usize = 16;
/// Without a name that goes, this many tokens around a place must agree.
const AGREEMENT_MIN_TOKENS: usize = 4;

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// One name gave way to another.
    Rename,
    /// Something is new among the arguments or parameters of a function, or gone from them, or another.
    Argument,
    /// Tokens gave way to others.
    Replace,
    /// Tokens are new.
    Insert,
    /// Tokens are gone.
    Delete,
}

/// A place that may want a change.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Byte offsets into the text after the edit: what would be replaced, within one line.
    pub(crate) byte_range: Range<usize>,
    pub(crate) new_text: String,
    pub(crate) kind: Kind,
    pub(crate) evidence: Evidence,
    /// How likely it is, in 0..=1, that the place wants the change.
    pub(crate) confidence: f32,
    /// How sure it must be to be offered.
    min_confidence: f32,
    /// How likely the model finds it, if it was asked.
    pub(crate) model: Option<f32>,
}

impl Candidate {
    /// Whether it is sure enough to be offered.
    pub(crate) fn is_sure(&self) -> bool {
        self.confidence >= self.min_confidence
    }

    /// Takes into account how likely the model finds it, in 0..=1, that the place is changed.
    pub(super) fn hear(&mut self, probability: f32) {
        self.model = Some(probability);
        self.confidence = confidence(&self.evidence, self.model);
    }
}

/// An edit, cut into tokens.
pub(super) struct Edit<'a> {
    pub(super) before: &'a Tokens<'a>,
    pub(super) after: &'a Tokens<'a>,
    /// Of the text after.
    pub(super) tree: &'a Tree,
    pub(super) changes: &'a [Change],
    /// How often each change was made shortly before, by its old and new text.
    pub(super) earlier: &'a HashMap<(&'a str, &'a str), usize>,
}

/// A place in tokens, before it is known what speaks for it.
struct Found {
    /// Indices into the tokens of the text after; empty for an insertion.
    tokens: Range<usize>,
    left: usize,
    right: usize,
    call: bool,
}

/// The places that may want one of the edit's changes. They may overlap.
pub(super) fn candidates(edit: &Edit<'_>, cancel: &Cancel) -> Result<Vec<Candidate>, Error> {
    let mut found = Vec::new();
    if edit.changes.len() > CHANGES_MAX {
        return Ok(found);
    }
    let in_after = index(edit.after);
    let in_before = index(edit.before);
    let mut seen = HashSet::new();
    for change in edit.changes {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let same = change.texts(edit.before, edit.after);
        // The same change made twice has the same places.
        if seen.insert(same)
            && let Some(search) = Search::new(edit, change, &in_after, &in_before)
        {
            found.extend(search.candidates());
        }
    }
    Ok(found)
}

/// Where these tokens stand in a row, of the places where the first one does.
fn occurrences(tokens: &Tokens<'_>, starts: Option<&Vec<usize>>, wanted: &[&str]) -> Vec<usize> {
    let starts = starts.into_iter().flatten().copied();
    let fits = |start: &usize| {
        let range = *start..*start + wanted.len();
        range.end <= tokens.len() && tokens.texts(range).eq(wanted.iter().copied())
    };
    starts.filter(fits).collect()
}

/// Where each token stands.
fn index<'a>(tokens: &Tokens<'a>) -> HashMap<&'a str, Vec<usize>> {
    let mut index: HashMap<&str, Vec<usize>> = HashMap::new();
    for at in 0..tokens.len() {
        index.entry(tokens.get(at)).or_default().push(at);
    }
    index
}

/// The search for the places of one change.
struct Search<'a> {
    edit: &'a Edit<'a>,
    change: &'a Change,
    in_after: &'a HashMap<&'a str, Vec<usize>>,
    in_before: &'a HashMap<&'a str, Vec<usize>>,
    old: Vec<&'a str>,
    new: Vec<&'a str>,
    spot: Spot<'a>,
    kind: Kind,
    call: Option<Call<'a>>,
}

impl<'a> Search<'a> {
    /// `None` where the change is none that would be made elsewhere.
    fn new(
        edit: &'a Edit<'a>,
        change: &'a Change,
        in_after: &'a HashMap<&'a str, Vec<usize>>,
        in_before: &'a HashMap<&'a str, Vec<usize>>,
    ) -> Option<Self> {
        let old: Vec<_> = edit.before.texts(change.old.clone()).collect();
        let new: Vec<_> = edit.after.texts(change.new.clone()).collect();
        let has_word = |texts: &[&str]| texts.iter().any(|text| text.starts_with(is_word));
        if old.contains(&"\n") || new.contains(&"\n") || !(has_word(&old) || has_word(&new)) {
            return None;
        }
        let spot = Spot::of(edit.tree, &edit.after.bytes(change.new.clone()));
        let call = call_around(edit.after, change.new.start);
        let kind = match (&old[..], &new[..]) {
            ([old], [new]) if is_name(old) && is_name(new) => Kind::Rename,
            _ if call.is_some() => Kind::Argument,
            ([], _) => Kind::Insert,
            (_, []) => Kind::Delete,
            _ => Kind::Replace,
        };
        Some(Self { edit, change, in_after, in_before, old, new, spot, kind, call })
    }

    fn candidates(&self) -> Vec<Candidate> {
        let after = self.edit.after;
        let mut found = if self.old.is_empty() { self.insertions() } else { self.occurrences() };
        found.retain(|place| !self.is_changed(&place.tokens));
        let places = found.len();
        found.sort_by_key(|place| (!place.call, std::cmp::Reverse(place.left + place.right), place.tokens.start));
        found.truncate(PLACES_MAX);
        let spots: Vec<_> =
            found.iter().map(|place| Spot::of(self.edit.tree, &after.bytes(place.tokens.clone()))).collect();
        let is_bound_here = |spot: &Spot<'_>| spot.role() == Role::Binding && spot.function == self.spot.function;
        let is_local = self.spot.function.is_some()
            && self.kind == Kind::Rename
            && (is_bound_here(&self.spot) || spots.iter().any(is_bound_here));
        // What is bound in a function has its name nowhere else.
        let may_be_in = |spot: &Spot<'_>| self.may_be_in(spot) && (!is_local || spot.function == self.spot.function);
        let in_scope: Vec<_> = found.iter().zip(&spots).filter(|(_, spot)| may_be_in(spot)).collect();
        let is_declared = |spot: &Spot<'_>| matches!(spot.role(), Role::Item | Role::Field | Role::Binding);
        let shared = Facts {
            declared: self.kind == Kind::Rename && in_scope.iter().any(|(_, spot)| is_declared(spot)),
            imported: in_scope.iter().any(|(_, spot)| spot.import),
            ..self.shared_facts(places)
        };
        let places = in_scope.into_iter();
        places.map(|(place, spot)| self.candidate(place, spot, shared)).collect()
    }

    /// Whether a place of this sort may want the change: comments and strings only want what was done in one.
    fn may_be_in(&self, spot: &Spot<'_>) -> bool {
        spot.prose == self.spot.prose || (spot.prose == Prose::No && self.spot.prose != Prose::Comment)
    }

    /// Whether the place is part of the edit.
    fn is_changed(&self, place: &Range<usize>) -> bool {
        let touches = |change: &Change| place.start <= change.new.end && change.new.start <= place.end;
        let overlaps = |change: &Change| place.start < change.new.end && change.new.start < place.end;
        let is_insertion = place.is_empty();
        self.edit.changes.iter().any(|change| if is_insertion { touches(change) } else { overlaps(change) })
    }

    /// Where the old tokens still stand.
    fn occurrences(&self) -> Vec<Found> {
        let after = self.edit.after;
        let has_name = self.old.iter().any(|token| is_name(token));
        let starts = occurrences(after, self.in_after.get(self.old[0]), &self.old);
        let found = starts.into_iter().map(|start| self.found(start..start + self.old.len(), false));
        found.filter(|place| has_name || self.agrees_enough(place)).collect()
    }

    /// Where nothing stands yet, and the surroundings are those of the change.
    fn insertions(&self) -> Vec<Found> {
        let after = self.edit.after;
        let mut found: Vec<Found> = Vec::new();
        if let Some(left) = self.change.new.start.checked_sub(1) {
            let starts = self.in_after.get(after.get(left)).into_iter().flatten();
            let places = starts.map(|left| self.found(left + 1..left + 1, false));
            found.extend(places.filter(|place| self.agrees_enough(place)));
        }
        let at_ends = self.call.into_iter().flat_map(|call| self.ends_of_calls(call));
        let known: HashSet<usize> = found.iter().map(|place| place.tokens.start).collect();
        let at_ends = at_ends.filter(|at| !known.contains(at)).collect::<Vec<_>>();
        found.extend(at_ends.into_iter().map(|at| self.found(at..at, true)));
        found
    }

    /// The same end of the other argument lists of the same function, where the change is at one.
    fn ends_of_calls(&self, call: Call<'a>) -> Vec<usize> {
        let after = self.edit.after;
        let is_last = self.change.new.end < after.len() && after.get(self.change.new.end) == ")";
        let is_first = self.change.new.start > 0 && after.get(self.change.new.start - 1) == "(";
        if !is_last && !is_first {
            return Vec::new();
        }
        let names = self.in_after.get(call.function).into_iter().flatten();
        let calls = names.filter_map(|&name| {
            let open = name + 1;
            let is_call = open < after.len() && after.get(open) == "(" && call_at(after, open) == Some(call);
            let close = is_call.then(|| closing(after, open)).flatten()?;
            // An argument list without any has no place for a comma.
            let has_arguments = close > open + 1;
            let ends_plainly = !matches!(after.get(close - 1), "," | "\n");
            match is_last {
                true => (ends_plainly && (has_arguments || self.new[0] != ",")).then_some(close),
                false => (has_arguments || self.new.last() != Some(&",")).then_some(open + 1),
            }
        });
        calls.collect()
    }

    fn agrees_enough(&self, place: &Found) -> bool {
        place.left > 0 && place.right > 0 && place.left + place.right >= AGREEMENT_MIN_TOKENS
    }

    fn found(&self, tokens: Range<usize>, call: bool) -> Found {
        let after = self.edit.after;
        let new = &self.change.new;
        let mut left = 0;
        while left < AGREEMENT_MAX_TOKENS.min(tokens.start).min(new.start)
            && after.get(tokens.start - 1 - left) == after.get(new.start - 1 - left)
        {
            left += 1;
        }
        let mut right = 0;
        while right < AGREEMENT_MAX_TOKENS.min(after.len() - tokens.end).min(after.len() - new.end)
            && after.get(tokens.end + right) == after.get(new.end + right)
        {
            right += 1;
        }
        Found { tokens, left, right, call }
    }

    /// What holds for the change wherever else it may be wanted.
    fn shared_facts(&self, places: usize) -> Facts {
        let Edit { before, after, changes, .. } = self.edit;
        let new = &self.change.new;
        let stands_in_before =
            self.new.first().map_or_else(Vec::new, |first| occurrences(before, self.in_before.get(first), &self.new));
        let left = new.start.checked_sub(1).map(|left| after.get(left));
        let right = (new.end < after.len()).then(|| after.get(new.end));
        let beside = |start: &&usize| {
            let end = **start + self.new.len();
            let same_left = start.checked_sub(1).map(|at| before.get(at)) == left;
            same_left && (end < before.len()).then(|| before.get(end)) == right
        };
        let stands = stands_in_before.iter().filter(beside).count();
        let is_same = |change: &&Change| self.is_same(change);
        let earlier = self.edit.earlier.get(&self.change.texts(before, after)).copied().unwrap_or_default();
        let line = line_around(after, new);
        let in_line = |change: &&Change| line.start <= change.new.start && change.new.end <= line.end;
        let new_in_line: usize = changes.iter().filter(in_line).map(|change| change.new.len()).sum();
        let old_in_line: usize = changes.iter().filter(in_line).map(|change| change.old.len()).sum();
        let left_over = !self.old.is_empty()
            && line.clone().any(|start| {
                let end = start + self.old.len();
                end <= line.end
                    && after.texts(start..end).eq(self.old.iter().copied())
                    && (end <= new.start || start >= new.end)
            });
        let role = self.spot.role();
        Facts {
            places,
            kept: line.len().saturating_sub(new_in_line) as f64
                / (line.len() + old_in_line).saturating_sub(new_in_line).max(line.len()).max(1) as f64,
            changes: changes.len(),
            again: changes.iter().filter(is_same).count() + earlier,
            old_chars: self.old.iter().map(|token| token.len()).sum(),
            known: stands_in_before.len(),
            stands,
            left_over,
            declares: matches!(role, Role::Item | Role::Field),
            binds: role == Role::Binding,
            renames: self.kind == Kind::Rename,
            ..Facts::default()
        }
    }

    fn is_same(&self, change: &Change) -> bool {
        self.edit.before.texts(change.old.clone()).eq(self.old.iter().copied())
            && self.edit.after.texts(change.new.clone()).eq(self.new.iter().copied())
    }

    /// The share of the edit's other changes that a line has room for: it has the tokens that are to go, or those beside
    /// what is new.
    fn company(&self, line: &Range<usize>) -> f64 {
        let Edit { before, after, .. } = self.edit;
        let others: Vec<_> = self.edit.changes.iter().filter(|change| !self.is_same(change)).collect();
        if others.is_empty() {
            return 1.0;
        }
        let has_room = |change: &&&Change| {
            let wanted: Vec<&str> = if change.old.is_empty() {
                let left = change.new.start.checked_sub(1).map(|left| after.get(left));
                left.into_iter().chain((change.new.end < after.len()).then(|| after.get(change.new.end))).collect()
            } else {
                before.texts(change.old.clone()).collect()
            };
            let mut starts = line.start..(line.end + 1).saturating_sub(wanted.len());
            starts.any(|start| after.texts(start..start + wanted.len()).eq(wanted.iter().copied()))
        };
        others.iter().filter(has_room).count() as f64 / others.len() as f64
    }

    fn candidate(&self, place: &Found, spot: &Spot<'_>, shared: Facts) -> Candidate {
        let after = self.edit.after;
        let new = &self.change.new;
        let (byte_range, new_text) = self.replacement(&place.tokens);
        let (place_byte, change_byte) = (after.end_before(place.tokens.start), after.end_before(new.start));
        let between = place_byte.min(change_byte)..place_byte.max(change_byte);
        let line = line_around(after, &place.tokens);
        let name = |spot: &Spot<'_>| after.source().get(spot.function_name.clone()).unwrap_or_default();
        let facts = Facts {
            company: self.company(&line),
            twin_function: spot.function != self.spot.function
                && !name(spot).is_empty()
                && name(spot) == name(&self.spot),
            left: place.left,
            right: place.right,
            line: reaches(after, place.tokens.start, place.left, false)
                && reaches(after, place.tokens.end, place.right, true),
            distance: after.source()[between].matches('\n').count(),
            same_function: spot.function == self.spot.function,
            same_role: spot.role() == self.spot.role(),
            call: place.call || (self.call.is_some() && self.call == call_around(after, place.tokens.start)),
            alike: alike(after, &line_around(after, new), &line),
            ..shared
        };
        let evidence = facts.evidence();
        Candidate {
            byte_range,
            new_text,
            kind: self.kind,
            evidence,
            confidence: confidence(&evidence, None),
            min_confidence: facts.min_confidence(),
            model: None,
        }
    }

    /// What is replaced at a place, and by what, with the blanks that go with it.
    fn replacement(&self, place: &Range<usize>) -> (Range<usize>, String) {
        let after = self.edit.after;
        let new = &self.change.new;
        if !self.old.is_empty() && !self.new.is_empty() {
            return (after.bytes(place.clone()), after.source()[after.bytes(new.clone())].to_owned());
        }
        // Where tokens are new or gone, the blanks on both sides are as they are at the change; but those at the ends of
        // lines are the line's own.
        let begins_line = new.start == 0 || after.get(new.start - 1) == "\n" || begins_line(after, place.start);
        let ends_line = new.end == after.len() || after.get(new.end) == "\n" || ends_line(after, place.end);
        let around = |tokens: &Range<usize>| {
            let whole = after.bytes(tokens.clone());
            let start = match (begins_line, tokens.is_empty()) {
                (true, true) => after.start_of(tokens.start),
                (true, false) => whole.start,
                (false, _) => after.end_before(tokens.start),
            };
            let end = match (ends_line, tokens.is_empty()) {
                (true, true) => after.end_before(tokens.end),
                (true, false) => whole.end,
                (false, _) => after.start_of(tokens.end),
            };
            start.min(end)..end.max(start)
        };
        let text = after.source()[around(new)].to_owned();
        let text = if self.new.is_empty() && (begins_line || ends_line) { String::new() } else { text };
        (around(place), text)
    }
}
