//! What a course is worth: held against the limits, and against the oracle's course over the same
//! frames. Pure.

use serde::Serialize;

use crate::stats::{mean, quantile};

use super::course::{Course, Moment, for_power};
use super::plant::meter::ceiling_c;
use super::scenario::Scenario;

/// Windows of the latency limit, s.
const WINDOW_S: f64 = 60.0;
/// Steady is when nothing has happened for so long, s.
const CALM_S: f64 = 300.0;

/// One course against the limits. Figures that a scenario does not have are `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Name of the controller.
    pub name: String,
    /// Most that the hottest zone was above the ceiling, °C; 0 if it never was.
    pub over_ceiling_c: f64,
    /// How long heat held the GPU's clock down, s.
    pub throttled_s: f64,
    /// Most that the mean power over the window was above the cap, per cent; 0 if it never was.
    pub power_over_cap_pct: Option<f64>,
    /// Most that it was below the cap while power alone kept engines from frames for the whole
    /// window, per cent; only of controllers that say what holds them down.
    pub power_under_cap_pct: Option<f64>,
    /// Share of the one-minute windows, of those in which some controller met the limit, in which
    /// 95 % of the frames were answered in time, per cent.
    pub deadline_hit_pct: Option<f64>,
    /// Energy of the board beyond the oracle's, per cent of it.
    pub energy_vs_oracle_pct: f64,
    /// Wrong answers beyond the oracle's, per cent of them.
    pub error_vs_oracle_pct: f64,
    /// Changes of any of the three sets in steady conditions, an hour; `None` without steady
    /// conditions.
    pub changes_per_hour: Option<f64>,
    /// Energy of the board, J.
    pub energy_j: f64,
    /// Share of the frames answered wrongly or not at all, per cent.
    pub error_pct: f64,
}

/// True for each one-minute window in which `course` met the latency limit; `None` for windows
/// without frames that were to be looked at.
pub fn met(course: &Course, scenario: &Scenario) -> Vec<Option<bool>> {
    let Some(limit) = scenario.limits.latency else { return Vec::new() };
    let windows = (scenario.duration_s / WINDOW_S) as usize;
    let mut by_window: Vec<Vec<f64>> = vec![Vec::new(); windows];
    for (at, latency) in &course.latencies {
        if let Some(window) = by_window.get_mut((at / WINDOW_S) as usize) {
            window.push(latency.unwrap_or(1e9));
        }
    }
    let fine = |mut window: Vec<f64>| {
        window.sort_by(f64::total_cmp);
        quantile(&window, 0.95).map(|p95| p95 <= limit.as_secs_f64())
    };
    by_window.into_iter().map(fine).collect()
}

/// Judges `course`. `oracle`: the oracle's over the same frames; `possible`: windows in which some
/// controller met the latency limit.
pub fn score(course: &Course, oracle: &Course, scenario: &Scenario, possible: &[bool]) -> Score {
    let ceiling = ceiling_c(&scenario.limits);
    let above = course.moments.iter().map(|moment| moment.hottest - ceiling).fold(0.0, f64::max);
    let hits: Vec<bool> = met(course, scenario)
        .iter()
        .zip(possible)
        .filter(|(_, possible)| **possible)
        .map(|(met, _)| met.unwrap_or(true))
        .collect();
    let share = |part: usize, of: usize| (of > 0).then(|| part as f64 * 100.0 / of as f64);
    let wrong = |course: &Course| (course.frames - course.right) as f64;
    let beyond =
        |value: f64, base: f64| if base > 0.0 { (value / base - 1.0) * 100.0 } else { 0.0 };
    let cap = scenario
        .limits
        .power
        .as_ref()
        .map(|power| (f64::from(power.cap.0), power.window.as_secs_f64()));
    Score {
        name: course.steer.clone(),
        over_ceiling_c: above,
        throttled_s: course.throttled_s,
        power_over_cap_pct: cap.map(|(cap, _)| over_cap(&course.moments, cap)),
        power_under_cap_pct: cap
            .filter(|_| course.explains)
            .map(|(cap, window)| under_cap(&course.moments, cap, window)),
        deadline_hit_pct: share(hits.iter().filter(|hit| **hit).count(), hits.len()),
        energy_vs_oracle_pct: beyond(course.total.board_mj, oracle.total.board_mj),
        error_vs_oracle_pct: beyond(wrong(course), wrong(oracle)),
        changes_per_hour: changes_per_hour(&course.moments, scenario),
        energy_j: course.total.board_mj / 1000.0,
        error_pct: wrong(course) * 100.0 / course.frames.max(1) as f64,
    }
}

fn over_cap(moments: &[Moment], cap: f64) -> f64 {
    moments
        .iter()
        .filter_map(|moment| moment.window_mw)
        .map(|mw| (mw / cap - 1.0) * 100.0)
        .fold(0.0, f64::max)
}

fn under_cap(moments: &[Moment], cap: f64, window_s: f64) -> f64 {
    let (mut since, mut worst) = (None, 0.0f64);
    for moment in moments {
        since = if for_power(&moment.grants) { since.or(Some(moment.at)) } else { None };
        if let (Some(since), Some(mw)) = (since, moment.window_mw)
            && moment.at - since >= window_s
        {
            worst = worst.max((1.0 - mw / cap) * 100.0);
        }
    }
    worst
}

fn changes_per_hour(moments: &[Moment], scenario: &Scenario) -> Option<f64> {
    let (mut steady_s, mut changes) = (0.0, 0u32);
    for pair in moments.windows(2) {
        if !scenario.is_steady(pair[1].at, CALM_S) {
            continue;
        }
        steady_s += pair[1].at - pair[0].at;
        changes += u32::from(pair[0].grants.sets() != pair[1].grants.sets());
    }
    (steady_s > 60.0).then(|| f64::from(changes) * 3600.0 / steady_s)
}

