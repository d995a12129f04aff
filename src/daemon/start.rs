//! Starts the daemon: reads the configuration, opens the board, prepares the cameras, runs the
//! pipeline until every source has ended or a signal says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use log::{info, warn};

use super::board::Board;
use super::context::AppContext;
use super::pipeline_run::{Allocations, PipelineRun, ServiceHooks, SummaryFile};
use super::process_limits;
use super::reconfigure::DaemonState;
use super::recording;
use super::runtimes::Gpu;
use crate::config::{self, Camera, Overrides, Pace};
use crate::error::Error;
use crate::events;
use crate::frame::CameraId;
use crate::ground_truth::GroundTruth;
use crate::pipeline::clock::Stop;
use crate::pipeline::{CameraSetup, EngineSet, Liveness, Tuning};
use crate::service::hangup::Launch;
use crate::service::{self, notify, watchdog};
use crate::sink::{self, Opening};
use crate::source::{self, Opener};
use crate::trace::write::Recorder;

/// What `squint run` was asked for, apart from what the configuration file says.
pub(crate) struct Options {
    /// The configuration file.
    pub(crate) file: Option<PathBuf>,
    /// Keys that were typed; they hold for every reload.
    pub(crate) flags: Overrides,
    /// Where the summary goes.
    pub(crate) summary: Option<PathBuf>,
    /// Labels of the photos that are shown.
    pub(crate) labels: Option<PathBuf>,
    /// Where the trace goes.
    pub(crate) record: Option<PathBuf>,
    /// Stop each camera after so many frames.
    pub(crate) frames: Option<u64>,
    /// Count heap allocations, for `squint bench`.
    pub(crate) count_allocations: bool,
}

/// Runs until every source has ended or a signal says so. `started`: when the process began.
pub(crate) fn run(options: &Options, started: Instant) -> Result<(), Error> {
    service::keep_no_core();
    // First of all: a service may be told to stop, or to reload, at any moment of its start.
    let stop = Stop::new();
    let liveness = Arc::new(Liveness { hang_after: watchdog::hang_after(), ..Liveness::default() });
    let daemon_state = DaemonState::new(
        options.file.clone(),
        options.flags.clone(),
        &stop,
        started,
        Arc::clone(&liveness),
    );
    let hearing = Arc::clone(&daemon_state);
    let launch = Launch::here(options.file.is_some());
    service::heed_signals(&stop, launch, move |wish| hearing.hear(wish))
        .map_err(Error::io("signal handlers"))?;
    notify::status("starting: reading configuration, loading engines");
    let outcome = serve(options, &stop, launch, &daemon_state, liveness);
    match &outcome {
        Ok(()) if stop.is_stopped() => info!(event = events::STOPPED; "stopped in good order"),
        Ok(()) => (),
        Err(error) => notify::status(&format!("ended: {error}")),
    }
    daemon_state.finish();
    outcome
}

fn serve(
    options: &Options,
    stop: &Stop,
    launch: Launch,
    daemon_state: &Arc<DaemonState>,
    liveness: Arc<Liveness>,
) -> Result<(), Error> {
    // On the CPU first: nothing of NVIDIA's is to be waited for. The daemon state puts plans in
    // force once frames are answered.
    let context =
        AppContext::with(config::load_typed(options.file.as_deref(), &options.flags)?, Gpu::Later)?;
    log::set_max_level(context.config.log_level);
    // Tried now: after a long run it would be too late.
    let summary_file = options.summary.as_deref().map(SummaryFile::create).transpose()?;
    let file = context.policy_file()?;
    let mut engine_set = context.engine_set(&file)?;
    process_limits::prepare(&context.config, engine_set.engines.len());
    let ground_truth = options
        .labels
        .as_deref()
        .map(|csv| ground_truth(csv, &context, &engine_set))
        .transpose()?;
    let state_file = context.config.budget.state_file.clone();
    let _ours = state_file.as_deref().map(Board::take_state).transpose()?;
    let (board, telemetry) =
        Board::open(&context.config.telemetry, daemon_state.started().elapsed())?;
    engine_set.budget =
        Some(board.budget(&context, engine_set.engines.iter().map(|(id, _)| &**id))?);
    let recorder = options
        .record
        .as_deref()
        .map(|path| recording::start(path, &context, &board, &engine_set))
        .transpose()?;
    let trace_queue = recorder.as_ref().map(|recorder| recorder.trace_queue().clone());
    daemon_state.record(trace_queue.clone());
    let sampler = Some(board.sampler(telemetry, state_file, trace_queue));
    let names: Vec<_> = engine_set.engines.iter().map(|(id, _)| id.to_string()).collect();
    info!(event = events::POLICY; "policy {} over {}", engine_set.policy.name(), names.join(", "));
    let cameras = &context.config.cameras;
    let opening = Opening {
        features: context.config.output.features,
        ..Opening::here(is_live(cameras), total(cameras, options.frames))
    };
    let finite = !cameras.iter().any(|camera| camera.source.is_live());

    let openers: Vec<_> =
        cameras.iter().enumerate().map(|(index, camera)| opener(index, camera)).collect();
    for (camera, warning) in
        cameras.iter().filter_map(|camera| Some((camera, camera.login.warning()?)))
    {
        warn!(event = events::PASSWORD_EXPOSED, camera = *camera.name; "{}: {warning}", camera.name);
    }
    daemon_state.begin(&context, &engine_set, board, openers.clone());
    let cameras = cameras
        .iter()
        .zip(openers)
        .map(|(camera, opener)| setup(camera, opener, options.frames))
        .collect();
    let allocations = options.count_allocations.then(Allocations::default);
    let started = daemon_state.started();
    let hooks = Some(ServiceHooks { daemon_state, liveness, launch });
    let run = PipelineRun {
        stop: stop.clone(),
        started,
        ground_truth,
        allocations,
        opening,
        finite,
        summary_file,
        hooks,
        sampler,
    };
    let gone = run.go(&context, engine_set, cameras);
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

/// The labels in `csv`, for the photos of all sources.
fn ground_truth(
    csv: &Path,
    context: &AppContext,
    engine_set: &EngineSet,
) -> Result<GroundTruth, Error> {
    let photos: Vec<String> = context
        .config
        .cameras
        .iter()
        .filter_map(|camera| source::names(&camera.source))
        .flatten()
        .collect();
    if photos.is_empty() {
        return Err(Error::Usage(
            "--labels is for photos, and no source is a folder, a pattern or a file of photos"
                .into(),
        ));
    }
    // The least of what the engines promise: the policy should not be far below it.
    let promised = engine_set
        .engines
        .iter()
        .map(|(id, _)| Some(context.catalog.get(id)?.accuracy.first()?.top1));
    let promised = promised
        .collect::<Option<Vec<f64>>>()
        .and_then(|all| all.into_iter().min_by(f64::total_cmp));
    GroundTruth::open(csv, &engine_set.labels, &photos, promised)
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
    Opener::new(camera.open_request(CameraId(u16::try_from(index).unwrap_or(u16::MAX))))
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
