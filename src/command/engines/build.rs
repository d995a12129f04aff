//! `squint engines build`: finds model, options and scales, lets TensorRT build, says how far it
//! is.

use std::io::{Read, Write};
use std::path::Path;

use super::tensorrt::{self, TensorRt};
use super::{context, out};
use crate::cli::BuildArgs;
use crate::daemon::context::AppContext;
use crate::engine::catalog::MAX_MODEL;
use crate::engine::manifest::{Kind, Network};
use crate::engine::tensorrt as engine_tensorrt;
use crate::engine::tensorrt::calibration::cache::{self as calibration, CalibrationCache};
use crate::engine::tensorrt::plan::build::{BuildError, Options, Progress, Request, make};
use crate::engine::tensorrt::plan::cache::{Best, Cache, Entry, Writer};
use crate::engine::tensorrt::plan::child::Line;
use crate::engine::tensorrt::plan::sidecar::{Measured, Target};
use crate::error::Error;
use crate::escape::Escaped;
use crate::units::millis;
use crate::{files, print};

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Missing(what) => Self::Missing(what),
            BuildError::Refused(_) => Self::Usage(error.to_string()),
            BuildError::Cache(error) => error.into(),
            other => Self::Unfit(other.to_string()),
        }
    }
}

/// The networks behind `ids` that can be built, each once; all of the catalogue without any.
fn networks<'a>(
    context: &'a AppContext,
    ids: &'a [String],
) -> Result<Vec<(&'a str, &'a Network)>, Error> {
    let all: Vec<&str> = if ids.is_empty() {
        context.catalog.ids().collect()
    } else {
        ids.iter().map(String::as_str).collect()
    };
    let mut found: Vec<(&str, &Network)> = Vec::new();
    for id in all {
        let networks = context.catalog.networks(id);
        if networks.is_empty() {
            return Err(Error::Usage(context.catalog.unknown(id)));
        }
        for (manifest, _) in networks {
            let Kind::Network(network) = &manifest.kind else { continue };
            if network.runtime == engine_tensorrt::NAME {
                if ids.contains(&manifest.id) {
                    let file = network.file.display();
                    return Err(Error::Usage(format!(
                        "`{}` is a plan already ({file}): nothing is to be built",
                        manifest.id
                    )));
                }
                continue;
            }
            if !found.iter().any(|(known, _)| *known == manifest.id) {
                found.push((&manifest.id, network));
            }
        }
    }
    Ok(found)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    files::bytes(path, limit).map_err(|error| Error::File {
        path: path.to_owned(),
        reason: format!("cannot be read: {error}"),
    })
}

/// A calibration cache that is one.
fn scales(path: &Path) -> Result<(CalibrationCache, Vec<u8>), Error> {
    let bytes = read(path, calibration::MAX_BYTES as u64)?;
    let cache = CalibrationCache::parse(&bytes)
        .map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })?;
    Ok((cache, bytes))
}

/// Builds one engine after the other. One that fails does not keep the others from being built.
pub(super) fn build(args: &BuildArgs) -> Result<(), Error> {
    let counts = build_all(args);
    if let (Err(error), true) = (&counts, args.json) {
        line(&Line::Failed { cause: error.to_string() }).map_err(out)?;
    }
    match counts? {
        (0, _) => Ok(()),
        (bad, all) => Err(Error::Unfit(format!("{bad} of {all} engines were not built"))),
    }
}

/// How many were not built, and of how many.
fn build_all(args: &BuildArgs) -> Result<(usize, usize), Error> {
    if args.tied {
        tie()?;
    }
    let context = context(&args.plans)?;
    let networks = networks(&context, &args.ids)?;
    let scales = args.calibration_cache.as_deref().map(scales).transpose()?;
    if scales.is_some() && networks.len() != 1 {
        return Err(Error::Usage("--calibration-cache is for one engine; name it".into()));
    }
    let here = tensorrt::find(&context)?;
    if let (Some((cache, _)), Some(path)) = (&scales, &args.calibration_cache) {
        cache
            .check(here.host.tensorrt)
            .map_err(|error| Error::File { path: path.clone(), reason: error.to_string() })?;
    }
    let BuildArgs { precision, device, batch, workspace_mib, .. } = *args;
    let options = Options { precision, batch, device, workspace_mib };
    let writer = Cache::new(&context.config.engines.plans).writer()?;
    let scales = scales.as_ref().map(|(_, bytes)| bytes.as_slice());
    let (mut bad, mut told) = (0, Ok(()));
    for (id, network) in &networks {
        let built = build_one(&here, &writer, id, network, &options, scales, args);
        bad += usize::from(built.is_err());
        // Whoever listened may be gone; the others are wanted all the same.
        told = told.and(tell(id, &built, args.json));
    }
    told.map(|()| (bad, networks.len()))
}

