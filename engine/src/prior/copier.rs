use std::time::Instant;

use super::continuations_at;
use crate::infiller::check::check;
use crate::prompt::LineEnd;
use crate::{
    Cancel, Candidate, Description, Error, Infill, InfillRequest, Infiller, LengthUse, PromptUse, Step, Timings,
};

/// Fills holes with what the document repeats, without any model: the baseline that a model has to beat.
#[derive(Debug)]
pub struct Copier(Description);

impl Copier {
    /// A copier, which needs nothing.
    pub fn new() -> Self {
        let (model, device) = ("the context prior alone".to_owned(), "cpu".to_owned());
        Self(Description { model, device, parameters: 0, context_tokens: 0 })
    }
}

impl Default for Copier {
    fn default() -> Self {
        Self::new()
    }
}

impl Infiller for Copier {
    /// The likeliest continuation for each hole, and nothing where there is none; of the choices of a hole, the first.
    fn infill(&self, request: &InfillRequest, cancel: &Cancel, _: &mut dyn FnMut(Step<'_>)) -> Result<Infill, Error> {
        check(request)?;
        let started = Instant::now();
        let (mut fills, mut confidences, mut log_sum) = (Vec::new(), Vec::new(), 0.0_f64);
        for hole in &request.holes {
            cancel.check()?;
            if let Some(choice) = hole.choices.first() {
                fills.push(choice.clone());
                confidences.push(1.0);
                continue;
            }
            let best = continuations_at(&request.text, hole.byte_range.clone(), &request.excerpts, hole.extent)
                .into_iter()
                .next();
            let probability = best.as_ref().map_or(0.0, |best| best.probability);
            log_sum += probability.ln();
            confidences.push(probability as f32);
            let line_end = LineEnd::near(&request.text, hole.byte_range.start);
            fills.push(best.map_or_else(String::new, |best| line_end.restore(best.text)));
        }
        let confidence = (log_sum / request.holes.len() as f64).exp() as f32;
        let choices = vec![None; fills.len()];
        let timings = Timings { prompt_ms: 0.0, denoise_ms: started.elapsed().as_secs_f64() * 1e3, stages: None };
        let candidate = Candidate { fills, choices, confidence, confidences, tokens: 0, steps: 0 };
        Ok(Infill { candidates: vec![candidate], prompt: PromptUse::default(), length: LengthUse::default(), timings })
    }

    fn describe(&self) -> &Description {
        &self.0
    }
}
