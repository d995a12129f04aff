//! What a user may write after `source =`: the eight kinds of source, parsed.
//!
//! Nothing is opened here. The file system is asked one thing only, what a path is ([`Kind`]), and
//! only for texts that are neither a scheme nor decided by their ending; that question is handed
//! in, so the rest is pure.

use std::fmt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::address::Address;
use super::names::Parts;
use super::secret::{self, Secret};
use super::transport::Transport;

/// Whether frames are taken as they come, or every frame is worth waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As the clock says; the newest frame wins.
    Realtime,
    /// As fast as the engines can, no frame left out (files and images only).
    Fast,
}

impl Pace {
    /// As in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Fast => "fast",
        }
    }
}

/// Endings of files that are taken for images, lower case.
pub(super) const IMAGE_ENDINGS: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp"];

/// Endings of paths that are taken for films in an address, lower case.
const FILM_ENDINGS: [&str; 14] = [
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "wmv", "flv", "ogv", "ogg", "3gp",
    "mxf",
];

/// Folders below /dev whose files are no devices.
const NO_DEVICES: [&str; 5] =
    ["/dev/shm/", "/dev/fd/", "/dev/mqueue/", "/dev/hugepages/", "/dev/std"];

/// What may be written, for error texts.
const ALLOWED: &str = "allowed are `csi:0`, `v4l2:/dev/video0`, `rtsp://...`, `rtsps://...`, `http://...`, `https://...`, \
    the path of a video file, a folder, image or pattern of images (`photos/*.jpg`), `test`, and `pipeline:<gst-launch text>`";

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `csi:N`: a Jetson CSI camera through nvarguscamerasrc.
    Csi {
        /// `sensor-id`.
        sensor: u32,
    },
    /// `v4l2:/dev/videoN`, or just a path below /dev, such as a name that udev makes.
    V4l2 {
        /// Device node.
        device: PathBuf,
    },
    /// `rtsp://...` or `rtsps://...`.
    Rtsp {
        /// The address, which may hold a password.
        url: Address,
        /// The transport that the scheme names: `rtspt`, `rtspu` and `rtsph`.
        transport: Option<Transport>,
    },
    /// `http://...` or `https://...`: MJPEG and other streams, films, playlists of HLS.
    Http {
        /// The address, which may hold a password.
        url: Address,
        /// True if the path ends like a film's, which comes to an end and does not come back.
        film: bool,
    },
    /// A video file.
    File {
        /// Its path.
        path: PathBuf,
    },
    /// A folder or glob pattern of images, or one image.
    Images {
        /// Folder, pattern or file.
        pattern: String,
    },
    /// `test`: GStreamer's moving test picture.
    Test,
    /// `pipeline:<gst-launch text>`; the appsink is appended.
    Pipeline {
        /// The text, which may hold a password.
        text: Secret,
    },
}

impl SourceSpec {
    /// True if the source goes on for ever, so that its end is a failure. What else comes over HTTP
    /// is known only once the server has answered.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::File { .. } | Self::Images { .. } | Self::Http { film: true, .. })
    }

    /// The address of a network source.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Rtsp { url, .. } | Self::Http { url, .. } => Some(url),
            _ => None,
        }
    }

    /// The same without user and password in its address: what it shows, whoever logs in.
    pub(crate) fn place(&self) -> Self {
        match self {
            Self::Rtsp { url, transport } => {
                Self::Rtsp { url: url.without_login(), transport: *transport }
            }
            Self::Http { url, film } => Self::Http { url: url.without_login(), film: *film },
            other => other.clone(),
        }
    }

    /// True if what may hang there is a camera or server in the network, and not a driver of this
    /// machine.
    pub(super) fn is_network(&self) -> bool {
        const ELEMENTS: [&str; 7] = [
            "rtspsrc",
            "souphttpsrc",
            "curlhttpsrc",
            "uridecodebin",
            "tcpclientsrc",
            "rtmpsrc",
            "srtsrc",
        ];
        match self {
            Self::Rtsp { .. } | Self::Http { .. } => true,
            Self::Pipeline { text } => {
                ELEMENTS.iter().any(|element| text.reveal().contains(element))
            }
            _ => false,
        }
    }
}

