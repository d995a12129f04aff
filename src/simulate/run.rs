//! One scenario, one controller: frames come, the real policy decides, the plant takes its time,
//! twice a second the controller is asked. Pure.
//!
//! One look at a time, as one GPU has it; the newest frame wins. A frame that is left out for the
//! interval or superseded is judged by the answer that stands, a frame without any is wrong.
//! Neither counts for latency: only frames that came to the first decision do, as in the daemon.

use std::time::Duration;

use crate::budget::{Grant, Grants, Look, Usage};
use crate::engine::{EngineIdx, LookTimes};
use crate::features::{COUNT, Features};
use crate::policy::{
    self, Allowance, Attempts, Choice, Code, LastAnswer, Past, Policy, Reason, Situation, Step,
    Terms, Verdict,
};
use crate::stats::LatencyWindow;
use crate::telemetry::Sample;

use super::course::{Course, Moment};
use super::engines::{PREPROCESS_MS, Spec};
use super::frames::{Camera, Judges, Shot};
use super::plant::meter::{Meter, Readings};
use super::plant::{EnergyTotals, Plant};
use super::scenario::{Scenario, What};
use super::steer::{Steer, View};

/// How often the controller is asked, s.
pub const PERIOD_S: f64 = 0.5;

/// A run under way.
struct Run<'a> {
    scenario: &'a Scenario,
    steer: &'a mut dyn Steer,
    sense: &'a mut Sense<'a>,
    pool: &'a [Spec],
    policy: &'a Policy,
    judges: Judges,
    plant: Plant,
    meter: Meter,
    next_event: usize,
    next_step: f64,
    grants: Grants,
    sample: Sample,
    windows: Vec<LatencyWindow>,
    usage: Usage,
    looks: Vec<Look>,
    moment: Moment,
    before: EnergyTotals,
    past_power: Vec<(f64, f64)>,
    past: Past,
    stands: Option<u32>,
    turn: Option<f64>,
    course: Course,
}

/// How readings become a sample: straight, or through files and the real telemetry.
pub type Sense<'a> = dyn FnMut(&Readings, Duration, &mut Sample) + 'a;

/// Runs `scenario` with everything drawn from `seed`. The same arguments give the same course.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    policy: &Policy,
    pool: &[Spec],
    steer: &mut dyn Steer,
) -> Course {
    run_with(scenario, seed, policy, pool, steer, &mut |readings, at, sample| {
        readings.sample(at, sample)
    })
}

/// The same, with another way from readings to samples.
pub fn run_with<'a>(
    scenario: &'a Scenario,
    seed: u64,
    policy: &'a Policy,
    pool: &'a [Spec],
    steer: &'a mut dyn Steer,
    sense: &'a mut Sense<'a>,
) -> Course {
    let begin = scenario.surroundings(0.0);
    let mut run = Run {
        scenario,
        policy,
        pool,
        judges: Judges::new(seed, pool),
        plant: Plant::new(seed, begin),
        meter: Meter::new(seed),
        next_event: 0,
        next_step: 0.0,
        grants: Grants::FREE,
        sample: Sample::default(),
        windows: pool.iter().map(window_of).collect(),
        usage: Usage::default(),
        looks: Vec::new(),
        moment: Moment::default(),
        before: EnergyTotals::default(),
        past_power: Vec::new(),
        past: Past::default(),
        stands: None,
        turn: None,
        course: Course { steer: steer.name(), explains: steer.explains(), ..Course::default() },
        steer,
        sense,
    };
    let mut camera = Camera::new(seed);
    let every = 1.0 / scenario.fps;
    let frames = (scenario.duration_s * scenario.fps) as u64;
    for number in 0..frames {
        let at = number as f64 * every;
        run.catch_up(at);
        let around = run.plant.around;
        let shot = camera.shoot((every / around.dwell_s).min(1.0), around.motion);
        run.frame(&shot, at, every);
    }
    run.catch_up(scenario.duration_s);
    run.course.total = run.plant.total();
    run.course.throttled_s = run.plant.throttled_s();
    run.course
}

