//! What a user may write after `source =`: the seven kinds of source, parsed.
//!
//! Nothing is opened here. The file system is asked one thing only, what a path is ([`Kind`]), and only for texts that are
//! neither a scheme nor decided by their ending; that question is handed in, so the rest is pure.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::secret::{self, Secret};

/// Endings of files that are taken for images, lower case.
pub(super) const IMAGE_ENDINGS: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp"];

/// What may be written, for error texts.
const ALLOWED: &str = "allowed are `csi:0`, `v4l2:/dev/video0`, `rtsp://...`, `rtsps://...`, the path of a video file, \
    a folder, image or pattern of images (`photos/*.jpg`), `test`, and `pipeline:<gst-launch text>`";

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `csi:N`: a Jetson CSI camera through nvarguscamerasrc.
    Csi {
        /// `sensor-id`.
        sensor: u32,
    },
    /// `v4l2:/dev/videoN`, or just `/dev/videoN`.
    V4l2 {
        /// Device node.
        device: PathBuf,
    },
    /// `rtsp://...` or `rtsps://...`.
    Rtsp {
        /// The address, which may hold a password.
        url: Secret,
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
    /// True if the source goes on for ever, so that its end is a failure.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::File { .. } | Self::Images { .. })
    }

    /// True if what may hang there is a camera or server in the network, and not a driver of this machine.
    pub(super) fn is_network(&self) -> bool {
        matches!(self, Self::Rtsp { .. })
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csi { sensor } => write!(f, "csi:{sensor}"),
            Self::V4l2 { device } => write!(f, "v4l2:{}", device.display()),
            Self::Rtsp { url } => write!(f, "{url}"),
            Self::File { path } => write!(f, "{}", path.display()),
            Self::Images { pattern } => f.write_str(pattern),
            Self::Test => f.write_str("test"),
            Self::Pipeline { text } => write!(f, "pipeline:{text}"),
        }
    }
}

/// What the file system says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Nothing,
}

impl FromStr for SourceSpec {
    type Err = String;

    /// Parses what the user typed; blanks around it do not count. The error names it, without passwords, and says what is
    /// allowed. An existing folder is told from an existing file by asking the file system; a file need not exist yet.
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.trim(), &|path| match path {
            _ if path.is_dir() => Kind::Folder,
            _ if path.exists() => Kind::File,
            _ => Kind::Nothing,
        })
    }
}

fn parse(text: &str, look: &dyn Fn(&Path) -> Kind) -> Result<SourceSpec, String> {
    let refuse = |why: &str| Err(format!("source `{}`: {why}; {ALLOWED}", secret::redact_url(text)));
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
    if text.starts_with("/dev/video") || text.starts_with("/dev/v4l/") {
        return Ok(SourceSpec::V4l2 { device: text.into() });
    }
    if let Some(launch) = text.strip_prefix("pipeline:") {
        // Squint links its appsink behind the text, so an end that waits for one is fine.
        let launch = launch.trim().trim_end_matches('!').trim_end();
        return match launch.is_empty() {
            true => refuse("after `pipeline:` comes what gst-launch-1.0 would take, without a sink"),
            false => Ok(SourceSpec::Pipeline { text: Secret::new(launch) }),
        };
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        return match scheme.to_ascii_lowercase().as_str() {
            "rtsp" | "rtsps" if text.contains(char::is_whitespace) => refuse("in an address, a blank is written %20"),
            "rtsp" | "rtsps" if host.is_empty() || host.starts_with(':') => refuse("the address has no host"),
            lower @ ("rtsp" | "rtsps") => Ok(SourceSpec::Rtsp { url: Secret::new(format!("{lower}://{rest}")) }),
            "file" => refuse("write the path without `file://`"),
            _ => refuse("only RTSP addresses are read directly, others through `pipeline:`"),
        };
    }
    parse_path(text, look(Path::new(text))).map_or_else(|| refuse("this is no source, and no file of that name exists"), Ok)
}

