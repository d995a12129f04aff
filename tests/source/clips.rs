//! Clips: read to the last frame when asked to, paced by the clock otherwise, never converted
//! without need.
//!
//! The clips are made by the test itself; without an H.264 encoder the tests say so and pass.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::sources::*;
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
        assert!(
            matches!(frame.layout().format, PixelFormat::I420 | PixelFormat::Nv12),
            "H.264 needs no conversion"
        );
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
    assert!(
        started.elapsed() >= Duration::from_millis(900),
        "30 frames at 30 a second took {:?}",
        started.elapsed()
    );
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
    assert!(
        last_row.iter().all(|&luma| luma < 40),
        "no padding or chroma shows up in the last row"
    );
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
    assert!(started.elapsed() < SOON, "took {:?}", started.elapsed());
}

#[test]
fn what_is_no_clip_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("text.mp4"), "this is no video, only words that go on and on\n".repeat(200))
        .unwrap();
    std::fs::write(at("short.mp4"), "words").unwrap();
    std::fs::write(at("empty.mp4"), "").unwrap();
    record(
        "audiotestsrc num-buffers=20 ! audio/x-raw,rate=8000,channels=1 ! wavenc",
        Path::new(&at("sound.mp4")),
    );
    let line = |at: u32| {
        format!(
            "{at}\n00:00:{at:02},000 --> 00:00:{at:02},900\nline {at} of a film without pictures\n\n"
        )
    };
    std::fs::write(at("subtitles.mp4"), (1..30).map(line).collect::<String>()).unwrap();
    for (name, says) in [
        ("absent.mp4", "cannot be opened: No such file"),
        ("text.mp4", "whole video file"),
        ("short.mp4", "whole video file"),
        ("empty.mp4", "empty"),
        ("sound.mp4", "there is no video in it, only audio"),
        ("subtitles.mp4", "there is no video in it, only text"),
    ] {
        let told = refusal(&at(name));
        eprintln!("{told}");
        assert!(told.contains(says) && told.contains(name), "{told}");
    }
    assert!(!Path::new(&at("absent.mp4")).exists());
}

#[test]
fn a_film_has_no_limit_between_its_pictures_and_a_stop_in_between_is_heeded() {
    let Some((_dir, path)) = film_of("slow.mp4", "num-buffers=4", "1/1") else { return };
    let short = Duration::from_millis(200);
    let mut source = open(&OpenRequest { open_timeout: short, ..request(&path) }).unwrap();
    assert_eq!(source.longest_silence(short), Duration::MAX, "for whoever watches over the thread");
    for expected in 0..4 {
        assert_eq!(
            source.next(short).unwrap().unwrap().sequence,
            expected,
            "a second is its own wish"
        );
    }
    assert!(source.next(short).unwrap().is_none());

    let Some((_dir, path)) = film_of("slower.mp4", "num-buffers=2", "1/60") else { return };
    let mut source = opened(&path);
    frame(source.as_mut());
    let stopper = source.stopper();
    let stops = std::thread::spawn(move || {
        std::thread::sleep(short);
        stopper.stop();
    });
    assert!(source.next(short).unwrap().is_none(), "told to stop in a minute without a picture");
    stops.join().unwrap();
}