impl fmt::Display for SourceSpec {
    /// As it is shown outside the program: of an address scheme, host and port, of a `pipeline:`
    /// the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csi { sensor } => write!(f, "csi:{sensor}"),
            Self::V4l2 { device } => write!(f, "v4l2:{}", device.display()),
            Self::Rtsp { url, .. } | Self::Http { url, .. } => write!(f, "{url}"),
            Self::File { path } => write!(f, "{}", path.display()),
            Self::Images { pattern } => f.write_str(pattern),
            Self::Test => f.write_str("test"),
            Self::Pipeline { text } => write!(f, "pipeline:{}", Parts::of(text.reveal()).told()),
        }
    }
}

/// What the file system says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    Device,
    File,
    Nothing,
}

impl FromStr for SourceSpec {
    type Err = String;

    /// Parses what the user typed; blanks around it do not count. The error names it, without
    /// passwords, and says what is allowed. An existing folder is told from an existing file by
    /// asking the file system; a file need not exist yet.
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.trim(), &|path| match path {
            _ if path.is_dir() => Kind::Folder,
            _ => match path.metadata() {
                Ok(facts) if facts.file_type().is_char_device() => Kind::Device,
                Ok(_) => Kind::File,
                Err(_) => Kind::Nothing,
            },
        })
    }
}

fn parse(text: &str, look: &dyn Fn(&Path) -> Kind) -> Result<SourceSpec, String> {
    let refuse = |why: &str| Err(format!("source `{}`: {why}; {ALLOWED}", secret::shown(text)));
    if text.is_empty() {
        return refuse("nothing is written");
    }
    if text.contains('\0') {
        return refuse("it holds a NUL character");
    }
    if text == "test" {
        return Ok(SourceSpec::Test);
    }
    if let Some(sensor) = text.strip_prefix("csi:") {
        return match sensor.parse::<u32>() {
            Ok(sensor) if sensor <= i32::MAX as u32 => Ok(SourceSpec::Csi { sensor }),
            _ => refuse("after `csi:` comes the number of the sensor, 0 for the first"),
        };
    }
    if let Some(device) = text.strip_prefix("v4l2:") {
        return match Path::new(device).is_absolute() {
            true => Ok(SourceSpec::V4l2 { device: device.into() }),
            false => refuse("after `v4l2:` comes the device node, such as /dev/video0"),
        };
    }
    if let Some(launch) = text.strip_prefix("pipeline:") {
        // Squint links its appsink behind the text, so an end that waits for one is fine.
        let launch = launch.trim().trim_end_matches('!').trim_end();
        return match launch.is_empty() {
            true => {
                refuse("after `pipeline:` comes what gst-launch-1.0 would take, without a sink")
            }
            false => Ok(SourceSpec::Pipeline { text: Secret::new(launch) }),
        };
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let rtsp = |scheme, transport| {
            Ok(SourceSpec::Rtsp { url: Address::parse(scheme, rest)?, transport })
        };
        let http = |scheme| {
            let url = Address::parse(scheme, rest)?;
            Ok(SourceSpec::Http { film: is_film(Path::new(url.path())), url })
        };
        let parsed: Result<_, String> = match scheme.to_ascii_lowercase().as_str() {
            "rtsp" => rtsp("rtsp", None),
            "rtsps" => rtsp("rtsps", None),
            "rtspt" => rtsp("rtsp", Some(Transport::Tcp)),
            "rtspu" => rtsp("rtsp", Some(Transport::Udp)),
            "rtsph" => rtsp("rtsp", Some(Transport::Http)),
            "rtspst" => rtsp("rtsps", Some(Transport::Tcp)),
            "rtspsu" => rtsp("rtsps", Some(Transport::Udp)),
            "rtspsh" => rtsp("rtsps", Some(Transport::Http)),
            "http" => http("http"),
            "https" => http("https"),
            "file" => Err("write the path without `file://`".into()),
            "onvif" => {
                Err("write the camera's RTSP address, which its manual or its ONVIF tool tells"
                    .into())
            }
            _ => {
                Err("only RTSP and HTTP addresses are read directly, others through `pipeline:`"
                    .into())
            }
        };
        return parsed.or_else(|why| refuse(&why));
    }
    let kind = look(Path::new(text));
    // A mistyped address would pass for a file, and its password for a part of the name.
    if kind == Kind::Nothing && !text.starts_with(['/', '.']) && secret::looks_like_login(text) {
        return refuse(
            "it looks like an address: that starts with rtsp:// or http://; a path of such a name starts with ./",
        );
    }
    parse_path(text, kind)
        .map_or_else(|| refuse("this is no source, and no file of that name exists"), Ok)
}