/// A path or pattern. `None` for a bare word that is no file, which is rather a typing error.
fn parse_path(text: &str, kind: Kind) -> Option<SourceSpec> {
    let images = || Some(SourceSpec::Images { pattern: text.to_owned() });
    let path = Path::new(text);
    match kind {
        Kind::Folder => images(),
        _ if is_image(path) => images(),
        Kind::Nothing if is_pattern(text) || text.ends_with('/') => images(),
        Kind::Nothing if path.extension().is_none() && !text.contains('/') => None,
        Kind::File | Kind::Nothing => Some(SourceSpec::File { path: path.to_owned() }),
    }
}

/// True if the ending is one of [`IMAGE_ENDINGS`], in any case.
pub(crate) fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    IMAGE_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
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
            Some("clip" | "a[1].mp4" | "/srv/x.avi") => Kind::File,
            _ => Kind::Nothing,
        })
    }

    fn images(pattern: &str) -> SourceSpec {
        SourceSpec::Images { pattern: pattern.into() }
    }

    fn file(path: &str) -> SourceSpec {
        SourceSpec::File { path: path.into() }
    }

    #[test]
    fn every_kind_of_source_is_recognised() {
        for (text, spec) in [
            ("csi:0", SourceSpec::Csi { sensor: 0 }),
            ("csi:12", SourceSpec::Csi { sensor: 12 }),
            ("v4l2:/dev/video2", SourceSpec::V4l2 { device: "/dev/video2".into() }),
            ("/dev/video2", SourceSpec::V4l2 { device: "/dev/video2".into() }),
            ("/dev/v4l/by-id/usb-x", SourceSpec::V4l2 { device: "/dev/v4l/by-id/usb-x".into() }),
            ("rtsp://cam/1", SourceSpec::Rtsp { url: Secret::new("rtsp://cam/1") }),
            ("RTSPS://a:b@cam", SourceSpec::Rtsp { url: Secret::new("rtsps://a:b@cam") }),
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
        ] {
            assert_eq!(parsed(text).as_ref(), Ok(&spec), "{text}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        for text in ["csi:3", "v4l2:/dev/video0", "rtsp://cam:554/1", "/srv/x.avi", "photos/*.png", "test", "pipeline:fakesrc"] {
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
            ("http://cam/stream", "only RTSP"),
            ("rtsp://a:x y@cam", "%20"),
            ("file:///srv/x.mp4", "without `file://`"),
            ("a\0.jpg", "NUL"),
        ] {
            let refusal = parsed(text).unwrap_err();
            assert!(refusal.contains(says) && refusal.contains("`csi:0`") && refusal.contains("pipeline:"), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_refusal_and_a_spec_never_show_the_password() {
        let refusal = parsed("http://admin:hun@ter2@cam/1").unwrap_err();
        assert!(refusal.contains("http://admin:***@cam/1") && !refusal.contains("ter2"), "{refusal}");
        let refusal = parsed("rtsp://admin:hun \"ter2@cam/1").unwrap_err();
        assert!(refusal.contains("`rtsp://admin:***@cam/1`"), "{refusal}");
        let spec = parsed("rtsp://admin:hun@t:er%2@cam/1").unwrap();
        assert_eq!(spec.to_string(), "rtsp://admin:***@cam/1");
        assert!(!format!("{spec:?}").contains("er%2"));
        let spec = parsed("pipeline:rtspsrc location=rtsp://c user-id=me user-pw=hunter2 ! decodebin").unwrap();
        assert_eq!(spec.to_string(), "pipeline:rtspsrc location=rtsp://c user-id=*** user-pw=*** ! decodebin");
    }

    #[test]
    fn only_files_and_images_come_to_an_end() {
        for (text, live) in [("csi:0", true), ("test", true), ("pipeline:x", true), ("clip", false), ("photos", false)] {
            assert_eq!(parsed(text).unwrap().is_live(), live, "{text}");
        }
    }
}
