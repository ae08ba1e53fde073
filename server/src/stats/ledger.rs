//! The counts of many days.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::names::{Fate, LANGUAGES, Piece, Source, Stage, Withheld};
use super::next_places::NextPlaces;
use super::recorder::Group;

/// The most days that are kept; the oldest go first.
const MAX_DAYS: usize = 400;
/// The most models that are told apart within a day and a language.
const MAX_MODELS: usize = 16;
/// The longest name of a model, in characters.
const MAX_NAME_CHARS: usize = 64;
/// What further models are counted under.
const OTHER_MODELS: &str = "other models";

/// Counts by day, language and model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    days: BTreeMap<Date, BTreeMap<String, BTreeMap<String, Tally>>>,
}

/// Counts of one day, language and model, or of several of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tally {
    /// How many completions met each fate.
    pub fates: BTreeMap<Fate, u64>,
    /// How many pieces were taken over.
    pub pieces: BTreeMap<Piece, u64>,
    /// Unicode scalar values in all completions that were seen, each at its longest.
    pub characters_shown: u64,
    /// Of these, the ones that were taken over in pieces, and not typed.
    pub characters_kept: u64,
    /// How many requests got nothing, by the reason.
    pub withheld: BTreeMap<Withheld, u64>,
    /// How long answers took.
    pub latency: BTreeMap<Source, BTreeMap<Stage, Histogram>>,
    /// What became of next places, which count as no completions.
    #[serde(skip_serializing_if = "NextPlaces::is_empty")]
    pub next_places: NextPlaces,
}

/// What is wrong with a text that should have been counts, in one sentence without its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Ledger {
    /// The counts in a file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let ledger: Self = serde_json::from_slice(bytes).map_err(|error| Malformed(error.to_string()))?;
        for languages in ledger.days.values() {
            if let Some(name) = languages.keys().find(|name| !LANGUAGES.contains(&name.as_str())) {
                return Err(Malformed(format!("there is no language {name:?}")));
            }
            let mut models = languages.values().flat_map(BTreeMap::keys);
            if let Some(name) = models.find(|name| model_name(name) != **name) {
                return Err(Malformed(format!("{name:?} is no model's name")));
            }
        }
        // As bounded as if it had been counted here.
        let mut bounded = Self::default();
        bounded.add(&ledger);
        Ok(bounded)
    }

    /// The bytes of a file with these counts.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps of numbers under names have no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// The counts of a day and a group, to be changed.
    pub(super) fn tally_mut(&mut self, day: Date, group: &Group) -> &mut Tally {
        self.entry(day, super::names::language_name(group.language), &model_name(&group.model))
    }

    /// Takes the counts of another in.
    pub fn add(&mut self, other: &Self) {
        for (day, languages) in &other.days {
            for (language, models) in languages {
                for (model, tally) in models {
                    self.entry(*day, language, model).add(tally);
                }
            }
        }
        while self.days.len() > MAX_DAYS {
            self.days.pop_first();
        }
    }

    /// Only the days from this one on.
    pub fn since(mut self, day: Date) -> Self {
        Self { days: self.days.split_off(&day) }
    }

    /// All counts together.
    pub fn total(&self) -> Tally {
        self.sum(|_, _, _| ()).remove(&()).unwrap_or_default()
    }

    /// The counts of each day that has some.
    pub fn by_day(&self) -> BTreeMap<Date, Tally> {
        self.sum(|day, _, _| day)
    }

    /// The counts of each language.
    pub fn by_language(&self) -> BTreeMap<&str, Tally> {
        self.sum(|_, language, _| language)
    }

    /// The counts of each model.
    pub fn by_model(&self) -> BTreeMap<&str, Tally> {
        self.sum(|_, _, model| model)
    }

    fn sum<'a, K: Ord>(&'a self, key: impl Fn(Date, &'a str, &'a str) -> K) -> BTreeMap<K, Tally> {
        let mut sums = BTreeMap::<K, Tally>::new();
        for (day, languages) in &self.days {
            for (language, models) in languages {
                for (model, tally) in models {
                    sums.entry(key(*day, language, model)).or_default().add(tally);
                }
            }
        }
        sums
    }

    fn entry(&mut self, day: Date, language: &str, model: &str) -> &mut Tally {
        let models = self.days.entry(day).or_default().entry(language.to_owned()).or_default();
        let has_room = models.len() < MAX_MODELS || models.contains_key(model);
        models.entry(if has_room { model } else { OTHER_MODELS }.to_owned()).or_default()
    }
}

impl Tally {
    /// Takes the counts of another in.
    pub fn add(&mut self, other: &Self) {
        add_all(&mut self.fates, &other.fates);
        add_all(&mut self.pieces, &other.pieces);
        add_all(&mut self.withheld, &other.withheld);
        self.characters_shown = self.characters_shown.saturating_add(other.characters_shown);
        self.characters_kept = self.characters_kept.saturating_add(other.characters_kept);
        self.next_places.add(&other.next_places);
        for (source, stages) in &other.latency {
            for (stage, histogram) in stages {
                self.latency.entry(*source).or_default().entry(*stage).or_default().add(histogram);
            }
        }
    }

    /// Counts how long a stage of an answer took.
    pub fn count_time(&mut self, source: Source, stage: Stage, time: Duration) {
        self.latency.entry(source).or_default().entry(stage).or_default().count(time);
    }

    /// How many completions were seen.
    pub fn shown(&self) -> u64 {
        shown(&self.fates)
    }

    /// How many completions met a fate.
    pub fn with_fate(&self, fate: Fate) -> u64 {
        with_fate(&self.fates, fate)
    }

    /// How many completions were taken over, all of them or a part.
    pub fn accepted(&self) -> u64 {
        accepted(&self.fates)
    }
}

/// How many were seen.
pub(super) fn shown(fates: &BTreeMap<Fate, u64>) -> u64 {
    let seen = fates.iter().filter(|(fate, _)| **fate != Fate::NotSeen);
    seen.fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// How many were taken over, all of each or a part.
pub(super) fn accepted(fates: &BTreeMap<Fate, u64>) -> u64 {
    with_fate(fates, Fate::Accepted).saturating_add(with_fate(fates, Fate::AcceptedInPart))
}

fn with_fate(fates: &BTreeMap<Fate, u64>, fate: Fate) -> u64 {
    fates.get(&fate).copied().unwrap_or_default()
}

pub(super) fn add_all<K: Copy + Ord>(counts: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, more) in more {
        let count = counts.entry(*key).or_default();
        *count = count.saturating_add(*more);
    }
}

/// A model's name as it is kept: the last part of what may be a path, and nothing that a terminal would act on.
fn model_name(name: &str) -> String {
    let last = name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
    let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let plain: String = last.chars().filter(is_plain).take(MAX_NAME_CHARS).collect();
    let plain = plain.trim();
    if plain.is_empty() { OTHER_MODELS.to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests;
