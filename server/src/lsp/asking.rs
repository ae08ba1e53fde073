//! One request for a completion, counted however it ends.

use std::time::{Duration, Instant};

use crate::stats::{Group, Source, Stage, Stats, Withheld};

/// What the worker's thread spent an answer's time on, and how long the request waited for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Waiting for the engine.
    pub(crate) queue: Duration,
    /// Finding the hole.
    pub(crate) hole: Duration,
    /// Reading the text around it.
    pub(crate) prompt: Duration,
    /// Filling it.
    pub(crate) denoise: Duration,
    /// Making the fill fit.
    pub(crate) checks: Duration,
}

/// A request under way. When it is dropped without an answer, as the framework does when the client cancels, the
/// reason is counted.
#[derive(Debug)]
pub(crate) struct Asking {
    stats: Stats,
    group: Option<Group>,
    since: Instant,
    /// Why there is no answer, if there is none.
    pub(crate) withheld: Withheld,
    is_answered: bool,
}

impl Asking {
    /// A request that has just come. Without a group, as in a document that is never read, nothing is counted.
    pub(crate) fn new(stats: Stats, group: Option<Group>) -> Self {
        Self { stats, group, since: Instant::now(), withheld: Withheld::Cancelled, is_answered: false }
    }

    /// The engine, or what is known of it, has had its say: counts how long it took.
    pub(crate) fn took(&self, source: Source, debounce: Duration, spent: Option<Spent>) {
        let (Some(group), total) = (&self.group, self.since.elapsed()) else {
            return;
        };
        self.stats.count(group, |tally| {
            tally.count_time(source, Stage::Total, total);
            if source == Source::Fresh {
                tally.count_time(source, Stage::Debounce, debounce);
            }
            if let Some(Spent { queue, hole, prompt, denoise, checks }) = spent {
                let stages = [
                    (Stage::Queue, queue),
                    (Stage::Hole, hole),
                    (Stage::Prompt, prompt),
                    (Stage::Denoise, denoise),
                    (Stage::Checks, checks),
                ];
                stages.into_iter().for_each(|(stage, time)| tally.count_time(source, stage, time));
            }
        });
    }

    /// What the request is counted under.
    pub(crate) fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// The answer to a request for which nothing is to be shown.
    pub(crate) fn nothing<T, E>(mut self, withheld: Withheld) -> Result<Option<T>, E> {
        self.withheld = withheld;
        Ok(None)
    }

    /// There is something to show.
    pub(crate) fn set_answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(group) = self.group.as_ref().filter(|_| !self.is_answered) {
            self.stats.count(group, |tally| {
                let count = tally.withheld.entry(self.withheld).or_default();
                *count = count.saturating_add(1);
            });
        }
    }
}
