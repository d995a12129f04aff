//! `squint bench`: what Squint costs on this machine. The figures of the README come from here.
//!
//! CPU time is this thread's own; wall time is what a frame waits. Alone on a machine both agree,
//! on a shared one only CPU time holds.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::cli::{BenchArgs, Common};
use crate::daemon::context::{AppContext, machine, probe};
use crate::engine::Look;
use crate::engine::manifest::{Channels, Filter, InputSpec, Kind, TensorLayout, View};
use crate::engine::preprocess::Preprocessor;
use crate::error::Error;
use crate::features::{self, Scratch};
use crate::files::{self, Temporary};
use crate::frame::{CameraId, Colorimetry, Frame, Framing, Layout, Memory, PixelFormat};
use crate::{print, stats};

/// Rounds of the single parts. The middle of so many is steady within a few per cent even on a busy
/// machine.
const ROUNDS: usize = 400;
/// Looks of each engine.
const LOOKS: usize = 60;
/// Longest summary of a run that is read, bytes.
const MAX_SUMMARY: u64 = 1 << 20;

/// Measures and prints.
pub(crate) fn bench(args: &BenchArgs) -> Result<(), Error> {
    let context = args.common.context_without_camera()?;
    let frame = scene()?;
    let mut scratch = Scratch::default();
    let features = measure(ROUNDS, || {
        std::hint::black_box(features::extract(&frame, &Framing::default(), &mut scratch));
        Ok(())
    })?;
    let glimpse = measure(ROUNDS, || {
        std::hint::black_box(features::glimpse(&frame, &Framing::default(), &mut scratch));
        Ok(())
    })?;
    let input = InputSpec {
        name: None,
        width: 224,
        height: 224,
        layout: TensorLayout::Nchw,
        channels: Channels::Rgb,
        mean: [127.0; 3],
        std: [128.0; 3],
        filter: Filter::Bicubic,
    };
    let mut preprocessor = Preprocessor::new(&input, &View::default());
    let mut tensor = vec![0.0; input.values()];
    let mut prepare = |frame: &Frame| {
        measure(ROUNDS, || {
            preprocessor
                .prepare(frame, &Framing::default(), &mut tensor)
                .map_err(|error| Error::Bug(error.to_string()))
        })
    };
    let preprocess = prepare(&frame)?;
    let nv12 = prepare(&in_yuv(&frame, PixelFormat::Nv12)?)?;
    let i420 = prepare(&in_yuv(&frame, PixelFormat::I420)?)?;
    let mut report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "machine": machine(),
        "onnxruntime": probe(&context.runtime)?,
        "glimpse_us": glimpse.wall_us(),
        "features_us": features.wall_us(),
        "features_cpu_us": features.cpu_us(),
        "preprocess_us": preprocess.wall_us(),
        "preprocess_cpu_us": preprocess.cpu_us(),
        "preprocess_nv12_us": nv12.wall_us(),
        "preprocess_i420_us": i420.wall_us(),
        "engines": engines(&context, &frame)?,
    });
    if !args.cpu_only
        && let (Some(all), Value::Object(run)) = (report.as_object_mut(), pipeline(args)?)
    {
        all.extend(run);
    }
    print(&report, args.json).map_err(Error::io("standard output"))
}

/// Times of many rounds, nanoseconds, ascending.
struct Times {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Times {
    fn wall_us(&self) -> Value {
        quantiles(&self.wall, 1e3)
    }

