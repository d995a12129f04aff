//! Cameras and films over HTTP: MJPEG, films, HLS, logins, and what a server answers instead of
//! video.
//!
//! The server is a few lines on the loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::sources::*;
use base64::Engine as _;
use squint::frame::{CameraId, Frame};
use squint::source::{OpenRequest, SourceError, open};

/// One request: its path and its headers.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: Vec<String>,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|line| {
                line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name))
            })
            .map(|(_, v)| v)
    }

    fn is_let_in(&self) -> bool {
        let login = base64::engine::general_purpose::STANDARD.encode("operator:p@ss/w%41");
        self.header("Authorization") == Some(&format!("Basic {login}"))
    }
}

/// A server on the loopback; its threads end with the test's process.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(
        answer: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) =
            (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<Asked>>>::default());
        let (told, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, answer) = (Arc::clone(&told), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let head: Vec<_> = lines
                        .by_ref()
                        .map_while(Result::ok)
                        .take_while(|line| !line.is_empty())
                        .collect();
                    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else {
                        return;
                    };
                    let asked = Asked { path: path.to_owned(), headers: head[1..].to_vec() };
                    told.lock().unwrap().push(asked.clone());
                    // A client that leaves is no fault.
                    let _ = answer(&asked, &mut stream);
                });
            }
        });
        Self { port, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn logins(&self) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.header("Authorization").is_some())
            .count()
    }
}

fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

fn jpeg() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_fn(320, 240, |x, y| image::Rgb([x as u8, y as u8, 90]));
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// Pictures for ever, or so many; each part as servers write it.
fn mjpeg(stream: &mut TcpStream, start: &str, count: usize) -> std::io::Result<()> {
    let picture = jpeg();
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n{start}"
    )?;
    for _ in 0..count {
        write!(
            stream,
            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            picture.len()
        )?;
        stream.write_all(&picture)?;
        stream.write_all(b"\r\n")?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A file, or what is left of it from the byte that was asked for.
fn file(asked: &Asked, stream: &mut TcpStream, path: &Path, kind: &str) -> std::io::Result<()> {
    let bytes = std::fs::read(path)?;
    let from = asked
        .header("Range")
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok());
    let kind = format!("Content-Type: {kind}\r\nAccept-Ranges: bytes\r\n");
    match from.filter(|from| *from < bytes.len()) {
        None => say(stream, "200 OK", &kind, &bytes),
        Some(from) => {
            let range = format!(
                "{kind}Content-Range: bytes {from}-{}/{}\r\n",
                bytes.len() - 1,
                bytes.len()
            );
            say(stream, "206 Partial Content", &range, &bytes[from..])
        }
    }
}

const MJPEG: &[&str] = &["souphttpsrc", "multipartdemux", "jpegdec"];

fn size(frame: &Frame) -> (u32, u32) {
    (frame.layout().width, frame.layout().height)
}

#[test]
fn a_camera_with_mjpeg_over_http_is_read_in_every_way_servers_write_it() {
    if !have("MJPEG", MJPEG) {
        return;
    }
    let server = Server::start(|asked, stream| match asked.path.as_str() {
        "/esp32" => mjpeg(stream, "\r\n", usize::MAX),
        "/motion" => mjpeg(stream, "", usize::MAX),
        "/moved" => say(stream, "302 Found", "Location: /motion\r\n", b""),
        other => panic!("{other}"),
    });
    for path in ["/esp32", "/motion", "/moved"] {
        let mut source = opened(&server.url(path));
        for _ in 0..5 {
            assert_eq!(size(&frame(source.as_mut())), (320, 240), "{path}");
        }
    }
    let text = format!("pipeline:uridecodebin uri={}", server.url("/esp32"));
    assert_eq!(size(&frame(opened(&text).as_mut())), (320, 240), "the obvious text works as well");
}

#[test]
fn a_camera_over_http_that_ends_its_stream_is_lost() {
    if !have("MJPEG", MJPEG) {
        return;
    }
    let server = Server::start(|_, stream| mjpeg(stream, "", 10));
    let (frames, end) = drain(opened(&server.url("/stream")).as_mut());
    assert!(
        !frames.is_empty() && matches!(end, Err(SourceError::Ended { .. })),
        "{} {end:?}",
        frames.len()
    );
}

#[test]
fn a_login_over_http_is_sent_as_it_was_typed_and_a_wrong_one_once() {
    if !have("MJPEG", MJPEG) {
        return;
    }
    let server = Server::start(|asked, stream| match asked.path.as_str() {
        "/forbidden" => say(stream, "403 Forbidden", "", b""),
        _ if asked.is_let_in() => mjpeg(stream, "", usize::MAX),
        _ => say(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"cam\"\r\n", b""),
    });
    let url =
        |login: &str, path: &str| server.url(path).replace("http://", &format!("http://{login}"));
    frame(opened(&url("operator:p@ss/w%2541@", "/")).as_mut());
    let before = server.logins();
    for (source, says) in [
        (url("operator:hunter2@", "/key7"), "refuses user name and password"),
        (url("", "/key7"), "wants user name and password"),
        (url("operator:hunter2@", "/forbidden"), "refuses user name and password"),
    ] {
        let refused = opened(&source).next(SOON).unwrap_err();
        let told = refused.to_string();
        assert!(matches!(refused, SourceError::Refused { .. }) && told.contains(says), "{told}");
        assert!(
            told.starts_with("http://127.0.0.1:")
                && !told.contains("hunter2")
                && !told.contains("key7"),
            "{told}"
        );
    }
    assert_eq!(server.logins() - before, 1, "one wrong login, sent once");
}

