//! Languages, trees, and the holes that they show.
//!
//! Everything here is pure: text in, plain data out. A tree that is out of date may lead to a worse hole, never to
//! a range outside the text, inside a character, or between the two characters of a `\r\n`.

mod balance;
mod block;
mod caret;
mod checker;
mod errors;
mod hole;
mod language;
pub(crate) mod lines;
mod markers;
mod placeholders;
mod tree;

pub use block::find_block;
pub use caret::{CaretPlace, caret_place};
pub use hole::{FoundHole, HoleKind, find_hole, hole_of_range, hole_of_selection};
pub use language::{language_of, language_of_id, parse};
pub use markers::{find_markers, is_sequence_file};
pub use placeholders::{Placeholder, find_placeholders};
pub use tree::SyntaxTree;

pub(crate) use checker::Checker;
pub(crate) use errors::errors;
pub(crate) use language::grammar;
pub(crate) use markers::is_residue;

#[cfg(test)]
mod marks;
