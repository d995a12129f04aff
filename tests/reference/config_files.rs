//! Files as judges: each file in tests/configs/good and systemd/ resolves; each in
//! tests/configs/bad fails with the message kept beside it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test reference config_files` rewrites the messages; read the
//! difference before it is committed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use squint::config::{self, Config, ConfigError, Folders, Overrides, Pace, Stdout};
use squint::source::{Secret, SourceSpec};

const FOLDERS: (&str, &str) = ("the/engines", "the/calibration");

fn folders() -> Folders {
    Folders { engines: FOLDERS.0.into(), calibration: FOLDERS.1.into() }
}

fn resolve(name: &str, text: &str) -> Result<Config, ConfigError> {
    config::resolve(Some((name, text)), [], &Overrides::default(), &folders())
}

/// The TOML files of a folder, by name.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    files
}

fn read(path: &Path) -> (String, String) {
    (
        path.file_name().unwrap().to_string_lossy().into_owned(),
        std::fs::read_to_string(path).unwrap(),
    )
}

#[test]
fn good_files_and_the_shipped_one_resolve() {
    for path in files("tests/configs/good").into_iter().chain(files("systemd")) {
        let (name, text) = read(&path);
        if let Err(error) = resolve(&name, &text) {
            panic!("{}:\n{error}", path.display());
        }
    }
}

#[test]
fn bad_files_fail_with_the_message_beside_them() {
    for path in files("tests/configs/bad") {
        let (name, text) = read(&path);
        let Err(error) = resolve(&name, &text) else { panic!("{} resolves", path.display()) };
        let golden = path.with_extension("txt");
        let message = format!("{error}\n");
        assert!(!message.contains("hunter2"), "{name} shows a password: {message}");
        for problem in error.problems() {
            assert!(!problem.to_string().contains('\n'), "{name}: more than one line: {problem}");
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &message).unwrap();
        }
        assert_eq!(
            message,
            std::fs::read_to_string(&golden).unwrap_or_default(),
            "{}",
            golden.display()
        );
    }
}

#[test]
fn frames_that_nobody_waits_for_have_no_deadline_unless_one_is_given() {
    let deadlines = |pace, deadline_ms| {
        let flags = Overrides {
            source: Some(Secret::new("tests/data/photos")),
            pace,
            deadline_ms,
            ..Overrides::default()
        };
        let config = config::resolve(None, [], &flags, &folders()).unwrap();
        let again = config::resolve(
            Some(("printed", &config.to_toml())),
            [],
            &Overrides::default(),
            &folders(),
        )
        .unwrap();
        assert_eq!(again.cameras, config.cameras, "what is printed means the same");
        (config.cameras[0].deadline, config.engines.deadline)
    };
    let ms = Duration::from_millis;
    assert_eq!(deadlines(None, None), (None, None), "photos are fast");
    assert_eq!(deadlines(Some(Pace::Fast), Some(250)), (Some(ms(250)), None));
    assert_eq!(deadlines(Some(Pace::Realtime), None), (Some(ms(100)), None));
}

#[test]
fn a_source_alone_makes_one_camera_with_all_defaults() {
    let flags = Overrides { source: Some(Secret::new("test")), ..Overrides::default() };
    let config = config::resolve(None, [], &flags, &folders()).unwrap();
    let [camera] = config.cameras.as_slice() else { panic!("{} cameras", config.cameras.len()) };
    assert_eq!(
        (&*camera.name, &camera.source, camera.pace),
        ("camera", &SourceSpec::Test, Pace::Realtime)
    );
    assert_eq!(
        (camera.deadline, camera.stale_after),
        (Some(Duration::from_millis(100)), Duration::from_millis(1000))
    );
    assert_eq!(
        (camera.stall_after, camera.retry_cap),
        (Duration::from_secs(2), Duration::from_secs(30))
    );
    assert_eq!(camera.open_timeout, squint::source::OPEN_TIMEOUT);
    assert_eq!((config.engines.folder, config.engines.threads), (PathBuf::from(FOLDERS.0), 1));
    assert_eq!(config.policy, Path::new(FOLDERS.1).join("default.policy.toml"));
    assert_eq!(
        (config.output.stdout, config.output.queue, config.log_level),
        (Stdout::Auto, 256, log::LevelFilter::Info)
    );
}

