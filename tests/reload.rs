//! Another engine set in force, a thousand times, while frames come: none is lost, nothing is left
//! behind. Engines are fakes; that real ones can be loaded and dropped as often is for the soak to
//! show.

#![allow(clippy::unwrap_used)] // also in functions beside the tests

mod common;

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::fakes::{Act, CLASSES, FakeLook, FakeSource, Shot};
use common::eventually;
use squint::engine::{EngineError, EngineIdx, Label, Labels, Look};
use squint::frame::Framing;
use squint::pipeline::clock::{MachineClock, Stop};
use squint::pipeline::{
    self, CameraSetup, EngineSet, PipelineError, Remote, ReportHandler, Surroundings, Tuning,
};
use squint::policy::{Plan, Policy};
use squint::report::{DropReason, Outcome, Report};
use squint::vocabulary::EngineHealth;
use squint::vocabulary::Mode;

#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Counts reports, and by which engine.
#[derive(Default)]
struct Ear {
    heard: Arc<AtomicU64>,
    answered: u64,
    last: Option<Arc<[Arc<str>]>>,
    /// Longest time between two reports.
    gap: Duration,
    at: Option<Instant>,
}

impl ReportHandler for Ear {
    fn on_report(&mut self, report: &Report) {
        self.heard.fetch_add(1, Ordering::SeqCst);
        self.answered += u64::from(report.outcome == Outcome::Answered);
        self.last = Some(Arc::clone(&report.engines));
        let now = Instant::now();
        self.gap = self.gap.max(self.at.map_or(Duration::ZERO, |at| now - at));
        self.at = Some(now);
    }
}

fn engine_set(name: &str, look: Box<dyn Look>) -> EngineSet {
    let classes = (0..CLASSES)
        .map(|class| Label { key: String::new(), name: format!("class {class}") })
        .collect();
    let loader: pipeline::Loader = Box::new(move || Ok(look));
    EngineSet {
        policy: Policy::new(name, Plan::Fixed { engine: EngineIdx(0), fallback: None }),
        engines: vec![(name.into(), loader)],
        labels: Arc::new(Labels { classes, sha256: "0".into() }),
        deadline: pipeline::ENGINE_DEADLINE,
        budget: None,
    }
}

fn steady() -> Box<dyn Look> {
    FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))
}

/// A camera that gives a frame each `pause` until it is told to stop.
fn camera(name: &str, lossless: bool, pause: Duration) -> CameraSetup {
    CameraSetup {
        name: name.into(),
        source: "fake".into(),
        opener: Box::new(move || {
            Ok(FakeSource::boxed((0..1_000_000).map(|_| Shot::Frame(9, pause))))
        }),
        live: false,
        lossless,
        framing: Framing::default(),
        tuning: Tuning {
            deadline: MS(5000),
            stale_after: MS(5000),
            stall_after: MS(5000),
            retry_cap: MS(5),
            reuse: None,
        },
        frame_limit: None,
    }
}

/// Runs `act` beside a pipeline of two cameras; returns what was heard, after checking that no
/// frame is missing.
fn beside(act: impl FnOnce(&Remote, &AtomicU64)) -> Ear {
    let stop = Stop::new();
    let surroundings = Surroundings {
        clock: Arc::new(MachineClock),
        stop: stop.clone(),
        started: Instant::now(),
        liveness: Arc::default(),
        sampler: None,
        features: false,
    };
    let cameras = vec![camera("live", false, MS(2)), camera("every", true, MS(1))];
    let ear = Ear::default();
    let heard = Arc::clone(&ear.heard);
    let (running, remote) =
        pipeline::start(engine_set("first", steady()), cameras, ear, 64, surroundings)
            .expect("it starts");
    eventually("the first crew answers", || heard.load(Ordering::SeqCst) > 20);
    act(&remote, &heard);
    stop.stop();
    let (tally, broken) = running.run_to_end().expect("it ends");
    assert!(broken.is_none(), "{broken:?}");
    let told: u64 = tally.cameras.iter().map(|(_, offered, drops)| offered - drops.total()).sum();
    assert_eq!(
        told,
        heard.load(Ordering::SeqCst),
        "offered = reported + dropped: {:?}",
        tally.cameras
    );
    let (_, _, drops) = &tally.cameras[1];
    assert_eq!(
        drops.total(),
        drops.get(DropReason::Stopped),
        "a camera that must lose nothing loses nothing: {drops:?}"
    );
    tally.listener
}

/// Bytes of the heap in use by way of Rust.
fn in_use() -> isize {
    let now = stats_alloc::INSTRUMENTED_SYSTEM.stats();
    now.bytes_allocated as isize - now.bytes_deallocated as isize + now.bytes_reallocated
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("/proc").count()
}