    fn cpu_us(&self) -> Value {
        quantiles(&self.cpu, 1e3)
    }
}

fn quantiles(ascending: &[f64], unit_ns: f64) -> Value {
    let at = |q| stats::quantile(ascending, q).map(|ns| (ns / unit_ns * 10.0).round() / 10.0);
    json!({"p50": at(0.5), "p99": at(0.99)})
}

fn measure(rounds: usize, mut work: impl FnMut() -> Result<(), Error>) -> Result<Times, Error> {
    let mut times = Times { wall: Vec::with_capacity(rounds), cpu: Vec::with_capacity(rounds) };
    for round in 0..rounds + rounds / 10 {
        let (begun, cpu) = (Instant::now(), cpu_time());
        work()?;
        // The first tenth warms caches and clocks up.
        if round >= rounds / 10 {
            times.cpu.push((cpu_time() - cpu).as_nanos() as f64);
            times.wall.push(begun.elapsed().as_nanos() as f64);
        }
    }
    times.wall.sort_unstable_by(f64::total_cmp);
    times.cpu.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of the bare network (`cpu_ms`) and time of a whole look with preprocessing and ranking
/// (`look_ms`), each a median.
fn engines(context: &AppContext, frame: &Frame) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    for id in context.catalog.ids() {
        let mut bare = 0.0;
        for (manifest, _) in context.catalog.networks(id) {
            let Kind::Network(network) = &manifest.kind else { continue };
            let mut engine = context.network(manifest)?;
            engine
                .input()
                .iter_mut()
                .enumerate()
                .for_each(|(at, value)| *value = ((at * 37 % 255) as f32 - 127.0) / 128.0);
            let mut scores = vec![0.0; network.classes];
            let times = measure(LOOKS, || {
                engine.run(&mut scores)?;
                Ok(())
            })?;
            bare += stats::quantile(&times.cpu, 0.5).unwrap_or_default() / 1e6;
        }
        let mut look: Box<dyn Look> = context.load(id)?.look;
        let mut answer = Default::default();
        let times = measure(LOOKS, || {
            look.look(frame, &Framing::default(), &mut answer)?;
            Ok(())
        })?;
        let round = |ms: f64| (ms * 1e3).round() / 1e3;
        all.push(json!({
            "id": id,
            "ensemble": !context.catalog.members(id).is_empty(),
            "cpu_ms": round(bare),
            "look_ms": round(stats::quantile(&times.wall, 0.5).unwrap_or_default() / 1e6),
        }));
    }
    Ok(all)
}

/// A camera that costs next to nothing: a moving test picture takes the processor from those who
/// are measured. Nothing is to be seen in it, so that a cautious policy asks every engine it has.
const QUIET_CAMERA: &str = "pipeline:videotestsrc is-live=true pattern=black ! video/x-raw,format=RGB,width=640,height=480,framerate=30/1";

/// A run of the whole daemon, as a process of its own: 640x480 at 30 frames a second, the policy as
/// configured.
fn pipeline(args: &BenchArgs) -> Result<Value, Error> {
    let io = |what: &'static str| Error::io(what);
    let folder = Temporary::make("squint-bench").map_err(io("a temporary folder"))?;
    let summary = folder.path().join("summary.json");
    let program = std::env::current_exe().map_err(io("this program"))?;
    let mut command = Command::new(program);
    command.args([
        "--log",
        "error",
        "run",
        "--quiet",
        "--source",
        QUIET_CAMERA,
        "--count-allocations",
    ]);
    command.args(["--frames", &(args.seconds * 30).to_string()]).arg("--summary").arg(&summary);
    command.env("SQUINT_OUTPUT__SUMMARY", "false");
    let Common { config, policy, calibration, engines, onnxruntime, threads, log: _ } =
        &args.common;
    for (flag, path) in [
        ("--config", config),
        ("--calibration", calibration),
        ("--engines", engines),
        ("--onnxruntime", onnxruntime),
    ] {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    for (flag, value) in
        [("--policy", policy.last().cloned()), ("--threads", threads.map(|n| n.to_string()))]
    {
        command.args(value.map(|value| [flag.to_owned(), value]).into_iter().flatten());
    }
    let status = command.status().map_err(io("a second squint"))?;
    let text = files::text(&summary, MAX_SUMMARY);
    // What it leaves behind must not depend on how it went.
    drop(folder);
    if !status.success() {
        return Err(Error::Missing(format!("the run of the whole pipeline failed: {status}")));
    }
    let summary: Value = serde_json::from_str(&text.map_err(io("the summary of the run"))?)
        .map_err(|error| Error::Bug(format!("the summary is no JSON: {error}")))?;
    Ok(json!({
        "overhead_us": {"p50": summary["latency_us"]["overhead"]["p50"], "p99": summary["latency_us"]["overhead"]["p99"]},
        "age_us": {"p50": summary["latency_us"]["age"]["p50"], "p99": summary["latency_us"]["age"]["p99"]},
        "allocations_per_frame": summary["allocations_per_frame"],
        "ready_ms": summary["ready_ms"],
        "rss_mb": summary["rss_mb"],
        "policy": summary["policy"],
        "frames": summary["frames"],
        "answered": summary["answered"],
        "dropped": summary["dropped"],
    }))
}

/// A made-up 640x480 scene with edges of many lengths, texture and colours: neither empty nor
/// noise.
fn scene() -> Result<Frame, Error> {
    let (width, height) = (640_u32, 480_u32);
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let disc = |cx: i64, cy: i64, r: i64| {
                (i64::from(x) - cx).pow(2) + (i64::from(y) - cy).pow(2) < r * r
            };
            let stripes = if (x / 20 + y / 48) % 3 == 0 { 40 } else { 0 };
            let grain = (stats::splitmix64(u64::from(y * width + x)) % 12) as u32;
            let base = [60 + x / 8 + stripes, 90 + y / 6, 140 - x / 10];
            let colour = match () {
                () if disc(200, 180, 90) => [200, 60, 40],
                () if disc(420, 300, 120) => [230, 220, 90],
                () if disc(520, 90, 40) => [30, 40, 60],
                () => base,
            };
            rgb.extend(colour.map(|value: u32| (value + grain).min(255) as u8));
        }
    }
    Frame::from_rgb(Arc::from(rgb), width, height, None)
        .map_err(|error| Error::Bug(error.to_string()))
}

