//! What the tests of the C++ shim share: a fake TensorRT and driver for each major whose headers
//! are here, and the program that calls the shim (tests/vendor/exercise.c), so that a crash is a
//! finding. The fakes are built with the same headers as the shim: they prove the shim's logic, and
//! never NVIDIA's layout; for that see tests/tensorrt/rtx.rs and docs/background/tensorrt-shim.md.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::vendor::{self, TensorRt};

pub const NETWORK: &str =
    "FAKEONNX\ntensor images in float -1 3 4 4\ntensor scores out float 1 5\n";

/// What there is to test with: the fakes and the shim of one major, a folder, the program.
pub struct Bench {
    pub trt: TensorRt,
    pub cuda: PathBuf,
    pub exercise: PathBuf,
    pub home: TempDir,
}

/// What the program told: its lines, of which the last has the result.
pub struct Told(pub Vec<Value>);

impl Told {
    pub fn worked(&self) -> bool {
        self.0.last().unwrap()["result"] == 1
    }

    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().map(move |line| &line[key]).filter(|value| !value.is_null())
    }

    pub fn number(&self, key: &str) -> i64 {
        self.values(key).last().unwrap().as_i64().unwrap()
    }

    pub fn log(&self) -> Vec<&str> {
        self.values("text").map(|text| text.as_str().unwrap()).collect()
    }

    #[track_caller]
    pub fn assert_says(&self, words: &str) {
        assert!(
            self.log().iter().any(|line| line.contains(words)),
            "wanted {words:?} in {:?}",
            self.log()
        );
    }

    /// The lines of the log that are errors.
    pub fn errors(&self) -> usize {
        self.values("log").filter(|severity| severity.as_i64().unwrap() <= 1).count()
    }
}

/// A bench for each major that can be built here.
pub fn benches() -> Vec<Bench> {
    let (Some(cuda), Some(exercise)) = (vendor::fake_cuda(), vendor::program("exercise")) else {
        return Vec::new();
    };
    let bench = |trt| Bench {
        trt,
        cuda: cuda.clone(),
        exercise: exercise.clone(),
        home: tempfile::tempdir().unwrap(),
    };
    vendor::MAJORS.into_iter().filter_map(vendor::tensorrt).map(bench).collect()
}

impl Bench {
    pub fn plan(&self) -> String {
        format!(
            "FAKEPLAN 1\nmajor {}\ncapability 86\ntensor images in float 1 3 4 4\ntensor scores out float 1 5\nend\n",
            self.trt.major
        )
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn output(&self, fails: &str, args: &[&str]) -> Output {
        let mut command = Command::new(&self.exercise);
        command.arg(&self.trt.shim).arg(&self.trt.nvinfer).args(args);
        command.env("FAKE_TRT_FAIL", fails).env("FAKE_TRT_THREAD", "1").output().unwrap()
    }

    #[track_caller]
    pub fn told(&self, fails: &str, args: &[&str]) -> Told {
        let output = self.output(fails, args);
        let (told, errors) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success(),
            "TensorRT {}, {fails:?} {args:?}: {} {errors}\n{told}",
            self.trt.major,
            output.status
        );
        let told = Told(
            told.lines()
                .map(|line| {
                    serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"))
                })
                .collect(),
        );
        assert_eq!(
            told.number("live"),
            0,
            "TensorRT {}, {fails:?} {args:?}: something was not given back",
            self.trt.major
        );
        told
    }

    /// Runs `frames` frames with this plan.
    #[track_caller]
    pub fn run(&self, fails: &str, plan: &str, frames: u32) -> Told {
        let plan = self.write("plan", plan);
        self.told(fails, &["run", self.cuda.to_str().unwrap(), &plan, &frames.to_string()])
    }

    /// Builds `network`, into `self.home`/built.
    #[track_caller]
    pub fn build(&self, fails: &str, network: &str, words: &[&str]) -> Told {
        let onnx = self.write("network.onnx", network);
        let built = self.home.path().join("built");
        if built.exists() {
            std::fs::remove_dir_all(&built).unwrap();
        }
        std::fs::create_dir(&built).unwrap();
        let mut args =
            vec!["build", self.trt.parser.to_str().unwrap(), &onnx, built.to_str().unwrap()];
        args.extend(words);
        self.told(fails, &args)
    }

    pub fn built(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.home.path().join("built").join(name)).ok()
    }
}
