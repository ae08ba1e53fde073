//! What happens between two passes of the model: temperature, acceptance, and when to stop.

use std::collections::VecDeque;

use crate::checkpoint::GenerationConfig;

/// The numbers that govern a denoising run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Schedule {
    /// Steps at most.
    pub(crate) step_limit: usize,
    /// Nats.
    pub(crate) entropy_bound: f32,
    pub(crate) t_min: f32,
    pub(crate) t_max: f32,
    /// How many earlier argmax canvases must equal the newest.
    pub(crate) stability_threshold: usize,
    /// Nats; the mean entropy of the hole rows must be below it.
    pub(crate) confidence_threshold: f32,
}

impl Schedule {
    /// The checkpoint's schedule, with this step limit.
    pub(crate) fn new(generation: &GenerationConfig, step_limit: usize) -> Self {
        Self {
            step_limit,
            entropy_bound: generation.entropy_bound,
            t_min: generation.t_min,
            t_max: generation.t_max,
            stability_threshold: generation.stability_threshold,
            confidence_threshold: generation.confidence_threshold,
        }
    }

    /// The temperature of step `step`, counted from 0: from nearly `t_max` down to just above `t_min`.
    pub(crate) fn temperature(&self, step: usize) -> f32 {
        let remaining = (self.step_limit - step) as f32;
        self.t_min + (self.t_max - self.t_min) * (remaining / self.step_limit as f32)
    }
}

/// Marks the positions to accept: in ascending order of entropy (ties by position), each one for which the sum of
/// the entropies before it is within the bound. The first is always accepted.
///
/// `order` is scratch. A NaN entropy sorts last and ends acceptance.
pub(crate) fn accept(entropies: &[f32], entropy_bound: f32, order: &mut Vec<usize>, accepted: &mut [bool]) {
    order.clear();
    order.extend(0..entropies.len());
    order.sort_unstable_by(|a, b| entropies[*a].total_cmp(&entropies[*b]).then(a.cmp(b)));
    accepted.fill(false);
    let mut before = 0.0_f32;
    for (rank, index) in order.iter().enumerate() {
        if rank > 0 && (before > entropy_bound || before.is_nan()) {
            break;
        }
        accepted[*index] = true;
        before += entropies[*index];
    }
}

/// Whether a canvas is done: its argmax is the same as in so many steps before, and certain enough. `past` are the steps' that are
/// remembered, `argmax` and `entropies` the newest's.
pub(crate) fn is_settled<'a>(
    mut past: impl ExactSizeIterator<Item = &'a [u32]>,
    argmax: impl Iterator<Item = u32> + Clone,
    entropies: &[f32],
    schedule: &Schedule,
) -> bool {
    let mean_entropy = entropies.iter().sum::<f32>() / entropies.len() as f32;
    past.len() >= schedule.stability_threshold
        && past.all(|past| past.iter().copied().eq(argmax.clone()))
        && mean_entropy < schedule.confidence_threshold
}

/// The argmax of a canvas's hole rows in its last steps, as many as it takes to know that it is stable.
#[derive(Clone, Debug)]
pub(crate) struct History {
    recent: VecDeque<Vec<u32>>,
    limit: usize,
}

impl History {
    pub(crate) fn new(schedule: &Schedule) -> Self {
        let limit = schedule.stability_threshold;
        Self { recent: VecDeque::with_capacity(limit + 1), limit }
    }

    /// Forgets what it saw, because the canvas has other rows now.
    pub(crate) fn clear(&mut self) {
        self.recent.clear();
    }

