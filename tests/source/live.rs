//! Live sources as they are in health and in every sickness that videotestsrc can play: slow
//! readers, errors, silence, the end, sizes that change. Nothing here needs a camera.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::common::sources::*;
use squint::frame::{PixelFormat, Plane};
use squint::source::{OpenRequest, SourceError, elements, open};

#[test]
fn the_test_picture_comes_live_with_rising_numbers_and_fresh_stamps() {
    let (begun, begun_at) = (Instant::now(), SystemTime::now());
    let mut source = opened("test");
    let mut last = (None, begun);
    for _ in 0..10 {
        let frame = frame(source.as_mut());
        assert_eq!(
            (frame.layout().format, frame.layout().width, frame.layout().height),
            (PixelFormat::Rgb, 640, 480)
        );
        assert!(
            Some(frame.sequence) > last.0
                && frame.captured > last.1
                && frame.captured <= Instant::now()
        );
        assert_eq!((frame.camera.0, frame.name.is_none()), (3, true));
        assert!(frame.captured_at >= begun_at && frame.captured_at <= SystemTime::now());
        last = (Some(frame.sequence), frame.captured);
    }
}

#[test]
fn size_and_rate_are_asked_of_the_test_picture() {
    let request = OpenRequest { size: Some((320, 200)), rate_hz: Some(100.0), ..request("test") };
    let mut source = open(&request).unwrap();
    let (first, started) = (frame(source.as_mut()), Instant::now());
    assert_eq!((first.layout().width, first.layout().height), (320, 200));
    while frame(source.as_mut()).sequence < first.sequence + 50 {}
    assert!(started.elapsed() > Duration::from_millis(300), "50 frames at 100 a second");
}

#[test]
fn a_slow_reader_gets_the_newest_frame_and_the_others_are_counted() {
    let mut source = opened("test");
    for _ in 0..5 {
        newest_comes_first(source.as_mut());
    }
}

#[test]
fn a_frame_stays_readable_after_its_source_is_gone() {
    let mut source = opened("test");
    let frame = frame(source.as_mut());
    drop(source);
    assert_eq!(frame.plane(0).len(), 640 * 480 * 3);
    assert!(frame.plane(0).iter().any(|&byte| byte != 0));
}

#[test]
fn padded_rows_are_found_by_their_stride() {
    let mut source = opened(
        "pipeline:videotestsrc is-live=true pattern=white ! video/x-raw,format=RGB,width=227,height=5",
    );
    let white = frame(source.as_mut());
    assert_eq!(white.layout().planes[0], Plane { offset: 0, stride: 684 });
    for row in white.plane(0).chunks(684) {
        assert!(row[..681].iter().all(|&byte| byte == 255));
    }
}

#[test]
fn a_decoder_may_hand_over_padded_rows_without_copying() {
    if !have("padded rows", &["x264enc", "avdec_h264"]) {
        return;
    }
    let coded = "x264enc tune=zerolatency speed-preset=ultrafast ! avdec_h264";
    let raw = "video/x-raw,format=I420,width=640,height=480,framerate=30/1";
    let mut source =
        opened(&format!("pipeline:videotestsrc is-live=true pattern=white ! {raw} ! {coded}"));
    // The first pictures are decoded before the decoder knows who listens.
    let white = loop {
        let white = frame(source.as_mut());
        if white.layout().planes[1].offset > 640 * 480 || white.sequence > 60 {
            break white;
        }
    };
    let [luma, chroma, _] = white.layout().planes;
    assert!(
        chroma.offset > 640 * 480,
        "the decoder's own memory, with rows to spare, not a tight copy"
    );
    let stride = luma.stride;
    for row in white.plane(0).chunks(stride) {
        assert!(row[..640].iter().all(|&luma| luma > 220));
    }
    for chroma in [1, 2] {
        let rows = white.plane(chroma).chunks(white.layout().planes[chroma].stride);
        assert!(rows.map(|row| &row[..320]).all(|row| row.iter().all(|&c| c.abs_diff(128) < 8)));
    }
}

#[test]
fn every_format_that_needs_no_conversion_arrives_as_it_is() {
    for (name, format) in [
        ("RGB", PixelFormat::Rgb),
        ("BGR", PixelFormat::Bgr),
        ("RGBx", PixelFormat::Rgbx),
        ("BGRx", PixelFormat::Bgrx),
        ("RGBA", PixelFormat::Rgbx),
        ("BGRA", PixelFormat::Bgrx),
        ("NV12", PixelFormat::Nv12),
        ("I420", PixelFormat::I420),
        ("GRAY8", PixelFormat::Gray8),
    ] {
        let mut source = opened(&format!(
            "pipeline:videotestsrc is-live=true ! video/x-raw,format={name},width=33,height=17"
        ));
        assert_eq!(frame(source.as_mut()).layout().format, format, "{name}");
    }
    let mut source =
        opened("pipeline:videotestsrc is-live=true ! video/x-raw,format=Y444,width=32,height=16");
    frame(source.as_mut()); // what is not read is converted
}

