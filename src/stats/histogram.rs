//! Latencies by the million in fixed memory: 64 steps to a doubling, so a quantile is within 0.8 %
//! of the truth. Maximum and mean exact.

use std::ops::Range;
use std::time::Duration;

/// Steps to a doubling, as a power of two.
const STEP_BITS: u32 = 6;
/// Steps to a doubling.
const STEPS: usize = 1 << STEP_BITS;
/// Longer than 2^42 ns, 73 minutes, counts as that.
const VALUE_BITS: u32 = 42;
/// Buckets in all, about 19 KiB.
const BUCKETS: usize = ((VALUE_BITS - STEP_BITS + 1) as usize) * STEPS;

/// Counts of latencies in buckets that grow with the latency. Recording allocates nothing.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[u64]>,
    /// All buckets that hold something lie in here, so that a copy need not touch the others.
    used: Range<usize>,
    count: u64,
    sum: Duration,
    max: Duration,
}

/// What a report says of a stage's latencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many; all else is zero without any.
    pub count: u64,
    /// Mean, exact.
    pub mean: Duration,
    /// Median.
    pub p50: Duration,
    /// 95th percentile.
    pub p95: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// Maximum, exact.
    pub max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Histogram {
    fn clone(&self) -> Self {
        Self { buckets: self.buckets.clone(), used: self.used.clone(), ..*self }
    }

    /// Allocates nothing, and touches only what either of the two uses.
    fn clone_from(&mut self, source: &Self) {
        self.buckets[self.used.clone()].fill(0);
        self.used = source.used.clone();
        self.buckets[self.used.clone()].copy_from_slice(&source.buckets[self.used.clone()]);
        (self.count, self.sum, self.max) = (source.count, source.sum, source.max);
    }
}

impl Histogram {
    /// Empty; the only place that allocates, but for `clone`.
    pub fn new() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into_boxed_slice(),
            used: 0..0,
            count: 0,
            sum: Duration::ZERO,
            max: Duration::ZERO,
        }
    }

    /// Counts a latency.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let index = bucket_of(nanos);
        if let Some(bucket) = self.buckets.get_mut(index) {
            *bucket = bucket.saturating_add(1);
            self.widen(&(index..index + 1));
        }
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(latency);
        self.max = self.max.max(latency);
    }

    fn widen(&mut self, by: &Range<usize>) {
        self.used = match (self.used.is_empty(), by.is_empty()) {
            (true, _) => by.clone(),
            (_, true) => return,
            _ => self.used.start.min(by.start)..self.used.end.max(by.end),
        };
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.saturating_add(*theirs);
        }
        self.widen(&other.used);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// Forgets everything; keeps its memory.
    pub fn clear(&mut self) {
        self.buckets[self.used.clone()].fill(0);
        self.used = 0..0;
        (self.count, self.sum, self.max) = (0, Duration::ZERO, Duration::ZERO);
    }

    /// How many latencies were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all latencies, exact.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// How many latencies did not exceed each of `limits`, which must ascend. To the resolution:
    /// one that exceeds a limit by less than 1.6 % may be counted as not exceeding it.
    pub fn at_most<const N: usize>(&self, limits: &[Duration; N]) -> [u64; N] {
        let (mut seen, mut from) = (0u64, self.used.start);
        limits.map(|limit| {
            let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
            let to = (bucket_of(nanos) + 1).min(self.used.end);
            let held = self.buckets.get(from..to).unwrap_or_default();
            seen = held.iter().fold(seen, |sum, held| sum.saturating_add(*held));
            from = from.max(to);
            seen
        })
    }

    /// The latency that a share `q` (0..=1) of all did not exceed, to the resolution; `None`
    /// without any.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0u64;
        for (index, held) in
            self.buckets.iter().enumerate().take(self.used.end).skip(self.used.start)
        {
            seen = seen.saturating_add(*held);
            if seen >= rank {
                return Some(Duration::from_nanos(middle_of(index)).min(self.max));
            }
        }
        Some(self.max)
    }

    /// All that a report needs.
    pub fn summary(&self) -> Summary {
        let at = |q| self.quantile(q).unwrap_or_default();
        let mean = if self.count == 0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(self.sum.as_secs_f64() / self.count as f64)
        };
        Summary {
            count: self.count,
            mean,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: self.max,
        }
    }
}

