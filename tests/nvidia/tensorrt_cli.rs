//! The program on a machine with a GPU, which is the one of tests/standin/nvidia.c under the names
//! that the system's loader looks for: what the doctor says, who answers, and what happens when
//! vendor code crashes or never returns.

use std::process::Command;

use crate::common::nvidia;
use crate::common::onnx_model::Model;
use crate::common::program::{Daemon, photo, records, squint, tell, write};
use crate::common::shelf::Shelf;
use crate::common::skip_without;
use serde_json::Value;

/// A machine, and engines on a shelf: `gpu` and `cpu`, which see the same.
struct Machine {
    shelf: Shelf,
    libraries: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let (shelf, libraries) = (Shelf::new(), tempfile::tempdir().unwrap());
        let model = Model::brightest(12, 8);
        shelf.network("cpu", &model);
        nvidia::add_plan(&shelf, "gpu", &model);
        for name in ["libcuda.so.1", "libnvinfer.so.8"] {
            std::os::unix::fs::symlink(nvidia::library(), libraries.path().join(name)).unwrap();
        }
        Self { shelf, libraries }
    }

    /// Squint on it; `fails` as tests/standin/nvidia.c understands it.
    fn squint(&self, args: &[&str], fails: &str) -> Command {
        let mut command = squint(args);
        command.arg("--engines").arg(self.shelf.path());
        command.env("LD_LIBRARY_PATH", self.libraries.path()).env("FAKE_NVIDIA", fails);
        command.env("SQUINT_ENGINES__TENSORRT_SHIM", nvidia::library());
        // Where the daemon remembers that `cpu` cannot be built; never where a service on this
        // machine would look.
        command.env("SQUINT_ENGINES__PLANS", self.libraries.path().join("plans"));
        command
    }

    /// A policy that asks `gpu`, and `cpu` when that cannot be asked.
    fn policy(&self) -> String {
        let text = "format = 1\nname = \"gpu-first\"\nkind = \"fixed\"\n[engines]\ngpu = \"any\"\ncpu = \"any\"\n\
                    [fixed]\nengine = \"gpu\"\nfallback = \"cpu\"\n";
        write(self.libraries.path().join("gpu-first.policy.toml"), text).display().to_string()
    }
}

/// The engine that answered.
fn answering(record: &Value) -> Option<String> {
    let engines = record["engines"].as_array()?;
    Some(
        engines.iter().rfind(|engine| engine["answered"] == Value::Bool(true))?["id"]
            .as_str()?
            .to_owned(),
    )
}

#[test]
fn the_doctor_tells_of_gpu_and_tensorrt_and_of_a_crash_in_them_without_crashing() {
    let machine = Machine::new();
    let told = tell(machine.squint(&["doctor"], "")).ends(0);
    assert!(
        told.out.contains(
            "ok       GPU            Fake GPU 0 (compute capability 6.2), driver for CUDA 10.2"
        ),
        "{}",
        told.out
    );
    let want = format!(
        "ok       TensorRT       8.2.1 (libnvinfer.so.8), shim {} built for 8.2.1",
        nvidia::library().display()
    );
    assert!(told.out.contains(&want), "{}", told.out);

    let told = tell(machine.squint(&["doctor", "--json"], "squint_trt_runtime_new:1=crash"))
        .ends(0)
        .json();
    let crashed = &told["nvidia"]["missing"]["crashed"];
    assert_eq!(
        crashed, "looking for TensorRT ended with signal 11, so it is left alone",
        "{told:#}"
    );

    let mut command = machine.squint(&["doctor"], "");
    command.env("SQUINT_ENGINES__TENSORRT_SHIM", "/nowhere/shim.so");
    let told = tell(command).ends(0);
    assert!(
        told.out
            .contains("MISSING  TensorRT       8.2.1, but: no TensorRT shim for libnvinfer.so.8"),
        "{}",
        told.out
    );
}

