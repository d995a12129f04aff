//! The commands that talk to a running daemon: `squint status`, `reload` and `set`. No logic.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::maybe_empty;

/// Where the daemon listens.
#[derive(Debug, Args)]
pub struct At {
    /// The daemon's control socket; by default `control.socket` of the configuration, or
    /// /run/squint/control.sock
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Configuration file of the daemon, to find its control socket
    #[arg(long, short, value_name = "FILE", env = "SQUINT_CONFIG", value_parser = maybe_empty())]
    pub config: Option<PathBuf>,
}

/// `squint status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub at: At,
    /// JSON, as in docs/reference/control.md
    #[arg(long)]
    pub json: bool,
    /// Again every second, until interrupted: the page anew on a terminal, a line elsewhere
    #[arg(long, short)]
    pub watch: bool,
}

/// `squint reload`.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub at: At,
    /// The daemon's process: if it has no control socket, the files are checked here and the signal
    /// is sent; for the ExecReload= of a unit
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(2..))]
    pub main_pid: Option<i32>,
}

/// `squint set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// What to set
    #[arg(value_name = "WHAT", value_enum)]
    pub what: SettingWord,
    /// log-level: error, warn, info, debug or trace. policy: a name or a file, as in the
    /// configuration. mode: auto (as configured), saver, balanced, performance or unlimited (of the
    /// budget), eco (only the cheapest engine looks) or paused (none looks)
    #[arg(value_name = "VALUE")]
    pub value: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub at: At,
}

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SettingWord {
    /// Least important message that is logged.
    LogLevel,
    /// The policy.
    Policy,
    /// How hard to look.
    Mode,
}
