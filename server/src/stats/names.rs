//! What is counted apart. The names of these in the file are those of their variants.

use lacuna_engine::Language;
use serde::{Deserialize, Serialize};

use crate::postprocess::Filter;

/// What became of a completion that was offered, or of a next place that was found. Each one has exactly one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// All of it was taken over.
    Accepted,
    /// Some words or lines of it were taken over.
    AcceptedInPart,
    /// All of it was typed by hand, as it was shown.
    TypedOut,
    /// The user took it off the screen.
    Dismissed,
    /// The user went on otherwise.
    Ignored,
    /// The editor did not show it. Only some editors tell.
    NotSeen,
}

/// What is taken over of a completion at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// All that was left of it.
    Whole,
    /// A word, or anything else that ends within a line.
    Word,
    /// All of a line.
    Line,
}

/// How a next place is shown, or gets its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As an item in the line, where the caret stands at it.
    Line,
    /// As a code action that was chosen.
    Action,
    /// By the command that goes there, and changes nothing.
    Command,
}

/// Why a request for a completion was answered with none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// A newer request came.
    Superseded,
    /// The editor cancelled it.
    Cancelled,
    /// The text had changed when the answer was there.
    Outrun,
    /// Lacuna is off, altogether or for the language.
    SwitchedOff,
    /// Completions come only when asked for.
    NotAutomatic,
    /// There was no model yet.
    NoModel,
    /// An edit did not fit the document.
    InDoubt,
    /// The caret had only moved back.
    MovedBack,
    /// Text follows on the line.
    MidLine,
    /// The caret is in a comment.
    InComment,
    /// The caret is in a string.
    InString,
    /// Nothing was found there before.
    NothingBefore,
    /// The engine failed.
    Failed,
    /// The model had nothing to say.
    NoFill,
    /// A filter rejected the fill.
    #[serde(untagged)]
    Filter(Filter),
}

impl From<Filter> for Withheld {
    fn from(filter: Filter) -> Self {
        Self::Filter(filter)
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The engine, asked for it.
    Fresh,
    /// The engine, asked before the editor asked.
    Prefetched,
    /// What was known already.
    Cached,
}

/// What an answer's time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// From the request to the answer.
    Total,
    /// Waiting for typing to rest.
    Debounce,
    /// Waiting for the engine.
    Queue,
    /// Finding the hole.
    Hole,
    /// Reading the text around it.
    Prompt,
    /// Filling it.
    Denoise,
    /// Making the fill fit, what is denoised again included.
    Checks,
}

/// The language's name in the file.
pub fn language_name(language: Language) -> &'static str {
    match language {
        Language::Rust => "rust",
        Language::Python => "python",
        Language::Markdown => "markdown",
        _ => "text",
    }
}

/// All names of languages.
pub(super) const LANGUAGES: [&str; 4] = ["markdown", "python", "rust", "text"];
