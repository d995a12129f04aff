//! A source as gst-launch text, chosen by what is installed, and which package brings what is not.
//!
//! Pure but for [`elements`], which asks GStreamer's registry. `have` answers for an element
//! (`"nvvidconv"`) and for one of its properties (`"rtspsrc:protocols"`): old boards lack some.
//! Device, path and address are not part of the text but set on the element [`FROM`], so nobody
//! needs to quote them; passwords thus stay out of it too.
//!
//! The Jetson texts were put together from NVIDIA's published examples and have not run on a
//! Jetson.

use gstreamer as gst;

use super::formats::COMPRESSED;
use super::secret::Secret;
use super::{OpenRequest, Pace, SourceError, SourceSpec, Transport};

/// Formats that [`crate::frame::PixelFormat`] reads as they are. videoconvert passes them through
/// untouched.
const ANY_FORMAT: &str = "RGB,BGR,RGBx,BGRx,RGBA,BGRA,NV12,I420,GRAY8";
/// The same for what codecs and USB cameras make. With RGB on the list, videoconvert would turn
/// 4:2:2 (YUY2, most MJPEG) into BGRx, which costs more than dropping every second row of chroma.
const YUV_FORMAT: &str = "NV12,I420,GRAY8";
/// Name of the appsink; no element of a user's own pipeline is likely to be called so.
pub(super) const SINK: &str = "squint";
/// Name of the element that [`from_setting`] is for.
pub(super) const FROM: &str = "from";
/// Rate asked of a camera if the user names none.
const DEFAULT_RATE_HZ: f32 = 30.0;
/// Size asked of cameras that may be asked, if the user names none.
const DEFAULT_SIZE: (u32, u32) = (640, 480);
/// Out of NVIDIA's memory into ours. NV12 is what its decoders and cameras make: no colour is
/// converted.
const FROM_NVMM: &str = "nvvidconv ! video/x-raw,format=NV12";

/// What `request` becomes. Empty for images, which GStreamer does not read. The text of a
/// `pipeline:` may hold a password, hence a [`Secret`].
pub fn pipeline_text(request: &OpenRequest, have: &dyn Fn(&str) -> bool) -> Secret {
    let (rate, (width, height)) = (
        fraction(request.rate_hz.unwrap_or(DEFAULT_RATE_HZ)),
        request.size.unwrap_or(DEFAULT_SIZE),
    );
    let head = match &request.source {
        SourceSpec::Images { .. } => return Secret::new(""),
        SourceSpec::Csi { sensor } => {
            let (mode_w, mode_h) = sensor_mode(request.size);
            let scaled =
                request.size.map_or(String::new(), |(w, h)| format!(",width={w},height={h}"));
            format!(
                "nvarguscamerasrc sensor-id={sensor} \
                 ! video/x-raw(memory:NVMM),width={mode_w},height={mode_h},framerate={rate},format=NV12 ! {FROM_NVMM}{scaled}"
            )
        }
        SourceSpec::V4l2 { .. } => {
            let wish = format!("width={width},height={height},framerate={rate}");
            let (kinds, decoder) = match request.bayer {
                true => (vec!["video/x-bayer"], "bayer2rgb".to_owned()),
                false => (
                    ["video/x-raw", "image/jpeg"].into_iter().chain(COMPRESSED).collect(),
                    decoded(have),
                ),
            };
            // A wish the user did not utter is only a preference: behind it, whatever the camera
            // has.
            let mut caps: Vec<_> = kinds.iter().map(|kind| format!("{kind},{wish}")).collect();
            if request.size.is_none() && request.rate_hz.is_none() {
                caps.extend(kinds.iter().map(|kind| (*kind).to_owned()));
            }
            format!(
                "v4l2src name={FROM} do-timestamp=true ! capsfilter caps=\"{}\" ! {decoder}",
                caps.join(";")
            )
        }
        SourceSpec::Rtsp { .. } => {
            let protocols = format!("protocols={}", request.transport.protocols());
            // Squint notices itself that nothing comes; the kernel's own room for packets is too
            // small for large key frames.
            let over_udp = matches!(request.transport, Transport::Udp | Transport::Multicast);
            let udp: &[&str] =
                if over_udp { &["timeout=0", "udp-buffer-size=2097152"] } else { &[] };
            // Never drop-on-latency: it throws away what later pictures are made of. What comes too
            // late is dropped as pictures.
            let wishes = ["latency=100", protocols.as_str()].into_iter().chain(udp.iter().copied());
            let known = |wish: &&str| {
                have(&format!("rtspsrc:{}", wish.split('=').next().unwrap_or_default()))
            };
            let set: String = wishes.filter(known).map(|wish| format!(" {wish}")).collect();
            format!("rtspsrc name={FROM}{set} ! application/x-rtp,media=video ! {}", decoded(have))
        }
        SourceSpec::Http { film, .. } => {
            // A stream that broke off is not taken up at the byte where it was; the camera's thread
            // opens it again.
            let once = if !film && have("souphttpsrc:retries") { " retries=0" } else { "" };
            format!("souphttpsrc name={FROM}{once} ! {}", decoded(have))
        }
        SourceSpec::File { .. } => format!("filesrc name={FROM} ! {}", decoded(have)),
        SourceSpec::Test => {
            format!(
                "videotestsrc is-live=true pattern=ball ! video/x-raw,format=RGB,width={width},height={height},framerate={rate}"
            )
        }
        SourceSpec::Pipeline { text } => text.reveal().to_owned(),
    };
    // A clip at its own pace waits for the clock; one at full speed waits for whoever takes its
    // frames.
    let manner = match (&request.source, request.pace) {
        (SourceSpec::File { .. } | SourceSpec::Http { .. }, Pace::Realtime) => {
            "drop=true max-buffers=1 sync=true"
        }
        (SourceSpec::File { .. } | SourceSpec::Http { film: true, .. }, Pace::Fast) => {
            "drop=false max-buffers=2 sync=false"
        }
        _ => "drop=true max-buffers=1 sync=false",
    };
    let formats = match &request.source {
        SourceSpec::Test | SourceSpec::Pipeline { .. } => ANY_FORMAT,
        _ => YUV_FORMAT,
    };
    // The last sample is a buffer the camera wants back.
    let keep = "emit-signals=false enable-last-sample=false";
    let sink = format!(
        "appsink name={SINK} {manner} {keep} caps=\"video/x-raw,format=(string){{{formats}}}\""
    );
    Secret::new(format!("{head} ! videoconvert{} ! {sink}", turned(&request.source, have)))
}

