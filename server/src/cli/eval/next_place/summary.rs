//! What came of many replayed edits, in a table or as an object.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::Outcome;
use crate::next::Kind;

/// What came of some edits, at one confidence. Shares are in 0..=1, and absent where there is nothing that they are
/// shares of.
#[derive(Debug, Serialize)]
struct Summary {
    /// Edits replayed, and those of them that the history repeats elsewhere in the file.
    edits: usize,
    repeating: usize,
    /// Places offered, and the share of them at which the history made just this change.
    places: usize,
    precision: Option<f64>,
    /// Edits after which something was offered, and the share of them whose surest place was right.
    offered: usize,
    surest_right: Option<f64>,
    /// The share of the repeating edits after which something right was offered, and of the repeated places that were.
    covered: Option<f64>,
    recall: Option<f64>,
    /// The share of the other edits after which something was offered all the same.
    false_alarms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Group {
    language: String,
    /// How often the same had been changed.
    nth: usize,
    #[serde(flatten)]
    summary: Summary,
}

#[derive(Debug, Serialize)]
struct OfKind {
    kind: Kind,
    places: usize,
    precision: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    all: Summary,
    groups: Vec<Group>,
    kinds: Vec<OfKind>,
}

/// Prints what would have been offered at a confidence of at least this.
pub(in crate::cli::eval) fn print(
    outcomes: &[Outcome],
    min_confidence: f32,
    json: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let report = Report::of(outcomes, min_confidence);
    if json {
        serde_json::to_writer(&mut *out, &report).map_err(io::Error::from)?;
        return writeln!(out);
    }
    writeln!(
        out,
        "{:<16} {:>6} {:>9} {:>7} {:>9} {:>7} {:>7} {:>7} {:>7} {:>6}",
        "edits", "n", "repeating", "places", "precision", "offered", "surest", "covered", "recall", "false"
    )?;
    let name = |group: &Group| format!("{} {}", group.language, if group.nth == 1 { "first" } else { "again" });
    let groups = report.groups.iter().map(|group| (name(group), &group.summary));
    for (name, summary) in groups.chain(std::iter::once(("all".to_owned(), &report.all))) {
        let Summary { edits, repeating, places, offered, .. } = summary;
        writeln!(
            out,
            "{name:<16} {edits:>6} {repeating:>9} {places:>7} {:>9} {offered:>7} {:>7} {:>7} {:>7} {:>6}",
            percent(summary.precision),
            percent(summary.surest_right),
            percent(summary.covered),
            percent(summary.recall),
            percent(summary.false_alarms),
        )?;
    }
    for OfKind { kind, places, precision } in &report.kinds {
        let kind = format!("{kind:?}").to_lowercase();
        writeln!(out, "{kind:<16} {:>6} {:>9} {places:>7} {:>9}", "", "", percent(*precision))?;
    }
    Ok(())
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0))
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Report {
    fn of(outcomes: &[Outcome], min_confidence: f32) -> Self {
        let mut groups: BTreeMap<(&str, usize), Vec<&Outcome>> = BTreeMap::new();
        let mut kinds: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
        for outcome in outcomes {
            groups.entry((&outcome.language, outcome.nth)).or_default().push(outcome);
            for place in outcome.places.iter().filter(|place| place.offered && place.confidence >= min_confidence) {
                let (places, right) = kinds.entry(place.kind).or_default();
                *places += 1;
                *right += usize::from(place.right);
            }
        }
        let group = |((language, nth), outcomes): ((&str, usize), Vec<&Outcome>)| Group {
            language: language.to_owned(),
            nth,
            summary: Summary::of(&outcomes, min_confidence),
        };
        let of_kind =
            |(kind, (places, right)): (Kind, (usize, usize))| OfKind { kind, places, precision: share(right, places) };
        Self {
            all: Summary::of(&outcomes.iter().collect::<Vec<_>>(), min_confidence),
            groups: groups.into_iter().map(group).collect(),
            kinds: kinds.into_iter().map(of_kind).collect(),
        }
    }
}

impl Summary {
    fn of(outcomes: &[&Outcome], min_confidence: f32) -> Self {
        let mut counts = [0; 9];
        let [repeating, places, right, offered, surest, covered, found, repeats, alarms] = &mut counts;
        for outcome in outcomes {
            let shown: Vec<_> =
                outcome.places.iter().filter(|place| place.offered && place.confidence >= min_confidence).collect();
            let has_right = shown.iter().any(|place| place.right);
            let is_repeating = outcome.repeats > 0;
            *repeating += usize::from(is_repeating);
            *places += shown.len();
            *right += shown.iter().filter(|place| place.right).count();
            *offered += usize::from(!shown.is_empty());
            let best = shown.iter().max_by(|a, b| a.confidence.total_cmp(&b.confidence));
            *surest += usize::from(best.is_some_and(|place| place.right));
            *covered += usize::from(is_repeating && has_right);
            let mut repeated: Vec<_> = shown.iter().filter_map(|place| place.repeat).collect();
            repeated.sort_unstable();
            repeated.dedup();
            *found += repeated.len();
            *repeats += outcome.repeats;
            *alarms += usize::from(!is_repeating && !shown.is_empty());
        }
        Self {
            edits: outcomes.len(),
            repeating: *repeating,
            places: *places,
            precision: share(*right, *places),
            offered: *offered,
            surest_right: share(*surest, *offered),
            covered: share(*covered, *repeating),
            recall: share(*found, *repeats),
            false_alarms: share(*alarms, outcomes.len() - *repeating),
        }
    }
}
