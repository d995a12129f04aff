//! `squint train --kind chain`: the published method, every step of it told. The learning is in
//! [`crate::lab::paper`].

use crate::cli::{ChainArgs, CriterionWord, MethodWord, OnNoneWord, TrainArgs};
use crate::command::evaluate::decision_ms;
use crate::error::Error;
use crate::features::NAMES;
use crate::lab::crossval::folds;
use crate::lab::evaluate::{Entry, evaluate};
use crate::lab::evaluation::{Evaluation, Interval, PolicyScore};
use crate::lab::paper::nested::judge_chain;
use crate::lab::paper::{
    Criterion, Fitted, Method, Nested, OnNone, PUBLISHED_FEATURES, PaperChain, to_policy_toml,
};
use crate::lab::profile::Profile;
use crate::lab::replay::replay;
use crate::lab::write::Provenance;
use crate::policy::file::Made;
use crate::{files, print};

/// At most so many frames, spread evenly, are decided on again for the time it takes.
const TIMED: usize = 2000;

/// Where the lines go.
type Say<'s> = &'s mut dyn FnMut(String) -> Result<(), Error>;

/// Learns from all frames, judges on frames that were not learned from, writes the policy file.
pub(crate) fn train(args: &TrainArgs, profile: &Profile) -> Result<(), Error> {
    if args.within_ms.is_some()
        || args.within_share.is_some()
        || args.p95_ms.is_some()
        || args.reference.is_some()
    {
        let text = "--within-ms, --within-share, --p95-ms and --reference are of no use to --kind chain: the published method has no objective";
        return Err(Error::Usage(text.into()));
    }
    let settings = settings(&args.chain, args.seed, candidates(args, profile)?);
    let everything: Vec<usize> = (0..profile.cases.len()).collect();
    let fold_of = folds(profile, args.folds, args.seed)?;
    let mut page = print::Report::begin();
    let mut say = |line: String| {
        page.say(line);
        Ok::<(), Error>(())
    };

    let (n, engines) = (everything.len(), profile.engines.len());
    say(format!("1. profile    {n} labelled frames, {engines} engines ({})", profile.origin.data))?;
    let fitted = settings.fit(profile, &everything)?;
    pool(&settings, &fitted, profile, &mut say)?;
    features(&fitted, &mut say)?;
    let nested = judge_chain(profile, &settings, &fold_of)?;
    premodel(&fitted, &nested, profile, &mut say)?;

    let name = args
        .out
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.split('.').next())
        .unwrap_or("chain");
    let policy = fitted.policy(name, profile)?;
    let in_sample = replay(profile, &policy, None, &everything);
    let some: Vec<usize> = everything.iter().copied().step_by(n.div_ceil(TIMED)).collect();
    let policy_ms = decision_ms(profile, &policy, &some);
    let entry = |walks| Entry {
        name: name.to_owned(),
        kind: policy.kind().to_owned(),
        judged: "cross-validated".into(),
        trained_on_this: false,
        walks,
        policy_ms,
    };
    let report = evaluate(profile, &[entry(nested.walks), entry(in_sample)], args.folds, args.seed);
    let [ours, flattering] = report.policies.as_slice() else {
        return Err(Error::Bug("two policies judged, not two had".into()));
    };
    say(format!(
        "6. judged     nested cross-validation, {} folds by photo, seed {}: no frame had a part in its own policy",
        args.folds, args.seed
    ))?;
    judged(ours, flattering, &report, &mut say)?;

    let made = made(args, profile, ours, flattering);
    let description = format!(
        "The published method ({} pool, theta {}): {:.1} % top-1 on {n} frames, cross-validated, answering {:.1} %, in {:.2} ms.",
        method_word(settings.method),
        settings.theta,
        ours.top1 * 100.0,
        ours.coverage * 100.0,
        ours.mean_ms
    );
    let text =
        to_policy_toml(&fitted, profile, &Provenance { name: name.to_owned(), description, made })?;
    files::write(&args.out, text.as_bytes()).map_err(Error::io(args.out.display()))?;
    say(format!("written to {}", args.out.display()))?;
    page.finish()
}

/// Engines that may be in the pool: those named, or the single networks (ensembles only where there
/// is nothing else).
fn candidates(args: &TrainArgs, profile: &Profile) -> Result<Vec<usize>, Error> {
    if args.pool.is_empty() {
        return Ok((0..profile.engines.len())
            .filter(|engine| profile.engines[*engine].networks == 1)
            .collect());
    }
    args.pool.iter().map(|id| Ok(profile.engine(id)?)).collect()
}

