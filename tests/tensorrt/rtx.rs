//! NVIDIA's own code, driven through our shim without a GPU: TensorRT-RTX's parser, builder and
//! runtime, and the lean runtimes. It shows that the shim's calls land where the headers say, for
//! TensorRT 11 and RTX; nothing here says that TensorRT 8 or 10 works, or that anything runs on a
//! GPU (docs/background/tensorrt-shim.md). `make test-tensorrt` fetches the libraries; where they
//! are not, these tests say so and pass.
//!
//! A program of its own calls the shim (tests/vendor/drive.c): a vendor's library may crash.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::common::vendor;
use crate::common::{skip, skip_without};
use serde_json::Value;

const RTX: &str = ".deps/tensorrt-rtx/libtensorrt_rtx.so.1";
const PARSER: &str = ".deps/tensorrt-rtx/libtensorrt_onnxparser_rtx.so.1";
const FLOAT32: &str = "engines/weights/efficientnet-lite2-260-f32.onnx";
/// Compute capability 8.6. RTX builds for 7.5, 8.0, 8.6, 8.9, 12.0 and 12.1.
const CAPABILITY: &str = "86";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The driving program and the folder of the shims for RTX 1.7 and TensorRT 11; `None`, with a
/// line, where something is not there.
fn tools() -> Option<&'static (PathBuf, PathBuf)> {
    static TOOLS: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
    TOOLS
        .get_or_init(|| {
            let headers = [".deps/tensorrt-headers/rtx-1.7", ".deps/tensorrt-headers/11.4"];
            let compiler = std::env::var_os("CXX").unwrap_or_else(|| "g++".into());
            if Command::new(&compiler).arg("--version").output().is_err() {
                skip("there is no C++ compiler");
                return None;
            }
            if let Some(missing) =
                [RTX, PARSER].iter().chain(&headers).find(|path| !root().join(path).exists())
            {
                skip_without(
                    "nvidia-libraries",
                    format_args!("{missing} is not there; `make test-tensorrt` fetches it"),
                );
                return None;
            }
            let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("tensorrt-rtx-{}", std::process::id()));
            std::fs::create_dir_all(&scratch).unwrap();
            let mut shims = Command::new(root().join("scripts/shims"));
            for folder in headers {
                shims.arg("--include").arg(root().join(folder));
            }
            let built = shims.arg("--out").arg(&scratch).output().unwrap();
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            let drive = scratch.join("drive");
            let flags = [
                "-std=gnu11",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-O1",
                "tests/vendor/drive.c",
                "-ldl",
                "-lpthread",
                "-o",
            ];
            let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
            assert!(
                Command::new(cc)
                    .current_dir(root())
                    .args(flags)
                    .arg(&drive)
                    .status()
                    .unwrap()
                    .success()
            );
            Some((drive, scratch))
        })
        .as_ref()
}

/// What a run of the driving program told.
struct Told {
    lines: Vec<Value>,
}

impl Told {
    fn last(&self, key: &str) -> f64 {
        self.lines.last().unwrap()[key].as_f64().unwrap()
    }

    fn worked(&self) -> bool {
        self.last("result") != 0.0
    }

    fn progress(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line["progress"].as_str()).collect()
    }

    /// Lines of the log, of severity `from` or worse.
    fn log(&self, from: i64) -> Vec<&str> {
        let bad = |line: &&Value| line["log"].as_i64().is_some_and(|severity| severity <= from);
        self.lines.iter().filter(bad).filter_map(|line| line["text"].as_str()).collect()
    }

    fn says(&self, words: &str) -> bool {
        self.log(4).iter().any(|line| line.contains(words))
    }
}

