//! What `squint train` chooses among: the objective in the lab's terms, and the ways of making a
//! policy that are tried for it.

use std::time::Duration;

use crate::cli::{KindWord, ObjectiveWord, TrainArgs};
use crate::error::Error;
use crate::lab::choose::{Chooser, Objective, Reusing};
use crate::lab::crossval::Learner;
use crate::lab::hybrid::Hybrids;
use crate::lab::profile::Profile;
use crate::lab::thresholds::{Goal, MOST_ENGINES, Thresholds};
use crate::policy::Reuse;
use crate::policy::confidence::Score;

/// Folds inside the training frames, for choosing.
pub(super) const INNER_FOLDS: usize = 5;
/// Points above what is asked that the candidates aim at on their training frames: choosing
/// thresholds flatters.
const MARGINS: [f64; 3] = [0.0, 0.5, 1.0];
/// Features that a hybrid policy's first decision may look at: light, detail and sharpness, each
/// for one.
pub(in crate::command) const FEATURES: [&str; 4] =
    ["contrast", "n_keypoints", "edge_density", "sharpness"];
/// Changes of the picture under which an answer is given again, tried on streams; 0 is never.
const CHANGES: [f32; 5] = [0.0, 0.03, 0.06, 0.1, 0.15];
/// How much longer than the mean time asked for a look may take on streams.
const STRETCHES: [f64; 3] = [1.0, 2.5, 5.0];
/// Longest time for which it is.
const AGE: Duration = Duration::from_secs(2);

/// Engines to choose from, by place in the profile: those named, or all that are one network.
pub(super) fn pool(args: &TrainArgs, profile: &Profile) -> Result<Vec<usize>, Error> {
    if !args.pool.is_empty() {
        return args.pool.iter().map(|id| Ok(profile.engine(id)?)).collect();
    }
    let single: Vec<usize> = (0..profile.engines.len())
        .filter(|engine| profile.engines[*engine].networks == 1)
        .collect();
    let all: Vec<usize> =
        if single.is_empty() { (0..profile.engines.len()).collect() } else { single };
    if all.len() > MOST_ENGINES {
        let text = format!(
            "the profile holds {} engines and at most {MOST_ENGINES} can be chosen from; name them with --pool",
            all.len()
        );
        return Err(Error::Usage(text));
    }
    Ok(all)
}

/// The objective, and in words.
fn objective(
    args: &TrainArgs,
    profile: &Profile,
    reference: usize,
) -> Result<(Objective, String), Error> {
    let column = &profile.engines[reference];
    let margin = args.margin / 100.0;
    let above = |text: &str, value: f64| {
        if value.is_finite() && value > 0.0 {
            Ok(value)
        } else {
            Err(Error::Usage(format!("{text} of {value} ms; it must be above 0")))
        }
    };
    let unused =
        |flag: &str, of: &str| Err(Error::Usage(format!("{flag} belongs to --objective {of}")));
    match args.objective {
        ObjectiveWord::MostAccurate => {}
        _ if args.within_ms.is_some() || args.within_share.is_some() => {
            return unused("--within-ms or --within-share", "most-accurate");
        }
        _ => {}
    }
    if args.p95_ms.is_some() && args.objective != ObjectiveWord::LeastEnergy {
        return unused("--p95-ms", "least-energy");
    }
    Ok(match args.objective {
        ObjectiveWord::LeastTime => (
            Objective::LeastTime { reference, margin },
            format!("least mean time, top-1 not below {} {:+.1} points", column.id, args.margin),
        ),
        ObjectiveWord::MostAccurate => {
            let mean_ms =
                args.within_ms.unwrap_or(args.within_share.unwrap_or(1.0) * column.mean_ms);
            let mean_ms = above("a mean time", mean_ms)?;
            (
                Objective::MostAccurate { mean_ms },
                format!("most top-1 within a mean time of {mean_ms:.2} ms"),
            )
        }
        ObjectiveWord::LeastEnergy => {
            let p95_ms = above("a 95th percentile", args.p95_ms.unwrap_or(2.0 * column.mean_ms))?;
            if let Some(unknown) = profile.engines.iter().find(|engine| engine.energy_mj.is_none())
            {
                let text = format!(
                    "the profile says nothing of the energy of `{}`; profile on a machine with an energy sensor that may be read (docs/reference/profile.md)",
                    unknown.id
                );
                return Err(Error::Usage(text));
            }
            let words = format!(
                "least energy, top-1 not below {} {:+.1} points, 95 % of frames within {p95_ms:.2} ms",
                column.id, args.margin
            );
            (Objective::LeastEnergy { reference, margin, p95_ms }, words)
        }
    })
}

