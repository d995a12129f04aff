//! What TensorRT built here, as `squint engines list` and `verify` show it and `prune` removes it.
//! Needs no TensorRT.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use super::{context, out};
use crate::cli::PruneArgs;
use crate::engine::catalog::Catalog;
use crate::engine::manifest::Kind;
use crate::engine::tensorrt::plan::cache::prune::{self, Keep};
use crate::engine::tensorrt::plan::cache::{Cache, CacheError, Entry, Listing};
use crate::engine::tensorrt::plan::name::Sha256;
use crate::error::Error;
use crate::escape::Escaped;
use crate::print;
use crate::units::millis;

impl From<CacheError> for Error {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Io { path, reason } => {
                Self::Io { what: path.display().to_string(), reason }
            }
            other => Self::Unfit(other.to_string()),
        }
    }
}

/// The models of the installed networks, by engine.
fn installed(catalog: &Catalog) -> BTreeMap<String, Sha256> {
    let source = |id: &str| match &catalog.get(id)?.kind {
        Kind::Network(network) => Some((id.to_owned(), network.sha256.parse().ok()?)),
        Kind::Ensemble(_) => None,
    };
    catalog.ids().filter_map(source).collect()
}

/// `8.2.1-sm62-fp16-b1-gpu`, the part of the name that differs between an engine's plans.
fn kind(entry: &Entry) -> String {
    let key = &entry.sidecar.target.key;
    let stem = key.stem();
    stem.strip_prefix(&format!("{}-trt", key.source.short())).unwrap_or(&stem).to_owned()
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The part of the list for people: nothing if nothing was ever built. A folder that cannot be used
/// is a line, for the engines are there all the same.
pub(super) fn show(cache: &Cache, catalog: &Catalog, to: &mut impl Write) -> Result<(), Error> {
    let lines = cache.models().and_then(|models| {
        let listings = models.into_iter().map(|model| Ok((cache.list(&model)?, model)));
        listings.collect::<Result<Vec<_>, CacheError>>()
    });
    let listings = match lines {
        Ok(listings) => listings,
        Err(error) => {
            return writeln!(to, "\nwhat TensorRT built is not shown: {}", Escaped(error))
                .map_err(out);
        }
    };
    let installed = installed(catalog);
    if !listings.is_empty() {
        let folder = Escaped(cache.folder().display());
        writeln!(
            to,
            "\nbuilt by TensorRT, in {folder}\n{:<26} {:<24} {:>8} {:>9}",
            "engine", "for", "MB", "p50, ms"
        )
        .map_err(out)?;
    }
    for (Listing { plans, failed, broken }, model) in listings {
        for entry in &plans {
            let p50 = entry
                .sidecar
                .measured
                .map_or("-".into(), |measured| format!("{:.2}", millis(measured.p50)));
            let note = match installed.get(&model) {
                None => "no such engine is installed",
                Some(source) if *source != entry.sidecar.target.key.source => {
                    "of another model than the engine has now"
                }
                Some(_) => "",
            };
            let mb = megabytes(entry.sidecar.plan_bytes);
            writeln!(to, "{model:<26} {:<24} {mb:>8.1} {p50:>9}  {note}", kind(entry))
                .map_err(out)?;
        }
        for failed in &failed {
            let failure = &failed.failure;
            let target = failure.target.key.stem();
            writeln!(
                to,
                "{model:<26} FAILED (tries: {}) {target}: {}",
                failure.times,
                Escaped(&failure.cause)
            )
            .map_err(out)?;
        }
        for broken in &broken {
            writeln!(to, "{model:<26} DOES NOT COUNT: {}", Escaped(&broken.why)).map_err(out)?;
        }
    }
    Ok(())
}

/// What was built of an engine, for programs.
pub(super) fn describe(cache: &Cache, model: &str) -> Value {
    let (Listing { plans, failed, mut broken }, error) = match cache.list(model) {
        Ok(listing) => (listing, None),
        Err(error) => (Listing::default(), Some(error)),
    };
    let plan = |entry: &Entry| {
        let sidecar = &entry.sidecar;
        let key = &sidecar.target.key;
        json!({
            "file": entry.path,
            "bytes": sidecar.plan_bytes,
            "source_sha256": key.source.as_str(),
            "tensorrt": key.tensorrt.to_string(),
            "capability": key.capability.to_string(),
            "precision": key.precision.name(),
            "batch": key.batch,
            "device": key.device.to_string(),
            "calibration_sha256": key.calibration.as_ref().map(Sha256::as_str),
            "gpu": sidecar.target.gpu,
            "built_at_unix_s": sidecar.built_at_s,
            "build_s": sidecar.build.as_secs_f64(),
            "p50_ms": sidecar.measured.map(|measured| millis(measured.p50)),
            "p95_ms": sidecar.measured.map(|measured| millis(measured.p95)),
        })
    };
    let failed: Vec<Value> = failed
        .iter()
        .map(|failed| {
            let failure = &failed.failure;
            json!({"for": failure.target.key.stem(), "cause": failure.cause, "at_unix_s": failure.at_s, "times": failure.times})
        })
        .collect();
    let broken: Vec<String> =
        broken.drain(..).map(|broken| broken.why).chain(error).map(|why| why.to_string()).collect();
    json!({"plans": plans.iter().map(plan).collect::<Vec<_>>(), "failed": failed, "broken": broken})
}

/// Reads every plan and holds it against its sidecar, a line each; how many do not count, and of
/// how many.
pub(super) fn verify(cache: &Cache, to: &mut impl Write) -> Result<(usize, usize), Error> {
    let (mut bad, mut good) = (0, 0);
    let models = match cache.models() {
        // Not a fault of theirs: whoever asks may not look.
        Err(CacheError::Io { reason, .. })
            if reason.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            let folder = Escaped(cache.folder().display());
            writeln!(to, "--   plans are not verified: {folder}: {reason}").map_err(out)?;
            return Ok((0, 0));
        }
        models => models?,
    };
    for model in models {
        let Listing { plans, broken, .. } = cache.list_whole(&model)?;
        (bad, good) = (bad + broken.len(), good + plans.len());
        for entry in &plans {
            writeln!(to, "ok   {model:<26} plan {} is what was built", kind(entry)).map_err(out)?;
        }
        for broken in &broken {
            writeln!(to, "BAD  {model:<26} {}", Escaped(&broken.why)).map_err(out)?;
        }
    }
    Ok((bad, bad + good))
}

