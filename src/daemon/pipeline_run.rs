//! One run of the pipeline, from the sinks to the summary: what `squint run`, `squint classify` and
//! the daemon share.
//!
//! It wires the report handler to the sinks, the counters and the ground truth, starts the threads
//! of the service if there are any, waits for the end and sums up. It decides nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;

use super::context::AppContext;
use super::reconfigure::DaemonState;
use crate::control::{Server, Steering};
use crate::error::{Error, Kind};
use crate::events;
use crate::files;
use crate::ground_truth::GroundTruth;
use crate::observe::{Counters, Facts, SinkSummary, Summary, Watch};
use crate::pipeline::clock::{MachineClock, Stop};
use crate::pipeline::{
    self, CameraSetup, EngineSet, Liveness, Remote, ReportHandler, RunResult, Sampler, Surroundings,
};
use crate::print;
use crate::report::{DropReason, Report};
use crate::service::hangup::Launch;
use crate::service::watchdog::Watchdog;
use crate::sink::{self, Ledger, Opening, Published, Publisher};

/// How long whoever reads standard error is waited for at the end, once Squint was told to stop.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the summary goes.
pub(crate) struct SummaryFile {
    path: PathBuf,
    output: files::Output,
}

impl SummaryFile {
    /// A file that can be written; what is there stays until then.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            output: files::Output::create(path).map_err(Error::io(path.display()))?,
        })
    }

    fn write(mut self, summary: &Summary) -> Result<(), Error> {
        let written = self.output.write_all(summary.to_json().as_bytes());
        written.and_then(|()| self.output.finish()).map_err(Error::io(self.path.display()))
    }
}

/// One run of the pipeline, from the sinks to the summary.
pub(crate) struct PipelineRun<'a> {
    pub(crate) stop: Stop,
    pub(crate) started: Instant,
    pub(crate) ground_truth: Option<GroundTruth>,
    pub(crate) allocations: Option<Allocations>,
    pub(crate) opening: Opening,
    /// No source is live: every frame can be had, so a record that is lost is an error of the run.
    pub(crate) finite: bool,
    /// Where the summary goes, before anything is told of it.
    pub(crate) summary_file: Option<SummaryFile>,
    /// Present for what runs for long and may be spoken to.
    pub(crate) hooks: Option<ServiceHooks<'a>>,
    /// What reads the board, if it is of interest.
    pub(crate) sampler: Option<Sampler>,
}

/// What speaks to systemd and to whoever asks.
pub(crate) struct ServiceHooks<'a> {
    pub(super) daemon_state: &'a Arc<DaemonState>,
    pub(super) liveness: Arc<Liveness>,
    pub(super) launch: Launch,
}

impl ServiceHooks<'_> {
    /// Takes its place beside the running pipeline. What is returned goes on until the pipeline has
    /// come to its end.
    fn start_threads(
        &self,
        context: &AppContext,
        remote: &Remote,
        seen: (&Arc<Watch>, Arc<Ledger>),
        stop: &Stop,
    ) -> Result<ServiceThreads, Error> {
        let (watch, ledger) = seen;
        let thread = Error::io("the threads of the service");
        let daemon_state = Arc::clone(self.daemon_state);
        let watchdog = Watchdog {
            remote: remote.clone(),
            liveness: Arc::clone(&self.liveness),
            stop: stop.clone(),
            findings: self.daemon_state.findings(),
            launch: self.launch,
            describe: Box::new(move || daemon_state.describe()),
        };
        self.daemon_state
            .attend(remote.clone(), Arc::clone(watch), ledger)
            .and_then(|_| watchdog.start())
            .map_err(thread)?;
        let steering: Arc<dyn Steering> = Arc::<DaemonState>::clone(self.daemon_state);
        Ok(ServiceThreads { _control: Server::start(&context.config.control, steering, stop)? })
    }
}

/// Ends with the run.
struct ServiceThreads {
    _control: Server,
}

