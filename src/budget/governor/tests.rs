//! The governor against a small plant: idle, power of looks, first-order heat, noise. The published
//! simulator has a board of its own.

use super::*;
use crate::budget::costs::Prior;
use crate::budget::grants::{Look, PowerCap};
use crate::engine::EngineIdx;
use crate::stats::{splitmix64, unit};
use crate::telemetry::{Rail, Zone};
use crate::units::{Millijoules, Milliwatts};

/// Three engines of 8, 20 and 50 ms that draw 6 W while they look.
const TIMES_MS: [f64; 3] = [8.0, 20.0, 50.0];
const WATTS: f64 = 6.0;

struct Plant {
    now: Duration,
    idle_w: f64,
    room: f64,
    r: f64,
    tau_s: f64,
    temperature: f64,
    fps: f64,
    power: f64,
    hottest: f64,
    joules: f64,
    seconds: f64,
    levels: f64,
    draw: u64,
    slow: f64,
    frame: u64,
    owed: f64,
    costs: Costs,
    governor: Governor,
    still: f64,
    late: f64,
    blind: [bool; 2],
    alarms: u64,
    throttling: bool,
}

fn inventory() -> Inventory {
    Inventory {
        rails: vec![Rail { name: "VDD_IN".into(), origin: "test".into(), sum: false }],
        total: Some(0),
        zones: vec![Zone {
            name: "GPU-therm".into(),
            origin: "test".into(),
            trips: vec![],
            throttle_at: Some(Celsius(95.5)),
            governs: true,
        }],
        ..Inventory::default()
    }
}

fn ms(value: f64) -> Duration {
    Duration::from_secs_f64(value / 1000.0)
}

fn cap(milliwatts: f32) -> Limits {
    Limits {
        power: Some(PowerCap {
            rail: None,
            cap: Milliwatts(milliwatts),
            window: Duration::from_secs(60),
        }),
        ..Limits::default()
    }
}

fn available() -> [Ability; 3] {
    [(0, 0.5), (1, 0.7), (2, 0.8)]
        .map(|(engine, accuracy)| Ability { engine: EngineIdx(engine), accuracy: Some(accuracy) })
}

impl Plant {
    fn new(limits: Limits, profile_off: f64) -> Self {
        let priors = TIMES_MS.map(|time| {
            Some(Prior {
                p50: ms(time),
                p95: ms(time * 1.1),
                energy: Some(Millijoules(time * WATTS * profile_off)),
            })
        });
        let costs = Costs::new(&priors);
        let governor = Governor::new(limits, &inventory(), &available(), 1, &costs);
        Self {
            now: Duration::ZERO,
            idle_w: 4.0,
            room: 25.0,
            r: 1.5,
            tau_s: 90.0,
            temperature: 31.0,
            fps: 15.0,
            power: 4.0,
            hottest: 0.0,
            joules: 0.0,
            seconds: 0.0,
            levels: 0.0,
            draw: 7,
            slow: 1.0,
            frame: 0,
            owed: 0.0,
            costs,
            governor,
            still: 0.0,
            late: 0.0,
            blind: [false; 2],
            alarms: 0,
            throttling: false,
        }
    }

    fn random(&mut self) -> f64 {
        self.draw += 1;
        unit(splitmix64(self.draw)) - 0.5
    }

