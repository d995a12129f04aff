//! `squint run` on a machine with a GPU: frames are answered on the CPU first, plans are built by a
//! child meanwhile, and then the GPU answers.
//!
//! The driver and TensorRT are the fakes of tests/vendor, the shim is the real one: this proves
//! that the parts fit together, nothing of NVIDIA's. For each TensorRT whose headers are here, or
//! for 11; without any it says so and passes.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use crate::common::gpu_machine::Machine;
use crate::common::program as squint_program;
use crate::common::program::{Daemon, SOON, Told, records, squint, tell, write};
use serde_json::Value;

/// A daemon over the engines `one` and `two`, of which `one` answers.
struct House {
    machine: Machine,
}

impl House {
    const ENGINES: [&str; 2] = ["one", "two"];

    fn new() -> Option<Self> {
        Machine::with(&Self::ENGINES).map(Self::on)
    }

    /// One for each TensorRT.
    fn each() -> impl Iterator<Item = Self> {
        Machine::each(&Self::ENGINES).map(Self::on)
    }

    fn on(machine: Machine) -> Self {
        let text = "format = 1\nname = \"one-first\"\nkind = \"fixed\"\n[engines]\none = \"any\"\ntwo = \"any\"\n\
                    [fixed]\nengine = \"one\"\nfallback = \"two\"\n";
        write(machine.folder.path().join("one-first.policy.toml"), text);
        Self { machine }
    }

    fn socket(&self) -> String {
        self.machine.folder.path().join("control.sock").display().to_string()
    }

    fn start(&self, fails: &str, set: &[(&str, &str)]) -> Daemon {
        let policy = self.machine.folder.path().join("one-first.policy.toml").display().to_string();
        let args = [
            "run",
            "--json",
            "--source",
            "test",
            "--rate-hz",
            "20",
            "--deadline-ms",
            "5000",
            "--policy",
            &policy,
        ];
        let mut command = self.machine.squint(&args, fails);
        command.arg("--summary").arg(self.machine.folder.path().join("summary.json"));
        command.env("SQUINT_CONTROL__SOCKET", self.socket()).envs(set.iter().copied());
        let mut daemon = Daemon::start(command);
        daemon.until_records(1);
        daemon
    }

    fn status(&self) -> Value {
        tell(squint(["status", "--json", "--socket", &self.socket()])).ends(0).json()
    }

    fn degraded(&self) -> Vec<String> {
        self.status()["degraded"]
            .as_array()
            .unwrap()
            .iter()
            .map(|why| why.as_str().unwrap().to_owned())
            .collect()
    }

    /// The runtimes of both engines, as the status tells them.
    fn runtimes(&self) -> [String; 2] {
        let status = self.status();
        [0, 1].map(|at: usize| {
            status["engines"][at]["runtime"].as_str().unwrap_or_default().to_owned()
        })
    }

    fn failures(&self) -> usize {
        self.machine.files().iter().filter(|name| name.ends_with(".failed.json")).count()
    }
}

/// True if a device answered.
fn by_gpu(record: &Value) -> bool {
    record["engines"]
        .as_array()
        .is_some_and(|engines| engines.iter().any(|engine| !engine["device_us"].is_null()))
}

fn gpu_answers(daemon: &Daemon) -> bool {
    records(&daemon.out()).iter().any(by_gpu)
}

/// Stops it; every frame that came is a record or counted as dropped.
fn stopped(house: &House, daemon: Daemon) -> Told {
    let summary = house.machine.folder.path().join("summary.json");
    daemon.signal("TERM");
    let told = daemon.ends().ends(0);
    let mut frames: Vec<u64> =
        records(&told.out).iter().map(|record| record["frame"].as_u64().unwrap()).collect();
    // Not in order: a record is told as it is settled, and at a change of engines one may overtake
    // another.
    frames.sort_unstable();
    assert!(frames.is_sorted_by(|one, next| one < next), "none twice");
    let summary: Value = serde_json::from_str(&fs::read_to_string(summary).unwrap()).unwrap();
    let count = |of: &Value| of.as_u64().unwrap();
    let settled: u64 = ["answered", "reused", "abstained", "failed"]
        .iter()
        .map(|outcome| count(&summary[outcome]))
        .sum();
    let dropped: u64 = summary["dropped"].as_object().unwrap().values().map(count).sum();
    assert_eq!(
        (settled, count(&summary["frames"])),
        (frames.len() as u64, settled + dropped),
        "{summary:#}"
    );
    told
}

