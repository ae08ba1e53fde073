//! A canvas condensing in the terminal.
//!
//! The engine runs on a thread of its own and is never slowed down: this side takes the drafts as they come, and
//! leaves each one on the screen long enough to be seen.

mod frame;
mod screen;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use lacuna_engine::{Cancel, Candidate, Error, Infill, InfillRequest, Infiller, Piece};

pub(crate) use screen::Screen;

use super::terminal_text::in_one_line;
use frame::{Progress, Scene, compose};

/// How long each draft is shown at least.
const FRAME: Duration = Duration::from_millis(45);

/// Drafts of which candidate are shown. Candidates condense at the same time; more than one at a time is a muddle.
const SHOWN_CANDIDATE: usize = 0;

/// A draft on its way to the screen.
struct Draft {
    step: usize,
    limit: usize,
    pieces: Vec<Piece>,
}

/// Fills the request's first hole, and shows every draft of it. Ctrl-C cancels.
pub(crate) fn condense(infiller: &dyn Infiller, request: &InfillRequest, screen: &mut Screen) -> Result<Infill, Error> {
    let scene = Scene::around(&request.text, &request.holes[0].byte_range);
    let model = infiller.describe().model.as_str();
    let cancel = Cancel::new();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // Moved in here, so that the channel closes when the engine is done.
            let sender = sender;
            infiller.infill(request, &cancel, &mut |step| {
                if step.candidate == SHOWN_CANDIDATE {
                    let pieces = step.holes[0].clone();
                    // When nobody looks on any more, there is nobody to miss a draft.
                    let _ = sender.send(Draft { step: step.index, limit: step.limit, pieces });
                }
            })
        });
        screen.draw(&scene, &[], &Progress::Reading { model });
        loop {
            match receiver.recv_timeout(FRAME) {
                Ok(_) if cancel.is_cancelled() => (),
                Ok(draft) => {
                    let progress = Progress::Denoising { model, step: draft.step, limit: draft.limit };
                    screen.draw(&scene, &draft.pieces, &progress);
                    screen.rest(FRAME, &cancel);
                }
                Err(RecvTimeoutError::Timeout) => screen.rest(Duration::ZERO, &cancel),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let infill = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        // The engine may have been done before the drafts were all shown.
        if cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(infill) }
    })
}

/// The last frame of a fill, without its request's drafts, for where no cursor can be moved.
pub(crate) fn still(request: &InfillRequest, candidate: &Candidate, seconds: f64, columns: usize) -> String {
    let scene = Scene::around(&request.text, &request.holes[0].byte_range);
    let pieces = [Piece { text: candidate.fills[0].clone(), settled: true, certainty: candidate.confidence }];
    let rows = compose(&scene, &pieces, &Progress::Done { candidate, seconds }, columns, None);
    rows.iter().flat_map(|row| row.iter().map(|(character, _)| *character).chain(['\n'])).collect()
}

/// A draft in one line, with dots for what is not known at all.
pub(crate) fn draft_line(pieces: &[Piece]) -> String {
    let shown = |piece: &Piece| if frame::is_known(piece) { piece.text.clone() } else { "·".to_owned() };
    in_one_line(&pieces.iter().map(shown).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests;
