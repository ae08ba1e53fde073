//! What was shown, what became of it and how long it took, counted on this machine for whoever uses it.
//!
//! Entry points: [`Stats`], with which a server counts; [`Store`], the file in which the counts of all servers come
//! together; and [`Ledger`], what stands in it.
//!
//! Invariants:
//! - Only numbers are kept, under days, names from this program's own lists, and the models' names. Nothing that was
//!   typed or read, no file's name and no path ever gets here.
//! - Counting waits for nothing but a lock that is held for less than a microsecond's work, and never fails. The disk is
//!   a background thread's business.
//! - What is kept has bounds, however long a server runs: so many days, so many models a day, so many buckets a time.
//! - The file is foreign: whatever stands in it, reading ends in counts or in one sentence.

mod histogram;
mod ledger;
mod names;
mod next_places;
mod recorder;
mod store;

pub use histogram::Histogram;
pub use ledger::{Ledger, Malformed, Tally};
pub use names::{Fate, Piece, Source, Stage, Way, Withheld, language_name};
pub use next_places::NextPlaces;
pub use recorder::{Group, Stats, Writer};
pub use store::{Store, StoreError};
