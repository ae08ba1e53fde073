//! Which kernel takes how long.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Mark;
use crate::{Device, Error};

/// What all launches of one kernel took together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelTime {
    /// As in its source.
    pub name: &'static str,
    /// How often it was launched.
    pub launches: usize,
    /// The device's time.
    pub time: Duration,
}

/// What has been launched, while it is wanted.
#[derive(Default)]
pub(super) struct Profiler {
    launches: Mutex<Option<Vec<Launched>>>,
}

struct Launched {
    name: &'static str,
    before: Mark,
    after: Mark,
}

impl Profiler {
    fn launches(&self) -> MutexGuard<'_, Option<Vec<Launched>>> {
        // A list that is only ever added to is whole whatever a thread was doing when it panicked.
        self.launches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    /// Times every kernel that `work` launches, the slowest together first. Marks between the launches make the work itself slower; what a
    /// graph launches is not seen.
    pub fn profile<R>(&self, work: impl FnOnce() -> R) -> Result<(R, Vec<KernelTime>), Error> {
        *self.profiler.launches() = Some(Vec::new());
        let result = work();
        let launches = self.profiler.launches().take().unwrap_or_default();
        let mut times = BTreeMap::<_, KernelTime>::new();
        for Launched { name, before, after } in launches {
            let time = after.since(&before)?;
            let entry = times.entry(name).or_insert(KernelTime { name, launches: 0, time: Duration::ZERO });
            entry.launches += 1;
            entry.time += time;
        }
        let mut times: Vec<KernelTime> = times.into_values().collect();
        times.sort_by_key(|kernel| std::cmp::Reverse(kernel.time));
        Ok((result, times))
    }

    /// A mark before a launch, where it is timed.
    pub(super) fn mark_if_profiled(&self) -> Result<Option<Mark>, Error> {
        let is_profiled = self.profiler.launches().is_some();
        is_profiled.then(|| self.mark()).transpose()
    }

    pub(super) fn note_if_profiled(&self, name: &'static str, before: Option<Mark>) -> Result<(), Error> {
        let Some(before) = before else { return Ok(()) };
        let after = self.mark()?;
        if let Some(launches) = self.profiler.launches().as_mut() {
            launches.push(Launched { name, before, after });
        }
        Ok(())
    }
}