    /// Steps that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.recent.len()
    }

    /// The steps, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.recent.iter().map(Vec::as_slice)
    }

    /// Takes the newest argmax.
    pub(crate) fn push(&mut self, argmax: impl ExactSizeIterator<Item = u32>) {
        if self.limit == 0 {
            return;
        }
        // The oldest buffer is used again, so that a step allocates nothing.
        let mut newest = if self.recent.len() < self.limit {
            Vec::with_capacity(argmax.len())
        } else {
            self.recent.pop_front().unwrap_or_default()
        };
        newest.clear();
        newest.extend(argmax);
        self.recent.push_back(newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    const SCHEDULE: Schedule = Schedule {
        step_limit: 48,
        entropy_bound: 0.1,
        t_min: 0.4,
        t_max: 0.8,
        stability_threshold: 1,
        confidence_threshold: 0.005,
    };

    #[test]
    fn temperature_falls_from_t_max() {
        assert_eq!(SCHEDULE.temperature(0), 0.8);
        assert!((SCHEDULE.temperature(47) - (0.4 + 0.4 / 48.0)).abs() < 1e-6);
    }

    #[test]
    fn the_first_is_accepted_whatever_its_entropy() {
        let mut accepted = [false; 2];
        accept(&[9.0, 3.0], 0.1, &mut Vec::new(), &mut accepted);
        assert_eq!(accepted, [false, true]);
    }

    #[test]
    fn nan_entropies_are_accepted_last() {
        let mut accepted = [false; 3];
        accept(&[f32::NAN, 0.0, 0.05], 0.1, &mut Vec::new(), &mut accepted);
        assert_eq!(accepted, [true, true, true], "the sum before the NaN is within the bound");
        accept(&[f32::NAN, 0.2, f32::NAN], 0.1, &mut Vec::new(), &mut accepted);
        assert_eq!(accepted, [false, true, false]);
    }

    /// Takes one step after the other, and says when the canvas is done.
    struct Observed<'a> {
        schedule: &'a Schedule,
        history: History,
    }

    impl<'a> Observed<'a> {
        fn by(schedule: &'a Schedule) -> Self {
            Self { schedule, history: History::new(schedule) }
        }

        fn step(&mut self, argmax: &[u32], entropy: f32) -> bool {
            let past: Vec<&[u32]> = self.history.iter().collect();
            let entropies = vec![entropy; argmax.len()];
            let done = is_settled(past.into_iter(), argmax.iter().copied(), &entropies, self.schedule);
            self.history.push(argmax.iter().copied());
            done
        }
    }

    #[test]
    fn stops_only_when_stable_and_confident() {
        let mut canvas = Observed::by(&SCHEDULE);
        assert!(!canvas.step(&[1, 2], 0.0), "nothing to compare with yet");
        assert!(!canvas.step(&[1, 3], 0.0), "changed");
        assert!(!canvas.step(&[1, 3], 0.005), "not strictly below the threshold");
        assert!(canvas.step(&[1, 3], 0.004));
        canvas.history.clear();
        assert!(!canvas.step(&[1, 3], 0.004), "what it was compared with is forgotten");
    }

    #[test]
    fn without_a_stability_threshold_confidence_is_enough() {
        let schedule = Schedule { stability_threshold: 0, ..SCHEDULE };
        let mut canvas = Observed::by(&schedule);
        assert!(!canvas.step(&[1], 0.01));
        assert!(canvas.step(&[2], 0.001));
        assert_eq!(canvas.history.len(), 0);
    }

    #[test]
    fn a_longer_history_needs_as_many_equal_canvases() {
        let schedule = Schedule { stability_threshold: 2, ..SCHEDULE };
        let mut canvas = Observed::by(&schedule);
        assert!(!canvas.step(&[1], 0.0));
        assert!(!canvas.step(&[1], 0.0));
        assert!(canvas.step(&[1], 0.0));
        assert!(!canvas.step(&[2], 0.0));
        assert!(!canvas.step(&[2], 0.0), "the canvas before the last was another");
        assert!(canvas.step(&[2], 0.0));
    }

    proptest! {
        #[test]
        fn every_accepted_set_obeys_the_bound(
            entropies in prop::collection::vec(prop::num::f32::POSITIVE.prop_map(|x| x % 3.0), 1..80),
            bound in 0.0_f32..2.0,
        ) {
            let mut accepted = vec![false; entropies.len()];
            accept(&entropies, bound, &mut Vec::new(), &mut accepted);
            let chosen: Vec<f32> =
                entropies.iter().zip(&accepted).filter(|(_, yes)| **yes).map(|(entropy, _)| *entropy).collect();
            prop_assert!(!chosen.is_empty());
            let largest = chosen.iter().copied().fold(0.0, f32::max);
            let sum: f64 = chosen.iter().map(|entropy| f64::from(*entropy)).sum();
            prop_assert!(sum - f64::from(largest) <= f64::from(bound) + 1e-4);
            // What was left out is nowhere more certain than what was taken.
            let smallest_rejected =
                entropies.iter().zip(&accepted).filter(|(_, yes)| !**yes).map(|(e, _)| *e).fold(f32::INFINITY, f32::min);
            prop_assert!(smallest_rejected >= largest);
            // And the next one would have been beyond the bound.
            if smallest_rejected.is_finite() {
                prop_assert!(sum > f64::from(bound) - 1e-4);
            }
            prop_assert_eq!(accepted.len(), entropies.len());
        }
    }
}
