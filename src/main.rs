//! Parse, run, map the error to an exit code. Nothing else ever moves in.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::alloc::System;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use squint::cli::{self, Cli};
use squint::service;

/// Counts what Squint itself allocates, for `squint bench`; the libraries in C are not seen by it.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return ExitCode::from(cli::refuse(&usage)),
    };
    service::start_log(cli.log);
    let outcome = cli::run(cli, started);
    log::logger().flush();
    ExitCode::from(cli::end(outcome))
}
