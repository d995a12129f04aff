//! The oracle: knows the plant and the scenario, not which frame is right. Every period it takes
//! the mix of two sets of engines with the least error that the limits leave, and of equals the one
//! with the least energy. Pure.
//!
//! What each set of engines draws, how often it errs and how long it takes is found by letting the
//! same policy run with it on the same plant, in the same surroundings, on frames of a seed of its
//! own: that is what "knows the plant" means. It never draws more than with every engine allowed,
//! which is what the policy does when nothing limits it. It spends the power that keeps the window
//! of the power limit exactly at the cap, and heats the board exactly to the ceiling.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::budget::{Because, Grants, Why};
use crate::policy::Policy;
use crate::stats::quantile;

use super::engines::Spec;
use super::plant::meter::ceiling_c;
use super::run::run;
use super::scenario::Scenario;
use super::steer::{Always, Steer, View};

/// Seed of the frames that sets are tried on.
const SEED: u64 = 0x0AC1E;
/// Frames for each trial, and scenes at least, as long as it takes no more than an hour.
const FRAMES: f64 = 4000.0;
const SCENES: f64 = 200.0;
/// It looks so far ahead for heat, s.
const AHEAD_S: f64 = 15.0;
/// Below the ceiling, °C: a look does not end at once.
const MARGIN_C: f64 = 0.05;
/// What was spent above the cap is made up for over this long, s.
const MAKE_UP_S: f64 = 8.0;
/// Most that is remembered of what was spent above it, as a share of a window at the cap.
const DEBT: f64 = 0.1;
/// Share of a window at the cap that may be saved and spent later.
const SPARE: f64 = 0.01;

/// A set of engines in certain surroundings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// A bit each.
    pub mask: u32,
    /// Mean power of the board, mW.
    pub mw: f64,
    /// Share of frames answered wrongly.
    pub error: f64,
    /// 95th percentile of the latency, s; infinite if more than 5 % are late.
    pub p95_s: f64,
}

/// Surroundings that matter for a trial, rounded: power mode, background in 5 %, mean scene in 5 %
/// steps, motion in %.
type Key = (String, usize, i64, i64, i64);

/// Trials done so far; they may be shared by many oracles.
pub type Trials = Rc<RefCell<BTreeMap<Key, Rc<[Arm]>>>>;

/// The oracle.
pub struct Oracle<'a> {
    policy: &'a Policy,
    pool: &'a [Spec],
    trials: Trials,
    /// What the cap would have let it spend, mJ; below 0 it has spent more.
    saved_mj: f64,
    was: (f64, f64),
}

impl<'a> Oracle<'a> {
    /// Drives `policy` over `pool`.
    pub fn new(policy: &'a Policy, pool: &'a [Spec], trials: Trials) -> Self {
        Self { policy, pool, trials, saved_mj: 0.0, was: (0.0, 0.0) }
    }

    /// The sets that are worth mixing at `now`, s, cheapest first, each with less error than the
    /// one before.
    pub fn arms(&self, scenario: &Scenario, now: f64) -> Rc<[Arm]> {
        let around = scenario.surroundings(now);
        let rounded = |value: f64, step: f64| (value / step).round() as i64;
        let key = (
            scenario.name.clone(),
            around.mode,
            rounded(around.background, 0.05),
            rounded(around.dwell_s.ln(), 0.1),
            rounded(around.motion, 0.01),
        );
        if let Some(known) = self.trials.borrow().get(&key) {
            return known.clone();
        }
        let still = scenario
            .still(now, (FRAMES / scenario.fps).max(SCENES * around.dwell_s).clamp(60.0, 3600.0));
        let all = (1u32 << self.pool.len()) - 1;
        let tried: Vec<Arm> = (1..=all).map(|mask| self.try_out(&still, mask)).collect();
        let arms: Rc<[Arm]> = worth_mixing(tried, all).into();
        self.trials.borrow_mut().insert(key, arms.clone());
        arms
    }

