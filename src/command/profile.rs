//! `squint profile`: shows labelled photos to every engine, in blocks, and keeps answers, features and times in one file.
//!
//! Each finished block is a small file beside the result, so that an end in between costs one block at most. `work` looks and
//! times, `parts` keeps the blocks and joins them.

mod parts;
mod work;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{info, warn};

use super::energy::Meter;
use super::kit::{self, Kit, engine_info, machine};
use super::truth;
use crate::cli::ProfileArgs;
use crate::engine::Labels;
use crate::error::Error;
use crate::features;
use crate::lab::profile::Origin;
use crate::lab::profile::file::{EngineHead, Head};
use crate::pipeline::clock::Stop;
use crate::service;
use crate::sink::Stamp;
use parts::Parts;

/// Photos of one block.
const BLOCK: usize = 64;
/// How long the idle power is measured.
const IDLE: Duration = Duration::from_millis(500);

/// Profiles the photos and writes the file.
pub(crate) fn profile(args: &ProfileArgs) -> Result<(), Error> {
    let kit = args.common.kit_without_camera()?;
    kit::probe(&kit.runtime)?;
    let ids: Vec<String> = match args.pool.is_empty() {
        false => args.pool.clone(),
        true => kit.catalog.ids().map(str::to_owned).collect(),
    };
    let (labels, engines) = engines(&kit, &ids)?;
    let (photos, unlabelled) = truth::photos(&args.images, args.labels.as_deref(), &labels)?;
    if unlabelled > 0 {
        warn!("{unlabelled} photos without a label are left out");
    }
    let origin = Origin {
        date: Stamp::of(SystemTime::now()).as_str()[..10].to_owned(),
        tool: format!("squint profile {}", env!("CARGO_PKG_VERSION")),
        machine: machine(),
        data: args.data.clone().unwrap_or_else(|| format!("{} labelled photos", photos.len())),
        feature_schema: features::schema().to_owned(),
        ..Origin::default()
    };
    let class_names = labels.classes.iter().map(|label| label.name.clone()).collect();
    let head = Head { origin, classes: labels.classes.len() as u32, class_names, engines, unreadable: Vec::new() };
    let timed = args.time_images.unwrap_or(u64::MAX).min(photos.len() as u64);
    let parts = Parts::open(args, &head, &photos, timed)?;

    let stop = Stop::new();
    service::stop_on_signals(&stop).map_err(Error::io("signals"))?;
    let blocks = photos.len().div_ceil(BLOCK);
    let waiting: Vec<usize> = (0..blocks).filter(|block| !parts.has(*block)).collect();
    if waiting.len() < blocks {
        info!("{} of {blocks} blocks are done already", blocks - waiting.len());
    }
    let mut meter = Meter::open(std::path::Path::new("/sys"));
    if let Some(meter) = &mut meter
        && let (Some(before), begun) = (meter.read(), Instant::now())
    {
        std::thread::sleep(IDLE);
        if let Some(after) = meter.read() {
            meter.set_idle(&before, &after, begun.elapsed());
        }
    }
    let begun = Instant::now();
    let settings = work::Settings { timed, of: photos.len() as u64, repeats: args.repeats as usize };
    let mut done = 0;
    if !waiting.is_empty() {
        work::work(&kit, &ids, &photos, &settings, meter.as_ref(), &waiting, |block, rows, unreadable| {
            parts.keep(block, rows, Head { unreadable, ..head.clone() })?;
            done += 1;
            progress(done, waiting.len(), begun.elapsed());
            Ok(!stop.is_stopped())
        })?;
    }
    if done < waiting.len() {
        let said = format!(
            "stopped with {} of {blocks} blocks done; the same command with --resume goes on from there",
            blocks - waiting.len() + done
        );
        return Err(Error::io(args.out.display())(std::io::Error::new(std::io::ErrorKind::Interrupted, said)));
    }
    let (rows, unreadable) = parts.join(head, blocks, &args.out)?;
    println!("{rows} photos, {} engines, {unreadable} photos unreadable; written to {}", ids.len(), args.out.display());
    Ok(())
}

/// The engines' common labels, and what the file says of each engine.
fn engines(kit: &Kit, ids: &[String]) -> Result<(Arc<Labels>, Vec<EngineHead>), Error> {
    let unknown = |id: &String| Error::Usage(kit.catalog.unknown(id));
    let first = ids.first().ok_or_else(|| Error::Usage("--pool names no engine".into()))?;
    let labels = kit.catalog.labels(first).ok_or_else(|| unknown(first))?;
    let mut heads: Vec<EngineHead> = Vec::new();
    for id in ids {
        let info = engine_info(&kit.catalog, id).ok_or_else(|| unknown(id))?;
        if info.labels_sha256 != labels.sha256 {
            return Err(Error::Usage(format!(
                "`{first}` and `{id}` tell other classes apart; profile them one after the other (--pool)"
            )));
        }
        if heads.iter().any(|head| head.id == *id) {
            return Err(Error::Usage(format!("--pool names `{id}` twice")));
        }
        let networks = kit.catalog.networks(id).len() as u8;
        let (sha256, labels_sha256) = (info.sha256, info.labels_sha256);
        heads.push(EngineHead { id: id.clone(), sha256, labels_sha256, networks, mean_ms: 0.0, energy_mj: None });
    }
    Ok((labels, heads))
}

fn progress(done: usize, of: usize, since: Duration) {
    if std::io::stderr().is_terminal() {
        let left = since.as_secs_f64() / done as f64 * (of - done) as f64;
        let end = if done == of { "\n" } else { "" };
        eprint!("\r\x1b[2Kblock {done} of {of}, {:.0} min {:02.0} s left{end}", (left / 60.0).floor(), (left % 60.0).floor());
    }
}
