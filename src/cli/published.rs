//! Flags of the published method, a part of `squint train`. No logic.

use clap::{Args, ValueEnum};

/// Heading of these flags.
const PUBLISHED: &str = "Published method (--kind chain)";

/// What sort of policy `squint train` makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KindWord {
    /// Whatever does best in cross-validation.
    #[default]
    Best,
    /// A cascade that stops where the answer is sure enough.
    Confidence,
    /// The published KNN chain, which chooses one engine by the features of the frame.
    Chain,
    /// Features and answers together.
    Hybrid,
}

/// How the published pool is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MethodWord {
    /// The largest gain.
    Accuracy,
    /// The largest gain for its time.
    Optimal,
    /// The two in turn.
    Alternate,
}

/// When an answer counts as right in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CriterionWord {
    /// The best class is the label.
    Top1,
    /// The label is among the best five.
    Top5,
}

/// What a chain does where no level says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnNoneWord {
    /// No answer, as published; a wrong one in plain top-1.
    Abstain,
    /// Ask the engine of the pool that is right most often.
    MostCapable,
}

/// Flags of `--kind chain`. Without a flag the published setting for images holds.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = PUBLISHED)]
pub struct ChainArgs {
    /// How engines are added to the pool
    #[arg(long, value_name = "WORD", value_enum, default_value_t = MethodWord::Accuracy)]
    pub method: MethodWord,
    /// An engine that adds no more than so many points to what the pool gets right is not added, 0
    /// to 100
    #[arg(long, value_name = "POINTS", default_value_t = 0.5, value_parser = points)]
    pub theta: f64,
    /// When an answer counts as right in training; figures are of top-1 either way
    #[arg(long, value_name = "WORD", value_enum, default_value_t = CriterionWord::Top1)]
    pub criterion: CriterionWord,
    /// Neighbours that vote
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub k: u8,
    /// What to do where no level says yes
    #[arg(long, value_name = "WORD", value_enum, default_value_t = OnNoneWord::Abstain)]
    pub on_none: OnNoneWord,
}

/// A number of points, 0 to 100.
fn points(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=100.0).contains(value));
    value.ok_or_else(|| "not a number of points from 0 to 100".into())
}
