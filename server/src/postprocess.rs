//! Makes an engine's fill fit the text around it.
//!
//! Pure: text in, text out, and a sentence for each change. A fill is only ever cut at its end, or rejected. A filter
//! that is not sure leaves the fill alone.

mod brackets;
mod closers;
mod indentation;
mod middle;
mod neighbours;
mod overlap;
mod repetition;
mod syntax;

use lacuna_engine::{Extent, Language};

use crate::syntax::lines::is_blank;

pub use middle::may_complete_before;

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

/// What is asked of a fill.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Filters that are not to be applied.
    pub off: Vec<Filter>,
    /// A fill with less confidence than this is rejected, in 0..=1.
    pub min_confidence: f32,
}

/// What became of a fill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// What is left of the fill; empty if it was rejected.
    pub text: String,
    /// What was cut, in order.
    pub changes: Vec<Change>,
    /// What rejected it, and why; `None` for a fill that fits.
    pub rejected: Option<Change>,
}

/// One cut in a fill, or its rejection.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// What changed it.
    pub filter: Filter,
    /// Why, in one sentence.
    pub reason: String,
}

/// What may cut or reject a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Rejects what the model itself doubts.
    Confidence,
    /// Rejects what has nothing to see.
    Blank,
    /// Cuts where the block ends that the hole is in.
    Indentation,
    /// Cuts where the fill begins to say the same again and again.
    Repetition,
    /// Cuts what the text after the hole begins with.
    Overlap,
    /// Cuts before a closing bracket whose partner is already closed after the hole.
    Closers,
    /// Rejects a line that already stands above or below.
    Neighbours,
    /// Cuts or rejects what breaks the syntax.
    Syntax,
    /// Cuts blanks in front of a line's end.
    TrailingBlanks,
    /// Rejects what is once more the marker that stands in the hole.
    Marker,
    /// Cuts what cannot stand in a biological sequence.
    Sequence,
}

/// Applies every filter in turn to a fill of unknown confidence.
pub fn process(fill: &str, around: &Surroundings<'_>) -> Processed {
    process_with(fill, None, around, &Options::default())
}

/// Applies every filter that is not off in turn.
pub fn process_with(fill: &str, confidence: Option<f32>, around: &Surroundings<'_>, options: &Options) -> Processed {
    let is_on = |filter| !options.off.contains(&filter);
    let reject = |filter, reason| Processed { rejected: Some(Change { filter, reason }), ..Processed::default() };
    let doubtful = confidence.filter(|&confidence| is_on(Filter::Confidence) && confidence < options.min_confidence);
    if let Some(confidence) = doubtful {
        let least = options.min_confidence;
        return reject(Filter::Confidence, format!("The confidence of {confidence:.2} is below {least:.2}."));
    }
    if is_on(Filter::Blank) && is_blank(fill) {
        return reject(Filter::Blank, "The fill has nothing but blanks.".to_owned());
    }
    let filters: [(Filter, Cut); 7] = [
        (Filter::Indentation, indentation::cut),
        (Filter::Repetition, repetition::cut),
        (Filter::Overlap, overlap::cut),
        (Filter::Closers, closers::cut),
        (Filter::Neighbours, neighbours::cut),
        (Filter::Syntax, syntax::cut),
        (Filter::TrailingBlanks, cut_trailing_blanks),
    ];
    let mut processed = Processed { text: fill.to_owned(), ..Processed::default() };
    for (filter, cut) in filters.into_iter().filter(|&(filter, _)| is_on(filter)) {
        let Some((length, reason)) = cut(&processed.text, around) else {
            continue;
        };
        processed.text.truncate(length);
        if is_blank(&processed.text) {
            processed.text.clear();
            processed.rejected = Some(Change { filter, reason });
            break;
        }
        processed.changes.push(Change { filter, reason });
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