/// Below [`STEPS`] one bucket a nanosecond; above, the leading bit picks the doubling and the next
/// bits the step.
fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << VALUE_BITS) - 1);
    let lead = nanos.checked_ilog2().unwrap_or(0);
    match lead.checked_sub(STEP_BITS) {
        Some(shift) => (shift as usize) * STEPS + (nanos >> shift) as usize,
        None => nanos as usize,
    }
}

/// The middle of a bucket, ns.
fn middle_of(index: usize) -> u64 {
    if index < 2 * STEPS {
        return index as u64;
    }
    let shift = index / STEPS - 1;
    let low = ((index - shift * STEPS) as u64) << shift;
    low + (1u64 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn empty_histogram_has_no_quantile() {
        let histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), None);
        assert_eq!(histogram.summary(), Summary::default());
    }

    #[test]
    fn uniform_latencies_give_their_quantiles_within_one_percent() {
        let mut histogram = Histogram::new();
        for micros in 1..=100_000u64 {
            histogram.record(Duration::from_micros(micros));
        }
        let summary = histogram.summary();
        for (got, expected) in
            [(summary.p50, 0.05), (summary.p95, 0.095), (summary.p99, 0.099), (summary.max, 0.1)]
        {
            assert!((got.as_secs_f64() / expected - 1.0).abs() < 0.01, "{got:?} {expected}");
        }
        assert!((summary.mean.as_secs_f64() - 0.0500005).abs() < 1e-9);
    }

    #[test]
    fn merged_histograms_count_what_both_counted() {
        let (mut a, mut b, mut both) = (Histogram::new(), Histogram::new(), Histogram::new());
        for i in 0..1000u64 {
            let latency = Duration::from_nanos(i * i * 37);
            if i % 3 == 0 {
                a.record(latency)
            } else {
                b.record(latency)
            };
            both.record(latency);
        }
        a.merge(&b);
        assert_eq!(a.summary(), both.summary());
        a.clear();
        assert_eq!(a.summary(), Summary::default());
    }

    #[test]
    fn a_copy_into_a_used_histogram_is_the_original() {
        let of = |micros: &[u64]| {
            let mut histogram = Histogram::new();
            micros.iter().for_each(|micros| histogram.record(Duration::from_micros(*micros)));
            histogram
        };
        for (was, becomes) in [
            (vec![5, 90_000], vec![70]),
            (vec![70], vec![5, 90_000]),
            (vec![1, 2], vec![]),
            (vec![], vec![3]),
        ] {
            let (mut copy, original) = (of(&was), of(&becomes));
            copy.clone_from(&original);
            assert_eq!(
                (copy.summary(), &copy.buckets),
                (original.summary(), &original.buckets),
                "{was:?} {becomes:?}"
            );
            copy.record(Duration::from_millis(1));
            copy.clear();
            assert_eq!(copy.buckets, Histogram::new().buckets);
        }
    }

    #[test]
    fn counts_below_limits_rise_to_the_whole() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.at_most(&[Duration::from_secs(1)]), [0]);
        for millis in 1..=1000u64 {
            histogram.record(Duration::from_millis(millis));
        }
        let limits = [1, 10, 100, 500, 5000].map(Duration::from_millis);
        let [one, ten, hundred, half, all] = histogram.at_most(&limits);
        assert_eq!((one, ten, all), (1, 10, 1000));
        assert!((100..=101).contains(&hundred) && (500..=508).contains(&half), "{hundred} {half}");
        assert_eq!(
            histogram.at_most(&[Duration::ZERO, Duration::from_nanos(1), Duration::MAX]),
            [0, 0, 1000]
        );
    }

    #[test]
    fn hours_long_latency_is_counted_not_lost() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::MAX);
        histogram.record(Duration::ZERO);
        assert_eq!(histogram.count(), 2);
        assert_eq!(histogram.summary().max, Duration::MAX);
    }

    proptest! {
        #[test]
        fn every_bucket_holds_its_own_middle_and_is_fine_enough(nanos in 0u64..(1 << VALUE_BITS)) {
            let bucket = bucket_of(nanos);
            prop_assert!(bucket < BUCKETS);
            prop_assert_eq!(bucket_of(middle_of(bucket)), bucket);
            prop_assert!((middle_of(bucket) as f64 - nanos as f64).abs() <= nanos as f64 * 0.008);
        }

        #[test]
        fn buckets_rise_with_the_latency(a in 0u64..(1 << VALUE_BITS), b in 0u64..(1 << VALUE_BITS)) {
            prop_assert!(bucket_of(a.min(b)) <= bucket_of(a.max(b)));
        }
    }
}
