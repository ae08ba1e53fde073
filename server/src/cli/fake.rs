//! An engine that says what a test tells it to.

use lacuna_engine::{Cancel, Candidate, Description, Error, Infill, InfillRequest, Infiller, Piece, Step};

pub(super) struct Fake {
    description: Description,
    /// The drafts that it shows on the way.
    pub(super) drafts: Vec<Vec<Piece>>,
    /// Its fills, best first; without one it says that it was cancelled.
    pub(super) fills: Vec<&'static str>,
}

impl Fake {
    pub(super) fn with_fills(fills: &[&'static str]) -> Self {
        let description = Description {
            model: "fake".to_owned(),
            device: "cpu, 1 thread".to_owned(),
            parameters: 7,
            context_tokens: 1024,
        };
        Self { description, drafts: Vec::new(), fills: fills.to_vec() }
    }
}

impl Infiller for Fake {
    fn infill(&self, request: &InfillRequest, _: &Cancel, on_step: &mut dyn FnMut(Step<'_>)) -> Result<Infill, Error> {
        for (index, draft) in self.drafts.iter().enumerate() {
            let holes = [draft.clone()];
            on_step(Step { index: index + 1, limit: 32, candidate: 0, holes: &holes });
            // Another candidate's draft, at the same time.
            on_step(Step { index: index + 1, limit: 32, candidate: 1, holes: &[vec![piece("other", true, 1.0)]] });
        }
        let holes = request.holes.len();
        let candidate = |fill: &&str| Candidate {
            fills: vec![(*fill).to_owned(); holes],
            choices: vec![None; holes],
            confidence: 0.75,
            confidences: vec![0.75; holes],
            tokens: 3,
            steps: 5,
        };
        let candidates: Vec<_> = self.fills.iter().map(candidate).collect();
        if candidates.is_empty() {
            return Err(Error::Cancelled);
        }
        Ok(Infill { candidates, prompt: Default::default(), length: Default::default(), timings: Default::default() })
    }

    fn describe(&self) -> &Description {
        &self.description
    }
}

pub(super) fn piece(text: &str, settled: bool, certainty: f32) -> Piece {
    Piece { text: text.to_owned(), settled, certainty }
}
