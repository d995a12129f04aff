//! `squint evaluate`: engines, the published method, confidence policies and policy files side by
//! side, judged on a profile.
//!
//! The figures are worked out in [`crate::lab::evaluate`]; here files are read, the clock is held
//! and the table is printed.

mod gather;
mod learners;
mod published;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use log::warn;

use super::{live, thumbnails};
use crate::cli::{Common, EvaluateArgs};
use crate::error::Error;
use crate::escape::Escaped;
use crate::lab::crossval::{PerPhoto, folds, judge, one_a_photo, rejudge};
use crate::lab::doubt::Tally;
use crate::lab::evaluate::{Entry, evaluate as report};
use crate::lab::evaluation::{Evaluation, FeatureImportance, Interval, PolicyScore};
use crate::lab::page;
use crate::lab::paper::PaperChain;
use crate::lab::profile::Profile;
use crate::lab::replay::{Walk, replay};
use crate::policy::Policy;
use crate::policy::file::{MAX_BYTES, PolicyFile};
use crate::{features, files, print};
use learners::Way;

/// Judges and prints; with `--json` and `--html` also writes.
pub(crate) fn evaluate(args: &EvaluateArgs) -> Result<(), Error> {
    for path in [&args.json, &args.html].into_iter().flatten() {
        files::can_be_written(path).map_err(Error::io(path.display()))?;
    }
    let profile = gather::gathered(args)?;
    if args.profile.is_some()
        && let Some(doubt) = Tally::of(&profile).doubt()
    {
        warn!("{doubt}");
    }
    let reuse = args.gather.reuse();
    if reuse.is_some() && !profile.is_stream() {
        return Err(Error::Usage(
            "--reuse-max-change: photos have no frame before them; profile a stream (--stream)"
                .into(),
        ));
    }
    if args.live.is_some() && profile.is_stream() {
        return Err(Error::Usage(
            "--live compares photos; this profile holds the frames of a stream".into(),
        ));
    }
    let everything: Vec<usize> = (0..profile.cases.len()).collect();
    let mut entries = Vec::new();
    let (mut importances, mut curves) = (Vec::new(), Vec::new());
    if args.folds > 0 {
        let fold_of = folds(&profile, args.folds, args.seed)?;
        for Way { kind, learner, in_order } in learners::ways(&profile) {
            let one_each = PerPhoto(learner.as_ref());
            let judged = judge(
                &profile,
                if in_order { learner.as_ref() } else { &one_each },
                &fold_of,
                None,
            )?;
            let policy_ms = judged
                .policies
                .first()
                .map_or(0.0, |policy| decision_ms(&profile, policy, &everything));
            entries.push(entry(
                learner.name(),
                kind,
                "cross-validated",
                false,
                judged.walks,
                policy_ms,
            ));
            if reuse.is_some() {
                let walks = rejudge(&profile, &judged.policies, &fold_of, reuse);
                entries.push(entry(
                    reusing(&learner.name()),
                    kind,
                    "cross-validated",
                    false,
                    walks,
                    policy_ms,
                ));
            }
        }
        if args.curves || args.html.is_some() {
            curves = learners::curves(&profile, &fold_of, args.folds, args.seed)?;
        }
        let fitted = PaperChain::default().fit(&profile, &one_a_photo(&profile, &everything))?;
        importances = fitted.features.importances.clone();
    }
    for path in &policies(args)? {
        let text = files::typed_text(path, MAX_BYTES as u64)
            .map_err(|reason| Error::File { path: path.clone(), reason: reason.to_string() })?;
        let parsed = PolicyFile::parse(&text, path)?;
        let policy = parsed.bind(&profile.engine_infos(), &profile.origin.feature_schema)?;
        let own = !profile.origin.sha256.is_empty()
            && parsed.made().text("profile-sha256") == Some(profile.origin.sha256.as_str());
        let walks = replay(&profile, &policy, None, &everything);
        let policy_ms = decision_ms(&profile, &policy, &everything);
        if let Some(photos) = &args.live {
            entries.push(on_the_pipeline(args, &parsed, &profile, photos, &walks)?);
        }
        entries.push(entry(
            parsed.name().to_owned(),
            policy.kind(),
            "as given",
            own,
            walks,
            policy_ms,
        ));
        if reuse.is_some() {
            let walks = replay(&profile, &policy, reuse, &everything);
            entries.push(entry(
                reusing(parsed.name()),
                policy.kind(),
                "as given",
                own,
                walks,
                policy_ms,
            ));
        }
    }
    let mut evaluation = report(&profile, &entries, args.folds, args.seed);
    evaluation.features = importances
        .into_iter()
        .map(|(name, points)| FeatureImportance { name: feature_name(name), points })
        .collect();
    evaluation.curves = curves;
    published::add(args, &profile, &mut evaluation)?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&evaluation)
            .map_err(|error| Error::Bug(error.to_string()))?;
        files::write(path, (text + "\n").as_bytes()).map_err(Error::io(path.display()))?;
    }
    if let Some(path) = &args.html {
        let pictures = thumbnails::of(
            &page::wanted(&evaluation),
            args.photos.as_deref().or(args.live.as_deref()).or(args.gather.images.as_deref()),
        );
        files::write(path, page::page(&evaluation, &pictures).as_bytes())
            .map_err(Error::io(path.display()))?;
    }
    print(&evaluation)?;
    published::print(&evaluation)
}

/// The policy files: those named with `--policy`, by name or file, and those that stand alone.
fn policies(args: &EvaluateArgs) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for word in &args.common.policy {
        let one = Common { policy: vec![word.clone()], ..args.common.clone() };
        paths.push(one.context_without_camera()?.config.policy);
    }
    paths.extend(args.policies.iter().cloned());
    Ok(paths)
}