    /// Half a second: the dearest engine allowed looks at every frame that is due, the cheapest if
    /// there is no second look.
    fn step(&mut self) -> Grants {
        let grants = self.governor.grants();
        let Grants { admissible, upper, lower, .. } = grants;
        assert!(lower & !admissible == 0 && admissible & !upper == 0, "nested: {grants:?}");
        assert!(admissible == 0 || lower != 0, "somebody may always look: {grants:?}");
        let mut usage = Usage::default();
        let gap = grants.interval.as_secs_f64().max(1.0 / self.fps);
        self.owed += 0.5 / gap;
        // A scene lasts a second, and in so many of them nothing moves.
        let reused = unit(splitmix64(self.now.as_secs())) < self.still;
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            self.frame += 1;
            usage.frames += 1;
            if reused {
                continue;
            }
            let admitted = |engine: &u8| grants.admits(EngineIdx(*engine), self.frame);
            // Who may not look twice asks the cheapest one.
            let looks = if grants.escalation {
                (0..3u8).rev().find(admitted)
            } else {
                (0..3u8).find(admitted)
            };
            let Some(engine) = looks else { continue };
            let time = ms(TIMES_MS[usize::from(engine)] * self.slow * (1.0 + 0.1 * self.random()));
            self.costs.look(&Look { engine: EngineIdx(engine), time, crowded: false });
            usage.looks[usize::from(engine)] += 1;
            usage.busy[usize::from(engine)] += time;
        }
        (usage.late, usage.in_time) =
            ((100.0 * self.late) as u32, (100.0 * (1.0 - self.late)) as u32);
        let busy: f64 = usage.busy.iter().map(Duration::as_secs_f64).sum::<f64>() / 0.5;
        self.power = self.idle_w + busy * WATTS;
        self.temperature += (self.room + self.r * self.power - self.temperature) * 0.5 / self.tau_s;
        self.hottest = self.hottest.max(self.temperature);
        (self.joules, self.seconds, self.levels) = (
            self.joules + 0.5 * self.power,
            self.seconds + 0.5,
            self.levels + 0.5 * self.governor.level(),
        );
        self.now += ms(500.0);
        let mut sample = Sample {
            at: self.now,
            throttling: Some(self.throttling),
            over_current: Some(self.alarms),
            ..Sample::default()
        };
        let read_w = self.power * (1.0 + 0.06 * self.random());
        sample.rails.push(Some(Milliwatts((read_w * 1000.0) as f32)).filter(|_| !self.blind[0]));
        let read_c = ((self.temperature + 0.3 * self.random()) * 2.0).round() / 2.0;
        sample.temperatures.push(Some(Celsius(read_c as f32)).filter(|_| !self.blind[1]));
        self.costs.step(self.now, &sample, self.governor.rail(), &usage);
        self.governor.step(self.now, &sample, &usage, &self.costs)
    }

    fn run(&mut self, seconds: u32) -> Grants {
        (self.joules, self.seconds, self.levels, self.hottest) = (0.0, 0.0, 0.0, 0.0);
        (0..2 * seconds).map(|_| self.step()).last().unwrap()
    }

    fn mean(&self) -> f64 {
        self.joules / self.seconds
    }
}

/// Every engine, for every frame, at once.
fn everything_is_allowed(grants: &Grants) {
    assert_eq!(Grants { lower: u32::MAX, ..*grants }, Grants::FREE);
}

#[test]
fn without_a_limit_everything_is_allowed() {
    let mut plant = Plant::new(Limits::default(), 1.0);
    everything_is_allowed(&plant.run(600));
    assert_eq!(plant.governor.changes(), 0);
}

#[test]
fn average_power_meets_the_cap_though_the_profile_is_wrong() {
    for profile_off in [0.4, 1.0, 2.5] {
        for milliwatts in [5000.0, 5300.0, 5800.0, 6500.0, 8000.0] {
            let mut plant = Plant::new(cap(milliwatts), profile_off);
            plant.run(120);
            let changes = plant.governor.changes();
            for minute in 0..30 {
                let grants = plant.run(60);
                let share = plant.mean() * 1000.0 / f64::from(milliwatts);
                assert!(
                    share < 1.03 && share > 0.93,
                    "{profile_off} {milliwatts} mW, minute {minute}: {share} {grants:?}"
                );
                assert_eq!(grants.because.why, Why::Power);
            }
            let changes = plant.governor.changes() - changes;
            assert!(changes <= 3, "{profile_off} {milliwatts}: {changes} changes in half an hour");
        }
    }
}

#[test]
fn scenes_that_come_and_go_by_the_second_do_not_keep_the_power_below_the_cap() {
    for milliwatts in [4600.0, 5000.0, 5500.0] {
        let mut plant = Plant::new(cap(milliwatts), 1.5);
        plant.still = 0.6;
        plant.fps = 20.0;
        plant.run(300);
        let changes = plant.governor.changes();
        let (mut least, mut most): (f64, f64) = (9.0, 0.0);
        for _ in 0..60 {
            plant.run(60);
            let share = plant.mean() * 1000.0 / f64::from(milliwatts);
            (least, most) = (least.min(share), most.max(share));
        }
        let changes = plant.governor.changes() - changes;
        // The luck of sixty scenes alone moves the mean of a minute by three percent, one standard
        // deviation.
        assert!(
            least > 0.91 && most < 1.045 && changes <= 6,
            "{milliwatts}: {least} to {most}, {changes} changes in an hour"
        );
    }
}

#[test]
fn a_cap_below_the_cheapest_engine_costs_frames() {
    let mut plant = Plant::new(Limits { min_fps: 2.0, ..cap(4400.0) }, 1.0);
    let grants = plant.run(300);
    assert!(grants.interval > ms(100.0) && grants.interval < ms(500.0), "{grants:?}");
    assert_eq!((grants.admissible, grants.upper), (1, 1));
    plant.run(600);
    assert!((plant.mean() / 4.4 - 1.0).abs() < 0.03, "{}", plant.mean());
    assert!(plant.governor.unreachable().is_empty());
}

