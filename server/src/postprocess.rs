//! Makes an engine's fill fit the text around it.
//!
//! Pure: text in, text out, and a sentence for each change. A filter that is not sure leaves the fill alone.

mod brackets;
mod indentation;
mod overlap;

use lacuna_engine::{Extent, Language};

/// What stands around a hole.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// All of the text before the hole.
    pub before: &'a str,
    /// All of the text after the hole.
    pub after: &'a str,
    /// How far the fill may go.
    pub extent: Extent,
    /// What the text is written in.
    pub language: Language,
}

/// A fill that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// The fill, maybe empty.
    pub text: String,
    /// What was changed, in order.
    pub changes: Vec<Change>,
}

/// One change to a fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What changed it.
    pub filter: Filter,
    /// Why, in one sentence.
    pub reason: String,
}

/// What may change a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Cuts where the block ends that the hole is in.
    Indentation,
    /// Cuts what the text after the hole begins with.
    Overlap,
    /// Cuts blanks in front of a line's end.
    TrailingBlanks,
}

/// Applies every filter in turn.
pub fn process(fill: &str, around: &Surroundings<'_>) -> Processed {
    let filters: [(Filter, Cut); 3] = [
        (Filter::Indentation, indentation::cut),
        (Filter::Overlap, overlap::cut),
        (Filter::TrailingBlanks, cut_trailing_blanks),
    ];
    let mut processed = Processed { text: fill.to_owned(), changes: Vec::new() };
    for (filter, cut) in filters {
        if let Some((length, reason)) = cut(&processed.text, around) {
            processed.text.truncate(length);
            processed.changes.push(Change { filter, reason });
        }
    }
    processed
}

/// How many bytes of the fill to keep, and why no more; `None` to keep all of it.
type Cut = fn(&str, &Surroundings<'_>) -> Option<(usize, String)>;

impl Surroundings<'_> {
    /// The beginning of the line on which the fill begins.
    fn line_before(&self) -> &str {
        self.before.rsplit(['\n', '\r']).next().unwrap_or_default()
    }

    /// Whether the fill's last line ends where the fill does.
    fn ends_line(&self) -> bool {
        self.after.is_empty() || self.after.starts_with(['\n', '\r'])
    }
}

fn cut_trailing_blanks(fill: &str, around: &Surroundings<'_>) -> Option<(usize, String)> {
    let length = fill.trim_end().len();
    let reason = || "The line ends after the hole, so blanks at the fill's end are of no use.".to_owned();
    (around.ends_line() && length < fill.len()).then(|| (length, reason()))
}

#[cfg(test)]
mod tests;