/// A packed RGB frame as a camera would send it in `format`, NV12 or I420: BT.601, limited range,
/// chroma from every second pixel.
fn in_yuv(rgb: &Frame, format: PixelFormat) -> Result<Frame, Error> {
    let Layout { width, height, .. } = *rgb.layout();
    let pixels = rgb.plane(0).as_chunks::<3>().0;
    let sum = |pixel: &[u8; 3], black: f32, factors: [f32; 3]| {
        (black
            + pixel
                .iter()
                .zip(factors)
                .map(|(sample, factor)| f32::from(*sample) * factor)
                .sum::<f32>())
        .round() as u8
    };
    let mut bytes: Vec<u8> =
        pixels.iter().map(|pixel| sum(pixel, 16.0, [0.2568, 0.5041, 0.0979])).collect();
    let rows = pixels.chunks(width as usize).step_by(2);
    let (u, v): (Vec<u8>, Vec<u8>) = rows
        .flat_map(|row| row.iter().step_by(2))
        .map(|pixel| {
            (
                sum(pixel, 128.0, [-0.1482, -0.2910, 0.4392]),
                sum(pixel, 128.0, [0.4392, -0.3678, -0.0714]),
            )
        })
        .unzip();
    match format {
        PixelFormat::Nv12 => bytes.extend(u.iter().zip(&v).flat_map(|(u, v)| [*u, *v])),
        _ => bytes.extend(u.iter().chain(&v)),
    }
    let layout =
        Layout::packed(format, width, height, Colorimetry { limited_range: true, bt709: false });
    let (memory, now) = (Memory::Heap(Arc::from(bytes)), Instant::now());
    Frame::new(memory, layout, CameraId(0), 0, now, SystemTime::now(), None)
        .map_err(|error| Error::Bug(error.to_string()))
}

fn print(report: &Value, as_json: bool) -> std::io::Result<()> {
    if as_json {
        return writeln!(print::raw(), "{report:#}");
    }
    let mut out = print::page();
    let line = |out: &mut dyn Write, what: &str, key: &str| {
        let value = &report[key];
        match (value["p50"].as_f64(), value["p99"].as_f64()) {
            (Some(p50), Some(p99)) => {
                writeln!(out, "{what:<44} p50 {p50:>8.1} us   p99 {p99:>8.1} us")
            }
            _ => Ok(()),
        }
    };
    writeln!(
        out,
        "squint {} on {}\n{}\n",
        text(report, "version"),
        text(report, "machine"),
        text(report, "onnxruntime")
    )?;
    line(&mut out, "glimpse of a 640x480 frame", "glimpse_us")?;
    line(&mut out, "all features, where the policy reads any", "features_us")?;
    line(&mut out, "  CPU time", "features_cpu_us")?;
    line(&mut out, "crop, resize, normalise 640x480 to 224x224", "preprocess_us")?;
    line(&mut out, "  the same from NV12", "preprocess_nv12_us")?;
    line(&mut out, "  the same from I420", "preprocess_i420_us")?;
    line(&mut out, "capture to answer", "age_us")?;
    line(&mut out, "  of it neither features, tensor nor network", "overhead_us")?;
    for (what, key, unit) in [
        ("allocations a frame", "allocations_per_frame", ""),
        ("start to first answer", "ready_ms", "ms"),
        ("resident memory at the end", "rss_mb", "MB"),
    ] {
        if let Some(value) = report[key].as_f64() {
            writeln!(out, "{what:<44} {value:>12.2} {unit}")?;
        }
    }
    writeln!(out, "\n{:<30} {:>14} {:>16}", "engine", "network, CPU", "whole look")?;
    for engine in report["engines"].as_array().into_iter().flatten() {
        let ms = |key: &str| engine[key].as_f64().unwrap_or_default();
        writeln!(
            out,
            "{:<30} {:>11.2} ms {:>13.2} ms",
            text(engine, "id"),
            ms("cpu_ms"),
            ms("look_ms")
        )?;
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}
