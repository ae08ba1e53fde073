//! How long something took, as counts in buckets.
//!
//! The buckets grow by a constant factor, so that a quantile is as exact for a cached answer as for a slow one. They are
//! few and fixed, so that histograms of other days and processes add up without loss, and what stands in the file can be
//! read by people. That is all that is needed of one here; the crates for histograms bring a binary format instead,
//! and arrays that would be written for every day, language, model and stage.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The upper end of the first bucket, in milliseconds.
const FIRST_MS: f64 = 0.05;
/// Buckets to a factor of two: each is 19% wider than the one before.
const BUCKETS_AN_OCTAVE: f64 = 4.0;
/// How many buckets there are. The last one begins at 12 minutes.
const BUCKETS: u8 = 96;

/// Counts of durations, by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<u8, u64>", into = "BTreeMap<u8, u64>")]
pub struct Histogram(BTreeMap<u8, u64>);

impl Histogram {
    /// Counts one duration.
    pub fn count(&mut self, duration: Duration) {
        let octaves = (duration.as_secs_f64() * 1000.0 / FIRST_MS).log2();
        // What is faster than the first bucket's end has a negative logarithm, and becomes 0.
        let bucket = (octaves * BUCKETS_AN_OCTAVE).ceil().clamp(0.0, f64::from(BUCKETS - 1)) as u8;
        let count = self.0.entry(bucket).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes the counts of another in.
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in &other.0 {
            let count = self.0.entry(*bucket).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// How many durations there are.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |total, count| total.saturating_add(*count))
    }

    /// The duration in milliseconds that so many per cent of all do not exceed, to within 10%; `None` where there is none.
    pub fn quantile_ms(&self, percent: u8) -> Option<f64> {
        // In whole numbers: 56% of 25 are 14, and not a little more.
        let rank = (u128::from(self.total()) * u128::from(percent)).div_ceil(100).max(1);
        let mut passed = 0_u64;
        self.0.iter().find_map(|(&bucket, count)| {
            passed = passed.saturating_add(*count);
            (u128::from(passed) >= rank).then(|| middle_ms(bucket))
        })
    }

    /// How many durations there are in each of `columns` equal steps on a logarithmic scale from `from_ms` up to
    /// `to_ms`; what is beyond either end counts with it.
    pub fn columns(&self, from_ms: f64, to_ms: f64, columns: usize) -> Vec<u64> {
        let mut counts = vec![0_u64; columns];
        let Some(last) = columns.checked_sub(1) else {
            return counts;
        };
        for (&bucket, count) in &self.0 {
            let place = (middle_ms(bucket) / from_ms).log2() / (to_ms / from_ms).log2() * columns as f64;
            let column = &mut counts[(place.max(0.0) as usize).min(last)];
            *column = column.saturating_add(*count);
        }
        counts
    }
}

impl TryFrom<BTreeMap<u8, u64>> for Histogram {
    type Error = String;

    fn try_from(counts: BTreeMap<u8, u64>) -> Result<Self, Self::Error> {
        match counts.keys().find(|bucket| **bucket >= BUCKETS) {
            Some(bucket) => Err(format!("there is no bucket {bucket}")),
            None => Ok(Self(counts)),
        }
    }
}

impl From<Histogram> for BTreeMap<u8, u64> {
    fn from(histogram: Histogram) -> Self {
        histogram.0
    }
}

/// The geometric middle of a bucket.
fn middle_ms(bucket: u8) -> f64 {
    FIRST_MS * ((f64::from(bucket) - 0.5) / BUCKETS_AN_OCTAVE).exp2()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{BUCKETS, Histogram, middle_ms};

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        micros.iter().for_each(|micros| histogram.count(Duration::from_micros(*micros)));
        histogram
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::default().quantile_ms(50), None);
        assert_eq!(Histogram::default().columns(1.0, 10.0, 3), [0, 0, 0]);
        assert!(of(&[5]).columns(1.0, 10.0, 0).is_empty());
    }

    #[test]
    fn extremes_have_a_place() {
        let mut histogram = of(&[0, 1, 50]);
        assert_eq!(histogram.quantile_ms(100), Some(middle_ms(0)));
        histogram.count(Duration::MAX);
        assert_eq!(histogram.quantile_ms(100), Some(middle_ms(BUCKETS - 1)));
        assert_eq!(histogram.columns(1.0, 1000.0, 4), [3, 0, 0, 1]);
    }

    #[test]
    fn a_bucket_that_there_is_not_is_refused() {
        assert!(serde_json::from_str::<Histogram>(r#"{"95": 1}"#).is_ok());
        assert!(serde_json::from_str::<Histogram>(r#"{"96": 1}"#).is_err());
        assert!(serde_json::from_str::<Histogram>(r#"{"1": -1}"#).is_err());
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_a_tenth(mut micros in prop::collection::vec(60_u64..100_000_000, 1..50), percent in 1_u8..=100) {
            let found = of(&micros).quantile_ms(percent).expect("there are some");
            micros.sort_unstable();
            let rank = (usize::from(percent) * micros.len()).div_ceil(100);
            let exact = micros[rank - 1] as f64 / 1000.0;
            prop_assert!((found / exact - 1.0).abs() < 0.1, "{} for {}", found, exact);
        }

        #[test]
        fn parts_add_up(one in prop::collection::vec(0_u64..1 << 40, 0..9), other in prop::collection::vec(0_u64..1 << 40, 0..9)) {
            let mut sum = of(&one);
            sum.add(&of(&other));
            prop_assert_eq!(&sum, &of(&[&one[..], &other].concat()));
            prop_assert_eq!(sum.columns(1.0, 1000.0, 7).iter().sum::<u64>(), sum.total());
        }
    }
}
