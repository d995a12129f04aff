//! Quantiles, means, intervals, and a stateless mixer for seeded draws: the only statistics in
//! Squint.
//!
//! Pure. [`window`] keeps the last few latencies for decisions that are due now, [`histogram`] sums
//! up millions for the report, [`normal`] is the normal distribution with the same bits everywhere.

pub mod draws;
pub mod histogram;
pub mod normal;
pub mod window;

pub use draws::{normal_draw, normal_quantile};
pub use histogram::{Histogram, Summary};
pub use normal::{Z95_ONE_SIDED, exp, normal_cdf};
pub use window::LatencyWindow;

/// Two-sided 95 % point of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// The `q` quantile (0..=1) of values in ascending order, linear between neighbours: Hyndman and
/// Fan's type 7, as numpy and R do by default. `None` without values.
pub fn quantile(ascending: &[f64], q: f64) -> Option<f64> {
    let last = ascending.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let low = (at.floor() as usize).min(last);
    let high = (low + 1).min(last);
    let (a, b) = (*ascending.get(low)?, *ascending.get(high)?);
    Some(a + (b - a) * (at - low as f64))
}

/// Arithmetic mean; `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// Mean and half the width of its 95 % interval (Student's t). `None` with fewer than two values.
pub fn mean95(values: &[f64]) -> Option<(f64, f64)> {
    /// Two-sided 95 % points of Student's t for 1 to 10 degrees of freedom; beyond, a bound from
    /// above.
    const T95: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    let free = values.len().checked_sub(1).filter(|free| *free > 0)?;
    let centre = mean(values)?;
    let variance = values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / free as f64;
    let t = T95.get(free - 1).copied().unwrap_or(2.228);
    Some((centre, t * (variance / values.len() as f64).sqrt()))
}

/// Pearson's correlation of two series of equal length, -1..=1; `None` for fewer than two values or
/// if one of them is constant.
pub fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let (mut both, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        both += (a - mean_a) * (b - mean_b);
        square_a += (a - mean_a).powi(2);
        square_b += (b - mean_b).powi(2);
    }
    Some(both / (square_a.sqrt() * square_b.sqrt()))
        .filter(|r| r.is_finite())
        .map(|r| r.clamp(-1.0, 1.0))
}

/// Wilson's 95 % interval for a share of `hits` in `n`, both ends 0..=1. Without observations it is
/// the whole of 0..=1.
pub fn wilson95(hits: u64, n: u64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let n = n as f64;
    let share = (hits as f64 / n).min(1.0);
    let z2 = Z95 * Z95;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// 95 % interval of the mean of paired differences, by the percentile bootstrap with `rounds`
/// resamples drawn from `seed`. `None` without differences or rounds.
pub fn paired_bootstrap95(differences: &[f64], rounds: usize, seed: u64) -> Option<(f64, f64)> {
    paired_bootstraps95(&[differences], rounds, seed)
        .and_then(|intervals| intervals.first().copied())
}

/// [`paired_bootstrap95`] of several series of equal length, each as if alone, for little more than
/// the price of one: drawing is what takes the time. `None` without series, differences or rounds,
/// or with unequal lengths.
pub fn paired_bootstraps95<D: AsRef<[f64]>>(
    series: &[D],
    rounds: usize,
    seed: u64,
) -> Option<Vec<(f64, f64)>> {
    let n = series.first()?.as_ref().len();
    if n == 0 || rounds == 0 || series.iter().any(|one| one.as_ref().len() != n) {
        return None;
    }
    let mut draw = seed;
    let mut means = vec![Vec::with_capacity(rounds); series.len()];
    let mut drawn = vec![0u32; n];
    for _ in 0..rounds {
        drawn.fill(0);
        for _ in 0..n {
            draw = draw.wrapping_add(1);
            drawn[(unit(splitmix64(draw)) * n as f64) as usize % n] += 1;
        }
        for (means, one) in means.iter_mut().zip(series) {
            let sum: f64 = one
                .as_ref()
                .iter()
                .zip(&drawn)
                .map(|(difference, times)| difference * f64::from(*times))
                .sum();
            means.push(sum / n as f64);
        }
    }
    means
        .iter_mut()
        .map(|means| {
            means.sort_by(f64::total_cmp);
            Some((quantile(means, 0.025)?, quantile(means, 0.975)?))
        })
        .collect()
}

/// Exponentially weighted mean that starts at its first value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ewma {
    weight: f64,
    value: Option<f64>,
}

impl Ewma {
    /// `weight` of a new value, clamped to 0..=1.
    pub fn new(weight: f64) -> Self {
        Self { weight: if weight.is_finite() { weight.clamp(0.0, 1.0) } else { 1.0 }, value: None }
    }

    /// Takes a value in and returns the new mean. Values that are not finite are left out.
    pub fn add(&mut self, value: f64) -> Option<f64> {
        if value.is_finite() {
            self.value = Some(self.value.map_or(value, |was| was + self.weight * (value - was)));
        }
        self.value
    }

    /// The mean, once there is a value.
    pub fn value(&self) -> Option<f64> {
        self.value
    }
}