/// What came of it.
enum Outcome {
    /// A plan.
    Built(Box<Entry>),
    /// A plan that was there already, whole.
    There(Box<Entry>),
}

fn build_one(
    here: &TensorRt,
    writer: &Writer,
    id: &str,
    network: &Network,
    options: &Options,
    scales: Option<&[u8]>,
    args: &BuildArgs,
) -> Result<Outcome, BuildError> {
    let target = here.host.target(network, options, scales)?;
    if !args.again
        && let Best::Fits(entry) = writer.cache().list(id)?.best(&target)
        && writer.cache().read(entry).is_ok()
    {
        return Ok(Outcome::There(Box::new(entry.clone())));
    }
    let request = request(writer, id, network, target, scales, options)?;
    let mut progress = |progress: Progress| {
        // Whoever listened may be gone; the plan is wanted all the same.
        let _ = if args.json {
            line(&Line::Progress(progress))
        } else {
            {
                print::tell(format_args!("{id}: {}", words(&progress)));
                Ok(())
            }
        };
    };
    make(here.builder.as_ref(), writer, &request, args.again, &mut progress)
        .map(|entry| Outcome::Built(Box::new(entry)))
}

pub(super) fn request(
    writer: &Writer,
    id: &str,
    network: &Network,
    target: Target,
    scales: Option<&[u8]>,
    options: &Options,
) -> Result<Request, BuildError> {
    let onnx = files::bytes(&network.file, MAX_MODEL);
    Ok(Request {
        model: id.to_owned(),
        onnx: onnx
            .map_err(|error| BuildError::Unfit(format!("{}: {error}", network.file.display())))?,
        workspace: options.workspace_mib.map(|mib| u64::from(mib) << 20),
        calibration: scales.filter(|_| target.key.calibration.is_some()).map(<[u8]>::to_vec),
        timing: writer.cache().timing(target.key.tensorrt, target.key.capability),
        target,
    })
}

pub(super) fn words(progress: &Progress) -> String {
    match progress.steps {
        0 => progress.phase.clone(),
        steps => format!("{} {} of {steps}", progress.phase, progress.done),
    }
}

fn line(line: &Line) -> std::io::Result<()> {
    let text = serde_json::to_string(line)?;
    let mut stdout = print::raw();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

fn tell(id: &str, built: &Result<Outcome, BuildError>, as_json: bool) -> Result<(), Error> {
    match (built, as_json) {
        (Ok(Outcome::Built(entry) | Outcome::There(entry)), true) => {
            line(&Line::Built { plan: entry.sidecar.target.key.stem() }).map_err(out)
        }
        (Err(error), true) => line(&Line::Failed { cause: error.to_string() }).map_err(out),
        (Ok(Outcome::Built(entry)), false) => {
            let (seconds, path) =
                (entry.sidecar.build.as_secs_f64(), Escaped(entry.path.display()));
            let ran = entry.sidecar.measured.map(|Measured { p50, p95 }| {
                format!(", a run {:.2} ms, p95 {:.2}", millis(p50), millis(p95))
            });
            writeln!(
                print::page(),
                "ok   {id:<26} built in {seconds:.0} s{}: {path}",
                ran.unwrap_or_default()
            )
            .map_err(out)
        }
        (Ok(Outcome::There(entry)), false) => {
            let path = Escaped(entry.path.display());
            writeln!(
                print::page(),
                "ok   {id:<26} is there already, `--again` builds it anew: {path}"
            )
            .map_err(out)
        }
        (Err(error), false) => {
            writeln!(print::page(), "BAD  {id:<26} {}", Escaped(error)).map_err(out)
        }
    }
}

/// Ends this process when standard input closes: the process that started it is gone, and the plan
/// is not needed. If memory runs out, the kernel ends this process before its parent.
fn tie() -> Result<(), Error> {
    // Best effort: where /proc is not to be written the kernel chooses by size, and a build is
    // large.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let watch = || {
        let mut piece = [0; 64];
        while matches!(std::io::stdin().read(&mut piece), Ok(1..)) {}
        // At once: TensorRT's own threads do not hear of anything gentler, and what is half written
        // is swept away.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    std::thread::Builder::new()
        .name("tied".into())
        .spawn(watch)
        .map(|_| ())
        .map_err(Error::io("a thread"))
}
