//! From the text of an `engine.toml` to a [`Manifest`].
//!
//! Pure. One function a section; each takes its keys, notes what is wrong and hands back a value if
//! there is one.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::super::fields::Fields;
use super::{
    Accuracy, Area, Channels, DataFile, Ensemble, Filter, InputSpec, Kind, Latency, MAX_MEMBERS,
    Manifest, ManifestError, Network, Precision, Scores, Steps, TensorLayout, View, is_id,
};

/// Longest side of a network's input, pixels.
const MAX_INPUT: i64 = 4096;
/// Most files that the weights of one model lie in.
const MAX_DATA: usize = 64;

/// `[model]`, checked.
struct Model {
    file: PathBuf,
    sha256: String,
    data: Vec<DataFile>,
    precision: Precision,
    licence: String,
    origin: String,
}

/// `[output]`, checked.
struct Output {
    name: Option<String>,
    scores: Scores,
    steps: Option<Steps>,
    labels: PathBuf,
}

/// Reads the text of the manifest at `path`. Paths inside are joined with `path`'s folder.
pub fn parse(text: &str, path: &Path) -> Result<Manifest, ManifestError> {
    let refuse = |problems| ManifestError { file: path.display().to_string(), problems };
    let table = text
        .parse::<toml::Table>()
        .map_err(|error| refuse(vec![error.to_string().trim().to_owned()]))?;
    let problems = RefCell::new(Vec::new());
    let manifest = read(Fields::new(table, "", &problems), path.parent().unwrap_or(Path::new("")));
    let problems = problems.into_inner();
    manifest.filter(|_| problems.is_empty()).ok_or_else(|| refuse(problems))
}

fn read(mut root: Fields<'_>, folder: &Path) -> Option<Manifest> {
    root.whole("format", 1..=1, None);
    let id = root.text("id");
    if let Some(id) = id.as_deref().filter(|id| !is_id(id)) {
        root.refuse(
            "id",
            format_args!("is \"{id}\"; allowed are 1 to 64 of a-z, 0-9, `.`, `_`, `-`"),
        );
    }
    let description = root.optional_text("description").unwrap_or_default();
    let runtime = root.word(
        "runtime",
        &[("onnxruntime", "onnxruntime"), ("tensorrt", "tensorrt"), ("ensemble", "ensemble")],
        None,
    );
    let (accuracy, latency) = root.section("measured").map(measured).unwrap_or_default();
    let kind = match runtime {
        Some("ensemble") => {
            for key in ["model", "input", "view", "output"] {
                if root.has(key) {
                    root.section(key);
                    root.refuse(key, "has no place in an ensemble; its members have their own");
                }
            }
            root.section("ensemble").map(ensemble).unwrap_or_else(|| {
                root.refuse(
                    "ensemble",
                    "is missing; add `[ensemble]` with `members = [\"one\", \"two\"]`",
                );
                None
            })
        }
        Some(runtime) => {
            let network = network(&mut root, runtime, folder);
            if root.section("ensemble").is_some() {
                root.refuse(
                    "ensemble",
                    format_args!("has no place beside runtime = \"{runtime}\""),
                );
            }
            network
        }
        None => {
            for key in ["model", "input", "view", "output", "ensemble"] {
                root.section(key);
            }
            None
        }
    };
    root.finish();
    Some(Manifest { id: id?, description, kind: kind?, accuracy, latency })
}

fn ensemble(mut fields: Fields<'_>) -> Option<Kind> {
    let members = fields.texts("members").unwrap_or_default();
    let weights = fields.numbers("weights").unwrap_or_else(|| vec![1.0; members.len()]);
    let twice = members.iter().enumerate().any(|(index, member)| members[..index].contains(member));
    if !(2..=MAX_MEMBERS).contains(&members.len()) || twice {
        fields.refuse("members", format_args!("must name 2..={MAX_MEMBERS} different engines"));
    }
    let sum: f64 = weights.iter().sum();
    if weights.len() != members.len() || weights.iter().any(|weight| !(1e-3..=1e3).contains(weight))
    {
        fields.refuse("weights", "must hold one number a member, each 0.001..=1000");
    }
    fields.finish();
    Some(Kind::Ensemble(Ensemble {
        members: members.into_iter().zip(weights.into_iter().map(|w| (w / sum) as f32)).collect(),
    }))
}

