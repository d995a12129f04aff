//! Opening and closing again and again leaves no descriptor and no thread behind. Alone in its
//! file: it counts those of the whole process.

mod common;

use std::time::Duration;

use crate::common::sources::*;

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).expect("Linux").count()
}

fn held() -> (usize, usize) {
    (entries("/proc/self/fd"), entries("/proc/self/task"))
}

#[test]
fn fifty_openings_leave_descriptors_and_threads_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let clip = make_clip(&path, 10, (64, 48));
    let camera = Camera::start("0", &[]);
    let round = |n: u32| {
        if let Some(camera) = camera.as_ref().filter(|_| n.is_multiple_of(5)) {
            frame(opened(&camera.url("")).as_mut());
        }
        let mut live = opened(
            "pipeline:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=100/1",
        );
        frame(live.as_mut());
        if clip {
            let mut file = opened_fast(path.to_str().unwrap());
            frame(file.as_mut());
        }
        let mut failing = opened("pipeline:videotestsrc ! identity error-after=2");
        assert!(drain(failing.as_mut()).1.is_err());
        assert!(!refusal("/dev/video9").is_empty());
        if n.is_multiple_of(10) {
            assert!(
                opened("pipeline:videotestsrc ! valve drop=true")
                    .next(Duration::from_millis(10))
                    .is_err()
            );
        }
    };
    (0..5).for_each(round);
    let before = held();
    (0..50).for_each(round);
    let mut after = held();
    eventually("flat numbers", || {
        after = held();
        // GLib keeps a few idle threads in its pool and ends them in its own time.
        after.0 <= before.0 + 2 && after.1 <= before.1 + 2
    });
    eprintln!("descriptors and threads before {before:?}, after {after:?}");
}
