//! Where a request's time goes, for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the engine spends time on, besides what [`crate::Timings`] tells. A prompt's time holds the first two and the
/// encoding, that of denoising the others and what the sampler does between passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Choosing and tokenising the text around the holes.
    LayOut,
    /// Looking for what the document repeats.
    Prior,
    /// Tokenising what it repeats.
    Votes,
    /// Soft embeddings of the last pass, and what is made of them.
    SelfConditioning,
    /// Attention in all layers but the last.
    Attention,
    /// Feed-forward networks in all layers but the last.
    FeedForward,
    /// All of the last layer.
    LastLayer,
    /// The head, and drawing samples.
    Head,
}

impl Stage {
    /// All of them, in the order of a fill.
    pub const ALL: [Self; 8] = [
        Self::LayOut,
        Self::Prior,
        Self::Votes,
        Self::SelfConditioning,
        Self::Attention,
        Self::FeedForward,
        Self::LastLayer,
        Self::Head,
    ];
}

/// Milliseconds by [`Stage`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageTimes([f64; Stage::ALL.len()]);

impl StageTimes {
    /// Milliseconds.
    pub fn of(&self, stage: Stage) -> f64 {
        self.0[stage as usize]
    }
}

/// Adds up what the stages take.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    nanoseconds: [AtomicU64; Stage::ALL.len()],
}

impl Clock {
    /// Does work that belongs to a stage.
    pub(crate) fn time<R>(&self, stage: Stage, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        let nanoseconds = start.elapsed().as_nanos() as u64;
        self.nanoseconds[stage as usize].fetch_add(nanoseconds, Ordering::Relaxed);
        result
    }

    /// What came together since the last time that it was asked for.
    pub(crate) fn take(&self) -> StageTimes {
        StageTimes(Stage::ALL.map(|stage| self.nanoseconds[stage as usize].swap(0, Ordering::Relaxed) as f64 / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_once_and_by_stage() {
        let clock = Clock::default();
        let started = Instant::now();
        // Until some time has gone by, however coarse the machine's clock is.
        let result = clock.time(Stage::Head, || {
            while started.elapsed().is_zero() {}
            7
        });
        let times = clock.take();
        assert_eq!(result, 7);
        assert!(times.of(Stage::Head) > 0.0);
        assert!(Stage::ALL.iter().filter(|stage| **stage != Stage::Head).all(|stage| times.of(*stage) == 0.0));
        assert_eq!(clock.take(), StageTimes::default());
    }
}