#[test]
fn what_is_no_video_is_told_in_words() {
    if !have("HTTP", &["souphttpsrc"]) {
        return;
    }
    let server = Server::start(|asked, stream| match asked.path.as_str() {
        "/page" => say(
            stream,
            "200 OK",
            "Content-Type: text/html\r\n",
            "<html><body>Log in</body></html>".repeat(99).as_bytes(),
        ),
        "/picture" => say(stream, "200 OK", "Content-Type: image/jpeg\r\n", &jpeg()),
        "/data" => say(stream, "200 OK", "Content-Type: application/json\r\n", b"{}"),
        _ => say(stream, "404 Not Found", "", b""),
    });
    for (path, says) in [
        ("/page", "web page (HTML)"),
        ("/picture", "one picture, not with a stream"),
        ("/data", "JSON"),
        ("/nowhere", "no stream of this path"),
    ] {
        let told = refusal(&server.url(path));
        assert!(told.contains(says), "{path}: {told}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = refusal(&format!("http://{gone}/x"));
    assert!(told.contains("is the server on"), "{told}");
}

#[test]
fn a_film_over_http_comes_to_its_end_whatever_its_address_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.mp4");
    if !make_clip(&film, 30, (320, 240)) || !have("HTTP", &["souphttpsrc"]) {
        return;
    }
    let server = Server::start(move |asked, stream| match asked.path.as_str() {
        path if path.contains("broken") => {
            say(stream, "200 OK", "Content-Type: video/mp4\r\n", &[7; 4000])
        }
        _ => file(asked, stream, &film, "video/mp4"),
    });
    let (frames, end) = drain(opened_fast(&server.url("/film.mp4")).as_mut());
    assert_eq!((frames.len(), end), (30, Ok(())), "no frame is left out");
    let (frames, end) = drain(opened(&server.url("/get?id=7")).as_mut());
    assert!(!frames.is_empty() && end == Ok(()), "{} {end:?}", frames.len());
    let told = refusal(&server.url("/broken.mp4"));
    assert!(told.contains("whole video file"), "{told}");
}

#[test]
fn a_film_over_http_has_no_limit_between_its_pictures_and_is_turned_as_it_says() {
    if !have(
        "a slow film over HTTP",
        &["souphttpsrc", "videoflip", "x264enc", "h264parse", "mp4mux", "qtdemux", "avdec_h264"],
    ) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slow.mp4");
    let raw = "video/x-raw,format=I420,width=160,height=96,framerate=1/1";
    let coded =
        "x264enc tune=zerolatency speed-preset=ultrafast ! h264parse ! mp4mux faststart=true";
    record(&format!("videotestsrc num-buffers=3 ! {raw} ! {coded}"), &path);
    std::fs::write(&path, with_matrix(&std::fs::read(&path).unwrap(), [0, 1, -1, 0])).unwrap();
    let server =
        Server::start(move |asked, stream| file(asked, stream, &path, "application/octet-stream"));
    for address in ["/slow.mp4", "/download?id=7"] {
        let mut source = opened(&server.url(address));
        assert_eq!(size(&frame(source.as_mut())), (96, 160), "{address}: turned");
        let short = Duration::from_millis(200);
        for _ in 1..3 {
            assert!(source.next(short).unwrap().is_some(), "{address}: a second is its own wish");
        }
        assert!(source.next(short).unwrap().is_none(), "{address}");
    }
}

#[test]
fn a_playlist_of_hls_is_read_with_its_login() {
    let needs =
        ["souphttpsrc", "hlsdemux", "tsdemux", "mpegtsmux", "x264enc", "h264parse", "avdec_h264"];
    if !have("HLS", &needs) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let segment = folder.path().join("one.ts");
    make_segment(&segment);
    let server = Server::start(move |asked, stream| match asked.path.as_str() {
        _ if !asked.is_let_in() => {
            say(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"cam\"\r\n", b"")
        }
        "/live.m3u8" => {
            let list = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\none.ts\n#EXT-X-ENDLIST\n";
            say(
                stream,
                "200 OK",
                "Content-Type: application/vnd.apple.mpegurl\r\n",
                list.as_bytes(),
            )
        }
        _ => file(asked, stream, &segment, "video/mp2t"),
    });
    let url = server.url("/live.m3u8").replace("http://", "http://operator:p@ss%2Fw%2541@");
    let (frames, end) = drain(opened(&url).as_mut());
    assert!(!frames.is_empty() && end == Ok(()), "{} {end:?}", frames.len());
}

fn make_segment(path: &Path) {
    use gstreamer as gst;
    use gstreamer::prelude::*;
    let raw =
        "videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=320,height=240,framerate=25/1";
    let text = format!(
        "{raw} ! x264enc speed-preset=ultrafast key-int-max=25 ! h264parse ! mpegtsmux ! filesink location={}",
        path.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    )
    .unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn what_is_missing_for_http_is_named_with_its_package() {
    // The registry of this process only.
    gstreamer::init().unwrap();
    let checks = squint::source::elements().unwrap();
    let source = checks
        .iter()
        .find(|check| check.source == "http" && check.one_of == ["souphttpsrc"])
        .unwrap();
    assert_eq!((source.package, source.on_demand), ("gstreamer1.0-plugins-good", false));
    assert!(
        checks.iter().any(|check| check.source == "http" && check.one_of.contains(&"hlsdemux"))
    );
    let request = OpenRequest::new(CameraId(0), "http://127.0.0.1:1/".parse().unwrap());
    drop(open(&request));
}
