//! Keep ONNX Runtime quiet, parse, run, map the error to an exit code. Nothing else ever moves in.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::alloc::System;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use squint::cli::Cli;
use squint::{command, service};

/// Counts what Squint itself allocates, for `squint bench`; the libraries in C are not seen by it.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// ONNX Runtime from 1.32 on looks up a host of its maker's within seconds, and keeps a number for
/// this machine and a queue of events in `~/.cache`. Its C API cannot prevent that
/// (`DisableTelemetryEvents` comes too late for both); only this variable can, before the library
/// is loaded. Children inherit it.
#[expect(
    unsafe_code,
    reason = "the environment can be set in no other way but by starting the program a second time"
)]
fn keep_onnxruntime_quiet() {
    // SAFETY: no other thread reads or writes the environment meanwhile: `main` calls this first,
    // and nothing has started a thread yet.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

fn main() -> ExitCode {
    keep_onnxruntime_quiet();
    let started = Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return ExitCode::from(command::refuse(&usage)),
    };
    service::start_log(cli.log);
    let outcome = command::run(cli, started);
    log::logger().flush();
    ExitCode::from(command::end(outcome))
}
