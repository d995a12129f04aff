//! A network camera that answers, dies, falls silent, comes back, and asks for a password.
//!
//! The camera is `common/rtsp_camera.py`, on the loopback. Where Python's gi or GstRtspServer are absent the tests say so and
//! pass (Debian: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly gstreamer1.0-libav).

#[path = "common/sources.rs"]
mod common;

use std::time::{Duration, Instant};

use common::*;
use squint::source::{Backoff, FrameSource, SourceError, open};

fn watch(source: &mut dyn FrameSource, frames: usize) {
    for _ in 0..frames {
        let frame = frame(source);
        assert_eq!((frame.layout().width, frame.layout().height), (320, 240));
        assert!(frame.layout().format.is_yuv());
    }
}

#[test]
fn a_camera_in_health_is_fresh_and_one_that_loses_its_power_has_ended() {
    let Some(camera) = Camera::start("0", &[]) else { return };
    let mut source = opened(&camera.url(""));
    watch(source.as_mut(), 10);
    let mut ages: Vec<_> = (0..15).map(|_| frame(source.as_mut()).captured.elapsed()).collect();
    ages.sort();
    eprintln!("age of a frame, median {:?}, most {:?}", ages[7], ages[14]);
    assert!(ages[7] < Duration::from_millis(500));
    camera.signal("KILL");
    let end = drain(source.as_mut()).1.unwrap_err();
    eprintln!("{end}");
    assert!(matches!(end, SourceError::Ended { .. } | SourceError::Failed { .. }), "{end:?}");
}

#[test]
fn a_hole_in_the_network_is_a_stall_and_closing_does_not_hang_in_it() {
    let Some(camera) = Camera::start("0", &[]) else { return };
    let mut source = opened(&camera.url(""));
    watch(source.as_mut(), 3);
    camera.signal("STOP");
    let silence = loop {
        match source.next(Duration::from_millis(400)) {
            Ok(frame) => assert!(frame.is_some()),
            Err(silence) => break silence,
        }
    };
    assert!(matches!(silence, SourceError::Stalled { .. }), "{silence:?}");
    camera.signal("CONT");
    watch(source.as_mut(), 3); // a short hole heals by itself
    camera.signal("STOP");
    let started = Instant::now();
    drop(source);
    assert!(started.elapsed() < Duration::from_secs(4), "closing took {:?}", started.elapsed());
    camera.signal("CONT");
}

#[test]
fn a_camera_that_comes_back_can_be_opened_again() {
    let Some(camera) = Camera::start("0", &[]) else { return };
    let (url, port) = (camera.url(""), camera.port.clone());
    watch(opened(&url).as_mut(), 3);
    drop(camera);
    let refused = opened(&url).next(SOON).unwrap_err().to_string();
    eprintln!("{refused}");
    assert!(refused.contains("is the camera on"), "{refused}");
    let mut backoff = Backoff::default();
    let mut camera = None;
    eventually("a new stream", || {
        // The old port may be held for a moment by connections that are being closed.
        camera = camera.take().or_else(|| Camera::start(&port, &[]));
        let came = open(&request(&url)).and_then(|mut source| source.next(SOON)).is_ok();
        if !came {
            std::thread::sleep(backoff.pause());
        }
        came
    });
}

#[test]
fn a_password_works_with_any_letters_in_it_and_is_never_told() {
    let password = "p@ss:w/rd%41";
    let Some(camera) = Camera::start("0", &["operator", password]) else { return };
    watch(opened(&camera.url("operator:p@ss:w%2Frd%2541@")).as_mut(), 3);
    for wrong in ["operator:se@cr:et%zz@", "operator:se%40cret@", ""] {
        let told = refusal(&camera.url(wrong));
        eprintln!("{told}");
        assert!(!told.contains("cret") && !told.contains("cr:et") && told.contains("/cam"), "{told}");
        assert!(told.contains("user name and password"), "{told}");
    }
}
