//! Settled canvases back to text.

use std::ops::Range;

use crate::Candidate;
use crate::denoiser::Denoised;
use crate::prompt::LineEnd;
use crate::tokenizer::Tokenizer;

/// Reads fills off canvases.
pub(super) struct Reader<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) delete: u32,
    pub(super) line_end: LineEnd,
}

impl Reader<'_> {
    /// The candidates, best first, equal ones once.
    pub(super) fn rank(&self, denoised: &[Denoised], holes: &[Range<usize>]) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = denoised.iter().map(|canvas| self.read(canvas, holes)).collect();
        candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let mut ranked: Vec<Candidate> = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            if ranked.iter().all(|better| better.fills != candidate.fills) {
                ranked.push(candidate);
            }
        }
        ranked
    }

    fn read(&self, canvas: &Denoised, holes: &[Range<usize>]) -> Candidate {
        let mut fills = Vec::with_capacity(holes.len());
        let (mut tokens, mut log_sum, mut counted) = (0, 0.0, 0);
        for hole in holes {
            let rows = &canvas.tokens[hole.clone()];
            let length = rows.iter().position(|token| *token == self.delete).unwrap_or(rows.len());
            fills.push(self.text(&rows[..length]));
            tokens += length;
            // The first delete counts: it is the decision that the text ends here.
            let decided = (length + 1).min(rows.len());
            log_sum += canvas.probabilities[hole.clone()][..decided].iter().map(|p| f64::from(*p).ln()).sum::<f64>();
            counted += decided;
        }
        let confidence = (log_sum / counted.max(1) as f64).exp() as f32;
        Candidate { choices: vec![None; fills.len()], fills, confidence, tokens, steps: canvas.steps }
    }

    /// The tokens' bytes up to the first that are no UTF-8: an invented replacement character helps nobody.
    fn text(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.tokenizer.token_bytes(*token)).copied().collect();
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(valid);
                String::from_utf8(bytes).unwrap_or_default()
            }
        };
        self.line_end.restore(text)
    }
}
