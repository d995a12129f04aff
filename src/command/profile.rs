//! `squint profile`: shows labelled photos, or a stream made of them, to every engine, in blocks,
//! and keeps answers, features and times in one file.
//!
//! Each finished block is a small file beside the result, so that an end in between costs one block
//! at most. `show` makes the frames, `work` looks and times, `progress` says how far that is,
//! `parts` keeps the blocks and joins them.

mod parts;
mod progress;
mod show;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{info, warn};

use super::energy::Meter;
use crate::cli::ProfileArgs;
use crate::daemon::context::{self, AppContext, engine_info, machine};
use crate::engine::{Labels, MAX_ENGINES};
use crate::error::Error;
use crate::ground_truth;
use crate::lab::doubt::Tally;
use crate::lab::profile::Origin;
use crate::lab::profile::file::{EngineHead, Head};
use crate::lab::stream::{MAX_BYTES, Reel, Stream};
use crate::pipeline::clock::Stop;
use crate::sink::Stamp;
use crate::{features, files, print, service};
use parts::Parts;
use show::Show;

/// Frames of one block.
const BLOCK: usize = 64;
/// How long the idle power is measured.
const IDLE: Duration = Duration::from_millis(500);

/// Photos, and frames of a stream, that are timed if nobody says how many, spread evenly: the mean
/// time of an engine is known to a few percent after that, and the answers of all are kept anyway.
const PHOTOS_TIMED: u64 = 100;
const STREAM_TIMED: u64 = 200;

/// How profiling ended.
pub(crate) enum Ended {
    /// The file is written; what is in it, in words.
    Written(String),
    /// Told to stop; so many blocks are done, of so many.
    Stopped(usize, usize),
}

/// Profiles the photos or the stream and writes the file.
pub(crate) fn profile(args: &ProfileArgs) -> Result<(), Error> {
    let stop = Stop::new();
    service::stop_on_signals(&stop).map_err(Error::io("signals"))?;
    match make(args, &stop)? {
        Ended::Written(what) => {
            print::line(format_args!("{what}; written to {}", args.out.display()))
        }
        Ended::Stopped(done, of) => {
            let advice = "the same command with --resume goes on from there";
            Err(stopped(
                args.out.display(),
                format!("stopped with {done} of {of} blocks done; {advice}"),
            ))
        }
    }
}

/// The error of whoever was told to stop before `what` was there.
pub(crate) fn stopped(what: impl std::fmt::Display, said: String) -> Error {
    Error::io(what)(std::io::Error::new(std::io::ErrorKind::Interrupted, said))
}

