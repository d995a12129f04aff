//! CSI cameras whose driver hangs, fails or falls silent, through the whole daemon, with a stand-in
//! for NVIDIA's camera plugin (tests/standin) in which a test decides where that happens. Every
//! test ends with the law of frames.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::scene::{HEALTHY, Scene, number};
use crate::common::systemd::status;
use serde_json::Value;

/// A folder with the stand-in for NVIDIA's plugin, and the file that ends its hangs.
struct Standin {
    folder: tempfile::TempDir,
    release: PathBuf,
}

impl Standin {
    fn new() -> Self {
        let built = Path::new(env!("CARGO_BIN_EXE_squint"))
            .with_file_name("examples/libnvarguscamerasrc.so");
        assert!(
            built.is_file(),
            "{}: build it with `cargo build --example nvarguscamerasrc`; `cargo test` does",
            built.display()
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(built, folder.path().join("libnvarguscamerasrc.so")).unwrap();
        let release = folder.path().join("release");
        Self { folder, release }
    }

    /// A daemon with CSI cameras that misbehave as `told`, see the stand-in.
    fn scene(&self, cameras: &[(&str, &str, &str)], told: &str) -> Scene {
        let (folder, registry) =
            (self.folder.path().to_str().unwrap(), self.folder.path().join("registry"));
        let environment = [
            ("GST_PLUGIN_PATH", folder),
            ("GST_REGISTRY", registry.to_str().unwrap()),
            ("STANDIN_ARGUS", told),
            ("STANDIN_ARGUS_RELEASE", self.release.to_str().unwrap()),
        ];
        Scene::start(cameras, &environment)
    }

    /// The camera service is started again, so to speak: whoever hangs in it comes back.
    fn release(&self) {
        std::fs::write(&self.release, "").unwrap();
    }
}

const CSI: &str = "rate-hz = 10\nstall-after-ms = 800\nretry-cap-ms = 500";

/// Hangs while a frame is handed on, while one is waited for, and while it is closed after an error
/// and after a silence.
const HANGS: &str = "0:push@3 1:create@3 2:error@3 2:close@3 3:silent@3 3:close@3";
const HANGING: [(&str, &str, &str); 4] =
    [("0", "csi:0", CSI), ("1", "csi:1", CSI), ("2", "csi:2", CSI), ("3", "csi:3", CSI)];

#[test]
fn cameras_whose_driver_hangs_are_opened_again_until_too_many_hang_and_those_that_are_well_go_on() {
    let standin = Standin::new();
    let mut scene = standin
        .scene(&[&HANGING[..], &[("well", "csi:4", CSI), ("door", HEALTHY, "")]].concat(), HANGS);
    // Each is lost, its driver does not let go of it, and it is opened again and delivers.
    for (camera, ..) in HANGING {
        scene.lost(camera, 1);
        // One opening gives three at most.
        scene.until(camera, "delivers again", |camera| number(&camera["offered"]) > 3);
    }
    scene.assert_fed();

    // Eight hang, and those that were being opened meanwhile: no camera is opened any more, but a
    // restart would cost those that are well.
    scene.until_logged("pipelines hang in the drivers of their cameras");
    scene.until_logged("the others go on");
    scene.until_logged("8 earlier pipelines hang in their driver; restart it");
    assert_eq!(status(&scene.systemd.control())["healthy"], Value::Bool(false));
    let from = scene.systemd.heard.len();
    scene.systemd.until(&mut scene.daemon, "WATCHDOG=1", from);
    scene.more("well", 5);
    scene.more("door", 20);
    assert_eq!((scene.losses("well"), scene.losses("door")), (0, 0));

    // Should somebody restart the driver, all is well again.
    standin.release();
    scene.until_logged("all threads go on; the watchdog is fed again");
    for (camera, ..) in &HANGING[..3] {
        scene.more(camera, 3);
    }
    let told = scene.ends().ends(0);
    assert!(
        told.err.contains("TIMEOUT (Argus Error Status); only one program can have the camera"),
        "{}",
        told.err
    );
    assert!(
        told.err.contains("the driver does not let go within 3s; its pipeline is left to itself"),
        "{}",
        told.err
    );
    assert!(!told.err.contains("fed no more"), "{}", told.err);
}

#[test]
fn the_watchdog_bites_once_too_many_drivers_hang_and_no_camera_delivers() {
    let standin = Standin::new();
    let mut scene = standin.scene(&HANGING, HANGS);
    scene.until_logged("the watchdog is fed no more");
    let hung = Instant::now();
    let from = scene.systemd.heard.len();
    scene.systemd.until(&mut scene.daemon, "pipelines hang in the drivers of their cameras", from);
    std::thread::sleep(Duration::from_millis(3500)); // the watchdog's periods are what is tested: it would be fed every 1.5 s
    assert_eq!(scene.systemd.fed(hung + Duration::from_millis(100)), 0, "not once");
    assert_eq!(status(&scene.systemd.control())["healthy"], Value::Bool(false));
    let from = scene.systemd.heard.len();
    standin.release();
    scene.until_logged("all threads go on; the watchdog is fed again");
    scene.systemd.until(&mut scene.daemon, "WATCHDOG=1", from);
    scene.ends().ends(0);
}

#[test]
fn a_driver_that_hangs_while_it_is_made_or_opens_is_given_up_after_ten_seconds_and_keeps_neither_the_others_nor_the_end()
 {
    let standin = Standin::new();
    let hang = ["csi:0", "csi:1", "csi:2", "csi:3"]
        .map(|source| (source.strip_prefix("csi:").unwrap(), source, CSI));
    let mut scene = standin
        .scene(&[&hang[..], &[("door", HEALTHY, "")]].concat(), "0:open 1:open 2:make 3:make");
    // Another one is told to stop in the middle of it, with a second camera that hangs when it is
    // closed.
    let mut stopped = standin.scene(
        &[("0", "csi:0", CSI), ("1", "csi:1", CSI), ("door", HEALTHY, "")],
        "0:open 1:close",
    );
    stopped.more("1", 2);
    stopped.more("door", 5);
    let told = stopped.ends();
    assert_ne!(told.code, Some(0), "it tells that something was left behind");
    assert!(
        told.err.contains("squint-0` did not finish within 5 s and was left behind"),
        "{}",
        told.err
    );
    assert!(told.err.contains("csi:1: the driver does not let go within 3s"), "{}", told.err);

    for (camera, ..) in hang {
        scene.lost(camera, 1);
    }
    // Each that hangs counts once: there are four.
    for (camera, ..) in hang {
        scene.until(camera, "is being opened again", |camera| camera["state"] == "opening");
        assert_eq!(scene.losses(camera), 1, "{}", scene.daemon.err());
    }
    scene.until_logged("the driver has not answered for 10 s; CSI cameras recover by: systemctl restart nvargus-daemon");
    scene.systemd.until(&mut scene.daemon, "READY=1", 0);
    assert!(scene.systemd.said("STATUS=starting: opening 0, 1, 2, 3"), "{:?}", scene.systemd.heard);
    scene.more("door", 20);
    standin.release();
    for (camera, ..) in hang {
        scene.more(camera, 3);
    }
    scene.assert_fed();
    scene.ends().ends(0);
}
