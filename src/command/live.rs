//! Photos through the daemon's own pipeline, threads, queues and engines: what
//! `squint evaluate --live` compares the replay with.
//!
//! No policy, no engine and no arithmetic of its own; it only collects reports.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::context::AppContext;
use crate::engine::TOP;
use crate::error::{Error, Kind};
use crate::frame::{CameraId, Framing};
use crate::lab::profile::Profile;
use crate::lab::replay::Walk;
use crate::pipeline::clock::{MachineClock, Stop};
use crate::pipeline::{self, CameraSetup, NO_HURRY, ReportHandler, RunResult, Tuning};
use crate::policy::file::PolicyFile;
use crate::report::{Outcome, Report};
use crate::source;

/// What the pipeline did with each photo.
struct RunReports {
    /// By path inside the folder.
    walks: HashMap<String, Walk>,
    /// Place in the profile of each engine of the engine set.
    places: Vec<Option<u8>>,
}

impl ReportHandler for RunReports {
    fn on_report(&mut self, report: &Report) {
        let Some(file) = &report.file else { return };
        let answer = &report.attempts.answer;
        let answered = matches!(report.outcome, Outcome::Answered | Outcome::Reused);
        let times = report
            .attempts
            .steps
            .iter()
            .map(|step| step.times.preprocess + step.times.run + step.times.rank);
        let walk = Walk {
            top: answer
                .top
                .iter()
                .take(if answered { answer.ranked.min(TOP) } else { 0 })
                .map(|top| top.class)
                .collect(),
            confidence: if answered { answer.top[0].probability } else { 0.0 },
            asked: report
                .attempts
                .steps
                .iter()
                .filter_map(|step| self.places.get(usize::from(step.engine.0)).copied().flatten())
                .collect(),
            measuring_ms: report.times.features.as_secs_f64() * 1000.0,
            ms: (report.times.features + times.sum::<Duration>() + report.times.overhead)
                .as_secs_f64()
                * 1000.0,
            energy_mj: None,
            reused: report.outcome == Outcome::Reused,
            near: 0.0,
        };
        self.walks.insert(file.to_string(), walk);
    }
}

/// Every photo of `profile`, found in `folder`, through the pipeline with the policy of `file`: by
/// case, as [`crate::lab::replay`] tells it, with the times of this run (overhead of the threads
/// included).
pub(crate) fn walks(
    context: &AppContext,
    file: &PolicyFile,
    profile: &Profile,
    folder: &Path,
) -> Result<Vec<Walk>, Error> {
    let mut engine_set = context.engine_set(file)?;
    engine_set.deadline = context.patience();
    let places = engine_set
        .engines
        .iter()
        .map(|(id, _)| profile.engine(id).ok().and_then(|place| u8::try_from(place).ok()))
        .collect();
    let files: Vec<PathBuf> = profile.cases.iter().map(|case| folder.join(&*case.name)).collect();
    if let Some(missing) = files.iter().find(|path| !path.is_file()) {
        return Err(Error::Usage(format!(
            "{}: the profile knows this photo, but it is not there",
            missing.display()
        )));
    }
    let inside = folder.to_owned();
    let camera = CameraSetup {
        name: "photos".into(),
        source: folder.display().to_string().into(),
        opener: Box::new(move || {
            Ok(source::open_images_of(CameraId(0), inside.clone(), files.clone()))
        }),
        live: false,
        lossless: true,
        framing: Framing::default(),
        tuning: Tuning {
            deadline: NO_HURRY,
            stale_after: NO_HURRY,
            stall_after: NO_HURRY,
            retry_cap: NO_HURRY,
            reuse: None,
        },
        frame_limit: None,
    };
    let ear = RunReports { walks: HashMap::new(), places };
    let (queue, clock, stop) = (context.config.output.queue, Arc::new(MachineClock), Stop::new());
    let (tally, broken) =
        pipeline::run_out(engine_set, vec![camera], ear, queue, clock, &stop, Instant::now())?;
    if let Some(broken) = broken {
        return Err(broken.into());
    }
    let RunResult { mut listener, failure, .. } = tally;
    if let Some(failure) = failure {
        log::error!("{failure}");
        return Err(Error::Told(Kind::Missing));
    }
    let silent = |name: &str| {
        Error::Usage(format!("{}: the photo cannot be read any more", folder.join(name).display()))
    };
    profile
        .cases
        .iter()
        .map(|case| listener.walks.remove(&*case.name).ok_or_else(|| silent(&case.name)))
        .collect()
}