fn settings(args: &ChainArgs, seed: u64, candidates: Vec<usize>) -> PaperChain {
    PaperChain {
        method: match args.method {
            MethodWord::Accuracy => Method::Accuracy,
            MethodWord::Optimal => Method::Optimal,
            MethodWord::Alternate => Method::Alternate,
        },
        criterion: match args.criterion {
            CriterionWord::Top1 => Criterion::Top1,
            CriterionWord::Top5 => Criterion::Top5,
        },
        on_none: match args.on_none {
            OnNoneWord::Abstain => OnNone::Abstain,
            OnNoneWord::MostCapable => OnNone::MostCapable,
        },
        theta: args.theta,
        k: usize::from(args.k),
        prune: true,
        seed,
        candidates,
    }
}

/// As typed.
pub(crate) fn method_word(method: Method) -> &'static str {
    match method {
        Method::Accuracy => "accuracy",
        Method::Optimal => "optimal",
        Method::Alternate => "alternate",
    }
}

fn id(profile: &Profile, engine: usize) -> &str {
    profile.engines.get(engine).map_or("", |column| column.id.as_str())
}

fn pool(settings: &PaperChain, fitted: &Fitted, profile: &Profile, say: Say) -> Result<(), Error> {
    let right = if settings.criterion == Criterion::Top1 { "top-1" } else { "top-5" };
    let (method, theta) = (method_word(settings.method), settings.theta);
    say(format!(
        "2. pool       Algorithm 1, method {method}, theta {theta} points, right in {right}; chosen on all frames"
    ))?;
    let mut missed = 1.0;
    for (number, round) in fitted.pool.rounds.iter().enumerate() {
        let n = (missed * profile.cases.len() as f64).round();
        say(match number {
            0 => "     round 0    how often each is the cheapest right engine, % of all frames"
                .into(),
            _ => format!(
                "     round {number}    right answers, % of the {n} frames that the pool misses"
            ),
        })?;
        let all: Vec<String> = round
            .candidates
            .iter()
            .map(|(engine, share)| format!("{} {:.1}", id(profile, *engine), share * 100.0))
            .collect();
        for line in all.chunks(4) {
            say(format!("                {}", line.join(", ")))?;
        }
        let verdict = if round.taken { "taken" } else { "refused: no more than theta" };
        let (gain, union) = (round.gain * 100.0, round.union * 100.0);
        say(format!(
            "       {:<28} adds {gain:.2} points, {verdict}; union {union:.2} %",
            id(profile, round.engine)
        ))?;
        missed = 1.0 - round.union;
    }
    say(format!(
        "3. labels     the cheapest right engine of the pool ({right}), and what a premodel without mistakes would give"
    ))?;
    let mut ms = 0.0;
    for (engine, share) in fitted.pool.engines.iter().zip(&fitted.ideal_shares) {
        let alone = profile.engines.get(*engine).map_or(0.0, |column| column.mean_ms);
        ms += alone * share;
        say(format!(
            "     {:<30} {:>5.1} % of frames  {alone:>7.2} ms",
            id(profile, *engine),
            share * 100.0
        ))?;
    }
    let none = fitted.ideal_shares.last().copied().unwrap_or(0.0) * 100.0;
    say(format!("     {:<30} {none:>5.1} % of frames", "none is right"))?;
    say(format!(
        "     {:<30} {:>5.1} % right    {ms:>7.2} ms, running nothing where none is right",
        "in all",
        fitted.pool.union * 100.0
    ))
}

fn features(fitted: &Fitted, say: Say) -> Result<(), Error> {
    let name = |feature: usize| NAMES.get(feature).copied().unwrap_or("");
    let found = &fitted.features;
    say(format!(
        "4. features   {} of {PUBLISHED_FEATURES} stay; chosen on all frames, inside each fold anew",
        found.kept.len()
    ))?;
    for feature in &found.constant {
        say(format!("     {:<30} goes: constant", name(*feature)))?;
    }
    for (gone, stayed, r) in &found.correlated {
        say(format!("     {:<30} goes for {:<26} r = {r:+.2}", name(*gone), name(*stayed)))?;
    }
    for (gone, accuracy) in &found.removed {
        say(format!(
            "     {:<30} goes: without it the premodel chooses right in {:.1} %",
            name(*gone),
            accuracy * 100.0
        ))?;
    }
    match found.accuracy {
        Some(accuracy) => say(format!(
            "     with those that stay it chooses right in {:.1} % of {} frames (inner folds); leaving one out costs",
            accuracy * 100.0,
            found.judged_on
        ))?,
        None => say("     too few photos to compare features".into())?,
    }
    if found.importances.is_empty() {
        return found
            .names()
            .into_iter()
            .try_for_each(|name| say(format!("     {name:<30} stays")));
    }
    found.importances.iter().try_for_each(|(feature, points)| {
        say(format!("     {:<30} {points:+.1} points", name(*feature)))
    })
}