fn network(root: &mut Fields<'_>, runtime: &'static str, folder: &Path) -> Option<Kind> {
    let mut required = |key| {
        if !root.has(key) {
            root.refuse(key, format_args!("is missing; add the section `[{key}]`"));
        }
        root.section(key)
    };
    let model = required("model").and_then(|fields| model(fields, folder));
    let input = required("input").and_then(input);
    let output = required("output").and_then(|fields| output(fields, folder));
    let view = root
        .section("view")
        .map_or(Some(View { area: Area::Whole, share: 1.0, mirror: false }), view);
    let Model { file, sha256, data, precision, licence, origin } = model?;
    let Output { name: output, scores, steps, labels } = output?;
    let (input, view) = (input?, view?);
    if runtime == "tensorrt" && !data.is_empty() {
        root.refuse("model.data", "has no place beside runtime = \"tensorrt\"; a plan is one file");
    }
    let network = Network {
        runtime,
        file,
        sha256,
        data,
        precision,
        licence,
        origin,
        input,
        view,
        output,
        scores,
        steps,
        labels,
        classes: 0,
    };
    Some(Kind::Network(Box::new(network)))
}

fn model(mut fields: Fields<'_>, folder: &Path) -> Option<Model> {
    let file = inside(&mut fields, "file", folder);
    let sha256 = hash(&mut fields);
    let words = [
        ("float32", Precision::Float32),
        ("float16", Precision::Float16),
        ("int8", Precision::Int8),
    ];
    let precision = fields.word("precision", &words, None);
    let (licence, origin) = (fields.text("licence"), fields.text("origin"));
    let sections = fields.sections("data");
    if sections.len() > MAX_DATA {
        fields.refuse(
            "data",
            format_args!("has {} sections, allowed are {MAX_DATA}", sections.len()),
        );
    }
    let beside = file.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let data: Vec<_> =
        sections.into_iter().map(|section| data(section, folder, beside.as_deref())).collect();
    for (place, one) in data.iter().enumerate() {
        if one.is_some()
            && data[..place]
                .iter()
                .flatten()
                .any(|other| Some(&other.location) == one.as_ref().map(|one| &one.location))
        {
            fields.refuse("data", "names the same file twice");
        }
    }
    fields.finish();
    let data = data.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Model {
        file: file?,
        sha256: sha256?,
        data,
        precision: precision?,
        licence: licence?,
        origin: origin?,
    })
}

/// A file of weights; `beside` is the model's folder.
fn data(mut fields: Fields<'_>, folder: &Path, beside: Option<&Path>) -> Option<DataFile> {
    let file = inside(&mut fields, "file", folder);
    let sha256 = hash(&mut fields);
    let location = file.as_deref().and_then(|file| relative(file, beside?));
    if let (Some(file), Some(_), None) = (&file, beside, &location) {
        let what = format_args!(
            "leads to {}; it must lie in the folder of `model.file` or below it",
            file.display()
        );
        fields.refuse("file", what);
    }
    fields.finish();
    Some(DataFile { file: file?, location: location?, sha256: sha256? })
}

/// The way from `folder` down to `file`, without `.`; `None` if it leads up or is no text.
fn relative(file: &Path, folder: &Path) -> Option<String> {
    let parts = file
        .strip_prefix(folder)
        .ok()?
        .components()
        .filter(|part| !matches!(part, Component::CurDir));
    let parts =
        parts.map(|part| if let Component::Normal(part) = part { part.to_str() } else { None });
    Some(parts.collect::<Option<Vec<_>>>()?.join("/"))
}

fn hash(fields: &mut Fields<'_>) -> Option<String> {
    let sha256 = fields.text("sha256").map(|hex| hex.to_ascii_lowercase());
    if sha256
        .as_deref()
        .is_some_and(|hex| hex.len() != 64 || !hex.bytes().all(|c| c.is_ascii_hexdigit()))
    {
        fields.refuse("sha256", "must be 64 hex digits, as `sha256sum FILE` prints them");
    }
    sha256
}

