//! The one table of configuration keys: type, unit, default, range and meaning, told once.
//!
//! Pure data. The reader checks values against it and fills defaults from it, suggestions search
//! it, and docs/reference/config.md is held against it by a test. A new key is a line here, a field
//! in the raw form and a field in [`super::Config`].

mod key;

pub use key::{Key, Kind, Unset};

/// `engines.threads` -> `SQUINT_ENGINES__THREADS`.
pub(super) fn variable(path: &str) -> String {
    format!("SQUINT_{}", path.replace('.', "__").replace('-', "_").to_uppercase())
}

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Dotted path.
    pub path: &'static str,
    /// Written `[[path]]`, any number of times.
    pub repeats: bool,
    /// Counts only if it is written; the others have their defaults even then.
    pub optional: bool,
    /// What it is about.
    pub doc: &'static str,
}

/// The tables, the top of the file left out.
pub const SECTIONS: &[Section] = &[
    Section {
        path: "camera",
        repeats: true,
        optional: true,
        doc: "A camera, a clip or a set of photos; one table each.",
    },
    Section {
        path: "camera.reuse",
        repeats: false,
        optional: true,
        doc: "Gives the last answer again while the scene stands still.",
    },
    Section {
        path: "engines",
        repeats: false,
        optional: false,
        doc: "The networks and the library that runs them.",
    },
    Section { path: "output", repeats: false, optional: false, doc: "Where reports go." },
    Section {
        path: "output.file",
        repeats: false,
        optional: true,
        doc: "Reports as JSON Lines in a file that is rotated by size.",
    },
    Section {
        path: "control",
        repeats: false,
        optional: false,
        doc: "How the daemon is asked and told at run time, see [control.md](control.md).",
    },
    Section {
        path: "budget",
        repeats: false,
        optional: false,
        doc: "What looking may cost: heat, power, energy, time. See [budget.md](budget.md).",
    },
    Section {
        path: "telemetry",
        repeats: false,
        optional: false,
        doc: "Where readings of the board come from, beside the kernel's own files. `squint doctor` shows what there is.",
    },
];

const fn key(
    path: &'static str,
    kind: Kind,
    unit: &'static str,
    unset: Unset,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { path, kind, unit, unset, example, doc }
}

/// Widest and highest picture that may be asked for, pixels.
const SIDE: i64 = crate::frame::MAX_SIDE as i64;
const HOUR_MS: i64 = 3_600_000;