#[test]
fn what_usb_cameras_send_stays_luma_and_chroma() {
    // The tail of a v4l2 source behind a stand-in for the camera: raw 4:2:2 and Motion-JPEG, both
    // through decodebin.
    let tail = "decodebin ! videoconvert ! video/x-raw,format=(string){NV12,I420,GRAY8}";
    for camera in [
        "video/x-raw,format=YUY2,width=64,height=48",
        "video/x-raw,format=Y42B,width=64,height=48 ! jpegenc",
    ] {
        let mut source = opened(&format!("pipeline:videotestsrc is-live=true ! {camera} ! {tail}"));
        let frame = frame(source.as_mut());
        assert_eq!((frame.layout().width, frame.layout().format.is_yuv()), (64, true), "{camera}");
    }
}

#[test]
fn caps_may_change_in_mid_stream() {
    let picture = |w, h, n, f| {
        format!(
            "videotestsrc num-buffers={n} ! video/x-raw,format={f},width={w},height={h},framerate=30/1 ! c."
        )
    };
    let text = format!(
        "pipeline:{} {} concat name=c ! identity sleep-time=20000",
        picture(64, 48, 8, "RGB"),
        picture(227, 31, 8, "I420")
    );
    let (frames, end) = drain(opened(&text).as_mut());
    let mut seen: Vec<_> =
        frames.iter().map(|f| (f.layout().format, f.layout().width, f.layout().height)).collect();
    seen.dedup();
    assert_eq!(seen, [(PixelFormat::Rgb, 64, 48), (PixelFormat::I420, 227, 31)]);
    let last = frames.last().unwrap();
    assert_eq!(last.layout().planes[0].stride, 228);
    assert!(matches!(end, Err(SourceError::Ended { .. })));
}

#[test]
fn a_frame_as_wide_as_the_limit_is_read_and_a_wider_one_refused() {
    let wide = |w| {
        format!(
            "pipeline:videotestsrc is-live=true ! video/x-raw,format=GRAY8,width={w},height=4,framerate=5/1"
        )
    };
    assert_eq!(frame(opened(&wide(16_384)).as_mut()).layout().width, 16_384);
    let told = refusal(&wide(16_400));
    assert!(told.contains("16400x4") && told.contains("1..=16384"), "{told}");
}

#[test]
fn a_live_source_that_ends_has_failed() {
    let mut source = opened("pipeline:videotestsrc num-buffers=5 is-live=true");
    let (frames, end) = drain(source.as_mut());
    assert!(!frames.is_empty());
    assert!(matches!(end, Err(SourceError::Ended { .. })), "{end:?}");
    assert!(matches!(source.next(SOON), Err(SourceError::Ended { .. })), "and says so again");
}

#[test]
fn an_element_that_fails_on_the_way_is_told_at_once_with_its_words() {
    let mut source = opened("pipeline:videotestsrc is-live=true ! identity error-after=5");
    let started = Instant::now();
    let (frames, end) = drain(source.as_mut());
    assert!(frames.len() <= 5);
    let Err(SourceError::Failed { reason, .. }) = end else { panic!("{end:?}") };
    assert!(reason.contains("Failed after iterations as requested"), "{reason}");
    assert!(started.elapsed() < SOON / 2, "the bus wakes a waiting reader");
}

#[test]
fn silence_is_noticed_by_our_own_deadline_and_does_not_end_the_source() {
    let mut source = opened("pipeline:videotestsrc is-live=true ! valve drop=true");
    let patience = Duration::from_millis(150);
    for _ in 0..2 {
        let started = Instant::now();
        let silence = source.next(patience).unwrap_err();
        assert!(
            matches!(silence, SourceError::NoPicture { waited, .. } if waited == patience),
            "{silence:?}"
        );
        assert!(started.elapsed() >= patience);
        assert!(
            silence.to_string().contains("no picture within 150 ms of opening it (open-timeout-ms"),
            "{silence}"
        );
    }
    let mut source = opened(
        "pipeline:videotestsrc is-live=true ! video/x-raw,width=16,height=16,framerate=1/20",
    );
    frame(source.as_mut());
    let silence = source.next(patience).unwrap_err();
    assert!(
        matches!(silence, SourceError::Stalled { waited, .. } if waited == patience),
        "{silence:?}"
    );
    assert!(silence.to_string().contains("no frame for 150 ms (stall-after-ms)"), "{silence}");
}

