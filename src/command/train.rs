//! `squint train`: from a profile to a policy file. Prints every step; the learning is in [`crate::lab`].

use std::io::Write;
use std::time::SystemTime;

use crate::cli::{ObjectiveWord, TrainArgs};
use crate::error::Error;
use crate::lab::choose::{Chooser, Fared, Objective};
use crate::lab::crossval::{Learner, folds, judge};
use crate::lab::profile::{Profile, file};
use crate::lab::replay::{Walk, replay};
use crate::lab::thresholds::{Goal, Thresholds};
use crate::lab::write::{Provenance, to_toml};
use crate::policy::file::Made;
use crate::policy::{Plan, Policy};
use crate::sink::Stamp;
use crate::stats::{paired_bootstrap95, wilson95};

/// Rounds of the bootstrap.
const ROUNDS: usize = 2000;
/// Folds inside the training frames, for choosing.
const INNER_FOLDS: usize = 5;
/// Points above what is asked that the candidates aim at on their training frames: choosing thresholds flatters.
const MARGINS: [f64; 3] = [0.0, 0.5, 1.0];

/// Learns, judges on frames that were not learned from, writes the policy file.
pub(crate) fn train(args: &TrainArgs) -> Result<(), Error> {
    let profile = file::read(&args.profile)?;
    let reference = match &args.reference {
        Some(id) => profile.engine(id)?,
        None => profile.most_capable(),
    };
    let pool = pool(args, &profile)?;
    let (chooser, wanted) = chooser(args, &profile, reference, &pool)?;
    let everything: Vec<usize> = (0..profile.cases.len()).collect();
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").map_err(Error::io("standard output"));

    say(format!(
        "1. profile    {} labelled frames, {} engines ({})",
        profile.cases.len(),
        profile.engines.len(),
        profile.origin.data
    ))?;
    for engine in &pool {
        let (column, right) = (&profile.engines[*engine], profile.right_alone(*engine, &everything));
        say(format!("     {:<30} {}  {:>6.2} ms", column.id, share(right, everything.len()), column.mean_ms))?;
    }
    say(format!("2. objective  {wanted}"))?;

    let (trials, best) = chooser.trials(&profile, &everything)?;
    say(format!("3. candidates {INNER_FOLDS}-fold cross-validated on all frames"))?;
    for (place, (name, fared)) in trials.iter().enumerate() {
        let mark = if place == best { "chosen" } else { "" };
        match fared {
            Ok(fared) => say(format!("     {name:<30} top-1 {:.1} %  {:>6.2} ms  {mark}", fared.top1 * 100.0, fared.mean_ms))?,
            Err(error) => say(format!("     {name:<30} {error}"))?,
        }
    }
    let policy = chooser.candidates[best].learn(&profile, &everything)?;
    say("4. policy     learned from all frames".into())?;
    stages(&policy, &profile, &mut say)?;

    let fold_of = folds(&profile, args.folds, args.seed)?;
    let judged = judge(&profile, &chooser, &fold_of, None)?.walks;
    let in_sample = replay(&profile, &policy, None, &everything);
    let (ours, flattering) = (Fared::of(&profile, &everything, &judged), Fared::of(&profile, &everything, &in_sample));
    say(format!(
        "5. judged     nested cross-validation, {} folds by photo, seed {}: no frame had a part in its own policy",
        args.folds, args.seed
    ))?;
    let (hits, n) = (hits(&profile, &judged), everything.len());
    say(format!("     {:<30} {}  {:>6.2} ms, p95 {:.2} ms", "cross-validated", share(hits, n), ours.mean_ms, ours.p95_ms))?;
    say(format!(
        "     {:<30} {:.1} %  {:.2} ms (flatters)",
        "on the frames it learned from",
        flattering.top1 * 100.0,
        flattering.mean_ms
    ))?;
    for engine in 0..profile.engines.len() {
        let column = &profile.engines[engine];
        if engine != reference && column.networks > 1 {
            continue;
        }
        let (difference, (low, high)) = difference(&profile, &judged, engine, args.seed);
        say(format!(
            "     against {:<22} {:>5.2} times less time, top-1 {difference:+.1} points [{low:+.1}, {high:+.1}]",
            column.id,
            column.mean_ms / ours.mean_ms
        ))?;
    }

    let made = made(args, &profile, reference, &wanted, &judged, &ours, &flattering);
    let name = args.out.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next()).unwrap_or("trained");
    let column = &profile.engines[reference];
    let description = format!(
        "{:.1} % top-1 in {:.2} ms on {n} frames, cross-validated; {} alone: {:.1} % in {:.2} ms.",
        ours.top1 * 100.0,
        ours.mean_ms,
        column.id,
        100.0 * profile.right_alone(reference, &everything) as f64 / n as f64,
        column.mean_ms
    );
    let text = to_toml(&policy, &profile, &Provenance { name: name.to_owned(), description, made })?;
    std::fs::write(&args.out, text).map_err(Error::io(args.out.display()))?;
    say(format!("written to {}", args.out.display()))
}

/// Engines to choose from, by place in the profile.
fn pool(args: &TrainArgs, profile: &Profile) -> Result<Vec<usize>, Error> {
    if !args.pool.is_empty() {
        return args.pool.iter().map(|id| Ok(profile.engine(id)?)).collect();
    }
    Ok((0..profile.engines.len()).filter(|engine| profile.engines[*engine].networks == 1).collect())
}