    fn try_out(&self, still: &Scenario, mask: u32) -> Arm {
        let mut steer = Always { name: String::new(), mask, interval: Duration::ZERO };
        let course = run(still, SEED, self.policy, self.pool, &mut steer);
        let mut ascending: Vec<f64> =
            course.latencies.iter().map(|(_, latency)| latency.unwrap_or(f64::INFINITY)).collect();
        ascending.sort_by(f64::total_cmp);
        let p95_s = quantile(&ascending, 0.95).filter(|p95| !p95.is_nan()).unwrap_or(f64::INFINITY);
        let error = 1.0 - course.right as f64 / course.frames.max(1) as f64;
        Arm { mask, mw: course.total.board_mj / course.total.seconds.max(1e-9), error, p95_s }
    }
}

/// Of the sets that draw no more than all engines together and answer in time (those that come
/// nearest where none does), the lower hull of error over power.
fn worth_mixing(mut arms: Vec<Arm>, all: u32) -> Vec<Arm> {
    let most = arms.iter().find(|arm| arm.mask == all).map_or(f64::INFINITY, |arm| arm.mw);
    arms.retain(|arm| arm.mw <= most * 1.001);
    if arms.iter().any(|arm| arm.p95_s.is_finite()) {
        arms.retain(|arm| arm.p95_s.is_finite());
    }
    arms.sort_by(|a, b| a.mw.total_cmp(&b.mw).then(a.error.total_cmp(&b.error)));
    let mut hull: Vec<Arm> = Vec::new();
    for arm in arms {
        if hull.last().is_some_and(|last| arm.error >= last.error) {
            continue;
        }
        while let [.., a, b] = hull[..] {
            // `b` lies above the line from `a` to `arm`: a mix of the two is better.
            let on_line =
                a.error + (arm.error - a.error) * (b.mw - a.mw) / (arm.mw - a.mw).max(1e-9);
            if b.error < on_line {
                break;
            }
            hull.pop();
        }
        hull.push(arm);
    }
    hull
}

impl Steer for Oracle<'_> {
    fn name(&self) -> String {
        "oracle".into()
    }

    fn explains(&self) -> bool {
        true
    }

    fn step(&mut self, view: &View) -> Grants {
        let now = view.now.as_secs_f64();
        let (scenario, plant) = (view.scenario, view.plant);
        let arms = self.arms(scenario, now);
        let limits = &scenario.limits;
        let for_heat = plant.heat.affordable_mw(
            ceiling_c(limits) - MARGIN_C,
            AHEAD_S,
            plant.around.ambient_c,
            plant.around.sink_c_per_w,
        );
        let spent = plant.total().board_mj;
        let (seconds, drawn_mj) = (now - self.was.0, spent - self.was.1);
        self.was = (now, spent);
        let for_power = limits.power.as_ref().map_or(f64::INFINITY, |power| {
            let (cap, window_s) = (f64::from(power.cap.0), power.window.as_secs_f64());
            // What was saved cannot be spent: a later window would hold what was spent and not what
            // was saved.
            self.saved_mj = (self.saved_mj + cap * seconds - drawn_mj)
                .clamp(-DEBT * cap * window_s, SPARE * cap * window_s);
            cap + self.saved_mj / MAKE_UP_S
        });
        let (budget, why) = if for_heat < for_power {
            (for_heat, Why::Temperature)
        } else {
            (for_power, Why::Power)
        };
        mix(&arms, budget, why, 1.0 / scenario.fps)
    }
}

