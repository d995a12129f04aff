//! The last few latencies of one engine: what it costs right now. Not a record of the past, see
//! [`super::Histogram`].

use std::time::Duration;

use arrayvec::ArrayVec;

/// How many latencies count.
pub const WINDOW: usize = 64;
/// How many of them stand for what was known before the first look.
const SEEDED: usize = 8;

/// Median and 95th percentile of the last [`WINDOW`] latencies, without allocation. Begins with
/// eight stand-ins made of a prior, so that it has an answer at once; after eight real looks the
/// median is theirs, and the stand-ins are the first to leave.
#[derive(Clone, Debug)]
pub struct LatencyWindow {
    prior: Duration,
    arrived: [Duration; WINDOW],
    next: usize,
    ascending: ArrayVec<Duration, WINDOW>,
}

impl LatencyWindow {
    /// Starts from a known or guessed median and 95th percentile.
    pub fn new(p50: Duration, p95: Duration) -> Self {
        let mut window = Self {
            prior: p50,
            arrived: [Duration::ZERO; WINDOW],
            next: 0,
            ascending: ArrayVec::new(),
        };
        for place in 0..SEEDED {
            window.add(if place == 0 { p95.max(p50) } else { p50 });
        }
        window
    }

    /// Takes a latency in; the oldest leaves once the window is full.
    pub fn add(&mut self, latency: Duration) {
        if self.ascending.is_full() {
            let oldest = self.arrived[self.next];
            let place = self.ascending.partition_point(|held| *held < oldest);
            self.ascending.remove(place);
        }
        let place = self.ascending.partition_point(|held| *held <= latency);
        self.ascending.insert(place, latency);
        self.arrived[self.next] = latency;
        self.next = (self.next + 1) % WINDOW;
    }

    /// Forgets a little: the prior median takes the oldest latency's place. For a caller that
    /// turned the engine down for being too slow: without looks nothing would ever show that it has
    /// recovered.
    pub fn ease(&mut self) {
        self.add(self.prior);
    }

    /// Median.
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// 95th percentile.
    pub fn p95(&self) -> Duration {
        self.quantile(0.95)
    }

    /// Type 7, as [`super::quantile`], on durations.
    fn quantile(&self, q: f64) -> Duration {
        let at = q * self.ascending.len().saturating_sub(1) as f64;
        let low = at.floor() as usize;
        let (Some(&a), Some(&b)) =
            (self.ascending.get(low), self.ascending.get(low + 1).or(self.ascending.last()))
        else {
            return self.prior;
        };
        a + b.saturating_sub(a).mul_f64(at - low as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn prior_answers_before_the_first_look() {
        let window = LatencyWindow::new(ms(10), ms(20));
        assert_eq!(window.p50(), ms(10));
        assert!(window.p95() > ms(10) && window.p95() <= ms(20));
    }

    #[test]
    fn looks_take_over_from_the_prior_and_old_ones_leave() {
        let mut window = LatencyWindow::new(ms(10), ms(20));
        for _ in 0..9 {
            window.add(ms(40));
        }
        assert_eq!(window.p50(), ms(40));
        for _ in 0..WINDOW {
            window.add(ms(5));
        }
        assert_eq!((window.p50(), window.p95()), (ms(5), ms(5)));
    }

    #[test]
    fn eased_window_returns_to_the_prior() {
        let mut window = LatencyWindow::new(ms(10), ms(12));
        for _ in 0..WINDOW {
            window.add(ms(500));
        }
        for _ in 0..WINDOW {
            window.ease();
        }
        assert_eq!((window.p50(), window.p95()), (ms(10), ms(10)));
    }

    proptest! {
        #[test]
        fn window_agrees_with_sorting_the_last_latencies(latencies in prop::collection::vec(0u64..1_000_000, 64..200)) {
            let mut window = LatencyWindow::new(ms(1), ms(2));
            for &micros in &latencies {
                window.add(Duration::from_micros(micros));
            }
            let mut last: Vec<f64> = latencies[latencies.len() - WINDOW..].iter().map(|&micros| micros as f64).collect();
            last.sort_by(f64::total_cmp);
            for (q, got) in [(0.5, window.p50()), (0.95, window.p95())] {
                let expected = super::super::quantile(&last, q).unwrap();
                prop_assert!((got.as_secs_f64() * 1e6 - expected).abs() < 0.01, "{} {}", got.as_secs_f64() * 1e6, expected);
            }
        }
    }
}