/// The candidates under the objective, and the objective in words.
pub(super) fn chooser(
    args: &TrainArgs,
    profile: &Profile,
    reference: usize,
    pool: &[usize],
) -> Result<(Chooser, String), Error> {
    let (objective, wanted) = objective(args, profile, reference)?;
    let longest = usize::from(args.stages);
    let goals: Vec<(String, Goal, usize)> = match objective {
        // Where most frames are answered again, those that are looked at may take longer.
        Objective::MostAccurate { mean_ms } if profile.is_stream() => STRETCHES
            .map(|stretch| {
                (
                    format!("{stretch} times as long"),
                    Goal::MostAccurate { mean_ms: mean_ms * stretch },
                    longest,
                )
            })
            .to_vec(),
        Objective::MostAccurate { mean_ms } => (longest.min(2)..=longest)
            .map(|stages| {
                (format!("up to {stages} stages"), Goal::MostAccurate { mean_ms }, stages)
            })
            .collect(),
        Objective::LeastTime { .. } => MARGINS
            .map(|above| {
                (
                    format!("aiming {above:+.1}"),
                    Goal::LeastTime { reference, margin: (args.margin + above) / 100.0 },
                    longest,
                )
            })
            .to_vec(),
        // Fewer stages keep the 95th percentile down.
        Objective::LeastEnergy { .. } => (1..=longest)
            .map(|stages| {
                let goal =
                    Goal::LeastTime { reference, margin: (args.margin + MARGINS[1]) / 100.0 };
                (format!("up to {stages} stages"), goal, stages)
            })
            .collect(),
    };
    let energy = matches!(objective, Objective::LeastEnergy { .. });
    let root = Thresholds::new(
        goals.first().map_or(Goal::MostAccurate { mean_ms: 1.0 }, |goal| goal.1.clone()),
        pool.to_vec(),
    );
    let base = |what: &str, (name, goal, stages): &(String, Goal, usize), scores: &[Score]| {
        let mut base = root.clone(); // what one clone has seen of the frames, all know
        base.name = format!("{what}, {name}");
        (base.goal, base.stages, base.scores) = (goal.clone(), *stages, scores.to_vec());
        (base.by_energy, base.seed) = (energy, args.seed);
        base
    };
    let mut candidates: Vec<Box<dyn Learner>> = Vec::new();
    for goal in &goals {
        if matches!(args.kind, KindWord::Best | KindWord::Confidence) {
            candidates.push(Box::new(base("max-softmax", goal, &[Score::MaxSoftmax])));
            candidates.push(Box::new(base("learned score", goal, &[Score::Learned])));
        }
        if matches!(args.kind, KindWord::Best | KindWord::Hybrid) && !energy {
            for (what, features) in [("hybrid", &[][..]), ("hybrid, features", &FEATURES[..])] {
                let hybrid =
                    Hybrids::new(base("max-softmax", goal, &[Score::MaxSoftmax]), features);
                candidates
                    .push(Box::new(Hybrids { name: format!("{what}, {}", goal.0), ..hybrid }));
            }
        }
    }
    if candidates.is_empty() {
        return Err(Error::Usage(
            "--kind hybrid weighs time and not energy; leave it out, or choose another --objective"
                .into(),
        ));
    }
    if profile.is_stream() {
        candidates = candidates
            .into_iter()
            .enumerate()
            .flat_map(|(place, inner)| reusing(inner, place > 3))
            .collect();
    }
    Ok((
        Chooser { candidates, objective, folds: INNER_FOLDS, seed: args.seed, reuse: None },
        wanted,
    ))
}

/// The learner under every way of giving answers again; `only` the middle one, for all but the
/// first few.
fn reusing(inner: Box<dyn Learner>, only: bool) -> Vec<Box<dyn Learner>> {
    let inner: std::sync::Arc<dyn Learner> = inner.into();
    let changes = if only { &CHANGES[2..3] } else { &CHANGES[..] };
    let one = |change: &f32| {
        let reuse = (*change > 0.0).then_some(Reuse { max_change: *change, max_age: AGE });
        Box::new(Reusing { inner: inner.clone(), reuse }) as Box<dyn Learner>
    };
    changes.iter().map(one).collect()
}