#[test]
fn a_cap_below_idle_is_told_to_be_unreachable_and_stops_at_the_least_rate() {
    let mut plant = Plant::new(Limits { min_fps: 2.0, ..cap(3000.0) }, 1.0);
    let grants = plant.run(120);
    assert!((grants.interval.as_secs_f64() - 0.5).abs() < 0.02, "{grants:?}");
    assert_eq!(plant.governor.unreachable().first().map(|one| one.why), Some(Why::Power));
}

#[test]
fn the_ceiling_holds_and_is_used() {
    for (r, tau_s) in [(1.5, 90.0), (4.0, 60.0), (0.8, 200.0), (3.0, 30.0)] {
        let ceiling = 25.0 + r * 6.0;
        let mut plant =
            Plant::new(Limits { ceiling: Some(Celsius(ceiling as f32)), ..Limits::default() }, 1.0);
        (plant.r, plant.tau_s, plant.temperature) = (r, tau_s, 25.0 + r * 4.0);
        plant.run(600);
        assert!(
            plant.hottest < ceiling + 1.0,
            "{r} {tau_s}: {} above {ceiling} while approaching",
            plant.hottest
        );
        let changes = plant.governor.changes();
        let grants = plant.run(3600);
        assert!(plant.hottest < ceiling + 1.0, "{r} {tau_s}: {} above {ceiling}", plant.hottest);
        let changes = plant.governor.changes() - changes;
        assert!(changes <= 6, "{r} {tau_s}: {changes} changes");
        assert!(
            plant.mean() > 6.0 - 0.4 / r - 0.15,
            "{r} {tau_s}: {} W, 6 W would do: {grants:?}",
            plant.mean()
        );
        assert_eq!(grants.because.why, Why::Temperature);
    }
}

#[test]
fn a_fan_that_stops_is_met_in_time() {
    let mut plant = Plant::new(Limits { ceiling: Some(Celsius(45.0)), ..Limits::default() }, 1.0);
    plant.run(900);
    plant.r = 2.8;
    plant.tau_s = 150.0;
    plant.run(900);
    assert!(plant.hottest < 46.0, "{}", plant.hottest);
    let grants = plant.run(900);
    assert!(plant.mean() > 6.3, "{} W {grants:?}", plant.mean());
}

#[test]
fn it_never_climbs_while_hot() {
    let mut plant =
        Plant::new(Limits { ceiling: Some(Celsius(40.0)), min_fps: 1.0, ..Limits::default() }, 1.0);
    plant.run(300);
    let mut level = plant.governor.level();
    plant.room = 40.0;
    for second in 0..600 {
        plant.step();
        if plant.governor.thermal().zones()[0].now().unwrap() > 40.0 {
            assert!(plant.governor.level() <= level + 1e-12, "climbed after {second} half seconds");
        }
        level = plant.governor.level();
    }
    assert_eq!(plant.governor.grants().admissible, 0, "heat ends in reuse only");
}

#[test]
fn a_rail_that_falls_silent_holds_the_level() {
    let mut plant = Plant::new(cap(6000.0), 1.0);
    plant.run(300);
    let level = plant.governor.level();
    plant.blind[0] = true;
    plant.fps = 5.0;
    for _ in 0..600 {
        plant.step();
        assert!(plant.governor.level() <= level + 0.1);
    }
    assert_eq!(plant.governor.grants().because.why, Why::Blind);
    assert!(plant.governor.level() > level - 0.5, "held, not given up");
    plant.blind[0] = false;
    plant.run(60);
    assert!(plant.governor.level() > level, "five frames a second draw less");
}

#[test]
fn a_cap_on_a_board_without_rails_leaves_the_cheapest_engine() {
    let mut plant = Plant::new(cap(6000.0), 1.0);
    plant.blind[0] = true;
    let grants = plant.run(30);
    assert_eq!(
        (grants.because.why, grants.upper & 7, grants.interval),
        (Why::Blind, 3, Duration::ZERO)
    );
    assert_eq!((grants.admissible, grants.upper_share), (1, 0.0));
}

