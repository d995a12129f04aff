//! `squint run`: the daemon. Turns what was typed into its options; the work is in
//! [`crate::daemon`].

use std::io::Read;
use std::time::Instant;

use crate::cli::RunArgs;
use crate::config::{Overrides, Pace, Stdout};
use crate::daemon::start::{self, Options};
use crate::error::Error;
use crate::source::Secret;

/// Longest source on standard input, bytes.
const MOST_TYPED: u64 = 1 << 16;
const NOTHING_TO_LOOK_AT: &str = "nothing to look at: name a source, such as `squint run --source v4l2:/dev/video0` or `--source test`, \
                                  or a configuration file with `--config FILE`; `squint run --help` lists the sources";

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
        features: args.features.then_some(true),
        output_file: args.output_file.clone(),
        socket: args.socket.clone(),
        ..args.common.overrides()
    };
    let options = Options {
        file: args.common.config.clone(),
        flags,
        summary: args.summary.clone(),
        labels: args.labels.clone(),
        record: args.record.clone(),
        frames: args.frames,
        count_allocations: args.count_allocations,
    };
    start::run(&options, started)
}

/// `--source`; `@-` is what standard input holds, read once. `@FILE` is read with the
/// configuration, also at a reload.
fn typed_source(typed: &str) -> Result<Secret, Error> {
    if typed != "@-" {
        return Ok(Secret::new(typed));
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST_TYPED)
        .read_to_string(&mut text)
        .map_err(Error::io("standard input"))?;
    Ok(Secret::new(text.trim()))
}
