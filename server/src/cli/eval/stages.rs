//! What a fill costs, stage by stage.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lacuna_engine::{Cancel, Description, Error, Infill, InfillRequest, Infiller, Stage, Step};
use serde::{Serialize, Serializer};

const COUNTS: [&str; 5] = ["prompt tokens", "of these encoded", "canvas rows", "hole rows", "steps"];
const TIMES: [&str; 13] = [
    "tokenising",
    "context prior",
    "prompt encoding",
    "votes",
    "self-conditioning",
    "attention",
    "feed-forward",
    "last layer",
    "head and samples",
    "between passes",
    "filters",
    "syntax checks",
    "denoising again",
];

/// What one fill cost, or what several did at the mean: first [`COUNTS`], then [`TIMES`] in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    values: [f64; COUNTS.len() + TIMES.len()],
}

/// What fitting a fill into its surroundings took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct FitTimes {
    /// With the syntax checks and with denoising again.
    pub(super) all: f64,
    /// All filters but the one that checks the syntax.
    pub(super) filters: f64,
    pub(super) again: f64,
}

impl Spent {
    /// `None` where the engine does not tell.
    pub(super) fn of(infill: &Infill, fit: FitTimes) -> Option<Self> {
        let Infill { prompt, length, timings, candidates, .. } = infill;
        let stages = timings.stages?;
        let [lay_out, prior, votes, conditioning, attention, feed_forward, last, head] =
            Stage::ALL.map(|stage| stages.of(stage));
        let passes = votes + conditioning + attention + feed_forward + last + head;
        let steps = candidates.first().map_or(0, |best| best.steps);
        Some(Self {
            values: [
                prompt.tokens as f64,
                (prompt.tokens - prompt.reused) as f64,
                prompt.canvas_rows as f64,
                length.rows_at_start as f64,
                steps as f64,
                lay_out,
                prior,
                timings.prompt_ms - lay_out - prior,
                votes,
                conditioning,
                attention,
                feed_forward,
                last,
                head,
                timings.denoise_ms - passes,
                fit.filters,
                fit.all - fit.again - fit.filters,
                fit.again,
            ],
        })
    }

    /// `None` of none.
    pub(super) fn mean(all: impl Iterator<Item = Self>) -> Option<Self> {
        let mut sum = Self::default();
        let mut count = 0;
        for spent in all {
            sum.values.iter_mut().zip(spent.values).for_each(|(sum, value)| *sum += value);
            count += 1;
        }
        sum.values.iter_mut().for_each(|value| *value /= f64::from(count));
        (count > 0).then_some(sum)
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (counts, times) = self.values.split_at(COUNTS.len());
        let all: f64 = times.iter().sum();
        writeln!(out, "\na fill at the mean")?;
        for (name, value) in COUNTS.iter().zip(counts) {
            writeln!(out, "{name:<20} {value:>8.1}")?;
        }
        for (name, value) in TIMES.iter().zip(times) {
            writeln!(out, "{name:<20} {value:>8.2} ms {:>5.1}%", value / all * 100.0)?;
        }
        writeln!(out, "{:<20} {all:>8.2} ms", "all")
    }
}

impl Serialize for Spent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = COUNTS.map(str::to_owned).into_iter().chain(TIMES.map(|name| format!("{name} ms")));
        serializer.collect_map(names.map(|name| name.replace(' ', "_")).zip(self.values))
    }
}

/// An engine, and the milliseconds that it was busy.
pub(super) struct Busy<'a> {
    infiller: &'a dyn Infiller,
    milliseconds: Mutex<f64>,
}

impl<'a> Busy<'a> {
    pub(super) fn new(infiller: &'a dyn Infiller) -> Self {
        Self { infiller, milliseconds: Mutex::new(0.0) }
    }

    pub(super) fn milliseconds(self) -> f64 {
        self.milliseconds.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Infiller for Busy<'_> {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        let start = Instant::now();
        let infill = self.infiller.infill(request, cancel, on_step);
        *self.milliseconds.lock().unwrap_or_else(PoisonError::into_inner) += start.elapsed().as_secs_f64() * 1000.0;
        infill
    }

    fn describe(&self) -> &Description {
        self.infiller.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_one_of_each_value() {
        let with = |first: f64, last: f64| {
            let mut spent = Spent::default();
            spent.values[0] = first;
            spent.values[COUNTS.len() + TIMES.len() - 1] = last;
            spent
        };
        assert_eq!(Spent::mean([with(1.0, 5.0), with(2.0, 6.0)].into_iter()), Some(with(1.5, 5.5)));
        assert_eq!(Spent::mean(std::iter::empty()), None);
        let written = serde_json::to_value(with(1.5, 5.5)).expect("numbers are JSON");
        assert_eq!((&written["prompt_tokens"], &written["denoising_again_ms"]), (&1.5.into(), &5.5.into()));
    }
}