/// A path or pattern. `None` for a bare word that is no file, which is rather a typing error.
fn parse_path(text: &str, kind: Kind) -> Option<SourceSpec> {
    let images = || Some(SourceSpec::Images { pattern: text.to_owned() });
    let path = Path::new(text);
    match kind {
        Kind::Folder => images(),
        Kind::Device => Some(SourceSpec::V4l2 { device: path.to_owned() }),
        Kind::Nothing if would_be_device(text) => {
            Some(SourceSpec::V4l2 { device: path.to_owned() })
        }
        _ if is_image(path) => images(),
        Kind::Nothing if is_pattern(text) || text.ends_with('/') => images(),
        Kind::Nothing if path.extension().is_none() && !text.contains('/') => None,
        Kind::File | Kind::Nothing => Some(SourceSpec::File { path: path.to_owned() }),
    }
}

/// True for a path that nothing but a device can be at once it is there: udev makes links anywhere
/// below /dev.
fn would_be_device(text: &str) -> bool {
    let below_dev = text.starts_with("/dev/")
        && !text.ends_with('/')
        && !text.split('/').any(|part| part == "..");
    below_dev && !is_pattern(text) && !NO_DEVICES.iter().any(|folder| text.starts_with(folder))
}

/// True if the ending is one of [`IMAGE_ENDINGS`], in any case.
pub(crate) fn is_image(path: &Path) -> bool {
    ends_in(path, &IMAGE_ENDINGS)
}

/// True if the ending is one of [`FILM_ENDINGS`], in any case.
fn is_film(path: &Path) -> bool {
    ends_in(path, &FILM_ENDINGS)
}

