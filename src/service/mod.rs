//! How Squint lives among other processes: its log and its signals. Nothing outside knows of either.
//!
//! Ready, watchdog and journal will live here too; the pipeline already waits only through [`Stop`], so that every one of them can
//! end it.

use std::io::{IsTerminal, Write};

use log::LevelFilter;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::pipeline::clock::Stop;

/// What is logged if nobody says otherwise.
pub const DEFAULT_LEVEL: LevelFilter = LevelFilter::Info;

/// Starts logging to standard error, one line a message. The level can be changed later with [`log::set_max_level`].
pub fn log_to_stderr(level: Option<LevelFilter>) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Off).filter_module("squint", LevelFilter::Trace).filter_module("ort", LevelFilter::Warn);
    // A status line may stand in the line of the terminal that is written to next.
    let erase = if std::io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb") {
        "\r\x1b[2K"
    } else {
        ""
    };
    builder.format(move |out, record| {
        let style = out.default_level_style(record.level());
        writeln!(out, "{erase}{style}{:<5}{style:#} {}", record.level(), record.args())
    });
    // A second logger in one process (tests) is no reason to fail.
    let _ = builder.try_init();
    log::set_max_level(level.unwrap_or(DEFAULT_LEVEL));
}

/// Makes SIGTERM and SIGINT stop Squint in good order; a second one ends it at once.
pub fn stop_on_signals(stop: &Stop) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if count == 0 {
                log::info!("told to stop; finishing the frames on their way (again to leave at once)");
                stop.stop();
            } else {
                std::process::exit(128 + signal);
            }
        }
    })?;
    Ok(())
}
