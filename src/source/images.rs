//! A folder, a pattern or a single file of photos, one frame each, in the order of their names.
//!
//! Decoded in the calling thread, upright by their EXIF note, to packed RGB. A photo that cannot be read is reported and left
//! out. Newest-wins has no meaning here: a paced folder whose reader is late simply goes on later.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use super::spec::{IMAGE_ENDINGS, is_image, is_pattern};
use super::{FrameSource, OpenRequest, SourceError, Stopper};
use crate::config::Pace;
use crate::frame::{CameraId, Colorimetry, Frame, Layout, MAX_SIDE, Memory, PixelFormat};
use crate::mailbox::{Mailbox, Taken};

/// Pace of a folder under [`Pace::Realtime`] if the user names none, photos a second.
pub const DEFAULT_IMAGE_RATE_HZ: f32 = 10.0;

/// Most memory that decoding one photo may take, bytes.
const DECODE_LIMIT: u64 = 512 << 20;

/// Largest photo file, bytes: some decoders read all of it first.
const MAX_BYTES: u64 = 256 << 20;

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
}

impl Images {
    /// Lists the files. `Failed` if there is none.
    pub(super) fn open(request: &OpenRequest, pattern: &str) -> Result<Self, SourceError> {
        let origin = request.source.to_string();
        let (folder, files) = list(pattern).map_err(|reason| SourceError::Failed { origin: origin.clone(), reason })?;
        let rate = f64::from(request.rate_hz.unwrap_or(DEFAULT_IMAGE_RATE_HZ));
        let period = match request.pace {
            Pace::Fast => None,
            Pace::Realtime => Duration::try_from_secs_f64(1.0 / rate).ok(),
        };
        Ok(Self { period, ..Self::of(request.camera, origin, folder, files) })
    }

    /// These files, as fast as asked, none of them looked at yet.
    pub(super) fn of(camera: CameraId, origin: String, folder: PathBuf, files: Vec<PathBuf>) -> Self {
        let files = files.into_iter();
        Self { origin, camera, files, folder, sequence: 0, period: None, due: None, bell: Arc::default() }
    }
}

impl FrameSource for Images {
    fn next(&mut self, _: Duration) -> Result<Option<Frame>, SourceError> {
        let left = self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
        if matches!(self.bell.take(left), Taken::Closed) {
            return Ok(None);
        }
        let Some(file) = self.files.next() else { return Ok(None) };
        // From when it was due; from now if that is past, so that a late reader is not chased.
        let now = Instant::now();
        self.due = self.period.and_then(|period| self.due.unwrap_or(now).max(now).checked_add(period));
        let name: Arc<str> = file.strip_prefix(&self.folder).unwrap_or(&file).to_string_lossy().into();
        let sequence = self.sequence;
        self.sequence += 1;
        match decode(&file) {
            Ok((rgb, width, height)) => frame(rgb, width, height, self.camera, sequence, name.clone()),
            Err(reason) => Err(reason),
        }
        .map(Some)
        .map_err(|reason| SourceError::Unreadable { origin: self.origin.clone(), file: name, reason })
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

/// One photo as a frame: upright, packed RGB, named after its file. At most [`MAX_SIDE`] pixels a side, 256 MiB of file and
/// 512 MiB of memory for decoding. [`SourceError::Unreadable`] says what is wrong with it.
pub fn decode_image(path: &Path) -> Result<Frame, SourceError> {
    let name: Arc<str> = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    decode(path)
        .and_then(|(rgb, width, height)| frame(rgb, width, height, CameraId(0), 0, name.clone()))
        .map_err(|reason| SourceError::Unreadable { origin: folder.display().to_string(), file: name, reason })
}

fn frame(rgb: Vec<u8>, width: u32, height: u32, camera: CameraId, sequence: u64, name: Arc<str>) -> Result<Frame, String> {
    let layout = Layout::packed(PixelFormat::Rgb, width, height, Colorimetry::FULL);
    let memory = Memory::Heap(rgb.into());
    Frame::new(memory, layout, camera, sequence, Instant::now(), SystemTime::now(), Some(name)).map_err(|e| e.to_string())
}

/// Pixels, width and height. The format is told by the content, not by the name.
fn decode(path: &Path) -> Result<(Vec<u8>, u32, u32), String> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(DECODE_LIMIT);
    match path.metadata().map_err(|e| e.to_string())?.len() {
        0 => return Err("the file is empty".into()),
        1..=MAX_BYTES => {}
        more => return Err(format!("{more} bytes; at most {} MiB are read of a photo", MAX_BYTES >> 20)),
    }
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let mut reader = reader.map_err(|e| e.to_string())?;
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(told)?;
    let (width, height) = decoder.dimensions();
    // Checked again: not every decoder heeds the limits it is given.
    limits.check_dimensions(width, height).and_then(|()| limits.reserve(decoder.total_bytes())).map_err(told)?;
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(told)?;
    picture.apply_orientation(orientation);
    let rgb = picture.into_rgb8();
    let (width, height) = rgb.dimensions();
    Ok((rgb.into_raw(), width, height))
}

/// In one line; with the limits where one was met.
fn told(error: ImageError) -> String {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        ImageError::Limits(_) => format!("{text}; at most {MAX_SIDE} pixels a side and {} MiB are decoded", DECODE_LIMIT >> 20),
        _ => text,
    }
}

