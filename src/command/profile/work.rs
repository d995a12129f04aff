//! Looks at the frames of one block after the other: answers in parallel, then times alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use crossbeam_channel::{bounded, unbounded};
use log::{info, warn};

use super::super::energy::Meter;
use super::BLOCK;
use super::progress::Progress;
use super::show::{Projector, Show};
use crate::daemon::context::{self, AppContext};
use crate::engine::{Answer, Look};
use crate::error::Error;
use crate::features::{self, Scratch};
use crate::frame::{Frame, Framing};
use crate::lab::profile::file::Row;
use crate::lab::profile::{Case, Seen};
use crate::pipeline::clock::Stop;
use crate::source::SourceError;
use crate::stats;
use crate::units::millis;

/// Fewest looks at a frame for its time.
const LEAST: usize = 3;
/// Frames over which the time of the glimpse is measured.
const GLIMPSES: usize = 20;
/// Half the width of the 95 % interval of a mean time that is narrow enough, as a share of the
/// mean.
const NARROW: f64 = 0.025;
/// Frames of a stream that one thread looks at in a row: most of them show the photo that it holds
/// already.
const RUN: usize = 16;

/// What is timed, and how often.
pub(super) struct Settings<'a> {
    /// Frames that are timed.
    pub(super) timed: u64,
    /// All frames.
    pub(super) of: u64,
    /// Most looks at one frame.
    pub(super) repeats: usize,
    /// Where energy is read, if anywhere.
    pub(super) meter: Option<&'a Meter>,
}

impl Settings<'_> {
    /// True for `timed` of the frames, spread evenly.
    pub(super) fn is_timed(&self, frame: usize) -> bool {
        let before =
            |frame: u64| u128::from(frame) * u128::from(self.timed) / u128::from(self.of.max(1));
        before(frame as u64) != before(frame as u64 + 1)
    }
}

