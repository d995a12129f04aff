//! A camera that is lost a thousand times leaves nothing behind: no memory, no thread, no
//! descriptor. Through the pipeline's own code, with GStreamer's pipelines; half of the losses are
//! errors, half are ends.
//!
//! The test runs itself again as a process of its own, for two reasons. Threads, descriptors and
//! memory are counted for the whole process, in which nothing else may happen. And glibc may give
//! each new thread an arena of its own to allocate from, up to eight for each core, so that what
//! the process takes from the system depends on how many threads happened to run at a time. With
//! `MALLOC_ARENA_MAX=1` all share one. What GStreamer itself keeps is counted too.
#![allow(clippy::unwrap_used)] // clippy.toml frees only the test functions themselves

mod common;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::fakes::{Act, CLASSES, FakeLook};
use squint::engine::{EngineIdx, Label, Labels};
use squint::frame::{CameraId, Framing};
use squint::pipeline::clock::{MachineClock, Stop};
use squint::pipeline::{self, CameraSetup, EngineSet, ReportHandler, Tuning};
use squint::policy::confidence::{Confidence, Score, Stage};
use squint::policy::{Plan, Policy};
use squint::report::Report;
use squint::source::{self, OpenRequest};

/// Losses after which everything is warm, and losses that count.
const WARM: u64 = 100;
const COUNTED: u64 = 1000;
/// Growth allowed over them, kB.
const MOST_KB: i64 = 1000;

/// What the process holds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    rss_kb: i64,
    threads: usize,
    descriptors: usize,
}

fn held() -> Held {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: i64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    let entries = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    let page_kb = rustix::param::page_size() as i64 / 1024;
    Held {
        rss_kb: pages * page_kb,
        threads: entries("/proc/self/task"),
        descriptors: entries("/proc/self/fd"),
    }
}

/// Counts reports.
#[derive(Default)]
struct Ear {
    told: u64,
}

impl ReportHandler for Ear {
    fn on_report(&mut self, _: &Report) {
        self.told += 1;
    }
}

fn engine_set() -> EngineSet {
    let stages =
        [Stage { engine: EngineIdx(0), accept_above: None, chance: None }].into_iter().collect();
    let policy = Policy::new(
        "test",
        Plan::Confidence(Confidence { stages, average: false, score: Score::MaxSoftmax }),
    );
    let class = |class| Label { key: String::new(), name: format!("class {class}") };
    let look = FakeLook::boxed(Duration::ZERO, &Arc::default(), |_| Act::Answer(1, 0.9));
    let loader: pipeline::Loader = Box::new(move || Ok(look));
    EngineSet {
        policy,
        engines: vec![("fake".into(), loader)],
        labels: Arc::new(Labels { classes: (0..CLASSES).map(class).collect(), sha256: "0".into() }),
        deadline: pipeline::ENGINE_DEADLINE,
        budget: None,
    }
}

/// A camera that fails and ends in turn, after a frame or two, until it has been lost often enough;
/// measures on the way.
fn lossy(stop: &Stop, measured: crossbeam_channel::Sender<Held>) -> CameraSetup {
    let picture = "video/x-raw,format=RGB,width=64,height=48,framerate=200/1";
    let request = |text: String| OpenRequest::new(CameraId(0), text.parse().unwrap());
    let fails =
        request(format!("pipeline:videotestsrc is-live=true ! {picture} ! identity error-after=2"));
    let ends = request(format!("pipeline:videotestsrc is-live=true num-buffers=1 ! {picture}"));
    let (stop, mut losses) = (stop.clone(), 0);
    CameraSetup {
        name: "lossy".into(),
        source: "test".into(),
        opener: Box::new(move || {
            // Whenever it is opened, the pipeline before it is gone.
            if losses % WARM == 0 && losses > 0 {
                measured.send(held()).unwrap();
            }
            if losses == WARM + COUNTED {
                stop.stop();
            }
            losses += 1;
            source::open(if losses % 2 == 0 { &fails } else { &ends })
        }),
        live: true,
        lossless: false,
        framing: Framing::default(),
        tuning: Tuning {
            deadline: Duration::from_millis(500),
            stale_after: Duration::from_millis(1000),
            stall_after: Duration::from_secs(10),
            retry_cap: Duration::from_millis(1),
            reuse: None,
        },
        frame_limit: None,
    }
}

/// What the child does.
fn lose() {
    let (stop, begun) = (Stop::new(), Instant::now());
    let (sender, measured) = crossbeam_channel::unbounded();
    let camera = lossy(&stop, sender);
    let (tally, broken) = pipeline::run_out(
        engine_set(),
        vec![camera],
        Ear::default(),
        16,
        Arc::new(MachineClock),
        &stop,
        begun,
    )
    .unwrap();
    assert!(broken.is_none(), "{broken:?}");
    let (_, offered, drops) = &tally.cameras[0];
    assert_eq!(*offered, tally.listener.told + drops.total(), "the law of frames, {drops:?}");
    assert!(*offered > COUNTED / 2, "the camera delivered in between: {offered} frames");
    let measured: Vec<_> = measured.try_iter().collect();
    measured.iter().for_each(|held| eprintln!("{held:?}"));
    assert_eq!(measured.len() as u64, 1 + COUNTED / WARM, "it was lost often enough");
    let (first, last) = (measured[0], measured[measured.len() - 1]);
    eprintln!("{COUNTED} losses in {:.1?}: {} kB", begun.elapsed(), last.rss_kb - first.rss_kb);
    assert!(
        last.rss_kb - first.rss_kb < MOST_KB,
        "{} kB more after {COUNTED} losses",
        last.rss_kb - first.rss_kb
    );
    // GLib ends the idle threads of its pool in its own time: a few more or less are no growth, one
    // for each loss would be.
    assert!(last.threads <= first.threads + 3, "{first:?} {last:?}");
    assert!(last.descriptors <= first.descriptors + 3, "{first:?} {last:?}");
}

#[test]
fn a_camera_lost_a_thousand_times_leaves_no_memory_no_thread_and_no_descriptor_behind() {
    if std::env::var_os("LOSES_CAMERAS").is_some() {
        return lose();
    }
    let myself = std::env::current_exe().unwrap();
    let output = Command::new(myself)
        .arg("--nocapture")
        .env("LOSES_CAMERAS", "1")
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    eprintln!("{told}");
    assert!(output.status.success(), "{told}");
}
