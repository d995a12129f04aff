//! Seeded draws from the normal distribution, and the point below which a share of it lies. Pure.

use super::{normal_cdf, splitmix64, unit};

/// The point below which the share `p` of the standard normal distribution lies, within 1e-6 where
/// `p` is between 1e-6 and 1 - 1e-6; held at -8 and 8. By halving: for tables that are made once,
/// not for every frame.
pub fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if normal_cdf(middle) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// A draw from the standard normal distribution, the same for the same `key` (Box and Muller).
pub fn normal_draw(key: u64) -> f64 {
    let first = splitmix64(key);
    let radius = (-2.0 * (1.0 - unit(first)).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * unit(splitmix64(first))).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mean;

    #[test]
    fn the_point_of_a_share_agrees_with_the_tables() {
        for (x, share) in [
            (0.0, 0.5),
            (1.0, 0.841_344_75),
            (-1.0, 0.158_655_25),
            (1.959_964, 0.975),
            (-3.0, 0.001_349_9),
        ] {
            assert!(
                (normal_quantile(share) - x).abs() < 2e-5,
                "{share}: {}",
                normal_quantile(share)
            );
        }
        assert!(normal_quantile(0.0) < -5.0 && normal_quantile(1.0) > 5.0);
    }

    #[test]
    fn draws_have_mean_0_and_variance_1_and_repeat() {
        let draws: Vec<f64> = (0..20_000).map(normal_draw).collect();
        let squares: Vec<f64> = draws.iter().map(|draw| draw * draw).collect();
        let (centre, variance) = (mean(&draws).unwrap(), mean(&squares).unwrap());
        assert!(centre.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{centre} {variance}");
        assert_eq!(normal_draw(7).to_bits(), normal_draw(7).to_bits());
    }
}
