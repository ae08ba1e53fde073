//! Finds what is wrong or ambiguous in a Markdown text, and what it could be instead.
//!
//! Only what is plainly a defect counts: a wrong alarm in a good document is worse than a miss in a bad one. Most
//! rules look at the top level alone, where a line of the source is a line of the paragraph.

mod blocks;
mod code;
mod disguise;
mod fence;
mod heading;
mod language;
mod nesting;
mod table;

use std::ops::Range;

use blocks::Blocks;

/// A defect, and the ways to write what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// The defect in a few words.
    pub(super) what: &'static str,
    /// The places to decide together, ascending and disjoint.
    pub(super) holes: Vec<Place>,
    /// The alternative that simple evidence prefers; 0 where it prefers none.
    pub(super) prior: usize,
    /// The lines that the formatter may not lay out while the defect is there, because it would hide it or lose an
    /// indentation that means something.
    pub(super) spared: Option<Range<usize>>,
}

/// A range of the text and what could stand there: at index 0 what does, and all of them different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) byte_range: Range<usize>,
    pub(super) choices: Vec<String>,
}

impl Place {
    fn insertion(at: usize, texts: &[&str]) -> Self {
        let choices = std::iter::once("").chain(texts.iter().copied()).map(str::to_owned).collect();
        Self { byte_range: at..at, choices }
    }

    fn replacement(text: &str, byte_range: Range<usize>, replacement: String) -> Self {
        Self { choices: vec![text[byte_range.clone()].to_owned(), replacement], byte_range }
    }
}

impl Decision {
    /// From the first place to the end of the last.
    pub(super) fn span(&self) -> Range<usize> {
        self.holes[0].byte_range.start..self.holes[self.holes.len() - 1].byte_range.end
    }
}

/// All defects of the text, whose lines end in `\n`, by where they begin.
pub(super) fn find(text: &str) -> Vec<Decision> {
    let blocks = Blocks::of(text);
    let mut decisions = Vec::new();
    decisions.extend(heading::marks_without_space(text, &blocks));
    decisions.extend(heading::jumps(text, &blocks));
    decisions.extend(fence::without_language(text, &blocks));
    decisions.extend(code::without_fence(text, &blocks));
    decisions.extend(table::without_shape(text, &blocks));
    decisions.extend(disguise::lists(text, &blocks));
    decisions.extend(nesting::unnested(text, &blocks));
    decisions.sort_by_key(|decision| decision.span().start);
    decisions
}

/// The defects that can be decided at once: none stands where another does.
pub(super) fn apart(decisions: Vec<Decision>) -> Vec<Decision> {
    let mut apart: Vec<Decision> = Vec::new();
    for decision in decisions {
        if apart.last().is_none_or(|last| last.span().end < decision.span().start) {
            apart.push(decision);
        }
    }
    apart
}

/// The lines that may not be laid out.
pub(super) fn spared(text: &str) -> Vec<Range<usize>> {
    find(text).into_iter().filter_map(|decision| decision.spared).collect()
}

/// The text with each decision's places as its index says.
pub(super) fn apply<'a>(text: &str, decided: impl IntoIterator<Item = &'a (Decision, usize)>) -> String {
    let mut applied = String::with_capacity(text.len());
    let mut at = 0;
    for (decision, index) in decided {
        for place in &decision.holes {
            applied.push_str(&text[at..place.byte_range.start]);
            applied.push_str(&place.choices[*index]);
            at = place.byte_range.end;
        }
    }
    applied.push_str(&text[at..]);
    applied
}
