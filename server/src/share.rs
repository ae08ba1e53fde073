//! One model a machine: servers of the same user that want the same large model share one engine.
//!
//! Entry point: [`open`]. Whoever holds the lock of a model loads it and serves the others over a local socket that only
//! its user can reach; when it ends, the system frees the lock, and one of the others loads the model in its turn.
//!
//! Invariants: a request that was under way when the engine ended fails, and none hangs; a guest cannot make a host do
//! anything but fill holes and count tokens.

mod guest;
mod host;
mod place;
mod protocol;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use lacuna_engine::{Error, Infiller};

use guest::Guest;
use host::Host;
use place::Place;

/// How long another process may take to load the model before this one loads it for itself.
const LOADING_LIMIT: Duration = Duration::from_secs(300);
/// How often is looked whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The engine that `key` names: another process's, if one has it or is about to, else the one that `load` makes, which others then find.
pub(crate) fn open(
    key: &str,
    load: impl FnOnce() -> Result<Box<dyn Infiller>, Error>,
) -> Result<Box<dyn Infiller>, Error> {
    match Place::of(key) {
        Ok(place) => open_at(place, load),
        Err(error) => {
            tracing::warn!("the engine is not shared with other editors: {error}");
            load()
        }
    }
}

fn open_at(place: Place, load: impl FnOnce() -> Result<Box<dyn Infiller>, Error>) -> Result<Box<dyn Infiller>, Error> {
    let began = Instant::now();
    loop {
        match place.try_lock() {
            Ok(Some(lock)) => return Ok(Host::start(place, lock, load()?)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!("the engine is not shared with other editors: {error}");
                return load();
            }
        }
        // It has the model, or is still loading it, or has just ended.
        match Guest::connect(&place) {
            Ok(guest) => return Ok(Box::new(guest)),
            Err(error) if began.elapsed() > LOADING_LIMIT => {
                tracing::warn!("another process keeps its engine to itself: {error}");
                return load();
            }
            Err(_) => std::thread::sleep(LOOK_INTERVAL),
        }
    }
}