#[test]
fn throttling_and_over_current_step_down_at_once_and_come_back_slowly() {
    let mut plant = Plant::new(Limits::default(), 1.0);
    plant.run(60);
    plant.alarms = 1;
    let grants = plant.step();
    assert_eq!((grants.because.why, plant.governor.level()), (Why::OverCurrent, 2.0));
    assert_eq!(plant.run(20).because.why, Why::OverCurrent);
    assert_eq!(plant.governor.level(), 2.0);
    everything_is_allowed(&plant.run(200));
    plant.throttling = true;
    plant.step();
    assert_eq!(
        (plant.governor.grants().because.why, plant.governor.level()),
        (Why::Throttling, 2.0)
    );
    plant.run(60);
    assert_eq!(plant.governor.level(), 0.0, "while it lasts, further down, but not to nothing");
}

#[test]
fn engines_too_slow_for_the_latency_are_out_until_they_are_quick_again() {
    let mut plant = Plant::new(Limits { latency: Some(ms(60.0)), ..Limits::default() }, 1.0);
    everything_is_allowed(&plant.run(60));
    plant.slow = 2.0;
    let grants = plant.run(20);
    assert_eq!((grants.upper & 7, grants.because.why), (3, Why::Latency));
    plant.slow = 1.0;
    plant.run(60);
    everything_is_allowed(&plant.governor.grants());
    plant.slow = 20.0;
    plant.run(30);
    assert_eq!(plant.governor.grants().upper, 1, "the fastest stays");
    assert_eq!(plant.governor.unreachable().first().map(|one| one.why), Some(Why::Latency));
}

#[test]
fn answers_that_come_late_for_waiting_cost_second_looks_and_then_slow_engines() {
    let mut plant = Plant::new(Limits { latency: Some(ms(60.0)), ..Limits::default() }, 1.0);
    plant.run(60);
    plant.late = 0.2;
    assert!(!plant.run(30).escalation, "a fifth is late");
    let grants = plant.run(60);
    assert_eq!(
        (grants.upper & 4, grants.because.why),
        (0, Why::Latency),
        "50 ms of 60 ms are too much if the wait takes the rest"
    );
    plant.late = 0.0;
    plant.run(600);
    everything_is_allowed(&plant.governor.grants());
}

#[test]
fn energy_of_a_frame_is_bounded() {
    let mut plant =
        Plant::new(Limits { energy_per_frame: Some(Millijoules(200.0)), ..Limits::default() }, 1.0);
    plant.run(300);
    plant.run(300);
    let frame = (plant.mean() - plant.idle_w) / plant.fps * 1000.0;
    assert!(frame < 206.0 && frame > 180.0, "{frame} mJ");
    assert_eq!(plant.governor.grants().because.why, Why::EnergyFrame);
}

#[test]
fn the_energy_of_any_day_stays_within_its_budget() {
    let budget = 24.0 * 5.5;
    let mut plant =
        Plant::new(Limits { energy_per_day_wh: Some(budget), ..Limits::default() }, 1.0);
    let mut hours = Vec::new();
    for hour in 0..40u32 {
        plant.fps = if hour % 24 < 10 { 1.0 } else { 15.0 };
        plant.run(3600);
        hours.push(plant.mean());
    }
    let worst = hours.windows(24).map(|day| day.iter().sum::<f64>()).fold(0.0, f64::max);
    assert!(worst < 1.03 * budget && worst > 0.9 * budget, "{worst} Wh of {budget} Wh: {hours:?}");
}

#[test]
fn the_same_readings_give_the_same_bits() {
    let run = || {
        let mut plant = Plant::new(Limits { ceiling: Some(Celsius(42.0)), ..cap(6000.0) }, 1.3);
        (0..2000).map(|_| plant.step()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn readings_gone_mad_are_borne() {
    let mut plant = Plant::new(
        Limits { ceiling: Some(Celsius(42.0)), energy_per_day_wh: Some(100.0), ..cap(6000.0) },
        1.0,
    );
    for at in 0..400u32 {
        let value = [f32::NAN, f32::INFINITY, -256.0, 1e30, 0.0][at as usize % 5];
        let mut sample = Sample {
            gpu_clock: Some(crate::units::Megahertz(value)),
            over_current: Some(u64::from(at % 7)),
            ..Sample::default()
        };
        sample.rails.push(Some(Milliwatts(value)));
        sample.temperatures.push(Some(Celsius(value)));
        let now = ms(500.0 * f64::from(at));
        plant.costs.step(now, &sample, Some(0), &Usage { frames: u32::MAX, ..Usage::default() });
        let grants = plant.governor.step(
            now,
            &sample,
            &Usage { frames: u32::MAX, ..Usage::default() },
            &plant.costs,
        );
        assert!(
            (0.0..=1.0).contains(&grants.upper_share) && plant.governor.level().is_finite(),
            "{grants:?}"
        );
        assert_eq!(grants.admissible & !grants.upper, 0);
    }
}
