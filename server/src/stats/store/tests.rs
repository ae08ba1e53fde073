use std::fs;
use std::time::Duration;

use lacuna_engine::Language;
use tempfile::TempDir;

use super::{FILE, LOCK, OLD_FILE, Store, StoreError};
use crate::stats::{Fate, Group, Ledger};

const PATIENCE: Duration = Duration::from_secs(60);

fn accepted(count: u64) -> Ledger {
    let mut ledger = Ledger::default();
    let group = Group { language: Language::Python, model: "nano".to_owned() };
    ledger.tally_mut(jiff::civil::date(2026, 3, 1), &group).fates.insert(Fate::Accepted, count);
    ledger
}

fn accepted_in(store: &Store) -> u64 {
    store.read().expect("counts").expect("some counts").total().accepted()
}

#[test]
fn counts_add_up() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path().join("new/folder"));
    assert_eq!(store.read().expect("nothing wrong"), None);
    store.add(&accepted(1), PATIENCE).expect("written");
    store.add(&accepted(2), PATIENCE).expect("written");
    assert_eq!(accepted_in(&store), 3);
    let mut names: Vec<_> = fs::read_dir(store.folder.clone())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, [LOCK, FILE], "nothing else is left");
    assert!(store.reset(PATIENCE).expect("reset"));
    assert!(!store.reset(PATIENCE).expect("reset"));
    assert_eq!(store.read().expect("nothing wrong"), None);
}

#[test]
fn what_was_counted_of_old_counts() {
    let folder = TempDir::new().expect("a folder");
    let (store, path) = (Store::within(folder.path()), folder.path().join(OLD_FILE));
    // As it was written before there were next places.
    let old = r#"{"days":{"2026-03-01":{"python":{"nano":{"fates":{"accepted":4},"pieces":{},"characters_shown":9,"characters_kept":9,"withheld":{},"latency":{}}}}}}"#;
    fs::write(&path, old).expect("a file");
    assert_eq!(accepted_in(&store), 4);
    assert_eq!(fs::read_to_string(&path).expect("a text"), old, "reading changes nothing");
    store.add(&accepted(1), PATIENCE).expect("written");
    assert_eq!((accepted_in(&store), path.exists()), (5, false));
    // A program of that time is still there.
    fs::write(&path, old).expect("a file");
    assert_eq!(accepted_in(&store), 9);
    store.add(&accepted(1), PATIENCE).expect("written");
    assert_eq!((accepted_in(&store), path.exists()), (10, false));
    fs::write(&path, old).expect("a file");
    assert!(store.reset(PATIENCE).expect("reset"));
    assert_eq!(store.read().expect("nothing wrong"), None);
}

#[test]
fn several_at_once_lose_nothing() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..8).for_each(|_| store.add(&accepted(1), PATIENCE).expect("written")));
        }
    });
    assert_eq!(accepted_in(&store), 32);
}

#[test]
fn whoever_holds_the_lock_is_not_waited_for_without_end() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    let lock = store.lock(PATIENCE).expect("a lock");
    assert!(matches!(store.add(&accepted(1), Duration::ZERO), Err(StoreError::Busy { .. })));
    drop(lock);
    store.add(&accepted(1), Duration::ZERO).expect("written");
}

#[test]
fn what_is_broken_is_put_aside_and_kept() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    for (name, aside) in [(FILE, "counts-2.broken"), (OLD_FILE, "counts-1.broken")] {
        for broken in ["", "not counts", "{\"days\":{\"x\":1}}"] {
            store.reset(PATIENCE).expect("reset");
            let path = folder.path().join(name);
            fs::write(&path, broken).expect("a file");
            assert!(matches!(store.read(), Err(StoreError::Foreign { .. })));
            assert_eq!(fs::read_to_string(&path).expect("a text"), broken, "reading changes nothing");
            store.add(&accepted(1), PATIENCE).expect("written");
            assert_eq!(accepted_in(&store), 1);
            assert_eq!(fs::read_to_string(folder.path().join(aside)).expect("a text"), broken);
        }
    }
}

#[test]
fn a_folder_in_the_files_place_is_put_aside_too() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path());
    fs::create_dir(store.path()).expect("a folder");
    store.add(&accepted(1), PATIENCE).expect("written");
    assert_eq!(accepted_in(&store), 1);
}

#[test]
fn where_nothing_can_be_written_there_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("a file");
    fs::write(&file, "").expect("a file");
    let error = Store::within(file.join("state")).add(&accepted(1), PATIENCE).expect_err("no folder there");
    assert!(error.to_string().contains("a file"), "{error}");
}

#[cfg(unix)]
#[test]
fn nobody_but_the_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a folder");
    let store = Store::within(folder.path().join("state"));
    store.add(&accepted(1), PATIENCE).expect("written");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&store.folder), 0o700);
    assert_eq!(mode(&store.path()), 0o600);
    assert_eq!(mode(&store.folder.join(LOCK)), 0o600);
}
