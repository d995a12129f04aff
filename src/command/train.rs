//! `squint train`: from a profile to a policy file. Prints every step; the learning is in
//! [`crate::lab`].

pub(super) mod candidates;
pub(super) mod published;

use std::time::SystemTime;

use log::warn;

use super::evaluate::decision_ms;
use crate::cli::{KindWord, TrainArgs};
use crate::engine::EngineIdx;
use crate::error::Error;
use crate::features::NAMES;
use crate::lab::crossval::{folds, judge};
use crate::lab::doubt::Tally;
use crate::lab::evaluate::{Entry, evaluate};
use crate::lab::evaluation::{Interval, PolicyScore};
use crate::lab::profile::{Profile, file};
use crate::lab::replay::replay;
use crate::lab::write::{Provenance, to_toml};
use crate::policy::file::Made;
use crate::policy::{Plan, Policy};
use crate::sink::Stamp;
use crate::stats::wilson95;
use crate::{files, print};
use candidates::INNER_FOLDS;

/// Learns, judges on frames that were not learned from, writes the policy file.
pub(crate) fn train(args: &TrainArgs) -> Result<(), Error> {
    let profile = file::read(&args.profile)?;
    if let Some(doubt) = Tally::of(&profile).doubt() {
        if !args.trust_labels {
            let out = "nothing was learned; if the photos are that hard, --trust-labels learns all the same";
            return Err(Error::Unfit(format!("{}: {doubt}; {out}", args.profile.display())));
        }
        warn!("{}: {doubt}", args.profile.display());
    }
    files::can_be_written(&args.out).map_err(Error::io(args.out.display()))?;
    if args.kind == KindWord::Chain {
        return published::train(args, &profile);
    }
    let reference = match &args.reference {
        Some(id) => profile.engine(id)?,
        None => profile.most_capable(),
    };
    let pool = candidates::pool(args, &profile)?;
    let (chooser, wanted) = candidates::chooser(args, &profile, reference, &pool)?;
    let everything: Vec<usize> = (0..profile.cases.len()).collect();
    let mut page = print::Report::begin();
    let mut say = |line: String| {
        page.say(line);
        Ok::<(), Error>(())
    };

    say(format!(
        "1. profile    {} labelled frames, {} engines ({})",
        profile.cases.len(),
        profile.engines.len(),
        profile.origin.data
    ))?;
    for engine in &pool {
        let (column, right) =
            (&profile.engines[*engine], profile.right_alone(*engine, &everything));
        let (low, high) = wilson95(right, everything.len() as u64);
        let top1 = interval(right as f64 / everything.len() as f64, Interval { low, high });
        say(format!("     {:<30} {}  {:>6.2} ms", column.id, top1, column.mean_ms))?;
    }
    say(format!("2. objective  {wanted}"))?;

    let (trials, best) = chooser.trials(&profile, &everything)?;
    say(format!("3. candidates {INNER_FOLDS}-fold cross-validated on all frames"))?;
    for (place, (name, fared)) in trials.iter().enumerate() {
        let mark = if place == best { "chosen" } else { "" };
        match fared {
            Ok(fared) => say(format!(
                "     {name:<30} top-1 {:.1} %  {:>6.2} ms  {mark}",
                fared.top1 * 100.0,
                fared.mean_ms
            ))?,
            Err(error) => say(format!("     {name:<30} {error}"))?,
        }
    }
    let policy = chooser.candidates[best].learn(&profile, &everything)?;
    say("4. policy     learned from all frames".into())?;
    stages(&policy, &profile, &mut say)?;

    let fold_of = folds(&profile, args.folds, args.seed)?;
    let judged = judge(&profile, &chooser, &fold_of, None)?.walks;
    let in_sample = replay(&profile, &policy, None, &everything);
    let policy_ms = decision_ms(&profile, &policy, &everything);
    let entry = |walks| Entry {
        name: String::new(),
        kind: policy.kind().to_owned(),
        judged: String::new(),
        trained_on_this: false,
        walks,
        policy_ms,
    };
    let scores =
        evaluate(&profile, &[entry(judged), entry(in_sample)], args.folds, args.seed).policies;
    let [ours, flattering] = scores.as_slice() else {
        return Err(Error::Bug("two policies judged, other figures had".into()));
    };
    say(format!(
        "5. judged     nested cross-validation, {} folds by photo, seed {}: no frame had a part in its own policy",
        args.folds, args.seed
    ))?;
    let n = everything.len();
    say(format!(
        "     {:<30} {}  {:>6.2} ms, p95 {:.2} ms",
        "cross-validated",
        interval(ours.top1, ours.top1_ci95),
        ours.mean_ms,
        ours.p95_ms
    ))?;
    say(format!(
        "     {:<30} {:.1} %  {:.2} ms (flatters)",
        "on the frames it learned from",
        flattering.top1 * 100.0,
        flattering.mean_ms
    ))?;
    for (engine, against) in ours.against.iter().enumerate() {
        if engine != reference && profile.engines[engine].networks > 1 {
            continue;
        }
        let ci = against.top1_diff_ci95;
        say(format!(
            "     against {:<22} {:>5.2} times less time, top-1 {:+.1} points [{:+.1}, {:+.1}]",
            against.id, against.speedup, against.top1_diff, ci.low, ci.high
        ))?;
    }

    let made = made(args, &profile, reference, &wanted, ours, flattering);
    let name = args
        .out
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.split('.').next())
        .unwrap_or("trained");
    let column = &profile.engines[reference];
    let description = format!(
        "{:.1} % top-1 in {:.2} ms on {n} frames, cross-validated; {} alone: {:.1} % in {:.2} ms.",
        ours.top1 * 100.0,
        ours.mean_ms,
        column.id,
        100.0 * profile.right_alone(reference, &everything) as f64 / n as f64,
        column.mean_ms
    );
    let text =
        to_toml(&policy, &profile, &Provenance { name: name.to_owned(), description, made })?;
    files::write(&args.out, text.as_bytes()).map_err(Error::io(args.out.display()))?;
    say(format!("written to {}", args.out.display()))?;
    page.finish()
}

