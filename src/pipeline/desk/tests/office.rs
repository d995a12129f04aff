//! A desk with simulated time, and hands that only write down what they are told.

use std::sync::Arc;

use crate::engine::manifest::Scores;
use crate::engine::{EngineError, Label, Labels, LookTimes};
use crate::features::{COUNT, Features, Glimpse};
use crate::frame::{Frame, Framing};
use crate::pipeline::job::Origin;
use crate::policy::confidence::{Confidence, Score, Stage};
use crate::policy::{Code, Plan};

use super::super::*;

const CLASSES: usize = 4;

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[expect(clippy::vec_box, reason = "as they come")]
/// Hands that write down, and hold what was given to the engines.
#[derive(Default)]
pub(super) struct Log {
    /// By engine.
    pub(super) held: Vec<Option<Box<Job>>>,
    /// Engine, camera, frame.
    pub(super) asked: Vec<(u8, usize, u64)>,
    pub(super) published: Vec<Box<Job>>,
    pub(super) lost: Vec<(usize, u64, DropReason)>,
    pub(super) aside: Vec<(u8, u32, Duration)>,
    pub(super) recovered: Vec<(u8, u32)>,
}

impl Hands for Log {
    fn ask(&mut self, engine: EngineIdx, job: Box<Job>) {
        assert!(!job.report.journey.asked(engine), "an engine is asked once a frame");
        self.asked.push((engine.0, job.camera, job.report.sequence));
        assert!(self.held[usize::from(engine.0)].replace(job).is_none(), "a busy engine is not asked");
    }

    fn publish(&mut self, job: Box<Job>) {
        self.published.push(job);
    }

    fn give_up(&mut self, job: Box<Job>, why: DropReason) {
        self.lost.push((job.camera, job.report.sequence, why));
    }

    fn set_aside(&mut self, engine: EngineIdx, _: &Job, failures: u32, pause: Duration) {
        self.aside.push((engine.0, failures, pause));
    }

    fn recovered(&mut self, engine: EngineIdx, failures: u32) {
        self.recovered.push((engine.0, failures));
    }
}

/// A desk, what it told its hands, and a clock that is set by hand.
pub(super) struct Office {
    pub(super) desk: Desk,
    pub(super) log: Log,
    pub(super) start: Instant,
    pub(super) now: Instant,
    origins: Vec<Origin>,
    pub(super) sent: Vec<u64>,
}

pub(super) fn live(deadline: u64) -> Terminal {
    Terminal { deadline: ms(deadline), lossless: false, reuse: None, jobs: 8 }
}

pub(super) fn lossless(deadline: u64) -> Terminal {
    Terminal { lossless: true, ..live(deadline) }
}

impl Office {
    /// Engine `n` costs `costs[n]` ms and is asked if the answer before is less than 0.6 sure.
    pub(super) fn new(costs: &[u64], average: bool, terminals: Vec<Terminal>) -> Self {
        let last = costs.len() - 1;
        let stage =
            |index: usize| Stage { engine: EngineIdx(index as u8), accept_above: (index < last).then_some(0.6), chance: None };
        let stages = (0..costs.len()).map(stage).collect();
        let policy = Policy::new("test", Plan::Confidence(Confidence { stages, average, score: Score::MaxSoftmax }));
        let class = |class| Label { key: String::new(), name: format!("class {class}") };
        let labels = Arc::new(Labels { classes: (0..CLASSES).map(class).collect(), sha256: "0".into() });
        let origin = |(camera, terminal): (usize, &Terminal)| Origin {
            camera,
            lossless: terminal.lossless,
            name: format!("camera {camera}").into(),
            source: "test".into(),
            framing: Framing::default(),
            labels: Arc::clone(&labels),
            engines: Arc::new([]),
        };
        let now = Instant::now();
        let origins: Vec<_> = terminals.iter().enumerate().map(origin).collect();
        let windows = costs.iter().map(|cost| LatencyWindow::new(ms(*cost), ms(*cost))).collect();
        Self {
            sent: vec![0; terminals.len()],
            desk: Desk::new(policy, windows, terminals, CLASSES, now),
            log: Log { held: costs.iter().map(|_| None).collect(), ..Log::default() },
            start: now,
            now,
            origins,
        }
    }