/// decodebin takes any codec and the decoder of highest rank, which on a Jetson is nvv4l2decoder;
/// raw video passes through.
fn decoded(have: &dyn Fn(&str) -> bool) -> String {
    if have("nvvidconv") { format!("decodebin ! {FROM_NVMM}") } else { "decodebin".into() }
}

/// Turns what says how it has to be turned: films of phones, MJPEG with an EXIF note. What says
/// nothing passes untouched. A text of the user's own is taken as it is.
fn turned(source: &SourceSpec, have: &dyn Fn(&str) -> bool) -> &'static str {
    let asks =
        !matches!(source, SourceSpec::Csi { .. } | SourceSpec::Test | SourceSpec::Pipeline { .. });
    if asks && have("videoflip:video-direction") { " ! videoflip video-direction=auto" } else { "" }
}

/// Properties and values to set on the element `from`.
pub(super) fn from_settings(request: &OpenRequest) -> Vec<(&'static str, String)> {
    let text = |path: &std::path::Path| path.to_str().map(str::to_owned);
    match &request.source {
        SourceSpec::V4l2 { device } => {
            text(device).map(|device| ("device", device)).into_iter().collect()
        }
        SourceSpec::File { path } => {
            text(path).map(|path| ("location", path)).into_iter().collect()
        }
        // The login in the address is sent once; rtspsrc sends one in `user-id` and `user-pw` up to
        // eight times in a row.
        SourceSpec::Rtsp { url, .. } => vec![(
            "location",
            url.reveal_as(match (request.transport, url.scheme()) {
                (Transport::Http, "rtsps") => "rtspsh",
                (Transport::Http, _) => "rtsph",
                (_, scheme) => scheme,
            }),
        )],
        SourceSpec::Http { url, .. } => {
            let mut settings = vec![("location", url.without_login().reveal())];
            if let Some(user) = url.user() {
                settings.push(("user-id", user.to_owned()));
                settings.push(("user-pw", url.password().unwrap_or_default().to_owned()));
            }
            settings
        }
        _ => Vec::new(),
    }
}

