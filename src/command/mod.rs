//! What each subcommand does: fetches the pieces from the modules, puts them together, prints.
//! [`run`](fn@run) sends a parsed command line to its file.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod classify;
pub(crate) mod control;
pub(crate) mod doctor;
mod energy;
pub(crate) mod engines;
pub(crate) mod evaluate;
pub(crate) mod features;
mod live;
pub(crate) mod probe;
pub(crate) mod profile;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod simulate;
mod thumbnails;
pub(crate) mod train;

use std::time::Instant;

use crate::cli::{Cli, Command};
use crate::error::Error;
use crate::{print, service};

/// Does what was typed. `started`: when the process began.
pub fn run(mut cli: Cli, started: Instant) -> Result<(), Error> {
    service::outlive_file_limits();
    let several = matches!(cli.command, Command::Evaluate(_));
    if let Command::Doctor(args) = &mut cli.command {
        args.wants_self_test();
    }
    if let Some(common) = cli.command.common() {
        common.log = cli.log;
        common.config.take_if(|path| path.as_os_str().is_empty());
        if common.policy.len() > 1 && !several {
            return Err(Error::Usage(
                "--policy is named more than once; only `squint evaluate` takes several".into(),
            ));
        }
    }
    match cli.command {
        Command::Run(args) => run::run(&args, started),
        Command::Status(args) => control::status(&args),
        Command::Reload(args) => control::reload(&args),
        Command::Set(args) => control::set(&args),
        Command::Classify(args) => classify::classify(&args, started),
        Command::Features(args) => features::features(&args),
        Command::Check(args) => check::check(&args),
        Command::Engines(engines) => engines::engines(&engines),
        Command::Bench(args) => bench::bench(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Profile(args) => profile::profile(&args),
        Command::Train(args) => train::train(&args),
        Command::Evaluate(args) => evaluate::evaluate(&args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Replay(args) => replay::replay(&args, started),
        Command::ProbeTensorRt(args) => probe::probe(&args),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { out } => shell::man(out.as_deref()),
    }
}

/// Prints why the program ends, if it has to, and hands on what standard output still holds back.
/// The exit code.
pub fn end(outcome: Result<(), Error>) -> u8 {
    print::end(outcome)
}

/// Prints help, version or what is wrong with the command line. The exit code.
pub fn refuse(usage: &clap::Error) -> u8 {
    print::usage(usage)
}
