//! `squint classify`: a few pictures through the very path of the daemon, once.

use std::time::{Duration, Instant};

use super::kit::Kit;
use super::run::Session;
use crate::cli::ClassifyArgs;
use crate::config::{Overrides, Stdout};
use crate::error::Error;
use crate::frame::{CameraId, Framing};
use crate::pipeline::clock::Stop;
use crate::pipeline::{CameraSetup, NO_HURRY, Tuning};
use crate::sink::Opening;
use crate::source::{self, Secret};

/// Looks at each picture. Pictures that cannot be read are named in the log and make the command fail at the end.
pub(crate) fn classify(args: &ClassifyArgs, started: Instant) -> Result<(), Error> {
    let flags = Overrides {
        // The cameras of a file are not opened; without one a source must be named, or there is no configuration.
        source: args.common.config.is_none().then(|| Secret::new("test")),
        stdout: Some(if args.json { Stdout::Json } else { Stdout::Text }),
        summary: Some(false),
        ..args.common.overrides()
    };
    let mut kit = Kit::open(args.common.config.as_deref(), &flags)?;
    (kit.config.output.file, kit.config.output.socket) = (None, None);
    let mut crew = match &args.engine {
        Some(id) => kit.crew_of_one(id)?,
        None => kit.crew(&kit.policy_file()?)?,
    };
    crew.deadline = kit.patience();
    let images = args.images.clone();
    let camera = CameraSetup {
        name: "pictures".into(),
        source: "classify".into(),
        opener: Box::new(move || Ok(source::open_images(CameraId(0), images.clone()))),
        live: false,
        lossless: true,
        framing: Framing::default(),
        tuning: Tuning {
            // One picture at a time, and nobody waits for the next: the strongest engine always has time to answer.
            deadline: NO_HURRY,
            stale_after: Duration::MAX,
            stall_after: Duration::from_secs(60),
            retry_cap: Duration::from_secs(1),
            reuse: None,
        },
        frame_limit: None,
    };
    let total = u64::try_from(args.images.len()).ok();
    let session = Session {
        stop: Stop::new(),
        started,
        truth: None,
        allocations: None,
        opening: Opening { total, ..Opening::here(false, None) },
        finite: true,
        summary_file: None,
        daemon: None,
        gauge: None,
    };
    let (summary, outcome) = session.go(&kit, crew, vec![camera])?;
    outcome?;
    match summary.all.dropped.total() + summary.all.failed {
        0 => Ok(()),
        1 => Err(Error::Missing("one picture got no answer, see above".into())),
        lost => Err(Error::Missing(format!("{lost} pictures got no answer, see above"))),
    }
}