/// What to ask of a CSI sensor. nvarguscamerasrc takes the mode nearest to this, and small ones are
/// cut out of the picture rather than scaled: ask for a common mode that is large enough and scale
/// behind it.
fn sensor_mode(size: Option<(u32, u32)>) -> (u32, u32) {
    let (width, height) = size.unwrap_or((1280, 720));
    let modes = [(1280, 720), (1920, 1080)];
    modes.into_iter().find(|mode| width <= mode.0 && height <= mode.1).unwrap_or((width, height))
}

/// A rate as GStreamer wants it: 30/1, 30000/1001 for 29.97, 25/2.
fn fraction(rate_hz: f32) -> String {
    let rate = f64::from(rate_hz).clamp(0.001, 1000.0);
    let ntsc = rate * 1.001;
    if (rate - rate.round()).abs() < 0.001 && rate.round() > 0.0 {
        format!("{}/1", rate.round())
    } else if (ntsc - ntsc.round()).abs() < 0.005 && ntsc.round() >= 10.0 {
        format!("{}/1001", ntsc.round() * 1000.0)
    } else {
        let (n, d) = ((rate * 1000.0).round() as u32, 1000);
        let (mut a, mut b) = (n, d);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        format!("{}/{}", n / a, d / a)
    }
}

/// Something a kind of source needs.
struct Need {
    used_by: &'static [&'static str],
    one_of: &'static [&'static str],
    package: &'static str,
    /// Plugged by decodebin if the stream asks for it: its absence is noticed only then.
    on_demand: bool,
}

const fn need(
    used_by: &'static [&'static str],
    one_of: &'static [&'static str],
    package: &'static str,
    on_demand: bool,
) -> Need {
    Need { used_by, one_of, package, on_demand }
}

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const LIBAV: &str = "gstreamer1.0-libav";
const NVIDIA: &str = "nvidia-l4t-gstreamer";
const EVERY: &[&str] = &["csi", "v4l2", "rtsp", "http", "file", "test", "pipeline"];

const NEEDS: [Need; 20] = [
    need(EVERY, &["appsink"], BASE, false),
    need(EVERY, &["videoconvert"], BASE, false),
    need(&["csi"], &["nvarguscamerasrc"], NVIDIA, false),
    need(&["csi"], &["nvvidconv"], NVIDIA, false),
    need(&["v4l2"], &["v4l2src"], GOOD, false),
    need(&["v4l2", "rtsp", "http", "file"], &["decodebin"], BASE, false),
    need(&["v4l2", "http"], &["jpegdec", "nvjpegdec", "nvv4l2decoder"], GOOD, true),
    need(&["v4l2"], &["bayer2rgb"], BAD, true),
    need(&["http"], &["souphttpsrc"], GOOD, false),
    need(&["http"], &["multipartdemux"], GOOD, true),
    need(&["http"], &["hlsdemux", "hlsdemux2"], BAD, true),
    need(&["v4l2", "http"], &["tsdemux"], BAD, true),
    need(&["rtsp"], &["rtspsrc"], GOOD, false),
    need(&["rtsp"], &["rtpbin"], GOOD, false),
    need(&["rtsp"], &["rtph264depay"], GOOD, true),
    need(&["file"], &["filesrc"], "libgstreamer1.0-0", false),
    need(&["http", "file"], &["qtdemux"], GOOD, true),
    need(&["v4l2", "rtsp", "http", "file"], &["h264parse"], BAD, true),
    need(
        &["v4l2", "rtsp", "http", "file"],
        &["nvv4l2decoder", "avdec_h264", "vah264dec", "nvh264dec", "openh264dec"],
        LIBAV,
        true,
    ),
    need(&["test"], &["videotestsrc"], BASE, false),
];

/// One line of `squint doctor` about GStreamer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementCheck {
    /// Kind of source: `csi`, `v4l2`, `rtsp`, `http`, `file`, `test` or `pipeline`. Images need
    /// none.
    pub source: &'static str,
    /// Any one of these will do.
    pub one_of: &'static [&'static str],
    /// The first of them that is installed.
    pub found: Option<&'static str>,
    /// Debian package that brings it (the best of them, where several would do).
    pub package: &'static str,
    /// True if the source opens without it, and only streams that need it (H.264, JPEG) fail.
    pub on_demand: bool,
}

