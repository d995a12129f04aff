//! The C++ shim against a fake TensorRT and a fake driver: what it promises in squint_trt.h, for every major whose headers are here.
//!
//! A program of its own calls the shim (tests/vendor/exercise.c), so that a crash is a finding. The fakes are built with the same headers as
//! the shim: this proves the shim's logic, and never NVIDIA's layout; for that see tests/tensorrt_rtx.rs and docs/tensorrt.md.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "common/vendor.rs"]
mod vendor;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use vendor::TensorRt;

const NETWORK: &str = "FAKEONNX\ntensor images in float -1 3 4 4\ntensor scores out float 1 5\n";

/// What there is to test with: the fakes and the shim of one major, a folder, the program.
struct Bench {
    trt: TensorRt,
    cuda: std::path::PathBuf,
    exercise: std::path::PathBuf,
    home: TempDir,
}

/// What the program told: its lines, of which the last has the result.
struct Told(Vec<Value>);

impl Told {
    fn worked(&self) -> bool {
        self.0.last().unwrap()["result"] == 1
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().map(move |line| &line[key]).filter(|value| !value.is_null())
    }

    fn number(&self, key: &str) -> i64 {
        self.values(key).last().unwrap().as_i64().unwrap()
    }

    fn log(&self) -> Vec<&str> {
        self.values("text").map(|text| text.as_str().unwrap()).collect()
    }

    #[track_caller]
    fn assert_says(&self, words: &str) {
        assert!(self.log().iter().any(|line| line.contains(words)), "wanted {words:?} in {:?}", self.log());
    }

    /// The lines of the log that are errors.
    fn errors(&self) -> usize {
        self.values("log").filter(|severity| severity.as_i64().unwrap() <= 1).count()
    }
}

/// A bench for each major that can be built here.
fn benches() -> Vec<Bench> {
    let (Some(cuda), Some(exercise)) = (vendor::fake_cuda(), vendor::program("exercise")) else { return Vec::new() };
    let bench = |trt| Bench { trt, cuda: cuda.clone(), exercise: exercise.clone(), home: tempfile::tempdir().unwrap() };
    vendor::MAJORS.into_iter().filter_map(vendor::tensorrt).map(bench).collect()
}

