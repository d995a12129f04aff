//! `squint probe-tensorrt`, which the daemon and `squint doctor` start; hidden, because its output
//! is theirs.

use std::path::PathBuf;

use clap::Args;

/// `squint probe-tensorrt`.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// The driver's library
    #[arg(long, value_name = "FILE")]
    pub cuda: PathBuf,
    /// TensorRT's library
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// The shim
    #[arg(long, value_name = "FILE")]
    pub shim: Option<PathBuf>,
}
