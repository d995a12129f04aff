//! What is done with made-up bytes: each body hands them to one parser and checks what must hold of
//! its answer.
//!
//! Shared by the fuzz targets beside this file and by tests/fuzz_corpus.rs, which replays the
//! corpus on every `make test`. A body panics when something is wrong; an error from a parser is a
//! good answer, as long as it says something.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use squint::config::{self, Folders, Overrides};
use squint::control::protocol::{self, BODY_LIMIT, HEAD_LIMIT, Parsed};
use squint::engine::manifest::{self, Kind};
use squint::engine::tensorrt::calibration::cache::CalibrationCache;
use squint::engine::tensorrt::model as rewriting;
use squint::engine::tensorrt::plan::failure::Failure;
use squint::engine::tensorrt::plan::name::Name;
use squint::engine::tensorrt::plan::sidecar::Sidecar;
use squint::engine::{Answer, EngineIdx, KEPT, Labels, LookTimes, MAX_ENGINES, Top};
use squint::features::{self, COUNT, Features, GLIMPSE_HEIGHT, GLIMPSE_WIDTH, Scratch};
use squint::frame::Framing;
use squint::ground_truth;
use squint::lab::profile::file;
use squint::lab::stream::Stream;
use squint::policy::file::{EngineInfo, PolicyError, PolicyFile};
use squint::policy::{
    Allowance, Attempts, Choice, MAX_STEPS, Past, Policy, Situation, Step, Terms, Verdict, after,
    first,
};
use squint::source::decode_image;
use squint::stats::{splitmix64, unit};
use squint::telemetry::recorded::{Recorded, RecordedWriter};
use squint::telemetry::tegrastats::{Board, NAME_LIMIT, Token, scan};
use squint::telemetry::{Inventory, Sample, Telemetry};
use squint::trace::verify::replay;
use squint::trace::what_if::Change;
use squint::trace::{Event, Reader};

/// A body of a target: true if the parser took the bytes for good.
pub type Body = fn(&[u8]) -> bool;

/// Every target: its name, which is that of its binary and of its folder under corpus/, and its
/// body.
pub const TARGETS: &[(&str, Body)] = &[
    ("calibration-cache", calibration_cache),
    ("config", config),
    ("control", control),
    ("image", image),
    ("labels", labels),
    ("manifest", manifest),
    ("model", model),
    ("policy", policy),
    ("profile", profile),
    ("recorded", recorded),
    ("sidecar", sidecar),
    ("stream", stream),
    ("tegrastats", tegrastats),
    ("trace", trace),
];

/// A refusal is for people: it says something, and not endlessly much. False, for the body to
/// return.
fn check_refusal(error: &impl Display) -> bool {
    let text = error.to_string();
    assert!(!text.trim().is_empty(), "an error without words");
    assert!(text.len() < 1 << 20, "an error of {} bytes", text.len());
    false
}

/// `squint.toml`: resolves or not; what resolves is the same once printed and read again.
pub fn config(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let folders = Folders {
        engines: "/usr/share/squint/engines".into(),
        calibration: "/usr/share/squint/calibration".into(),
    };
    let resolve = |text: &str| {
        config::resolve(Some(("squint.toml", text)), [], &Overrides::default(), &folders)
    };
    match resolve(text) {
        Ok(config) => {
            let printed = config.to_toml_with_passwords();
            let again = resolve(&printed)
                .unwrap_or_else(|error| panic!("printed and refused: {error}\n{printed}"));
            assert_eq!(config, again, "printed:\n{printed}");
            assert!(!config.cameras.is_empty());
            config.to_toml();
            true
        }
        Err(error) => {
            assert!(!error.problems().is_empty());
            check_refusal(&error)
        }
    }
}

