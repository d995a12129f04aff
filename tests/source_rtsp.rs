//! A network camera that answers, dies, falls silent, comes back, and asks for a password.
//!
//! The camera is `common/rtsp_camera.py`, on the loopback. Where Python's gi or GstRtspServer are absent the tests say so and
//! pass (Debian: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly gstreamer1.0-libav).

#[path = "common/sources.rs"]
mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
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
            std::thread::sleep(backoff.pause(Duration::from_secs(1)));
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

#[test]
fn frames_of_a_stream_joined_between_two_key_frames_begin_with_the_key_frame_each_time() {
    for what in ["h264", "h265"] {
        let Some(camera) = Camera::warm(what, "1.5") else { continue };
        let url = camera.url("");
        let mut first = opened(&url);
        let begin = frame(first.as_mut());
        // Four seconds lie between two key frames, of which it has sent one or two.
        let left_out = first.unreadable();
        assert!(left_out > 5 && begin.sequence >= left_out, "{what}: {left_out} left out, frame {}", begin.sequence);
        let told = first.notice().expect("a notice");
        assert!(!told.is_fault() && told.to_string().contains("before the first key frame"), "{told}");
        watch(first.as_mut(), 20);
        assert_eq!(first.unreadable(), left_out, "{what}: none afterwards");
        // Opened again: soon after the key frame that the first one waited for.
        let mut again = opened(&url);
        let begin = frame(again.as_mut());
        assert!(again.unreadable() > 5 && begin.sequence > 5, "{what}: {} left out", again.unreadable());
    }
}

#[test]
fn a_stream_with_only_sound_says_that_it_has_no_video() {
    let Some(camera) = Camera::warm("sound", "0.1") else { return };
    let told = refusal(&camera.url(""));
    assert!(told.contains("there is no video in it, only audio (PCMU)"), "{told}");
}

/// Stands before a camera, and hands on what it says through `hand`, which reads from the camera and writes to who asks.
fn relayed(camera: &Camera, hand: fn(TcpStream, TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, camera) = (format!("rtsp://{}/cam", listener.local_addr().unwrap()), format!("127.0.0.1:{}", camera.port));
    std::thread::spawn(move || {
        for caller in listener.incoming().map_while(Result::ok) {
            let Ok(called) = TcpStream::connect(&camera) else { return };
            let (mut asks, mut hears) = (caller.try_clone().unwrap(), called.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut asks, &mut hears));
            std::thread::spawn(move || hand(called, caller));
        }
    });
    url
}

#[test]
fn a_camera_that_answers_late_is_waited_for() {
    let Some(camera) = Camera::start("0", &[]) else { return };
    // Of the first answers each comes a second later.
    let url = relayed(&camera, |mut called, mut caller| {
        let (mut bytes, mut answers) = (vec![0; 1 << 16], 0);
        while let Ok(length @ 1..) = called.read(&mut bytes) {
            answers += 1;
            if answers <= 3 {
                std::thread::sleep(Duration::from_secs(1));
            }
            if caller.write_all(&bytes[..length]).is_err() {
                return;
            }
        }
    });
    let mut source = opened(&url);
    let patience = source.first_patience(Duration::from_secs(2));
    let first = loop {
        match source.next(patience) {
            Err(SourceError::LeftOut { .. }) => {}
            other => break other,
        }
    };
    assert!(first.unwrap().is_some());
}

#[test]
fn what_comes_over_tcp_in_bursts_is_late_and_whole() {
    let Some(camera) = Camera::start("0", &[]) else { return };
    // Half a second's data at a time, once it plays.
    let url = relayed(&camera, |mut called, mut caller| {
        let (mut bytes, mut held, mut since) = (vec![0; 1 << 16], Vec::new(), Instant::now());
        while let Ok(length @ 1..) = called.read(&mut bytes) {
            held.extend_from_slice(&bytes[..length]);
            let plays = bytes[0] == b'$';
            if plays && since.elapsed() < Duration::from_millis(500) {
                continue;
            }
            if caller.write_all(&held).is_err() {
                return;
            }
            held.clear();
            since = Instant::now();
        }
    });
    let mut source = opened(&url);
    frame(source.as_mut());
    let before = source.unreadable();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        frame(source.as_mut());
    }
    assert_eq!(source.unreadable(), before, "nothing that later pictures need was thrown away");
}