/// What the daemon knows of an engine before the first look: its time at full clock, as the lab
/// measured it.
fn window_of(spec: &Spec) -> LatencyWindow {
    let ms = spec.ms + PREPROCESS_MS;
    LatencyWindow::new(
        Duration::from_secs_f64(ms / 1000.0),
        Duration::from_secs_f64(ms * 1.1 / 1000.0),
    )
}

impl Run<'_> {
    /// Lets time pass to `until`, with the controller's steps on the way.
    fn catch_up(&mut self, until: f64) {
        while self.next_step <= until {
            let at = self.next_step.max(self.plant.now());
            self.plant.idle_until(at);
            self.step();
            self.next_step = ((at / PERIOD_S).floor() + 1.0) * PERIOD_S;
        }
        self.plant.idle_until(until);
    }

    /// The end of a period.
    fn step(&mut self) {
        let now = self.plant.now();
        self.plant.surround(self.scenario.surroundings(now));
        while let Some(event) =
            self.scenario.events.get(self.next_event).filter(|event| event.at_s <= now)
        {
            match event.what {
                What::OverCurrent(seconds) => self.plant.clock.starve(seconds),
                What::Sensor(place, fault) => self.meter.fail(place, fault),
                _ => {}
            }
            self.next_event += 1;
        }
        self.close_moment(now);
        let readings = self.meter.read(&mut self.plant);
        (self.sense)(&readings, Duration::from_secs_f64(now), &mut self.sample);
        let terms: Vec<Terms> = self.windows.iter().map(terms_of).collect();
        let window_mw = self.window_mw(now);
        let view = View {
            now: Duration::from_secs_f64(now),
            sample: &self.sample,
            usage: &self.usage,
            looks: &self.looks,
            terms: &terms,
            plant: &self.plant,
            scenario: self.scenario,
            window_mw,
        };
        self.grants = self.steer.step(&view);
        self.usage = Usage::default();
        self.looks.clear();
    }

    fn close_moment(&mut self, now: f64) {
        let total = self.plant.total();
        let seconds = total.seconds - self.before.seconds;
        if seconds <= 0.0 {
            return;
        }
        self.past_power.push((now, total.board_mj));
        let mut moment = std::mem::take(&mut self.moment);
        moment.at = now;
        moment.hottest = self.plant.heat.hottest();
        moment.board_mw = (total.board_mj - self.before.board_mj) / seconds;
        moment.clock = self.plant.clock.ghz() * 1000.0;
        moment.grants = self.grants;
        let whole =
            self.scenario.limits.power.as_ref().is_some_and(|cap| now >= cap.window.as_secs_f64());
        moment.window_mw = self.window_mw(now).filter(|_| whole);
        self.course.moments.push(moment);
        self.before = total;
    }

    /// Mean power over the window of the power limit, or over what has passed of it, mW.
    fn window_mw(&self, now: f64) -> Option<f64> {
        let cap = self.scenario.limits.power.as_ref()?;
        let from = now - cap.window.as_secs_f64();
        let place = self.past_power.partition_point(|(at, _)| *at < from - 1e-6);
        let (start, energy) = if from <= 0.0 { (0.0, 0.0) } else { *self.past_power.get(place)? };
        let passed = now - start;
        (passed > 0.4).then(|| (self.plant.total().board_mj - energy) / passed)
    }

    /// One frame, captured at `at`.
    fn frame(&mut self, shot: &Shot, at: f64, every: f64) {
        self.course.frames += 1;
        self.moment.frames += 1;
        if self.plant.now() >= at + every {
            return self.judge(shot); // a newer frame is there already: superseded
        }
        self.usage.frames += 1;
        let mut attempts = Attempts::default();
        let choice = {
            let features = Features { values: [0.0; COUNT] };
            let situation = Situation {
                sequence: shot.sequence,
                camera: 0,
                captured: Duration::from_secs_f64(at),
                features: &features,
                glimpse: &shot.glimpse,
                past: &self.past,
            };
            policy::first_within(
                self.policy,
                &situation,
                &self.allowance(shot.sequence, at, self.rests(at)),
            )
            .decision
        };
        let (mut engine, mut why) = match choice {
            Choice::Ask(engine, why) => (engine, why),
            Choice::Reuse(_) => {
                self.answered(at);
                return self.judge(shot);
            }
            Choice::Abstain(_) if self.rests(at) => return self.judge(shot),
            Choice::Abstain(why) => {
                self.forgive(why, at, &attempts);
                self.late(at);
                self.stands = None;
                return self.judge(shot);
            }
        };
        self.next_turn(at);
        let verdict = loop {
            self.look(engine, why, shot, &mut attempts);
            match policy::after_within(
                self.policy,
                &attempts,
                &self.allowance(shot.sequence, at, false),
            )
            .decision
            {
                Verdict::Escalate(next, reason) => (engine, why) = (next, reason),
                end => break end,
            }
        };
        let (Verdict::Accept(end) | Verdict::Abstain(end) | Verdict::Escalate(_, end)) = verdict;
        self.forgive(end, at, &attempts);
        self.stands = match verdict {
            Verdict::Accept(_) if attempts.answer.ranked > 0 => Some(attempts.answer.top[0].class),
            _ => None,
        };
        self.past.last =
            attempts.steps.last().filter(|_| self.stands.is_some()).map(|step| LastAnswer {
                top: attempts.answer.top[0],
                margin: attempts.answer.margin,
                entropy: attempts.answer.entropy,
                engine: step.engine,
                sure: verdict.is_sure(),
                glimpse: shot.glimpse,
                sequence: shot.sequence,
                captured: Duration::from_secs_f64(at),
            });
        self.answered(at);
        self.judge(shot);
    }

    fn look(&mut self, engine: EngineIdx, why: Reason, shot: &Shot, attempts: &mut Attempts) {
        let place = usize::from(engine.0);
        let seconds = self.plant.look(&self.pool[place]);
        let time = Duration::from_secs_f64(seconds);
        self.judges.look(place, shot, &mut attempts.answer);
        self.windows[place].add(time);
        self.usage.looks[place] += 1;
        self.usage.busy[place] += time;
        self.looks.push(Look { engine, time, crowded: false });
        self.moment.looks[place] += 1;
        attempts.steps.push(Step {
            engine,
            why,
            answered: true,
            queued: Duration::ZERO,
            times: LookTimes { run: time, ..LookTimes::default() },
            top: attempts.answer.top[0],
            margin: attempts.answer.margin,
            entropy: attempts.answer.entropy,
        });
    }

    /// Engines that were turned down for being too slow are let forget a little, as the daemon's
    /// are.
    fn forgive(&mut self, why: Reason, at: f64, attempts: &Attempts) {
        let (Code::OutOfTime | Code::Cheaper, Some(limit)) =
            (why.code, self.scenario.limits.latency)
        else {
            return;
        };
        let left = limit.saturating_sub(Duration::from_secs_f64((self.plant.now() - at).max(0.0)));
        for (place, window) in self.windows.iter_mut().enumerate() {
            if window.p95() > left && !attempts.asked(EngineIdx(place as u8)) {
                window.ease();
            }
        }
    }

    /// What is allowed for a frame captured at `at`.
    fn allowance(&self, sequence: u64, at: f64, rests: bool) -> Allowance {
        let grant = Grant::of(&self.grants, sequence, rests);
        let mut allowance = Allowance { reuse: self.policy.reuse(), grant, ..Allowance::default() };
        let spent = Duration::from_secs_f64((self.plant.now() - at).max(0.0));
        allowance.remaining = self.scenario.limits.latency.map(|limit| limit.saturating_sub(spent));
        for (terms, window) in allowance.engines.iter_mut().zip(&self.windows) {
            *terms = Some(terms_of(window));
        }
        allowance
    }

    /// True if it is not yet the turn of a frame captured at `at`.
    fn rests(&self, at: f64) -> bool {
        !self.grants.interval.is_zero() && self.turn.is_some_and(|turn| at < turn - 1e-9)
    }

    /// The frame captured at `at` is looked at. Turns keep their rhythm, as the daemon's do.
    fn next_turn(&mut self, at: f64) {
        let interval = self.grants.interval.as_secs_f64();
        let rhythm = self.turn.map_or(at, |turn| turn + interval);
        self.turn = Some(rhythm.clamp(at + interval / 2.0, at + interval));
    }

    fn answered(&mut self, at: f64) {
        let latency = (self.plant.now() - at).max(0.0);
        match self.scenario.limits.latency {
            Some(limit) if latency > limit.as_secs_f64() => self.late(at),
            _ => {
                self.usage.in_time += 1;
                self.course.latencies.push((at, Some(latency)));
            }
        }
    }

    fn late(&mut self, at: f64) {
        self.usage.late += 1;
        self.course.latencies.push((at, None));
    }

    /// Is the answer that stands right for this frame?
    fn judge(&mut self, shot: &Shot) {
        let right = self.stands == Some(shot.class) && !self.plant.is_off();
        self.course.right += u64::from(right);
        self.moment.right += u32::from(right);
    }
}

