use lacuna_engine::{Cancel, Candidate, Description, Error, Infill, InfillRequest, Infiller, PromptUse, Step, Timings};

/// What the engine puts into every hole.
pub(crate) const FILL: &str = "1";

/// An engine that answers at once, except that it sometimes fails or panics, as the text's length decides.
pub(crate) struct Engine(Description);

impl Engine {
    pub(crate) fn new() -> Self {
        let (model, device) = ("fake".to_owned(), "none".to_owned());
        Self(Description { model, device, parameters: 0, context_tokens: 0 })
    }
}

impl Infiller for Engine {
    fn infill(&self, request: &InfillRequest, cancel: &Cancel, _: &mut dyn FnMut(Step<'_>)) -> Result<Infill, Error> {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match request.text.len() % 16 {
            7 => return Err(Error::Request("the text is not to the test's liking".to_owned())),
            13 => panic!("the test wants this"),
            _ => {}
        }
        let holes = request.holes.len();
        let candidate = Candidate {
            fills: vec![FILL.to_owned(); holes],
            choices: vec![None; holes],
            confidence: 1.0,
            confidences: vec![1.0; holes],
            tokens: holes,
            steps: 1,
        };
        Ok(Infill {
            candidates: vec![candidate],
            prompt: PromptUse::default(),
            length: Default::default(),
            timings: Timings::default(),
        })
    }

    fn describe(&self) -> &Description {
        &self.0
    }
}
