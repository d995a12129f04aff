//! `squint engines calibrate`: from pictures to the scales that an int8 build needs, kept only if
//! the int8 engine still answers as before.

use std::io::Write;

use super::build::{request, words};
use super::tensorrt::{self, TensorRt};
use super::{context, out};
use crate::cli::CalibrateArgs;
use crate::daemon::context::AppContext;
use crate::engine::Backend;
use crate::engine::manifest::{Kind, Manifest, Network, Precision as WeightPrecision};
use crate::engine::tensorrt::calibration::agreement::Verdict;
use crate::engine::tensorrt::calibration::cache::CalibrationCache;
use crate::engine::tensorrt::calibration::pictures::{Feed, LEAST, Pictures};
use crate::engine::tensorrt::calibration::trial::{TrialError, judge};
use crate::engine::tensorrt::plan::build::{Options, Progress};
use crate::engine::tensorrt::plan::cache::Cache;
use crate::engine::tensorrt::plan::name::{Device, Precision};
use crate::error::Error;
use crate::escape::Escaped;
use crate::{files, print};

/// Learns scales. Everything that needs no TensorRT is checked before it is asked for.
pub(super) fn calibrate(args: &CalibrateArgs) -> Result<(), Error> {
    let context = context(&args.plans)?;
    let id = args.id.as_str();
    let manifest =
        context.catalog.get(id).ok_or_else(|| Error::Usage(context.catalog.unknown(id)))?;
    let Kind::Network(network) = &manifest.kind else {
        return Err(Error::Usage(format!("`{id}` is averaged from others; calibrate those")));
    };
    if network.precision == WeightPrecision::Int8 {
        return Err(Error::Usage(format!(
            "`{id}` is int8 already: its model brings its scales along, nothing is to be calibrated"
        )));
    }
    let pictures =
        Pictures::gather(&args.pictures).map_err(|error| Error::Usage(error.to_string()))?;
    if let Some(warning) = pictures.warning() {
        log::warn!("{}: {warning}", args.pictures.display());
    }
    let here = tensorrt::find(&context)?;
    if let Some(path) = &args.out {
        files::can_be_written(path).map_err(Error::io(path.display()))?;
    }
    let (scales, verdict) = learn(&context, manifest, network, &here, &pictures)?;
    if !verdict.accepted() {
        return Err(Error::Unfit(format!("`{id}`: {verdict}")));
    }
    let path = args.out.clone().unwrap_or_else(|| {
        context.config.calibration.join(format!("{id}-trt{}.calibration", here.host.tensorrt))
    });
    files::write(&path, &scales).map_err(Error::io(path.display()))?;
    let path = Escaped(path.display());
    writeln!(
        print::page(),
        "`{id}`: {verdict}\nwritten to {path}; `squint engines build {id} --precision int8 --calibration-cache {path}` builds with it"
    )
    .map_err(out)
}

/// The scales as TensorRT wrote them, and how the engine built with them does on pictures that it
/// never saw.
fn learn(
    context: &AppContext,
    manifest: &Manifest,
    network: &Network,
    here: &TensorRt,
    pictures: &Pictures,
) -> Result<(Vec<u8>, Verdict), Error> {
    let TensorRt { host, builder, load } = here;
    let options = Options {
        precision: Some(Precision::Int8),
        batch: 1,
        device: Device::Gpu,
        workspace_mib: None,
    };
    // What the scales will be is not known yet; they are no part of what is asked for.
    let mut target = host.target(network, &options, Some(&[]))?;
    target.key.calibration = None;
    let writer = Cache::new(&context.config.engines.plans).writer()?;
    let request = request(&writer, &manifest.id, network, target, None, &options)?;
    let mut feed = Feed::new(&pictures.fed, &network.input, &network.view);
    let id = &manifest.id;
    let mut progress = |progress: Progress| {
        print::tell(format_args!("{id}: {}", words(&progress)));
    };
    // First: without it there is no verdict, and learning takes long.
    let mut float32 = context.runtime.load(manifest)?;
    let (built, scales) = builder.calibrate(&request, &mut feed, &mut progress)?;
    enough(&feed)?;
    let unfit = |error: &dyn std::fmt::Display| {
        Error::Unfit(format!("`{id}`: the calibration cache that TensorRT wrote: {error}"))
    };
    let cache = CalibrationCache::parse(&scales).map_err(|error| unfit(&error))?;
    cache.check(host.tensorrt).map_err(|error| unfit(&error))?;
    let mut int8 = load(manifest, &built.plan)?;
    let verdict =
        judge(network, &pictures.held_out, float32.as_mut(), int8.as_mut()).map_err(|error| {
            match error {
                TrialError::Engine(error) => error.into(),
                other => Error::Unfit(format!("`{id}`: {other}")),
            }
        })?;
    Ok((scales, verdict))
}

/// Refuses scales of which too few pictures are the ground.
fn enough(feed: &Feed<'_>) -> Result<(), Error> {
    for reason in feed.unreadable() {
        log::warn!("{reason}");
    }
    // Four fifths of the least: the rest is held out.
    let least = LEAST * 4 / 5;
    match feed.fed() >= least {
        true => Ok(()),
        false => {
            Err(Error::Unfit(format!("TensorRT took {} pictures, {least} are needed", feed.fed())))
        }
    }
}
