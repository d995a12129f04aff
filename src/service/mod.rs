//! How Squint lives among other processes: its log and its signals. Nothing outside knows of
//! either.
//!
//! The log goes to the [`journal`] under systemd and to the [`terminal`] otherwise, through one
//! queue and thread ([`logger`]) that also cut bursts of faults short ([`limit`]). [`launch`] says
//! what SIGHUP means. [`watchdog`] watches over the pipeline and tells systemd through [`notify`];
//! it and the signals end it through [`Stop`], by which everything waits.

pub mod hangup;
mod health;
pub mod journal;
pub mod limit;
pub mod line;
pub mod logger;
pub mod notify;
pub mod terminal;
pub mod watchdog;

use std::backtrace::BacktraceStatus;
use std::path::Path;
use std::sync::Arc;

use log::LevelFilter;
use rustix::process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::escape::Escaped;
use crate::events;
use crate::pipeline::clock::Stop;
use hangup::{Hangup, Launch};
use journal::Journal;
use logger::{Logger, Outlet};
use terminal::Terminal;

/// What is logged if nobody says otherwise.
pub const DEFAULT_LEVEL: LevelFilter = LevelFilter::Info;

/// Starts logging: to the journal if standard error leads there, otherwise to standard error, one
/// line a message. Panics are logged too. The level can be changed later with
/// [`log::set_max_level`]; `log::logger().flush()` waits for the lines on their way.
pub fn start_log(level: Option<LevelFilter>) {
    let (outlet, window) = match journal() {
        Some(journal) => (Outlet::Journal(journal), Some(limit::WINDOW)),
        // A person who watches wants to see each; a file or a collector of logs is filled for
        // months.
        None => (
            Outlet::Terminal(Terminal::stderr()),
            (!terminal::is_watched()).then_some(limit::WINDOW),
        ),
    };
    // Without a thread for it there is no log, and whatever is to be started next will fail too and
    // say so.
    if let Ok(logger) = Logger::start(outlet, window) {
        // A second logger in one process (tests) is no reason to fail.
        let _ = log::set_boxed_logger(Box::new(logger));
    }
    log::set_max_level(level.unwrap_or(DEFAULT_LEVEL));
    log_panics();
}

/// Makes a crash leave no core, of which Squint's would hold pictures and passwords, unless the
/// limit on the size of cores allows one: a limit of 0 keeps the kernel from writing a file, but
/// not from handing the core to a program (`core_pattern` with a pipe, as apport and
/// systemd-coredump have it). From then on other processes of the same user cannot look into this
/// one either.
pub fn keep_no_core() {
    if getrlimit(Resource::Core).current != Some(0) {
        return;
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        log::debug!("the kernel may keep a core of a crash: {error}");
    }
}

/// The journal, if standard error is connected to it and its own socket can be reached from here.
fn journal() -> Option<Journal> {
    let socket = Path::new(journal::SOCKET);
    (libsystemd::logging::connected_to_journal() && socket.exists())
        .then(|| Journal::at(socket).ok())
        .flatten()
}

/// Makes a panic be told as any other event, with its place, and a trace if `RUST_BACKTRACE` asks
/// for it; what it would have printed to standard error could wait there for ever. Without a log it
/// prints as ever.
pub fn log_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if log::max_level() < LevelFilter::Error {
            return print(panic);
        }
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let text = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let trace = std::backtrace::Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured {
            format!("\n{trace}")
        } else {
            String::new()
        };
        log::error!(event = events::PANICKED, thread; "thread `{}` panicked{place}: {}{trace}", Escaped(thread), Escaped(text));
        log::logger().flush();
    }));
}

/// Makes a file that may not grow any more (`ulimit -f`, LimitFSIZE=) an error of the write, as a
/// full disk is; the signal would end Squint.
pub fn outlive_file_limits() {
    // Nobody asks whether it came: the write says so.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// Makes SIGTERM and SIGINT stop Squint in good order; a second one ends it at once.
pub fn stop_on_signals(stop: &Stop) -> std::io::Result<()> {
    heed(&[SIGTERM, SIGINT], stop, || Hangup::End, |_| ())
}

/// What a signal asks of a daemon that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGHUP: read everything again.
    Reload,
    /// SIGUSR1: the next thriftier mode.
    Thriftier,
    /// SIGUSR2: the next more generous mode.
    MoreGenerous,
}

/// As [`stop_on_signals`]; other signals call `hear`, on the thread that waits for signals: it must
/// not take its time. The system makes one of several signals of a kind that come at once. SIGHUP
/// stops it, too, if `launch` says that it means the terminal.
pub fn heed_signals(
    stop: &Stop,
    launch: Launch,
    hear: impl Fn(Wish) + Send + 'static,
) -> std::io::Result<()> {
    let signals = [SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP];
    let heeded = if launch.ignores_hangups() { &signals[..4] } else { &signals };
    heed(heeded, stop, move || launch.hangup(), hear)
}

fn heed(
    signals: &[i32],
    stop: &Stop,
    hangup: impl Fn() -> Hangup + Send + 'static,
    hear: impl Fn(Wish) + Send + 'static,
) -> std::io::Result<()> {
    let mut signals = Signals::new(signals)?;
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut stopping = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP if hangup() == Hangup::Reload => hear(Wish::Reload),
                SIGUSR1 => hear(Wish::Thriftier),
                SIGUSR2 => hear(Wish::MoreGenerous),
                _ if !stopping => {
                    stopping = true;
                    // First of all: everything else may take a moment.
                    stop.stop();
                    let why = if signal == SIGHUP {
                        "SIGHUP: the terminal is gone, or there is no configuration to reload"
                    } else {
                        "told to stop"
                    };
                    log::info!(event = events::STOPPING; "{why}; finishing the frames on their way (again to leave at once)");
                    notify::stopping();
                }
                // A shell and the system may both say that the terminal is gone.
                SIGHUP => (),
                _ => std::process::exit(128 + signal),
            }
        }
    })?;
    Ok(())
}
