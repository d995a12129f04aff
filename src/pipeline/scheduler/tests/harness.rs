//! The scheduler with simulated time, and actions that are only noted.

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
    /// By engine, of all generations together: what it looks at.
    pub(super) held: Vec<Option<Task>>,
    /// Engine, camera, frame.
    pub(super) asked: Vec<(u8, usize, u64)>,
    pub(super) stuck: Vec<u8>,
    pub(super) returned: Vec<(u8, Duration, Duration)>,
    pub(super) dropped: Vec<GenerationId>,
    pub(super) published: Vec<Box<Job>>,
    pub(super) lost: Vec<(usize, u64, DropReason)>,
    pub(super) aside: Vec<(u8, u32, Duration)>,
    pub(super) recovered: Vec<(u8, u32)>,
    /// Engines of each generation.
    pub(super) engines: usize,
    /// Frames that were refused, since they were not measured.
    pub(super) unmeasured: u64,
}

impl Actions for Log {
    fn ask(&mut self, task: Task, job: &Job) {
        let engine = task.engine;
        assert!(!job.report.attempts.asked(engine), "an engine is asked once a frame");
        assert!(task.frame.is_some(), "there is something to look at");
        self.asked.push((engine.0, job.camera, job.report.sequence));
        let place = self.place(task.generation, engine);
        assert!(self.held[place].replace(task).is_none(), "a busy engine is not asked");
    }

    fn publish(&mut self, job: Box<Job>) {
        self.published.push(job);
    }

    fn give_up(&mut self, job: Box<Job>, why: DropReason) {
        self.lost.push((job.camera, job.report.sequence, why));
    }

    fn tell(&mut self, engine: EngineIdx, id: &str, news: EngineNews<'_>) {
        assert!(id.ends_with(&engine.0.to_string()));
        match news {
            EngineNews::Failed { failures, pause, .. } => {
                self.aside.push((engine.0, failures, pause))
            }
            EngineNews::Stuck { .. } => self.stuck.push(engine.0),
            EngineNews::Returned { away, pause } => self.returned.push((engine.0, away, pause)),
            EngineNews::Recovered { failures } => self.recovered.push((engine.0, failures)),
        }
    }

    fn drop_generation(&mut self, generation: GenerationId) {
        self.dropped.push(generation);
    }
}

impl Log {
    /// Where a generation's engine has its place among those held; every generation has as many.
    fn place(&mut self, generation: GenerationId, engine: EngineIdx) -> usize {
        let place = generation as usize * self.engines + usize::from(engine.0);
        if self.held.len() <= place {
            self.held.resize_with(place + 1, || None);
        }
        place
    }
}

/// A scheduler, what it told its hands, and a clock that is set by hand.
pub(super) struct Harness {
    pub(super) scheduler: Scheduler,
    pub(super) log: Log,
    pub(super) start: Instant,
    pub(super) now: Instant,
    origins: Vec<Origin>,
    /// Frames arrive with features.
    pub(super) measured: bool,
    pub(super) sent: Vec<u64>,
}

pub(super) fn live(deadline: u64) -> CameraTerms {
    CameraTerms { deadline: ms(deadline), lossless: false, reuse: None, jobs: 8 }
}

pub(super) fn lossless(deadline: u64) -> CameraTerms {
    CameraTerms { lossless: true, ..live(deadline) }
}

/// Looks of the harness's engines may take so long.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Generation `id`: engine `n` costs `costs[n]` ms and is asked if the answer before is less than
/// 0.6 sure.
pub(super) fn generation(
    id: GenerationId,
    costs: &[u64],
    average: bool,
    limit: Duration,
) -> Generation {
    let last = costs.len() - 1;
    let stage = |index: usize| Stage {
        engine: EngineIdx(index as u8),
        accept_above: (index < last).then_some(0.6),
        chance: None,
    };
    let stages = (0..costs.len()).map(stage).collect();
    let policy = Policy::new(
        "test",
        Plan::Confidence(Confidence { stages, average, score: Score::MaxSoftmax }),
    );
    let class = |class| Label { key: String::new(), name: format!("class {class}") };
    let labels =
        Arc::new(Labels { classes: (0..CLASSES).map(class).collect(), sha256: "0".into() });
    let engines = (0..costs.len()).map(|engine| format!("{id}-{engine}").into()).collect();
    let windows = costs.iter().map(|cost| Some(LatencyWindow::new(ms(*cost), ms(*cost)))).collect();
    Generation::new(id, policy, engines, windows, labels, limit, Instant::now())
}

impl Harness {
    /// Engine `n` costs `costs[n]` ms and is asked if the answer before is less than 0.6 sure.
    pub(super) fn new(costs: &[u64], average: bool, cameras_terms: Vec<CameraTerms>) -> Self {
        // Whoever wants to see an engine get stuck says so.
        Self::with(generation(0, costs, average, Duration::from_secs(3600)), cameras_terms)
    }