/// The candidates, and the objective in words.
fn chooser(args: &TrainArgs, profile: &Profile, reference: usize, pool: &[usize]) -> Result<(Chooser, String), Error> {
    let column = &profile.engines[reference];
    let (objective, wanted) = match args.objective {
        ObjectiveWord::LeastTime => (
            Objective::LeastTime { reference, margin: args.margin / 100.0 },
            format!("least mean time, top-1 not below {} {:+.1} points", column.id, args.margin),
        ),
        ObjectiveWord::MostAccurate => {
            let mean_ms = args.within_ms.unwrap_or(args.within_share.unwrap_or(1.0) * column.mean_ms);
            if !(mean_ms.is_finite() && mean_ms > 0.0) {
                return Err(Error::Usage(format!("a mean time of {mean_ms} ms; it must be above 0")));
            }
            (Objective::MostAccurate { mean_ms }, format!("most top-1 within a mean time of {mean_ms:.2} ms"))
        }
    };
    let learner = |name: String, goal: Goal, stages: usize| {
        Box::new(Thresholds { name, stages, ..Thresholds::new(goal, pool.to_vec()) }) as Box<dyn Learner>
    };
    let longest = usize::from(args.stages);
    let candidates = match objective {
        Objective::MostAccurate { mean_ms } => (1..=longest)
            .map(|stages| learner(format!("confidence, up to {stages} stages"), Goal::MostAccurate { mean_ms }, stages))
            .collect(),
        _ => MARGINS
            .iter()
            .map(|above| {
                let goal = Goal::LeastTime { reference, margin: (args.margin + above) / 100.0 };
                learner(format!("confidence, aiming {above:.1} higher"), goal, longest)
            })
            .collect(),
    };
    Ok((Chooser { candidates, objective, folds: INNER_FOLDS, seed: args.seed, reuse: None }, wanted))
}

fn stages(policy: &Policy, profile: &Profile, say: &mut impl FnMut(String) -> Result<(), Error>) -> Result<(), Error> {
    let id = |engine: crate::engine::EngineIdx| profile.engines.get(usize::from(engine.0)).map_or("", |column| column.id.as_str());
    match policy.plan() {
        Plan::Confidence(confidence) => {
            for stage in &confidence.stages {
                let until = stage
                    .accept_above
                    .map_or("stands".into(), |limit| format!("stands from {} {limit:.3}", confidence.score.name()));
                say(format!("     {:<30} {until}", id(stage.engine)))?;
            }
            Ok(())
        }
        _ => policy.engines().iter().try_for_each(|engine| say(format!("     {:<30} {}", id(*engine), policy.kind()))),
    }
}

fn hits(profile: &Profile, walks: &[Walk]) -> u64 {
    profile.cases.iter().zip(walks).filter(|(case, walk)| walk.is_right(case.label)).count() as u64
}

/// `top-1 83.1 % [80.4, 85.6]`.
fn share(right: u64, n: usize) -> String {
    let (low, high) = wilson95(right, n as u64);
    format!("top-1 {:.1} % [{:.1}, {:.1}]", 100.0 * right as f64 / n as f64, low * 100.0, high * 100.0)
}

/// Top-1 of `walks` less that of `engine` alone, points, and its paired interval.
fn difference(profile: &Profile, walks: &[Walk], engine: usize, seed: u64) -> (f64, (f64, f64)) {
    let right = |yes: bool| f64::from(u8::from(yes));
    let column = &profile.engines[engine];
    let both = profile.cases.iter().zip(walks).enumerate();
    let differences: Vec<f64> = both
        .map(|(place, (case, walk))| 100.0 * (right(walk.is_right(case.label)) - right(column.is_right(place, case.label))))
        .collect();
    let mean = differences.iter().sum::<f64>() / differences.len().max(1) as f64;
    (mean, paired_bootstrap95(&differences, ROUNDS, seed).unwrap_or((0.0, 0.0)))
}

fn made(
    args: &TrainArgs,
    profile: &Profile,
    reference: usize,
    wanted: &str,
    judged: &[Walk],
    ours: &Fared,
    flattering: &Fared,
) -> Made {
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let interval = |(low, high): (f64, f64)| vec![round(low), round(high)];
    let n = profile.cases.len() as u64;
    let everything: Vec<usize> = (0..profile.cases.len()).collect();
    let top5 = profile.cases.iter().zip(judged).filter(|(case, walk)| walk.is_right5(case.label)).count();
    let (low, high) = difference(profile, judged, reference, args.seed).1;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let column = &profile.engines[reference];
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
        .with("top1-ci95", interval(wilson95(hits(profile, judged), n)))
        .with("top5", round(top5 as f64 / n as f64))
        .with("mean-ms", round(ours.mean_ms))
        .with("p95-ms", round(ours.p95_ms))
        .with("in-sample-top1", round(flattering.top1))
        .with("in-sample-mean-ms", round(flattering.mean_ms))
        .with("reference", column.id.clone())
        .with("reference-top1", round(profile.right_alone(reference, &everything) as f64 / n as f64))
        .with("reference-mean-ms", round(column.mean_ms))
        .with("top1-difference-ci95", interval((low / 100.0, high / 100.0)))
}
