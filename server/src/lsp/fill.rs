//! Asks the engine what belongs into a hole. Runs on the worker's thread.

use std::ops::Range;

use lacuna_engine::{Cancel, Error, Extent, Hole, InfillRequest, Infiller, Language};
use tokio::sync::oneshot;
use tower_lsp::jsonrpc;

use crate::lsp::worker::Panicked;
use crate::postprocess::{self, Surroundings};
use crate::syntax;

/// The same request is answered the same way every time.
const SEED: u64 = 0;

/// What may stand at a caret, best first; nothing where nothing is good enough.
pub(crate) fn fill_at_caret(
    engine: &dyn Infiller,
    text: String,
    language: Language,
    caret_byte: usize,
    candidates: usize,
    cancel: &Cancel,
) -> Result<Vec<String>, Error> {
    let tree = syntax::parse(&text, language);
    let hole = syntax::find_hole(&text, tree.as_ref(), language, caret_byte);
    fill(engine, text, language, hole.byte_range, hole.extent, candidates, cancel)
}

/// What may stand in a hole, best first.
pub(crate) fn fill(
    engine: &dyn Infiller,
    text: String,
    language: Language,
    byte_range: Range<usize>,
    extent: Extent,
    candidates: usize,
    cancel: &Cancel,
) -> Result<Vec<String>, Error> {
    let hole = Hole::new(byte_range.clone(), extent);
    let request = InfillRequest { text, language, holes: vec![hole], seed: SEED, candidates };
    let infill = engine.infill(&request, cancel, &mut |_| {})?;
    let (before, after) = (&request.text[..byte_range.start], &request.text[byte_range.end..]);
    let around = Surroundings { before, after, extent, language };
    let mut fills: Vec<String> = Vec::new();
    for fill in infill.candidates.iter().filter_map(|candidate| candidate.fills.first()) {
        let fill = postprocess::process(fill, &around).text;
        // Two fills may have become one, and blanks alone cannot even be seen.
        if !fill.trim().is_empty() && !fills.contains(&fill) {
            fills.push(fill);
        }
    }
    Ok(fills)
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
