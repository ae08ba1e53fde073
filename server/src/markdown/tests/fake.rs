use std::sync::Mutex;

use lacuna_engine::{Cancel, Candidate, Choice, Description, Error, Infill, InfillRequest, Infiller, Step};

/// An engine that chooses by a rule and remembers what it was asked. What it makes of alternatives by themselves is not
/// counted.
pub(super) struct Fake<R> {
    rule: R,
    alone: Choice,
    asked: Mutex<Vec<InfillRequest>>,
    description: Description,
}

impl<R: Fn(usize, &InfillRequest) -> Result<Choice, Error> + Send + Sync> Fake<R> {
    /// The rule gets how often it was asked before, and the request.
    pub(super) fn new(rule: R) -> Self {
        let description =
            Description { model: "fake".to_owned(), device: "none".to_owned(), parameters: 0, context_tokens: 0 };
        Self { rule, alone: Choice { index: 0, probability: 0.5 }, asked: Mutex::default(), description }
    }

    /// Has it prefer this whatever stands round it. Otherwise it finds one alternative as likely as the other.
    pub(super) fn with_bias(self, alone: Choice) -> Self {
        Self { alone, ..self }
    }

    pub(super) fn asked(&self) -> Vec<InfillRequest> {
        self.asked.lock().unwrap().clone()
    }
}

impl<R: Fn(usize, &InfillRequest) -> Result<Choice, Error> + Send + Sync> Infiller for Fake<R> {
    fn infill(&self, request: &InfillRequest, _: &Cancel, _: &mut dyn FnMut(Step<'_>)) -> Result<Infill, Error> {
        let mut asked = self.asked.lock().unwrap();
        let count = request.holes[0].choices.len();
        let mut end = 0;
        for hole in &request.holes {
            assert!(end <= hole.byte_range.start && hole.byte_range.start <= hole.byte_range.end, "{request:?}");
            end = hole.byte_range.end;
            // What the engine demands of a group.
            assert_eq!(hole.choices.len(), count, "{request:?}");
            assert_eq!(hole.group, request.holes[0].group);
            for (index, choice) in hole.choices.iter().enumerate() {
                assert!(!hole.choices[..index].contains(choice), "{request:?}");
            }
        }
        let choice = if is_alone(request) {
            self.alone
        } else {
            asked.push(request.clone());
            (self.rule)(asked.len() - 1, request)?
        };
        let candidate = Candidate {
            fills: request.holes.iter().map(|hole| hole.choices[choice.index].clone()).collect(),
            choices: vec![Some(choice); request.holes.len()],
            confidence: choice.probability,
            confidences: vec![choice.probability; request.holes.len()],
            tokens: 1,
            steps: 1,
        };
        Ok(Infill {
            candidates: vec![candidate],
            prompt: Default::default(),
            length: Default::default(),
            timings: Default::default(),
        })
    }

    fn describe(&self) -> &Description {
        &self.description
    }
}

/// Whether there is nothing round the holes.
fn is_alone(request: &InfillRequest) -> bool {
    let mut at = 0;
    let mut is_blank = true;
    for hole in &request.holes {
        is_blank &= request.text[at..hole.byte_range.start].trim().is_empty();
        at = hole.byte_range.end;
    }
    is_blank && request.text[at..].trim().is_empty()
}
