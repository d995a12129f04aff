//! Looks at the photos of one block after the other: answers in parallel, then times alone.

use std::collections::BTreeMap;
use std::time::Instant;

use crossbeam_channel::{bounded, unbounded};
use log::warn;

use super::super::energy::Meter;
use super::super::kit::Kit;
use super::super::run::millis;
use super::super::truth::Photo;
use super::BLOCK;
use crate::engine::{Answer, Look};
use crate::error::Error;
use crate::features::{self, Scratch};
use crate::frame::{Frame, Framing};
use crate::lab::profile::file::Row;
use crate::lab::profile::{Case, Seen};
use crate::source;
use crate::stats;

/// Fewest looks at a photo for its time.
const LEAST: usize = 3;
/// Half the width of the 95 % interval of a mean time that is narrow enough, as a share of the mean.
const NARROW: f64 = 0.025;

/// What is timed, and how often.
pub(super) struct Settings {
    /// Photos that are timed.
    pub(super) timed: u64,
    /// All photos.
    pub(super) of: u64,
    /// Most looks at one photo.
    pub(super) repeats: usize,
}

impl Settings {
    /// True for `timed` of the photos, spread evenly.
    fn is_timed(&self, photo: usize) -> bool {
        let before = |photo: u64| u128::from(photo) * u128::from(self.timed) / u128::from(self.of.max(1));
        before(photo as u64) != before(photo as u64 + 1)
    }
}

/// Works through `blocks`; `keep` takes each one's rows and unreadable photos, and says if it should go on.
pub(super) fn work(
    kit: &Kit,
    ids: &[String],
    photos: &[Photo],
    settings: &Settings,
    meter: Option<&Meter>,
    blocks: &[usize],
    mut keep: impl FnMut(usize, Vec<Row>, Vec<String>) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut alone = load(kit, ids)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(BLOCK);
    std::thread::scope(|scope| {
        let (jobs, taken) = unbounded::<usize>();
        let (told, heard) = bounded(BLOCK);
        for number in 0..cores {
            let (taken, told) = (taken.clone(), told.clone());
            let body = move || match load(kit, ids) {
                Err(error) => drop(told.send(Err(error))),
                Ok(mut looks) => taken.iter().for_each(|at| drop(told.send(Ok((at, answers(&photos[at], at, ids, &mut looks)))))),
            };
            std::thread::Builder::new()
                .name(format!("profile-{number}"))
                .spawn_scoped(scope, body)
                .map_err(Error::io("a thread"))?;
        }
        drop((taken, told));
        for block in blocks {
            let range = block * BLOCK..photos.len().min((block + 1) * BLOCK);
            for at in range.clone() {
                jobs.send(at).map_err(|_| Error::Bug("the profiling threads ended early".into()))?;
            }
            let mut found = BTreeMap::new();
            for _ in range {
                let (at, result) = heard.recv().map_err(|_| Error::Bug("the profiling threads ended early".into()))??;
                found.insert(at, result);
            }
            let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
            for (at, result) in found {
                match result {
                    Err(reason) => {
                        warn!("{reason}");
                        unreadable.push(photos[at].name.to_string());
                    }
                    Ok(mut row) => {
                        time(&photos[at], &mut row, settings.is_timed(at).then_some(settings.repeats), &mut alone, meter)?;
                        rows.push(row);
                    }
                }
            }
            if !keep(*block, rows, unreadable)? {
                break;
            }
        }
        Ok(())
    })
}

fn load(kit: &Kit, ids: &[String]) -> Result<Vec<Box<dyn Look>>, Error> {
    ids.iter().map(|id| kit.load(id)).collect()
}

/// Features and answers of one photo; the reason if it cannot be read.
fn answers(photo: &Photo, at: usize, ids: &[String], looks: &mut [Box<dyn Look>]) -> Result<Row, String> {
    let frame = source::decode_image(&photo.path).map_err(|error| error.to_string())?;
    // A photo has no frame before it, so `change` must stay 0.
    let (features, glimpse) = features::extract(&frame, &Framing::default(), &mut Scratch::default());
    let mut answer = Answer::default();
    let looks = ids.iter().zip(looks).map(|(id, look)| match look.look(&frame, &Framing::default(), &mut answer) {
        Ok(_) => Some(Seen::of(&answer)),
        Err(error) => {
            warn!("{}: no answer of `{id}`: {error}", photo.name);
            None
        }
    });
    let looks = looks.collect();
    let case =
        Case { name: photo.name.clone(), label: photo.class, group: at as u32, features, features_ms: 0.0, glimpse, at_ms: None };
    Ok(Row { case, looks })
}

/// Fills in the times of a row while nothing else runs: always those of the features, those of the engines with `repeats`.
fn time(
    photo: &Photo,
    row: &mut Row,
    repeats: Option<usize>,
    looks: &mut [Box<dyn Look>],
    meter: Option<&Meter>,
) -> Result<(), Error> {
    let frame = source::decode_image(&photo.path)?;
    row.case.features_ms = features_ms(&frame) as f32;
    let Some(repeats) = repeats else { return Ok(()) };
    let mut times = vec![Vec::with_capacity(repeats); looks.len()];
    let mut energies = vec![Vec::new(); looks.len()];
    let mut answer = Answer::default();
    for round in 0..repeats {
        for (engine, look) in looks.iter_mut().enumerate() {
            let enough = round >= LEAST && stats::mean95(&times[engine]).is_some_and(|(mean, half)| half <= NARROW * mean);
            if enough || row.looks[engine].is_none() {
                continue;
            }
            let before = meter.and_then(Meter::read);
            let begun = Instant::now();
            let result = look.look(&frame, &Framing::default(), &mut answer);
            let taken = begun.elapsed();
            if let Err(error) = result {
                warn!("{}: no answer while timing: {error}", photo.name);
                continue;
            }
            times[engine].push(millis(taken));
            if let (Some(meter), Some(before)) = (meter, before)
                && let Some(after) = meter.read()
            {
                energies[engine].extend(meter.above_idle(&before, &after, taken));
            }
        }
    }
    for ((seen, times), energies) in row.looks.iter_mut().zip(&times).zip(&energies) {
        if let Some(seen) = seen {
            seen.latency_ms = stats::mean(times).map(|ms| ms as f32);
            seen.energy_mj = stats::mean(energies).map(|mj| mj as f32);
        }
    }
    Ok(())
}

/// Mean time of the features with warm buffers, ms.
fn features_ms(frame: &Frame) -> f64 {
    let mut scratch = Scratch::default();
    features::extract(frame, &Framing::default(), &mut scratch);
    let begun = Instant::now();
    for _ in 0..LEAST {
        std::hint::black_box(features::extract(frame, &Framing::default(), &mut scratch));
    }
    millis(begun.elapsed()) / LEAST as f64
}
