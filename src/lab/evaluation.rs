//! What an evaluation finds, as one value: printed as a table, written as JSON, drawn as a page.
//! The keys of the JSON are these fields.
//!
//! Pure data. Shares and accuracies are 0..=1, differences and gains in points (hundredths), times
//! ms, energies mJ. `null` is "not known".

use serde::Serialize;

/// A 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Frames judged.
    pub n: usize,
    /// What they are, in words.
    pub data: String,
    /// True if they are frames of a labelled stream.
    pub stream: bool,
    /// Processor the times come from.
    pub machine: String,
    /// Program and version.
    pub tool: String,
    /// sha256 of the profile, hex.
    pub profile_sha256: String,
    /// Pictures that could not be read.
    pub unreadable: u64,
    /// Folds of the cross-validation; 0 if nothing was trained here.
    pub folds: usize,
    /// Seed of the split.
    pub seed: u64,
    /// Every engine alone, cheapest first.
    pub engines: Vec<EngineScore>,
    /// Id of the single engine (no ensemble) that is right most often: what differences and
    /// speed-ups refer to.
    pub most_capable: String,
    /// Corners of the no-skill line: upper convex hull of the single engines, from the cheapest to
    /// the most accurate one.
    pub noskill: Vec<Corner>,
    /// The cheapest right engine, chosen with hindsight.
    pub oracle: Oracle,
    /// Policies side by side.
    pub policies: Vec<PolicyScore>,
    /// What the features are worth to the published premodel, most first.
    pub features: Vec<FeatureImportance>,
    /// Families of policies with one knob, over mean time.
    pub curves: Vec<Curve>,
    /// The classifiers that the papers hold against the published chain; empty unless asked for.
    pub classifiers: Vec<ClassifierScore>,
    /// What the published pool selection finds for other settings; empty unless asked for.
    pub pools: Vec<PoolScore>,
}

/// One classifier, or chain of them, in place of the published KNN chain; cross-validated. Figures
/// as in [`PolicyScore`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassifierScore {
    /// `single-<kind>` or `chain-<kind>-<kind>-<kind>`.
    pub name: String,
    /// Right answers / all frames; no answer is wrong.
    pub top1: f64,
    /// Wilson's interval.
    pub top1_ci95: Interval,
    /// Share of frames answered.
    pub coverage: f64,
    /// Right / answered.
    pub selective_top1: f64,
    /// Mean time of features and look, ms; the classifier's own time is not in it.
    pub mean_ms: f64,
    /// Share of frames for which the cheapest right engine of the pool was chosen, or rightly none.
    pub premodel_accuracy: f64,
    /// Top-1 above the no-skill line at equal mean time, points.
    pub noskill_gain: f64,
    /// Paired bootstrap interval, points.
    pub noskill_gain_ci95: Interval,
    /// As in [`PolicyScore`]; not top-1.
    pub paper_score: f64,
}

/// A pool of the published selection, with a premodel that makes no mistake: a ceiling on the
/// frames that it was chosen on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PoolScore {
    /// `accuracy`, `optimal` or `alternate`.
    pub method: String,
    /// Points.
    pub theta: f64,
    /// Ids, cheapest first.
    pub engines: Vec<String>,
    /// Share of frames that some engine of the pool gets right.
    pub union: f64,
    /// Mean time of the cheapest right engine (where none is right, of the cheapest of the pool),
    /// ms.
    pub mean_ms: f64,
    /// The same, running nothing where none is right, ms.
    pub mean_ms_abstaining: f64,
}

/// One engine alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EngineScore {
    /// Its id.
    pub id: String,
    /// Networks run for one look.
    pub networks: u8,
    /// Share of frames whose best class is right.
    pub top1: f64,
    /// Wilson's interval of `top1`.
    pub top1_ci95: Interval,
    /// Share of frames whose class is among the best five.
    pub top5: f64,
    /// Mean time of a look, features not included, ms.
    pub mean_ms: f64,
    /// 95th percentile, ms.
    pub p95_ms: f64,
    /// Mean energy of a look, mJ.
    pub energy_mj: Option<f64>,
    /// Share of frames on which it is the cheapest right engine.
    pub cheapest_right: f64,
    /// Frames it failed on.
    pub failed: u64,
}

/// A corner of the no-skill line.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Corner {
    /// Engine.
    pub id: String,
    /// Its mean time, ms.
    pub mean_ms: f64,
    /// Its top-1.
    pub top1: f64,
}

/// The union oracle.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Oracle {
    /// Share of frames that some engine gets right.
    pub top1: f64,
    /// Mean time of the cheapest right engine (where none is right, of the cheapest engine), ms.
    pub mean_ms: f64,
}