/// Runs the driving program with `shim` and `library`; it must end by itself.
fn drive(shim: &str, library: &str, rest: &[&str]) -> Told {
    let (drive, shims) = tools().unwrap();
    let run = Command::new(drive)
        .current_dir(root())
        .arg(shims.join(shim))
        .arg(library)
        .args(rest)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{library} {rest:?}: {:?} {errors}", run.status);
    let text = String::from_utf8(run.stdout).unwrap();
    Told {
        lines: text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
            .collect(),
    }
}

fn rtx(rest: &[&str]) -> Told {
    drive("libsquint-trt-rtx1.so", RTX, rest)
}

fn scratch(name: &str) -> String {
    tools().unwrap().1.join(name).to_str().unwrap().to_owned()
}

#[test]
fn the_real_builder_makes_a_plan_of_the_float32_network_and_tells_its_progress() {
    if tools().is_none() {
        return;
    }
    let plan = scratch("float32.plan");
    let told = rtx(&["build", PARSER, FLOAT32, CAPABILITY, &plan]);
    assert!(told.worked(), "{:?}", told.log(1));
    let (bytes, weights) = (
        std::fs::metadata(&plan).unwrap().len(),
        std::fs::metadata(root().join(FLOAT32)).unwrap().len(),
    );
    assert!(bytes > weights / 2, "{bytes} bytes hold the weights of {weights}");
    assert_eq!(told.log(1), Vec::<&str>::new());
    assert!(!told.log(3).is_empty(), "the library logs");
    let phases = told.progress();
    for phase in ["parse", "build", "Building engine"] {
        assert!(phases.contains(&phase), "{phase} is not among {phases:?}");
    }
    let within = |line: &&Value| line["progress"].is_string();
    for line in told.lines.iter().filter(within) {
        let (done, steps) = (line["done"].as_i64().unwrap(), line["steps"].as_i64().unwrap());
        assert!((0..=steps).contains(&done), "{line}");
    }
    println!(
        "{FLOAT32}: a plan of {bytes} bytes for capability 8.6 in {:.1} s, {} reports of progress, {} lines of log",
        told.last("seconds"),
        phases.len(),
        told.log(3).len()
    );
}