#[test]
fn without_a_driver_the_doctor_has_one_line_and_everything_else_is_as_before() {
    let machine = Machine::new();
    let mut command = machine.squint(&["doctor"], "");
    command.env_remove("LD_LIBRARY_PATH");
    let told = tell(command).ends(0);
    let lines: Vec<_> = told
        .out
        .lines()
        .filter(|line| line.contains("TensorRT") || line.contains("GPU  "))
        .collect();
    if std::process::Command::new("ldconfig")
        .arg("-p")
        .output()
        .is_ok_and(|known| String::from_utf8_lossy(&known.stdout).contains("libcuda.so.1"))
    {
        skip_without("no-driver", "this machine has a driver");
        return;
    }
    assert_eq!(lines.len(), 1, "{}", told.out);
    assert!(
        lines[0].starts_with("none     TensorRT       no NVIDIA driver (libcuda.so.1: "),
        "{}",
        lines[0]
    );
}

#[test]
fn gpu_and_cpu_give_the_same_answer_to_a_photo() {
    let machine = Machine::new();
    let answers = ["gpu", "cpu"].map(|id| {
        let told =
            tell(machine.squint(&["classify", "--json", "--engine", id, &photo("clock")], ""))
                .ends(0)
                .records();
        told[0]["top"][0].clone()
    });
    assert_eq!(answers[0]["class"], answers[1]["class"], "{answers:?}");
}

#[test]
fn an_engine_without_a_gpu_is_refused_alone_and_left_out_of_an_engine_set() {
    let machine = Machine::new();
    let crash = "squint_trt_runtime_new:1=crash";
    let told =
        tell(machine.squint(&["classify", "--engine", "gpu", &photo("clock")], crash)).ends(69);
    assert!(
        told.err.contains("engine `gpu` needs TensorRT: looking for TensorRT ended with signal 11"),
        "{}",
        told.err
    );

    let policy = machine.policy();
    let mut daemon = Daemon::start(machine.squint(
        &["run", "--json", "--source", "test", "--deadline-ms", "3000", "--policy", &policy],
        crash,
    ));
    daemon.until_records(5);
    daemon.signal("TERM");
    let told = daemon.ends().ends(0);
    assert!(records(&told.out).iter().filter_map(answering).all(|id| id == "cpu"), "{}", told.out);
    assert!(told.err.contains("engine `gpu` needs TensorRT"), "{}", told.err);
}

#[test]
fn when_a_run_never_returns_the_cpu_goes_on_and_the_end_is_not_held_up() {
    let machine = Machine::new();
    let policy = machine.policy();
    // Three runs and four looks while loading, then twenty frames.
    let mut command = machine.squint(
        &["run", "--json", "--source", "test", "--deadline-ms", "3000", "--policy", &policy],
        "squint_trt_enqueue:27=hang",
    );
    command.env("SQUINT_ENGINES__DEADLINE_MS", "200");
    let mut daemon = Daemon::start(command);
    daemon.until_logged("engine `gpu` has not come back within");
    let engines =
        |daemon: &Daemon| records(&daemon.out()).iter().filter_map(answering).collect::<Vec<_>>();
    daemon.until("the other engine answers", |daemon| {
        engines(daemon).iter().filter(|id| *id == "cpu").count() >= 10
    });
    assert!(engines(&daemon).iter().any(|id| id == "gpu"), "it did answer before");
    daemon.signal("TERM");
    let told = daemon.ends();
    assert!(
        told.err.contains("left behind") || told.err.contains("did not finish"),
        "{}",
        told.err
    );
}

#[test]
fn when_the_gpu_is_lost_for_good_the_cpu_answers_and_the_log_says_why() {
    let machine = Machine::new();
    let policy = machine.policy();
    // The context is lost once, made anew, and lost again.
    let fails = "cuEventSynchronize:20=700,cuEventSynchronize:40=700";
    let mut daemon = Daemon::start(machine.squint(
        &["run", "--json", "--source", "test", "--deadline-ms", "3000", "--policy", &policy],
        fails,
    ));
    daemon.until_logged(
        "cuEventSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS (700); the GPU's context is lost",
    );
    daemon.until_logged("the GPU's context was lost again");
    let answered = daemon.out().lines().count();
    daemon.until_records(answered + 10);
    daemon.signal("TERM");
    let told = daemon.ends().ends(0);
    let engines: Vec<_> = records(&told.out).iter().filter_map(answering).collect();
    assert!(engines.iter().any(|id| id == "gpu"), "{engines:?}");
    assert!(engines[engines.len() - 5..].iter().all(|id| id == "cpu"), "{engines:?}");
}