fn input(mut fields: Fields<'_>) -> Option<InputSpec> {
    let name = fields.optional_text("name");
    let (width, height) =
        (fields.whole("width", 1..=MAX_INPUT, None), fields.whole("height", 1..=MAX_INPUT, None));
    let layout =
        fields.word("layout", &[("nchw", TensorLayout::Nchw), ("nhwc", TensorLayout::Nhwc)], None);
    let words = [("rgb", Channels::Rgb), ("bgr", Channels::Bgr), ("gray", Channels::Gray)];
    let channels = fields.word("channels", &words, None);
    let mut triple = |key, allowed: RangeInclusive<f64>| {
        let had = fields.has(key);
        let list = fields.numbers(key);
        let count = channels.map_or(3, Channels::count);
        if !had {
            fields.refuse(key, format_args!("is missing; it must hold {count} number(s), one a channel, on the scale 0..=255"));
        }
        let list = list?;
        if list.len() != count || list.iter().any(|number| !allowed.contains(number)) {
            let range = format!("{}..={}", allowed.start(), allowed.end());
            fields.refuse(
                key,
                format_args!(
                    "is {list:?}; it must hold {count} number(s), one a channel, each {range}"
                ),
            );
            return None;
        }
        let at = |index: usize| list.get(index).map_or(1.0, |number| *number as f32);
        Some([at(0), at(1), at(2)])
    };
    let (mean, std) = (triple("mean", -1e4..=1e4), triple("std", 1e-4..=1e4));
    let filter = fields.word(
        "filter",
        &[("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)],
        Some(Filter::Bilinear),
    );
    fields.finish();
    let side = |value: Option<i64>| value.and_then(|pixels| u32::try_from(pixels).ok());
    Some(InputSpec {
        name,
        width: side(width)?,
        height: side(height)?,
        layout: layout?,
        channels: channels?,
        mean: mean?,
        std: std?,
        filter: filter?,
    })
}

fn view(mut fields: Fields<'_>) -> Option<View> {
    let area =
        fields.word("area", &[("whole", Area::Whole), ("centre", Area::Centre)], Some(Area::Whole));
    let share = fields.number("share", 0.1..=1.0, Some(1.0));
    let mirror = fields.flag("mirror");
    fields.finish();
    Some(View { area: area?, share: share? as f32, mirror })
}

fn output(mut fields: Fields<'_>, folder: &Path) -> Option<Output> {
    let name = fields.optional_text("name");
    let scores = fields.word(
        "kind",
        &[("logits", Scores::Logits), ("probabilities", Scores::Probabilities)],
        None,
    );
    let steps = steps(&mut fields);
    let labels = inside(&mut fields, "labels", folder);
    fields.finish();
    Some(Output { name, scores: scores?, steps, labels: labels? })
}

/// `scale` and `zero_point` of an output that holds whole numbers.
fn steps(fields: &mut Fields<'_>) -> Option<Steps> {
    let has_zero = fields.has("zero_point");
    let zero_point = fields.whole("zero_point", -128..=255, Some(0));
    if !fields.has("scale") {
        if has_zero {
            fields.refuse("zero_point", "has no meaning without `scale`; write both, as the model's last QuantizeLinear has them");
        }
        return None;
    }
    let scale = fields.number("scale", 1e-12..=1e6, None)?;
    Some(Steps { scale: scale as f32, zero_point: i16::try_from(zero_point?).ok()? })
}

fn measured(mut fields: Fields<'_>) -> (Vec<Accuracy>, Vec<Latency>) {
    let accuracy = fields.sections("accuracy").into_iter().filter_map(accuracy).collect();
    let latency = fields.sections("latency").into_iter().filter_map(latency).collect();
    fields.finish();
    (accuracy, latency)
}

fn accuracy(mut fields: Fields<'_>) -> Option<Accuracy> {
    let (data, tool) = (fields.text("data"), fields.optional_text("tool"));
    let pictures = fields.whole("n", 1..=1_000_000_000, None);
    let top1 = fields.number("top1", 0.0..=1.0, None);
    let top5 = if fields.has("top5") { fields.number("top5", 0.0..=1.0, None) } else { None };
    let interval = fields.numbers("top1_ci95");
    let top1_ci95 = interval.as_deref().and_then(|pair| match pair {
        [low, high] if (0.0..=1.0).contains(low) && low <= high && *high <= 1.0 => {
            Some((*low, *high))
        }
        _ => {
            fields.refuse("top1_ci95", "must be [low, high], both 0..=1");
            None
        }
    });
    fields.finish();
    Some(Accuracy {
        data: data?,
        pictures: pictures?.unsigned_abs(),
        top1: top1?,
        top1_ci95,
        top5,
        tool,
    })
}

fn latency(mut fields: Fields<'_>) -> Option<Latency> {
    let machine = fields.text("machine");
    let threads = fields.whole("threads", 1..=64, Some(1));
    let (p50, p95) = (
        fields.number("p50_ms", 0.001..=600_000.0, None),
        fields.number("p95_ms", 0.001..=600_000.0, None),
    );
    if let (Some(p50), Some(p95)) = (p50, p95)
        && p95 < p50
    {
        fields.refuse("p95_ms", "is below `p50_ms`");
    }
    fields.finish();
    let time = |ms: Option<f64>| ms.map(|ms| Duration::from_secs_f64(ms / 1000.0));
    Some(Latency {
        machine: machine?,
        threads: u32::try_from(threads?).ok()?,
        p50: time(p50)?,
        p95: time(p95)?,
    })
}

/// A path relative to the engine's folder that climbs at most into the catalogue, one step up.
fn inside(fields: &mut Fields<'_>, key: &'static str, folder: &Path) -> Option<PathBuf> {
    let typed = fields.text(key)?;
    let mut depth = 1_i32;
    let stays = Path::new(&typed).components().all(|part| {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::Prefix(_) => depth = -1,
        }
        depth >= 0
    });
    if !stays || typed.contains('\0') {
        fields.refuse(
            key,
            format_args!("is \"{typed}\"; it must be a path relative to the engine's folder that stays in the catalogue"),
        );
        return None;
    }
    Some(folder.join(typed))
}
