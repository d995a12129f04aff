//! `squint doctor`: what this machine has, and what is missing for what. Finds out, changes nothing.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::DoctorArgs;
use crate::config::{self, Overrides};
use crate::engine::Backend;
use crate::engine::catalog::Catalog;
use crate::engine::onnx::{self, OnnxRuntime};
use crate::error::Error;
use crate::source::{self, ElementCheck};

/// One thing that was looked for.
struct Finding {
    subject: String,
    there: bool,
    /// What was found, or what to do.
    detail: String,
    /// What does not work without it.
    needed_for: String,
}

/// Prints what was found. Fails if Squint cannot look at anything on this machine.
pub(crate) fn doctor(args: &DoctorArgs) -> Result<(), Error> {
    let source = args.common.config.is_none().then(|| "test".into());
    let config = config::load(args.common.config.as_deref(), &Overrides { source, ..args.common.overrides() })?;
    let mut findings = Vec::new();
    let mut note = |subject: &str, there: bool, detail: String, needed_for: &str| {
        findings.push(Finding { subject: subject.into(), there, detail, needed_for: needed_for.into() });
    };

    let runtime = OnnxRuntime::new(config.engines.onnxruntime.as_deref(), config.engines.threads).probe();
    let runs = runtime.is_ok();
    let places = || onnx::places().iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ");
    let detail = runtime.unwrap_or_else(|error| format!("{error}; run `make deps`, or put it in one of {}", places()));
    note("ONNX Runtime", runs, detail, "every engine");

    let (catalog, problems) = Catalog::open(&config.engines.folder);
    let usable = catalog.ids().count();
    let detail =
        format!("{usable} usable in {}, {} problems (`squint check` lists them)", catalog.folder().display(), problems.len());
    note("engines", usable > 0, detail, "looking at anything");
    let policy = config.policy.is_file();
    let detail = config.policy.display().to_string();
    note("policy", policy, if policy { detail } else { format!("{detail} is not there; name one with --policy") }, "squint run");

    let cameras = cameras();
    let detail = if cameras.is_empty() {
        "no /dev/video* device on this machine".into()
    } else {
        cameras.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    note("V4L2 cameras", !cameras.is_empty(), detail, "source = \"v4l2:...\"");

    match source::elements() {
        Ok(elements) => findings.extend(elements.iter().map(element)),
        Err(error) => findings.push(Finding {
            subject: "GStreamer".into(),
            there: false,
            detail: format!("{error}; run `make deps`"),
            needed_for: "every source but images".into(),
        }),
    }
    print(&findings, args.json)?;
    if runs && usable > 0 {
        Ok(())
    } else {
        Err(Error::Missing("without a runtime and an engine Squint cannot look at anything".into()))
    }
}

fn element(check: &ElementCheck) -> Finding {
    let wanted = check.one_of.join(" or ");
    let needed_for = match check.on_demand {
        true => format!("source {} (only if the stream needs it)", check.source),
        false => format!("source {}", check.source),
    };
    match check.found {
        Some(found) => Finding { subject: wanted, there: true, detail: format!("element {found}"), needed_for },
        None => Finding { subject: wanted, there: false, detail: format!("in the package {}", check.package), needed_for },
    }
}

fn cameras() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = glob::glob("/dev/video[0-9]*").into_iter().flatten().flatten().collect();
    found.sort();
    found
}

fn print(findings: &[Finding], as_json: bool) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    if as_json {
        let all: Vec<Value> = findings
            .iter()
            .map(|Finding { subject, there, detail, needed_for }| {
                json!({"subject": subject, "found": there, "detail": detail, "needed_for": needed_for})
            })
            .collect();
        return writeln!(out, "{:#}", json!({"version": env!("CARGO_PKG_VERSION"), "findings": all}))
            .map_err(Error::io("standard output"));
    }
    for Finding { subject, there, detail, needed_for } in findings {
        let mark = if *there { "found  " } else { "MISSING" };
        writeln!(out, "{mark}  {subject:<34} for {needed_for:<44} {detail}").map_err(Error::io("standard output"))?;
    }
    Ok(())
}
