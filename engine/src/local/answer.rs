//! Settled canvases back to text.

use crate::denoiser::Denoised;
use crate::prior::Continuation;
use crate::prompt::LineEnd;
use crate::tokenizer::Tokenizer;

/// Reads fills off canvases.
pub(super) struct Reader<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    /// `None` where every row holds text.
    pub(super) delete: Option<u32>,
    pub(super) line_end: LineEnd,
    /// How much less the model is to be believed than what the document repeats.
    pub(super) prior_odds: f64,
    /// What a token adds to a fill's score; without it fills are held against each other by their means.
    pub(super) length_bonus: Option<f64>,
}

/// What was made of the holes of one canvas.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filled {
    /// One text a hole.
    pub(super) fills: Vec<String>,
    /// One a hole: the geometric mean of what counts there.
    pub(super) confidences: Vec<f32>,
    /// Of the natural logarithms of the holes' probabilities, or where there is no context prior of the tokens' that
    /// count.
    pub(super) log_sum: f64,
    pub(super) counted: usize,
    pub(super) tokens: usize,
    /// Rows of the holes in the end.
    pub(super) rows: usize,
    pub(super) steps: usize,
}

impl Filled {
    /// The geometric mean of what counts.
    pub(super) fn confidence(&self) -> f32 {
        geometric_mean(self.log_sum, self.counted)
    }
}

pub(super) fn geometric_mean(log_sum: f64, counted: usize) -> f32 {
    (log_sum / counted.max(1) as f64).exp() as f32
}

impl Reader<'_> {
    /// The canvases' fills, best first, equal ones once.
    pub(super) fn rank(&self, denoised: &[Denoised], priors: &[Option<Vec<Continuation>>]) -> Vec<Filled> {
        let mut all: Vec<Filled> = denoised.iter().map(|canvas| self.read(canvas, priors)).collect();
        let score = |filled: &Filled| match self.length_bonus {
            None => f64::from(filled.confidence()),
            Some(bonus) => filled.log_sum + bonus * filled.tokens as f64,
        };
        all.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let mut ranked: Vec<Filled> = Vec::with_capacity(all.len());
        for filled in all {
            if ranked.iter().all(|better| better.fills != filled.fills) {
                ranked.push(filled);
            }
        }
        ranked
    }

    fn read(&self, canvas: &Denoised, priors: &[Option<Vec<Continuation>>]) -> Filled {
        let holes = &canvas.holes;
        let mut filled = Filled {
            fills: Vec::with_capacity(holes.len()),
            confidences: Vec::with_capacity(holes.len()),
            log_sum: 0.0,
            counted: 0,
            tokens: 0,
            rows: 0,
            steps: canvas.steps,
        };
        for (hole, prior) in holes.iter().zip(priors) {
            let rows = &canvas.tokens[hole.clone()];
            let length = rows.iter().position(|token| Some(*token) == self.delete).unwrap_or(rows.len());
            let text = self.text(&rows[..length]);
            filled.tokens += length;
            filled.rows += rows.len();
            // The first delete counts: it is the decision that the text ends here.
            let decided = (length + 1).min(rows.len());
            let log_sum_of = |probabilities: &[f32]| {
                let decided = &probabilities[hole.clone()][..decided];
                decided.iter().map(|probability| f64::from(*probability).ln()).sum::<f64>()
            };
            let (log_sum, counted) = match prior {
                None => (log_sum_of(&canvas.probabilities), decided),
                // Once a text is settled, its rows are sure of it one by one, whatever it was that decided it.
                Some(prior) => match prior.iter().find(|continuation| continuation.text == text) {
                    Some(continuation) => (continuation.probability.ln(), 1),
                    None => ((share_of_model(prior) / self.prior_odds).ln() + log_sum_of(&canvas.own_probabilities), 1),
                },
            };
            filled.confidences.push(geometric_mean(log_sum, counted));
            filled.log_sum += log_sum;
            filled.counted += counted;
            filled.fills.push(self.line_end.restore(text));
        }
        filled
    }

    /// The tokens' bytes up to the first that are no UTF-8: an invented replacement character helps nobody.
    fn text(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.tokenizer.token_bytes(*token)).copied().collect();
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(valid);
                String::from_utf8(bytes).unwrap_or_default()
            }
        }
    }
}

/// How likely it is that none of these is right.
fn share_of_model(prior: &[Continuation]) -> f64 {
    1.0 - prior.iter().map(|continuation| continuation.probability).sum::<f64>()
}