/// A request to the control socket: its end is where it says, whatever follows; a refusal makes a
/// whole answer.
pub fn control(bytes: &[u8]) -> bool {
    match protocol::parse(bytes) {
        Ok(Parsed::Whole(request)) => {
            assert!(request.path.starts_with('/') && request.body.len() <= BODY_LIMIT);
            assert!(!request.body.chars().any(char::is_control));
            let more = [bytes, b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(
                protocol::parse(&more),
                Ok(Parsed::Whole(request)),
                "what follows is not looked at"
            );
            true
        }
        Ok(Parsed::Partial) => {
            assert!(bytes.len() < HEAD_LIMIT + BODY_LIMIT, "it waits for ever");
            let less = &bytes[..bytes.len() / 2];
            assert!(
                !matches!(protocol::parse(less), Ok(Parsed::Whole(_))),
                "whole with half of the bytes"
            );
            false
        }
        Err(refusal) => {
            assert!((400..=599).contains(&refusal.status), "{refusal}");
            let head = format!("HTTP/1.1 {} ", refusal.status);
            check_refusal(&refusal);
            assert!(protocol::Answer::from(refusal).to_bytes().starts_with(head.as_bytes()));
            false
        }
    }
}

/// `engine.toml`: what is accepted names files inside the catalogue and a tensor of sane size.
pub fn manifest(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    match manifest::parse(text, Path::new("engines/one/engine.toml")) {
        Ok(manifest) => {
            assert!(manifest::is_id(&manifest.id));
            match manifest.kind {
                Kind::Network(network) => {
                    assert_eq!(
                        network.input.shape().iter().product::<usize>(),
                        network.input.values()
                    );
                    assert!(
                        network.input.std.iter().all(|std| *std > 0.0),
                        "{:?}",
                        network.input.std
                    );
                    assert!(
                        network.file.starts_with("engines")
                            && network.labels.starts_with("engines")
                    );
                }
                Kind::Ensemble(ensemble) => {
                    let sum: f32 = ensemble.members.iter().map(|(_, weight)| *weight).sum();
                    assert!((sum - 1.0).abs() < 1e-3, "{sum}");
                }
            }
            true
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            check_refusal(&error)
        }
    }
}

/// A policy file: what parses and fits its engines decides about frames until they end.
pub fn policy(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let file = match PolicyFile::parse(text, Path::new("x.policy.toml")) {
        Ok(file) => file,
        Err(error) => return check_refusal(&error),
    };
    let Some(policy) = bound(&file) else { return false };
    for seed in 0..8 {
        decide(&policy, seed);
    }
    true
}

/// Bound to engines that are just what the file asks for; `None` if it cannot be.
fn bound(file: &PolicyFile) -> Option<Policy> {
    let engine = |id: &String| EngineInfo {
        id: id.clone(),
        sha256: "0".repeat(64),
        labels_sha256: "1".repeat(64),
    };
    let mut engines: Vec<EngineInfo> = file.engine_ids().iter().map(engine).collect();
    let mut schema = features::schema().to_owned();
    for _ in 0..=MAX_ENGINES + 1 {
        match file.bind(&engines, &schema) {
            Ok(policy) => return Some(policy),
            Err(PolicyError::Schema { made, .. }) if made != schema => schema = made,
            Err(PolicyError::EngineChanged { id, pinned, .. }) => {
                engines
                    .iter_mut()
                    .filter(|engine| engine.id == id)
                    .for_each(|engine| engine.sha256.clone_from(&pinned));
            }
            Err(error) => {
                check_refusal(&error);
                return None;
            }
        }
    }
    panic!("it asks for more engines than it names");
}

/// One frame from the first decision to the last.
fn decide(policy: &Policy, seed: u64) {
    let draw = |what: u64| unit(splitmix64(splitmix64(seed) ^ what)) as f32;
    let mut values = [0.0; COUNT];
    values.iter_mut().zip(100..).for_each(|(value, what)| *value = draw(what) * 2.0 - 0.5);
    let (features, past) = (Features { values }, Past::default());
    let glimpse = [seed as u8; GLIMPSE_WIDTH * GLIMPSE_HEIGHT];
    let terms = Terms {
        wait: Duration::ZERO,
        p50: Duration::from_millis(1),
        p95: Duration::from_millis(2 + seed),
    };
    let remaining = seed.is_multiple_of(2).then_some(Duration::from_millis(5));
    let allowance =
        Allowance { remaining, engines: [Some(terms); MAX_ENGINES], ..Allowance::default() };
    let situation = Situation {
        sequence: seed,
        camera: 0,
        captured: Duration::ZERO,
        features: &features,
        glimpse: &glimpse,
        past: &past,
    };
    let Choice::Ask(mut engine, mut why) = first(policy, &situation, &allowance) else { return };
    let mut attempts = Attempts::default();
    for step in 0..MAX_STEPS as u64 {
        assert!(
            policy.engines().contains(&engine) && !attempts.asked(engine),
            "{engine:?} at step {step}"
        );
        let answered = draw(step) > 0.2;
        if answered {
            let top = [Top { class: 1, probability: draw(10 + step) }; KEPT];
            attempts.answer = Answer {
                probabilities: vec![],
                top,
                ranked: KEPT,
                margin: draw(20 + step),
                entropy: draw(30 + step),
            };
        }
        attempts.steps.push(asked(engine, why, answered, &attempts.answer));
        match after(policy, &attempts, &allowance) {
            Verdict::Escalate(next, reason) => (engine, why) = (next, reason),
            _ => return,
        }
    }
    panic!("more than {MAX_STEPS} engines for one frame");
}

fn asked(engine: EngineIdx, why: squint::policy::Reason, answered: bool, answer: &Answer) -> Step {
    let Answer { top: [top, ..], margin, entropy, .. } = *answer;
    Step {
        engine,
        why,
        answered,
        queued: Duration::ZERO,
        times: LookTimes::default(),
        top,
        margin,
        entropy,
    }
}

/// Labels, both as a file of class names and as a CSV of photos.
pub fn labels(bytes: &[u8]) -> bool {
    static KNOWN: LazyLock<Labels> = LazyLock::new(|| {
        Labels::parse(b"n1\ttench, Tinca tinca\nn2\tcrane\nn3\tcrane\ngoldfish\n").expect("labels")
    });
    if let Err(error) = Labels::parse(bytes)
        .map(|labels| assert!(labels.classes.iter().all(|label| !label.name.is_empty())))
    {
        check_refusal(&error);
    }
    match ground_truth::lines(bytes, Path::new("labels.csv"), &KNOWN) {
        Ok(lines) => {
            lines.iter().all(|line| line.line > 0 && (line.class as usize) < KNOWN.classes.len())
                || panic!("{lines:?}")
        }
        Err(error) => check_refusal(&error),
    }
}

/// A stream's description: what is accepted lays out frames with finite views.
pub fn stream(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    match Stream::parse(text, Path::new("x.stream.toml")) {
        Ok(stream) => {
            let reel = stream.reel(9);
            for at in [0, 1, reel.frames() / 2, reel.frames() - 1] {
                let shot = reel.shot(at).expect("a frame before the end");
                let view = shot.view;
                assert!(
                    shot.at_ms.is_finite()
                        && view.zoom >= 1.0
                        && view.gain > 0.0
                        && view.shift.iter().all(|s| s.is_finite())
                );
            }
            assert!(reel.shot(reel.frames()).is_none());
            true
        }
        Err(error) => check_refusal(&error),
    }
}

/// A picture: what is decoded has as many bytes as its size says, and features within their ranges.
pub fn image(bytes: &[u8]) -> bool {
    let path = scratch_file(bytes, "picture");
    match decode_image(&path) {
        Ok(frame) => {
            let (features, _) =
                features::extract(&frame, &Framing::default(), &mut Scratch::default());
            assert!(features.values.iter().all(|value| value.is_finite()));
            true
        }
        Err(error) => check_refusal(&error),
    }
}

/// A profile: what is accepted fits together. Built for a fuzzer, its sum is not asked for.
pub fn profile(bytes: &[u8]) -> bool {
    // Panics inside the Parquet library are caught and told as errors; a fuzzer's hook would end
    // the process before that.
    #[cfg(fuzzing)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    }
    let path = scratch_file(bytes, "profile");
    match file::read(&path) {
        Ok(profile) => {
            profile.check().expect("checked when read");
            true
        }
        Err(error) => check_refusal(&error),
    }
}

/// A calibration cache of TensorRT's: what is read is written again byte for byte, with scales that
/// can be.
pub fn calibration_cache(bytes: &[u8]) -> bool {
    match CalibrationCache::parse(bytes) {
        Ok(cache) => {
            assert_eq!(cache.to_string().as_bytes(), bytes);
            assert!(cache.scales().iter().all(|scale| scale.scale > 0.0
                && scale.scale.is_finite()
                && !scale.tensor.is_empty()));
            assert!(
                !cache.scales().is_empty()
                    && cache.check(cache.version()).is_ok() != cache.version().types_strongly()
            );
            true
        }
        Err(error) => check_refusal(&error),
    }
}

/// An ONNX model, rewritten for TensorRT every way: what is made is made of again unchanged, and is
/// taken by the next step.
pub fn model(bytes: &[u8]) -> bool {
    let mut taken = false;
    for way in [rewriting::plain, rewriting::symmetric] {
        match way(bytes) {
            Ok(made) => {
                let again = way(&made).unwrap_or_else(|error| panic!("made and refused: {error}"));
                assert_eq!(
                    again,
                    way(&again).expect("made twice and refused"),
                    "a third time it changes"
                );
                taken = true;
            }
            Err(error) => _ = check_refusal(&error),
        }
    }
    match rewriting::plain(bytes).and_then(|made| rewriting::half(&made).map(|half| half.len())) {
        Ok(length) => assert!(length > 0),
        Err(error) => _ = check_refusal(&error),
    }
    taken
}

/// What lies beside a plan, its sidecar or the memory of a failed build: what is read is written
/// and read again as the very same, and has a file name that is read again.
pub fn sidecar(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let sidecar = Sidecar::from_json(text, "x.json").map(|sidecar| {
        assert_eq!(
            Sidecar::from_json(&sidecar.to_json(), "again.json").expect("written and refused"),
            sidecar
        );
        assert!(sidecar.mismatches(&sidecar.target).is_empty());
        assert!(sidecar.target.key.stem().parse::<Name>().is_ok(), "{}", sidecar.target.key.stem());
    });
    let failure = Failure::from_json(text, "x.failed.json").map(|failure| {
        assert_eq!(
            Failure::from_json(&failure.to_json(), "again.json").expect("written and refused"),
            failure
        );
        assert!(failure.holds(&failure.target));
    });
    match (sidecar, failure) {
        (Err(one), Err(other)) => check_refusal(&one) || check_refusal(&other),
        _ => true,
    }
}

/// Lines of tegrastats: whatever they say, numbers are finite and have a name, and readings keep
/// their places.
pub fn tegrastats(bytes: &[u8]) -> bool {
    let mut board = Board::default();
    let (mut taken, mut first) = (0, None::<Inventory>);
    for line in bytes.split(|byte| *byte == b'\n') {
        scan(line, |token| check_token(line, token));
        let before = board.latest().clone();
        match board.take(line) {
            true => taken += 1,
            false => assert_eq!(&before, board.latest(), "a line without readings changes nothing"),
        }
        if taken == 2 {
            board.fix();
            first.get_or_insert_with(|| board.inventory().clone());
        }
        let (inventory, latest) = (board.inventory(), board.latest());
        if taken > 0 {
            assert_eq!(
                (inventory.rails.len(), inventory.zones.len()),
                (latest.rails.len(), latest.temperatures.len())
            );
        }
        assert!(inventory.total.is_none_or(|total| total < inventory.rails.len()));
        board
            .doubts()
            .iter()
            .for_each(|doubt| assert!(!doubt.sensor.is_empty() && !doubt.why.is_empty()));
    }
    assert!(
        first.is_none_or(|first| first == *board.inventory()),
        "the order of what there is has changed"
    );
    taken > 0
}

fn check_token(line: &[u8], token: Token<'_>) {
    let is_share = |share: Option<f32>| share.is_none_or(|share| (0.0..=1.0).contains(&share));
    let is_clock = |clock: Option<squint::units::Megahertz>| {
        clock.is_none_or(|clock| clock.0 > 0.0 && clock.0.is_finite())
    };
    match token {
        Token::Rail { name, power } => {
            assert!((1..=NAME_LIMIT).contains(&name.len()) && power.0.is_finite())
        }
        Token::Zone { name, temperature } => {
            assert!(
                (1..=NAME_LIMIT).contains(&name.len())
                    && temperature.is_none_or(|now| now.0 > -256.0 && now.0.is_finite())
            );
        }
        Token::Gpu { load, clock } | Token::Cpu { load, clock } => {
            assert!(is_share(load) && is_clock(clock))
        }
        Token::Memory { available_mib } => {
            assert!(available_mib >= 0.0 && available_mib.is_finite())
        }
        Token::Skipped { text, .. } => assert!(!text.is_empty() && text.len() <= line.len()),
    }
}

/// Recorded samples: what is read is written and read again as the very same, and is given at its
/// time.
pub fn recorded(bytes: &[u8]) -> bool {
    let mut recorded = match Recorded::read("samples.jsonl", bytes) {
        Ok(recorded) => recorded,
        Err(error) => return check_refusal(&error),
    };
    let mut writer =
        RecordedWriter::new(Vec::new(), recorded.inventory()).expect("memory takes it");
    recorded.samples().iter().for_each(|sample| writer.write(sample).expect("memory takes it"));
    let again = writer.finish().expect("memory takes it");
    let again = Recorded::read("again.jsonl", &again[..]).expect("what was written can be read");
    assert_eq!((again.inventory(), again.samples()), (recorded.inventory(), recorded.samples()));
    let (mut sample, last) =
        (Sample::default(), recorded.samples().last().expect("none without samples").clone());
    recorded.sample(last.at, &mut sample);
    assert_eq!(sample, last);
    recorded.sample(Duration::ZERO, &mut sample);
    assert_eq!(sample.rails.len(), recorded.inventory().rails.len());
    true
}

/// The bytes as a file of this thread and purpose, written over by the next call.
fn scratch_file(bytes: &[u8], purpose: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let path = folder.join(format!("squint-fuzz-{}-{purpose}", std::process::id()));
    std::fs::write(&path, bytes).expect("room for a scratch file");
    path
}

/// A trace: what is read is written and read again as the very same, and is replayed to its end,
/// with and without a supposition.
pub fn trace(bytes: &[u8]) -> bool {
    let open = || Reader::new("x.trace", bytes);
    let mut reader = match open() {
        Ok(reader) => reader,
        Err(error) => return check_refusal(&error),
    };
    loop {
        match reader.next_event() {
            Ok(Some(event)) => {
                let text = serde_json::to_string(&event).expect("plain data");
                let again: Event = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("written and refused: {error}\n{text}"));
                assert_eq!(text, serde_json::to_string(&again).expect("plain data"));
            }
            Ok(None) => break,
            Err(error) => return check_refusal(&error),
        }
    }
    for change in [None, Some(Change::default())] {
        let mut reader = open().expect("it was read before");
        if let Err(error) = replay(&mut reader, change, Instant::now()) {
            return check_refusal(&error);
        }
    }
    true
}
