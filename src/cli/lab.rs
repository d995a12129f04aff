//! `squint profile`, `squint train`, `squint evaluate`: what the lab is asked.

use std::path::PathBuf;

use clap::Args;

use super::{ChainArgs, Common, GatherArgs, KindWord};
use crate::ground_truth::Naming;

/// Most looks for one time, if nobody says otherwise.
pub(super) const REPEATS: u32 = 30;

/// `squint profile`.
#[derive(Debug, Args)]
pub struct ProfileArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Folder of labelled photos
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// True classes: CSV with the column file and one of class_index, wnid, class_name; without it,
    /// the photos lie in sub-folders named by class
    #[arg(long, value_name = "CSV")]
    pub labels: Option<PathBuf>,
    /// How the sub-folders are named, if their names can be read in two ways
    #[arg(long, value_name = "WORD", value_enum, conflicts_with = "labels")]
    pub folders: Option<Naming>,
    /// Profile a stream made of the photos, as this file describes it, in place of the photos; see
    /// docs/background/streams.md
    #[arg(long, value_name = "FILE")]
    pub stream: Option<PathBuf>,
    /// Profile to write, as Parquet; see docs/reference/profile.md
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Engines to ask, comma-separated; all by default
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub pool: Vec<String>,
    /// Go on where an earlier run with the same photos, labels and engines ended
    #[arg(long)]
    pub resume: bool,
    /// Most looks at one photo for its time; fewer where the mean is known to 5 %
    #[arg(long, value_name = "N", default_value_t = REPEATS, value_parser = clap::value_parser!(u32).range(3..=1000))]
    pub repeats: u32,
    /// How many photos or frames are timed, spread evenly; by default 100 photos, or 200 frames of
    /// a stream
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub time_images: Option<u64>,
    /// What the photos are, for the record in the file
    #[arg(long, value_name = "TEXT")]
    pub data: Option<String>,
}

/// `squint train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Profile made by `squint profile`
    #[arg(long, value_name = "FILE")]
    pub profile: PathBuf,
    /// What sort of policy to make
    #[arg(long, value_name = "WORD", value_enum, default_value_t = KindWord::Best)]
    pub kind: KindWord,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub chain: ChainArgs,
    /// What is wanted: the least mean time or energy at the top-1 of the reference, or the most
    /// top-1 within a mean time
    #[arg(long, value_name = "WORD", value_enum, default_value_t = ObjectiveWord::LeastTime)]
    pub objective: ObjectiveWord,
    /// Mean time allowed, features included, milliseconds (for most-accurate)
    #[arg(long, value_name = "MS", conflicts_with = "within_share")]
    pub within_ms: Option<f64>,
    /// Mean time allowed, as a share of the reference's mean time (for most-accurate; 1 by default)
    #[arg(long, value_name = "SHARE")]
    pub within_share: Option<f64>,
    /// 95 % of the frames are to be answered within so many milliseconds (for least-energy; twice
    /// the reference's mean time by default)
    #[arg(long, value_name = "MS")]
    pub p95_ms: Option<f64>,
    /// Engine to be compared with; the single engine that is right most often by default
    #[arg(long, value_name = "ID")]
    pub reference: Option<String>,
    /// How far above the reference's top-1 to aim, in points (for least-time and least-energy);
    /// choosing flatters
    #[arg(long, value_name = "POINTS", default_value_t = 0.0, allow_negative_numbers = true)]
    pub margin: f64,
    /// Engines to choose from, comma-separated; all of the profile that are no ensemble by default
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub pool: Vec<String>,
    /// Most engines asked for one frame
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub stages: u8,
    /// Folds of the cross-validation
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub folds: usize,
    /// Seed of the folds
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Learn from labels that look wrong: every engine is far below its promise or no better than
    /// chance, or follows another order
    #[arg(long)]
    pub trust_labels: bool,
    /// Policy file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `squint evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Profile made by `squint profile`, of photos or of a stream
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "images",
        conflicts_with = "images"
    )]
    pub profile: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub gather: GatherArgs,
    /// Policy files to judge beside the rest; --policy may be given several times, too
    #[arg(value_name = "POLICY FILE")]
    pub policies: Vec<PathBuf>,
    /// Judge the classifiers that the papers hold against the published chain, too, and every mixed
    /// chain of three
    #[arg(long)]
    pub classifiers: bool,
    /// Show what the published pool selection finds for each method and several theta, chosen among
    /// without a mistake
    #[arg(long)]
    pub pools: bool,
    /// Also the most accurate confidence and hybrid policies for every mean time (takes a while;
    /// --html implies it)
    #[arg(long)]
    pub curves: bool,
    /// Everything as JSON; see docs/background/evaluation.md
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Everything as one page of HTML with plots; see docs/background/evaluation.md
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Folder of the photos, for small pictures on the page of --html; that of --live by default
    #[arg(long, value_name = "DIR", requires = "html")]
    pub photos: Option<PathBuf>,
    /// Show the photos of this folder to the engines again, through the daemon's own pipeline, and
    /// compare
    #[arg(long, value_name = "DIR")]
    pub live: Option<PathBuf>,
    /// Folds for what is learned here (published chain, confidence); 0: learn nothing
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub folds: usize,
    /// Seed of the folds and of the intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// Objectives of `squint train`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ObjectiveWord {
    /// Least mean time with a top-1 not below the reference's.
    LeastTime,
    /// Most top-1 within a mean time.
    MostAccurate,
    /// Least mean energy with a top-1 not below the reference's and a bound on the 95th percentile
    /// of the time.
    LeastEnergy,
}
