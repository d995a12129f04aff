//! `squint doctor --engines`: every engine looks at the stored pictures; a table to paste into a
//! report.
//!
//! An edge module: loads, looks, prints. What counts as another answer is
//! [`selftest`](crate::engine::selftest)'s.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::DoctorArgs;
use crate::config::Runtime;
use crate::daemon::context::{self, AppContext, machine};
use crate::engine::manifest::{Kind, Network, Precision};
use crate::engine::onnx::OnnxRuntime;
use crate::engine::selftest::{
    Answers, Compared, LIMIT, LIMIT_FLOAT32, MAX_BYTES, Made, Picture, Stored, kept,
};
use crate::engine::tensorrt::{self, software::Found};
use crate::engine::{Answer, EngineError, hash};
use crate::error::Error;
use crate::escape::Escaped;
use crate::frame::{Frame, Framing};
use crate::source::decode_image;
use crate::stats::quantile;
use crate::telemetry::{self, Sources, Telemetry};
use crate::units::millis;
use crate::{files, print};

/// Below the folder of the policies.
const FOLDER: &str = "selftest";
const FILE: &str = "answers.json";
/// Looks at each picture that are measured, after one that is not.
const ROUNDS: usize = 5;
/// Largest picture, bytes.
const MAX_PICTURE: u64 = 4 << 20;

/// How it went for one engine.
enum Outcome {
    /// As stored.
    Same(Compared),
    /// Not as stored.
    Differs(Compared),
    /// It answers, and nothing is stored of it.
    Unknown,
    /// Its runtime is not there.
    Absent(String),
    /// It does not answer.
    Failed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Same(_) => "ok",
            Self::Differs(_) => "DIFFERS",
            Self::Unknown => "unknown",
            Self::Absent(_) => "absent",
            Self::Failed(_) => "FAILED",
        }
    }

    fn compared(&self) -> Option<&Compared> {
        match self {
            Self::Same(compared) | Self::Differs(compared) => Some(compared),
            Self::Unknown | Self::Absent(_) | Self::Failed(_) => None,
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Unknown => {
                Some("nothing is stored of this engine; is it your own, or was it changed?")
            }
            Self::Absent(why) | Self::Failed(why) => Some(why),
            Self::Same(_) | Self::Differs(_) => None,
        }
    }
}

/// A line of the table.
struct Row {
    engine: String,
    runtime: String,
    precision: &'static str,
    outcome: Outcome,
    /// 50th and 95th percentile of a look, preprocessing and all.
    times: Option<(Duration, Duration)>,
}

/// Runs every engine. Fails if one answers otherwise than stored, or not at all.
pub(super) fn engines(args: &DoctorArgs) -> Result<(), Error> {
    let context = args.common.context_without_camera()?;
    let runtime = context::probe(&OnnxRuntime::new(
        context.config.engines.onnxruntime.as_deref(),
        context.config.engines.threads,
    ));
    let about = match &runtime {
        Ok(version) => version.split(" (").next().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    };
    let folder = context.config.calibration.join(FOLDER);
    if args.store {
        return store(&context, &folder, about);
    }
    let path = folder.join(FILE);
    let unread = |reason: String| Error::File { path: path.clone(), reason };
    let text = files::text(&path, MAX_BYTES as u64)
        .map_err(|error| unread(format!("the stored answers: {error}")))?;
    let stored = Stored::read(&text, FILE).map_err(|error| unread(error.to_string()))?;
    let pictures = pictures(&folder, &stored.pictures)?;
    let rows = rows(&context, &stored, &pictures)?;
    let head = Head {
        machine: here(),
        runtimes: [Some(about), gpu(&context)].into_iter().flatten().collect(),
        stored: &stored.made,
    };
    if args.json { as_json(&head, &rows) } else { as_text(&head, &rows) }
        .map_err(Error::io("standard output"))?;
    verdict(&rows)
}

/// Board, as far as it calls itself anything, and processor.
fn here() -> String {
    let board =
        telemetry::open(Sources::below(Path::new("/")), Duration::ZERO).inventory().board.clone();
    board.into_iter().chain([machine()]).collect::<Vec<_>>().join(", ")
}

/// TensorRT and the GPU, if both are there.
fn gpu(context: &AppContext) -> Option<String> {
    let Found { version, gpus, missing: None, .. } = context.tensorrt().found() else {
        return None;
    };
    let gpu = gpus.into_iter().next()?;
    Some(format!("TensorRT {} on {} (compute capability {})", version?, gpu.name, gpu.capability))
}

fn verdict(rows: &[Row]) -> Result<(), Error> {
    let count = |is: fn(&Outcome) -> bool| rows.iter().filter(|row| is(&row.outcome)).count();
    let differ = count(|outcome| matches!(outcome, Outcome::Differs(_)));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let absent = count(|outcome| matches!(outcome, Outcome::Absent(_)));
    if differ + failed > 0 {
        let all = rows.len();
        return Err(Error::Unfit(format!(
            "of {all} engines {differ} differ from the stored answers and {failed} failed"
        )));
    }
    if absent == rows.len() {
        return Err(Error::Missing(
            "no engine can be run: a runtime is missing, see `squint doctor`".into(),
        ));
    }
    Ok(())
}