/// A feature as people know it.
fn feature_name(feature: usize) -> String {
    features::NAMES.get(feature).map_or_else(|| feature.to_string(), |name| (*name).to_owned())
}

fn entry(
    name: String,
    kind: &str,
    judged: &str,
    trained_on_this: bool,
    walks: Vec<Walk>,
    policy_ms: f64,
) -> Entry {
    Entry {
        name,
        kind: kind.to_owned(),
        judged: judged.to_owned(),
        trained_on_this,
        walks,
        policy_ms,
    }
}

fn reusing(name: &str) -> String {
    format!("{name} + reuse")
}

/// Mean time of the decisions, ms: the wall time of a replay, which also looks answers up and
/// averages them. An upper bound.
pub(super) fn decision_ms(profile: &Profile, policy: &Policy, cases: &[usize]) -> f64 {
    let begun = Instant::now();
    let walks = replay(profile, policy, None, cases);
    begun.elapsed().as_secs_f64() * 1000.0 / walks.len().max(1) as f64
}

/// The same photos through the daemon's threads and engines. Says on standard error how many
/// decisions differ from the replay's.
fn on_the_pipeline(
    args: &EvaluateArgs,
    file: &PolicyFile,
    profile: &Profile,
    photos: &Path,
    replayed: &[Walk],
) -> Result<Entry, Error> {
    let context = args.common.context_without_camera()?;
    let walks = live::walks(&context, file, profile, photos)?;
    let differ = walks.iter().zip(replayed).filter(|(live, replay)| {
        live.asked != replay.asked || live.top.first() != replay.top.first()
    });
    let name = format!("{} (live)", file.name());
    print::tell(format_args!(
        "{name}: {} of {} decisions differ from the replay",
        differ.count(),
        walks.len()
    ));
    Ok(entry(name, "live", "as given", false, walks, 0.0))
}

fn print(evaluation: &Evaluation) -> Result<(), Error> {
    let mut out = print::page();
    let mut say = |line: String| writeln!(out, "{line}").map_err(Error::io(print::STDOUT));
    say(format!(
        "{} labelled frames: {}; times from {}",
        evaluation.n,
        Escaped(&evaluation.data),
        Escaped(&evaluation.machine)
    ))?;
    say(format!(
        "\n{:<32}{:>8}  {:<15}{:>7}{:>9}{:>9}",
        "engine", "top-1 %", "95 %", "top-5 %", "mean ms", "p95 ms"
    ))?;
    for engine in &evaluation.engines {
        say(format!(
            "{:<32}{:>8.1}  {:<15}{:>7.1}{:>9.2}{:>9.2}",
            Escaped(&engine.id).to_string(),
            engine.top1 * 100.0,
            shares(engine.top1_ci95),
            engine.top5 * 100.0,
            engine.mean_ms,
            engine.p95_ms
        ))?;
    }
    say(format!(
        "{:<32}{:>8.1}  {:<15}{:>7}{:>9.2}\n",
        "oracle (cheapest right engine)",
        evaluation.oracle.top1 * 100.0,
        "",
        "",
        evaluation.oracle.mean_ms
    ))?;
    say(format!(
        "{:<32}{:>8}{:>8}{:>9}{:>9}{:>9}  {:<24}{:<22}",
        "policy",
        "top-1 %",
        "cover %",
        "mean ms",
        "p95 ms",
        "speed-up",
        "top-1 less best engine",
        "gain over no skill"
    ))?;
    for policy in &evaluation.policies {
        let mark = if policy.trained_on_this { " *" } else { "" };
        say(format!(
            "{:<32}{:>8.1}{:>8.1}{:>9.2}{:>9.2}{:>9.2}  {:<24}{:<22}{}{mark}",
            Escaped(&policy.name).to_string(),
            policy.top1 * 100.0,
            policy.coverage * 100.0,
            policy.mean_ms,
            policy.p95_ms,
            policy.speedup,
            points(policy.top1_diff, policy.top1_diff_ci95),
            points(policy.noskill_gain, policy.noskill_gain_ci95),
            Escaped(&policy.judged)
        ))?;
        say(format!("{:<32}{}", "", shown(policy)))?;
        if evaluation.stream {
            let (reused, changes) = (policy.reused * 100.0, policy.changes * 100.0);
            say(format!(
                "{:<32}  {reused:.1} % of the frames answered again without a look; {changes:.1} changes of engine in 100 frames",
                ""
            ))?;
        }
    }
    say(format!(
        "\nBest engine: {} (speed-up and difference refer to it). No answer counts as wrong. Differences and gains in points with 95 % intervals,",
        Escaped(&evaluation.most_capable)
    ))?;
    say("paired by frame. No skill: the best random mix of two engines with the same mean time. Paper score: right answers and silence where no".into())?;
    say("engine is right; it is not top-1. * made from these very frames: flatters, see [made] in the file.".into())
}

fn shares(interval: Interval) -> String {
    format!("[{:.1}, {:.1}]", interval.low * 100.0, interval.high * 100.0)
}

fn points(value: f64, interval: Interval) -> String {
    format!("{value:+.1} [{:+.1}, {:+.1}]", interval.low, interval.high)
}

fn shown(policy: &PolicyScore) -> String {
    let engines: Vec<String> = policy
        .shares
        .iter()
        .map(|share| format!("{} {:.0} %", Escaped(&share.id), share.asked * 100.0))
        .collect();
    format!("  asks {}; paper score {:.1} %", engines.join(", "), policy.paper_score * 100.0)
}
