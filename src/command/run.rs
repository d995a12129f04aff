//! `squint run`: the daemon itself. Cameras in, reports out, a summary at the end.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::board::Board;
use super::kit::Kit;
use super::print;
use super::record;
use super::room;
use super::runtimes::Gpu;
use super::steward::Steward;
use super::truth::Truth;
use crate::cli::RunArgs;
use crate::config::{self, Camera, Overrides, Pace, Stdout};
use crate::control::{Server, Steering};
use crate::error::{Error, Kind};
use crate::events;
use crate::files;
use crate::frame::CameraId;
use crate::observe::{Counters, Facts, SinkSummary, Summary, Watch};
use crate::pipeline::clock::{MachineClock, Stop};
use crate::pipeline::{self, CameraSetup, Crew, Gauge, Listener, Remote, Surroundings, Tally, Tuning, Vitals};
use crate::report::{DropReason, Report};
use crate::service::hangup::Launch;
use crate::service::warden::{self, Warden};
use crate::service::{self, notify};
use crate::sink::{self, Ledger, Opening, Published, Publisher};
use crate::source::{self, OpenRequest, Opener, Secret};
use crate::trace::write::Recorder;

/// Longest source on standard input, bytes.
const MOST_TYPED: u64 = 1 << 16;
const NOTHING_TO_LOOK_AT: &str = "nothing to look at: name a source, such as `squint run --source v4l2:/dev/video0` or `--source test`, \
                                  or a configuration file with `--config FILE`; `squint run --help` lists the sources";

/// How long whoever reads standard error is waited for at the end, once Squint was told to stop.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs until every source has ended or a signal says so.
pub(crate) fn run(args: &RunArgs, started: Instant) -> Result<(), Error> {
    if args.source.is_none() && args.common.config.is_none() {
        return Err(Error::Usage(NOTHING_TO_LOOK_AT.into()));
    }
    let flags = Overrides {
        source: args.source.as_deref().map(typed_source).transpose()?,
        pace: match args.pace.as_deref() {
            Some("fast") => Some(Pace::Fast),
            Some(_) => Some(Pace::Realtime),
            None => None,
        },
        rate_hz: args.rate_hz,
        deadline_ms: args.deadline_ms,
        stdout: match (args.json, args.text, args.quiet) {
            (true, ..) => Some(Stdout::Json),
            (_, true, _) => Some(Stdout::Text),
            (.., true) => Some(Stdout::None),
            _ => None,
        },
        output_file: args.output_file.clone(),
        socket: args.socket.clone(),
        ..args.common.overrides()
    };
    service::keep_no_core();
    // First of all: a service may be told to stop, or to reload, at any moment of its start.
    let stop = Stop::new();
    let vitals = Arc::new(Vitals { hang_after: warden::hang_after(), ..Vitals::default() });
    let steward = Steward::new(args.common.config.clone(), flags.clone(), &stop, started, Arc::clone(&vitals));
    let hearing = Arc::clone(&steward);
    let launch = Launch::here(args.common.config.is_some());
    service::heed_signals(&stop, launch, move |wish| hearing.hear(wish)).map_err(Error::io("signal handlers"))?;
    notify::status("starting: reading configuration, loading engines");
    let outcome = serve(args, &flags, &stop, launch, &steward, vitals);
    match &outcome {
        Ok(()) if stop.is_stopped() => info!(event = events::STOPPED; "stopped in good order"),
        Ok(()) => (),
        Err(error) => notify::status(&format!("ended: {error}")),
    }
    steward.finish();
    outcome
}

/// `--source`; `@-` is what standard input holds, read once. `@FILE` is read with the configuration, also at a reload.
fn typed_source(typed: &str) -> Result<Secret, Error> {
    if typed != "@-" {
        return Ok(Secret::new(typed));
    }
    let mut text = String::new();
    std::io::stdin().lock().take(MOST_TYPED).read_to_string(&mut text).map_err(Error::io("standard input"))?;
    Ok(Secret::new(text.trim()))
}