fn terms_of(window: &LatencyWindow) -> Terms {
    Terms { wait: Duration::ZERO, p50: window.p50(), p95: window.p95() }
}

#[cfg(test)]
mod tests {
    use super::super::engines::{policy, pool};
    use super::super::steer::Always;
    use super::*;

    fn scenario() -> Scenario {
        let text = "name = \"t\"\ndescription = \"d\"\nduration-s = 120\nfps = 10\nambient-c = 25\nscene-s = 1\nmotion = 0.2\n\
                    [limits]\nlatency-ms = 300\npower-mw = 9000\npower-window-s = 30\n";
        Scenario::parse(text, "t.toml").unwrap()
    }

    fn always(mask: u32, interval: Duration) -> Course {
        let mut steer = Always { name: "x".into(), mask, interval };
        run(&scenario(), 3, &policy(), &pool(), &mut steer)
    }

    #[test]
    fn a_run_is_the_same_each_time_and_every_frame_is_judged() {
        let (a, b) = (always(0b1111, Duration::ZERO), always(0b1111, Duration::ZERO));
        assert_eq!((a.right, a.total, &a.moments), (b.right, b.total, &b.moments));
        assert_eq!(a.frames, 1200);
        assert_eq!(a.frames, a.moments.iter().map(|moment| u64::from(moment.frames)).sum::<u64>());
        assert!((a.total.seconds - 120.0).abs() < 0.2);
    }

