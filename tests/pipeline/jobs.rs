//! How many frames of a camera can be under way: as many as its jobs, which a reload to a larger
//! engine set makes more of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::common::eventually;
use crate::common::fakes::{Act, CLASSES, FakeLook};
use squint::engine::{EngineIdx, Label, Labels};
use squint::frame::{CameraId, Colorimetry, Frame, Framing, Layout, Memory, PixelFormat};
use squint::pipeline::clock::{MachineClock, Stop};
use squint::pipeline::{self, CameraSetup, EngineSet, ReportHandler, Surroundings, Tuning};
use squint::policy::confidence::{Confidence, Score, Stage};
use squint::policy::{Plan, Policy};
use squint::report::{DropReason, Report};
use squint::source::{FrameSource, SourceError, Stopper};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Holds the first report until it is told to let go.
struct Mute(Arc<AtomicBool>);

impl ReportHandler for Mute {
    fn on_report(&mut self, _: &Report) {
        while !self.0.load(Ordering::SeqCst) {
            std::thread::sleep(MS(1));
        }
    }
}

/// A camera that gives as many frames as are asked of it.
struct OnDemand {
    asked: Arc<AtomicU64>,
    given: u64,
    over: Arc<AtomicBool>,
}

impl FrameSource for OnDemand {
    fn next(&mut self, _: Duration) -> Result<Option<Frame>, SourceError> {
        while self.asked.load(Ordering::SeqCst) <= self.given {
            if self.over.load(Ordering::SeqCst) {
                return Ok(None);
            }
            std::thread::sleep(MS(1));
        }
        self.given += 1;
        let layout = Layout::packed(PixelFormat::Gray8, 64, 48, Colorimetry::FULL);
        let (memory, now) = (Memory::Heap(vec![9; 64 * 48].into()), Instant::now());
        let frame =
            Frame::new(memory, layout, CameraId(0), self.given - 1, now, SystemTime::now(), None);
        Ok(Some(frame.expect("64x48 grey fits")))
    }

    fn superseded(&self) -> u64 {
        0
    }

    fn stopper(&self) -> Stopper {
        let over = Arc::clone(&self.over);
        Stopper::new(move || over.store(true, Ordering::SeqCst))
    }
}

/// Engines that are asked one after the other; all are unsure, and from the second on they do not
/// come back before `free`.
fn chain(count: u8, first: &Arc<AtomicU64>, free: &Arc<AtomicBool>) -> EngineSet {
    let engine = |index: u8| {
        let free = Arc::clone(free);
        let looks = if index == 0 { Arc::clone(first) } else { Arc::default() };
        let look = FakeLook::boxed(MS(0), &looks, move |_| {
            while index > 0 && !free.load(Ordering::SeqCst) {
                std::thread::sleep(MS(1));
            }
            Act::Unsure
        });
        let loader: pipeline::Loader = Box::new(move || Ok(look));
        (Arc::<str>::from(format!("engine {index}")), loader)
    };
    let stage = |index| Stage {
        engine: EngineIdx(index),
        accept_above: (index + 1 < count).then_some(0.9),
        chance: None,
    };
    let plan = Confidence {
        stages: (0..count).map(stage).collect(),
        average: false,
        score: Score::MaxSoftmax,
    };
    let classes = (0..CLASSES)
        .map(|class| Label { key: String::new(), name: format!("class {class}") })
        .collect();
    EngineSet {
        policy: Policy::new("chain", Plan::Confidence(plan)),
        engines: (0..count).map(engine).collect(),
        labels: Arc::new(Labels { classes, sha256: "0".into() }),
        deadline: MS(60_000),
        budget: None,
    }
}

/// Frames that a camera can have under way with four engines and a listener that takes nothing, if
/// the first engine set has `begin` engines.
fn under_way(begin: u8) -> u64 {
    let (stop, looks, free) =
        (Stop::new(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let surroundings = Surroundings {
        clock: Arc::new(MachineClock),
        stop: stop.clone(),
        started: Instant::now(),
        liveness: Arc::default(),
        sampler: None,
        features: false,
    };
    let (asked, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let source = (Arc::clone(&asked), Arc::clone(&over));
    let opener = move || {
        let (asked, over) = (Arc::clone(&source.0), Arc::clone(&source.1));
        Ok(Box::new(OnDemand { asked, given: 0, over }) as Box<dyn FrameSource>)
    };
    let camera = CameraSetup {
        name: "door".into(),
        source: "fake".into(),
        opener: Box::new(opener),
        live: false,
        lossless: false,
        framing: Framing::default(),
        tuning: Tuning {
            deadline: MS(60_000),
            stale_after: MS(60_000),
            stall_after: MS(60_000),
            retry_cap: MS(5),
            reuse: None,
        },
        frame_limit: None,
    };
    let begun = chain(begin, &looks, &free);
    let (running, remote) =
        pipeline::start(begun, vec![camera], Mute(Arc::clone(&free)), 1, surroundings)
            .expect("it starts");
    if begin < 4 {
        remote.swap_engines(chain(4, &looks, &free)).expect("it takes over");
    }
    let busy = || remote.cameras()[0].drops.get(DropReason::Busy);
    let mut frames = 0;
    while busy() == 0 {
        frames += 1;
        asked.store(frames, Ordering::SeqCst);
        eventually("a look or its end", || looks.load(Ordering::SeqCst) == frames || busy() > 0);
        assert!(frames < 100, "the jobs are bounded");
    }
    free.store(true, Ordering::SeqCst);
    over.store(true, Ordering::SeqCst);
    let (_, broken) = running.run_to_end().expect("it ends");
    assert!(broken.is_none(), "{broken:?}");
    frames - 1
}

#[test]
fn after_a_reload_to_a_larger_engine_set_a_camera_has_as_many_jobs_as_if_it_had_begun_with_it() {
    assert_eq!(under_way(1), under_way(4));
}
