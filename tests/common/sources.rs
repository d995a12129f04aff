//! Shared by the tests of sources: opening what a text names, and clips made on the spot.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub use super::{SOON, eventually};
use super::{skip, skip_without};
use gstreamer as gst;
use gstreamer::prelude::*;
use squint::config::Pace;
use squint::frame::{CameraId, Frame};
use squint::source::{FrameSource, OpenRequest, SourceError, open};

/// A request for what `source` names, as the configuration would resolve it.
pub fn request(source: &str) -> OpenRequest {
    OpenRequest::new(CameraId(3), source.parse().unwrap_or_else(|refusal| panic!("{refusal}")))
}

/// Opened in real time.
pub fn opened(source: &str) -> Box<dyn FrameSource> {
    open(&request(source)).unwrap_or_else(|error| panic!("{error}"))
}

/// Opened with no frame left out, as fast as it goes.
pub fn opened_fast(source: &str) -> Box<dyn FrameSource> {
    open(&OpenRequest { pace: Pace::Fast, ..request(source) })
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The next frame, which must come; pictures that are none may come before it.
pub fn frame(source: &mut dyn FrameSource) -> Frame {
    loop {
        match source.next(SOON) {
            Err(SourceError::LeftOut { .. }) => {}
            other => {
                return other
                    .unwrap_or_else(|error| panic!("{error}"))
                    .expect("a frame, not the end");
            }
        }
    }
}

/// Leaves frames lying until five of them have given way, as a slow engine does: the next one taken
/// came after those, and each that is missing before it was counted. A queue would hand over the
/// one that follows the last.
pub fn newest_comes_first(source: &mut dyn FrameSource) {
    let before = source.superseded();
    let last = frame(source).sequence;
    let since = source.superseded();
    eventually("five frames that nobody takes give way", || source.superseded() >= since + 5);
    let next = frame(source).sequence;
    let gap = next - last - 1;
    assert!(gap >= 5, "{gap} frames were passed over");
    assert!(
        source.superseded() - before >= gap,
        "{} superseded, {gap} missing",
        source.superseded() - before
    );
}

/// All frames up to the end or the first error.
pub fn drain(source: &mut dyn FrameSource) -> (Vec<Frame>, Result<(), SourceError>) {
    let mut frames = Vec::new();
    loop {
        match source.next(SOON) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, Ok(())),
            Err(SourceError::LeftOut { .. }) => {}
            Err(error) => return (frames, Err(error)),
        }
    }
}

/// The error of a source that must not open, or not run.
pub fn refusal(source: &str) -> String {
    match open(&request(source)) {
        Err(error) => error.to_string(),
        Ok(mut source) => drain(source.as_mut()).1.expect_err("an error").to_string(),
    }
}

/// True if GStreamer has all of `elements`; says what the test is left out for.
pub fn have(test: &str, elements: &[&str]) -> bool {
    gst::init().expect("GStreamer");
    let lacking: Vec<_> =
        elements.iter().filter(|name| gst::ElementFactory::find(name).is_none()).collect();
    if !lacking.is_empty() {
        skip(format_args!(
            "{test}: no element {lacking:?} here; `make deps` installs GStreamer's plugins"
        ));
    }
    lacking.is_empty()
}

/// Writes an H.264 clip of `frames` frames at 30 a second. False, with a word on standard error, if
/// no encoder is installed.
pub fn make_clip(path: &Path, frames: u32, size: (u32, u32)) -> bool {
    gst::init().expect("GStreamer");
    let encoders = ["x264enc speed-preset=ultrafast", "openh264enc"];
    let found = |text: &&&str| {
        gst::ElementFactory::find(text.split(' ').next().unwrap_or_default()).is_some()
    };
    let Some(encoder) = encoders.iter().find(found) else {
        skip(format_args!("needs an H.264 encoder, one of {encoders:?}"));
        return false;
    };
    if !have("clip", &["h264parse", "mp4mux", "qtdemux", "avdec_h264"]) {
        return false;
    }
    let (width, height) = size;
    let raw = format!("video/x-raw,format=I420,width={width},height={height},framerate=30/1");
    record(
        &format!(
            "videotestsrc num-buffers={frames} pattern=ball ! {raw} ! {encoder} ! h264parse ! mp4mux"
        ),
        path,
    );
    true
}

