//! `squint classify`: a few pictures through the very path of the daemon, once.

use std::time::{Duration, Instant};

use crate::cli::ClassifyArgs;
use crate::config::{Overrides, Stdout};
use crate::daemon::context::AppContext;
use crate::daemon::pipeline_run::PipelineRun;
use crate::error::Error;
use crate::frame::{CameraId, Framing};
use crate::pipeline::clock::Stop;
use crate::pipeline::{CameraSetup, NO_HURRY, Tuning};
use crate::sink::Opening;
use crate::source::{self, Secret};

/// Looks at each picture. Pictures that cannot be read are named in the log and make the command
/// fail at the end.
pub(crate) fn classify(args: &ClassifyArgs, started: Instant) -> Result<(), Error> {
    let flags = Overrides {
        // The cameras of a file are not opened; without one a source must be named, or there is no
        // configuration.
        source: args.common.config.is_none().then(|| Secret::new("test")),
        stdout: Some(if args.json { Stdout::Json } else { Stdout::Text }),
        summary: Some(false),
        ..args.common.overrides()
    };
    let mut context = AppContext::open(args.common.config.as_deref(), &flags)?;
    (context.config.output.file, context.config.output.socket) = (None, None);
    let mut engine_set = match &args.engine {
        Some(id) => context.engine_set_of_one(id)?,
        None => context.engine_set(&context.policy_file()?)?,
    };
    engine_set.deadline = context.patience();
    let images = args.images.clone();
    let camera = CameraSetup {
        name: "pictures".into(),
        source: "classify".into(),
        opener: Box::new(move || Ok(source::open_images(CameraId(0), images.clone()))),
        live: false,
        lossless: true,
        framing: Framing::default(),
        tuning: Tuning {
            // One picture at a time, and nobody waits for the next: the strongest engine always has
            // time to answer.
            deadline: NO_HURRY,
            stale_after: Duration::MAX,
            stall_after: Duration::from_secs(60),
            retry_cap: Duration::from_secs(1),
            reuse: None,
        },
        frame_limit: None,
    };
    let total = u64::try_from(args.images.len()).ok();
    let run = PipelineRun {
        stop: Stop::new(),
        started,
        ground_truth: None,
        allocations: None,
        opening: Opening { total, ..Opening::here(false, None) },
        finite: true,
        summary_file: None,
        hooks: None,
        sampler: None,
    };
    let (summary, outcome) = run.go(&context, engine_set, vec![camera])?;
    outcome?;
    match summary.all.dropped.total() + summary.all.failed {
        0 => Ok(()),
        1 => Err(Error::Missing("one picture got no answer, see above".into())),
        lost => Err(Error::Missing(format!("{lost} pictures got no answer, see above"))),
    }
}
