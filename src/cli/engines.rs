//! `squint engines`: what can be typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Common;
use crate::engine::tensorrt::plan::name::{Device, MAX_BATCH, Precision};

/// `squint engines`.
#[derive(Debug, Subcommand)]
pub enum EnginesCommand {
    /// List the engines with what was measured of them, and what TensorRT built of them here
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        plans: PlanArgs,
        /// JSON
        #[arg(long)]
        json: bool,
    },
    /// Check every file against its sha256, load every engine and look at a test picture
    Verify {
        #[command(flatten)]
        #[allow(missing_docs)]
        plans: PlanArgs,
    },
    /// Build engines for this machine's GPU with TensorRT
    Build(BuildArgs),
    /// Learn the scales that an int8 build of a float32 engine needs, from pictures
    Calibrate(CalibrateArgs),
    /// Remove what was built and is not wanted any more
    Prune(PruneArgs),
}

impl EnginesCommand {
    /// What most commands share.
    pub(super) fn common(&mut self) -> &mut Common {
        match self {
            Self::List { plans, .. } | Self::Verify { plans } => &mut plans.common,
            Self::Build(args) => &mut args.plans.common,
            Self::Calibrate(args) => &mut args.plans.common,
            Self::Prune(args) => &mut args.plans.common,
        }
    }
}

/// Where engines and plans are.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Folder of what TensorRT built here
    #[arg(long, value_name = "DIR")]
    pub plans: Option<PathBuf>,
}

/// `squint engines build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub plans: PlanArgs,
    /// Engines; all networks without any
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// fp32, fp16 or int8: what may be computed in; by default int8 for int8 models, else fp16
    /// where the GPU has it
    #[arg(long, value_name = "WORD")]
    pub precision: Option<Precision>,
    /// gpu, or dla0, dla1: an accelerator core
    #[arg(long, value_name = "WORD", default_value = "gpu")]
    pub device: Device,
    /// Pictures a run; the daemon looks at one at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_BATCH)))]
    pub batch: u16,
    /// Most memory that kernels may use while they run
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub workspace_mib: Option<u32>,
    /// Scales for int8, as `squint engines calibrate` writes them
    #[arg(long, value_name = "FILE")]
    pub calibration_cache: Option<PathBuf>,
    /// Build even what is there, and try even what failed before and has not changed
    #[arg(long)]
    pub again: bool,
    /// Progress and result as JSON, a line each
    #[arg(long)]
    pub json: bool,
    /// End when standard input closes: for the daemon, whose builds must not outlive it
    #[arg(long, hide = true)]
    pub tied: bool,
}

/// `squint engines calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub plans: PlanArgs,
    /// The engine, float32
    #[arg(value_name = "ID")]
    pub id: String,
    /// Folder of pictures of what the camera sees, or a text file that lists them; 500 to 1000, at
    /// least 100, labels are not needed
    #[arg(long, value_name = "DIR|FILE")]
    pub pictures: PathBuf,
    /// Where the scales go; by default beside the policies
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `squint engines prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub plans: PlanArgs,
    /// Keep at most so many of each engine, the newest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub keep: Option<u16>,
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
}