/// True unless it is gone, or would be if somebody asked how it ended.
fn is_alive(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("\nState:\tZ")
}

/// Processes below `parent` that run a build.
fn builds_below(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let words = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if fields.split_whitespace().nth(1) == Some(&parent.to_string())
            && words.contains("engines\0build")
        {
            found.push(id);
        }
    }
    found
}

#[test]
fn the_cpu_answers_while_plans_are_built_and_then_the_gpu_does_and_at_the_next_start_without_a_build()
 {
    for house in House::each() {
        let state = house.machine.folder.path().join("budget.json").display().to_string();
        let mut daemon = house.start("step:2=slow-1500", &[("SQUINT_BUDGET__STATE_FILE", &state)]);
        daemon.until_logged("TensorRT builds engine one for ");
        assert!(!records(&daemon.out()).is_empty(), "an answer came before");
        daemon.until("degraded", |_| {
            house.degraded().iter().any(|why| why == "degraded: 2 of 2 engines are being built")
        });
        let page = tell(squint(["status", "--socket", &house.socket()])).ends(0).out;
        assert!(page.contains("- degraded: ") && page.contains("by onnxruntime"), "{page}");
        assert!(house.status()["ready"].as_bool().unwrap());
        daemon.until("the GPU answers", gpu_answers);
        daemon.until("both on the GPU", |_| house.runtimes() == ["tensorrt", "tensorrt"]);
        daemon.until("nothing is degraded", |_| house.degraded().is_empty());
        assert_eq!(house.status()["reload"]["count"], 0, "nobody asked for a reload");
        let told = stopped(&house, daemon);
        let kept = fs::read_to_string(format!("{state}.tensorrt")).unwrap();
        assert!(
            kept.contains("\"runtime\":\"tensorrt\"") && !kept.contains("onnxruntime"),
            "{kept}"
        );
        let mut records = records(&told.out);
        records.sort_by_key(|record| record["frame"].as_u64());
        let first = records.iter().position(by_gpu).unwrap();
        assert!(first > 0, "the CPU first");
        assert!(records[first..].iter().all(by_gpu), "and nothing between");
        assert!(records.iter().all(|record| record["outcome"] == "answered"), "{}", told.out);
        for words in
            ["engine one is built, in ", "engine two is built, in ", "; by tensorrt: one, two"]
        {
            assert!(told.err.contains(words), "{words} in {}", told.err);
        }

        let mut daemon = house.start("build:1=1", &[]);
        daemon.until("the GPU answers", gpu_answers);
        let told = stopped(&house, daemon);
        assert!(!told.err.contains("TensorRT builds engine"), "{}", told.err);
        assert!(!by_gpu(&squint_program::records(&told.out)[0]), "the start waits for nothing");
    }
}

#[test]
fn what_cannot_be_built_is_said_and_remembered_and_the_cpu_goes_on() {
    let Some(house) = House::new() else { return };
    let mut daemon = house.start("step:2=1", &[]);
    daemon.until("both failed", |_| {
        house.degraded().iter().any(|why| why == "degraded: 2 of 2 could not be built (one, two)")
    });
    daemon.until_logged("engine two could not be built, the CPU answers: ");
    let answered = daemon.out().lines().count();
    daemon.until_records(answered + 5);
    let told = stopped(&house, daemon);
    assert_eq!(
        (told.err.matches("TensorRT builds engine one").count(), house.failures()),
        (1, 2),
        "{}",
        told.err
    );
    assert!(records(&told.out).iter().all(|record| !by_gpu(record)));

    let mut daemon = house.start("", &[]);
    daemon.until("the memory is told", |_| {
        house.degraded().iter().any(|why| why.contains("2 of 2 could not be built"))
    });
    let told = stopped(&house, daemon);
    assert!(!told.err.contains("TensorRT builds engine"), "{}", told.err);
}

#[test]
fn a_build_that_crashes_is_tried_once_more_then_remembered_and_the_daemon_goes_on() {
    let Some(house) = House::new() else { return };
    let mut daemon = house.start("step:2+=crash", &[]);
    daemon.until_logged(
        "engine one could not be built, the CPU answers: the build was ended by signal 11",
    );
    daemon.until("it is remembered", |_| house.failures() >= 1);
    let answered = daemon.out().lines().count();
    daemon.until_records(answered + 5);
    let told = stopped(&house, daemon);
    assert_eq!(told.err.matches("TensorRT builds engine one").count(), 2, "{}", told.err);
}