/// Sebastiano Vigna's splitmix64 finaliser: one well mixed number for each input, without state.
pub fn splitmix64(input: u64) -> u64 {
    let z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The upper 24 bits of `bits` as a number in [0, 1); exact in f32 as well.
pub fn unit(bits: u64) -> f64 {
    (bits >> 40) as f64 / (1u64 << 24) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_interval_of_a_mean_agrees_with_a_table_of_t() {
        let (mean, half) = mean95(&[1.0, 2.0, 3.0]).unwrap();
        assert!((mean - 2.0).abs() < 1e-12 && (half - 4.303 / 3f64.sqrt()).abs() < 1e-9, "{half}");
        assert_eq!((mean95(&[4.0, 4.0]), mean95(&[4.0])), (Some((4.0, 0.0)), None));
    }

    #[test]
    fn series_resampled_together_fare_as_each_would_alone() {
        let series: Vec<Vec<f64>> = (0..3)
            .map(|one| (0..50).map(|i| unit(splitmix64(i * 7 + one)) - 0.3).collect())
            .collect();
        let together = paired_bootstraps95(&series, 200, 9).unwrap();
        for (one, interval) in series.iter().zip(together) {
            assert_eq!(paired_bootstrap95(one, 200, 9), Some(interval));
            let centre = mean(one).unwrap();
            assert!(interval.0 < centre && centre < interval.1, "{interval:?} {centre}");
        }
        assert_eq!(paired_bootstraps95(&[vec![1.0], vec![]], 200, 9), None);
    }

    #[test]
    fn quantile_agrees_with_type_seven_by_hand() {
        let values = [1.0, 2.0, 4.0, 8.0];
        for (q, expected) in
            [(0.0, 1.0), (0.25, 1.75), (0.5, 3.0), (0.95, 7.4), (1.0, 8.0), (7.0, 8.0), (-1.0, 1.0)]
        {
            let got = quantile(&values, q).unwrap();
            assert!((got - expected).abs() < 1e-12, "q {q}: {got}");
        }
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.9), Some(3.0));
    }

    #[test]
    fn pearson_knows_lines_and_constants() {
        let a = [1.0, 2.0, 3.0, 4.0];
        assert!((pearson(&a, &[10.0, 8.0, 6.0, 4.0]).unwrap() + 1.0).abs() < 1e-12);
        assert!((pearson(&a, &[1.0, 3.0, 2.0, 4.0]).unwrap() - 0.8).abs() < 1e-12);
        assert_eq!(pearson(&a, &[5.0; 4]), None);
        assert_eq!(pearson(&[], &[]), None);
    }

    #[test]
    fn wilson_agrees_with_the_textbook() {
        // 81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table 1, method 3).
        let (low, high) = wilson95(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson95(0, 0), (0.0, 1.0));
        let (low, high) = wilson95(0, 20);
        assert!(low.abs() < 1e-12 && (high - 0.1611).abs() < 5e-5);
    }

    #[test]
    fn ewma_starts_at_the_first_value_and_skips_nonsense() {
        let mut ewma = Ewma::new(0.25);
        assert_eq!(ewma.value(), None);
        assert_eq!(ewma.add(8.0), Some(8.0));
        assert_eq!(ewma.add(f64::NAN), Some(8.0));
        assert_eq!(ewma.add(4.0), Some(7.0));
    }

    #[test]
    fn splitmix_gives_the_published_sequence() {
        // First outputs of the reference generator for seed 1234567; its state advances by the
        // golden gamma.
        let gamma = 0x9e37_79b9_7f4a_7c15u64;
        let drawn: Vec<u64> = (0..3u64)
            .map(|i| splitmix64(1_234_567u64.wrapping_add(gamma.wrapping_mul(i))))
            .collect();
        assert_eq!(
            drawn,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn bootstrap_of_a_clear_difference_stays_clear_of_zero() {
        let differences: Vec<f64> = (0..200).map(|i| if i % 4 == 0 { 1.0 } else { 0.0 }).collect();
        let (low, high) = paired_bootstrap95(&differences, 500, 7).unwrap();
        assert!(low > 0.15 && low < 0.25 && high > 0.25 && high < 0.35, "{low} {high}");
        assert_eq!(paired_bootstrap95(&[], 500, 7), None);
    }

    proptest! {
        #[test]
        fn quantile_stays_between_the_extremes_and_grows(mut values in prop::collection::vec(-1e6f64..1e6, 1..60), a in 0.0f64..1.0, b in 0.0f64..1.0) {
            values.sort_by(f64::total_cmp);
            let (low, high) = (quantile(&values, a.min(b)).unwrap(), quantile(&values, a.max(b)).unwrap());
            prop_assert!(values[0] <= low && low <= high + 1e-9 && high <= values[values.len() - 1] + 1e-9);
        }

        #[test]
        fn wilson_holds_the_share_and_narrows(hits in 0u64..500, more in 0u64..500) {
            let n = hits + more + 1;
            let (low, high) = wilson95(hits, n);
            let share = hits as f64 / n as f64;
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
            prop_assert!(low <= share + 1e-12 && share <= high + 1e-12);
            let (low10, high10) = wilson95(hits * 10, n * 10);
            prop_assert!(high10 - low10 < high - low);
        }
    }
}