/// Every element that every kind of source needs, and whether this machine has it. Fails if
/// GStreamer itself does.
pub fn elements() -> Result<Vec<ElementCheck>, SourceError> {
    gst::init().map_err(|e| SourceError::Failed {
        origin: "GStreamer".into(),
        reason: e.message().to_owned(),
    })?;
    Ok(check(&|name| gst::ElementFactory::find(name).is_some()))
}

fn check(have: &dyn Fn(&str) -> bool) -> Vec<ElementCheck> {
    let line = |source, need: &Need| {
        let Need { one_of, package, on_demand, .. } = *need;
        let found = one_of.iter().copied().find(|name| have(name));
        ElementCheck { source, one_of, found, package, on_demand }
    };
    EVERY
        .iter()
        .flat_map(|kind| NEEDS.iter().filter(|n| n.used_by.contains(kind)).map(|n| line(kind, n)))
        .collect()
}

/// What `source` cannot start without and does not have, as an instruction. `None` if all is there.
pub(super) fn missing(source: &SourceSpec, have: &dyn Fn(&str) -> bool) -> Option<String> {
    let kind = match source {
        SourceSpec::Csi { .. } => "csi",
        SourceSpec::V4l2 { .. } => "v4l2",
        SourceSpec::Rtsp { .. } => "rtsp",
        SourceSpec::Http { .. } => "http",
        SourceSpec::File { .. } => "file",
        SourceSpec::Images { .. } => return None,
        SourceSpec::Test => "test",
        SourceSpec::Pipeline { .. } => "pipeline",
    };
    let lacking: Vec<_> = check(have)
        .into_iter()
        .filter(|c| c.source == kind && !c.on_demand && c.found.is_none())
        .collect();
    (!lacking.is_empty())
        .then(|| lacking.iter().map(|c| install(c.one_of[0])).collect::<Vec<_>>().join("; "))
}

/// "needs avdec_h264: apt-get install gstreamer1.0-libav", as far as the package is known.
pub(super) fn install(element: &str) -> String {
    match package_of(element) {
        Some(NVIDIA) => format!("needs {element}: apt-get install {NVIDIA} (NVIDIA Jetson only)"),
        Some(package) => format!("needs {element}: apt-get install {package}"),
        None => format!(
            "needs {element}, which no installed plugin brings; `gst-inspect-1.0 {element}` must know it"
        ),
    }
}

