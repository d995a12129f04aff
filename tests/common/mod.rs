//! What tests share. Each program of tests includes this folder once and uses its own part.

#![allow(dead_code, unreachable_pub, reason = "each program of tests uses its own part")]
#![allow(clippy::unwrap_used)] // clippy.toml frees only the test functions themselves

use std::fmt::Display;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

pub mod fake_rtsp;
pub mod fakes;
pub mod faults;
pub mod gpu_machine;
pub mod nvidia;
pub mod onnx_model;
pub mod page;
pub mod profiles;
pub mod program;
pub mod quantised_model;
pub mod reports;
pub mod scene;
pub mod schema;
pub mod shelf;
pub mod shim_bench;
pub mod sources;
pub mod steering;
pub mod systemd;
pub mod vendor;

/// What even a machine that is to run all tests may lack, and why. `SQUINT_REQUIRE=1` does not ask
/// for it, its name does.
const RARE: [(&str, &str); 9] = [
    ("photos", "the labelled photos are research data and no part of the repository"),
    ("samples", "so are the lines of tegrastats from real boards"),
    ("prometheus", "Debian's package of that name brings a service along"),
    (
        "rtsp-server",
        "the camera of common/rtsp_camera.py needs Python's gi, GstRtspServer and an encoder of H.264",
    ),
    ("multicast", "a network without a route for it is no fault"),
    (
        "other-users",
        "where the checkout lies in a folder that only its owner may enter, nobody else can run what was built",
    ),
    (
        "tensorrt-8",
        "NVIDIA publishes no headers of TensorRT 8 under a licence that lets scripts/deps fetch them",
    ),
    ("nvidia-libraries", "`make test-tensorrt` fetches them, 190 MB"),
    ("no-driver", "some tests tell what happens without NVIDIA's driver"),
];

/// Whether `SQUINT_REQUIRE`, a list with commas, asks for this.
fn required(need: &str) -> bool {
    std::env::var("SQUINT_REQUIRE").is_ok_and(|list| list.split(',').any(|one| one.trim() == need))
}

/// Says that the test, or the rest of it, is left out, for want of something that `make deps`
/// brings or that any Linux has. Fails where `SQUINT_REQUIRE` holds `1`, as in .ci/run: there a
/// test that is left out would be a promise that nobody keeps.
pub fn skip(reason: impl Display) {
    assert!(!required("1"), "SQUINT_REQUIRE=1 wants every test to run: {reason}");
    left_out(&reason);
}

/// The same for one of [`RARE`], which must be asked for by name: `SQUINT_REQUIRE=1,prometheus`.
pub fn skip_without(need: &str, reason: impl Display) {
    assert!(RARE.iter().any(|(name, _)| *name == need), "{need} is not in the list");
    assert!(!required(need), "SQUINT_REQUIRE wants {need}: {reason}");
    left_out(&format!("{reason} ({need})"));
}

/// Past the harness, which keeps what a test prints if it passes.
fn left_out(reason: &dyn Display) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {reason}", thread.name().unwrap_or("a test"));
}

/// Longer than anything takes on a busy machine: what has not come about by then hangs. No test
/// asks for less, since how long things take here is nobody's promise; what is promised of time is
/// measured in benches/ and by `make bench`.
pub const SOON: Duration = Duration::from_secs(60);

/// Asks again and again until `done`, at most [`SOON`].
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// This program again, as a process of its own that runs `test` alone; `module` is the
/// `module_path!()` of that test.
pub fn again(module: &str, test: &str) -> Command {
    let name = module
        .split_once("::")
        .map_or_else(|| test.to_owned(), |(_, module)| format!("{module}::{test}"));
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args(["--exact", &name, "--nocapture"]);
    command
}