    /// A grey frame that is `age` ms old arrives.
    pub(super) fn send_grey(&mut self, camera: usize, age: u64, grey: u8) {
        let mut frame = Frame::from_rgb(vec![grey; 12].into(), 2, 2, None).unwrap();
        frame.captured = self.now.checked_sub(ms(age)).unwrap();
        let mut job = Job::new(&self.origins[camera], self.now);
        let glimpse: Glimpse = [grey; 192];
        job.load(frame, self.sent[camera], (Features { values: [0.0; COUNT] }, glimpse), self.now, self.now);
        self.sent[camera] += 1;
        self.desk.sighting(job, self.now, &mut self.log);
        self.check();
    }

    pub(super) fn send(&mut self, camera: usize) {
        self.send_grey(camera, 0, 128);
    }

    /// The engine is through with its job.
    pub(super) fn look(&mut self, engine: usize, result: Result<(u32, f32), ()>, cost: Duration) -> bool {
        let Some(mut job) = self.log.held[engine].take() else { return false };
        job.begun_at = job.asked_at;
        job.result = match result {
            Ok((class, p)) => {
                let rest = (1.0 - p) / (CLASSES - 1) as f32;
                let scores: [f32; CLASSES] = std::array::from_fn(|index| if index as u32 == class { p } else { rest });
                score::fill(&mut job.own, &scores, Scores::Probabilities);
                Ok(LookTimes { run: cost, ..LookTimes::default() })
            }
            Err(()) => Err(EngineError::Run { id: "fake".into(), reason: "told to fail".into() }),
        };
        self.desk.looked(job, self.now, &mut self.log);
        self.check();
        true
    }

    pub(super) fn answer(&mut self, engine: usize, class: u32, p: f32) {
        let cost = self.desk.seats[engine].window.p50();
        assert!(self.look(engine, Ok((class, p)), cost), "engine {engine} has something to look at");
    }

    pub(super) fn fail(&mut self, engine: usize) {
        assert!(self.look(engine, Err(()), Duration::ZERO), "engine {engine} has something to look at");
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.desk.pump(self.now, &mut self.log);
        self.check();
    }

    /// Sleeps as the dispatcher would, until nothing is left to wake up for or `enough`. Returns how often it woke.
    pub(super) fn sleep_until(&mut self, enough: impl Fn(&Self) -> bool) -> usize {
        for wakes in 0..100 {
            let Some(wake) = self.desk.next_wake().filter(|_| !enough(self)) else { return wakes };
            self.pass(wake - self.now);
        }
        panic!("it wakes all the time");
    }

    /// Frames that an engine is awaited for.
    fn waiting(&self) -> impl Iterator<Item = &Job> {
        let at_turn = self.desk.cameras.iter().filter(|camera| camera.is_at_turn());
        at_turn.filter_map(|camera| camera.fresh.front()).chain(&self.desk.escalated).map(|job| &**job)
    }

    /// What holds after every event: who waits is woken, later than now, and no later than at its deadline.
    fn check(&self) {
        let wake = self.desk.next_wake();
        assert_eq!(wake.is_some(), self.waiting().next().is_some());
        if let Some(wake) = wake {
            assert!(wake > self.now, "a wake that is due at once would spin");
            // A deadline of this very moment cannot be kept by a wake later than now: it is looked at again at the next tick.
            let latest = |due: Instant| if due > self.now { due } else { self.now + ms(1) };
            assert!(self.waiting().all(|job| job.due.is_none_or(|due| wake <= latest(due))), "slept past a deadline");
        }
    }

    /// Camera, frame, outcome and reason of each report.
    pub(super) fn told(&self) -> Vec<(usize, u64, Outcome, Code)> {
        let tell = |job: &Job| (job.camera, job.report.sequence, job.report.outcome, job.report.verdict.code);
        self.log.published.iter().map(|job| tell(job)).collect()
    }
}
