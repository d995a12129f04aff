//! Rungs, and levels between them.

use std::time::Duration;

use super::*;
use crate::budget::costs::Prior;
use crate::units::Millijoules;
use proptest::prelude::*;

/// Costs of engines with these energies, mJ, and the available with these accuracies.
fn made(engines: &[(f64, Option<f32>)]) -> (Costs, Vec<Ability>) {
    let p50 = Duration::from_millis(10);
    let priors: Vec<_> = engines
        .iter()
        .map(|(energy, _)| Some(Prior { p50, p95: p50, energy: Some(Millijoules(*energy)) }))
        .collect();
    let available = engines
        .iter()
        .enumerate()
        .map(|(at, (_, accuracy))| Ability { engine: EngineIdx(at as u8), accuracy: *accuracy })
        .collect();
    (Costs::new(&priors), available)
}

fn sets(engines: &[(f64, Option<f32>)]) -> Vec<u32> {
    let (costs, available) = made(engines);
    let ladder = Ladder::new(&available, &costs);
    (0..ladder.len()).map(|k| ladder.engines(k)).collect()
}

#[test]
fn rungs_are_nested_from_the_cheapest_to_all() {
    assert_eq!(
        sets(&[(50.0, Some(0.8)), (10.0, Some(0.5)), (20.0, Some(0.7))]),
        [0b010, 0b110, 0b111]
    );
}

#[test]
fn a_dearer_engine_that_is_no_better_waits_until_everything_is_allowed() {
    // Engine 1 costs more than engine 0 and is worse; engine 2 is below the line from 0 to 3.
    assert_eq!(
        sets(&[(10.0, Some(0.5)), (15.0, Some(0.4)), (40.0, Some(0.55)), (50.0, Some(0.8))]),
        [0b0001, 0b1111]
    );
    assert_eq!(
        sets(&[(10.0, Some(0.5)), (20.0, Some(0.7)), (30.0, Some(0.6)), (50.0, Some(0.8))]),
        [0b0001, 0b0011, 0b1111]
    );
}

#[test]
fn engines_of_unknown_accuracy_keep_their_rung() {
    assert_eq!(sets(&[(10.0, None), (15.0, Some(0.4)), (40.0, None)]), [0b001, 0b011, 0b111]);
    assert_eq!(sets(&[]), [] as [u32; 0]);
}

#[test]
fn what_a_frame_costs_on_a_rung_is_learned_from_what_was_spent() {
    let (costs, available) = made(&[(10.0, Some(0.5)), (20.0, Some(0.7)), (50.0, Some(0.8))]);
    let mut ladder = Ladder::new(&available, &costs);
    // The policy asks the dearest engine for a third of the frames only.
    for at in 0..400 {
        let level = 2.0 + f64::from(at % 10) / 10.0;
        let energy = 0.012 + (level - 2.0) * 0.014;
        ladder.learn(level, energy, 0.2, &costs);
    }
    let energies = ladder.energies(&costs);
    assert!(
        (energies[1] - 0.012).abs() < 0.001 && (energies[2] - 0.026).abs() < 0.001,
        "{energies:?}"
    );
}

proptest! {
    #[test]
    fn level_and_power_are_each_others_inverse(level in -1.0f64..3.0, full in 1.0f64..60.0, share in 0.05f64..0.95) {
        let (energies, rates) = ([0.01, 0.02, 0.05], Rates { full, least: full * share });
        let watts = power_at(&energies, rates, level);
        let back = level_of_power(&energies, rates, watts);
        prop_assert!((back - level).abs() < 1e-6, "{level} {watts} {back}");
    }

    #[test]
    fn more_power_never_means_a_lower_level(a in -5.0f64..20.0, b in -5.0f64..20.0, full in 0.0f64..60.0, least in 0.0f64..10.0) {
        let (energies, rates) = ([0.01, 0.02, 0.05], Rates { full, least: least.min(full) });
        let (low, high) = (level_of_power(&energies, rates, a.min(b)), level_of_power(&energies, rates, a.max(b)));
        prop_assert!(low <= high && (-1.0..=3.0).contains(&low));
    }
}
