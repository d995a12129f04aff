//! `squint doctor`: what this machine has, and what is missing for what; whether its engines answer
//! as they should. Finds out, changes nothing.

mod engines;
mod sensors;
mod tensorrt;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::DoctorArgs;
use crate::config::Overrides;
use crate::daemon::board;
use crate::daemon::context::{self, configuration, policies, probe};
use crate::engine::catalog::Catalog;
use crate::engine::onnx::OnnxRuntime;
use crate::engine::tensorrt::software::{Found, shims_here};
use crate::error::Error;
use crate::escape::Escaped;
use crate::print;
use crate::source::{self, ElementCheck};
use crate::telemetry::{self, Missing, Sample, Sources, Telemetry};
use sensors::Page;

/// Cameras that the kernel knows.
const CAMERAS: &str = "V4L2 cameras";
/// Time between the two samples that load and energy counters need.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(200);

/// One thing that was looked for.
struct Finding {
    subject: String,
    there: bool,
    /// What was found, or what to do.
    detail: String,
    /// What does not work without it.
    needed_for: String,
    /// Not every machine needs one.
    optional: bool,
}

/// Prints what was found. Fails if Squint cannot look at anything on this machine.
///
/// With a root of its own only the sensors below it are told of: the rest would be about another
/// machine.
pub(crate) fn doctor(args: &DoctorArgs) -> Result<(), Error> {
    if args.self_test {
        return engines::engines(args);
    }
    if let Some(root) = &args.root {
        if !root.is_dir() {
            return Err(Error::Usage(format!(
                "--root: {} is not a folder; name one with `sys` and `proc` in it",
                root.display()
            )));
        }
        let page = sensors(root, (Vec::new(), Vec::new()));
        let told = if args.json {
            writeln!(print::raw(), "{:#}", page.json())
        } else {
            page.text(&mut print::page())
        };
        return told.map_err(Error::io(print::STDOUT));
    }
    let source = args.common.config.is_none().then(|| "test".into());
    let config = configuration(
        args.common.config.as_deref(),
        &Overrides { source, ..args.common.overrides() },
    )?;
    let mut findings = Vec::new();
    let mut note = |subject: &str, there: bool, detail: String, needed_for: &str| {
        let optional = subject == CAMERAS;
        findings.push(Finding {
            subject: subject.into(),
            there,
            detail,
            needed_for: needed_for.into(),
            optional,
        });
    };

    let runtime =
        probe(&OnnxRuntime::new(config.engines.onnxruntime.as_deref(), config.engines.threads));
    let runs = runtime.is_ok();
    let detail = match &runtime {
        Ok(version) => version.trim_start_matches("ONNX Runtime ").to_owned(),
        Err(error) => error.to_string(),
    };
    note("ONNX Runtime", runs, detail, "every engine");

    let (catalog, problems) = Catalog::open(&config.engines.folder);
    let usable = catalog.ids().count();
    let trouble = match problems.len() {
        0 => String::new(),
        count => format!(", {count} with problems (`squint check` lists them)"),
    };
    note(
        "engines",
        usable > 0,
        format!("{usable} usable in {}{trouble}", catalog.folder().display()),
        "looking at anything",
    );
    let policy = config.policy.is_file();
    let detail = config.policy.display().to_string();
    let advice = || format!("{detail} is not there; {}", policies(&config.calibration));
    note("policy", policy, if policy { detail.clone() } else { advice() }, "squint run");

    let cameras = cameras();
    let detail = if cameras.is_empty() {
        "no /dev/video* on this machine".into()
    } else {
        cameras.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    note(CAMERAS, !cameras.is_empty(), detail, "source = \"v4l2:...\"");

    let elements = source::elements();
    if let Err(error) = &elements {
        note("GStreamer", false, format!("{error}; run `make deps`"), "every source but images");
    }
    let nvidia = context::tensorrt(&config).found();
    findings.extend(tensorrt::findings(&nvidia, &shims_here()));
    let elements = elements.unwrap_or_default();
    let sensors = sensors(Path::new("/"), board::others(&config.telemetry));
    if args.json {
        json(&findings, &nvidia, &elements, &sensors)
    } else {
        text(&findings, &elements, &sensors)
    }
    .map_err(Error::io(print::STDOUT))?;
    if runs && usable > 0 {
        Ok(())
    } else {
        Err(Error::Missing("without a runtime and an engine Squint cannot look at anything".into()))
    }
}

fn element(check: &ElementCheck) -> Finding {
    let needed_for = match check.on_demand {
        true => format!("source {} (only if the stream needs it)", check.source),
        false => format!("source {}", check.source),
    };
    let detail = match check.found {
        Some(found) => format!("element {found}"),
        None => format!("in the package {}", check.package),
    };
    let (subject, there) = (check.one_of.join(" or "), check.found.is_some());
    Finding { subject, there, detail, needed_for, optional: false }
}

fn cameras() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        glob::glob("/dev/video[0-9]*").into_iter().flatten().flatten().collect();
    found.sort();
    found
}

