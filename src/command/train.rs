//! `squint train`: shows labelled photos to every engine and fits the thresholds of a confidence policy to the answers.
//!
//! The very engines, preprocessing and policy of the daemon; the search itself is in [`crate::lab`].

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Instant, SystemTime};

use log::{info, warn};

use super::kit::{Kit, engine_info};
use super::run::millis;
use super::truth::Truth;
use crate::cli::TrainArgs;
use crate::engine::Answer;
use crate::engine::manifest::Kind;
use crate::error::Error;
use crate::frame::{CameraId, Frame, Framing};
use crate::lab::thresholds::{Figures, Goal, Objective, Provenance, fit, to_policy_toml};
use crate::lab::{EngineColumn, Observations};
use crate::policy::file::Made;
use crate::sink::Stamp;
use crate::source::{self, FrameSource, SourceError};
use crate::stats;

/// Measures, fits, writes the policy file, prints what it found.
pub(crate) fn train(args: &TrainArgs) -> Result<(), Error> {
    let kit = args.common.kit_without_camera()?;
    let truth = Truth::read(&args.labels)?;
    let pool: Vec<String> = match args.pool.is_empty() {
        false => args.pool.clone(),
        true => kit.catalog.ids().map(str::to_owned).collect(),
    };
    let observations = observe(&kit, &pool, &args.images, &truth)?;
    let reference = args.reference.clone().or_else(|| best_network(&kit, &observations));
    let objective = Objective {
        goal: Goal::Fastest { engine: reference, margin: args.margin / 100.0 },
        stages: usize::from(args.stages),
        seed: args.seed,
        ..Objective::default()
    };
    let fit = fit(&observations, &objective)?;
    let name = args.out.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next()).unwrap_or("trained");
    let made = Made::default()
        .with("date", &Stamp::of(SystemTime::now()).as_str()[..10])
        .with("tool", format!("squint train {}", env!("CARGO_PKG_VERSION")))
        .with("data", args.data.clone().unwrap_or_else(|| format!("{} labelled photos", observations.photos())))
        .with("machine", machine());
    let text = to_policy_toml(&fit, &Provenance { name: name.into(), description: String::new(), made })?;
    std::fs::write(&args.out, text).map_err(Error::io(args.out.display()))?;

    let mut out = std::io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").map_err(Error::io("standard output"));
    let figures = |figures: &Figures| {
        let (low, high) = figures.top1_ci95;
        format!("top-1 {:.1} % [{:.1}, {:.1}]  {:.2} ms", figures.top1 * 100.0, low * 100.0, high * 100.0, figures.mean_ms)
    };
    let (low, high) = fit.difference_ci95;
    let (id, _) = &fit.engines[fit.reference];
    say(format!("{} photos, {} engines, {} folds by photo", observations.photos(), pool.len(), fit.folds))?;
    for column in &observations.engines {
        let (right, n) = (right_alone(column, &observations), observations.photos() as u64);
        let (low, high) = stats::wilson95(right, n);
        let shares = [right as f64 / n as f64, low, high].map(|share| share * 100.0);
        let [top1, low, high] = shares;
        say(format!("  {:<34} top-1 {top1:.1} % [{low:.1}, {high:.1}]  {:.2} ms", column.id, column.mean_ms))?;
    }
    say(String::new())?;
    say(format!("  {:<34} {}", format!("{id} alone"), figures(&fit.reference_alone)))?;
    say(format!("  {:<34} {}", "policy, cross-validated", figures(&fit.cross_validated)))?;
    say(format!("  {:<34} {}", "policy, on the photos it was fitted to", figures(&fit.in_sample)))?;
    say(format!(
        "  cross-validated less {id}: 95 % interval of the difference [{:+.1}, {:+.1}] points",
        low * 100.0,
        high * 100.0
    ))?;
    for (engine, accept_above) in &fit.structure.stages {
        let until = accept_above.map_or("stands".into(), |limit| format!("stands from {limit:.3}"));
        say(format!(
            "  {:<34} asked for {:.0} % of the photos, {until}",
            fit.engines[*engine].0,
            fit.in_sample.asked[*engine] * 100.0
        ))?;
    }
    say(format!("written to {}", args.out.display()))
}

