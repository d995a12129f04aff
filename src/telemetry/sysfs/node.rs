//! One file of sysfs or /proc that is read again and again: held open, read from its beginning into
//! a buffer on the stack. An edge module.
//!
//! Each reading is noted as [`place`] wants it, since a driver may hang over it. Reading allocates
//! nothing. A file that is gone (its driver was unloaded, a program replaced it by another) is
//! opened anew at the next reading, so that a sensor which comes back is read again and an old file
//! is never taken for a sensor that stands still.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::telemetry::place;

/// Most of a one-value file that is read.
const VALUE_BYTES: usize = 64;
/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 512;
/// Most of a text that is read once, when sources are opened: names, labels, lists of modes.
const MAX_TEXT: u64 = 65_536;

/// A file that is read again and again.
#[derive(Debug)]
pub struct Node {
    path: Arc<Path>,
    file: Option<File>,
}

impl Node {
    /// The file at `path`; `None` if it cannot be read now.
    pub fn open(path: PathBuf) -> Option<Self> {
        Self::try_open(path).ok()
    }

    /// The same, and why not: a folder without the right to read it is not a folder without
    /// sensors.
    ///
    /// # Errors
    /// Whatever the system says on opening or reading.
    pub fn try_open(path: PathBuf) -> std::io::Result<Self> {
        let path: Arc<Path> = path.into();
        let open = || -> std::io::Result<File> {
            let file = File::open(&path)?;
            file.read_at(&mut [0; VALUE_BYTES], 0)?;
            Ok(file)
        };
        let file = place::at(&path, open).transpose()?;
        Ok(Self { path, file })
    }

    /// A file whose sensor may be silent at the moment (zones that are off answer with an error):
    /// `None` only if it is not there.
    pub fn open_silent(path: PathBuf) -> Option<Self> {
        let path: Arc<Path> = path.into();
        match place::at(&path, || File::open(&path)) {
            // One that hangs is there.
            None => Some(Self { path, file: None }),
            Some(opened) => Some(Self { file: Some(opened.ok()?), path }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The beginning of its content, as much as fits into `buffer`; `None` if it cannot be read.
    pub fn read<'a>(&mut self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        let path = Arc::clone(&self.path);
        place::at(&path, || self.read_now(buffer)).flatten()
    }

    fn read_now<'a>(&mut self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        // Only ordinary files lose their last name while they are open; sysfs refuses to be read
        // instead.
        let named = |file: &File| file.metadata().is_ok_and(|facts| facts.nlink() > 0);
        if !self.file.as_ref().is_some_and(named) {
            self.file = File::open(&self.path).ok();
        }
        match self.file.as_ref()?.read_at(buffer, 0) {
            Ok(0) | Err(_) => {
                self.file = None;
                None
            }
            Ok(count) => buffer.get(..count),
        }
    }

    /// The same as [`Node::integer`] without opening the file anew if it was lost.
    pub fn peek(&self) -> Option<i64> {
        let mut buffer = [0; VALUE_BYTES];
        let count =
            place::at(&self.path, || self.file.as_ref()?.read_at(&mut buffer, 0).ok()).flatten()?;
        integer(buffer.get(..count)?)
    }

    /// Its content as a whole number, sign allowed; `None` if it cannot be read or is none.
    pub fn integer(&mut self) -> Option<i64> {
        integer(self.read(&mut [0; VALUE_BYTES])?)
    }
}

/// A whole number with white space around it.
pub fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text)
        .ok()?
        .trim_matches(|c: char| c.is_whitespace() || c == '\0')
        .parse()
        .ok()
}

/// A small file as text, without white space and NUL around it; `None` if it is empty, too large,
/// not UTF-8 or not there.
pub fn text(path: &Path) -> Option<String> {
    let text = place::at(&path.into(), || crate::files::text(path, MAX_TEXT).ok()).flatten()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// A number that does not change: a limit, a trip.
pub fn number(path: &Path) -> Option<i64> {
    text(path).and_then(|text| integer(text.as_bytes()))
}

/// The entries of a folder whose names begin with `prefix`, by the number behind it and then by
/// name; empty if there is no such folder.
pub fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Some(Ok(found)) = place::at(&folder.into(), || std::fs::read_dir(folder)) else {
        return Vec::new();
    };
    let begins = |path: &PathBuf| {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(prefix))
    };
    let mut found: Vec<PathBuf> =
        found.take(MAX_ENTRIES).flatten().map(|entry| entry.path()).filter(begins).collect();
    let number = |path: &PathBuf| {
        let name = name(path);
        let digits = name.get(prefix.len()..).unwrap_or_default();
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end).and_then(|digits| digits.parse::<u32>().ok())
    };
    found.sort_by_cached_key(|path| (number(path), path.clone()));
    found
}

/// Writes `origin`, a path below `root`, as the machine itself would write it.
pub fn on_board(root: &Path, origin: &mut String) {
    let root = root.display().to_string();
    if let Some(rest) =
        origin.strip_prefix(root.trim_end_matches('/')).filter(|rest| rest.starts_with('/'))
    {
        *origin = rest.to_owned();
    }
}

/// The last part of a path.
pub fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// The number in `path`'s name between `before` and `after`: 3 of `in3_label`.
pub fn numbered(path: &Path, before: &str, after: &str) -> Option<u32> {
    name(path).strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_node_follows_its_file_and_survives_its_loss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("temp");
        assert!(Node::open(path.clone()).is_none());
        fs::write(&path, "45000\n").unwrap();
        let mut node = Node::open(path.clone()).unwrap();
        assert_eq!(node.integer(), Some(45_000));
        fs::write(&path, "-1\n").unwrap();
        assert_eq!(node.integer(), Some(-1), "written over");
        fs::write(&path, "warm\n").unwrap();
        assert_eq!(node.integer(), None);
        fs::write(&path, "").unwrap();
        assert_eq!(node.integer(), None, "says nothing");
        fs::write(&path, "6").unwrap();
        assert_eq!(node.integer(), Some(6), "the same file");
        fs::remove_file(&path).unwrap();
        assert_eq!(node.integer(), None, "gone, and not the 6 of a file without a name");
        fs::write(&path, "7").unwrap();
        assert_eq!(node.integer(), Some(7), "back, as another file");
        fs::write(folder.path().join("new"), "8").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(node.integer(), Some(8), "replaced");
    }

    #[test]
    fn entries_come_by_number_and_not_by_letter() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["zone10", "zone9", "zone1", "other3"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let names: Vec<_> =
            entries(folder.path(), "zone").iter().map(|path| name(path).to_owned()).collect();
        assert_eq!(names, ["zone1", "zone9", "zone10"]);
        assert_eq!(numbered(Path::new("/x/in3_label"), "in", "_label"), Some(3));
        assert_eq!(numbered(Path::new("/x/in3_input"), "in", "_label"), None);
        assert!(entries(&folder.path().join("none"), "zone").is_empty());
    }
}