/// Activations of uint8 with a zero point, biases as int32: ONNX Runtime's way, which TensorRT does
/// not take. Whoever makes files that it takes will change this test.
#[test]
fn the_real_parser_refuses_the_shipped_int8_networks_and_names_the_node() {
    if tools().is_none() {
        return;
    }
    let folder = std::fs::read_dir(root().join("engines/weights")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let int8: Vec<String> = names.filter(|name| name.ends_with("int8.onnx")).collect();
    assert!(!int8.is_empty());
    for name in int8 {
        let file = format!("engines/weights/{name}");
        let told = rtx(&["build", PARSER, &file, CAPABILITY, &scratch("int8.plan")]);
        assert!(!told.worked(), "{name} is taken now: say so in docs/background/tensorrt-shim.md");
        assert!(
            told.says("DequantizeLinear") && told.says("the ONNX file was not parsed"),
            "{name}: {:?}",
            told.log(1)
        );
    }
}

#[test]
fn the_real_parser_refuses_what_is_no_network_and_what_is_half_of_one() {
    if tools().is_none() {
        return;
    }
    let whole = std::fs::read(root().join(FLOAT32)).unwrap();
    for (name, bytes) in
        [("noise.onnx", vec![0xa5; 4096]), ("half.onnx", whole[..whole.len() / 2].to_vec())]
    {
        let (file, plan) = (scratch(name), scratch("none.plan"));
        std::fs::write(&file, bytes).unwrap();
        let told = rtx(&["build", PARSER, &file, CAPABILITY, &plan]);
        assert!(!told.worked(), "{name}");
        assert!(told.says("the ONNX file was not parsed"), "{name}: {:?}", told.log(1));
        assert!(!Path::new(&plan).exists());
    }
}

#[test]
fn the_real_builder_stops_when_told_and_hands_out_no_plan() {
    if tools().is_none() {
        return;
    }
    let plan = scratch("given-up.plan");
    let told = rtx(&["build", PARSER, FLOAT32, CAPABILITY, &plan, "20"]);
    assert!(!told.worked());
    assert_eq!(told.progress().len(), 20, "no report after the one that said stop");
    assert!(told.says("the build was given up, as told"), "{:?}", told.log(1));
    assert!(!Path::new(&plan).exists());
}

/// The exercise program says what a build hands out. Without a GPU nothing is timed, so the cache
/// is an empty one, in TensorRT's own format.
#[test]
fn the_real_builder_hands_out_a_timing_cache_and_goes_on_without_one_that_is_none() {
    let (Some((_, shims)), Some(exercise)) = (tools(), vendor::program("exercise")) else { return };
    let noise = scratch("noise.timing");
    std::fs::write(&noise, [0xa5; 172]).unwrap();
    for (folder, earlier) in [("timed", None), ("timed-anew", Some(format!("timing={noise}")))] {
        let folder = scratch(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(&exercise);
        command
            .current_dir(root())
            .arg(shims.join("libsquint-trt-rtx1.so"))
            .args([RTX, "build", PARSER, FLOAT32, &folder]);
        let output =
            command.arg(format!("capability={CAPABILITY}")).args(earlier).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.ends_with("{\"result\":1}\n"), "{told}");
        assert!(!std::fs::read(Path::new(&folder).join("timing")).unwrap().is_empty());
        assert_eq!(
            told.contains("Failed to deserialize timing cache"),
            folder.ends_with("anew"),
            "{told}"
        );
    }
}

#[test]
fn the_real_builder_refuses_a_capability_that_it_does_not_know() {
    if tools().is_none() {
        return;
    }
    let told = rtx(&["build", PARSER, FLOAT32, "62", &scratch("tx2.plan")]);
    assert!(!told.worked());
    assert!(!told.log(1).is_empty(), "somebody says why");
}

#[test]
fn the_real_runtime_is_made_and_refuses_plans_that_are_none() {
    if tools().is_none() {
        return;
    }
    let told = rtx(&["runtime"]);
    assert!(told.worked(), "{:?}", told.log(1));
    assert!(rtx(&["platform"]).worked());
    for (name, bytes) in [
        ("noise.plan", vec![0xa5_u8; 4096]),
        ("short.plan", vec![0]),
        ("text.plan", b"FAKEPLAN 1\n".to_vec()),
    ] {
        let file = scratch(name);
        std::fs::write(&file, bytes).unwrap();
        let told = rtx(&["engine", &file]);
        assert!(!told.worked(), "{name}");
        assert!(told.says("deserializeCudaEngine gave no object"), "{name}: {:?}", told.log(1));
        assert!(told.log(1).len() > 1, "{name}: the library says why, too: {:?}", told.log(1));
    }
}

/// Without a driver, 0x228 comes in place of a runtime. Both are called through the shim for 11:
/// the call that makes a runtime is the same.
#[test]
fn a_lean_runtime_without_a_driver_gives_a_pointer_that_is_none_and_the_shim_does_not_touch_it() {
    if tools().is_none() {
        return;
    }
    if ["/dev/nvidiactl", "/dev/nvhost-ctrl"].iter().any(|device| Path::new(device).exists()) {
        skip_without("no-driver", "this machine has a driver");
        return;
    }
    for library in [
        ".deps/tensorrt-lean-11/libnvinfer_lean.so.11",
        ".deps/tensorrt-lean-10/libnvinfer_lean.so.10",
    ] {
        if !root().join(library).exists() {
            skip_without(
                "nvidia-libraries",
                format_args!("{library} is not there; `make test-tensorrt` fetches it"),
            );
            continue;
        }
        let told = drive("libsquint-trt11.so", library, &["runtime"]);
        assert!(!told.worked(), "{library}");
        assert!(
            told.says("createInferRuntime gave no object (0x228)"),
            "{library}: {:?}",
            told.log(1)
        );
    }
}