fn serve(
    args: &RunArgs,
    flags: &Overrides,
    stop: &Stop,
    launch: Launch,
    steward: &Arc<Steward>,
    vitals: Arc<Vitals>,
) -> Result<(), Error> {
    // On the CPU first: nothing of NVIDIA's is to be waited for. The steward puts plans on duty once frames are answered.
    let kit = Kit::with(config::load_typed(args.common.config.as_deref(), flags)?, Gpu::Later)?;
    log::set_max_level(kit.config.log_level);
    // Tried now: after a long run it would be too late.
    let summary_file = args.summary.as_deref().map(SummaryFile::create).transpose()?;
    let file = kit.policy_file()?;
    let mut crew = kit.crew(&file)?;
    room::prepare(&kit.config, crew.engines.len());
    let truth = args.labels.as_deref().map(|csv| truth(csv, &kit, &crew)).transpose()?;
    let state_file = kit.config.budget.state_file.clone();
    let _ours = state_file.as_deref().map(Board::take_state).transpose()?;
    let (board, telemetry) = Board::open(&kit.config.telemetry, steward.started().elapsed())?;
    crew.budget = Some(board.budget(&kit, crew.engines.iter().map(|(id, _)| &**id))?);
    let recorder = args.record.as_deref().map(|path| record::start(path, &kit, &board, &crew)).transpose()?;
    let tape = recorder.as_ref().map(|recorder| recorder.tape().clone());
    steward.record(tape.clone());
    let gauge = Some(board.gauge(telemetry, state_file, tape));
    let names: Vec<_> = crew.engines.iter().map(|(id, _)| id.to_string()).collect();
    info!(event = events::POLICY; "policy {} over {}", crew.policy.name(), names.join(", "));
    let cameras = &kit.config.cameras;
    let opening = Opening::here(is_live(cameras), total(cameras, args.frames));
    let finite = !cameras.iter().any(|camera| camera.source.is_live());

    let openers: Vec<_> = cameras.iter().enumerate().map(|(index, camera)| opener(index, camera)).collect();
    for (camera, warning) in cameras.iter().filter_map(|camera| Some((camera, camera.login.warning()?))) {
        warn!(event = events::PASSWORD_EXPOSED, camera = *camera.name; "{}: {warning}", camera.name);
    }
    steward.begin(&kit, &crew, board, openers.clone());
    let cameras = cameras.iter().zip(openers).map(|(camera, opener)| setup(camera, opener, args.frames)).collect();
    let allocations = args.count_allocations.then(Allocations::default);
    let started = steward.started();
    let daemon = Some(Daemon { steward, vitals, launch });
    let session = Session { stop: stop.clone(), started, truth, allocations, opening, finite, summary_file, daemon, gauge };
    let gone = session.go(&kit, crew, cameras);
    recorder.into_iter().for_each(Recorder::finish);
    let (summary, outcome) = gone?;
    outcome?;
    match sink::missing(&summary.all) {
        // Whoever stops a run early has what was wanted.
        Some(_) if stop.is_stopped() => Ok(()),
        Some(sentence) if finite => Err(Error::Unanswered(sentence)),
        Some(sentence) => {
            warn!(event = events::ANSWERS_MISSING; "{sentence}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Where the summary goes.
pub(super) struct SummaryFile {
    path: PathBuf,
    output: files::Output,
}

impl SummaryFile {
    /// A file that can be written; what is there stays until then.
    fn create(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), output: files::Output::create(path).map_err(Error::io(path.display()))? })
    }

    fn write(mut self, summary: &Summary) -> Result<(), Error> {
        let written = self.output.write_all(summary.to_json().as_bytes());
        written.and_then(|()| self.output.finish()).map_err(Error::io(self.path.display()))
    }
}

/// The labels in `csv`, for the photos of all sources.
fn truth(csv: &Path, kit: &Kit, crew: &Crew) -> Result<Truth, Error> {
    let photos: Vec<String> = kit.config.cameras.iter().filter_map(|camera| source::names(&camera.source)).flatten().collect();
    if photos.is_empty() {
        return Err(Error::Usage("--labels is for photos, and no source is a folder, a pattern or a file of photos".into()));
    }
    // The least of what the engines promise: the policy should not be far below it.
    let promised = crew.engines.iter().map(|(id, _)| Some(kit.catalog.get(id)?.accuracy.first()?.top1));
    let promised = promised.collect::<Option<Vec<f64>>>().and_then(|all| all.into_iter().min_by(f64::total_cmp));
    Truth::open(csv, &crew.labels, &photos, promised)
}

fn is_live(cameras: &[Camera]) -> bool {
    cameras.iter().any(|camera| camera.source.is_live() || camera.pace == Pace::Realtime)
}

/// Frames to come, if that is known of every camera.
fn total(cameras: &[Camera], limit: Option<u64>) -> Option<u64> {
    let frames = |camera: &Camera| match (source::count(&camera.source), limit) {
        (Some(count), Some(limit)) => Some(count.min(limit)),
        (count, limit) => count.or(limit),
    };
    cameras.iter().map(frames).sum()
}

fn opener(index: usize, camera: &Camera) -> Opener {
    Opener::new(OpenRequest::of(CameraId(u16::try_from(index).unwrap_or(u16::MAX)), camera))
}

fn setup(camera: &Camera, opener: Opener, frame_limit: Option<u64>) -> CameraSetup {
    CameraSetup {
        name: Arc::clone(&camera.name),
        source: camera.source.to_string().into(),
        opener: Box::new(move || opener.open()),
        live: camera.source.is_live(),
        lossless: camera.pace == Pace::Fast,
        framing: camera.framing,
        tuning: Tuning::from(camera),
        frame_limit,
    }
}

/// One run of the pipeline, from the sinks to the summary.
pub(super) struct Session<'a> {
    pub(super) stop: Stop,
    pub(super) started: Instant,
    pub(super) truth: Option<Truth>,
    pub(super) allocations: Option<Allocations>,
    pub(super) opening: Opening,
    /// No source is live: every frame can be had, so a record that is lost is an error of the run.
    pub(super) finite: bool,
    /// Where the summary goes, before anything is told of it.
    pub(super) summary_file: Option<SummaryFile>,
    /// Present for what runs for long and may be spoken to.
    pub(super) daemon: Option<Daemon<'a>>,
    /// What reads the board, if it is of interest.
    pub(super) gauge: Option<Gauge>,
}