/// The pictures that `wanted` names, each as it was.
fn pictures(folder: &Path, wanted: &[Picture]) -> Result<Vec<Frame>, Error> {
    let picture = |Picture { file, sha256 }: &Picture| {
        let path = folder.join(file);
        let refuse = |reason: String| Error::File { path: path.clone(), reason };
        let bytes = files::bytes(&path, MAX_PICTURE).map_err(|error| refuse(error.to_string()))?;
        let found = hash::of_bytes(&bytes);
        if found != *sha256 {
            return Err(refuse(format!(
                "has sha256 {found}, the stored answers are to {sha256}; install Squint again"
            )));
        }
        Ok(decode_image(&path)?)
    };
    wanted.iter().map(picture).collect()
}

/// The networks of an engine.
fn networks<'a>(context: &'a AppContext, id: &str) -> impl Iterator<Item = &'a Network> {
    context.catalog.networks(id).into_iter().filter_map(|(manifest, _)| match &manifest.kind {
        Kind::Network(network) => Some(network.as_ref()),
        Kind::Ensemble(_) => None,
    })
}

/// The lowest precision of an engine's networks.
fn precision(context: &AppContext, id: &str) -> Precision {
    networks(context, id)
        .map(|network| network.precision)
        .find(|one| *one != Precision::Float32)
        .unwrap_or(Precision::Float32)
}

