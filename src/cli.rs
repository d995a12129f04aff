//! The command line: what can be typed, and which command it means. No logic: each arm calls into
//! [`crate::command`].

mod control;
mod engines;
mod gather;
mod lab;
mod probe;
mod published;
mod simulate;

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use log::LevelFilter;

use crate::config::Overrides;

pub use control::{At, ReloadArgs, SetArgs, SettingWord, StatusArgs};
pub use engines::{BuildArgs, CalibrateArgs, EnginesCommand, PlanArgs, PruneArgs};
pub use gather::GatherArgs;
pub use lab::{EvaluateArgs, ObjectiveWord, ProfileArgs, TrainArgs};
pub use probe::ProbeArgs;
pub use published::{ChainArgs, CriterionWord, KindWord, MethodWord, OnNoneWord};
pub use simulate::SimulateArgs;

/// Heading of the flags that most commands know.
const COMMON: &str = "Most commands";

/// Squint: adaptive model selection for cameras at the edge.
///
/// Squints at every frame first, then decides how hard to look: cheap features and the last answers
/// choose which of several networks runs; when its answer is unsure and the deadline allows it, a
/// stronger one looks again.
#[derive(Debug, Parser)]
#[command(
    name = "squint",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub struct Cli {
    /// Least important message to log; by default `log-level` of the configuration for `run`, warn
    /// for the others
    #[arg(long, global = true, value_name = "LEVEL", value_parser = levels(), help_heading = COMMON)]
    pub log: Option<LevelFilter>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read cameras (or clips, or photos), look at every frame, report every answer
    Run(RunArgs),
    /// Say what the running daemon is and does
    Status(StatusArgs),
    /// Make the running daemon read configuration, engines and policy again
    Reload(ReloadArgs),
    /// Change log level, policy or mode of the running daemon, until it is reloaded or started
    /// again
    Set(SetArgs),
    /// Look at a few pictures, once
    Classify(ClassifyArgs),
    /// Print the cheap features of pictures
    Features(FeaturesArgs),
    /// Check configuration, engines and policy; list all problems at once
    Check(CheckArgs),
    /// List, verify, build for this machine's GPU, calibrate or clear up the installed engines
    #[command(subcommand)]
    Engines(EnginesCommand),
    /// Measure what Squint costs on this machine
    Bench(BenchArgs),
    /// Say what was found on this machine, and what is missing for what
    Doctor(DoctorArgs),
    /// Show labelled photos to every engine and keep answers, features and times in a file for
    /// `train` and `evaluate`
    Profile(ProfileArgs),
    /// Make a policy file from a profile
    Train(TrainArgs),
    /// Judge engines, the published method and policies on a profile
    Evaluate(EvaluateArgs),
    /// Drive the budget over a simulated TX2 and compare it with an oracle and with simpler ways
    Simulate(SimulateArgs),
    /// Make every decision of a recording again, or say what another policy or other limits would
    /// have decided
    Replay(ReplayArgs),
    /// Open the driver and TensorRT and say what is there; a process of its own, so that it may
    /// crash
    #[command(name = "probe-tensorrt", hide = true)]
    ProbeTensorRt(ProbeArgs),
    /// Print a completion script for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: Shell,
    },
    /// Write the man pages, generated from this command line
    Man {
        /// Folder to write them to; standard output (the main page only) without it
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// What several commands share: where configuration, engines and policy come from.
#[derive(Clone, Debug, Args, Default)]
pub struct Common {
    /// Configuration file; see docs/reference/config.md
    #[arg(long, short, value_name = "FILE", env = "SQUINT_CONFIG", value_parser = maybe_empty(), help_heading = COMMON)]
    pub config: Option<PathBuf>,
    /// Policy: a name such as `default` (default.policy.toml in the calibration folder) or a file
    #[arg(long, value_name = "NAME|FILE", help_heading = COMMON)]
    pub policy: Vec<String>,
    /// Folder of the policies
    #[arg(long, value_name = "DIR", help_heading = COMMON)]
    pub calibration: Option<PathBuf>,
    /// Folder of the engines
    #[arg(long, value_name = "DIR", help_heading = COMMON)]
    pub engines: Option<PathBuf>,
    /// The ONNX Runtime library
    #[arg(long, value_name = "FILE", help_heading = COMMON)]
    pub onnxruntime: Option<PathBuf>,
    /// Threads inside each engine
    #[arg(long, value_name = "N", help_heading = COMMON)]
    pub threads: Option<usize>,
    /// `--log`, which stands before or behind any command.
    #[arg(skip)]
    pub log: Option<LevelFilter>,
}

/// `squint run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// A single source in place of the configured cameras: csi:N, v4l2:/dev/videoN, rtsp://...,
    /// http://..., a video file, a folder or pattern of images, test, or pipeline:<gst-launch
    /// text>; @FILE reads it from a file, @- from standard input, so that a password in it is in no
    /// list of processes
    #[arg(long, short, value_name = "SOURCE")]
    pub source: Option<String>,
    /// `realtime` (the newest frame wins) or `fast` (files and images: every frame, as fast as the
    /// engines can)
    #[arg(long, value_name = "PACE", value_parser = ["realtime", "fast"])]
    pub pace: Option<String>,
    /// Frames a second: asked of csi, v4l2 and test, or the pace of images
    #[arg(long, value_name = "HZ")]
    pub rate_hz: Option<f32>,
    /// Latest moment for an answer after capture, milliseconds
    #[arg(long, value_name = "MS")]
    pub deadline_ms: Option<u64>,
    /// JSON Lines on standard output, as in docs/reference/records.md
    #[arg(long, conflicts_with_all = ["text", "quiet"])]
    pub json: bool,
    /// Lines for people on standard output
    #[arg(long, conflicts_with = "quiet")]
    pub text: bool,
    /// Nothing on standard output
    #[arg(long, short)]
    pub quiet: bool,
    /// Measure all features of every frame and add their values to the JSON records
    #[arg(long)]
    pub features: bool,
    /// JSON Lines into this file too; it is rotated by size
    #[arg(long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// JSON Lines to all who connect to this unix socket
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Write the summary of the run as JSON
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// True classes of image files: CSV with the column file and one of class_index, wnid,
    /// class_name; adds top-1 and top-5 to the summary
    #[arg(long, value_name = "CSV")]
    pub labels: Option<PathBuf>,
    /// Stop each camera after so many frames
    #[arg(long, value_name = "N")]
    pub frames: Option<u64>,
    /// Write everything that decides (features, readings, allowance, decisions; no pictures) into
    /// this file, for `squint replay`
    #[arg(long, value_name = "TRACE")]
    pub record: Option<PathBuf>,
    /// Count what Squint allocates on the heap for each frame, and add it to the summary
    #[arg(long, hide = true)]
    pub count_allocations: bool,
}