/// The single network (no ensemble) with the most right answers.
fn best_network(kit: &Kit, observations: &Observations) -> Option<String> {
    let single = |column: &&EngineColumn| matches!(kit.catalog.get(&column.id).map(|found| &found.kind), Some(Kind::Network(_)));
    observations
        .engines
        .iter()
        .filter(single)
        .max_by_key(|column| right_alone(column, observations))
        .map(|column| column.id.clone())
}

/// Photos that an engine alone gets right.
fn right_alone(column: &EngineColumn, observations: &Observations) -> u64 {
    let rows = column.probabilities.chunks_exact(observations.classes).zip(&observations.labels);
    rows.filter(|(row, label)| row.iter().all(|p| *p <= row[**label as usize])).count() as u64
}

/// Every engine's answer to every labelled photo, one engine after the other so that each is timed alone.
fn observe(kit: &Kit, pool: &[String], images: &Path, truth: &Truth) -> Result<Observations, Error> {
    let photos = photos(images, truth)?;
    let mut observations =
        Observations { engines: Vec::new(), classes: 0, labels: photos.iter().map(|(_, class)| *class).collect() };
    for id in pool {
        let info = engine_info(&kit.catalog, id).ok_or_else(|| Error::Usage(kit.catalog.unknown(id)))?;
        let mut look = kit.load(id)?;
        let mut answer = Answer::default();
        let mut probabilities = Vec::new();
        let mut times = Vec::with_capacity(photos.len());
        for (number, (frame, _)) in photos.iter().enumerate() {
            progress(id, number, photos.len());
            let begun = Instant::now();
            look.look(frame, &Framing::default(), &mut answer)?;
            times.push(millis(begun.elapsed()));
            observations.classes = answer.probabilities.len();
            probabilities.extend(answer.probabilities.iter().map(|p| p.clamp(0.0, 1.0)));
        }
        progress(id, photos.len(), photos.len());
        let mean_ms = times.iter().sum::<f64>() / times.len() as f64;
        info!("{id}: {mean_ms:.2} ms a look");
        observations.engines.push(EngineColumn { id: id.clone(), sha256: info.sha256, mean_ms, probabilities });
    }
    Ok(observations)
}

/// The labelled photos of a folder. Unreadable and unlabelled ones are named and left out.
fn photos(images: &Path, truth: &Truth) -> Result<Vec<(Frame, u32)>, Error> {
    let spec = images.display().to_string().parse().map_err(Error::Usage)?;
    let mut request = source::OpenRequest::new(CameraId(0), spec);
    request.pace = crate::config::Pace::Fast;
    let mut folder: Box<dyn FrameSource> = source::open(&request)?;
    let mut photos = Vec::new();
    let mut unlabelled = 0_usize;
    loop {
        match folder.next(std::time::Duration::from_secs(60)) {
            Ok(Some(frame)) => match frame.name.as_deref().and_then(|name| truth.class_of(name)) {
                Some(class) => photos.push((frame, class)),
                None => unlabelled += 1,
            },
            Ok(None) => break,
            Err(error @ SourceError::Unreadable { .. }) => warn!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    if unlabelled > 0 {
        warn!("{unlabelled} photos without a label were left out");
    }
    if photos.is_empty() {
        return Err(Error::Usage(format!("no photo in {} has a label", images.display())));
    }
    Ok(photos)
}

fn progress(engine: &str, done: usize, of: usize) {
    if std::io::stderr().is_terminal() && (done.is_multiple_of(20) || done == of) {
        eprint!("\r{engine:<28} {done:>6} of {of}{}", if done == of { "\n" } else { "" });
    }
}

/// The processor's name, as the kernel gives it.
pub(super) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores, {}", name.unwrap_or_else(|| "unknown processor".into()), std::env::consts::ARCH)
}