/// Removes what no installed engine wants, and all but the newest if so asked.
pub(super) fn prune(args: &PruneArgs) -> Result<(), Error> {
    let context = context(&args.plans)?;
    let cache = Cache::new(&context.config.engines.plans);
    let keep = Keep { installed: installed(&context.catalog), newest: args.keep.map(usize::from) };
    let mut page = print::Report::begin();
    let models = cache.models()?;
    // Nothing was ever built: no folder is made just to find it empty.
    let writer = if args.dry_run || models.is_empty() { None } else { Some(cache.writer()?) };
    let (mut count, mut bytes) = (0_usize, 0);
    for model in &models {
        for gone in prune::superfluous(model, &cache.list_whole(model)?, &keep) {
            if let Some(writer) = &writer {
                writer.remove(&gone.path)?;
            }
            (count, bytes) = (count + 1, bytes + gone.bytes);
            let verb = if args.dry_run { "would remove" } else { "removed" };
            page.say(format_args!("{verb} {}: {}", gone.path.display(), gone.why));
        }
    }
    let (verb, megabytes) = (if args.dry_run { "would go" } else { "gone" }, megabytes(bytes));
    page.say(format_args!("{count} {verb}, {megabytes:.1} MB; {}", cache.folder().display()));
    page.finish()
}