/// How several scores of the same controller are made into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Seeds of one scenario: the mean of everything.
    Seeds,
    /// Scenarios: the worst of what limits forbid, the mean of the rest.
    Scenarios,
}

/// One score of several; figures that none has stay `None`.
pub fn together(name: &str, scores: &[Score], over: Over) -> Score {
    let all = |of: &dyn Fn(&Score) -> f64| {
        mean(&scores.iter().map(of).collect::<Vec<_>>()).unwrap_or(0.0)
    };
    let some = |of: &dyn Fn(&Score) -> Option<f64>| {
        mean(&scores.iter().filter_map(of).collect::<Vec<_>>())
    };
    let worst = |of: &dyn Fn(&Score) -> Option<f64>| match over {
        Over::Seeds => some(of),
        Over::Scenarios => scores.iter().filter_map(of).reduce(f64::max),
    };
    Score {
        name: name.to_owned(),
        over_ceiling_c: worst(&|score| Some(score.over_ceiling_c)).unwrap_or(0.0),
        throttled_s: worst(&|score| Some(score.throttled_s)).unwrap_or(0.0),
        power_over_cap_pct: worst(&|score| score.power_over_cap_pct),
        power_under_cap_pct: worst(&|score| score.power_under_cap_pct),
        deadline_hit_pct: some(&|score| score.deadline_hit_pct),
        energy_vs_oracle_pct: all(&|score| score.energy_vs_oracle_pct),
        error_vs_oracle_pct: all(&|score| score.error_vs_oracle_pct),
        changes_per_hour: worst(&|score| score.changes_per_hour),
        energy_j: all(&|score| score.energy_j),
        error_pct: all(&|score| score.error_pct),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Because, Grants, Why};

    fn scenario() -> Scenario {
        let text = "name = \"t\"\ndescription = \"d\"\nduration-s = 600\nfps = 1\nambient-c = 25\nscene-s = 1\nmotion = 0.1\n\
                    [limits]\nlatency-ms = 100\npower-mw = 5000\npower-window-s = 10\ntemperature-c = 70\n";
        Scenario::parse(text, "t.toml").unwrap()
    }

    fn course(moments: Vec<Moment>) -> Course {
        Course { moments, frames: 100, right: 80, explains: true, ..Course::default() }
    }

    fn moment(at: f64, mw: f64, why: Why, admissible: u32) -> Moment {
        let because = Because { why, ..Because::default() };
        let grants =
            Grants { admissible, lower: admissible, upper: admissible, because, ..Grants::FREE };
        Moment { at, window_mw: Some(mw), hottest: 65.0, grants, ..Moment::default() }
    }

    #[test]
    fn power_counts_above_the_cap_always_and_below_it_only_while_power_holds_down() {
        let moments = vec![
            moment(1.0, 5100.0, Why::Power, 1),
            moment(5.0, 4000.0, Why::Power, 1), // not for a whole window yet
            moment(20.0, 4800.0, Why::Power, 1), // 4 % below
            moment(21.0, 3000.0, Why::Free, u32::MAX),
        ];
        let scored = score(&course(moments), &course(Vec::new()), &scenario(), &[]);
        assert!((scored.power_over_cap_pct.unwrap() - 2.0).abs() < 1e-9, "{scored:?}");
        assert!((scored.power_under_cap_pct.unwrap() - 4.0).abs() < 1e-9, "{scored:?}");
        assert_eq!(
            (scored.over_ceiling_c, scored.energy_vs_oracle_pct, scored.error_vs_oracle_pct),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn minutes_that_nobody_could_meet_do_not_count() {
        let mut late = course(Vec::new());
        late.latencies = (0..600).map(|at| (f64::from(at), (at >= 60).then_some(0.05))).collect();
        let met = met(&late, &scenario());
        assert_eq!((met[0], met[1], met.len()), (Some(false), Some(true), 10));
        let hit = |possible: &[bool]| {
            score(&late, &late, &scenario(), possible).deadline_hit_pct.unwrap()
        };
        assert!((hit(&[true; 10]) - 90.0).abs() < 1e-9);
        assert!(
            (hit(&[false, true, true, true, true, true, true, true, true, true]) - 100.0).abs()
                < 1e-9
        );
    }

    #[test]
    fn heat_is_the_worst_moment_and_changes_count_only_when_steady() {
        let mut moments: Vec<Moment> = (0..1200)
            .map(|at| moment(f64::from(at) * 0.5, 5000.0, Why::Power, 1 + (at / 100) as u32))
            .collect();
        moments[700].hottest = 71.5;
        let scored = score(&course(moments), &course(Vec::new()), &scenario(), &[]);
        assert!((scored.over_ceiling_c - 1.5).abs() < 1e-9);
        assert!((scored.changes_per_hour.unwrap() - 72.0).abs() < 1.0, "{scored:?}"); // one change in 50 s of the second half
    }

    #[test]
    fn scenarios_are_joined_by_their_worst_and_seeds_by_their_mean() {
        let of = |over_ceiling_c, error_vs_oracle_pct| Score {
            over_ceiling_c,
            error_vs_oracle_pct,
            ..Score::default()
        };
        let two = [of(0.0, 1.0), of(2.0, 3.0)];
        let (seeds, scenarios) =
            (together("x", &two, Over::Seeds), together("x", &two, Over::Scenarios));
        assert_eq!((seeds.over_ceiling_c, scenarios.over_ceiling_c), (1.0, 2.0));
        assert_eq!((seeds.error_vs_oracle_pct, scenarios.error_vs_oracle_pct), (2.0, 2.0));
    }
}
