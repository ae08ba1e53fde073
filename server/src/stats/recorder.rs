//! Counting, and the thread that brings the counts to the disk now and then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Zoned;
use lacuna_engine::Language;

use super::ledger::{Ledger, Tally};
use super::store::Store;

/// How seldom the file is written.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long another process may hold the file until it is tried again after an interval.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the end of the process may take for the last counts.
const GRACE_AT_END: Duration = Duration::from_secs(1);

/// What counts are kept apart by, besides the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the document is written in.
    pub language: Language,
    /// The model's name, as its engine gives it.
    pub model: String,
}

/// Counts; a clone counts with it. By default nothing is counted.
#[derive(Clone, Debug, Default)]
pub struct Stats(Option<Arc<Counting>>);

#[derive(Debug)]
struct Counting {
    is_on: AtomicBool,
    store: Store,
    /// What is not on the disk yet.
    new: Mutex<Ledger>,
    /// Whether it has been said that it cannot get there.
    has_told: AtomicBool,
}

/// Writes what was counted. When it is dropped, what has been counted last is written, if that takes no longer than a
/// second.
#[derive(Debug)]
#[must_use = "what was counted last is lost unless this is dropped at the end"]
pub struct Writer {
    /// Dropped to have the thread end.
    until_end: Option<SyncSender<()>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Stats {
    /// Counts for a store, which gets what is new twice a minute.
    pub fn start(store: Store) -> std::io::Result<(Self, Writer)> {
        Self::start_with(store, INTERVAL)
    }

    fn start_with(store: Store, interval: Duration) -> std::io::Result<(Self, Writer)> {
        let counting = Arc::new(Counting {
            is_on: AtomicBool::new(true),
            store,
            new: Mutex::default(),
            has_told: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&counting);
        let (until_end, ends) = mpsc::sync_channel(0);
        let (ending, ended) = mpsc::sync_channel(0);
        std::thread::Builder::new().name("lacuna-stats".to_owned()).spawn(move || {
            let _ending: SyncSender<()> = ending;
            while let Err(RecvTimeoutError::Timeout) = ends.recv_timeout(interval) {
                for_thread.write(PATIENCE);
            }
            for_thread.write(GRACE_AT_END);
        })?;
        Ok((Self(Some(counting)), Writer { until_end: Some(until_end), ended }))
    }

    /// Counts nothing from now on, or counts again.
    pub fn switch(&self, is_on: bool) {
        if let Some(counting) = &self.0 {
            counting.is_on.store(is_on, Ordering::Relaxed);
        }
    }

    /// Writes what was counted, which may take as long as a disk does. What cannot be written is kept.
    pub fn write(&self) {
        if let Some(counting) = &self.0 {
            counting.write(GRACE_AT_END);
        }
    }

    /// Changes today's counts of a group.
    pub fn count(&self, group: &Group, change: impl FnOnce(&mut Tally)) {
        if let Some(counting) = self.0.as_ref().filter(|counting| counting.is_on.load(Ordering::Relaxed)) {
            let today = Zoned::now().date();
            change(counting.unwritten().tally_mut(today, group));
        }
    }
}

impl Counting {
    fn unwritten(&self) -> MutexGuard<'_, Ledger> {
        // Whatever panicked has counted a little too little.
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what is new to the disk, or keeps it for the next time.
    fn write(&self, patience: Duration) {
        let new = std::mem::take(&mut *self.unwritten());
        if new.is_empty() {
            return;
        }
        match self.store.add(&new, patience) {
            Ok(()) => self.has_told.store(false, Ordering::Relaxed),
            Err(error) => {
                self.unwritten().add(&new);
                if !self.has_told.swap(true, Ordering::Relaxed) {
                    tracing::warn!("the counts for `lacuna stats` cannot be written, and are kept in memory: {error}");
                }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.until_end.take());
        // Nothing is ever sent, so that this waits for the thread's end.
        let _ = self.ended.recv_timeout(GRACE_AT_END);
    }
}

#[cfg(test)]
mod tests;