/// A film of what videotestsrc makes with these properties at this rate.
fn film_of(name: &str, properties: &str, rate: &str) -> Option<(tempfile::TempDir, String)> {
    if !have("film", &["x264enc", "h264parse", "mp4mux", "qtdemux", "avdec_h264"]) {
        return None;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(name);
    let raw = format!("video/x-raw,format=I420,width=160,height=96,framerate={rate}");
    let coded = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse ! mp4mux faststart=true";
    record(&format!("videotestsrc {properties} ! {raw} ! {coded}"), &path);
    let path = path.to_str().expect("UTF-8").to_owned();
    Some((dir, path))
}

/// An elementary stream of H.264 without the slices of its first key frame; what its decoder must
/// know stays.
fn without_first_key_frame(stream: &[u8]) -> Vec<u8> {
    let mut starts: Vec<_> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, three)| *three == [0, 0, 1])
        .map(|(at, _)| at)
        .collect();
    starts.push(stream.len());
    let (mut rest, mut first) = (Vec::new(), true);
    for unit in starts.windows(2).map(|ends| &stream[ends[0]..ends[1]]) {
        // Table 7-1 of ITU-T H.264: 5 is a slice of a key frame, 1 of another picture.
        let kind = unit[3] & 31;
        first &= kind != 1;
        if !(first && kind == 5) {
            rest.extend_from_slice(unit);
        }
    }
    rest
}

/// What videotestsrc makes of these, as an elementary stream of H.264.
fn elementary(pictures: u32, options: &str) -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    if !have("elementary stream", &["x264enc", "h264parse", "avdec_h264"]) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.h264");
    let raw = "video/x-raw,format=I420,width=320,height=192,framerate=30/1";
    let coded = format!(
        "x264enc tune=zerolatency speed-preset=ultrafast {options} ! video/x-h264,stream-format=byte-stream"
    );
    record(
        &format!(
            "videotestsrc num-buffers={pictures} pattern=smpte horizontal-speed=7 ! {raw} ! {coded}"
        ),
        &path,
    );
    Some((dir, path))
}

#[test]
fn a_film_that_begins_between_two_key_frames_begins_with_the_key_frame_and_counts_the_rest() {
    for (options, told) in [
        ("key-int-max=30", "29 pictures before the first key frame"),
        ("key-int-max=30 intra-refresh=true", "that the decoder calls corrupt"),
    ] {
        let Some((_dir, path)) = elementary(120, options) else { return };
        let filmed: HashSet<_> =
            drain(opened_fast(path.to_str().unwrap()).as_mut()).0.iter().map(luma).collect();
        assert_eq!(filmed.len(), 120, "no two pictures are alike");
        std::fs::write(&path, without_first_key_frame(&std::fs::read(&path).unwrap())).unwrap();
        let mut source = opened_fast(path.to_str().unwrap());
        let (frames, end) = drain(source.as_mut());
        assert_eq!(end, Ok(()));
        let left_out = source.unreadable();
        assert_eq!(
            (frames.len() as u64 + left_out, left_out >= 29),
            (119, true),
            "{options}: each has its place, {left_out} left out"
        );
        assert!(
            frames.len() > 30 && frames.iter().all(|frame| filmed.contains(&luma(frame))),
            "{options}: each is one that was filmed"
        );
        assert!(
            frames[0].sequence >= 29
                && frames.windows(2).all(|pair| pair[0].sequence < pair[1].sequence)
        );
        let notices: Vec<_> =
            std::iter::from_fn(|| source.notice()).map(|notice| notice.to_string()).collect();
        assert!(notices.iter().any(|notice| notice.contains(told)), "{options}: {notices:?}");
    }
}

#[test]
fn a_film_without_a_single_key_frame_ends_with_an_error_that_says_so() {
    let Some((_dir, path)) = elementary(60, "key-int-max=1000") else { return };
    std::fs::write(&path, without_first_key_frame(&std::fs::read(&path).unwrap())).unwrap();
    let mut source = opened_fast(path.to_str().unwrap());
    let (frames, end) = drain(source.as_mut());
    let told = end.unwrap_err().to_string();
    assert!(
        frames.is_empty() && told.contains("the key frame that they need is missing"),
        "{told}"
    );
    assert_eq!(source.unreadable(), 59);
}