/// `squint replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// What `squint run --record` wrote
    #[arg(value_name = "TRACE")]
    pub trace: PathBuf,
    /// What if this policy had decided: a name or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub policy: Option<String>,
    /// What if the section [budget] of this configuration had held
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the policies
    #[arg(long, value_name = "DIR")]
    pub calibration: Option<PathBuf>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

/// `squint classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Pictures: JPEG, PNG, WebP or BMP
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Ask this engine alone, in place of a policy
    #[arg(long, value_name = "ID", conflicts_with = "policy")]
    pub engine: Option<String>,
    /// JSON Lines, as in docs/reference/records.md
    #[arg(long)]
    pub json: bool,
}

/// `squint features`.
#[derive(Debug, Args)]
pub struct FeaturesArgs {
    /// Pictures: JPEG, PNG, WebP or BMP
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// One JSON object a picture
    #[arg(long)]
    pub json: bool,
}

/// `squint check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Print the resolved configuration as TOML
    #[arg(long)]
    pub print: bool,
}

/// `squint bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// JSON
    #[arg(long)]
    pub json: bool,
    /// Only the CPU time of features, preprocessing and engines; no run of the whole pipeline
    #[arg(long)]
    pub cpu_only: bool,
    /// Length of the 30 frames a second run through the whole pipeline
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub seconds: u64,
}

/// `squint doctor`.
#[derive(Debug, Args)]
#[command(mut_arg("engines", |engines| {
    let help = "Folder of the engines; without a folder: run every engine against stored answers (--self-test)";
    engines.num_args(0..=1).default_missing_value("").value_parser(maybe_empty()).help(help)
}))]
pub struct DoctorArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// JSON
    #[arg(long)]
    pub json: bool,
    /// Tell of the sensors below this folder only, a tree with `sys`, `proc` and `etc` copied from
    /// another machine
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Run every engine against stored answers and print a table for a report; takes a while
    #[arg(long, conflicts_with = "root")]
    pub self_test: bool,
    /// With --self-test: store the answers of this machine instead, beside the pictures in the
    /// folder of the policies
    #[arg(long, requires = "self_test", hide = true)]
    pub store: bool,
}

impl DoctorArgs {
    /// True if the engines are to be run; the folder that stands for it is taken out.
    pub(crate) fn wants_self_test(&mut self) -> bool {
        self.self_test |=
            self.common.engines.take_if(|folder| folder.as_os_str().is_empty()).is_some();
        self.self_test
    }
}

impl Common {
    /// As the last layer of the configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            policy: self.policy.last().cloned(),
            calibration: self.calibration.clone(),
            engines: self.engines.clone(),
            onnxruntime: self.onnxruntime.clone(),
            threads: self.threads,
            log_level: self.log,
            ..Overrides::default()
        }
    }
}

impl Command {
    /// What several commands share, where this one does.
    pub(crate) fn common(&mut self) -> Option<&mut Common> {
        match self {
            Self::Run(args) => Some(&mut args.common),
            Self::Classify(args) => Some(&mut args.common),
            Self::Check(args) => Some(&mut args.common),
            Self::Engines(command) => Some(command.common()),
            Self::Bench(args) => Some(&mut args.common),
            Self::Doctor(args) => Some(&mut args.common),
            Self::Profile(args) => Some(&mut args.common),
            Self::Evaluate(args) => Some(&mut args.common),
            Self::Train(_)
            | Self::Replay(_)
            | Self::Features(_)
            | Self::Completions { .. }
            | Self::Man { .. } => None,
            Self::Status(_)
            | Self::Reload(_)
            | Self::Set(_)
            | Self::Simulate(_)
            | Self::ProbeTensorRt(_) => None,
        }
    }
}

/// A path that may be empty: an empty variable counts as not set.
fn maybe_empty() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The words of `log-level`.
fn levels() -> impl TypedValueParser<Value = LevelFilter> {
    PossibleValuesParser::new(["error", "warn", "info", "debug", "trace"])
        .try_map(|word| word.parse().map_err(|error: log::ParseLevelError| error.to_string()))
}