/// Makes the file, unless told to stop before.
pub(crate) fn make(args: &ProfileArgs, stop: &Stop) -> Result<Ended, Error> {
    let context = args.common.context_without_camera()?;
    context::probe(&context.runtime)?;
    let ids: Vec<String> = match args.pool.is_empty() {
        false => args.pool.clone(),
        true => context.catalog.ids().map(str::to_owned).collect(),
    };
    let (labels, engines) = engines(&context, &ids)?;
    let stream = args.stream.as_deref().map(read_stream).transpose()?;
    let (photos, unlabelled) =
        ground_truth::photos(&args.images, args.labels.as_deref(), args.folders, &labels)?;
    if unlabelled > 0 {
        warn!("{unlabelled} photos without a label are left out");
    }
    let reel = stream.as_ref().map(|stream| stream.reel(photos.len()));
    let told = match &reel {
        Some(reel) => format!(
            "a stream of {} frames made of {} labelled photos",
            reel.frames(),
            reel.photos()
        ),
        None => format!("{} labelled photos", photos.len()),
    };
    let origin = Origin {
        date: Stamp::of(SystemTime::now()).as_str()[..10].to_owned(),
        tool: format!("squint profile {}", env!("CARGO_PKG_VERSION")),
        machine: machine(),
        data: args.data.clone().unwrap_or(told),
        feature_schema: features::schema().to_owned(),
        ..Origin::default()
    };
    let class_names = labels.classes.iter().map(|label| label.name.clone()).collect();
    let head = Head {
        origin,
        classes: labels.classes.len() as u32,
        class_names,
        engines,
        unreadable: Vec::new(),
    };
    let count = reel.as_ref().map_or(photos.len(), Reel::frames);
    let timed = args
        .time_images
        .unwrap_or(if stream.is_some() { STREAM_TIMED } else { PHOTOS_TIMED })
        .min(count as u64);
    let parts = Parts::open(
        args,
        &head,
        &photos,
        &stream.map_or_else(String::new, |stream| format!("{stream:?}")),
        timed,
    )?;
    let show = Show::new(photos, reel);

    let blocks = count.div_ceil(BLOCK);
    let waiting: Vec<usize> = (0..blocks).filter(|block| !parts.has(*block)).collect();
    if waiting.len() < blocks {
        info!("{} of {blocks} blocks are done already", blocks - waiting.len());
    }
    let mut meter = Meter::open(Path::new("/sys"));
    if let Some(meter) = &mut meter
        && let (Some(before), begun) = (meter.read(), Instant::now())
    {
        std::thread::sleep(IDLE);
        if let Some(after) = meter.read() {
            meter.set_idle(&before, &after, begun.elapsed());
        }
    }
    let settings = work::Settings {
        timed,
        of: count as u64,
        repeats: args.repeats as usize,
        meter: meter.as_ref(),
    };
    let mut done = 0;
    if !waiting.is_empty() {
        work::work(&context, &ids, &show, &settings, &waiting, stop, |block, rows, unreadable| {
            parts.keep(block, rows, Head { unreadable, ..head.clone() })?;
            done += 1;
            Ok(())
        })?;
    }
    if done < waiting.len() {
        return Ok(Ended::Stopped(blocks - waiting.len() + done, blocks));
    }
    let mut tally = Tally::new(
        head.classes as usize,
        head.engines.iter().map(|engine| (engine.id.clone(), engine.promised)),
    );
    let head = Head {
        origin: Origin { glimpse_ms: work::glimpse_ms(&show), timed: Some(timed), ..head.origin },
        ..head
    };
    let (rows, unreadable) = parts.join(head, blocks, &args.out, &mut tally)?;
    if let Some(doubt) = tally.doubt() {
        warn!("{doubt}");
    }
    let what = if show.is_stream() { "frames" } else { "photos" };
    let of_them = if timed < count as u64 { format!(" ({timed} timed)") } else { String::new() };
    Ok(Ended::Written(format!(
        "{rows} {what}{of_them}, {} engines, {unreadable} photos unreadable",
        ids.len()
    )))
}

fn read_stream(path: &Path) -> Result<Stream, Error> {
    let text = files::typed_text(path, MAX_BYTES).map_err(|error| Error::File {
        path: path.to_owned(),
        reason: format!("the stream's description cannot be read: {error}"),
    })?;
    Ok(Stream::parse(&text, path)?)
}

/// The engines' common labels, and what the file says of each engine.
fn engines(context: &AppContext, ids: &[String]) -> Result<(Arc<Labels>, Vec<EngineHead>), Error> {
    let unknown = |id: &String| Error::Usage(context.catalog.unknown(id));
    let first = ids.first().ok_or_else(|| Error::Usage("--pool names no engine".into()))?;
    let labels = context.catalog.labels(first).ok_or_else(|| unknown(first))?;
    if ids.len() > MAX_ENGINES {
        return Err(Error::Usage(format!(
            "{} engines are to be profiled, and a profile holds {MAX_ENGINES} at most; name those that matter with --pool",
            ids.len()
        )));
    }
    let mut heads: Vec<EngineHead> = Vec::new();
    for id in ids {
        let info = engine_info(&context.catalog, id).ok_or_else(|| unknown(id))?;
        if info.labels_sha256 != labels.sha256 {
            return Err(Error::Usage(format!(
                "`{first}` and `{id}` tell other classes apart; profile them one after the other (--pool)"
            )));
        }
        if heads.iter().any(|head| head.id == *id) {
            return Err(Error::Usage(format!("--pool names `{id}` twice")));
        }
        let networks = context.catalog.networks(id).len() as u8;
        let (sha256, labels_sha256) = (info.sha256, info.labels_sha256);
        let promised = context
            .catalog
            .get(id)
            .and_then(|manifest| manifest.accuracy.first())
            .map(|measured| measured.top1);
        heads.push(EngineHead {
            id: id.clone(),
            sha256,
            labels_sha256,
            networks,
            mean_ms: 0.0,
            energy_mj: None,
            promised,
        });
    }
    Ok((labels, heads))
}
