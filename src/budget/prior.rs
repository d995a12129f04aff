//! The cost of an engine before its first look: the measurement at loading, corrected by the
//! manifests. Pure.
//!
//! On a machine that is busy while engines load, one engine may be measured several times too slow,
//! and the most expensive could pass for the cheapest. Such noise never hits all engines alike, so
//! each measurement is kept within a factor of what the ratios of the manifests predict.

use std::time::Duration;

use super::costs::Prior;

/// Boards differ in how well they do int8 against float: a ratio may be off by so much before it is
/// not believed.
const BELIEVED: f64 = 4.0;

/// The `measured` priors, by engine, tempered by the medians that manifests give, `told`. Where
/// fewer than two engines have both, nothing is changed.
pub fn tempered(measured: &[Option<Prior>], told: &[Option<Duration>]) -> Vec<Option<Prior>> {
    let ratio = |(prior, told): (&Option<Prior>, &Option<Duration>)| match (prior, told) {
        (Some(prior), Some(told)) if !told.is_zero() => {
            Some(prior.p50.as_secs_f64() / told.as_secs_f64())
        }
        _ => None,
    };
    let ratios: Vec<_> = measured.iter().zip(told).map(ratio).collect();
    let mut known: Vec<f64> =
        ratios.iter().copied().flatten().filter(|ratio| *ratio > 0.0).collect();
    if known.len() < 2 {
        return measured.to_vec();
    }
    known.sort_by(f64::total_cmp);
    // The lower one of two: a busy machine only ever adds.
    let usual = known[(known.len() - 1) / 2];
    let temper = |(prior, ratio): (&Option<Prior>, &Option<f64>)| {
        let prior = (*prior)?;
        let Some(ratio) = ratio.filter(|ratio| *ratio > 0.0) else { return Some(prior) };
        let by = ratio.clamp(usual / BELIEVED, usual * BELIEVED) / ratio;
        Some(Prior { p50: prior.p50.mul_f64(by), p95: prior.p95.mul_f64(by), ..prior })
    };
    measured.iter().zip(&ratios).map(temper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prior(ms: u64) -> Option<Prior> {
        Some(Prior {
            p50: Duration::from_millis(ms),
            p95: Duration::from_millis(2 * ms),
            energy: None,
        })
    }

    fn told(ms: &[u64]) -> Vec<Option<Duration>> {
        ms.iter().map(|ms| Some(Duration::from_millis(*ms))).collect()
    }

    #[test]
    fn an_engine_measured_while_the_machine_was_busy_does_not_pass_for_the_dearest() {
        let tempered = tempered(&[prior(400), prior(40)], &told(&[2, 20]));
        assert_eq!(
            tempered,
            [prior(16), prior(40)],
            "four times what the other's ratio lets expect, and no more"
        );
    }

    #[test]
    fn what_fits_the_manifests_or_cannot_be_held_against_them_stays_as_it_was_measured() {
        let measured = [prior(5), prior(30), None, prior(90)];
        assert_eq!(tempered(&measured, &told(&[2, 20, 7, 40])), measured);
        let strange = [prior(400), prior(40)];
        assert_eq!(tempered(&strange, &[None, Some(Duration::from_millis(20))]), strange);
        assert_eq!(tempered(&strange, &told(&[0, 20])), strange);
    }
}
