//! Asks the engine what belongs into a hole.

use std::ops::Range;
use std::time::{Duration, Instant};

use lacuna_engine::{Cancel, Error, Excerpt, Extent, Hole, InfillRequest, Infiller, Language, Step};
use tokio::sync::oneshot;
use tower_lsp::jsonrpc;

use crate::lsp::asking::Spent;
use crate::lsp::session::Snapshot;
use crate::lsp::worker::Panicked;
use crate::postprocess::{self, Surroundings};
use crate::renoise;
use crate::stats::Withheld;

/// How long a parse may take before a hole is looked for without a tree.
pub(crate) const PARSE_BUDGET: Duration = Duration::from_millis(200);

/// The same request is answered the same way every time.
pub(crate) const SEED: u64 = 0;

/// What may stand in a hole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Best first; none where nothing is good enough.
    pub(crate) fills: Vec<String>,
    /// Why there are none, in one sentence.
    pub(crate) silence: Option<String>,
    /// The same in a word, where there is one for it.
    pub(crate) withheld: Option<Withheld>,
    /// How long it took.
    pub(crate) spent: Spent,
}

/// What comes of some work on the worker's thread.
pub(crate) type Received<T> = oneshot::Receiver<Result<Result<T, Error>, Panicked>>;

impl Filled {
    pub(crate) fn nothing(withheld: Withheld, silence: impl Into<String>) -> Self {
        Self { silence: Some(silence.into()), withheld: Some(withheld), ..Self::default() }
    }
}

/// What is asked of the fills of one hole.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The document's file name, if it has one.
    pub(crate) name: Option<String>,
    /// What other files say, the most relevant first.
    pub(crate) excerpts: Vec<Excerpt>,
    pub(crate) language: Language,
    pub(crate) byte_range: Range<usize>,
    pub(crate) extent: Extent,
    pub(crate) candidates: usize,
    pub(crate) max_lines: Option<usize>,
    pub(crate) options: postprocess::Options,
}

impl Wanted {
    /// One fill, of any length, that somebody has asked for.
    pub(crate) fn one(snapshot: &Snapshot, text: &str, byte_range: Range<usize>, extent: Extent) -> Self {
        let options = postprocess::Options::default();
        let (name, language) = (snapshot.name(), snapshot.document.language);
        let excerpts = snapshot.excerpts(text, &[byte_range.start]);
        Self { name, excerpts, language, byte_range, extent, candidates: 1, max_lines: None, options }
    }
}

/// Fills one hole of a text.
pub(crate) fn fill(
    engine: &dyn Infiller,
    text: String,
    wanted: Wanted,
    cancel: &Cancel,
    on_step: &mut dyn FnMut(Step<'_>),
) -> Result<Filled, Error> {
    let Wanted { name, excerpts, language, byte_range, extent, candidates, max_lines, options } = wanted;
    let hole = Hole::new(byte_range.clone(), extent);
    let request =
        InfillRequest { name, excerpts, seed: SEED, candidates, ..InfillRequest::new(text, language, vec![hole]) };
    let infill = engine.infill(&request, cancel, on_step)?;
    let (before, after) = (&request.text[..byte_range.start], &request.text[byte_range.end..]);
    let around = Surroundings { before, after, extent, language };
    let checks_start = Instant::now();
    let mut filled = Filled::default();
    for mut candidate in infill.candidates {
        let Some(fill) = candidate.fills.first_mut() else {
            continue;
        };
        fill.truncate(first_lines(fill, max_lines).len());
        let (_, processed) = renoise::process(engine, &request, candidate, &around, &options, cancel)?;
        if let Some(rejected) = processed.rejected {
            filled.withheld.get_or_insert_with(|| rejected.filter.into());
            filled.silence.get_or_insert_with(|| clause_of(&rejected.reason));
        } else if !filled.fills.contains(&processed.text) {
            // Two fills may have become one.
            filled.fills.push(processed.text);
        }
    }
    if !filled.fills.is_empty() {
        (filled.silence, filled.withheld) = (None, None);
    }
    let milliseconds = |ms: f64| Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default();
    filled.spent.prompt = milliseconds(infill.timings.prompt_ms);
    filled.spent.denoise = milliseconds(infill.timings.denoise_ms);
    filled.spent.checks = checks_start.elapsed();
    Ok(filled)
}

fn first_lines(text: &str, limit: Option<usize>) -> &str {
    let Some(limit) = limit else {
        return text;
    };
    let length: usize = crate::syntax::lines::lines(text).take(limit).map(str::len).sum();
    if length < text.len() { crate::syntax::lines::without_end(&text[..length]) } else { text }
}

/// What came of some work on the worker's thread: `None` if it was given up.
pub(crate) fn outcome<T>(
    received: Result<Result<Result<T, Error>, Panicked>, oneshot::error::RecvError>,
) -> jsonrpc::Result<Option<T>> {
    match received {
        Ok(Ok(Ok(value))) => Ok(Some(value)),
        Err(_) | Ok(Ok(Err(Error::Cancelled))) => Ok(None),
        Ok(Ok(Err(error))) => Err(failed(error.to_string())),
        Ok(Err(Panicked)) => Err(failed("the engine failed unexpectedly".to_owned())),
    }
}

/// An error that says why a request could not be done, though nothing was wrong with it.
pub(crate) fn failed(message: String) -> jsonrpc::Error {
    /// `RequestFailed` of the protocol.
    const REQUEST_FAILED: i64 = -32803;
    jsonrpc::Error { code: jsonrpc::ErrorCode::ServerError(REQUEST_FAILED), message: message.into(), data: None }
}

/// A sentence as a part of another.
pub(crate) fn clause_of(sentence: &str) -> String {
    let sentence = sentence.strip_suffix('.').unwrap_or(sentence);
    let mut characters = sentence.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::first_lines;

    #[test]
    fn only_so_many_lines() {
        assert_eq!(first_lines("a\r\nb\r\nc", Some(2)), "a\r\nb");
        assert_eq!(first_lines("a\nb", Some(2)), "a\nb");
        assert_eq!(first_lines("a\nb\n", Some(2)), "a\nb\n");
        assert_eq!(first_lines("a\nb\nc", None), "a\nb\nc");
    }
}