/// The mix of two neighbours of the hull that draws `budget` mW, or the last set where that is
/// enough.
fn mix(arms: &[Arm], budget: f64, why: Why, every_s: f64) -> Grants {
    let because = |why| Because { why, value: None, limit: None, zone: None };
    let (Some(first), Some(last)) = (arms.first(), arms.last()) else { return Grants::FREE };
    let free = Grants {
        admissible: last.mask,
        lower: last.mask,
        upper: last.mask,
        because: because(Why::Free),
        ..Grants::FREE
    };
    if budget >= last.mw {
        return free;
    }
    if budget < first.mw {
        let idle = super::plant::IDLE_MW;
        let share = ((budget - idle) / (first.mw - idle)).clamp(0.02, 1.0);
        let interval = Duration::from_secs_f64(every_s / share);
        return Grants {
            admissible: first.mask,
            lower: first.mask,
            upper: first.mask,
            interval,
            because: because(why),
            ..free
        };
    }
    let above = arms.iter().position(|arm| arm.mw > budget).unwrap_or(arms.len() - 1).max(1);
    let (low, high) = (arms[above - 1], arms[above]);
    let upper_share = ((budget - low.mw) / (high.mw - low.mw).max(1e-9)).clamp(0.0, 1.0) as f32;
    Grants {
        admissible: low.mask,
        lower: low.mask,
        upper: high.mask,
        upper_share,
        because: because(why),
        ..free
    }
}

#[cfg(test)]
mod tests {
    use super::super::engines::{policy, pool};
    use super::*;

    fn arm(mask: u32, mw: f64, error: f64) -> Arm {
        Arm { mask, mw, error, p95_s: 0.1 }
    }

    #[test]
    fn only_sets_on_the_hull_are_mixed() {
        let arms = vec![
            arm(1, 3000.0, 0.6),
            arm(2, 4000.0, 0.5),
            arm(4, 5000.0, 0.2),
            arm(8, 4900.0, 0.4),
            arm(15, 6000.0, 0.19),
        ];
        let masks: Vec<u32> = worth_mixing(arms, 15).iter().map(|arm| arm.mask).collect();
        assert_eq!(masks, [1, 4, 15]);
    }

    #[test]
    fn sets_that_are_late_count_only_where_none_is_in_time() {
        let late = |mut arm: Arm| {
            arm.p95_s = f64::INFINITY;
            arm
        };
        assert_eq!(worth_mixing(vec![arm(1, 3000.0, 0.6), late(arm(3, 5000.0, 0.2))], 3).len(), 1);
        assert_eq!(
            worth_mixing(vec![late(arm(1, 3000.0, 0.6)), late(arm(3, 5000.0, 0.2))], 3).len(),
            2
        );
    }

    #[test]
    fn mixes_spend_the_budget_and_below_the_cheapest_set_leave_frames_out() {
        let arms = [arm(1, 3000.0, 0.6), arm(3, 5000.0, 0.2)];
        let half = mix(&arms, 4000.0, Why::Power, 0.1);
        assert_eq!((half.admissible, half.upper), (1, 3));
        assert!((half.upper_share - 0.5).abs() < 1e-6);
        assert_eq!(mix(&arms, 9000.0, Why::Power, 0.1).because.why, Why::Free);
        let starved = mix(&arms, 2725.0, Why::Temperature, 0.1);
        assert!((starved.interval.as_secs_f64() - 0.2).abs() < 1e-6, "{:?}", starved.interval);
    }

    #[test]
    fn the_oracle_holds_a_power_cap_that_costs_accuracy() {
        let text = "name = \"t\"\ndescription = \"d\"\nduration-s = 600\nfps = 10\nambient-c = 25\nscene-s = 1\nmotion = 0.12\n\
                    [limits]\npower-mw = 4300\npower-window-s = 60\n";
        let scenario = Scenario::parse(text, "t.toml").unwrap();
        let (policy, pool) = (policy(), pool());
        let course =
            run(&scenario, 3, &policy, &pool, &mut Oracle::new(&policy, &pool, Trials::default()));
        let windows: Vec<f64> = course
            .moments
            .iter()
            .filter(|moment| moment.at > 90.0)
            .filter_map(|m| m.window_mw)
            .collect();
        assert!(windows.len() > 900);
        assert!(windows.iter().all(|mw| *mw < 4300.0 * 1.04), "{windows:?}");
        let mean = crate::stats::mean(&windows).unwrap();
        assert!((mean / 4300.0 - 1.0).abs() < 0.03, "{mean}"); // single windows are lower where scenes are easy
    }
}