/// What speaks to systemd and to whoever asks.
pub(super) struct Daemon<'a> {
    steward: &'a Arc<Steward>,
    vitals: Arc<Vitals>,
    launch: Launch,
}

impl Daemon<'_> {
    /// Takes its place beside the running pipeline. What is returned goes on until the pipeline has come to its end.
    fn attend(&self, kit: &Kit, remote: &Remote, seen: (&Arc<Watch>, Arc<Ledger>), stop: &Stop) -> Result<Attendants, Error> {
        let (watch, ledger) = seen;
        let thread = Error::io("the threads of the service");
        let steward = Arc::clone(self.steward);
        let warden = Warden {
            remote: remote.clone(),
            vitals: Arc::clone(&self.vitals),
            stop: stop.clone(),
            findings: self.steward.findings(),
            launch: self.launch,
            describe: Box::new(move || steward.describe()),
        };
        self.steward.attend(remote.clone(), Arc::clone(watch), ledger).and_then(|_| warden.start()).map_err(thread)?;
        let steering: Arc<dyn Steering> = Arc::<Steward>::clone(self.steward);
        Ok(Attendants { _control: Server::start(&kit.config.control, steering, stop)? })
    }
}

/// Ends with the run.
struct Attendants {
    _control: Server,
}

impl Session<'_> {
    /// Runs the pipeline and sums up. With the summary comes an error if a finite source failed, of which the log knows.
    pub(super) fn go(self, kit: &Kit, crew: Crew, cameras: Vec<CameraSetup>) -> Result<(Summary, Result<(), Error>), Error> {
        let publisher = Publisher::open(&kit.config.output, &self.opening)?;
        let ledger = publisher.ledger();
        let policy = crew.policy.name().to_owned();
        let names: Vec<_> = cameras.iter().map(|camera| Arc::clone(&camera.name)).collect();
        let engines: Vec<_> = crew.engines.iter().map(|(id, _)| Arc::clone(id)).collect();
        let begun = Instant::now();
        let counters = Counters::new(&names, &engines);
        let watch = Arc::new(Watch::new(&counters, begun));
        let ear = Ear {
            publisher,
            counters,
            watch: Arc::clone(&watch),
            truth: self.truth,
            allocations: self.allocations,
            stop: self.stop.clone(),
        };
        let surroundings = Surroundings {
            clock: Arc::new(MachineClock),
            stop: self.stop.clone(),
            started: self.started,
            vitals: self.daemon.as_ref().map(|daemon| Arc::clone(&daemon.vitals)).unwrap_or_default(),
            gauge: self.gauge,
        };
        let (running, remote) = pipeline::start(crew, cameras, ear, kit.config.output.queue, surroundings)?;
        let attendants = self.daemon.as_ref().map(|daemon| daemon.attend(kit, &remote, (&watch, ledger), &self.stop)).transpose();
        if attendants.is_err() {
            self.stop.stop();
        }
        let (tally, broken) = running.see_out()?;
        drop(attendants?);
        let Tally { mut listener, cameras, ready, failure } = tally;
        for (index, (_, _, drops)) in cameras.iter().enumerate() {
            for why in DropReason::ALL {
                listener.counters.note_drop(u16::try_from(index).unwrap_or(u16::MAX), why, drops.get(why));
            }
        }
        let last = listener.publisher.finish();
        let sink = |(name, Published { delivered, lost })| (Arc::from(name), SinkSummary { sent: delivered, lost });
        let facts = Facts {
            sinks: listener.publisher.published().map(sink).collect(),
            version: env!("CARGO_PKG_VERSION").into(),
            policy,
            duration: begun.elapsed(),
            ready,
            allocations_per_frame: listener.allocations.as_ref().and_then(Allocations::per_frame),
            rss_mb: resident_mb(),
            accuracy: listener.truth.as_ref().and_then(Truth::accuracy),
        };
        if let Some(doubt) = listener.truth.as_ref().and_then(Truth::doubt) {
            warn!(event = events::LABELS_DOUBTED; "{doubt}");
        }
        let summary = listener.counters.summary(&facts);
        // Before anything is told: standard error may not take it, or take its time.
        let written = self.summary_file.map_or(Ok(()), |file| file.write(&summary));
        if last.is_ok() && kit.config.output.summary {
            log::logger().flush();
            let table = sink::table(&summary, sink::stderr_style());
            match self.stop.is_stopped() {
                true => print::say_within(PATIENCE, format_args!("\n{table}")),
                false => print::say(format_args!("\n{table}")),
            }
        }
        let lost: Vec<_> = listener.publisher.lost().map(|(sink, lost)| format!("{lost} by {sink}")).collect();
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
struct Ear {
    publisher: Publisher,
    counters: Counters,
    watch: Arc<Watch>,
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
        self.watch.publish(&self.counters, Instant::now());
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

    /// A socket lets readers in only when it is called.
    fn idle(&mut self) {
        self.watch.publish(&self.counters, Instant::now());
        if self.publisher.flush().is_err() {
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
