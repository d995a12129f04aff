//! The built program among cameras that misbehave, with somebody who listens to what it tells
//! systemd and asks how its cameras are.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::onnx_model::Model;
use super::program::{Daemon, Told, fixed_policy, squint};
use super::shelf::Shelf;
use super::systemd::{Systemd, status};

/// A healthy camera; small, so that a busy machine keeps up with it.
pub const HEALTHY: &str =
    "pipeline:videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48,framerate=20/1";
/// How patient systemd is. The daemon takes a thread for hung, and too many stuck drivers for a
/// trouble, after half of it.
pub const WATCHDOG: Duration = Duration::from_secs(6);

/// A daemon among its cameras.
pub struct Scene {
    /// Hears what the daemon says of itself.
    pub systemd: Systemd,
    shelf: Shelf,
    /// The built program.
    pub daemon: Daemon,
}

impl Scene {
    /// `cameras`: name, source, further lines of its table.
    pub fn start(cameras: &[(&str, &str, &str)], environment: &[(&str, &str)]) -> Self {
        let (systemd, shelf) = (Systemd::new(), Shelf::new());
        shelf.network("small", &Model::brightest(8, 8));
        let policy = fixed_policy(shelf.path(), "small");
        let mut text = format!(
            "policy = \"{}\"\n[engines]\nfolder = \"{}\"\n[control]\nsocket = \"{}\"\n",
            policy.display(),
            shelf.path().display(),
            systemd.control().display()
        );
        for (name, source, more) in cameras {
            text.push_str(&format!(
                "[[camera]]\nname = \"{name}\"\nsource = \"{source}\"\n{more}\n"
            ));
        }
        let (config, summary) = (systemd.config(&text), systemd.folder.path().join("summary.json"));
        let mut command = squint([
            "run",
            "--json",
            "--config",
            config.to_str().unwrap(),
            "--summary",
            summary.to_str().unwrap(),
        ]);
        command.envs(environment.iter().copied());
        let daemon = systemd.watches(command, WATCHDOG);
        Self { systemd, shelf, daemon }
    }

    /// Waits until `done`, and hears what systemd is told meanwhile: its queue is short.
    fn wait(&mut self, what: &str, mut done: impl FnMut(&Daemon) -> bool) {
        let systemd = &mut self.systemd;
        self.daemon.until(what, |daemon| {
            systemd.listen();
            done(daemon)
        });
    }

    /// Waits for words in the log.
    pub fn until_logged(&mut self, words: &str) {
        self.wait(words, |daemon| daemon.err().contains(words));
    }

    /// Waits until `done`, which sees how the camera is.
    pub fn until(&mut self, camera: &str, what: &str, mut done: impl FnMut(&Value) -> bool) {
        let socket = self.systemd.control();
        // Before it listens nobody can be asked.
        self.wait(&format!("{camera}: {what}"), |_| socket.exists() && done(&of(&socket, camera)));
    }

    /// Waits until the camera has been lost so often.
    pub fn lost(&mut self, camera: &str, times: u64) {
        self.until(camera, &format!("lost {times} times"), |camera| {
            number(&camera["losses"]) >= times
        });
    }

    /// How often the camera has been lost.
    pub fn losses(&self, camera: &str) -> u64 {
        number(&of(&self.systemd.control(), camera)["losses"])
    }

    /// Waits for `count` more frames of this camera, answered or not; how long that took.
    pub fn more(&mut self, camera: &str, count: u64) -> Duration {
        let (begun, mut before) = (Instant::now(), None);
        self.until(camera, &format!("{count} more frames"), |camera| {
            let offered = number(&camera["offered"]);
            offered >= *before.get_or_insert(offered) + count
        });
        begun.elapsed()
    }

    /// Waits until the camera, which has just come back, is found again: by the first try that is
    /// made after its return, and the pause before a try is never longer than retry-cap-ms. How
    /// long that took.
    pub fn found_again(&mut self, camera: &str) -> Duration {
        let before = self.losses(camera);
        let took = self.more(camera, 1);
        // One try may have been under way when it came back.
        assert!(
            self.losses(camera) <= before + 1,
            "found by the first try after its return\n{}",
            self.daemon.err()
        );
        took
    }

    /// systemd knows that it is ready and that there is progress, and has heard of no trouble.
    pub fn assert_fed(&mut self) {
        self.systemd.listen();
        let heard = |what| self.systemd.said(what);
        assert!(
            heard("READY=1") && heard("WATCHDOG=1") && !heard("no progress"),
            "{:?}",
            self.systemd.heard
        );
    }

    /// Told to stop, it ends, and the law holds for every camera. What it said.
    pub fn ends(self) -> Told {
        self.daemon.signal("TERM");
        let told = self.daemon.ends();
        let summary = std::fs::read_to_string(self.systemd.folder.path().join("summary.json"));
        let summary: Value =
            serde_json::from_str(&summary.unwrap_or_else(|error| panic!("{error}\n{}", told.err)))
                .unwrap();
        let records = told.records();
        for (name, part) in summary["cameras"].as_object().unwrap() {
            law(
                name,
                part,
                &records.iter().filter(|record| record["camera"] == **name).collect::<Vec<_>>(),
            );
        }
        drop(self.shelf);
        told
    }
}

/// A count.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// The law of frames: each has an outcome, of which there is one record, or is in one counter of
/// drops.
fn law(name: &str, part: &Value, records: &[&Value]) {
    let told: u64 = ["answered", "reused", "abstained", "failed"]
        .iter()
        .map(|outcome| number(&part[outcome]))
        .sum();
    let dropped: u64 = part["dropped"].as_object().unwrap().values().map(number).sum();
    assert_eq!(number(&part["frames"]), told + dropped, "{name}: {part:#}");
    assert_eq!(told, records.len() as u64, "{name}: a record for each outcome, {part:#}");
    let mut numbers: Vec<_> = records.iter().map(|record| number(&record["frame"])).collect();
    // A frame that nobody has time for is told of before the one that is being looked at.
    numbers.sort_unstable();
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "{name}: no number twice: {numbers:?}"
    );
    // Whoever gives the numbers is not who counts: no frame between two records is missing in the
    // count.
    let given = numbers.last().map_or(0, |last| last + 1);
    assert!(given <= number(&part["frames"]), "{name}: {given} numbers given, {part:#}");
}

fn of(control: &Path, camera: &str) -> Value {
    let cameras = &status(control)["cameras"];
    cameras
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == camera)
        .unwrap_or_else(|| panic!("{cameras}"))
        .clone()
}