impl Bench {
    fn plan(&self) -> String {
        format!(
            "FAKEPLAN 1\nmajor {}\ncapability 86\ntensor images in float 1 3 4 4\ntensor scores out float 1 5\nend\n",
            self.trt.major
        )
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn output(&self, fails: &str, args: &[&str]) -> Output {
        let mut command = Command::new(&self.exercise);
        command.arg(&self.trt.shim).arg(&self.trt.nvinfer).args(args);
        command.env("FAKE_TRT_FAIL", fails).env("FAKE_TRT_THREAD", "1").output().unwrap()
    }

    #[track_caller]
    fn told(&self, fails: &str, args: &[&str]) -> Told {
        let output = self.output(fails, args);
        let (told, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "TensorRT {}, {fails:?} {args:?}: {} {errors}\n{told}", self.trt.major, output.status);
        let told =
            Told(told.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"))).collect());
        assert_eq!(told.number("live"), 0, "TensorRT {}, {fails:?} {args:?}: something was not given back", self.trt.major);
        told
    }

    /// Runs `frames` frames with this plan.
    #[track_caller]
    fn run(&self, fails: &str, plan: &str, frames: u32) -> Told {
        let plan = self.write("plan", plan);
        self.told(fails, &["run", self.cuda.to_str().unwrap(), &plan, &frames.to_string()])
    }

    /// Builds `network`, into `self.home`/built.
    #[track_caller]
    fn build(&self, fails: &str, network: &str, words: &[&str]) -> Told {
        let onnx = self.write("network.onnx", network);
        let built = self.home.path().join("built");
        if built.exists() {
            std::fs::remove_dir_all(&built).unwrap();
        }
        std::fs::create_dir(&built).unwrap();
        let mut args = vec!["build", self.trt.parser.to_str().unwrap(), &onnx, built.to_str().unwrap()];
        args.extend(words);
        self.told(fails, &args)
    }

    fn built(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.home.path().join("built").join(name)).ok()
    }
}

#[test]
fn the_shim_shows_its_functions_and_needs_the_c_library_only() {
    let nm = |path: &Path, flags: &[&str]| -> Option<String> {
        let output = Command::new("nm").arg("-D").args(flags).arg(path).output().ok()?;
        Some(String::from_utf8(output.stdout).unwrap())
    };
    for bench in benches() {
        let Some(shown) = nm(&bench.trt.shim, &["--defined-only"]) else {
            println!("skipped: `nm` does not start (package binutils)");
            return;
        };
        let mut shown: Vec<&str> = shown.lines().filter_map(|line| line.split(' ').nth(2)).collect();
        shown.sort_unstable();
        let header = include_str!("../src/engine/tensorrt/shim/squint_trt.h");
        let declared = header.lines().filter(|line| line.contains("(") && !line.starts_with("//") && !line.starts_with("typedef"));
        let mut declared: Vec<&str> = declared
            .filter_map(|line| line.split('(').next())
            .filter_map(|front| front.rsplit([' ', '*']).next())
            .filter(|name| name.starts_with("squint_trt_"))
            .collect();
        declared.sort_unstable();
        assert_eq!(shown, declared);
        let needed = nm(&bench.trt.shim, &["--undefined-only"]).unwrap();
        let foreign = |line: &&str| !line.contains("@GLIBC_") && !line.trim_start().starts_with("w ");
        assert_eq!(needed.lines().filter(foreign).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

#[test]
fn an_engine_tells_its_tensors_and_computes_frame_after_frame() {
    for bench in benches() {
        let told = bench.run("", &bench.plan(), 3);
        assert!(told.worked(), "{:?}", told.log());
        let tensors: Vec<String> = told.0.iter().filter(|line| line["tensor"].is_string()).map(ToString::to_string).collect();
        assert_eq!(
            tensors,
            [
                r#"{"input":1,"rank":4,"tensor":"images","type":0,"values":48}"#,
                r#"{"input":0,"rank":2,"tensor":"scores","type":0,"values":5}"#
            ]
        );
        let scores: Vec<String> = told.values("scores").map(ToString::to_string).collect();
        assert_eq!(scores, ["[1,2,3,4,5]", "[2,4,6,8,10]", "[3,6,9,12,15]"]);
        assert_eq!(told.number("device_bytes"), 1 << 20);
        println!(
            "TensorRT {}: {} ns for an enqueue through the shim, the fake's work included",
            bench.trt.major,
            told.number("ns_per_enqueue")
        );
    }
}

#[test]
fn element_types_are_told_apart_and_what_squint_does_not_know_is_other() {
    for bench in benches() {
        let plan = bench.plan().replace("tensor scores out float 1 5\n", {
            "tensor a out half 1\ntensor b out int8 1\ntensor c out int32 1\ntensor d out bool 1\ntensor scalar out float\n"
        });
        let told = bench.run("", &plan, 1);
        let types: Vec<i64> = told.values("type").map(|number| number.as_i64().unwrap()).collect();
        assert_eq!(types, [0, 1, 2, 3, 4, 0]);
        assert_eq!(told.values("rank").last().unwrap(), 0);
    }
}

#[test]
fn tensors_that_do_not_lie_plainly_are_other() {
    for bench in benches() {
        let told = bench.run("format:2=4", &bench.plan(), 1); // kCHW32
        let types: Vec<i64> = told.values("type").map(|number| number.as_i64().unwrap()).collect();
        assert_eq!(types, [0, 4]);
    }
}

#[test]
fn a_frame_without_memory_for_a_tensor_is_refused() {
    for bench in benches() {
        let told = bench.run("", &bench.plan(), 0);
        assert_eq!(told.number("unbound"), 0);
        assert!(told.errors() > 0, "{:?}", told.log());
    }
}

#[test]
fn a_plan_that_does_not_fit_is_refused_and_the_library_says_why() {
    for bench in benches() {
        let plan = bench.plan();
        let cut = &plan[..plan.len() - 10];
        let cases = [
            ("\u{1}\u{2}\u{3}", "magic tag"),
            (cut, "cut off"),
            (&plan.replace("capability 86", "capability 62"), "for compute capability 62"),
            (&plan.replace("major ", "major 7"), "for TensorRT 7"),
        ];
        for (plan, why) in cases {
            let told = bench.run("", plan, 1);
            assert!(!told.worked(), "{plan:?}");
            told.assert_says(why);
        }
    }
}

#[test]
fn a_tensor_that_squint_cannot_hold_makes_the_engine_unusable() {
    for bench in benches() {
        let (long, fits) = ("n".repeat(256), "n".repeat(255));
        let told = bench.run("", &bench.plan().replace("images", &long), 1);
        assert!(!told.worked());
        told.assert_says("more than 255 bytes");
        assert!(bench.run("", &bench.plan().replace("images", &fits), 1).worked());
    }
}

#[test]
fn whatever_call_fails_gives_nothing_and_at_least_one_line_of_log() {
    for bench in benches() {
        let calls = ["createRuntime", "deserialize", "createContext", "enqueue"];
        for call in calls.into_iter().chain((bench.trt.major > 8).then_some("setAddress")) {
            let told = bench.run(&format!("{call}=1"), &bench.plan(), 1);
            assert!(!told.worked(), "{call}");
            assert!(told.errors() > 0, "{call}: {:?}", told.log());
        }
        let told = bench.run("enqueue:2=1", &bench.plan(), 3);
        let enqueued: Vec<i64> = told.values("enqueued").map(|done| done.as_i64().unwrap()).collect();
        assert_eq!(enqueued, [1, 0, 1], "a frame that fails does not spoil the next one");
    }
}

#[test]
fn a_fault_on_the_device_shows_when_the_stream_is_waited_for_and_stays() {
    for bench in benches() {
        let told = bench.run("enqueue:2=700", &bench.plan(), 3);
        let frames: Vec<(i64, i64)> = told
            .values("code")
            .zip(told.values("enqueued"))
            .map(|(code, done)| (code.as_i64().unwrap(), done.as_i64().unwrap()))
            .collect();
        assert_eq!(frames, [(0, 1), (700, 1), (700, 1)]);
    }
}

#[test]
fn a_small_number_in_place_of_an_object_is_not_touched() {
    for bench in benches() {
        for call in ["createRuntime", "deserialize", "createContext"] {
            let told = bench.run(&format!("{call}=552"), &bench.plan(), 1);
            assert!(!told.worked(), "{call}");
            told.assert_says("0x228");
        }
        for call in ["createBuilder", "createNetwork", "createConfig", "createParser", "build"] {
            let told = bench.build(&format!("{call}=552"), NETWORK, &[]);
            assert!(!told.worked(), "{call}");
            told.assert_says("0x228");
        }
    }
}

#[test]
fn lines_from_another_thread_reach_the_log() {
    for bench in benches() {
        let told = bench.run("", &bench.plan(), 1);
        assert!(told.0.iter().any(|line| line["elsewhere"] == true && line["log"] == 3), "{:?}", told.log());
    }
}

#[test]
fn a_build_hands_out_a_plan_that_runs_and_tells_its_progress() {
    for bench in benches() {
        let told = bench.build("", NETWORK, &["workspace=1048576"]);
        assert!(told.worked(), "{:?}", told.log());
        let plan = bench.built("plan").unwrap();
        assert!(plan.contains("tensor images in float 1 3 4 4"), "an open batch is one picture: {plan}");
        assert!(bench.run("", &plan, 1).worked());
        let phases: Vec<&str> = told.values("progress").map(|phase| phase.as_str().unwrap()).collect();
        for phase in ["parse", "build"].into_iter().chain((bench.trt.major > 8).then_some("Building Engine")) {
            assert!(phases.contains(&phase), "{phase} is not among {phases:?}");
        }
        assert!(bench.built("timing").unwrap().starts_with("FAKETIMING"));
    }
}

#[test]
fn precision_is_as_told_where_networks_are_not_strongly_typed() {
    for bench in benches() {
        assert!(bench.build("", NETWORK, &["fp16=1"]).worked());
        let precision = if bench.trt.major < 11 { "precision fp16" } else { "precision fp32" };
        assert!(bench.built("plan").unwrap().contains(precision));
    }
}

#[test]
fn calibration_shows_whole_batches_and_hands_out_a_cache_that_serves_the_next_build() {
    for bench in benches() {
        let told = bench.build("", NETWORK, &["int8=1", "pictures=7", "batch=3", "values=48"]);
        if bench.trt.major == 11 {
            assert!(!told.worked());
            told.assert_says("calibrates no networks");
            continue;
        }
        assert!(told.worked(), "{:?}", told.log());
        told.assert_says("calibrated with 2 batches of 3, first values sum to 3"); // pictures 0 and 3 come first; 6 is left over
        assert_eq!((told.number("fed"), told.number("copies")), (7, 2));
        let cache = bench.built("cache").unwrap();
        assert!(cache.starts_with("TRT-") && cache.contains("EntropyCalibration2"), "{cache}");
        let cache = bench.write("earlier", cache);
        let told = bench.build("", NETWORK, &["int8=1", &format!("cache={cache}")]);
        assert!(told.worked(), "{:?}", told.log());
        told.assert_says("calibration cache taken");
        assert_eq!(told.number("fed"), 0);
        let told = bench.build("", NETWORK, &["int8=1", "pictures=0"]);
        assert!(!told.worked());
        told.assert_says("calibration without a picture");
    }
}

#[test]
fn a_timing_cache_from_elsewhere_is_told_of_and_the_build_goes_on() {
    for bench in benches() {
        for (words, earlier) in [("made elsewhere", "FAKETIMING 7\n"), ("not a timing cache", "noise")] {
            let file = bench.write("timing", earlier);
            let told = bench.build("", NETWORK, &[&format!("timing={file}")]);
            assert!(told.worked(), "{:?}", told.log());
            told.assert_says(words);
            assert!(
                bench.built("timing").is_some_and(|own| own == format!("FAKETIMING {}\n", bench.trt.major)),
                "a fresh one comes out"
            );
        }
    }
}

#[test]
fn whatever_call_of_a_build_fails_gives_no_plan_and_at_least_one_line_of_log() {
    for bench in benches() {
        for call in ["createBuilder", "createNetwork", "createConfig", "createParser", "parse", "step:3", "build"] {
            let told = bench.build(&format!("{call}=1"), NETWORK, &[]);
            assert!(!told.worked(), "{call}");
            assert!(told.errors() > 0, "{call}: {:?}", told.log());
            assert_eq!(bench.built("plan"), None, "{call}");
        }
        let told = bench.build("", "no network", &[]);
        told.assert_says("ONNX node 7");
        assert!(!told.worked());
        for call in ["timing=1", "serialize=1"] {
            let told = bench.build(call, NETWORK, &[]);
            assert!(told.worked(), "a timing cache that cannot be had costs time only: {call} {:?}", told.log());
        }
    }
}

#[test]
fn a_build_ends_when_a_caller_refuses() {
    for bench in benches() {
        assert!(!bench.build("", NETWORK, &["refuse=plan"]).worked());
        assert!(bench.build("", NETWORK, &["refuse=timing"]).worked(), "only a plan is worth failing for");
        let reports = bench.build("", NETWORK, &[]).number("reports");
        for nth in 1..=reports {
            let told = bench.build("", NETWORK, &[&format!("give-up={nth}")]);
            assert!(!told.worked(), "told to give up at report {nth} of {reports}");
            assert_eq!(told.number("reports"), nth, "no report after the one that said stop");
            assert_eq!(bench.built("plan"), None);
        }
        if bench.trt.major < 11 {
            for refuse in ["refuse=cache", "refuse=copy"] {
                let told = bench.build("", NETWORK, &["int8=1", "pictures=3", "values=48", refuse]);
                assert!(!told.worked(), "{refuse}");
                assert!(told.errors() > 0, "{refuse}");
            }
        }
    }
}

#[test]
fn what_this_tensorrt_cannot_build_for_is_refused() {
    for bench in benches() {
        let told = bench.build("", NETWORK, &["capability=86"]);
        assert!(!told.worked());
        told.assert_says("only TensorRT-RTX");
        let told = bench.build("", NETWORK, &["dla=0"]);
        assert!(!told.worked());
        told.assert_says("no DLA core 0");
        let told = bench.build("", &NETWORK.replace("-1 3 4 4", "1 3 -1 -1"), &[]);
        assert!(!told.worked());
        told.assert_says("leaves dimension 2 open");
    }
}

#[test]
fn a_library_that_crashes_ends_the_program_and_does_not_pass_for_success() {
    use std::os::unix::process::ExitStatusExt;
    for bench in benches() {
        let plan = bench.write("plan", bench.plan());
        let output = bench.output("deserialize=crash", &["run", bench.cuda.to_str().unwrap(), &plan, "1"]);
        assert_eq!(output.status.signal(), Some(11));
    }
}
