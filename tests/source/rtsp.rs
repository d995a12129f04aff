//! A network camera that answers, dies, falls silent, comes back, asks for a password, and knows
//! one transport only.
//!
//! The camera is `common/rtsp_camera.py`, on the loopback. Where Python's gi or GstRtspServer are
//! absent the tests say so and pass (Debian: python3-gi gir1.2-gst-rtsp-server-1.0
//! gstreamer1.0-plugins-ugly gstreamer1.0-libav).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::common::fake_rtsp::{FakeCamera, silent};
use crate::common::skip_without;
use crate::common::sources::*;
use gstreamer as gst;
use gstreamer::prelude::*;
use squint::source::{Backoff, FrameSource, OpenRequest, Opener, SourceError, Transport, open};

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
    newest_comes_first(source.as_mut());
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
    assert!(started.elapsed() < SOON, "closing took {:?}", started.elapsed());
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
    for (ways, password) in [("", "p@ss:w/r?d#50%abc%41 \"x"), ("digest", "p@ss:w/r?d#50%abc%41 x")]
    {
        let Some(camera) = Camera::of(ways, "0", &["operator", password]) else { return };
        let typed = format!("operator:{}@", password.replace("%41", "%2541"));
        watch(opened(&camera.url(&typed)).as_mut(), 3);
        let escaped = "operator:p%40ss%3Aw%2Fr%3Fd%2350%25abc%2541%20";
        let escaped =
            if ways.is_empty() { format!("{escaped}%22x@") } else { format!("{escaped}x@") };
        watch(opened(&camera.url(&escaped)).as_mut(), 3);
        for wrong in ["operator:se@cr:et%zz@", "operator:se%40cret@", ""] {
            let told = refusal(&camera.url(wrong));
            eprintln!("{told}");
            assert!(
                !told.contains("cret") && !told.contains("cr:et") && !told.contains("/cam"),
                "{told}"
            );
            assert!(
                told.starts_with("rtsp://127.0.0.1:") && told.contains("user name and password"),
                "{told}"
            );
        }
    }
}

#[test]
fn a_wrong_login_is_sent_once_in_an_opening_and_is_no_lost_camera() {
    for (status, logins) in [
        ("401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"cam\", nonce=\"abc\"", 1),
        ("403 Forbidden", 0),
    ] {
        let camera = FakeCamera::start(move |_| format!("{status}\r\n"));
        let refused = opened(&camera.url("operator:wrong@")).next(SOON).unwrap_err();
        assert!(matches!(refused, SourceError::Refused { .. }), "{refused:?}");
        assert_eq!((camera.logins(), refused.word()), (logins, "refused"), "{refused}");
        let (url, before) = (camera.url(""), camera.logins());
        let text = format!(
            "pipeline:rtspsrc location={url} user-id=operator user-pw=wrong protocols=tcp ! decodebin"
        );
        let refused = opened(&text).next(SOON).unwrap_err();
        assert!(matches!(refused, SourceError::Refused { .. }), "{refused:?}");
        assert_eq!(camera.logins() - before, logins, "in a pipeline, too: {refused}");
    }
}

/// Opens `request` again and again, as the thread of a camera does, until a frame comes or the
/// camera counts as lost. How often it had to be opened in another way.
fn opens(
    opener: &Opener,
    patience: Duration,
) -> (usize, Result<Box<dyn FrameSource>, SourceError>) {
    for ways in 0.. {
        let mut source = opener.open().unwrap();
        match source.next(patience) {
            Ok(_) => return (ways, Ok(source)),
            Err(other @ SourceError::OtherWay { .. }) => eprintln!("{other}"),
            Err(error) => return (ways, Err(error)),
        }
    }
    unreachable!()
}

fn over(url: &str, transport: Transport) -> Opener {
    Opener::new(OpenRequest { transport, ..request(url) })
}

#[test]
fn a_camera_that_knows_udp_only_is_found_and_what_worked_is_tried_first_again() {
    let Some(camera) = Camera::of("udp", "0", &[]) else { return };
    let url = camera.url("");
    let opener = over(&url, Transport::Auto);
    let (ways, source) = opens(&opener, SOON);
    assert_eq!(ways, 1, "TCP first");
    watch(source.unwrap().as_mut(), 5);
    let (ways, source) = opens(&opener, SOON);
    assert_eq!(ways, 0, "UDP is remembered");
    watch(source.unwrap().as_mut(), 5);
    for named in
        [over(&url, Transport::Udp), over(&url.replace("rtsp:", "rtspu:"), Transport::Auto)]
    {
        let (ways, source) = opens(&named, SOON);
        assert_eq!(ways, 0);
        watch(source.unwrap().as_mut(), 5);
    }
    for named in
        [over(&url, Transport::Tcp), over(&url.replace("rtsp:", "rtspt:"), Transport::Auto)]
    {
        let (ways, refused) = opens(&named, SOON);
        let refused = refused.err().expect("it knows UDP only").to_string();
        assert!(
            ways == 0 && refused.contains("does not send over TCP, which `transport` asks for"),
            "{refused}"
        );
    }
}

