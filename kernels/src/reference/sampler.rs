//! Acceptance, renoising and stopping. All of it in f32 as it is defined, so that kernels must agree to the bit.

use super::philox::{self, Place, Purpose};

/// Which positions are accepted: in ascending order of entropy (ties by position, what is no number last or, with its sign set, first), each one
/// for which the sum of the entropies before it is within the bound. The first is always accepted.
pub fn accept(entropies: &[f32], entropy_bound: f32) -> Vec<bool> {
    let mut order: Vec<usize> = (0..entropies.len()).collect();
    order.sort_by(|a, b| entropies[*a].total_cmp(&entropies[*b]));
    let mut accepted = vec![false; entropies.len()];
    let mut before = 0.0_f32;
    for (rank, index) in order.iter().enumerate() {
        if rank > 0 && (before > entropy_bound || before.is_nan()) {
            break;
        }
        accepted[*index] = true;
        before += entropies[*index];
    }
    accepted
}

/// What a rejected position holds next: a random one of the allowed tokens, 0 where there are none.
pub fn uniform_token(place: Place, allowed: Option<&[u64]>, vocabulary: u32) -> u32 {
    let Some(words) = allowed else { return philox::index(place, Purpose::Renoise, vocabulary) };
    let members: Vec<u32> = (0..words.len() as u32 * 64).filter(|token| is_member(words, *token)).collect();
    let index = philox::index(place, Purpose::Renoise, members.len() as u32);
    members.get(index as usize).copied().unwrap_or(0)
}

fn is_member(words: &[u64], token: u32) -> bool {
    words[token as usize / 64] >> (token % 64) & 1 == 1
}

/// Decides when a canvas is done: its argmax has been the same for long enough, and is certain enough.
#[derive(Clone, Debug, Default)]
pub struct Stopping {
    past: Vec<Vec<u32>>,
}

impl Stopping {
    /// Takes the newest argmax of the hole rows and their entropies; whether the canvas is done, and the mean entropy.
    pub fn observe(
        &mut self,
        argmax: &[u32],
        entropies: &[f32],
        stability_threshold: usize,
        confidence_threshold: f32,
    ) -> (bool, f32) {
        let recent = &self.past[self.past.len().saturating_sub(stability_threshold)..];
        let is_stable = recent.len() == stability_threshold && recent.iter().all(|past| past == argmax);
        self.past.push(argmax.to_vec());
        let mean = entropies.iter().sum::<f32>() / entropies.len() as f32;
        (is_stable && mean < confidence_threshold, mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_certain_are_accepted_and_always_the_first() {
        assert_eq!(accept(&[9.0, 3.0], 0.1), [false, true]);
        assert_eq!(accept(&[0.06, 0.0, 0.05, 0.06], 0.1), [true, true, true, false]);
        assert_eq!(accept(&[f32::NAN, 0.0, 0.05], 0.1), [true; 3]);
        assert_eq!(accept(&[f32::NAN, 0.2, f32::NAN], 0.1), [false, true, false]);
    }

    #[test]
    fn a_canvas_stops_when_it_is_stable_and_certain() {
        let mut stopping = Stopping::default();
        let mut observe = |argmax: u32, entropy| stopping.observe(&[argmax], &[entropy], 2, 0.1).0;
        assert_eq!(
            [(1, 0.0), (1, 0.0), (1, 0.2), (1, 0.0), (2, 0.0)].map(|(a, e)| observe(a, e)),
            [false, false, false, true, false]
        );
        assert!(Stopping::default().observe(&[1], &[0.0], 0, 0.1).0);
    }

    #[test]
    fn only_allowed_tokens_are_drawn() {
        let place = |row| Place { seed: 1, candidate: 0, step: 0, row };
        let words = [0b1010, 1 << 63];
        assert!((0..50).all(|row| [1, 3, 127].contains(&uniform_token(place(row), Some(&words), 200))));
        assert!((0..50).all(|row| uniform_token(place(row), None, 200) < 200));
        assert_eq!(uniform_token(place(0), Some(&[0]), 200), 0);
    }
}