#[test]
fn a_motion_jpeg_picture_that_breaks_off_is_no_frame() {
    if !have("Motion-JPEG", &["jpegenc", "jpegdec", "multipartdemux"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("picture.jpg");
    record(
        "videotestsrc num-buffers=1 pattern=snow ! video/x-raw,width=160,height=96 ! jpegenc",
        &picture,
    );
    let whole = std::fs::read(&picture).unwrap();
    let part = |picture: &[u8]| {
        let head =
            format!("--b\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len());
        [head.as_bytes(), picture, b"\r\n"].concat()
    };
    let cut = &whole[..whole.len() / 2];
    let padded = [&whole, &[0; 77][..]].concat();
    let film = dir.path().join("film.mjpeg");
    std::fs::write(
        &film,
        [part(&whole), part(cut), part(&padded), part(cut), part(&whole)].concat(),
    )
    .unwrap();
    let mut source = opened(&format!(
        "pipeline:filesrc location={} ! multipartdemux boundary=b ! identity sleep-time=50000 ! jpegdec",
        film.display()
    ));
    let (frames, _) = drain(source.as_mut());
    assert_eq!(source.unreadable(), 2);
    assert!(
        !frames.is_empty() && frames.iter().all(|frame| [0, 2, 4].contains(&frame.sequence)),
        "{frames:?}"
    );
}

#[test]
fn a_film_that_says_how_it_lies_is_turned_as_photos_are() {
    let lacking = ["videoflip", "x264enc"];
    let Some((_dir, path)) = film_of("lying.mp4", "num-buffers=2 pattern=smpte", "30/1")
        .filter(|_| have("turning", &lacking))
    else {
        return;
    };
    let film = std::fs::read(&path).unwrap();
    let picture = |frame: &squint::frame::Frame| {
        let layout = frame.layout();
        image::GrayImage::from_raw(layout.width, layout.height, luma(frame)).unwrap()
    };
    let as_filmed = picture(&frame(opened_fast(&path).as_mut()));
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    type Turn = fn(&image::GrayImage) -> image::GrayImage;
    let turns: [(&str, [i32; 4], Turn); 6] = [
        ("upright", [1, 0, 0, 1], image::GrayImage::clone),
        ("90", [0, 1, -1, 0], |film| rotate90(film)),
        ("180", [-1, 0, 0, -1], |film| rotate180(film)),
        ("270", [0, -1, 1, 0], |film| rotate270(film)),
        ("mirrored", [-1, 0, 0, 1], |film| flip_horizontal(film)),
        ("upside down in a mirror", [1, 0, 0, -1], |film| flip_vertical(film)),
    ];
    for (name, matrix, turn) in turns {
        std::fs::write(&path, with_matrix(&film, matrix)).unwrap();
        let shown = picture(&frame(opened_fast(&path).as_mut()));
        // GStreamer reads notes of mirrors since 1.22.
        if (1, 22) <= (gstreamer::version().0, gstreamer::version().1) || !name.contains("mirror") {
            assert!(shown == turn(&as_filmed), "{name}: {:?}", shown.dimensions());
        }
    }
}

#[test]
fn a_film_that_was_cut_off_gives_what_it_has_and_says_so() {
    let Some((_dir, path)) = film_of("copied.mp4", "num-buffers=180", "30/1") else { return };
    let mut source = opened_fast(&path);
    assert_eq!(drain(source.as_mut()).0.len(), 180);
    assert_eq!(source.notice(), None, "whole");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap(); // its index stands at its beginning
    let mut source = opened_fast(&path);
    let (frames, end) = drain(source.as_mut());
    assert!(
        end == Ok(()) && frames.len() > 20 && frames.len() < 160,
        "{} frames, {end:?}",
        frames.len()
    );
    let told = source.notice().expect("a notice").to_string();
    assert!(told.contains("the film at 6.0 s") && told.contains("cut off"), "{told}");
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
        assert!(
            matches!(told, SourceError::Failed { .. })
                && told.to_string().contains("whole video file"),
            "{told}"
        );
        assert_eq!(source.next(SOON).unwrap_err(), told);
    }
}
