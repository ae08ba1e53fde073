//! Languages, trees, and the holes that they show.
//!
//! Everything here is pure: text in, plain data out. A tree that is out of date may lead to a worse hole, never to
//! a range outside the text.

mod language;

pub use language::{language_of, language_of_id, parse};
