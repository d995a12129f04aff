//! Every thread of the pipeline, hung in turn: the board says who, at what and since when, which is
//! what starves the watchdog. Who hangs is a fake behind the seam that the real one uses: a camera,
//! its driver, an engine, a listener, and for threads that call nobody else the clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::eventually;
use crate::common::fakes::{Act, CLASSES, FakeLook, FakeSource, Shot};
use squint::engine::{EngineIdx, Label, Labels, Look};
use squint::frame::{Frame, Framing};
use squint::pipeline::clock::{Clock, MachineClock, Stop};
use squint::pipeline::heartbeat::{Activity, Beat};
use squint::pipeline::{
    self, CameraSetup, EngineSet, Liveness, Opener, ReportHandler, Surroundings, Tuning,
};
use squint::policy::{Plan, Policy};
use squint::report::Report;
use squint::source::{FrameSource, SourceError, Stopper};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Whoever comes here while it is shut waits until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn shut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn pass(&self) {
        while self.0.load(Ordering::SeqCst) {
            std::thread::sleep(MS(1));
        }
    }
}

/// Hangs when a thread of this name asks for the time.
struct Stuck(&'static str, Gate);

impl Clock for Stuck {
    fn now(&self) -> Instant {
        if std::thread::current().name() == Some(self.0) {
            self.1.pass();
        }
        Instant::now()
    }

    fn sleep(&self, pause: Duration, stop: &Stop) -> bool {
        MachineClock.sleep(pause, stop)
    }
}

struct Ear(Gate, Arc<Mutex<u64>>);

impl ReportHandler for Ear {
    fn on_report(&mut self, _: &Report) {
        *self.1.lock().unwrap() += 1;
        self.0.pass();
    }
}

/// A camera that does not heed its patience.
struct Deaf(Box<dyn FrameSource>, Gate);

impl FrameSource for Deaf {
    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError> {
        self.1.pass();
        self.0.next(patience)
    }

    fn superseded(&self) -> u64 {
        self.0.superseded()
    }

    fn stopper(&self) -> Stopper {
        self.0.stopper()
    }
}

fn engine_set(gate: Gate) -> EngineSet {
    let classes = (0..CLASSES)
        .map(|class| Label { key: String::new(), name: format!("class {class}") })
        .collect();
    let look: Box<dyn Look> = FakeLook::boxed(MS(0), &Arc::default(), move |_| {
        gate.pass();
        Act::Answer(1, 0.9)
    });
    let loader: pipeline::Loader = Box::new(move || Ok(look));
    EngineSet {
        policy: Policy::new("test", Plan::Fixed { engine: EngineIdx(0), fallback: None }),
        engines: vec![("a".into(), loader)],
        labels: Arc::new(Labels { classes, sha256: "0".into() }),
        deadline: pipeline::ENGINE_DEADLINE,
        budget: None,
    }
}

/// Where a pipeline can be made to hang.
#[derive(Default)]
struct Gates {
    engine: Gate,
    listener: Gate,
    camera: Gate,
    opener: Gate,
    clock: (&'static str, Gate),
}

/// A pipeline that works; then `hang`; what `thread` is at once it is overdue. When it is let go
/// all must be well again.
fn overdue(thread: &str, gates: Gates, hang: impl FnOnce(&Gates)) -> Beat {
    let (stop, heard) = (Stop::new(), Arc::new(Mutex::new(0)));
    let liveness = Arc::new(Liveness { hang_after: MS(300), ..Liveness::default() });
    let clock = Arc::new(Stuck(gates.clock.0, gates.clock.1.clone()));
    let surroundings = Surroundings {
        clock,
        stop: stop.clone(),
        started: Instant::now(),
        liveness: Arc::clone(&liveness),
        sampler: None,
        features: false,
    };
    let (deaf, shut) = (gates.camera.clone(), gates.opener.clone());
    let opener: Opener = Box::new(move || {
        shut.pass();
        let script = FakeSource::boxed((0..200).map(|_| Shot::Frame(9, MS(2))).chain([Shot::Fail]));
        Ok(Box::new(Deaf(script, deaf.clone())) as Box<dyn FrameSource>)
    });
    let camera = CameraSetup {
        name: "door".into(),
        source: "fake".into(),
        opener,
        live: true,
        lossless: false,
        framing: Framing::default(),
        tuning: Tuning {
            deadline: MS(100),
            stale_after: MS(1000),
            stall_after: MS(200),
            retry_cap: MS(5),
            reuse: None,
        },
        frame_limit: None,
    };
    let ear = Ear(gates.listener.clone(), Arc::clone(&heard));
    let (running, _remote) =
        pipeline::start(engine_set(gates.engine.clone()), vec![camera], ear, 16, surroundings)
            .expect("it starts");
    let late = || liveness.board.beats().into_iter().filter(Beat::is_overdue).collect::<Vec<_>>();
    let told = || *heard.lock().unwrap();
    eventually("reports", || told() > 20);
    assert_eq!(late(), [], "all is well");
    hang(&gates);
    let mut found = None;
    eventually(&format!("{thread} is overdue"), || {
        found = late().into_iter().find(|beat| &*beat.thread == thread);
        found.is_some()
    });
    for gate in [&gates.engine, &gates.listener, &gates.camera, &gates.opener, &gates.clock.1] {
        gate.open();
    }
    let before = told();
    eventually("all is well again", || late().is_empty() && told() > before + 20);
    stop.stop();
    running.run_to_end().expect("it ends");
    assert!(
        liveness.board.beats().is_empty(),
        "who has ended is on the board no more: {:?}",
        liveness.board.beats()
    );
    let found = found.expect("it was found");
    assert!(found.since > found.limit.expect("it has one"));
    found
}

#[test]
fn an_engine_that_hangs_is_named_with_its_thread() {
    let found = overdue("worker-0", Gates::default(), |gates| gates.engine.shut());
    assert_eq!((found.activity, found.engine.as_deref()), (Activity::Looking, Some("a")));
}

#[test]
fn a_listener_that_hangs_is_the_sink_threads() {
    assert_eq!(
        overdue("sink", Gates::default(), |gates| gates.listener.shut()).activity,
        Activity::Publishing
    );
}

#[test]
fn a_camera_that_does_not_heed_its_patience_hangs_its_thread() {
    assert_eq!(
        overdue("squint-door", Gates::default(), |gates| gates.camera.shut()).activity,
        Activity::Awaiting
    );
}

#[test]
fn a_feature_thread_that_hangs_over_a_frame_is_named() {
    // Asked for the time right after a frame has come.
    let gates = Gates { clock: ("squint-door", Gate::default()), ..Gates::default() };
    assert_eq!(
        overdue("squint-door", gates, |gates| gates.clock.1.shut()).activity,
        Activity::Measuring
    );
}

#[test]
fn a_dispatcher_that_hangs_is_named() {
    // It looks at the clock when a frame has waited for an engine for long enough.
    let gates = Gates { clock: ("dispatcher", Gate::default()), ..Gates::default() };
    let hang = |gates: &Gates| {
        gates.clock.1.shut();
        gates.engine.shut();
    };
    assert_eq!(overdue("dispatcher", gates, hang).activity, Activity::Deciding);
}

#[test]
fn a_driver_that_hangs_while_the_camera_is_opened_again_is_given_its_time_and_no_more() {
    // The 200 frames of an opening end soon, and the next opening hangs; its limit is 15 s.
    let begun = Instant::now();
    assert_eq!(
        overdue("squint-door", Gates::default(), |gates| gates.opener.shut()).activity,
        Activity::Opening
    );
    assert!(begun.elapsed() >= Duration::from_secs(15));
}