/// Every key, in the order of the reference.
pub const KEYS: &[Key] = &[
    key(
        "policy",
        Kind::Text,
        "",
        Unset::Text("default"),
        "\"accurate\"",
        "Which policy picks the engines: a bare name means `NAME.policy.toml` in the calibration folder; anything with a `/` or ending in `.toml` is a path.",
    ),
    key(
        "calibration",
        Kind::Path,
        "",
        Unset::Nothing("the first `calibration` folder found, see [Folders](#folders)"),
        "\"/var/lib/squint/calibration\"",
        "Folder of policy files and profiles.",
    ),
    key(
        "log-level",
        Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        "",
        Unset::Text("info"),
        "\"debug\"",
        "Least important message that is logged.",
    ),
    key(
        "camera.name",
        Kind::Text,
        "",
        Unset::Text("camera"),
        "\"door\"",
        "Unique name in records, logs and metrics: 1 to 64 letters, digits, `-`, `_` or `.`.",
    ),
    key(
        "camera.source",
        Kind::Text,
        "",
        Unset::Required,
        "\"v4l2:/dev/video0\"",
        "Where frames come from: `csi:N`, `v4l2:/dev/videoN`, `rtsp://...`, `http://...`, a video file, a folder or pattern of images, `test`, or \
         `pipeline:...`, see [Sources](#sources). `${NAME}` stands for a variable of the environment, `$$` for `$`. Of an address only scheme and \
         host are ever shown, of a `pipeline:` the names of its elements.",
    ),
    key(
        "camera.user",
        Kind::Text,
        "",
        Unset::Nothing("the one in the address"),
        "\"operator\"",
        "User name of an `rtsp` or `http` source, if it does not stand in the address.",
    ),
    key(
        "camera.password-file",
        Kind::Path,
        "",
        Unset::Nothing("the password in the address"),
        "\"/etc/squint/door.password\"",
        "File that holds the password of an `rtsp` or `http` source, and nothing else. It is read each time the camera is opened. See \
         [Passwords](#passwords).",
    ),
    key(
        "camera.credential",
        Kind::Text,
        "",
        Unset::Nothing("the password in the address"),
        "\"door\"",
        "Name of the systemd credential that holds the password (`LoadCredential=` in the unit), in place of `password-file`.",
    ),
    key(
        "camera.transport",
        Kind::Word(&["auto", "tcp", "udp", "multicast", "http"]),
        "",
        Unset::Text("auto"),
        "\"udp\"",
        "How the packets of an `rtsp` source travel. `auto`: over TCP; a camera that refuses it, or sends nothing, is asked for UDP, then for \
         multicast, and what worked is tried first the next time. `http`: RTSP in HTTP. `rtspt://`, `rtspu://` and `rtsph://` say the same in the \
         address.",
    ),
    key(
        "camera.roi",
        Kind::Shares,
        "shares of the frame",
        Unset::Nothing("the whole frame"),
        "[0.25, 0.0, 0.5, 1.0]",
        "The part of the frame that counts, as `[x, y, width, height]`, before rotation. It must lie inside the frame.",
    ),
    key(
        "camera.fit",
        Kind::Word(&["whole", "centre-crop"]),
        "",
        Unset::Text("whole"),
        "\"centre-crop\"",
        "How the part that counts becomes a network's square: squeezed as a whole, or its centred square.",
    ),
    key(
        "camera.rotation",
        Kind::OneOf(&[0, 90, 180, 270]),
        "degrees clockwise",
        Unset::Integer(0),
        "90",
        "Rotation that makes the picture upright.",
    ),
    key(
        "camera.pace",
        Kind::Word(&["realtime", "fast"]),
        "",
        Unset::Nothing("`\"fast\"` for images without `rate-hz`, `\"realtime\"` otherwise"),
        "\"fast\"",
        "`realtime`: the newest frame wins, late ones are dropped. `fast`: every frame is waited for; files and images only.",
    ),
    key(
        "camera.rate-hz",
        Kind::Number(0.01, 1000.0),
        "frames a second",
        Unset::Nothing("30 for cameras, 10 for images"),
        "15",
        "Rate asked of `csi`, `v4l2` and `test`, or the pace of images in `realtime`. Other sources have their own.",
    ),
    key(
        "camera.width",
        Kind::Integer(1, SIDE),
        "pixels",
        Unset::Nothing("what the source gives"),
        "1280",
        "Width asked of `csi`, `v4l2` and `test`; together with `height`.",
    ),
    key(
        "camera.height",
        Kind::Integer(1, SIDE),
        "pixels",
        Unset::Nothing("what the source gives"),
        "720",
        "Height asked of `csi`, `v4l2` and `test`; together with `width`.",
    ),
    key(
        "camera.deadline-ms",
        Kind::Integer(1, 600_000),
        "ms after capture",
        Unset::Nothing("100; no deadline with `pace = \"fast\"`, where nobody waits"),
        "250",
        "Latest moment for an answer. No engine is asked that would not make it.",
    ),
    key(
        "camera.stale-after-ms",
        Kind::Integer(1, HOUR_MS),
        "ms after capture",
        Unset::Integer(1000),
        "500",
        "A frame older than this on arrival is dropped.",
    ),
    key(
        "camera.stall-after-ms",
        Kind::Integer(100, HOUR_MS),
        "ms",
        Unset::Integer(2000),
        "5000",
        "Silence after which a live source counts as lost and is opened again.",
    ),
    key(
        "camera.open-timeout-ms",
        Kind::Integer(100, HOUR_MS),
        "ms",
        Unset::Integer(15_000),
        "30000",
        "How long the first picture of a live source may take after it was opened, if `stall-after-ms` is not longer; how long pictures \
         are left out for want of a key frame before they are taken as they are; for how long nothing may move in a video file.",
    ),
    key(
        "camera.retry-cap-ms",
        Kind::Integer(100, HOUR_MS),
        "ms",
        Unset::Integer(30_000),
        "10000",
        "Longest pause between two tries to open a lost source; the first pauses are shorter.",
    ),
    key(
        "camera.reuse.max-change",
        Kind::Number(0.0, 1.0),
        "share of full scale",
        Unset::Required,
        "0.02",
        "Largest change of any part of the picture, against the last frame that was looked at, for which the answer is given again.",
    ),
    key(
        "camera.reuse.max-age-ms",
        Kind::Integer(1, HOUR_MS),
        "ms",
        Unset::Integer(1000),
        "2000",
        "Longest time for which it is.",
    ),
    key(
        "engines.folder",
        Kind::Path,
        "",
        Unset::Nothing("the first `engines` folder found, see [Folders](#folders)"),
        "\"/usr/share/squint/engines\"",
        "Folder of the engine catalogue.",
    ),
    key(
        "engines.threads",
        Kind::Integer(1, 64),
        "threads",
        Unset::Integer(1),
        "2",
        "Threads inside each engine.",
    ),
    key(
        "engines.deadline-ms",
        Kind::Integer(10, 600_000),
        "ms",
        Unset::Nothing("2000; 10000 if all cameras have `pace = \"fast\"`"),
        "5000",
        "How long one look may take before the engine counts as stuck and the frame goes to another; never less than four times what \
         the engine usually takes.",
    ),
    key(
        "engines.runtime",
        Kind::Word(&["auto", "cpu", "tensorrt"]),
        "",
        Unset::Text("auto"),
        "\"cpu\"",
        "Who runs the ONNX models. `auto`: TensorRT those that it has a plan of for this GPU, ONNX Runtime on the CPU the others, and `squint run` \
         builds the plans that are missing in the background. `cpu`: always ONNX Runtime; nothing of NVIDIA's is opened. `tensorrt`: an engine \
         without a plan is left out, with its reason. See [tensorrt.md](tensorrt.md).",
    ),
    key(
        "engines.onnxruntime",
        Kind::Path,
        "",
        Unset::Nothing("searched for, `squint doctor` shows where"),
        "\"/opt/onnxruntime/lib/libonnxruntime.so\"",
        "The ONNX Runtime library.",
    ),
    key(
        "engines.tensorrt",
        Kind::Path,
        "",
        Unset::Nothing("the first of libnvinfer.so.8, .10 and .11 that the system has"),
        "\"libtensorrt_rtx.so.1\"",
        "The TensorRT library: libnvinfer, its lean runtime or TensorRT-RTX. Looked for when a plan is to run or to be built.",
    ),
    key(
        "engines.tensorrt-shim",
        Kind::Path,
        "",
        Unset::Nothing("searched for, `squint doctor` shows where"),
        "\"/usr/lib/squint/libsquint-trt8.so\"",
        "What stands between Squint and TensorRT, one for each of its majors; `scripts/shims` builds it.",
    ),
    key(
        "engines.plans",
        Kind::Path,
        "",
        Unset::Text("/var/lib/squint/plans"),
        "\"/data/squint/plans\"",
        "Folder of the engines that TensorRT built on this machine, see [engines.md](engines.md). Nobody but root and Squint's user may be able to \
         write there.",
    ),
    key(
        "output.stdout",
        Kind::Word(&["auto", "text", "json", "none"]),
        "",
        Unset::Text("auto"),
        "\"json\"",
        "What is written to standard output: lines for people, JSON Lines, nothing; `auto` is text on a terminal and JSON otherwise.",
    ),
    key(
        "output.features",
        Kind::Flag,
        "",
        Unset::Flag(false),
        "true",
        "Whether records carry the values of all features (`features_values`); they are measured for every frame then.",
    ),
    key(
        "output.summary",
        Kind::Flag,
        "",
        Unset::Flag(true),
        "false",
        "Whether a run ends with a summary on standard error.",
    ),
    key(
        "output.socket",
        Kind::Path,
        "",
        Unset::Nothing("no socket"),
        "\"/run/squint/reports.sock\"",
        "A unix socket that any number of readers may connect to; 107 bytes at most.",
    ),
    key(
        "output.queue",
        Kind::Integer(1, 65_536),
        "reports",
        Unset::Integer(256),
        "1024",
        "Reports that may wait for a slow reader before the oldest is dropped.",
    ),
    key(
        "output.file.path",
        Kind::Path,
        "",
        Unset::Required,
        "\"/var/log/squint/reports.jsonl\"",
        "The newest file; older ones get `.1`, `.2`, ...",
    ),
    key(
        "output.file.max-mb",
        Kind::Integer(1, 1_000_000),
        "MB (10^6 bytes)",
        Unset::Integer(100),
        "20",
        "Size at which it is rotated.",
    ),
    key(
        "output.file.keep",
        Kind::Integer(0, 1000),
        "files",
        Unset::Integer(5),
        "10",
        "Old files that are kept.",
    ),
    key(
        "control.socket",
        Kind::Path,
        "",
        Unset::Nothing("no socket"),
        "\"/run/squint/control.sock\"",
        "A unix socket for `squint status`, `reload` and `set`, and for metrics; its owner and its group may connect. 107 bytes at most.",
    ),
    key(
        "control.group",
        Kind::Text,
        "",
        Unset::Text("squint-control"),
        "\"operators\"",
        "The group whose members may change something over the socket (`reload`, `set`), besides root and the user that Squint runs as. \
         Everybody else who may connect reads.",
    ),
    key(
        "control.http-port",
        Kind::Integer(1, 65_535),
        "",
        Unset::Nothing("no port"),
        "9105",
        "A port of 127.0.0.1 that tells `/metrics`, `/healthz`, `/readyz` and `/status` to everybody on the machine, and lets nobody change anything.",
    ),
    key(
        "budget.mode",
        Kind::Word(&["saver", "balanced", "performance", "unlimited"]),
        "",
        Unset::Text("performance"),
        "\"balanced\"",
        "What the limits below are made into, unless schedule, power mode or a command says otherwise: `performance` takes them as they \
         are, `balanced` adds a cap and a lower ceiling where none is given, `saver` tightens them, `unlimited` leaves only the board's own \
         ceiling.",
    ),
    key(
        "budget.schedule",
        Kind::Text,
        "",
        Unset::Nothing("the same mode all day"),
        "\"22:00-06:00 saver, 12:00-14:00 balanced\"",
        "Modes by the local time of day; the first part that holds counts.",
    ),
    key(
        "budget.power-modes",
        Kind::Text,
        "",
        Unset::Nothing("the board's power mode changes nothing"),
        "\"MAXQ saver, 0 unlimited\"",
        "Modes by the board's power mode (nvpmodel), by name or number; they come before the schedule.",
    ),
    key(
        "budget.temperature-c",
        Kind::Number(20.0, 150.0),
        "°C",
        Unset::Nothing("5 °C below where the board slows itself down"),
        "80",
        "Ceiling of every zone that heats up with Squint's work.",
    ),
    key(
        "budget.power-mw",
        Kind::Integer(100, 10_000_000),
        "mW",
        Unset::Nothing("no cap"),
        "7500",
        "Cap of the average power. It needs a rail to read, see `squint doctor`.",
    ),
    key(
        "budget.power-window-s",
        Kind::Integer(5, 3600),
        "s",
        Unset::Integer(60),
        "120",
        "What the average is taken over.",
    ),
    key(
        "budget.power-rail",
        Kind::Text,
        "",
        Unset::Nothing("the one that stands for the whole board"),
        "\"VDD_IN\"",
        "The rail that is capped, by its name.",
    ),
    key(
        "budget.energy-mj-per-frame",
        Kind::Number(0.01, 10_000_000.0),
        "mJ",
        Unset::Nothing("no limit"),
        "250",
        "Mean energy of a frame, beyond what the board draws anyway.",
    ),
    key(
        "budget.energy-wh-per-day",
        Kind::Number(0.01, 1_000_000.0),
        "Wh",
        Unset::Nothing("no limit"),
        "120",
        "Energy of the whole board in any 24 hours.",
    ),
    key(
        "budget.latency-ms",
        Kind::Integer(1, 600_000),
        "ms after capture",
        Unset::Nothing("no limit but each frame's deadline"),
        "50",
        "95th percentile of the time from capture to answer.",
    ),
    key(
        "budget.min-fps",
        Kind::Number(0.0, 1000.0),
        "frames a second and camera",
        Unset::Nothing("1"),
        "5",
        "Frames that are looked at even if other limits suffer; only the temperature goes below it.",
    ),
    key(
        "budget.state-file",
        Kind::Path,
        "",
        Unset::Nothing("nothing is kept"),
        "\"/var/lib/squint/budget.json\"",
        "Keeps across restarts what was learned of this board and these engines.",
    ),
    key(
        "telemetry.nvml",
        Kind::Flag,
        "",
        Unset::Flag(true),
        "false",
        "Asks NVIDIA's management library for discrete GPUs, where it is installed.",
    ),
    key(
        "telemetry.tegrastats",
        Kind::Text,
        "",
        Unset::Nothing("not used: the kernel's files say the same for less"),
        "\"tegrastats --interval 500\"",
        "A command that prints lines of tegrastats, or the path of a file or FIFO that they are written to. It fills in what the kernel's files lack.",
    ),
    key(
        "telemetry.recorded",
        Kind::Path,
        "",
        Unset::Nothing("the board itself is read"),
        "\"afternoon.samples.jsonl\"",
        "Readings recorded before, in place of the board's.",
    ),
];

/// The key with this dotted path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The section with this dotted path.
pub(super) fn section(path: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unique_and_lie_in_known_sections() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(key.section().is_empty() || section(key.section()).is_some(), "{}", key.path);
            assert!(
                KEYS[..index].iter().all(|other| other.path != key.path),
                "{} is there twice",
                key.path
            );
            assert!(!key.doc.is_empty() && !key.example.is_empty(), "{}", key.path);
        }
    }
}