/// One test: the heap and the threads are those of the whole process.
#[test]
fn an_engine_set_can_be_relieved_a_thousand_times_and_what_fails_changes_nothing() {
    let ear = beside(|remote, heard| {
        let mut early = (0, 0);
        for round in 0..1000 {
            let before = heard.load(Ordering::SeqCst);
            remote
                .swap_engines(engine_set(&format!("engine {}", round % 7), steady()))
                .expect("it takes over");
            if round == 200 {
                early = (in_use(), threads());
            }
            if round % 50 == 0 {
                eventually("the next crew answers", || heard.load(Ordering::SeqCst) > before);
            }
        }
        let last = heard.load(Ordering::SeqCst);
        eventually("the last crew answers", || heard.load(Ordering::SeqCst) > last + 20); // the last engine set has its say
        let late = (in_use(), threads());
        assert!(
            (late.0 - early.0).abs() < 64 * 1024,
            "the heap grew from {} to {} bytes",
            early.0,
            late.0
        );
        assert!(late.1 <= early.1, "threads: {} and then {}", early.1, late.1);
    });
    assert_eq!(
        ear.last.as_deref(),
        Some(&[format!("engine {}", 999 % 7).into()][..]),
        "the last crew is on duty"
    );

    let ear = beside(|remote, heard| {
        // One that cannot be loaded, one that fails at its first look, and one that panics there.
        let mut broken = engine_set("broken", steady());
        broken.engines[0].1 = Box::new(|| {
            Err(EngineError::Model {
                id: "b".into(),
                path: "b.onnx".into(),
                reason: "cut off".into(),
            })
        });
        assert!(
            matches!(remote.swap_engines(broken), Err(PipelineError::Engine(error)) if error.to_string().contains("cut off"))
        );
        for act in [Act::Fail, Act::Panic] {
            let look = Box::new(FakeLook::new(MS(0), &Arc::default(), move |_| act));
            assert!(
                remote.swap_engines(engine_set("cold", look)).is_err(),
                "{act:?} in the warm-up"
            );
        }
        let before = heard.load(Ordering::SeqCst);
        eventually("the next crew answers", || heard.load(Ordering::SeqCst) > before + 20);
        let (mode, engines) = remote.engines().expect("it runs");
        assert_eq!(
            (mode, &*engines[0].id, engines[0].health),
            (Mode::Auto, "first", EngineHealth::Ready),
            "the old ones stay"
        );

        remote.set_mode(Mode::Paused);
        let tuning = Tuning {
            deadline: MS(1),
            stale_after: MS(1),
            stall_after: MS(900),
            retry_cap: MS(5),
            reuse: None,
        };
        remote.tune(0, &tuning);
        remote.tune(9, &tuning); // there is no such camera
        assert_eq!(remote.engines().expect("it runs").0, Mode::Paused);
        let stop_at = heard.load(Ordering::SeqCst) + 20;
        eventually("frames come while paused", || heard.load(Ordering::SeqCst) > stop_at);
    });
    assert_eq!(ear.last.as_deref(), Some(&["first".into()][..]));
    assert!(
        ear.answered > 40 && ear.answered < ear.heard.load(Ordering::SeqCst),
        "paused frames are not answered"
    );

    // An engine that gets stuck does not keep the next engine set from its work.
    let free = Arc::new(AtomicBool::new(false));
    let let_go = Arc::clone(&free);
    let hung = FakeLook::boxed(MS(0), &Arc::default(), move |number| {
        while number == 0 && !let_go.load(Ordering::SeqCst) {
            std::thread::sleep(MS(1));
        }
        Act::Answer(2, 0.9)
    });
    beside(|remote, heard| {
        let mut engine_set = engine_set("hung", hung);
        engine_set.deadline = MS(50);
        remote.swap_engines(engine_set).expect("its warm-up goes well");
        eventually("the engine is stuck", || {
            remote.engines().is_some_and(|(_, engines)| engines[0].health == EngineHealth::Stuck)
        });
        let waiting = Arc::clone(&free);
        // The old engine set is waited for, but not for ever; here it returns while it is.
        std::thread::spawn(move || {
            std::thread::sleep(MS(100));
            waiting.store(true, Ordering::SeqCst);
        });
        let before = heard.load(Ordering::SeqCst);
        remote.swap_engines(self::engine_set("next", steady())).expect("it takes over");
        eventually("the next crew answers", || heard.load(Ordering::SeqCst) > before + 20);
        assert!(remote.engines().is_some_and(|(_, engines)| &*engines[0].id == "next"));
    });
}
