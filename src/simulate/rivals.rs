//! Simpler ways to drive the board, on the same frames: one engine for ever, a ladder of
//! temperatures, and whatever is quick enough. Pure.

use std::time::Duration;

use crate::budget::Grants;

use super::engines::POOL;
use super::plant::meter::ceiling_c;
use super::steer::{Always, Steer, View, only};

/// One fixed engine each; the best of them is chosen afterwards ([`super::versus`]).
pub fn fixed() -> Vec<Always> {
    let of = |(place, name): (usize, &&str)| Always {
        name: format!("fixed {name}"),
        mask: 1 << place,
        interval: Duration::ZERO,
    };
    POOL.iter().enumerate().map(of).collect()
}

/// One engine at a time, by the hottest zone alone: one down every ten seconds while it is within
/// 5 °C of the ceiling, one up once it has been 10 °C below for a minute. Knows nothing of power
/// and time.
#[derive(Clone, Debug)]
pub struct Ladder {
    rung: usize,
    moved_s: f64,
    cool_since_s: Option<f64>,
}

impl Default for Ladder {
    fn default() -> Self {
        Self { rung: POOL.len() - 1, moved_s: f64::NEG_INFINITY, cool_since_s: None }
    }
}

impl Steer for Ladder {
    fn name(&self) -> String {
        "temperature ladder".into()
    }

    fn step(&mut self, view: &View) -> Grants {
        let now = view.now.as_secs_f64();
        let ceiling = ceiling_c(&view.scenario.limits);
        // The placeholder of the power chip is left out; zones that read nothing are, too.
        let governing = view.sample.temperatures.iter().take(4).flatten();
        let hottest = governing.map(|zone| f64::from(zone.0)).reduce(f64::max);
        if let Some(hottest) = hottest {
            self.cool_since_s =
                if hottest < ceiling - 10.0 { self.cool_since_s.or(Some(now)) } else { None };
            if hottest > ceiling - 5.0 && now - self.moved_s >= 10.0 && self.rung > 0 {
                (self.rung, self.moved_s) = (self.rung - 1, now);
            } else if self.cool_since_s.is_some_and(|since| now - since >= 60.0)
                && self.rung + 1 < POOL.len()
            {
                (self.rung, self.moved_s, self.cool_since_s) = (self.rung + 1, now, Some(now));
            }
        }
        only(1 << self.rung, Duration::ZERO)
    }
}

/// The dearest engine whose 95th percentile is within the latency limit, or within the time between
/// two frames where there is none. Knows nothing of power and heat.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quick;

impl Steer for Quick {
    fn name(&self) -> String {
        "latency only".into()
    }

    fn step(&mut self, view: &View) -> Grants {
        let every = Duration::from_secs_f64(1.0 / view.scenario.fps);
        let limit = view.scenario.limits.latency.map_or(every, |limit| limit.min(every));
        let rung = view.terms.iter().rposition(|terms| terms.p95 <= limit).unwrap_or(0);
        only(1 << rung, Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::super::engines::{policy, pool};
    use super::super::run::run;
    use super::super::scenario::Scenario;
    use super::*;

    fn scenario(rest: &str) -> Scenario {
        let text = format!(
            "name = \"t\"\ndescription = \"d\"\nduration-s = 600\nfps = 12\nambient-c = 25\nscene-s = 1\nmotion = 0.1\n[limits]\n{rest}"
        );
        Scenario::parse(&text, "t.toml").unwrap()
    }

    #[test]
    fn the_ladder_steps_down_in_the_heat_and_stays_up_in_the_cool() {
        let shown = |ceiling: u32| {
            let course = run(
                &scenario(&format!("temperature-c = {ceiling}\n")),
                1,
                &policy(),
                &pool(),
                &mut Ladder::default(),
            );
            course.moments.last().unwrap().grants.admissible
        };
        assert_eq!(shown(85), 0b1000);
        assert!(shown(40) < 0b1000);
    }

    #[test]
    fn the_quick_one_takes_what_the_limit_leaves() {
        let shown = |limit: u32| {
            let course = run(
                &scenario(&format!("latency-ms = {limit}\n")),
                1,
                &policy(),
                &pool(),
                &mut Quick,
            );
            course.moments.last().unwrap().grants.admissible
        };
        assert_eq!(shown(1), 0b0001);
        assert!(shown(300) > shown(12), "{} {}", shown(300), shown(12));
    }
}
