//! An engine that does nothing until the test says what.

use std::sync::mpsc;
use std::time::Duration;

use lacuna_engine::{
    Cancel, Candidate, Description, Error, Infill, InfillRequest, Infiller, Piece, PromptUse, Step, Timings,
};

/// One request that the engine has begun.
pub(crate) struct Call {
    pub(crate) request: InfillRequest,
    pub(crate) cancel: Cancel,
    reply: mpsc::Sender<Reply>,
    ended: mpsc::Receiver<()>,
}

enum Reply {
    Draft(Vec<Piece>),
    Fills(Vec<String>, f32),
    Error(Error),
    Panic,
}

impl Call {
    /// Ends the request with these candidates.
    pub(crate) fn fill(self, fills: &[&str]) {
        self.end(Reply::Fills(fills.iter().map(|&fill| fill.to_owned()).collect(), 1.0));
    }

    pub(crate) fn fill_with_confidence(self, fill: &str, confidence: f32) {
        self.end(Reply::Fills(vec![fill.to_owned()], confidence));
    }

    /// Takes a step to a draft of these pieces, each with whether it is settled.
    pub(crate) fn draft(&self, pieces: &[(&str, bool)]) {
        let piece = |&(text, settled): &(&str, bool)| Piece { text: text.to_owned(), settled, certainty: 0.5 };
        let draft = Reply::Draft(pieces.iter().map(piece).collect());
        self.reply.send(draft).expect("the engine still works on the request");
    }

    pub(crate) fn fail(self, error: Error) {
        self.end(Reply::Error(error));
    }

    pub(crate) fn panic(self) {
        self.end(Reply::Panic);
    }

    /// Waits until the engine has seen that the request was cancelled.
    pub(crate) fn wait_until_cancelled(self) {
        // The engine holds the other end for as long as it works, and sends nothing.
        let ended = self.ended.recv_timeout(Duration::from_secs(120));
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected), "the engine still works");
        assert!(self.cancel.is_cancelled(), "the request ended without having been cancelled");
    }

    /// Text before the hole and after it.
    pub(crate) fn around(&self) -> (&str, &str) {
        let hole = &self.request.holes[0].byte_range;
        (&self.request.text[..hole.start], &self.request.text[hole.end..])
    }

    fn end(self, reply: Reply) {
        self.reply.send(reply).expect("the engine still works on the request");
    }
}

/// The engine, which tells the test of every call and then waits.
struct FakeEngine {
    calls: mpsc::Sender<Call>,
    description: Description,
}

/// An engine, and the calls to it.
pub(crate) fn fake_engine() -> (Box<dyn Infiller>, mpsc::Receiver<Call>) {
    let (calls, receiver) = mpsc::channel();
    let description =
        Description { model: "fake".to_owned(), device: "none".to_owned(), parameters: 0, context_tokens: 0 };
    (Box::new(FakeEngine { calls, description }), receiver)
}

impl Infiller for FakeEngine {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        let (reply, replies) = mpsc::channel();
        let (_working, ended) = mpsc::channel();
        let call = Call { request: request.clone(), cancel: cancel.clone(), reply, ended };
        if self.calls.send(call).is_err() {
            return Err(Error::Cancelled);
        }
        // Each round is a denoising step, between which the flag is looked at.
        loop {
            match replies.recv_timeout(Duration::from_millis(1)) {
                Ok(Reply::Draft(pieces)) => on_step(Step { index: 1, limit: 2, candidate: 0, holes: &[pieces] }),
                Ok(Reply::Fills(fills, confidence)) => return Ok(infill(fills, confidence)),
                Ok(Reply::Error(error)) => return Err(error),
                Ok(Reply::Panic) => panic!("the test wants this"),
                Err(mpsc::RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                    return Err(Error::Cancelled);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Error::Cancelled),
            }
        }
    }

    fn describe(&self) -> &Description {
        &self.description
    }
}

fn infill(fills: Vec<String>, confidence: f32) -> Infill {
    let candidates = fills
        .into_iter()
        .map(|fill| Candidate {
            fills: vec![fill],
            choices: vec![None],
            confidence,
            confidences: vec![confidence],
            tokens: 1,
            steps: 1,
        })
        .collect();
    Infill { candidates, prompt: PromptUse::default(), length: Default::default(), timings: Timings::default() }
}
