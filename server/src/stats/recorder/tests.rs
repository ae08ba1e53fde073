use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lacuna_engine::Language;
use tempfile::TempDir;

use super::{Group, Stats};
use crate::stats::{Fate, Store};

fn group() -> Group {
    Group { language: Language::Rust, model: "nano".to_owned() }
}

fn accept(stats: &Stats) {
    stats.count(&group(), |tally| *tally.fates.entry(Fate::Accepted).or_default() += 1);
}

fn accepted_in(store: &Store) -> Option<u64> {
    store.read().expect("counts").map(|ledger| ledger.total().accepted())
}

#[test]
fn by_default_nothing_is_counted() {
    accept(&Stats::default());
}

#[test]
fn what_was_counted_is_written_at_the_end() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    let (stats, writer) = Stats::start(store.clone()).expect("a thread");
    accept(&stats);
    accept(&stats.clone());
    assert_eq!(accepted_in(&store), None, "and not before");
    drop(writer);
    assert_eq!(accepted_in(&store), Some(2));
}

#[test]
fn now_and_then_what_is_new_is_written() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    let (stats, _writer) = Stats::start_with(store.clone(), Duration::from_millis(1)).expect("a thread");
    for count in 1..=2 {
        accept(&stats);
        while accepted_in(&store) != Some(count) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn switched_off_it_counts_nothing_and_makes_no_file() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path().join("state"));
    let (stats, writer) = Stats::start(store.clone()).expect("a thread");
    stats.switch(false);
    accept(&stats);
    drop(writer);
    assert!(!folder.path().join("state").exists());
}

#[test]
fn what_cannot_be_written_is_kept_for_later() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    fs::write(&state, "in the way").expect("a file");
    let store = Store::within(&state);
    let (stats, writer) = Stats::start(store.clone()).expect("a thread");
    accept(&stats);
    stats.write();
    assert!(stats.0.as_ref().is_some_and(|counting| counting.has_told.load(Ordering::Relaxed)), "it was said");
    fs::remove_file(&state).expect("a file");
    drop(writer);
    assert_eq!(accepted_in(&store), Some(1));
}