/// Works through `blocks`; `keep` takes each one's rows and unreadable photos. When told to stop,
/// the block on its way is dropped.
pub(super) fn work(
    context: &AppContext,
    ids: &[String],
    show: &Show,
    settings: &Settings<'_>,
    blocks: &[usize],
    stop: &Stop,
    mut keep: impl FnMut(usize, Vec<Row>, Vec<String>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut alone = load(context, ids, true)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(BLOCK);
    let run = if show.is_stream() { RUN } else { 1 };
    let frames = |block: usize| block * BLOCK..show.len().min((block + 1) * BLOCK);
    let all = || blocks.iter().flat_map(|block| frames(*block));
    let mut progress =
        Progress::new(all().count(), all().filter(|at| settings.is_timed(*at)).count());
    let (mut narrow, mut means) = (0, 0);
    std::thread::scope(|scope| {
        let (jobs, taken) = unbounded::<Range<usize>>();
        let (told, heard) = bounded(BLOCK);
        for number in 0..cores {
            let (taken, told) = (taken.clone(), told.clone());
            let body = move || {
                let mut looks = match load(context, ids, false) {
                    Ok(looks) => looks,
                    Err(error) => return drop(told.send(Err(error))),
                };
                let mut projector = Projector::new(show);
                for at in taken.iter().flatten().take_while(|_| !stop.is_stopped()) {
                    drop(told.send(Ok((at, answers(show, &mut projector, at, ids, &mut looks)))));
                }
            };
            std::thread::Builder::new()
                .name(format!("profile-{number}"))
                .spawn_scoped(scope, body)
                .map_err(Error::io("a thread"))?;
        }
        drop((taken, told));
        let mut projector = Projector::new(show);
        for block in blocks {
            let range = frames(*block);
            for first in range.clone().step_by(run) {
                // They end early when told to stop, or after an error, which is heard below.
                drop(jobs.send(first..range.end.min(first + run)));
            }
            let mut found = BTreeMap::new();
            let mut begun = Instant::now();
            for _ in range {
                let Ok(heard) = heard.recv() else {
                    return if stop.is_stopped() {
                        Ok(())
                    } else {
                        Err(Error::Bug("the profiling threads ended early".into()))
                    };
                };
                let (at, result) = heard?;
                found.insert(at, result);
                progress.answered(begun.elapsed());
                begun = Instant::now();
            }
            let (mut rows, mut unreadable) = (Vec::new(), Vec::<String>::new());
            for (at, result) in found {
                if stop.is_stopped() {
                    return Ok(());
                }
                let begun = Instant::now();
                let is_timed = settings.is_timed(at);
                match result {
                    Err(reason) => {
                        let name = &*show.photo(at).1.name;
                        if !unreadable.iter().any(|known| known == name) {
                            warn!("{reason}");
                            unreadable.push(name.to_owned());
                        }
                    }
                    Ok(mut row) => {
                        // Making a frame of a stream anew takes long, and so does timing its
                        // features.
                        if is_timed {
                            let frame = projector.frame(at)?;
                            row.case.features_ms = features_ms(&frame) as f32;
                            let (good, all) = time(
                                &frame,
                                &mut row,
                                settings.repeats,
                                &mut alone,
                                settings.meter,
                            );
                            (narrow, means) = (narrow + good, means + all);
                        }
                        rows.push(row);
                    }
                }
                if is_timed {
                    progress.timed(begun.elapsed());
                }
            }
            keep(*block, rows, unreadable)?;
        }
        drop(progress);
        info!(
            "{narrow} of {means} mean times are known to 5 %, the others were given up after {} looks",
            settings.repeats
        );
        Ok(())
    })
}

/// The engines; what is odd about them is logged if `is_first`.
fn load(context: &AppContext, ids: &[String], is_first: bool) -> Result<Vec<Box<dyn Look>>, Error> {
    let one = |id: &String| {
        let loaded = context.load(id)?;
        if is_first {
            context::told(id, &loaded.remarks);
        }
        Ok(loaded.look)
    };
    ids.iter().map(one).collect()
}

/// Features and answers of one frame; the reason if its photo cannot be read.
fn answers(
    show: &Show,
    projector: &mut Projector<'_>,
    at: usize,
    ids: &[String],
    looks: &mut [Box<dyn Look>],
) -> Result<Row, SourceError> {
    let (frame, features, glimpse) = projector.measured(at)?;
    let (place, photo) = show.photo(at);
    let mut answer = Answer::default();
    let looks = ids.iter().zip(looks).map(|(id, look)| {
        match look.look(&frame, &Framing::default(), &mut answer) {
            Ok(_) => Some(Seen::of(&answer)),
            Err(error) => {
                warn!("{}: no answer of `{id}`: {error}", photo.name);
                None
            }
        }
    });
    let looks = looks.collect();
    let (name, label, group) = (photo.name.clone(), photo.class, place as u32);
    Ok(Row {
        case: Case {
            name,
            label,
            group,
            features,
            features_ms: 0.0,
            glimpse,
            at_ms: show.at_ms(at),
        },
        looks,
    })
}

/// Fills in the engines' times of a row while nothing else runs, in at most `repeats` looks.
/// Returns how many means are narrow enough, and of how many.
fn time(
    frame: &Frame,
    row: &mut Row,
    repeats: usize,
    looks: &mut [Box<dyn Look>],
    meter: Option<&Meter>,
) -> (usize, usize) {
    let mut times = vec![Vec::with_capacity(repeats); looks.len()];
    let mut energies = vec![Vec::new(); looks.len()];
    let mut answer = Answer::default();
    for round in 0..repeats {
        for (engine, look) in looks.iter_mut().enumerate() {
            if (round >= LEAST && is_narrow(&times[engine])) || row.looks[engine].is_none() {
                continue;
            }
            let before = meter.and_then(Meter::read);
            let begun = Instant::now();
            let result = look.look(frame, &Framing::default(), &mut answer);
            let taken = begun.elapsed();
            if let Err(error) = result {
                warn!("{}: no answer while timing: {error}", row.case.name);
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
    let measured = times.iter().filter(|times| !times.is_empty());
    (measured.clone().filter(|times| is_narrow(times)).count(), measured.count())
}

/// True if the 95 % interval of the mean is no wider than 5 % of it.
fn is_narrow(times: &[f64]) -> bool {
    times.len() >= LEAST && stats::mean95(times).is_some_and(|(mean, half)| half <= NARROW * mean)
}

/// Mean time of the glimpse alone over some frames of `show`, with warm buffers, ms; `None` if none
/// of them can be read.
pub(super) fn glimpse_ms(show: &Show) -> Option<f64> {
    let mut projector = Projector::new(show);
    let step = (show.len() / GLIMPSES).max(1);
    let (mut scratch, mut times) = (Scratch::default(), Vec::new());
    for frame in
        (0..show.len()).step_by(step).take(GLIMPSES).filter_map(|at| projector.frame(at).ok())
    {
        features::glimpse(&frame, &Framing::default(), &mut scratch);
        let begun = Instant::now();
        for _ in 0..LEAST {
            std::hint::black_box(features::glimpse(&frame, &Framing::default(), &mut scratch));
        }
        times.push(millis(begun.elapsed()) / LEAST as f64);
    }
    stats::mean(&times)
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
