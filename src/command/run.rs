//! `squint run`: the daemon itself. Cameras in, reports out, a summary at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::kit::Kit;
use super::truth::Truth;
use crate::cli::RunArgs;
use crate::config::{Camera, Overrides, Pace, Stdout};
use crate::error::Error;
use crate::frame::CameraId;
use crate::observe::{Counters, Facts, Summary};
use crate::pipeline::clock::{MachineClock, Stop};
use crate::pipeline::{self, CameraSetup, Crew, Listener, Tally};
use crate::report::{Drop, Report};
use crate::service;
use crate::sink::{Opening, Publisher};
use crate::source::{self, OpenRequest, Secret};

/// Runs until every source has ended or a signal says so.
pub(crate) fn run(args: &RunArgs, started: Instant) -> Result<(), Error> {
    let flags = Overrides {
        source: args.source.as_deref().map(Secret::new),
        pace: match args.pace.as_deref() {
            Some("fast") => Some(Pace::Fast),
            Some(_) => Some(Pace::Realtime),
            None => None,
        },
        deadline_ms: args.deadline_ms,
        stdout: match (args.json, args.text, args.quiet) {
            (true, ..) => Some(Stdout::Json),
            (_, true, _) => Some(Stdout::Text),
            (.., true) => Some(Stdout::None),
            _ => None,
        },
        ..args.common.overrides()
    };
    let kit = Kit::open(args.common.config.as_deref(), &flags)?;
    let truth = args.labels.as_deref().map(Truth::read).transpose()?;
    let file = kit.policy_file()?;
    let crew = kit.crew(&file)?;
    let names: Vec<_> = crew.engines.iter().map(|(id, _)| id.to_string()).collect();
    info!("policy {} over {}", crew.policy.name(), names.join(", "));

    let stop = Stop::new();
    service::stop_on_signals(&stop).map_err(Error::io("signal handlers"))?;
    let cameras = kit.config.cameras.iter().enumerate().map(|(index, camera)| setup(index, camera, args.frames)).collect();
    let allocations = args.count_allocations.then(Allocations::default);
    let session = Session { stop, started, truth, allocations, opening: Opening::here(is_live(&kit.config.cameras), None) };
    let summary = session.go(&kit, crew, cameras)?;
    if let Some(path) = &args.summary {
        let json = serde_json::to_string_pretty(&summary).map_err(|error| Error::Bug(error.to_string()))?;
        std::fs::write(path, json + "\n").map_err(Error::io(path.display()))?;
    }
    Ok(())
}

fn is_live(cameras: &[Camera]) -> bool {
    cameras.iter().any(|camera| camera.source.is_live() || camera.pace == Pace::Realtime)
}

fn setup(index: usize, camera: &Camera, frame_limit: Option<u64>) -> CameraSetup {
    let request = OpenRequest::of(CameraId(u16::try_from(index).unwrap_or(u16::MAX)), camera);
    CameraSetup {
        name: Arc::clone(&camera.name),
        source: camera.source.to_string().into(),
        opener: Box::new(move || source::open(&request)),
        live: camera.source.is_live(),
        lossless: camera.pace == Pace::Fast,
        framing: camera.framing,
        deadline: camera.deadline,
        stale_after: camera.stale_after,
        stall_after: camera.stall_after,
        retry_cap: camera.retry_cap,
        reuse: camera.reuse,
        frame_limit,
    }
}

/// One run of the pipeline, from the sinks to the summary.
pub(super) struct Session {
    pub(super) stop: Stop,
    pub(super) started: Instant,
    pub(super) truth: Option<Truth>,
    pub(super) allocations: Option<Allocations>,
    pub(super) opening: Opening,
}

impl Session {
    /// Runs the pipeline and sums up. A finite source that failed is an error, after all else has been told.
    pub(super) fn go(self, kit: &Kit, crew: Crew, cameras: Vec<CameraSetup>) -> Result<Summary, Error> {
        let publisher = Publisher::open(&kit.config.output, &self.opening)?;
        let policy = crew.policy.name().to_owned();
        let names: Vec<_> = cameras.iter().map(|camera| Arc::clone(&camera.name)).collect();
        let engines: Vec<_> = crew.engines.iter().map(|(id, _)| Arc::clone(id)).collect();
        let ear = Ear {
            publisher,
            counters: Counters::new(&names, &engines),
            truth: self.truth,
            allocations: self.allocations,
            stop: self.stop.clone(),
        };
        let begun = Instant::now();
        let queue = kit.config.output.queue;
        let tally = pipeline::run(crew, cameras, ear, queue, Arc::new(MachineClock), &self.stop, self.started)?;
        let Tally { mut listener, cameras, ready, failure } = tally;
        for (index, (_, _, drops)) in cameras.iter().enumerate() {
            for why in Drop::ALL {
                listener.counters.note_drop(u16::try_from(index).unwrap_or(u16::MAX), why, drops.get(why));
            }
        }
        let facts = Facts {
            version: env!("CARGO_PKG_VERSION").into(),
            policy,
            duration: begun.elapsed(),
            ready,
            allocations_per_frame: listener.allocations.as_ref().and_then(Allocations::per_frame),
            rss_mb: resident_mb(),
            accuracy: listener.truth.as_ref().and_then(Truth::accuracy),
        };
        let summary = listener.counters.summary(&facts);
        // A reader that has gone away cannot be told; the summary file still can.
        if let Err(error) = listener.publisher.finish(&summary)
            && !error.is_closed()
        {
            warn!("{error}");
        }
        match failure {
            Some(error) => Err(Error::Source(error)),
            None => Ok(summary),
        }
    }
}

/// On the sink thread: publishes, counts, compares with the truth.
struct Ear {
    publisher: Publisher,
    counters: Counters,
    truth: Option<Truth>,
    allocations: Option<Allocations>,
    stop: Stop,
}

/// Heap allocations of this process by way of Rust, counted between reports; the C libraries' own are not seen.
#[derive(Default)]
pub(super) struct Allocations {
    reports: u64,
    first: usize,
    last: usize,
}

impl Allocations {
    /// Reports after which everything is warm.
    const WARM: u64 = 100;

    fn note(&mut self) {
        let now = stats_alloc::INSTRUMENTED_SYSTEM.stats();
        self.last = now.allocations + now.reallocations;
        self.reports += 1;
        if self.reports == Self::WARM {
            self.first = self.last;
        }
    }

    fn per_frame(&self) -> Option<f64> {
        let counted = self.reports.checked_sub(Self::WARM).filter(|counted| *counted > 0)?;
        Some((self.last - self.first) as f64 / counted as f64)
    }
}

impl Listener for Ear {
    fn hear(&mut self, report: &Report) {
        self.counters.note(report);
        if let Some(allocations) = &mut self.allocations {
            allocations.note();
        }
        if let Some(truth) = &mut self.truth {
            truth.note(report);
        }
        if self.publisher.publish(report).is_err() {
            self.stop.stop();
        }
    }
}

/// Resident memory of this process, MB (10^6 bytes), from /proc/self/statm.
pub(super) fn resident_mb() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((pages * rustix::param::page_size() as u64) as f64 / 1e6)
}

/// How long something took, in ms for people.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
