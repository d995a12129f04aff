//! `squint evaluate --classifiers` and `--pools`: the comparisons of the papers, beside the rest of
//! the report.

use std::io::Write;

use crate::cli::EvaluateArgs;
use crate::command::train::published::method_word;
use crate::error::Error;
use crate::escape::Escaped;
use crate::lab::crossval::folds;
use crate::lab::evaluate::{Entry, evaluate};
use crate::lab::evaluation::{ClassifierScore, Evaluation, PolicyScore, PoolScore};
use crate::lab::paper::{Criterion, OtherScore, PaperChain, judge_others, perfect_pools};
use crate::lab::profile::Profile;
use crate::print;

/// Adds what was asked for.
pub(super) fn add(
    args: &EvaluateArgs,
    profile: &Profile,
    evaluation: &mut Evaluation,
) -> Result<(), Error> {
    // The published pool is one of networks: ensembles stay out, as long as there is anything else.
    let mut candidates: Vec<usize> = (0..profile.engines.len())
        .filter(|engine| profile.engines[*engine].networks == 1)
        .collect();
    if candidates.is_empty() {
        candidates = (0..profile.engines.len()).collect();
    }
    if args.pools {
        let id = |engine: &usize| {
            profile.engines.get(*engine).map_or_else(String::new, |column| column.id.clone())
        };
        let all = perfect_pools(profile, &candidates, Criterion::Top1)?;
        evaluation.pools = all
            .into_iter()
            .map(|pool| PoolScore {
                method: method_word(pool.method).into(),
                theta: pool.theta,
                engines: pool.engines.iter().map(id).collect(),
                union: pool.union,
                mean_ms: pool.mean_ms,
                mean_ms_abstaining: pool.mean_ms_abstaining,
            })
            .collect();
    }
    if args.classifiers {
        if args.folds == 0 {
            return Err(Error::Usage("--classifiers learns: it needs --folds, 2 or more".into()));
        }
        let fold_of = folds(profile, args.folds, args.seed)?;
        let others = judge_others(
            profile,
            &fold_of,
            &PaperChain { candidates, seed: args.seed, ..PaperChain::default() },
        )?;
        let entries: Vec<Entry> = others
            .iter()
            .map(|other| Entry {
                name: other.name.clone(),
                kind: "chain".into(),
                judged: "cross-validated".into(),
                trained_on_this: false,
                walks: other.walks(profile),
                policy_ms: 0.0,
            })
            .collect();
        let scores = evaluate(profile, &entries, args.folds, args.seed).policies;
        evaluation.classifiers = scores
            .into_iter()
            .zip(&others)
            .map(|(score, other)| classifier(score, other))
            .collect();
    }
    Ok(())
}

fn classifier(score: PolicyScore, other: &OtherScore) -> ClassifierScore {
    ClassifierScore {
        name: score.name,
        top1: score.top1,
        top1_ci95: score.top1_ci95,
        coverage: score.coverage,
        selective_top1: score.selective_top1,
        mean_ms: score.mean_ms,
        premodel_accuracy: other.premodel_accuracy,
        noskill_gain: score.noskill_gain,
        noskill_gain_ci95: score.noskill_gain_ci95,
        paper_score: score.paper_score,
    }
}

/// The tables of what was asked for.
pub(super) fn print(evaluation: &Evaluation) -> Result<(), Error> {
    let mut out = print::page();
    let mut say = |line: String| writeln!(out, "{line}").map_err(Error::io(print::STDOUT));
    if !evaluation.pools.is_empty() {
        say(format!(
            "\n{:<12}{:>7}{:>9}{:>9}{:>12}  {}",
            "pool by",
            "theta",
            "union %",
            "mean ms",
            "abstain ms",
            "engines, cheapest first; a premodel without mistakes, same frames"
        ))?;
    }
    for pool in &evaluation.pools {
        say(format!(
            "{:<12}{:>7}{:>9.1}{:>9.2}{:>12.2}  {}",
            pool.method,
            pool.theta,
            pool.union * 100.0,
            pool.mean_ms,
            pool.mean_ms_abstaining,
            Escaped(pool.engines.join(", "))
        ))?;
    }
    if !evaluation.classifiers.is_empty() {
        say(format!(
            "\n{:<32}{:>8}  {:<15}{:>8}{:>9}{:>9}  {:<22}{:>8}",
            "in place of the KNN chain",
            "top-1 %",
            "95 %",
            "cover %",
            "mean ms",
            "chosen %",
            "gain over no skill",
            "paper %"
        ))?;
    }
    for one in &evaluation.classifiers {
        say(format!(
            "{:<32}{:>8.1}  {:<15}{:>8.1}{:>9.2}{:>9.1}  {:<22}{:>8.1}",
            Escaped(&one.name).to_string(),
            one.top1 * 100.0,
            super::shares(one.top1_ci95),
            one.coverage * 100.0,
            one.mean_ms,
            one.premodel_accuracy * 100.0,
            super::points(one.noskill_gain, one.noskill_gain_ci95),
            one.paper_score * 100.0
        ))?;
    }
    if evaluation.classifiers.is_empty() {
        return Ok(());
    }
    say("Chosen: the cheapest right engine of the pool, or rightly none. Times are without the classifiers' own. Paper: not top-1."
        .into())
}
