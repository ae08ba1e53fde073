//! The counts of next places: places that want the change that was made last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::{accepted, add_all, shown};
use super::names::{Fate, Way};

/// Counts of next places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NextPlaces {
    /// How many places met each fate.
    pub fates: BTreeMap<Fate, u64>,
    /// How many places were shown in each way; one may be shown in several.
    pub shown_by: BTreeMap<Way, u64>,
    /// How many places were accepted in each way.
    pub accepted_by: BTreeMap<Way, u64>,
}

impl NextPlaces {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.fates.is_empty() && self.shown_by.is_empty() && self.accepted_by.is_empty()
    }

    /// How many were shown.
    pub fn shown(&self) -> u64 {
        shown(&self.fates)
    }

    /// How many were accepted, all of the change or a part.
    pub fn accepted(&self) -> u64 {
        accepted(&self.fates)
    }

    /// Takes the counts of others in.
    pub fn add(&mut self, other: &Self) {
        add_all(&mut self.fates, &other.fates);
        add_all(&mut self.shown_by, &other.shown_by);
        add_all(&mut self.accepted_by, &other.accepted_by);
    }
}