/// The policy in a few lines.
fn stages(
    policy: &Policy,
    profile: &Profile,
    say: &mut impl FnMut(String) -> Result<(), Error>,
) -> Result<(), Error> {
    let id = |engine: EngineIdx| {
        profile.engines.get(usize::from(engine.0)).map_or("", |column| column.id.as_str())
    };
    if let Some(reuse) = policy.reuse() {
        let (change, age) = (reuse.max_change, reuse.max_age.as_millis());
        say(format!(
            "     the last answer again, if it was sure, while no block changed by more than {change:.2}, for {age} ms"
        ))?;
    }
    match policy.plan() {
        Plan::Confidence(confidence) => {
            let averages =
                if confidence.average { "answers averaged" } else { "the last answer counts" };
            say(format!("     {averages}, score {}", confidence.score.name()))?;
            for stage in &confidence.stages {
                let until = stage
                    .accept_above
                    .map_or("stands".into(), |limit| format!("stands from {limit:.3}"));
                say(format!("     {:<30} {until}", id(stage.engine)))?;
            }
            Ok(())
        }
        Plan::Hybrid(hybrid) => {
            let points = f64::from(hybrid.price) * 100.0;
            say(format!(
                "     answers averaged; a look is worth it if it adds {points:.3} points a ms to the chance of a right answer"
            ))?;
            let features: Vec<&str> = hybrid
                .scales
                .iter()
                .filter_map(|scale| NAMES.get(scale.feature).copied())
                .collect();
            if !features.is_empty() {
                say(format!("     entered by {}", features.join(", ")))?;
            }
            hybrid.members.iter().try_for_each(|member| {
                say(format!("     {:<30} {:>6.2} ms", id(member.engine), member.ms))
            })
        }
        _ => policy
            .engines()
            .iter()
            .try_for_each(|engine| say(format!("     {:<30} {}", id(*engine), policy.kind()))),
    }
}

/// `top-1 83.1 % [80.4, 85.6]`.
fn interval(top1: f64, ci: Interval) -> String {
    format!("top-1 {:.1} % [{:.1}, {:.1}]", top1 * 100.0, ci.low * 100.0, ci.high * 100.0)
}

/// What the policy file says of its making.
fn made(
    args: &TrainArgs,
    profile: &Profile,
    reference: usize,
    wanted: &str,
    ours: &PolicyScore,
    flattering: &PolicyScore,
) -> Made {
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let pair = |ci: Interval, unit: f64| vec![round(ci.low / unit), round(ci.high / unit)];
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (column, n) = (&profile.engines[reference], profile.cases.len() as u64);
    let everything: Vec<usize> = (0..profile.cases.len()).collect();
    Made::default()
        .with("date", &Stamp::of(SystemTime::now()).as_str()[..10])
        .with("tool", format!("squint train {}", env!("CARGO_PKG_VERSION")))
        .with("machine", profile.origin.machine.clone())
        .with("data", profile.origin.data.clone())
        .with("profile-sha256", profile.origin.sha256.clone())
        .with("objective", wanted)
        .with("n", count(n))
        .with("folds", args.folds as i64)
        .with("seed", count(args.seed))
        .with("top1", round(ours.top1))
        .with("top1-ci95", pair(ours.top1_ci95, 1.0))
        .with("top5", round(ours.top5))
        .with("mean-ms", round(ours.mean_ms))
        .with("p95-ms", round(ours.p95_ms))
        .with("in-sample-top1", round(flattering.top1))
        .with("in-sample-mean-ms", round(flattering.mean_ms))
        .with("reference", column.id.clone())
        .with(
            "reference-top1",
            round(profile.right_alone(reference, &everything) as f64 / n as f64),
        )
        .with("reference-mean-ms", round(column.mean_ms))
        .with("top1-difference-ci95", pair(ours.against[reference].top1_diff_ci95, 100.0))
}
