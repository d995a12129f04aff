//! What a user may write after `source =`: the seven kinds of source, parsed; passwords are kept out of every text.
//!
//! Pure: nothing is opened here.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A text that may hold a password. `Display` and `Debug` print it redacted; [`Secret::reveal`] is for GStreamer alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as typed, password included.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` with every `user:password@` of an URL replaced by `user:***@` and the secret parts of this text removed.
    pub fn scrub(&self, text: &str) -> String {
        let redacted = redact(text);
        match password_of(&self.0) {
            Some(password) if password.len() > 2 => redacted.replace(password, "***"),
            _ => redacted,
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redact(&self.0))
    }
}

fn password_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#', ' ', '"']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

/// Replaces the password of every URL in `text` by `***`.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(['/', '?', '#', ' ', '"', '\'']).unwrap_or(tail.len());
        let (authority, after) = tail.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let name = user.split_once(':').map_or(user, |(name, _)| name);
                out.push_str(name);
                if user.contains(':') {
                    out.push_str(":***");
                }
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `csi:N`: a Jetson CSI camera through nvarguscamerasrc.
    Csi {
        /// `sensor-id`.
        sensor: u32,
    },
    /// `v4l2:/dev/videoN`.
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
    /// A folder or glob pattern of images.
    Images {
        /// Folder or pattern.
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

impl FromStr for SourceSpec {
    type Err = String;

    /// Parses what the user typed. The error says what is allowed.
    fn from_str(text: &str) -> Result<Self, String> {
        let _ = text;
        Err("not written yet".into())
    }
}