fn premodel(fitted: &Fitted, nested: &Nested, profile: &Profile, say: Say) -> Result<(), Error> {
    let n = profile.cases.len().max(1) as f64;
    let engines = |fitted: &Fitted| fitted.pool.engines.clone();
    let same = nested.fits.iter().filter(|fold| engines(fold) == engines(fitted)).count();
    say(format!(
        "5. premodel   {} nearest of {} photos, one vote for each level; judged on other folds",
        fitted.k,
        fitted.rows.len()
    ))?;
    say(format!(
        "     {same} of {} folds choose the pool above; levels are counted from the cheapest engine",
        nested.fits.len()
    ))?;
    let kept = |fold: &Fitted, feature: usize| {
        fold.features.kept.iter().any(|scale| scale.feature == feature)
    };
    let often = fitted.features.kept.iter().map(|scale| {
        let folds = nested.fits.iter().filter(|fold| kept(fold, scale.feature)).count();
        format!("{} {folds}", NAMES.get(scale.feature).copied().unwrap_or(""))
    });
    say(format!(
        "     folds that keep the features above: {}",
        often.collect::<Vec<_>>().join(", ")
    ))?;
    for (place, level) in nested.levels.iter().enumerate() {
        let engine =
            fitted.pool.engines.get(place).map_or("in some folds", |engine| id(profile, *engine));
        say(format!(
            "     level {place} {engine:<30} right in {:.1} % of {} votes; one answer for all {:.1} %",
            level.accuracy() * 100.0,
            level.n,
            level.without_looking() * 100.0
        ))?;
    }
    say(format!(
        "     the whole chain chooses the cheapest right engine, or rightly none, for {:.1} %; one choice for all {:.1} %",
        100.0 * nested.agreed as f64 / n,
        100.0 * nested.agreed_without_looking as f64 / n
    ))
}

fn judged(
    ours: &PolicyScore,
    flattering: &PolicyScore,
    report: &Evaluation,
    say: Say,
) -> Result<(), Error> {
    let percent = |share: f64| share * 100.0;
    let line = |what: &str, text: String| format!("     {what:<30} {text}");
    say(line("top-1, no answer is wrong", interval(ours.top1, ours.top1_ci95)))?;
    say(line("top-5", format!("{:.1} %", percent(ours.top5))))?;
    say(line("coverage (frames answered)", format!("{:.1} %", percent(ours.coverage))))?;
    say(line("selective (right / answered)", format!("{:.1} %", percent(ours.selective_top1))))?;
    let macros = format!("{:.3} / {:.3} / {:.3}", ours.precision, ours.recall, ours.f1);
    say(line("macro precision, recall, F1", macros))?;
    let parts = format!("features {:.2}, choice {:.2}", ours.features_ms, ours.policy_ms);
    say(line("time", format!("mean {:.2} ms ({parts}), p95 {:.2} ms", ours.mean_ms, ours.p95_ms)))?;
    for share in &ours.shares {
        say(line(
            &format!("asks {}", share.id),
            format!("{:.1} % of frames", percent(share.asked)),
        ))?;
    }
    say(line(
        "paper score, not top-1",
        format!(
            "{:.1} %: silence where no engine is right counts as right",
            percent(ours.paper_score)
        ),
    ))?;
    let gain = points(ours.noskill_gain, ours.noskill_gain_ci95);
    say(line("against the no-skill line", format!("top-1 {gain}, at equal mean time")))?;
    for engine in &report.engines {
        let Some(against) = ours.against.iter().find(|against| against.id == engine.id) else {
            continue;
        };
        let most = if engine.id == report.most_capable { "  most capable" } else { "" };
        let diff = points(against.top1_diff, against.top1_diff_ci95);
        say(format!(
            "     against {:<30} {:>6.2} times less time, top-1 {diff}{most}",
            against.id, against.speedup
        ))?;
    }
    let flatters =
        format!("top-1 {:.1} %, {:.2} ms (flatters)", percent(flattering.top1), flattering.mean_ms);
    say(line("on the frames it learned from", flatters))
}

fn points(value: f64, ci: Interval) -> String {
    format!("{value:+.1} points [{:+.1}, {:+.1}]", ci.low, ci.high)
}

fn interval(share: f64, ci: Interval) -> String {
    format!("{:.1} % [{:.1}, {:.1}]", share * 100.0, ci.low * 100.0, ci.high * 100.0)
}

/// What the policy file says of its making.
fn made(args: &TrainArgs, profile: &Profile, ours: &PolicyScore, flattering: &PolicyScore) -> Made {
    let settings = settings(&args.chain, args.seed, Vec::new());
    let right = if settings.criterion == Criterion::Top1 { "top-1" } else { "top-5" };
    let objective = format!(
        "published KNN chain, method {}, theta {}, {right}",
        method_word(settings.method),
        settings.theta
    );
    let note = format!(
        "coverage {:.1} %; paper score {:.1} %, which is not top-1.",
        ours.coverage * 100.0,
        ours.paper_score * 100.0
    );
    super::made(args, profile, profile.most_capable(), &objective, ours, flattering)
        .with("coverage", (ours.coverage * 1e4).round() / 1e4)
        .with("note", note)
}
