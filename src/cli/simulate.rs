//! `squint simulate`: what can be asked of the simulated board.

use std::path::PathBuf;

use clap::Args;

/// `squint simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// A scenario that is built in (closed-box, fan-stops, shared-gpu, seven-watts, over-current,
    /// dying-sensors, night, parade), or a file; may be given several times. All that are built in
    /// without it; see docs/background/simulate.md
    #[arg(long, value_name = "NAME|FILE")]
    pub scenario: Vec<String>,
    /// All that are built in, beside the files named
    #[arg(long)]
    pub all: bool,
    /// How many seeds to average over
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// The first of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub first_seed: u64,
    /// JSON in place of tables
    #[arg(long)]
    pub json: bool,
    /// Draw temperature, power, engines, latency and accuracy over time of the first seed into SVG
    /// files in this folder
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
}