/// Writes what the pipeline `text` makes into a file.
pub fn record(text: &str, path: &Path) {
    gst::init().expect("GStreamer");
    let text = format!("{text} ! filesink name=to");
    let pipeline = gst::parse::launch(&text)
        .expect("a pipeline")
        .downcast::<gst::Pipeline>()
        .expect("a pipeline");
    pipeline
        .by_name("to")
        .expect("the sink")
        .set_property("location", path.to_str().expect("UTF-8"));
    pipeline.set_state(gst::State::Playing).expect("it runs");
    let bus = pipeline.bus().expect("a bus");
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).expect("it stops");
    assert!(
        end.is_some_and(|message| message.type_() == gst::MessageType::Eos),
        "{text}: the file is written"
    );
}

/// The luma of a frame, or its only plane, without what pads its rows.
pub fn luma(frame: &Frame) -> Vec<u8> {
    let (layout, width) = (frame.layout(), frame.layout().width as usize);
    frame.plane(0).chunks(layout.planes[0].stride).flat_map(|row| &row[..width]).copied().collect()
}

/// Writes another note of rotation into an mp4: the matrix of ISO/IEC 14496-12, 8.3.2, in every
/// track.
pub fn with_matrix(film: &[u8], matrix: [i32; 4]) -> Vec<u8> {
    let (mut film, [a, b, c, d]) = (film.to_vec(), matrix.map(|number| number << 16));
    let headers: Vec<_> =
        film.windows(4).enumerate().filter(|(_, four)| four == b"tkhd").map(|(at, _)| at).collect();
    for at in headers {
        let matrix = at + 4 + if film[at + 4] == 0 { 40 } else { 52 };
        let numbers = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
        film[matrix..matrix + 36].copy_from_slice(&numbers.map(i32::to_be_bytes).concat());
    }
    film
}

/// A camera of `rtsp_camera.py`, ended with its owner.
pub struct Camera {
    child: Child,
    /// Its TCP port.
    pub port: String,
}

impl Camera {
    /// At `port`, "0" for a free one; `login` is empty or user and password. `None`, with a word on
    /// standard error, where something is missing.
    pub fn start(port: &str, login: &[&str]) -> Option<Self> {
        Self::of("", port, login)
    }

    /// The same; `ways` is what RTSP_CAMERA may hold.
    pub fn of(ways: &str, port: &str, login: &[&str]) -> Option<Self> {
        if !have("RTSP", &["rtspsrc", "rtph264depay", "h264parse", "avdec_h264"]) {
            return None;
        }
        let args: Vec<_> = [port].iter().chain(login).copied().collect();
        Self::run("rtsp_camera.py", ways, &args)
    }

    /// One of `warm_camera.py` that has been watched for so many seconds; `what` it shows is a word
    /// of that script.
    pub fn warm(what: &str, seconds: &str) -> Option<Self> {
        have("RTSP", &["rtspsrc", "rtph264depay", "h264parse", "avdec_h264"])
            .then(|| Self::run("warm_camera.py", "", &[what, seconds]))?
    }

    fn run(script: &str, ways: &str, args: &[&str]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common").join(script);
        let mut python = Command::new("/usr/bin/python3");
        python
            .env("RTSP_CAMERA", ways)
            .arg(script)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let Ok(mut child) = python.spawn() else {
            skip_without("rtsp-server", "no /usr/bin/python3 here");
            return None;
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        match line.trim().strip_prefix("ready ") {
            Some(port) => Some(Self { port: port.to_owned(), child }),
            None => {
                skip_without("rtsp-server", line.trim());
                let _ = child.wait();
                None
            }
        }
    }

    /// Its address; `login` is empty or ends in '@'.
    pub fn url(&self, login: &str) -> String {
        format!("rtsp://{login}127.0.0.1:{}/cam", self.port)
    }

    /// Sends it a signal, as `kill` names them.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
