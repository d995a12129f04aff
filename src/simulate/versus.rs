//! One scenario, everybody: the oracle, the controller in question and the rivals over the same
//! frames. Pure.

use serde::Serialize;

use crate::policy::Policy;

use super::course::Course;
use super::engines::Spec;
use super::oracle::{Oracle, Trials};
use super::rivals::{Ladder, Quick, fixed};
use super::run::run;
use super::scenario::Scenario;
use super::score::{Over, Score, met, score, together};
use super::steer::Steer;

/// Names of the rivals in tables, in order.
pub const RIVALS: [&str; 3] = ["best fixed engine", "temperature ladder", "latency only"];
/// What still counts as held when a fixed engine is chosen: °C above the ceiling, and per cent
/// above the cap.
const HELD: (f64, f64) = (0.1, 3.0);
/// Least share of the minutes in time that still counts as held, per cent.
const IN_TIME: f64 = 99.0;

/// One scenario with one seed.
#[derive(Clone, Debug)]
pub struct Match {
    /// The controller in question.
    pub own: (Score, Course),
    /// The oracle.
    pub oracle: (Score, Course),
    /// In the order of [`RIVALS`].
    pub rivals: Vec<(Score, Course)>,
}

/// Lets everybody run.
pub fn play(
    scenario: &Scenario,
    seed: u64,
    policy: &Policy,
    pool: &[Spec],
    own: &mut dyn Steer,
    trials: &Trials,
) -> Match {
    let drive = |steer: &mut dyn Steer| run(scenario, seed, policy, pool, steer);
    let own = drive(own);
    let oracle = drive(&mut Oracle::new(policy, pool, trials.clone()));
    let fixed: Vec<Course> = fixed().iter_mut().map(|steer| drive(steer)).collect();
    let adaptive = [drive(&mut Ladder::default()), drive(&mut Quick)];

    let everybody = || [&own, &oracle].into_iter().chain(&fixed).chain(&adaptive);
    let mut possible: Vec<bool> = Vec::new();
    for course in everybody() {
        let met = met(course, scenario);
        possible.resize(met.len().max(possible.len()), false);
        possible.iter_mut().zip(met).for_each(|(possible, met)| *possible |= met == Some(true));
    }
    let judge = |course: Course| (score(&course, &oracle, scenario, &possible), course);
    let best = fixed
        .into_iter()
        .map(judge)
        .reduce(|held, next| if better(&next.0, &held.0) { next } else { held });
    let adaptive = adaptive.into_iter().map(judge);
    let rivals = best.into_iter().chain(adaptive).collect();
    let own = judge(own);
    let oracle_score = score(&oracle, &oracle, scenario, &possible);
    Match { own, oracle: (oracle_score, oracle), rivals }
}

/// How far a score is outside the limits, in limits; 0 if it holds them.
fn broken(score: &Score) -> f64 {
    let heat = (score.over_ceiling_c - HELD.0).max(0.0);
    let power = (score.power_over_cap_pct.unwrap_or(0.0) - HELD.1).max(0.0);
    let time = (IN_TIME - score.deadline_hit_pct.unwrap_or(100.0)).max(0.0);
    heat + power + time
}

/// True if fixed engine `a` is to be preferred to `b`: it breaks the limits less, or holds them and
/// errs less.
fn better(a: &Score, b: &Score) -> bool {
    (broken(a), a.error_pct) < (broken(b), b.error_pct)
}

/// A scenario, or all of them, in one: what is printed.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Name of the scenario, or `total`.
    pub scenario: String,
    /// The controller in question.
    pub squint: Score,
    /// The oracle.
    pub oracle: Score,
    /// In the order of [`RIVALS`].
    pub rivals: Vec<Score>,
}

/// The seeds of one scenario.
pub fn of_seeds(scenario: &str, matches: &[Match]) -> Summary {
    let own: Vec<Score> = matches.iter().map(|one| one.own.0.clone()).collect();
    let oracle: Vec<Score> = matches.iter().map(|one| one.oracle.0.clone()).collect();
    let rival = |(place, name): (usize, &&str)| {
        let scores: Vec<Score> = matches
            .iter()
            .filter_map(|one| one.rivals.get(place))
            .map(|rival| rival.0.clone())
            .collect();
        together(name, &scores, Over::Seeds)
    };
    Summary {
        scenario: scenario.to_owned(),
        squint: together("squint", &own, Over::Seeds),
        oracle: together("oracle", &oracle, Over::Seeds),
        rivals: RIVALS.iter().enumerate().map(rival).collect(),
    }
}

/// All scenarios.
pub fn total(summaries: &[Summary]) -> Summary {
    let of = |pick: &dyn Fn(&Summary) -> Option<&Score>, name: &str| {
        let scores: Vec<Score> =
            summaries.iter().filter_map(|summary| pick(summary).cloned()).collect();
        together(name, &scores, Over::Scenarios)
    };
    Summary {
        scenario: "total".into(),
        squint: of(&|summary| Some(&summary.squint), "squint"),
        oracle: of(&|summary| Some(&summary.oracle), "oracle"),
        rivals: RIVALS
            .iter()
            .enumerate()
            .map(|(place, name)| of(&|summary| summary.rivals.get(place), name))
            .collect(),
    }
}