fn ends_in(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// True if `text` holds a character that patterns use.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<SourceSpec, String> {
        parse(text, &|path| match path.to_str() {
            Some("photos" | "clips.mp4") => Kind::Folder,
            Some("clip" | "a[1].mp4" | "/srv/x.avi" | "/dev/shm/clip" | "a:b@c") => Kind::File,
            Some("/dev/video2" | "/dev/frontcam" | "/run/cam") => Kind::Device,
            _ => Kind::Nothing,
        })
    }

    fn images(pattern: &str) -> SourceSpec {
        SourceSpec::Images { pattern: pattern.into() }
    }

    fn file(path: &str) -> SourceSpec {
        SourceSpec::File { path: path.into() }
    }

    fn v4l2(device: &str) -> SourceSpec {
        SourceSpec::V4l2 { device: device.into() }
    }

    fn rtsp(scheme: &'static str, rest: &str, transport: Option<Transport>) -> SourceSpec {
        SourceSpec::Rtsp { url: Address::parse(scheme, rest).unwrap(), transport }
    }

    fn http(scheme: &'static str, rest: &str, film: bool) -> SourceSpec {
        SourceSpec::Http { url: Address::parse(scheme, rest).unwrap(), film }
    }

    #[test]
    fn every_kind_of_source_is_recognised() {
        for (text, spec) in [
            ("csi:0", SourceSpec::Csi { sensor: 0 }),
            ("csi:12", SourceSpec::Csi { sensor: 12 }),
            ("v4l2:/dev/video2", v4l2("/dev/video2")),
            ("v4l2:/run/x", v4l2("/run/x")),
            ("/dev/video2", v4l2("/dev/video2")),
            ("/dev/video7", v4l2("/dev/video7")),
            ("/dev/frontcam", v4l2("/dev/frontcam")),
            ("/dev/notyet", v4l2("/dev/notyet")),
            ("/dev/cams/door", v4l2("/dev/cams/door")),
            ("/dev/v4l/by-id/usb-x", v4l2("/dev/v4l/by-id/usb-x")),
            ("/run/cam", v4l2("/run/cam")),
            ("/dev/shm/clip", file("/dev/shm/clip")),
            ("/dev/shm/notyet", file("/dev/shm/notyet")),
            ("/dev/../srv/notyet.mp4", file("/dev/../srv/notyet.mp4")),
            ("/dev/stdin", file("/dev/stdin")),
            ("rtsp://cam/1", rtsp("rtsp", "cam/1", None)),
            ("RTSPS://a:b@cam", rtsp("rtsps", "a:b@cam", None)),
            ("rtspt://cam/1", rtsp("rtsp", "cam/1", Some(Transport::Tcp))),
            ("rtspu://cam/1", rtsp("rtsp", "cam/1", Some(Transport::Udp))),
            ("rtspsh://cam/1", rtsp("rtsps", "cam/1", Some(Transport::Http))),
            ("http://cam/stream", http("http", "cam/stream", false)),
            ("http://cam/live.m3u8", http("http", "cam/live.m3u8", false)),
            ("HTTPS://a:b@nas/films/One.MP4?x=1", http("https", "a:b@nas/films/One.MP4?x=1", true)),
            ("http://nas/get?file=one.mp4", http("http", "nas/get?file=one.mp4", false)),
            ("test", SourceSpec::Test),
            ("pipeline: fakesrc ! ", SourceSpec::Pipeline { text: Secret::new("fakesrc") }),
            ("photos", images("photos")),
            ("clips.mp4", images("clips.mp4")),
            ("later/", images("later/")),
            ("photos/*.jpg", images("photos/*.jpg")),
            ("photos/img_?", images("photos/img_?")),
            ("one.JPEG", images("one.JPEG")),
            ("clip", file("clip")),
            ("a[1].mp4", file("a[1].mp4")),
            ("not/yet", file("not/yet")),
            ("not-yet.mkv", file("not-yet.mkv")),
            ("a:b@c", file("a:b@c")),
            ("./a:b@d.mp4", file("./a:b@d.mp4")),
        ] {
            assert_eq!(parsed(text).as_ref(), Ok(&spec), "{text}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        for text in [
            "csi:3",
            "v4l2:/dev/video0",
            "rtsp://cam:554",
            "https://cam",
            "/srv/x.avi",
            "photos/*.png",
            "test",
            "pipeline:fakesrc",
        ] {
            assert_eq!(parsed(text).map(|spec| spec.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_refusal_names_what_was_typed_and_what_is_allowed() {
        for (text, says) in [
            ("", "nothing is written"),
            ("csi:", "number of the sensor"),
            ("csi:-1", "`csi:-1`"),
            ("csi:4294967295", "number of the sensor"),
            ("v4l2:video0", "device node"),
            ("v4l2:", "device node"),
            ("tset", "`tset`"),
            ("usb:0", "no source"),
            ("pipeline: !", "gst-launch"),
            ("rtsp://", "no host"),
            ("rtsp://a:b@/1", "no host"),
            ("ftp://cam/stream", "only RTSP and HTTP"),
            ("onvif://cam/stream", "RTSP address"),
            ("rtsp://a:x@cam/one two", "%20"),
            ("rtsp://a:1/2@cam/live", "/ as %2F"),
            ("admin:pw@cam/1", "starts with rtsp://"),
            ("rtsp//admin:pw@cam/1", "starts with rtsp://"),
            ("file:///srv/x.mp4", "without `file://`"),
            ("a\0.jpg", "NUL"),
        ] {
            let refusal = parsed(text).unwrap_err();
            assert!(
                refusal.contains(says)
                    && refusal.contains("`csi:0`")
                    && refusal.contains("pipeline:"),
                "{text}: {refusal}"
            );
        }
    }

    #[test]
    fn a_refusal_and_a_spec_show_scheme_and_host_and_the_names_of_elements() {
        let refusal = parsed("ftp://admin:hun@ter2@cam/1").unwrap_err();
        assert!(refusal.contains("`ftp://cam`") && !refusal.contains("ter2"), "{refusal}");
        let refusal = parsed("rtsp://admin:hunter2@cam/a b").unwrap_err();
        assert!(refusal.contains("`rtsp://***`"), "{refusal}");
        for (text, shown) in [
            ("rtsp://admin:hun@t:er%2@cam/1", "rtsp://cam"),
            ("rtsps://hunter2@cam:322/1", "rtsps://cam:322"),
            ("rtsps://cam:7441/hunter2?enableSrtp", "rtsps://cam:7441"),
            ("https://cam/video.mjpg?user=a&pwd=hunter2", "https://cam"),
            (
                "pipeline:rtspsrc location=rtsp://c user-id=me user-pw=hunter2 ! decodebin",
                "pipeline:rtspsrc ! decodebin",
            ),
        ] {
            let spec = parsed(text).unwrap();
            assert_eq!(spec.to_string(), shown);
            let debug = format!("{spec:?}");
            assert!(!debug.contains("er%2") && !debug.contains("hunter2"), "{debug}");
        }
    }

    #[test]
    fn only_files_films_and_images_come_to_an_end() {
        for (text, live) in [
            ("csi:0", true),
            ("test", true),
            ("pipeline:x", true),
            ("http://cam/stream", true),
            ("http://nas/film.mp4", false),
            ("clip", false),
            ("photos", false),
        ] {
            assert_eq!(parsed(text).unwrap().is_live(), live, "{text}");
        }
    }
}