/// How many files `pattern` names; `None` if there are none.
pub(super) fn count(pattern: &str) -> Option<u64> {
    list(pattern).ok().and_then(|(_, files)| u64::try_from(files.len()).ok())
}

/// The names of their frames, in order.
pub(super) fn names(pattern: &str) -> Option<Vec<String>> {
    let (folder, files) = list(pattern).ok()?;
    Some(files.iter().map(|file| file.strip_prefix(&folder).unwrap_or(file).to_string_lossy().into_owned()).collect())
}

/// The folder that names are relative to, and the image files, sorted by path.
fn list(pattern: &str) -> Result<(PathBuf, Vec<PathBuf>), String> {
    let path = Path::new(pattern);
    let endings = IMAGE_ENDINGS.join(", ");
    let (folder, all) = if path.is_dir() {
        let entries = path.read_dir().and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>());
        (path.to_owned(), entries.map_err(|e| format!("the folder cannot be read: {e}"))?)
    } else if is_pattern(pattern) && !path.exists() {
        let paths = glob::glob(pattern).map_err(|e| format!("the pattern is wrong: {e}"))?;
        (fixed_part(path), paths.filter_map(Result::ok).collect::<Vec<_>>())
    } else {
        let found = path.metadata().map_err(|e| format!("cannot be opened: {e}"))?.is_file();
        (path.parent().unwrap_or(path).to_owned(), if found { vec![path.to_owned()] } else { Vec::new() })
    };
    let total = all.len();
    let mut files: Vec<_> = all.into_iter().filter(|path| is_image(path) && path.is_file()).collect();
    files.sort_unstable();
    match files.is_empty() {
        true if total == 0 => Err(format!("no file is there; images end in {endings}")),
        true => Err(format!("none of {total} entries is an image file; images end in {endings}")),
        false => Ok((folder, files)),
    }
}

/// The folders of a pattern before the first one with a wildcard.
fn fixed_part(pattern: &Path) -> PathBuf {
    pattern.components().take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_part_without_wildcards() {
        for (pattern, fixed) in [("/a/b/*.jpg", "/a/b"), ("a/*/c.jpg", "a"), ("*.jpg", ""), ("/?/x", "/")] {
            assert_eq!(fixed_part(Path::new(pattern)), Path::new(fixed), "{pattern}");
        }
    }

    #[test]
    fn an_empty_place_and_a_wrong_pattern_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        assert!(list(&at("")).unwrap_err().contains("no file is there; images end in jpg"));
        std::fs::write(at("readme.txt"), "x").unwrap();
        assert!(list(&at("")).unwrap_err().contains("none of 1 entries"));
        assert!(list(&at("*.png")).unwrap_err().contains("no file is there"));
        assert!(list(&at("a***b")).unwrap_err().contains("the pattern is wrong"));
        assert!(list(&at("gone.jpg")).unwrap_err().contains("cannot be opened"));
    }
}