impl PipelineRun<'_> {
    /// Runs the pipeline and sums up. With the summary comes an error if a finite source failed, of
    /// which the log knows.
    pub(crate) fn go(
        self,
        context: &AppContext,
        engine_set: EngineSet,
        cameras: Vec<CameraSetup>,
    ) -> Result<(Summary, Result<(), Error>), Error> {
        let publisher = Publisher::open(&context.config.output, &self.opening)?;
        let ledger = publisher.ledger();
        let policy = engine_set.policy.name().to_owned();
        let names: Vec<_> = cameras.iter().map(|camera| Arc::clone(&camera.name)).collect();
        let engines: Vec<_> = engine_set.engines.iter().map(|(id, _)| Arc::clone(id)).collect();
        let begun = Instant::now();
        let counters = Counters::new(&names, &engines);
        let watch = Arc::new(Watch::new(&counters, begun));
        let ear = RunReports {
            publisher,
            counters,
            watch: Arc::clone(&watch),
            ground_truth: self.ground_truth,
            allocations: self.allocations,
            stop: self.stop.clone(),
        };
        let surroundings = Surroundings {
            clock: Arc::new(MachineClock),
            stop: self.stop.clone(),
            started: self.started,
            liveness: self
                .hooks
                .as_ref()
                .map(|hooks| Arc::clone(&hooks.liveness))
                .unwrap_or_default(),
            sampler: self.sampler,
            features: self.opening.features,
        };
        let (running, remote) =
            pipeline::start(engine_set, cameras, ear, context.config.output.queue, surroundings)?;
        let threads = self
            .hooks
            .as_ref()
            .map(|hooks| hooks.start_threads(context, &remote, (&watch, ledger), &self.stop))
            .transpose();
        if threads.is_err() {
            self.stop.stop();
        }
        let (tally, broken) = running.run_to_end()?;
        drop(threads?);
        let RunResult { mut listener, cameras, ready, failure } = tally;
        for (index, (_, _, drops)) in cameras.iter().enumerate() {
            for why in DropReason::ALL {
                listener.counters.note_drop(
                    u16::try_from(index).unwrap_or(u16::MAX),
                    why,
                    drops.get(why),
                );
            }
        }
        let last = listener.publisher.finish();
        let sink = |(name, Published { delivered, lost })| {
            (Arc::from(name), SinkSummary { sent: delivered, lost })
        };
        let facts = Facts {
            sinks: listener.publisher.published().map(sink).collect(),
            version: env!("CARGO_PKG_VERSION").into(),
            policy,
            duration: begun.elapsed(),
            ready,
            allocations_per_frame: listener.allocations.as_ref().and_then(Allocations::per_frame),
            rss_mb: resident_mb(),
            accuracy: listener.ground_truth.as_ref().and_then(GroundTruth::accuracy),
        };
        if let Some(doubt) = listener.ground_truth.as_ref().and_then(GroundTruth::doubt) {
            warn!(event = events::LABELS_DOUBTED; "{doubt}");
        }
        let summary = listener.counters.summary(&facts);
        // Before anything is told: standard error may not take it, or take its time.
        let written = self.summary_file.map_or(Ok(()), |file| file.write(&summary));
        if last.is_ok() && context.config.output.summary {
            log::logger().flush();
            let table = sink::table(&summary, sink::stderr_style());
            match self.stop.is_stopped() {
                true => print::say_within(PATIENCE, format_args!("\n{table}")),
                false => print::say(format_args!("\n{table}")),
            }
        }
        let lost: Vec<_> =
            listener.publisher.lost().map(|(sink, lost)| format!("{lost} by {sink}")).collect();
        let outcome = match (broken, failure) {
            (Some(broken), _) => Err(broken.into()),
            (None, Some(_)) => Err(Error::Told(Kind::Missing)),
            (None, None) => written.and(match self.finite && !lost.is_empty() {
                true => Err(Error::Lost(format!(
                    "records were lost ({}); see the reason above, make room and run it again",
                    lost.join(", ")
                ))),
                false => Ok(()),
            }),
        };
        Ok((summary, outcome))
    }
}

/// On the sink thread: publishes, counts, compares with the truth.
struct RunReports {
    publisher: Publisher,
    counters: Counters,
    watch: Arc<Watch>,
    ground_truth: Option<GroundTruth>,
    allocations: Option<Allocations>,
    stop: Stop,
}

/// Heap allocations of this process by way of Rust, counted between reports; the C libraries' own
/// are not seen.
#[derive(Default)]
pub(crate) struct Allocations {
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

impl ReportHandler for RunReports {
    fn on_report(&mut self, report: &Report) {
        self.counters.note(report);
        self.watch.publish(&self.counters, Instant::now());
        if let Some(allocations) = &mut self.allocations {
            allocations.note();
        }
        if let Some(ground_truth) = &mut self.ground_truth {
            ground_truth.note(report);
        }
        if self.publisher.publish(report).is_err() {
            self.stop.stop();
        }
    }

    /// A socket lets readers in only when it is called.
    fn idle(&mut self) {
        self.watch.publish(&self.counters, Instant::now());
        if self.publisher.flush().is_err() {
            self.stop.stop();
        }
    }
}

/// Resident memory of this process, MB (10^6 bytes), from /proc/self/statm.
pub(crate) fn resident_mb() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((pages * rustix::param::page_size() as u64) as f64 / 1e6)
}
