//! `squint engines`: what is installed, whether it is whole, and what TensorRT makes of it on this
//! machine.

mod build;
mod calibrate;
mod plans;
mod tensorrt;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Instant;

use serde_json::json;

use crate::cli::{Common, EnginesCommand, PlanArgs};
use crate::config::Overrides;
use crate::daemon::context::{AppContext, is_fatal, probe};
use crate::engine::catalog::Catalog;
use crate::engine::manifest::{Kind, Manifest};
use crate::engine::tensorrt::plan::cache::Cache;
use crate::error::Error;
use crate::escape::Escaped;
use crate::print;
use crate::units::millis;

impl Common {
    /// The context of a command that needs no camera.
    pub(super) fn context_without_camera(&self) -> Result<AppContext, Error> {
        // A file brings its own cameras, which are not opened; without one a camera must be named,
        // or there is no configuration.
        let source = self.config.is_none().then(|| "test".into());
        AppContext::open(self.config.as_deref(), &Overrides { source, ..self.overrides() })
    }
}

fn out(error: std::io::Error) -> Error {
    Error::io(print::STDOUT)(error)
}

/// What was typed.
pub(crate) fn engines(command: &EnginesCommand) -> Result<(), Error> {
    match command {
        EnginesCommand::List { plans, json } => list(plans, *json),
        EnginesCommand::Verify { plans } => verify(plans),
        EnginesCommand::Build(args) => build::build(args),
        EnginesCommand::Calibrate(args) => calibrate::calibrate(args),
        EnginesCommand::Prune(args) => plans::prune(args),
    }
}

/// As [`Common::context_without_camera`], with the folder of plans.
fn context(args: &PlanArgs) -> Result<AppContext, Error> {
    let source = args.common.config.is_none().then(|| "test".into());
    AppContext::open(
        args.common.config.as_deref(),
        &Overrides { source, plans: args.plans.clone(), ..args.common.overrides() },
    )
}

/// Prints one engine a line, cheapest first; below, what TensorRT built.
fn list(args: &PlanArgs, as_json: bool) -> Result<(), Error> {
    let context = context(args)?;
    let cache = Cache::new(&context.config.engines.plans);
    let catalog = &context.catalog;
    let mut manifests: Vec<&Manifest> = catalog.ids().filter_map(|id| catalog.get(id)).collect();
    manifests.sort_by_key(|manifest| {
        catalog.prior(&manifest.id).map_or(std::time::Duration::MAX, |(p50, _)| p50)
    });
    if as_json {
        let engines = manifests.iter().map(|manifest| {
            let mut engine = describe(catalog, manifest);
            engine["built"] = plans::describe(&cache, &manifest.id);
            engine
        });
        let engines: Vec<_> = engines.collect();
        return writeln!(print::raw(), "{:#}", json!(engines)).map_err(out);
    }
    let mut stdout = print::page();
    writeln!(
        stdout,
        "{:<26} {:>9} {:>10} {:>16} {:>6} {:>9}  what it is",
        "engine", "precision", "top-1", "95 %", "n", "ms"
    )
    .map_err(out)?;
    for manifest in manifests {
        let accuracy = manifest.accuracy.first();
        let top1 = accuracy.map_or("-".into(), |found| format!("{:.1} %", found.top1 * 100.0));
        let ci = accuracy.and_then(|found| found.top1_ci95);
        let ci = ci
            .map_or("-".into(), |(low, high)| format!("[{:.1}, {:.1}]", low * 100.0, high * 100.0));
        let n = accuracy.map_or("-".into(), |found| found.pictures.to_string());
        let ms = catalog
            .prior(&manifest.id)
            .map_or("-".into(), |(p50, _)| format!("{:.2}", millis(p50)));
        let precision = precision(manifest);
        let id = &manifest.id;
        writeln!(
            stdout,
            "{id:<26} {precision:>9} {top1:>10} {ci:>16} {n:>6} {ms:>9}  {}",
            Escaped(&manifest.description)
        )
        .map_err(out)?;
    }
    writeln!(
        stdout,
        "\ntop-1 and ms as written in the manifests, on the data and machine named there (see `squint engines list --json`); \
         `squint bench` measures here"
    )
    .map_err(out)?;
    plans::show(&cache, catalog, &mut stdout)
}

fn precision(manifest: &Manifest) -> String {
    match &manifest.kind {
        Kind::Network(network) => network.precision.name().to_owned(),
        Kind::Ensemble(ensemble) => format!("{} nets", ensemble.members.len()),
    }
}

fn describe(catalog: &Catalog, manifest: &Manifest) -> serde_json::Value {
    let accuracy: Vec<_> = manifest
        .accuracy
        .iter()
        .map(
            |found| json!({"data": found.data, "n": found.pictures, "top1": found.top1, "top1_ci95": found.top1_ci95, "top5": found.top5}),
        )
        .collect();
    let latency: Vec<_> = manifest
        .latency
        .iter()
        .map(|found| {
            json!({"machine": found.machine, "threads": found.threads, "p50_ms": millis(found.p50), "p95_ms": millis(found.p95)})
        })
        .collect();
    let detail = match &manifest.kind {
        Kind::Network(network) => json!({
            "kind": "network",
            "runtime": network.runtime,
            "file": network.file,
            "sha256": network.sha256,
            "precision": network.precision.name(),
            "input": {"width": network.input.width, "height": network.input.height},
            "classes": network.classes,
            "licence": network.licence,
        }),
        Kind::Ensemble(_) => json!({
            "kind": "ensemble",
            "members": catalog.members(&manifest.id).iter().map(|(id, weight)| json!({"id": id, "weight": weight})).collect::<Vec<_>>(),
        }),
    };
    json!({"id": manifest.id, "description": manifest.description, "detail": detail, "accuracy": accuracy, "latency": latency})
}

/// Checks every file, loads every engine and lets it look at a few pictures; reads every plan.
/// Fails if any of it fails.
fn verify(args: &PlanArgs) -> Result<(), Error> {
    let context = context(args)?;
    let mut stdout = print::page();
    writeln!(stdout, "{}", Escaped(probe(&context.runtime)?)).map_err(out)?;
    let (catalog, problems) = Catalog::open(context.catalog.folder());
    let mut bad = BTreeSet::new();
    for problem in problems.iter().filter(|problem| is_fatal(problem.level)) {
        let id = problem.engine.as_deref().unwrap_or("-");
        bad.insert(id);
        writeln!(stdout, "BAD  {id:<26} {}", Escaped(&problem.text)).map_err(out)?;
    }
    let all = bad.len() + catalog.ids().count();
    for id in catalog.ids() {
        let begun = Instant::now();
        match context.load(id) {
            Ok(loaded) => {
                writeln!(
                    stdout,
                    "ok   {id:<26} files whole, loads and runs ({:.0} ms)",
                    millis(begun.elapsed())
                )
                .map_err(out)?;
                for remark in &loaded.remarks {
                    writeln!(stdout, "odd  {id:<26} {remark}").map_err(out)?;
                }
            }
            Err(error) => {
                bad.insert(id);
                writeln!(stdout, "BAD  {id:<26} {}", Escaped(error)).map_err(out)?;
            }
        }
    }
    let (bad_plans, plans) =
        plans::verify(&Cache::new(&context.config.engines.plans), &mut stdout)?;
    match (bad.len(), bad_plans) {
        (0, 0) => Ok(()),
        (0, _) => Err(Error::Unfit(format!(
            "{bad_plans} of {plans} plans do not count; `squint engines prune` removes them"
        ))),
        (bad, _) => Err(Error::Unfit(format!("{bad} of {all} engines cannot be used"))),
    }
}