/// Sends a moving picture to a group, from this process; ends with its owner.
struct Sender(gst::Element);

impl Sender {
    fn to(group: &str, port: u16) -> Self {
        let raw = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=30/1";
        let encoded = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 ! rtph264pay config-interval=1 pt=96";
        let pipeline = gst::parse::launch(&format!(
            "{raw} ! {encoded} ! udpsink host={group} port={port} sync=false"
        ))
        .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self(pipeline)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

#[test]
fn a_camera_that_sends_to_a_group_is_heard() {
    if !have(
        "multicast",
        &["rtspsrc", "x264enc", "rtph264pay", "rtph264depay", "h264parse", "avdec_h264"],
    ) {
        return;
    }
    let (group, socket) = ("239.192.7.1", std::net::UdpSocket::bind("0.0.0.0:0").unwrap());
    // Where this machine has no way for multicast, nothing can be shown.
    if socket.send_to(&[0], (group, 9)).is_err() {
        return skip_without("multicast", "no route for multicast here");
    }
    let port = socket.local_addr().unwrap().port() & !1;
    drop(socket);
    // A camera on this machine would hold the port that it sends to, so the packets come from
    // elsewhere in this process.
    let _sender = Sender::to(group, port);
    let camera = FakeCamera::start(move |request| match request.transport() {
        Some("multicast") => {
            let ports = format!("port={port}-{}", port + 1);
            format!(
                "200 OK\r\nSession: 1\r\nTransport: RTP/AVP;multicast;destination={group};ttl=1;{ports}\r\n"
            )
        }
        _ => silent(request, &[]),
    });
    for (transport, tries) in [(Transport::Auto, 2), (Transport::Multicast, 0)] {
        let (ways, source) = opens(&over(&camera.url(""), transport), SOON);
        watch(source.unwrap_or_else(|error| panic!("{error}")).as_mut(), 3);
        assert_eq!(ways, tries, "{transport}");
    }
}

#[test]
fn rtsp_in_http_is_read_where_it_is_asked_for() {
    let Some(camera) = Camera::start("0", &[]) else { return };
    let url = camera.url("");
    for opener in
        [over(&url, Transport::Http), over(&url.replace("rtsp:", "rtsph:"), Transport::Auto)]
    {
        watch(opens(&opener, SOON).1.unwrap_or_else(|error| panic!("{error}")).as_mut(), 3);
    }
}

#[test]
fn a_camera_that_agrees_to_a_transport_and_sends_nothing_is_asked_for_the_next_one() {
    for (taken, asked) in [
        (&["tcp", "udp", "multicast"][..], &["tcp", "udp", "multicast"][..]),
        (&["udp"], &["tcp", "udp", "multicast"]),
        (&["tcp"], &["tcp", "udp", "multicast"]),
    ] {
        let camera = FakeCamera::start(move |request| silent(request, taken));
        let opener = over(&camera.url(""), Transport::Auto);
        let setups = |camera: &FakeCamera| {
            camera.heard().iter().filter_map(|request| request.transport()).collect::<Vec<_>>()
        };
        let (ways, lost) = opens(&opener, Duration::from_secs(2));
        let lost = lost.err().expect("it sends nothing");
        assert_eq!((ways, setups(&camera).as_slice()), (2, asked), "{lost}");
        assert!(lost.to_string().contains("none of TCP, UDP and multicast"), "{lost}");
        // The next round begins again.
        let _ = opens(&opener, Duration::from_secs(2));
        assert_eq!(setups(&camera)[asked.len()..], *asked);
    }
    // One that is away has refused nothing.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (ways, lost) = opens(&over(&format!("rtsp://{gone}/cam"), Transport::Auto), SOON);
    assert!(ways == 0 && matches!(lost, Err(SourceError::Failed { .. })));
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
        assert!(
            left_out > 5 && begin.sequence >= left_out,
            "{what}: {left_out} left out, frame {}",
            begin.sequence
        );
        let told = first.notice().expect("a notice");
        assert!(
            !told.is_fault() && told.to_string().contains("before the first key frame"),
            "{told}"
        );
        watch(first.as_mut(), 20);
        assert_eq!(first.unreadable(), left_out, "{what}: none afterwards");
        // Opened again: soon after the key frame that the first one waited for.
        let mut again = opened(&url);
        let begin = frame(again.as_mut());
        assert!(
            again.unreadable() > 5 && begin.sequence > 5,
            "{what}: {} left out",
            again.unreadable()
        );
    }
}

#[test]
fn a_stream_with_only_sound_says_that_it_has_no_video() {
    let Some(camera) = Camera::warm("sound", "0.1") else { return };
    let told = refusal(&camera.url(""));
    assert!(told.contains("there is no video in it, only audio (PCMU)"), "{told}");
}

/// Stands before a camera, and hands on what it says through `hand`, which reads from the camera
/// and writes to who asks.
fn relayed(camera: &Camera, hand: fn(TcpStream, TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, camera) = (
        format!("rtsp://{}/cam", listener.local_addr().unwrap()),
        format!("127.0.0.1:{}", camera.port),
    );
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