#[test]
fn a_build_that_hangs_is_told_to_whoever_asks_and_when_the_daemon_stops_it_leaves_no_child() {
    let Some(house) = House::new() else { return };
    let notify = house.machine.folder.path().join("notify");
    let systemd = UnixDatagram::bind(&notify).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let mut daemon = house.start("step:2=hang", &[("NOTIFY_SOCKET", notify.to_str().unwrap())]);
    let words = "degraded: 2 of 2 engines are being built";
    let mut message = [0; 4096];
    daemon.until("systemd hears it", |_| {
        let heard = systemd
            .recv(&mut message)
            .map(|length| String::from_utf8_lossy(&message[..length]).into_owned());
        heard.is_ok_and(|said| said.contains("STATUS=") && said.contains(words))
    });
    let mut asker = UnixStream::connect(house.socket()).unwrap();
    asker.set_read_timeout(Some(SOON)).unwrap();
    asker.write_all(b"GET /readyz HTTP/1.1\r\nHost: squint\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    asker.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("ok; {words}\n")),
        "{answer}"
    );
    let id = daemon.id();
    daemon.until("a child builds", |_| !builds_below(id).is_empty());
    let children = builds_below(id);
    stopped(&house, daemon);
    for child in children {
        // At the lowest priority it may need a moment to hear that its owner is gone.
        let begun = Instant::now();
        while is_alive(child) {
            assert!(begun.elapsed() < SOON, "{child} is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(house.failures(), 0, "a build that was cut off is no failure");
}

#[test]
fn a_plan_that_does_not_load_leaves_its_engine_on_the_cpu_with_the_reason() {
    let Some(house) = House::new() else { return };
    tell(house.machine.squint(&["engines", "build"], "")).ends(0);
    let mut daemon = house.start("deserialize:1=1", &[]);
    daemon.until_logged("; it runs on the CPU");
    daemon.until("the other one is on the GPU", |_| {
        let runtimes = house.runtimes();
        runtimes.contains(&"tensorrt".to_owned()) && runtimes.contains(&"onnxruntime".to_owned())
    });
    assert!(
        house.degraded().iter().any(|why| why.contains(" runs on the CPU: ")),
        "{:?}",
        house.degraded()
    );
    tell(squint(["reload", "--socket", &house.socket()])).ends(0);
    assert_eq!(house.runtimes(), ["tensorrt", "tensorrt"], "a reload tries once more");
    stopped(&house, daemon);
}

#[test]
fn an_engine_that_fails_on_the_gpu_again_and_again_goes_to_the_cpu() {
    let Some(house) = House::new() else { return };
    tell(house.machine.squint(&["engines", "build"], "")).ends(0);
    let mut daemon = house.start("enqueue:40+=1", &[]);
    daemon.until_logged("goes from TensorRT to the CPU: it failed 5 times in a row");
    daemon.until("the CPU answers", |daemon| {
        records(&daemon.out())
            .last()
            .is_some_and(|record| record["outcome"] == "answered" && !by_gpu(record))
    });
    stopped(&house, daemon);
}

#[test]
fn on_the_cpu_alone_nothing_of_nvidias_is_looked_for_and_with_tensorrt_alone_an_engine_without_a_plan_is_left_out()
 {
    let Some(house) = House::new() else { return };
    let mut daemon = house.start("step:2=hang", &[("SQUINT_ENGINES__RUNTIME", "cpu")]);
    daemon.until_records(20);
    assert!(house.degraded().is_empty());
    let told = stopped(&house, daemon);
    assert!(!told.err.contains("TensorRT") && house.machine.files().is_empty(), "{}", told.err);

    tell(house.machine.squint(&["engines", "build", "one"], "")).ends(0);
    let mut daemon = house.start("step:2=hang", &[("SQUINT_ENGINES__RUNTIME", "tensorrt")]);
    daemon.until("the GPU answers", gpu_answers);
    let told = stopped(&house, daemon);
    assert!(records(&told.out).iter().all(by_gpu), "{}", told.out);
    assert!(
        told.err.contains("no plan was built here yet; `squint engines build two` builds one"),
        "{}",
        told.err
    );
}

#[test]
fn on_a_machine_without_a_driver_a_run_says_nothing_of_it() {
    let Some(house) = House::new() else { return };
    let policy = house.machine.folder.path().join("one-first.policy.toml").display().to_string();
    let args = [
        "run",
        "--json",
        "--source",
        "test",
        "--policy",
        &policy,
        "--deadline-ms",
        "5000",
        "--engines",
    ];
    let mut command = squint(args);
    command.arg(house.machine.shelf.path()).env("SQUINT_ENGINES__PLANS", house.machine.plans());
    command.env("SQUINT_CONTROL__SOCKET", house.socket()).env("SQUINT_LOG_LEVEL", "debug");
    command.arg("--summary").arg(house.machine.folder.path().join("summary.json"));
    let mut daemon = Daemon::start(command);
    daemon.until_logged("no engines are built for a GPU: ");
    daemon.until_records(20);
    assert!(house.degraded().is_empty());
    let told = stopped(&house, daemon);
    let lines: Vec<_> =
        told.err.lines().filter(|line| line.contains("GPU") || line.contains("TensorRT")).collect();
    assert!(lines.iter().all(|line| line.to_lowercase().contains("debug")), "{lines:?}");
}

#[test]
fn a_reload_that_sends_everything_to_the_cpu_ends_the_build_that_is_under_way() {
    let Some(house) = House::new() else { return };
    let file = house.machine.folder.path().join("squint.toml");
    let config = |runtime: &str| {
        format!(
            "[engines]\nruntime = \"{runtime}\"\n[[camera]]\nname = \"camera\"\nsource = \"test\"\n"
        )
    };
    write(file.clone(), config("auto"));
    let mut daemon = house.start("step:2=hang", &[("SQUINT_CONFIG", file.to_str().unwrap())]);
    let id = daemon.id();
    daemon.until("a child builds", |_| !builds_below(id).is_empty());
    write(file, config("cpu"));
    tell(squint(["reload", "--socket", &house.socket()])).ends(0);
    daemon.until("it is gone", |_| builds_below(id).is_empty());
    daemon.until("nothing is degraded", |_| house.degraded().is_empty());
    let told = stopped(&house, daemon);
    assert!(!told.err.contains("could not be built") && house.failures() == 0, "{}", told.err);
}

#[test]
fn a_plan_of_a_model_that_is_rewritten_otherwise_by_now_is_explained_and_built_anew_while_the_cpu_answers()
 {
    let Some(house) = House::new() else { return };
    tell(house.machine.squint(&["engines", "build"], "")).ends(0);
    // TensorRT 11 is handed the model in half precision. One from before that was noted, one from a
    // version that is not this one.
    for (engine, before) in [("one", ""), ("two", "\"rewriting\": 4000000000,")] {
        let folder = house.machine.plans().join(engine);
        let mut files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let sidecar = files.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
        let text = fs::read_to_string(&sidecar).unwrap();
        let noted = format!("\"rewriting\": {},", squint::engine::tensorrt::model::REWRITING);
        assert!(text.contains(&noted), "{text}");
        write(sidecar, text.replace(&noted, before));
    }
    let mut daemon = house.start("", &[]);
    daemon.until_logged(
        "(built from the model as it is, or rewritten by a version that was not noted, now it is rewritten by version ",
    );
    daemon.until_logged(
        "(built from the model rewritten by version 4000000000, now it is rewritten by version ",
    );
    daemon.until("both on the GPU", |_| house.runtimes() == ["tensorrt", "tensorrt"]);
    let told = stopped(&house, daemon);
    assert!(!by_gpu(&records(&told.out)[0]), "the CPU first");
    assert_eq!(told.err.matches("TensorRT builds engine").count(), 2, "{}", told.err);
    let mut daemon = house.start("", &[]);
    daemon.until("both on the GPU", |_| house.runtimes() == ["tensorrt", "tensorrt"]);
    assert!(!stopped(&house, daemon).err.contains("TensorRT builds engine"), "once");
}

#[test]
fn a_plan_for_another_gpu_is_explained_and_built_anew_while_the_cpu_answers() {
    for house in House::each() {
        let mut build = house.machine.squint(&["engines", "build", "one"], "");
        build.env("FAKE_CUDA_CAPABILITY", "75");
        tell(build).ends(0);
        let mut daemon = house.start("", &[]);
        daemon
            .until_logged("(built for compute capability 7.5, this GPU has 8.6); degraded: 2 of 2 engines are being built, about ");
        daemon.until("the GPU answers", gpu_answers);
        let told = stopped(&house, daemon);
        assert!(!by_gpu(&records(&told.out)[0]), "the CPU first");
    }
}