    pub(super) fn with(generation: Generation, cameras_terms: Vec<CameraTerms>) -> Self {
        let labels = Arc::clone(&generation.labels);
        let (engines, engines_of) = (generation.engines.len(), Arc::clone(&generation.engines));
        let origin = |(camera, terms): (usize, &CameraTerms)| Origin {
            camera,
            lossless: terms.lossless,
            name: format!("camera {camera}").into(),
            source: "test".into(),
            framing: Framing::default(),
            labels: Arc::clone(&labels),
            engines: Arc::clone(&engines_of),
        };
        let now = Instant::now();
        let origins: Vec<_> = cameras_terms.iter().enumerate().map(origin).collect();
        Self {
            sent: vec![0; cameras_terms.len()],
            scheduler: Scheduler::new(generation, cameras_terms, now),
            log: Log { held: (0..engines).map(|_| None).collect(), engines, ..Log::default() },
            start: now,
            now,
            origins,
            measured: true,
        }
    }

    /// A grey frame that is `age` ms old arrives.
    pub(super) fn send_grey(&mut self, camera: usize, age: u64, grey: u8) {
        let mut frame = Frame::from_rgb(vec![grey; 12].into(), 2, 2, None).unwrap();
        frame.captured = self.now.checked_sub(ms(age)).unwrap();
        let mut job = Job::new(&self.origins[camera], self.now);
        let glimpse: Glimpse = [grey; 192];
        job.load(
            frame,
            self.sent[camera],
            (self.measured.then_some(Features { values: [0.0; COUNT] }), glimpse),
            self.now,
            self.now,
        );
        self.sent[camera] += 1;
        if self.scheduler.accepts(&job) {
            self.scheduler.new_frame(job, self.now, &mut self.log);
        } else {
            self.log.unmeasured += 1;
        }
        self.check();
    }

    pub(super) fn send(&mut self, camera: usize) {
        self.send_grey(camera, 0, 128);
    }

    /// The engine is through with its job.
    pub(super) fn look(
        &mut self,
        engine: usize,
        result: Result<(u32, f32), ()>,
        cost: Duration,
    ) -> bool {
        let Some(mut task) = self.log.held.get_mut(engine).and_then(Option::take) else {
            return false;
        };
        task.result = match result {
            Ok((class, p)) => {
                let rest = (1.0 - p) / (CLASSES - 1) as f32;
                let scores: [f32; CLASSES] =
                    std::array::from_fn(|index| if index as u32 == class { p } else { rest });
                score::fill(&mut task.own, &scores, Scores::Probabilities);
                Ok(LookTimes { run: cost, ..LookTimes::default() })
            }
            Err(()) => Err(EngineError::Run { id: "fake".into(), reason: "told to fail".into() }),
        };
        self.scheduler.look_finished(task, self.now, &mut self.log);
        self.check();
        true
    }

    pub(super) fn answer(&mut self, engine: usize, class: u32, p: f32) {
        let task = self.log.held[engine].as_ref();
        let (id, slot) =
            task.map(|task| (task.generation, usize::from(task.engine.0))).unwrap_or_default();
        let current = self.scheduler.generations.iter().find(|generation| generation.id == id);
        let cost = current.map_or(Duration::ZERO, |generation| generation.slots[slot].window.p50());
        assert!(
            self.look(engine, Ok((class, p)), cost),
            "engine {engine} has something to look at"
        );
    }

    pub(super) fn fail(&mut self, engine: usize) {
        assert!(
            self.look(engine, Err(()), Duration::ZERO),
            "engine {engine} has something to look at"
        );
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.scheduler.pump(self.now, &mut self.log);
        self.check();
    }

    /// Sleeps as the dispatcher would, until nothing is left to wake up for or `enough`. Returns
    /// how often it woke.
    pub(super) fn sleep_until(&mut self, enough: impl Fn(&Self) -> bool) -> usize {
        for wakes in 0..100 {
            let Some(wake) = self.scheduler.next_wake().filter(|_| !enough(self)) else {
                return wakes;
            };
            self.pass(wake - self.now);
        }
        panic!("it wakes all the time");
    }

    /// Frames that an engine is awaited for.
    fn waiting(&self) -> impl Iterator<Item = &Job> {
        let at_turn = self.scheduler.cameras.iter().filter(|camera| camera.is_at_turn());
        at_turn
            .filter_map(|camera| camera.fresh.front())
            .chain(&self.scheduler.escalated)
            .map(|job| &**job)
    }

    /// What holds after every event: who waits is woken, later than now, and no later than at its
    /// deadline.
    fn check(&self) {
        let wake = self.scheduler.next_wake();
        assert_eq!(wake.is_some(), self.waiting().next().is_some());
        if let Some(wake) = wake {
            assert!(wake > self.now, "a wake that is due at once would spin");
            // A deadline of this very moment cannot be kept by a wake later than now: it is looked
            // at again at the next tick.
            let latest = |due: Instant| if due > self.now { due } else { self.now + ms(1) };
            assert!(
                self.waiting().all(|job| job.due.is_none_or(|due| wake <= latest(due))),
                "slept past a deadline"
            );
        }
    }

    /// Camera, frame, outcome and reason of each report.
    pub(super) fn told(&self) -> Vec<(usize, u64, Outcome, Code)> {
        let tell = |job: &Job| {
            (job.camera, job.report.sequence, job.report.outcome, job.report.verdict.code)
        };
        self.log.published.iter().map(|job| tell(job)).collect()
    }
}
