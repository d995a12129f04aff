//! A folder, a pattern or a single file of photos, one frame each, in the order of their names.
//!
//! Decoded in the calling thread, upright by their EXIF note, to packed RGB (`decode`). A photo
//! that cannot be read is reported and left out, whatever it is: damaged, a link to nowhere, a
//! folder with a photo's name. `gather` lists. Newest-wins has no meaning here: a paced folder
//! whose reader is late simply goes on later.

mod bmp;
mod decode;
mod gather;
mod ground;
mod jpeg;
mod png;
mod room;
mod turn;
mod webp;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::warn;

use self::decode::{Picture, decode, pixels, told, too_wide};
use self::gather::list;
use super::{FrameSource, OpenRequest, Pace, SourceError, Stopper};
use crate::events;
use crate::frame::{CameraId, Colorimetry, Frame, Layout, Memory, PixelFormat};
use crate::mailbox::{Mailbox, Taken};

pub(crate) use gather::Foreign;

/// Pace of a folder under [`Pace::Realtime`] if the user names none, photos a second.
pub const DEFAULT_IMAGE_RATE_HZ: f32 = 10.0;

/// Most names of photos that were left out, told at the end.
const MOST_NAMES: usize = 20;

/// The photos of one source and how far it has come.
pub(super) struct Images {
    origin: String,
    camera: CameraId,
    files: std::vec::IntoIter<PathBuf>,
    /// What is cut from the front of a path to make a frame's name.
    folder: PathBuf,
    sequence: u64,
    /// Time from one photo to the next; `None` is as fast as asked.
    period: Option<Duration>,
    due: Option<Instant>,
    /// Never holds anything: closed by the stopper, it is what a paced `next` waits at.
    bell: Arc<Mailbox<()>>,
    /// Names of photos that were left out, the first ones, and how many there are of them.
    left_out: (Vec<Arc<str>>, u64),
    /// Files of kinds that are not read.
    foreign: Foreign,
}

impl Images {
    /// Lists the files. `Failed` if there is none.
    pub(super) fn open(request: &OpenRequest, pattern: &str) -> Result<Self, SourceError> {
        let origin = request.source.to_string();
        let listing = list(pattern)
            .map_err(|reason| SourceError::Failed { origin: origin.clone(), reason })?;
        let rate = f64::from(request.rate_hz.unwrap_or(DEFAULT_IMAGE_RATE_HZ));
        let period = match request.pace {
            Pace::Fast => None,
            Pace::Realtime => Duration::try_from_secs_f64(1.0 / rate).ok(),
        };
        let mut images = Self::of(request.camera, origin, listing.folder, listing.files);
        (images.period, images.foreign) = (period, listing.foreign);
        Ok(images)
    }

    /// These files, as fast as asked, none of them looked at yet.
    pub(super) fn of(
        camera: CameraId,
        origin: String,
        folder: PathBuf,
        files: Vec<PathBuf>,
    ) -> Self {
        let files = files.into_iter();
        let (left_out, foreign) = (Default::default(), Foreign::default());
        Self {
            origin,
            camera,
            files,
            folder,
            sequence: 0,
            period: None,
            due: None,
            bell: Arc::default(),
            left_out,
            foreign,
        }
    }

    /// What was left out so far, in words.
    fn tell(&self) -> Option<String> {
        let (names, count) = &self.left_out;
        let more = count.saturating_sub(names.len() as u64);
        let files = (*count > 0).then(|| {
            let what = if *count == 1 {
                "1 picture was left out".into()
            } else {
                format!("{count} pictures were left out")
            };
            format!(
                "{what}: {}{}",
                names.join(", "),
                if more > 0 { format!(" and {more} more") } else { String::new() }
            )
        });
        let told: Vec<String> = files.into_iter().chain(self.foreign.sentence()).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// At the end, so that whoever reads the last lines hears of it.
impl Drop for Images {
    fn drop(&mut self) {
        if let Some(told) = self.tell() {
            warn!(event = events::PICTURES_LEFT_OUT; "{}: {told}", self.origin);
        }
    }
}

impl FrameSource for Images {
    fn next(&mut self, _: Duration) -> Result<Option<Frame>, SourceError> {
        let left =
            self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
        if matches!(self.bell.take(left), Taken::Closed) {
            return Ok(None);
        }
        let Some(file) = self.files.next() else { return Ok(None) };
        // From when it was due; from now if that is past, so that a late reader is not chased.
        let now = Instant::now();
        self.due =
            self.period.and_then(|period| self.due.unwrap_or(now).max(now).checked_add(period));
        let name: Arc<str> =
            file.strip_prefix(&self.folder).unwrap_or(&file).to_string_lossy().into();
        let sequence = self.sequence;
        self.sequence += 1;
        decode(&file)
            .and_then(|picture| frame(picture, self.camera, sequence, name.clone()))
            .map(Some)
            .map_err(|reason| {
                self.left_out.1 += 1;
                if self.left_out.0.len() < MOST_NAMES {
                    self.left_out.0.push(name.clone());
                }
                SourceError::Unreadable { origin: self.origin.clone(), file: name, reason }
            })
    }

    fn longest_silence(&self, patience: Duration) -> Duration {
        patience.max(self.period.unwrap_or_default())
    }

    fn superseded(&self) -> u64 {
        0
    }

    fn stopper(&self) -> Stopper {
        let bell = self.bell.clone();
        Stopper::new(move || bell.close())
    }
}

/// One photo as a frame: upright, packed RGB, transparency laid over white, named after its file.
/// At most 16384 pixels a side, 256 MiB of file, and 512 MiB of memory for decoding, which all
/// threads share: one may wait for another. [`SourceError::Unreadable`] says what is wrong with it.
pub fn decode_image(path: &Path) -> Result<Frame, SourceError> {
    let name: Arc<str> = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into();
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    decode(path).and_then(|picture| frame(picture, CameraId(0), 0, name.clone())).map_err(
        |reason| SourceError::Unreadable {
            origin: folder.display().to_string(),
            file: name,
            reason,
        },
    )
}

fn frame(
    picture: Picture,
    camera: CameraId,
    sequence: u64,
    name: Arc<str>,
) -> Result<Frame, String> {
    let layout = Layout::packed(PixelFormat::Rgb, picture.width, picture.height, Colorimetry::FULL);
    let memory = Memory::Owned(picture.rgb);
    Frame::new(memory, layout, camera, sequence, Instant::now(), SystemTime::now(), Some(name))
        .map_err(|e| e.to_string())
}

/// How many files `pattern` names; `None` if there are none.
pub(super) fn count(pattern: &str) -> Option<u64> {
    list(pattern).ok().and_then(|listing| u64::try_from(listing.files.len()).ok())
}

/// The names of their frames, in order.
pub(super) fn names(pattern: &str) -> Option<Vec<String>> {
    let listing = list(pattern).ok()?;
    Some(
        listing
            .files
            .iter()
            .map(|file| {
                file.strip_prefix(&listing.folder).unwrap_or(file).to_string_lossy().into_owned()
            })
            .collect(),
    )
}