    #[test]
    fn only_engines_that_are_allowed_look() {
        let course = always(0b0101, Duration::ZERO);
        let looks =
            |place: usize| course.moments.iter().map(|moment| moment.looks[place]).sum::<u32>();
        assert_eq!((looks(1), looks(3)), (0, 0));
        assert!(looks(0) == 1200 && looks(2) > 200, "{} {}", looks(0), looks(2));
    }

    #[test]
    fn dearer_engines_draw_more_and_are_right_more_often() {
        let (cheap, dear) = (always(0b0001, Duration::ZERO), always(0b1000, Duration::ZERO));
        assert!(dear.total.board_mj > cheap.total.board_mj * 1.5 && dear.right > cheap.right + 200);
        let half = always(0b1000, Duration::from_millis(200));
        let idle = super::super::plant::IDLE_MW * 120.0;
        let ratio = (dear.total.board_mj - idle) / (half.total.board_mj - idle);
        assert!(ratio > 1.7 && ratio < 2.3, "{ratio}");
    }

    #[test]
    fn the_window_of_power_is_the_mean_of_the_last_seconds() {
        let course = always(0b1000, Duration::ZERO);
        let last = course.moments.last().unwrap();
        let recent: Vec<f64> = course
            .moments
            .iter()
            .filter(|moment| moment.at > last.at - 30.0)
            .map(|m| m.board_mw)
            .collect();
        let mean = crate::stats::mean(&recent).unwrap();
        assert!((last.window_mw.unwrap() / mean - 1.0).abs() < 0.02, "{:?} {mean}", last.window_mw);
        assert_eq!(course.moments.iter().find(|moment| moment.at > 25.0).unwrap().window_mw, None);
    }
}