#[test]
fn without_a_file_and_a_source_there_is_nothing_to_look_at() {
    let error = config::resolve(None, [], &Overrides::default(), &folders()).unwrap_err();
    let expected = "configuration: camera is missing: there is nothing to look at; add a [[camera]] table with a source, or give --source";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn pace_follows_from_the_source() {
    for (source, rate, pace) in [
        ("test", None, Pace::Realtime),
        ("clip.mp4", None, Pace::Realtime),
        ("photos/*.jpg", None, Pace::Fast),
        ("photos/*.jpg", Some(2.0), Pace::Realtime),
    ] {
        let flags =
            Overrides { source: Some(Secret::new(source)), rate_hz: rate, ..Overrides::default() };
        let config = config::resolve(None, [], &flags, &folders()).unwrap();
        assert_eq!((config.cameras[0].pace, config.cameras[0].rate_hz), (pace, rate), "{source}");
    }
}

fn variable(name: &str, value: &str) -> (OsString, OsString) {
    (name.into(), value.into())
}

const FILE: &str =
    "policy = \"file\"\n[engines]\nthreads = 2\n[[camera]]\nname = \"door\"\nsource = \"csi:0\"\n";

#[test]
fn flags_beat_variables_and_variables_beat_the_file() {
    let environment = [
        variable("SQUINT_POLICY", "variable"),
        variable("SQUINT_ENGINES__THREADS", "3"),
        variable("SQUINT_OUTPUT__FILE__PATH", "reports.jsonl"),
        variable("SQUINT_OUTPUT__FILE__MAX_MB", "7"),
        variable("SQUINT_OUTPUT__SUMMARY", "false"),
        variable("SQUINT_LOG_LEVEL", ""),
        variable("SQUINT_CONFIG", "elsewhere.toml"),
        variable("OTHER_POLICY", "other"),
    ];
    let flags = Overrides {
        policy: Some("flag".into()),
        source: Some(Secret::new("csi:1")),
        rate_hz: Some(0.1),
        ..Overrides::default()
    };
    let text = FILE.replace("name =", "stall-after-ms = 20000\nname =");
    let config =
        config::resolve(Some(("squint.toml", &text)), environment, &flags, &folders()).unwrap();
    assert_eq!(config.policy, Path::new(FOLDERS.1).join("flag.policy.toml"));
    assert_eq!(config.engines.threads, 3);
    assert_eq!(
        (&*config.cameras[0].name, &config.cameras[0].source),
        ("door", &SourceSpec::Csi { sensor: 1 })
    );
    assert_eq!(config.cameras[0].rate_hz, Some(0.1));
    let file = config.output.file.unwrap();
    assert_eq!(
        (file.path, file.max_bytes, file.keep),
        (PathBuf::from("reports.jsonl"), 7_000_000, 5)
    );
    assert!(!config.output.summary);
}

#[test]
fn a_mistake_outside_the_file_names_its_variable_or_flag() {
    let environment = [
        variable("SQUINT_ENGINES_THREADS", "3"),
        variable("SQUINT_ENGINES__THREADS", "many"),
        variable("SQUINT_CAMERA__NAME", "x"),
        variable("SQUINT_LOG_LEVEL", "loud"),
    ];
    let flags = Overrides { deadline_ms: Some(0), ..Overrides::default() };
    let error =
        config::resolve(Some(("squint.toml", FILE)), environment, &flags, &folders()).unwrap_err();
    let expected = [
        "environment variable SQUINT_CAMERA__NAME: is not a setting: cameras are not set by variables; use a file or --source",
        "environment variable SQUINT_ENGINES_THREADS: is not a setting; did you mean `SQUINT_ENGINES__THREADS`?",
        "--deadline-ms: camera[door].deadline-ms = 0 must be a whole number from 1 to 600000 ms after capture",
        "environment variable SQUINT_ENGINES__THREADS: engines.threads = \"many\" must be a whole number from 1 to 64 threads",
        "environment variable SQUINT_LOG_LEVEL: log-level = \"loud\" must be \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"",
    ];
    assert_eq!(error.to_string(), expected.join("\n"));
}

#[test]
fn a_source_flag_stands_for_one_camera_only() {
    let flags = Overrides { source: Some(Secret::new("test")), ..Overrides::default() };
    let text = format!("{FILE}[[camera]]\nname = \"gate\"\nsource = \"csi:1\"\n");
    let error = config::resolve(Some(("squint.toml", &text)), [], &flags, &folders()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--source: stands for one camera, the file has 2; leave one of the two out"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error =
        config::load(Some(Path::new("/no/such/squint.toml")), &Overrides::default()).unwrap_err();
    assert!(error.to_string().starts_with("/no/such/squint.toml: cannot be read: "), "{error}");
}

#[test]
fn printing_hides_passwords() {
    let text = "[[camera]]\nname = \"a\"\nsource = \"rtsp://u:hunter2@192.0.2.7/\"\n[[camera]]\nname = \"b\"\nsource = \"pipeline:rtspsrc location=rtsp://u:hunter2@192.0.2.7/ ! decodebin\"\n";
    let config = resolve("squint.toml", text).unwrap();
    assert!(!config.to_toml().contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    assert!(
        config.to_toml().contains("source = \"rtsp://192.0.2.7\"")
            && config.to_toml().contains("pipeline:rtspsrc ! decodebin")
    );
    assert_eq!(config.to_toml_with_passwords().matches("hunter2").count(), 2);
    assert!(
        resolve("printed.toml", &config.to_toml()).is_ok(),
        "what is printed is a configuration, if not the same"
    );
}

prop_compose! {
    /// A camera table; sources differ by number, so that no two take the same device.
    fn camera(number: usize)(
        kind in 0..10usize, transport in 0..5usize,
        roi in prop::option::of((0.0..0.5f32, 0.0..0.5f32, 0.01..0.5f32, 0.01..0.5f32)),
        crop: bool, turns in 0..4u32,
        rate in prop::option::of(1.0..120.0f32),
        size in prop::option::of((1..16_384u32, 1..16_384u32)),
        times in (1..600_000u64, 1..3_600_000u64, 1_000..3_600_000u64, 100..3_600_000u64, 100..3_600_000u64),
        reuse in prop::option::of((0.0..1.0f32, 1..3_600_000u64)),
        fast: bool,
    ) -> String {
        let source = match kind {
            0 => format!("csi:{number}"),
            1 => format!("v4l2:/dev/video{number}"),
            2 => format!("rtsp://me:secret{number}@192.0.2.7/stream?{number}"),
            3 => format!("clips/{number}.mp4"),
            4 => format!("photos {number}/*.jpg"),
            5 => "test".to_owned(),
            7 => format!("http://me:s@cr/t$$$${{%41 x@192.0.2.7:8{number}/stream"),
            8 => format!("https://192.0.2.7/films/{number}.mp4"),
            9 => format!("rtsps://cam-{number}/x?y"),
            _ => "pipeline:videotestsrc is-live=true pattern=\\\"ball\\\" ! videoconvert".to_owned(),
        };
        let mut text = format!("[[camera]]\nname = \"camera-{number}\"\nsource = \"{source}\"\nrotation = {}\n", turns * 90);
        let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
        if let Some((x, y, w, h)) = roi { line("roi", format!("[{x}, {y}, {w}, {h}]")); }
        let words = ["auto", "tcp", "udp", "multicast", "http"];
        if kind == 2 || kind == 9 { line("transport", format!("\"{}\"", words[transport])); }
        if kind == 8 { line("user", "\"me\"".into()); line("password-file", format!("\"/p {number}\"")); }
        if kind == 9 { line("user", "\"you\"".into()); line("credential", "\"door\"".into()); }
        if crop { line("fit", "\"centre-crop\"".into()); }
        if fast && (kind == 3 || kind == 4 || kind == 8) { line("pace", "\"fast\"".into()); }
        if let Some(rate) = rate && (kind < 2 || kind == 5 || (kind == 4 && !fast)) { line("rate-hz", rate.to_string()); }
        if let Some((w, h)) = size && (kind < 2 || kind == 5) { line("width", w.to_string()); line("height", h.to_string()); }
        line("deadline-ms", times.0.to_string());
        line("stale-after-ms", times.1.to_string());
        line("stall-after-ms", (times.2 + 1).to_string());
        line("retry-cap-ms", times.3.to_string());
        line("open-timeout-ms", times.4.to_string());
        if let Some((change, age)) = reuse { line("reuse", format!("{{ max-change = {change}, max-age-ms = {age} }}")); }
        text
    }
}

prop_compose! {
    fn file()(
        cameras in (1..5usize).prop_flat_map(|count| (0..count).map(camera).collect::<Vec<_>>()),
        policy in prop_oneof![Just("accurate"), Just("./mine"), Just("mine.toml"), Just("/a b/c.policy.toml")],
        level in prop_oneof![Just("error"), Just("warn"), Just("info"), Just("debug"), Just("trace")],
        stdout in prop_oneof![Just("auto"), Just("text"), Just("json"), Just("none")],
        threads in 1..65u32, queue in 1..65_536u32, summary: bool, socket: bool,
        rotated in prop::option::of((1..1_000_000u64, 0..1000u32)),
    ) -> String {
        let mut text = format!("policy = \"{policy}\"\nlog-level = \"{level}\"\n[engines]\nthreads = {threads}\n[output]\n");
        text += &format!("stdout = \"{stdout}\"\nqueue = {queue}\nsummary = {summary}\n");
        if socket { text += "socket = \"/run/squint/reports.sock\"\n"; }
        if let Some((megabytes, keep)) = rotated { text += &format!("file = {{ path = \"r.jsonl\", max-mb = {megabytes}, keep = {keep} }}\n"); }
        text + &cameras.concat()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_configuration_printed_and_read_back_is_the_same(text in file()) {
        let config = resolve("made.toml", &text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let printed = config.to_toml_with_passwords();
        let again = resolve("printed.toml", &printed).map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
        prop_assert_eq!(config, again);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "([a-z\\[\\]\"=.#\\-]|\n| |[0-9]|camera|reuse|output|file){0,60}") {
        _ = resolve("noise.toml", &text);
    }
}
