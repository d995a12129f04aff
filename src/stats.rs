//! Quantiles of durations in fixed memory. A stand-in with the interface of the real room, to be replaced by it.

use std::time::Duration;

/// Eight buckets an octave, up to 2^42 ns.
const SUB: u32 = 8;
const BUCKETS: usize = 40 * SUB as usize;

/// Durations, counted in logarithmic buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Empty.
    pub fn new() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, max: Duration::ZERO }
    }

    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        self.buckets[index(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// The smallest bucket edge that a share of `q` (0..=1) of the durations do not exceed; zero when empty.
    pub fn quantile(&self, q: f64) -> Duration {
        let wanted = ((self.count as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return edge(at).min(self.max);
            }
        }
        self.max
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }
}

fn index(value: Duration) -> usize {
    let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX).max(8);
    let octave = nanos.ilog2();
    let sub = ((nanos >> (octave - 3)) & 7) as u32;
    (((octave - 3) * SUB + sub) as usize).min(BUCKETS - 1)
}

fn edge(at: usize) -> Duration {
    let (octave, sub) = (at as u64 / 8 + 3, at as u64 % 8);
    Duration::from_nanos(((8 + sub + 1) << (octave - 3)) - 1)
}
