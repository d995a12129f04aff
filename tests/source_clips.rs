//! Clips: read to the last frame when asked to, paced by the clock otherwise, never converted without need.
//!
//! The clips are made by the test itself; without an H.264 encoder the tests say so and pass.

#[path = "common/sources.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::*;
use squint::config::Pace;
use squint::frame::PixelFormat;
use squint::source::{OpenRequest, SourceError, open};

fn clip(frames: u32, size: (u32, u32)) -> Option<(tempfile::TempDir, String)> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a clip ! with \"odd\" name.mp4");
    make_clip(&path, frames, size).then(|| (dir, path.to_str().expect("UTF-8").to_owned()))
}

#[test]
fn every_frame_of_a_clip_arrives_once_in_order_and_unconverted() {
    let Some((_dir, path)) = clip(90, (320, 240)) else { return };
    let mut source = opened_fast(&path);
    let mut numbers = Vec::new();
    while let Some(frame) = source.next(SOON).unwrap() {
        numbers.push(frame.sequence);
        assert!(matches!(frame.layout().format, PixelFormat::I420 | PixelFormat::Nv12), "H.264 needs no conversion");
        assert!(frame.layout().color.limited_range && !frame.layout().color.bt709);
        assert!(frame.captured.elapsed() < SOON);
        if numbers.len() % 10 == 0 {
            std::thread::sleep(Duration::from_millis(30)); // a slow reader loses nothing either
        }
    }
    assert_eq!(numbers, (0..90).collect::<Vec<_>>());
    assert_eq!(source.superseded(), 0);
    assert!(source.next(SOON).unwrap().is_none(), "and it stays at its end");
}

#[test]
fn a_clip_in_real_time_takes_its_time_and_drops_what_nobody_takes() {
    let Some((_dir, path)) = clip(30, (160, 120)) else { return };
    let started = Instant::now();
    let mut source = opened(&path);
    let mut taken = 0;
    while source.next(SOON).unwrap().is_some() {
        taken += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(started.elapsed() >= Duration::from_millis(900), "30 frames at 30 a second took {:?}", started.elapsed());
    assert_eq!(taken + source.superseded(), 30);
    assert!(source.superseded() > 10);
}

#[test]
fn a_size_whose_rows_decoders_pad_is_read_right() {
    let Some((_dir, path)) = clip(3, (226, 130)) else { return };
    let mut source = opened_fast(&path);
    let frame = frame(source.as_mut());
    let layout = *frame.layout();
    eprintln!("{layout:?}");
    assert_eq!((layout.width, layout.height), (226, 130));
    // pattern=ball: a white ball on black, so the far corner is black in limited range.
    let last_row = &frame.plane(0)[129 * layout.planes[0].stride..][..226];
    assert!(last_row.iter().all(|&luma| luma < 40), "no padding or chroma shows up in the last row");
}

#[test]
fn stopping_and_closing_a_clip_that_nobody_reads_do_not_hang() {
    let Some((_dir, path)) = clip(60, (160, 120)) else { return };
    let mut source = opened_fast(&path);
    frame(source.as_mut());
    source.stopper().stop();
    assert!(source.next(SOON).unwrap().is_none());
    let started = Instant::now();
    drop(source);
    drop(opened_fast(&path));
    drop(open(&OpenRequest { pace: Pace::Realtime, ..request(&path) }).unwrap());
    assert!(started.elapsed() < Duration::from_secs(6), "took {:?}", started.elapsed());
}

#[test]
fn what_is_no_clip_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("text.mp4"), "this is no video, only words that go on and on\n".repeat(200)).unwrap();
    std::fs::write(at("empty.mp4"), "").unwrap();
    for (name, says) in [("absent.mp4", "cannot be opened: No such file"), ("text.mp4", "whole video file"), ("empty.mp4", "empty")]
    {
        let told = refusal(&at(name));
        eprintln!("{told}");
        assert!(told.contains(says) && told.contains(name), "{told}");
    }
    assert!(!Path::new(&at("absent.mp4")).exists());
}

#[test]
fn a_clip_that_breaks_off_in_the_middle_fails_and_says_what_to_ask() {
    let Some((_dir, path)) = clip(60, (160, 120)) else { return };
    let whole = std::fs::read(&path).unwrap();
    for share in [2, 3, 20] {
        std::fs::write(&path, &whole[..whole.len() / share]).unwrap(); // the index of an mp4 stands at its end
        let mut source = opened_fast(&path);
        // GStreamer tells at once or, once in a while, never.
        let told = source.next(Duration::from_secs(1)).unwrap_err();
        assert!(matches!(told, SourceError::Failed { .. }) && told.to_string().contains("whole video file"), "{told}");
        assert_eq!(source.next(SOON).unwrap_err(), told);
    }
}
