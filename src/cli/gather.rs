//! The flags of `squint evaluate` that profile first, and those that give the last answer of a
//! stream again.

use std::path::PathBuf;
use std::time::Duration;

use super::lab::REPEATS;
use super::{Common, ProfileArgs};
use crate::ground_truth::Naming;
use crate::policy::Reuse;

/// Heading of the flags that profile first.
const FIRST: &str = "Profile first";

/// What to profile, if there is no profile yet, and when a stream's last answer is given again.
#[derive(Debug, clap::Args, Default)]
pub struct GatherArgs {
    /// Folder of labelled photos to profile first, in place of --profile
    #[arg(long, value_name = "DIR", help_heading = FIRST)]
    pub images: Option<PathBuf>,
    /// True classes of the photos, as for `squint profile`
    #[arg(long, value_name = "CSV", requires = "images", conflicts_with = "profile", help_heading = FIRST)]
    pub labels: Option<PathBuf>,
    /// How the sub-folders are named, as for `squint profile`
    #[arg(long, value_name = "WORD", value_enum, requires = "images", conflicts_with_all = ["profile", "labels"], help_heading = FIRST)]
    pub folders: Option<Naming>,
    /// Judge a stream made of the photos, as this file describes it; see docs/background/streams.md
    #[arg(long, value_name = "FILE", requires = "images", conflicts_with = "profile", help_heading = FIRST)]
    pub stream: Option<PathBuf>,
    /// Engines to ask, comma-separated; all by default
    #[arg(long, value_name = "IDS", value_delimiter = ',', requires = "images", conflicts_with = "profile", help_heading = FIRST)]
    pub pool: Vec<String>,
    /// How many photos or frames are timed, spread evenly; by default 100 photos, or 200 frames of
    /// a stream
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "images", conflicts_with = "profile", help_heading = FIRST)]
    pub time_images: Option<u64>,
    /// Keep the profile in this file, and go on there if that was begun before
    #[arg(long, value_name = "FILE", requires = "images", conflicts_with = "profile", help_heading = FIRST)]
    pub keep_profile: Option<PathBuf>,
    /// Streams: judge every policy a second time, giving the last answer again while no part of the
    /// picture has changed by more than this share of full scale, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub reuse_max_change: Option<f32>,
    /// Longest time for which the last answer is given again, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=3_600_000),
          requires = "reuse_max_change")]
    pub reuse_max_age_ms: u64,
}

impl GatherArgs {
    /// What to profile, into `out`; `None` if there is a profile.
    pub(crate) fn profile(&self, common: &Common, out: PathBuf) -> Option<ProfileArgs> {
        Some(ProfileArgs {
            common: common.clone(),
            images: self.images.clone()?,
            labels: self.labels.clone(),
            folders: self.folders,
            stream: self.stream.clone(),
            out,
            pool: self.pool.clone(),
            resume: self.keep_profile.is_some(),
            repeats: REPEATS,
            time_images: self.time_images,
            data: None,
        })
    }

    /// When the last answer is given again, if it is.
    pub(crate) fn reuse(&self) -> Option<Reuse> {
        let max_change = self.reuse_max_change?;
        Some(Reuse { max_change, max_age: Duration::from_millis(self.reuse_max_age_ms) })
    }
}

fn share(typed: &str) -> Result<f32, String> {
    typed
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "0 to 1 is allowed".to_owned())
}