/// Loads an engine and shows it the pictures, each once and then [`ROUNDS`] times more: its first
/// answers, and how long a look takes.
fn looked(
    context: &AppContext,
    id: &str,
    pictures: &[Frame],
    rounds: usize,
) -> Result<(Vec<Answer>, Vec<f64>), Error> {
    let mut look = context.load(id)?.look;
    let mut answers: Vec<Answer> = Vec::with_capacity(pictures.len());
    let mut seconds = Vec::with_capacity(rounds * pictures.len());
    for round in 0..=rounds {
        for frame in pictures {
            let mut answer = Answer::default();
            let times = look.look(frame, &Framing::default(), &mut answer)?;
            match round {
                0 => answers.push(answer),
                _ => seconds.push((times.preprocess + times.run + times.rank).as_secs_f64()),
            }
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok((answers, seconds))
}

/// Every engine as it is configured to be run, and once more on the CPU alone where that is another
/// way.
fn rows(context: &AppContext, stored: &Stored, pictures: &[Frame]) -> Result<Vec<Row>, Error> {
    let mut config = context.config.clone();
    config.engines.runtime = Runtime::Cpu;
    let cpu = AppContext::of(config)?;
    let mut rows = Vec::new();
    for id in context.catalog.ids() {
        let here = row(context, id, stored, pictures);
        let other = cpu.runtimes().of(&cpu.catalog, id) != here.runtime;
        rows.push(here);
        if other {
            rows.push(row(&cpu, id, stored, pictures));
        }
    }
    Ok(rows)
}

fn row(context: &AppContext, id: &str, stored: &Stored, pictures: &[Frame]) -> Row {
    let (runtime, precision) =
        (context.runtimes().of(&context.catalog, id), precision(context, id));
    let row = |outcome, times| Row {
        engine: id.to_owned(),
        runtime: runtime.clone(),
        precision: precision.name(),
        outcome,
        times,
    };
    let (answers, seconds) = match looked(context, id, pictures, ROUNDS) {
        Ok(looked) => looked,
        Err(error @ (Error::Engine(EngineError::RuntimeMissing { .. }) | Error::Missing(_))) => {
            return row(Outcome::Absent(error.to_string()), None);
        }
        Err(error) => return row(Outcome::Failed(error.to_string()), None),
    };
    let at = |q| quantile(&seconds, q).map(Duration::from_secs_f64);
    let times = at(0.5).zip(at(0.95));
    let fingerprint = context.catalog.fingerprint(id).unwrap_or_default();
    let Some(Answers { top, .. }) = stored.of(id, &fingerprint) else {
        return row(Outcome::Unknown, times);
    };
    let mut compared = Compared::default();
    top.iter().zip(&answers).for_each(|(stored, found)| compared.add(stored, found));
    // Plans are of half precision where the GPU has it.
    let is_float32 = precision == Precision::Float32 && !runtime.contains(tensorrt::NAME);
    let limit = if is_float32 { LIMIT_FLOAT32 } else { LIMIT };
    row(
        if compared.is_same(limit) { Outcome::Same(compared) } else { Outcome::Differs(compared) },
        times,
    )
}

/// What stands above the table.
struct Head<'a> {
    machine: String,
    runtimes: Vec<String>,
    stored: &'a Made,
}

fn as_text(head: &Head<'_>, rows: &[Row]) -> std::io::Result<()> {
    let mut out = print::page();
    let Head { machine, runtimes, stored } = head;
    writeln!(out, "squint {} on {machine}\n{}", env!("CARGO_PKG_VERSION"), runtimes.join("\n"))?;
    writeln!(
        out,
        "answers of squint {} with {} on {}\n",
        Escaped(&stored.squint),
        Escaped(&stored.runtime),
        Escaped(&stored.machine)
    )?;
    let width = rows.iter().map(|row| row.engine.len()).max().unwrap_or(0).max("engine".len());
    let columns = ["runtime", "precision", "result", "agree", "largest", "p50, ms", "p95, ms"];
    let [runtime, precision, result, agree, largest, p50, p95] = columns;
    writeln!(
        out,
        "{:<width$} {runtime:<12} {precision:<9} {result:<8} {agree:>5} {largest:>7} {p50:>8} {p95:>8}",
        "engine"
    )?;
    for Row { engine, runtime, precision, outcome, times } in rows {
        let agree = outcome
            .compared()
            .map_or("-".into(), |compared| format!("{}/{}", compared.agreed, compared.pictures));
        let largest =
            outcome.compared().map_or("-".into(), |compared| format!("{:.3}", compared.largest));
        let [p50, p95] = match times {
            Some((p50, p95)) => [p50, p95].map(|time| format!("{:.2}", millis(*time))),
            None => ["-".into(), "-".into()],
        };
        let result = outcome.word();
        writeln!(
            out,
            "{engine:<width$} {runtime:<12} {precision:<9} {result:<8} {agree:>5} {largest:>7} {p50:>8} {p95:>8}"
        )?;
    }
    let reasons = rows.iter().filter_map(|row| Some((row, row.outcome.why()?)));
    for (at, (Row { engine, .. }, why)) in reasons.enumerate() {
        writeln!(out, "{}{engine}: {}", if at == 0 { "\n" } else { "" }, Escaped(why))?;
    }
    writeln!(
        out,
        "\nagree: same first class; largest: difference of a probability, at most {LIMIT_FLOAT32} in float32 on the CPU, else {LIMIT}"
    )
}

fn as_json(head: &Head<'_>, rows: &[Row]) -> std::io::Result<()> {
    let told = |Row { engine, runtime, precision, outcome, times }: &Row| {
        let compared = outcome.compared();
        json!({
            "engine": engine,
            "runtime": runtime,
            "precision": precision,
            "result": outcome.word().to_lowercase(),
            "why": outcome.why(),
            "pictures": compared.map(|compared| compared.pictures),
            "agreed": compared.map(|compared| compared.agreed),
            "largest_difference": compared.map(|compared| compared.largest),
            "p50_ms": times.map(|(p50, _)| millis(p50)),
            "p95_ms": times.map(|(_, p95)| millis(p95)),
        })
    };
    let engines: Vec<Value> = rows.iter().map(told).collect();
    let Head { machine, runtimes, stored } = head;
    let version = env!("CARGO_PKG_VERSION");
    let told = json!({"version": version, "machine": machine, "runtimes": runtimes, "stored": stored, "engines": engines});
    writeln!(print::raw(), "{told:#}")
}

/// Writes down what the engines of this machine say of the pictures that lie in `folder`.
fn store(context: &AppContext, folder: &Path, runtime: String) -> Result<(), Error> {
    let file =
        |error: std::io::Error| Error::File { path: folder.to_owned(), reason: error.to_string() };
    let mut names: Vec<String> = Vec::new();
    for entry in folder.read_dir().map_err(file)? {
        names.extend(
            entry
                .map_err(file)?
                .file_name()
                .into_string()
                .ok()
                .filter(|name| name.ends_with(".png")),
        );
    }
    names.sort();
    let mut wanted = Vec::with_capacity(names.len());
    for file in names {
        let path = folder.join(&file);
        let bytes = files::bytes(&path, MAX_PICTURE)
            .map_err(|error| Error::File { path, reason: error.to_string() })?;
        wanted.push(Picture { file, sha256: hash::of_bytes(&bytes) });
    }
    let frames = pictures(folder, &wanted)?;
    let mut engines = Vec::new();
    for id in context.catalog.ids() {
        let (answers, _) = looked(context, id, &frames, 0)?;
        let sha256 = context.catalog.fingerprint(id).unwrap_or_default();
        engines.push(Answers {
            engine: id.to_owned(),
            sha256,
            top: answers.iter().map(kept).collect(),
        });
    }
    let made = Made { squint: env!("CARGO_PKG_VERSION").to_owned(), runtime, machine: machine() };
    let path = folder.join(FILE);
    let bug = |error: serde_json::Error| Error::Bug(format!("answers cannot be written: {error}"));
    let text = Stored::new(made, wanted, engines).to_json().map_err(bug)?;
    Stored::read(&text, FILE)
        .map_err(|error| Error::File { path: path.clone(), reason: error.to_string() })?;
    files::write(&path, text.as_bytes())
        .map_err(|error| Error::File { path, reason: format!("cannot be written: {error}") })
}