#[test]
fn the_first_picture_may_take_longer_than_the_others() {
    let source = opened("test");
    let stall_after = Duration::from_secs(2);
    assert_eq!(source.first_patience(stall_after), Duration::from_secs(15), "the default");
    assert_eq!(
        source.first_patience(Duration::from_secs(60)),
        Duration::from_secs(60),
        "never shorter than for the others"
    );
    let short = OpenRequest { open_timeout: Duration::from_secs(3), ..request("test") };
    assert_eq!(open(&short).unwrap().first_patience(stall_after), Duration::from_secs(3));
}

/// A film of which no two pictures are alike, as raw RTP packets that get lost on the way or not.
fn with_losses(film: &std::path::Path, share: f64) -> String {
    format!(
        "pipeline:filesrc location={} ! tsdemux ! h264parse ! identity sleep-time=4000 ! rtph264pay mtu=400 config-interval=-1 \
         ! identity drop-probability={share} ! rtph264depay ! h264parse ! avdec_h264",
        film.display()
    )
}

#[test]
fn pictures_made_of_lost_data_are_no_frames() {
    let lacking = ["x264enc", "mpegtsmux", "tsdemux", "rtph264pay", "rtph264depay", "avdec_h264"];
    if !have("lost data", &lacking) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.ts");
    let raw = "video/x-raw,format=I420,width=160,height=96,framerate=30/1";
    let coded = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=20 ! h264parse config-interval=-1 ! mpegtsmux";
    record(
        &format!("videotestsrc num-buffers=200 pattern=smpte horizontal-speed=3 ! {raw} ! {coded}"),
        &film,
    );
    let whole: std::collections::HashSet<_> =
        drain(opened_fast(film.to_str().unwrap()).as_mut()).0.iter().map(luma).collect();
    // So few pictures are lost that most come between two losses, and so many that some are.
    let mut source = opened(&with_losses(&film, 0.01));
    let (frames, end) = drain(source.as_mut());
    assert!(matches!(end, Err(SourceError::Ended { .. })), "{end:?}");
    let whole_ones = frames.iter().filter(|frame| whole.contains(&luma(frame))).count();
    assert_eq!(whole_ones, frames.len(), "every frame is one that was filmed");
    assert!(
        source.unreadable() > 0 && !frames.is_empty(),
        "{} left out, {} frames",
        source.unreadable(),
        frames.len()
    );
    let told: Vec<_> =
        std::iter::from_fn(|| source.notice()).map(|notice| notice.to_string()).collect();
    assert!(told.iter().any(|told| told.contains("data were lost on the way")), "{told:?}");
    let last = frames.last().unwrap().sequence;
    assert!(
        last < frames.len() as u64 + source.unreadable() + source.superseded(),
        "each picture has one number"
    );
}

#[test]
fn stopping_wakes_a_waiting_reader_for_good() {
    let mut source = opened("pipeline:videotestsrc is-live=true ! valve drop=true");
    let stopper = source.stopper();
    let started = Instant::now();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        stopper.stop();
        stopper.stop();
    });
    assert!(source.next(Duration::from_secs(3600)).unwrap().is_none());
    assert!(source.next(Duration::from_secs(3600)).unwrap().is_none());
    assert!(started.elapsed() < SOON);
    other.join().unwrap();
}

#[test]
fn closing_never_hangs_whatever_the_reader_left_behind() {
    let started = Instant::now();
    drop(opened("test"));
    drop(opened("pipeline:videotestsrc is-live=true ! valve drop=true"));
    drop(opened("pipeline:videotestsrc num-buffers=1 ! video/x-raw,framerate=1/10"));
    drop(opened("pipeline:videotestsrc ! identity sleep-time=100000"));
    assert!(started.elapsed() < SOON, "took {:?}", started.elapsed());
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    for (source, says) in [
        ("/dev/video9", "/dev/video9"),
        ("csi:0", "needs nvarguscamerasrc: apt-get install nvidia-l4t-gstreamer"),
        ("pipeline:nosuchelement ! fakeother", "gst-inspect-1.0 nosuchelement"),
        ("pipeline:videotestsrc nosuchproperty=1", "nosuchproperty"),
        ("pipeline:fakesink name=squint videotestsrc", "squint"),
        ("pipeline:videotestsrc ! ! ", "does not"),
        ("rtsp://admin:hunter2@127.0.0.1:9/1", "is the camera on"),
    ] {
        if source == "csi:0"
            && elements()
                .unwrap()
                .iter()
                .any(|e| e.source == "csi" && e.found == Some("nvarguscamerasrc"))
        {
            continue; // a Jetson
        }
        let told = refusal(source);
        eprintln!("{told}");
        assert!(told.contains(says) && !told.contains("hunter2"), "{source}: {told}");
    }
}

#[test]
fn the_doctor_finds_what_the_test_picture_needs() {
    let elements = elements().unwrap();
    let of_test: Vec<_> = elements.iter().filter(|e| e.source == "test").collect();
    assert!(of_test.iter().all(|e| e.found.is_some()) && of_test.len() == 3, "{of_test:?}");
}