/// One policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PolicyScore {
    /// Its name.
    pub name: String,
    /// `fixed`, `chain`, `confidence`, `hybrid`, `random`, or what else it is made of (`tree`,
    /// `svm`, ...).
    pub kind: String,
    /// How it was judged: `cross-validated` (learned on other folds) or `as given` (a policy file).
    pub judged: String,
    /// True if a policy file was made from this very profile: its figures here flatter, its own
    /// cross-validated ones do not.
    pub trained_on_this: bool,
    /// Right answers / all frames; no answer is wrong.
    pub top1: f64,
    /// Wilson's interval.
    pub top1_ci95: Interval,
    /// As `top1`, among the best five.
    pub top5: f64,
    /// Share of frames answered.
    pub coverage: f64,
    /// Right / answered.
    pub selective_top1: f64,
    /// Macro precision: mean over the classes that were answered at all.
    pub precision: f64,
    /// Macro recall: mean over the classes shown; a frame without answer is a miss.
    pub recall: f64,
    /// Macro F1: mean over the classes shown.
    pub f1: f64,
    /// Mean time, with features, decisions and every engine run, ms.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// Of `mean_ms`: features.
    pub features_ms: f64,
    /// Of `mean_ms`: the decisions (premodel and policy), measured while replaying.
    pub policy_ms: f64,
    /// Mean energy of the looks, mJ.
    pub energy_mj: Option<f64>,
    /// By engine: how often it was asked and had the last word.
    pub shares: Vec<EngineShare>,
    /// Share of frames answered again without a look (streams).
    pub reused: f64,
    /// Changes of the answering engine from one frame that was looked at to the next such frame,
    /// over all frames (streams).
    pub changes: f64,
    /// Mean time of the most capable engine / `mean_ms`.
    pub speedup: f64,
    /// Top-1 less the most capable engine's, points.
    pub top1_diff: f64,
    /// Paired bootstrap interval of `top1_diff`, points.
    pub top1_diff_ci95: Interval,
    /// The same against every engine alone.
    pub against: Vec<Against>,
    /// Top-1 above the no-skill line at equal mean time, points.
    pub noskill_gain: f64,
    /// Paired bootstrap interval, points.
    pub noskill_gain_ci95: Interval,
    /// Mean time of the no-skill line at equal top-1 / `mean_ms`; `None` above the line's best.
    pub noskill_speedup: Option<f64>,
    /// Oracle's top-1 less this one, points.
    pub regret_top1: f64,
    /// `mean_ms` less the oracle's, ms.
    pub regret_ms: f64,
    /// (Right answers + abstentions on frames that no engine gets right) / all frames: the score of
    /// the published figures. Not top-1.
    pub paper_score: f64,
    /// Reliability of the final answers' confidence, ten bins.
    pub reliability: Vec<ReliabilityBin>,
    /// Where the errors come from.
    pub errors: Errors,
}

/// How often one engine had the last word, and how often it was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EngineShare {
    /// Engine.
    pub id: String,
    /// Share of frames on which it was asked last.
    pub answered: f64,
    /// Share of frames it was shown.
    pub asked: f64,
}

/// A policy against one engine alone, on the same frames.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Against {
    /// Engine.
    pub id: String,
    /// Engine's mean time / the policy's.
    pub speedup: f64,
    /// Difference of top-1, points.
    pub top1_diff: f64,
    /// Paired bootstrap interval, points.
    pub top1_diff_ci95: Interval,
}

/// One bin of a reliability diagram.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Lower edge of the confidence, 0..1; each bin is 0.1 wide.
    pub from: f64,
    /// Frames.
    pub n: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// Their share of right answers.
    pub right: f64,
}

/// Wrong answers by cause; shares of all frames, in sum 1 less top-1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// No engine gets the frame right.
    pub nobody_right: f64,
    /// No answer was given although some engine is right.
    pub abstained: f64,
    /// An engine that was asked is right, but the policy's answer is another one.
    pub overruled: f64,
    /// Only engines that were not asked are right.
    pub not_asked: f64,
    /// Some frames of each cause.
    pub examples: Vec<ErrorExample>,
}

/// A frame answered wrongly.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ErrorExample {
    /// `nobody_right`, `abstained`, `overruled` or `not_asked`.
    pub cause: String,
    /// File name.
    pub file: String,
    /// Right class.
    pub label: String,
    /// Class answered; empty without an answer.
    pub answered: String,
    /// Confidence of the final answer.
    pub confidence: f64,
}

/// What one feature is worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FeatureImportance {
    /// Its name.
    pub name: String,
    /// Points of cross-validated premodel accuracy lost without it; may be negative.
    pub points: f64,
}

/// Accuracy of a family of policies over mean time, cross-validated.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curve {
    /// Family.
    pub name: String,
    /// By rising time.
    pub points: Vec<CurvePoint>,
}

/// A point of a curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Mean time, with features and decisions, ms.
    pub mean_ms: f64,
    /// Top-1.
    pub top1: f64,
    /// Gain over the no-skill line at this time, points.
    pub noskill_gain: f64,
    /// Its paired bootstrap interval, points.
    pub noskill_gain_ci95: Interval,
}