fn package_of(element: &str) -> Option<&'static str> {
    let known = NEEDS.iter().find(|need| need.one_of[0] == element).map(|need| need.package);
    known.or_else(|| {
        let by_prefix = [
            ("nvv4l2", NVIDIA),
            ("nvarg", NVIDIA),
            ("nvvid", NVIDIA),
            ("nvjpeg", NVIDIA),
            ("av", LIBAV),
            ("rt", GOOD),
        ];
        let others = [
            ("x264", "gstreamer1.0-plugins-ugly"),
            ("va", BAD),
            ("nvh26", BAD),
            ("openh264", BAD),
            ("h26", BAD),
        ];
        by_prefix
            .into_iter()
            .chain(others)
            .find(|(prefix, _)| element.starts_with(prefix))
            .map(|(_, package)| package)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::CameraId;

    fn text(source: &str, tune: impl FnOnce(&mut OpenRequest), have: &[&str]) -> String {
        let mut request = OpenRequest::new(CameraId(0), source.parse().unwrap());
        tune(&mut request);
        pipeline_text(&request, &|name| have.contains(&name)).reveal().to_owned()
    }

    const X86: &[&str] = &[
        "avdec_h264",
        "rtspsrc:latency",
        "rtspsrc:drop-on-latency",
        "rtspsrc:protocols",
        "videoflip:video-direction",
    ];
    const NEW_SOUP: &[&str] = &["souphttpsrc:retries"];
    const JETSON: &[&str] =
        &["nvvidconv", "nvv4l2decoder", "nvarguscamerasrc", "rtspsrc:latency", "rtspsrc:protocols"];
    const TURNED: &str = " ! videoconvert ! videoflip video-direction=auto";
    fn tail(formats: &str) -> String {
        let sink = "appsink name=squint drop=true max-buffers=1 sync=false emit-signals=false enable-last-sample=false";
        format!(" ! videoconvert ! {sink} caps=\"video/x-raw,format=(string){{{formats}}}\"")
    }

    #[test]
    fn a_jetson_gets_its_own_elements() {
        let as_is = |_: &mut OpenRequest| {};
        let yuv = tail("NV12,I420,GRAY8");
        let argus = "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1,format=NV12";
        assert_eq!(
            text("csi:1", as_is, JETSON),
            format!("{argus} ! nvvidconv ! video/x-raw,format=NV12{yuv}")
        );
        let small = text("csi:1", |r| r.size = Some((640, 360)), JETSON);
        assert_eq!(
            small,
            format!("{argus} ! nvvidconv ! video/x-raw,format=NV12,width=640,height=360{yuv}")
        );
        let rtsp = "rtspsrc name=from latency=100 protocols=tcp ! application/x-rtp,media=video";
        let decoded = "decodebin ! nvvidconv ! video/x-raw,format=NV12";
        assert_eq!(
            text("rtsp://c/1", as_is, JETSON),
            format!("{rtsp} ! {decoded}{yuv}"),
            "an absent property is not set"
        );
        assert!(
            text("clip.mp4", as_is, JETSON)
                .starts_with(&format!("filesrc name=from ! {decoded} ! videoconvert"))
        );
    }

    #[test]
    fn other_machines_get_the_common_ones() {
        let as_is = |_: &mut OpenRequest| {};
        let yuv = tail("NV12,I420,GRAY8").replacen(" ! videoconvert", TURNED, 1);
        let rtsp = "rtspsrc name=from latency=100 protocols=tcp ! application/x-rtp,media=video";
        assert_eq!(text("rtsp://c/1", as_is, X86), format!("{rtsp} ! decodebin{yuv}"));
        let any_format = tail("RGB,BGR,RGBx,BGRx,RGBA,BGRA,NV12,I420,GRAY8");
        let test = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=RGB,width=640,height=480,framerate=30/1";
        assert_eq!(text("test", as_is, X86), format!("{test}{any_format}"));
        let raw = "width=640,height=480,framerate=30/1";
        let kinds: Vec<_> = ["video/x-raw", "image/jpeg"].into_iter().chain(COMPRESSED).collect();
        let with = |wish: &str| {
            kinds.iter().map(|kind| format!("{kind},{wish}")).collect::<Vec<_>>().join(";")
        };
        let any = format!("{};{}", with(raw), kinds.join(";"));
        let v4l2 = "v4l2src name=from do-timestamp=true ! capsfilter caps";
        assert_eq!(text("/dev/video0", as_is, X86), format!("{v4l2}=\"{any}\" ! decodebin{yuv}"));
        let asked =
            text("/dev/video0", |r| (r.size, r.rate_hz) = (Some((1280, 720)), Some(29.97)), X86);
        let wish = "width=1280,height=720,framerate=30000/1001";
        assert_eq!(asked, format!("{v4l2}=\"{}\" ! decodebin{yuv}", with(wish)));
        let bayer = text("/dev/video0", |r| r.bayer = true, X86);
        assert_eq!(bayer, format!("{v4l2}=\"video/x-bayer,{raw};video/x-bayer\" ! bayer2rgb{yuv}"));
        let http = "souphttpsrc name=from ! decodebin";
        assert!(
            text("http://c/1", as_is, X86).starts_with(http)
                && text("http://c/1.mp4", as_is, X86).starts_with(http)
        );
        let (camera, film) =
            (text("http://c/1", as_is, NEW_SOUP), text("http://c/1.mp4", as_is, NEW_SOUP));
        assert!(
            camera.contains("from retries=0 !")
                && camera.contains("sync=true")
                && !film.contains("retries"),
            "{camera}"
        );
        assert_eq!(text("pipeline:fakesrc ! x !", as_is, X86), format!("fakesrc ! x{any_format}"));
        assert_eq!(text("photos/*.jpg", as_is, X86), "");
    }

    #[test]
    fn a_clip_is_paced_by_the_clock_or_by_its_reader() {
        let pace = |pace| text("clip.mp4", |r| r.pace = pace, X86);
        assert!(pace(Pace::Realtime).contains("drop=true max-buffers=1 sync=true"));
        assert!(pace(Pace::Fast).contains("drop=false max-buffers=2 sync=false"));
        assert!(
            text("test", |r| r.pace = Pace::Fast, X86).contains("drop=true"),
            "a camera cannot be made to wait"
        );
    }

    #[test]
    fn rates_become_the_fractions_cameras_know() {
        for (rate, expected) in [
            (30.0, "30/1"),
            (29.97, "30000/1001"),
            (59.94, "60000/1001"),
            (23.976, "24000/1001"),
            (12.5, "25/2"),
            (0.1, "1/10"),
        ] {
            assert_eq!(fraction(rate), expected);
        }
    }

    #[test]
    fn a_sensor_is_asked_for_a_mode_that_is_large_enough() {
        for (size, mode) in [
            (None, (1280, 720)),
            (Some((640, 480)), (1280, 720)),
            (Some((1280, 960)), (1920, 1080)),
        ] {
            assert_eq!(sensor_mode(size), mode);
        }
        assert_eq!(sensor_mode(Some((2592, 1944))), (2592, 1944));
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let csi: SourceSpec = "csi:0".parse().unwrap();
        let says = missing(&csi, &|name| !name.starts_with("nv")).unwrap();
        assert!(
            says.contains("needs nvarguscamerasrc: apt-get install nvidia-l4t-gstreamer"),
            "{says}"
        );
        assert_eq!(missing(&csi, &|_| true), None);
        let rtsp: SourceSpec = "rtsp://c".parse().unwrap();
        assert_eq!(
            missing(&rtsp, &|name| name != "rtspsrc").unwrap(),
            "needs rtspsrc: apt-get install gstreamer1.0-plugins-good"
        );
        assert_eq!(
            missing(&rtsp, &|name| !name.starts_with("av")),
            None,
            "a decoder may not be needed"
        );
        let http: SourceSpec = "http://c/1".parse().unwrap();
        let says = missing(&http, &|name| name != "souphttpsrc").unwrap();
        assert_eq!(says, "needs souphttpsrc: apt-get install gstreamer1.0-plugins-good");
        assert!(install("bayer2rgb").ends_with("apt-get install gstreamer1.0-plugins-bad"));
        assert_eq!(install("avdec_h264"), "needs avdec_h264: apt-get install gstreamer1.0-libav");
        assert!(install("quux").contains("gst-inspect-1.0 quux"));
    }

    #[test]
    fn the_doctor_sees_every_kind_and_one_decoder_is_enough() {
        let checks = check(&|name| name == "nvv4l2decoder");
        let decoder =
            checks.iter().find(|c| c.source == "file" && c.one_of.contains(&"avdec_h264")).unwrap();
        assert_eq!((decoder.found, decoder.package), (Some("nvv4l2decoder"), "gstreamer1.0-libav"));
        for kind in EVERY {
            assert!(
                checks
                    .iter()
                    .any(|c| c.source == *kind && c.one_of == ["appsink"] && c.found.is_none()),
                "{kind}"
            );
        }
    }

    #[test]
    fn an_address_is_set_apart_from_the_text_with_its_login_encoded() {
        let settings = |text: &str, transport| {
            from_settings(&OpenRequest {
                transport,
                ..OpenRequest::new(CameraId(0), text.parse().unwrap())
            })
        };
        let rtsp = "rtsp://a:p@ss@cam/1";
        assert_eq!(settings(rtsp, Transport::Tcp), [("location", "rtsp://a:p%40ss@cam/1".into())]);
        assert_eq!(
            settings(rtsp, Transport::Http),
            [("location", "rtsph://a:p%40ss@cam/1".into())]
        );
        let http = [
            ("location", "http://cam/1".into()),
            ("user-id", "a".into()),
            ("user-pw", "p@ss".into()),
        ];
        assert_eq!(settings("http://a:p@ss@cam/1", Transport::Auto), http);
        assert!(!text(rtsp, |_| {}, X86).contains("cam"));
    }

    #[test]
    fn a_transport_is_one_protocol_and_udp_waits_for_squint_to_notice() {
        let of = |transport| text("rtsp://c/1", |r| r.transport = transport, UDP);
        for (transport, protocol) in
            [(Transport::Auto, "tcp"), (Transport::Tcp, "tcp"), (Transport::Http, "tcp+http")]
        {
            assert!(
                of(transport).contains(&format!(" protocols={protocol} !")),
                "{}",
                of(transport)
            );
        }
        for (transport, protocol) in [(Transport::Udp, "udp"), (Transport::Multicast, "udp-mcast")]
        {
            let set = format!(" protocols={protocol} timeout=0 udp-buffer-size=2097152 !");
            assert!(of(transport).contains(&set), "{}", of(transport));
        }
    }

    const UDP: &[&str] = &["rtspsrc:protocols", "rtspsrc:timeout", "rtspsrc:udp-buffer-size"];
}
