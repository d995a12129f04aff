//! The whole way of a frame, from source to record, allocates nothing once warm; an allocator that
//! counts holds us to it.
//!
//! One test in a program of its own: the allocator counts all threads, and a second test would be
//! counted too.

mod common;

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::common::fakes::{Act, CLASSES, FakeLook};
use squint::engine::{EngineIdx, Label, Labels};
use squint::frame::{CameraId, Colorimetry, Frame, Framing, Layout, Memory, PixelFormat};
use squint::observe::Counters;
use squint::pipeline::clock::{MachineClock, Stop};
use squint::pipeline::{self, CameraSetup, EngineSet, Opener, ReportHandler, Tuning};
use squint::policy::confidence::{Confidence, Score, Stage};
use squint::policy::{Plan, Policy, Reuse};
use squint::report::Report;
use squint::sink::write_record;
use squint::source::{self, FrameSource, OpenRequest, SourceError, Stopper};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Reports until everything is warm, and reports that count.
const WARM: u64 = 500;
const COUNTED: u64 = 3000;
/// The same with GStreamer in front, which is not as quick.
const COUNTED_LIVE: u64 = 1000;

fn allocations() -> usize {
    let now = INSTRUMENTED_SYSTEM.stats();
    now.allocations + now.reallocations
}

/// Frames of two pictures in turn; nothing is allocated for one.
struct Film {
    pictures: [Arc<[u8]>; 2],
    layout: Layout,
    sequence: u64,
    every: Duration,
}

impl FrameSource for Film {
    fn next(&mut self, _: Duration) -> Result<Option<Frame>, SourceError> {
        std::thread::sleep(self.every);
        let picture = Arc::clone(&self.pictures[usize::from(self.sequence % 8 > 5)]);
        let (sequence, now) = (self.sequence, Instant::now());
        self.sequence += 1;
        let frame = Frame::new(
            Memory::Heap(picture),
            self.layout,
            CameraId(0),
            sequence,
            now,
            SystemTime::now(),
            None,
        );
        Ok(Some(frame.expect("the picture fits")))
    }

    fn superseded(&self) -> u64 {
        0
    }

    fn stopper(&self) -> Stopper {
        Stopper::new(|| ())
    }
}

fn camera(name: &str, lossless: bool, every: Duration) -> CameraSetup {
    let layout = Layout::packed(PixelFormat::I420, 320, 240, Colorimetry::FULL);
    let picture =
        |factor: usize| (0..layout.bytes()).map(|index| (index * factor / 7) as u8).collect();
    let pictures: [Arc<[u8]>; 2] = [picture(1), picture(3)];
    let opener = move || {
        Ok(Box::new(Film { pictures: pictures.clone(), layout, sequence: 0, every })
            as Box<dyn FrameSource>)
    };
    setup(name, lossless, Box::new(opener))
}

/// A moving test pattern of GStreamer's.
fn pattern() -> CameraSetup {
    let text = "pipeline:videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=300/1";
    let request = OpenRequest::new(CameraId(0), text.parse().expect("a source"));
    setup("pattern", false, Box::new(move || source::open(&request)))
}

fn setup(name: &str, lossless: bool, opener: Opener) -> CameraSetup {
    CameraSetup {
        name: name.into(),
        source: "test".into(),
        opener,
        live: false,
        lossless,
        framing: Framing::default(),
        tuning: Tuning {
            deadline: Duration::from_millis(500),
            stale_after: Duration::from_millis(500),
            stall_after: Duration::from_secs(5),
            retry_cap: Duration::from_secs(1),
            reuse: (!lossless)
                .then_some(Reuse { max_change: 0.01, max_age: Duration::from_millis(5) }),
        },
        frame_limit: None,
    }
}

/// Writes each record into a buffer of its own and counts it, as the daemon does.
struct Reader {
    counters: Counters,
    record: Vec<u8>,
    heard: u64,
    counted: u64,
    escalated: u64,
    dropped: u64,
    first: usize,
    last: usize,
    stop: Stop,
}

impl ReportHandler for Reader {
    fn on_report(&mut self, report: &Report) {
        self.counters.note(report);
        self.record.clear();
        write_record(report, &mut self.record);
        self.heard += 1;
        self.escalated += u64::from(report.attempts.steps.len() > 1);
        self.dropped += report.drops.total();
        if self.heard == WARM {
            self.first = allocations();
        }
        if self.heard == WARM + self.counted {
            self.last = allocations();
            self.stop.stop();
        }
    }
}

/// Runs these cameras until `counted` reports have come after the warm-up.
fn run(cameras: Vec<CameraSetup>, counted: u64) -> Reader {
    let stop = Stop::new();
    let stages = [Some(0.6), Some(0.6), None].into_iter().zip(0..);
    let stages = stages
        .map(|(accept_above, index)| Stage { engine: EngineIdx(index), accept_above, chance: None })
        .collect();
    let policy = Policy::new(
        "test",
        Plan::Confidence(Confidence { stages, average: true, score: Score::MaxSoftmax }),
    );
    let class = |class| Label { key: String::new(), name: format!("class {class}") };
    let labels =
        Arc::new(Labels { classes: (0..CLASSES).map(class).collect(), sha256: "0".into() });
    let engine = |index: u64| {
        let takes = Duration::from_micros(300 + 500 * index);
        let look = FakeLook::boxed(takes, &Arc::default(), |look| {
            Act::Answer((look % 5) as u32, 0.4 + (look % 7) as f32 / 12.0)
        });
        let loader: pipeline::Loader = Box::new(move || Ok(look));
        (Arc::<str>::from(format!("fake-{index}")), loader)
    };
    let engines: Vec<_> = (0..3).map(engine).collect();
    let ids: Vec<_> = engines.iter().map(|(id, _)| Arc::clone(id)).collect();
    let names: Vec<_> = cameras.iter().map(|camera| Arc::clone(&camera.name)).collect();
    let reader = Reader {
        counters: Counters::new(&names, &ids),
        record: Vec::with_capacity(4096),
        heard: 0,
        counted,
        escalated: 0,
        dropped: 0,
        first: 0,
        last: 0,
        stop: stop.clone(),
    };
    let engine_set =
        EngineSet { policy, engines, labels, deadline: pipeline::ENGINE_DEADLINE, budget: None };
    let (clock, begun) = (Arc::new(MachineClock), Instant::now());
    let (tally, broken) = pipeline::run_out(engine_set, cameras, reader, 16, clock, &stop, begun)
        .expect("the pipeline runs");
    assert!(broken.is_none(), "{broken:?}");
    let reader = tally.listener;
    assert!(
        reader.heard >= WARM + counted && reader.escalated > counted / 10,
        "every path is taken"
    );
    assert!(reader.first > 0, "the allocator counts");
    reader
}

#[test]
fn from_source_to_record_a_warm_pipeline_allocates_nothing() {
    let live = |name| camera(name, false, Duration::from_micros(20));
    let films = run(
        vec![camera("clip", true, Duration::ZERO), live("one"), live("two"), live("three")],
        COUNTED,
    );
    assert!(films.dropped > 100, "frames are dropped too: {}", films.dropped);
    assert_eq!(films.last - films.first, 0, "allocations over {COUNTED} reports of films");
    let pattern = run(vec![pattern()], COUNTED_LIVE);
    assert_eq!(
        pattern.last - pattern.first,
        0,
        "allocations over {COUNTED_LIVE} reports of a live source"
    );
}