/// What the machine below `root` says of itself now, and what other sources add; the second list is
/// of those that are not there.
fn sensors(root: &Path, (others, absent): (Vec<Box<dyn Telemetry>>, Vec<Missing>)) -> Page {
    let begun = Instant::now();
    let mut board = telemetry::open(Sources { others, ..Sources::below(root) }, Duration::ZERO);
    std::thread::sleep(BETWEEN_SAMPLES);
    let mut sample = Sample::default();
    board.sample(begun.elapsed(), &mut sample);
    let mut inventory = board.inventory().clone();
    inventory.missing.extend(absent);
    Page { inventory, sample, doubts: board.doubts() }
}

fn json(
    findings: &[Finding],
    nvidia: &Found,
    elements: &[ElementCheck],
    sensors: &Page,
) -> std::io::Result<()> {
    let told = |Finding { subject, there, detail, needed_for, .. }: &Finding| json!({"subject": subject, "found": there, "detail": detail, "needed_for": needed_for});
    let all: Vec<Value> = findings
        .iter()
        .map(told)
        .chain(elements.iter().map(|check| told(&element(check))))
        .collect();
    let told = json!({"version": env!("CARGO_PKG_VERSION"), "findings": all, "nvidia": nvidia, "sensors": sensors.json()});
    writeln!(print::raw(), "{told:#}")
}

/// One line a finding, then one line a kind of source, then the sensors.
fn text(findings: &[Finding], elements: &[ElementCheck], sensors: &Page) -> std::io::Result<()> {
    let mut out = print::page();
    for Finding { subject, there, detail, optional, .. } in findings {
        let mark = match (there, optional) {
            (true, _) => "ok",
            (false, true) => "none",
            (false, false) => "MISSING",
        };
        writeln!(out, "{mark:<8} {subject:<14} {}", Escaped(detail))?;
    }
    writeln!(out, "\nsources")?;
    for kind in elements.chunk_by(|one, next| one.source == next.source) {
        let source = kind[0].source;
        let absent = |on_demand: bool| {
            let absent = kind
                .iter()
                .filter(move |check| check.found.is_none() && check.on_demand == on_demand);
            absent
                .map(|check| format!("{} (package {})", check.one_of[0], check.package))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (needed, wanted) = (absent(false), absent(true));
        match (needed.is_empty(), wanted.is_empty()) {
            (true, true) => writeln!(out, "{:<8} {source}", "ok")?,
            (true, false) => {
                writeln!(out, "{:<8} {source:<14} streams that need it lack {wanted}", "partly")?
            }
            (false, _) => writeln!(out, "{:<8} {source:<14} lacks {needed}", "no")?,
        }
    }
    writeln!(out, "{:<8} images\n", "ok")?;
    sensors.text(&mut out)
}
