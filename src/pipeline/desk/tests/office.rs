//! A desk with simulated time, and hands that only write down what they are told.

use std::sync::Arc;

use crate::engine::manifest::Scores;
use crate::engine::{EngineError, Label, Labels, LookTimes, score};
use crate::features::{COUNT, Features, Glimpse};
use crate::frame::{Frame, Framing};
use crate::pipeline::job::Origin;
use crate::policy::confidence::{Confidence, Score, Stage};
use crate::policy::{Code, Plan, Policy};
use crate::stats::LatencyWindow;

use super::super::*;

const CLASSES: usize = 4;

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[expect(clippy::vec_box, reason = "as they come")]
/// Hands that write down, and hold what was given to the engines.
#[derive(Default)]
pub(super) struct Log {
    /// By engine, of all shifts together: what it looks at.
    pub(super) held: Vec<Option<Task>>,
    /// Engine, camera, frame.
    pub(super) asked: Vec<(u8, usize, u64)>,
    pub(super) stuck: Vec<u8>,
    pub(super) returned: Vec<(u8, Duration, Duration)>,
    pub(super) retired: Vec<ShiftId>,
    pub(super) published: Vec<Box<Job>>,
    pub(super) lost: Vec<(usize, u64, DropReason)>,
    pub(super) aside: Vec<(u8, u32, Duration)>,
    pub(super) recovered: Vec<(u8, u32)>,
    /// Engines of each shift.
    pub(super) engines: usize,
}

impl Hands for Log {
    fn ask(&mut self, task: Task, job: &Job) {
        let engine = task.engine;
        assert!(!job.report.journey.asked(engine), "an engine is asked once a frame");
        assert!(task.frame.is_some(), "there is something to look at");
        self.asked.push((engine.0, job.camera, job.report.sequence));
        let place = self.place(task.shift, engine);
        assert!(self.held[place].replace(task).is_none(), "a busy engine is not asked");
    }

    fn publish(&mut self, job: Box<Job>) {
        self.published.push(job);
    }

    fn give_up(&mut self, job: Box<Job>, why: DropReason) {
        self.lost.push((job.camera, job.report.sequence, why));
    }

    fn tell(&mut self, engine: EngineIdx, id: &str, news: News<'_>) {
        assert!(id.ends_with(&engine.0.to_string()));
        match news {
            News::Failed { failures, pause, .. } => self.aside.push((engine.0, failures, pause)),
            News::Stuck { .. } => self.stuck.push(engine.0),
            News::Returned { away, pause } => self.returned.push((engine.0, away, pause)),
            News::Recovered { failures } => self.recovered.push((engine.0, failures)),
        }
    }

    fn retire(&mut self, shift: ShiftId) {
        self.retired.push(shift);
    }
}

impl Log {
    /// Where a shift's engine has its place among those held; every shift has as many.
    fn place(&mut self, shift: ShiftId, engine: EngineIdx) -> usize {
        let place = shift as usize * self.engines + usize::from(engine.0);
        if self.held.len() <= place {
            self.held.resize_with(place + 1, || None);
        }
        place
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

/// Looks of the office's engines may take so long.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Shift `id`: engine `n` costs `costs[n]` ms and is asked if the answer before is less than 0.6 sure.
pub(super) fn shift(id: ShiftId, costs: &[u64], average: bool, limit: Duration) -> Shift {
    let last = costs.len() - 1;
    let stage = |index: usize| Stage { engine: EngineIdx(index as u8), accept_above: (index < last).then_some(0.6), chance: None };
    let stages = (0..costs.len()).map(stage).collect();
    let policy = Policy::new("test", Plan::Confidence(Confidence { stages, average, score: Score::MaxSoftmax }));
    let class = |class| Label { key: String::new(), name: format!("class {class}") };
    let labels = Arc::new(Labels { classes: (0..CLASSES).map(class).collect(), sha256: "0".into() });
    let engines = (0..costs.len()).map(|engine| format!("{id}-{engine}").into()).collect();
    let windows = costs.iter().map(|cost| Some(LatencyWindow::new(ms(*cost), ms(*cost)))).collect();
    Shift::new(id, policy, engines, windows, labels, limit, Instant::now())
}

impl Office {
    /// Engine `n` costs `costs[n]` ms and is asked if the answer before is less than 0.6 sure.
    pub(super) fn new(costs: &[u64], average: bool, terminals: Vec<Terminal>) -> Self {
        // Whoever wants to see an engine get stuck says so.
        Self::with(shift(0, costs, average, Duration::from_secs(3600)), terminals)
    }

    pub(super) fn with(shift: Shift, terminals: Vec<Terminal>) -> Self {
        let labels = Arc::clone(&shift.labels);
        let (engines, engines_of) = (shift.engines.len(), Arc::clone(&shift.engines));
        let origin = |(camera, terminal): (usize, &Terminal)| Origin {
            camera,
            lossless: terminal.lossless,
            name: format!("camera {camera}").into(),
            source: "test".into(),
            framing: Framing::default(),
            labels: Arc::clone(&labels),
            engines: Arc::clone(&engines_of),
        };
        let now = Instant::now();
        let origins: Vec<_> = terminals.iter().enumerate().map(origin).collect();
        Self {
            sent: vec![0; terminals.len()],
            desk: Desk::new(shift, terminals, now),
            log: Log { held: (0..engines).map(|_| None).collect(), engines, ..Log::default() },
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
        let Some(mut task) = self.log.held.get_mut(engine).and_then(Option::take) else { return false };
        task.result = match result {
            Ok((class, p)) => {
                let rest = (1.0 - p) / (CLASSES - 1) as f32;
                let scores: [f32; CLASSES] = std::array::from_fn(|index| if index as u32 == class { p } else { rest });
                score::fill(&mut task.own, &scores, Scores::Probabilities);
                Ok(LookTimes { run: cost, ..LookTimes::default() })
            }
            Err(()) => Err(EngineError::Run { id: "fake".into(), reason: "told to fail".into() }),
        };
        self.desk.looked(task, self.now, &mut self.log);
        self.check();
        true
    }

    pub(super) fn answer(&mut self, engine: usize, class: u32, p: f32) {
        let task = self.log.held[engine].as_ref();
        let (id, seat) = task.map(|task| (task.shift, usize::from(task.engine.0))).unwrap_or_default();
        let on_duty = self.desk.shifts.iter().find(|shift| shift.id == id);
        let cost = on_duty.map_or(Duration::ZERO, |shift| shift.seats[seat].window.p50());
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
