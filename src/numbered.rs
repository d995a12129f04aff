//! Files that were there before are kept under numbers: `path.1` is the one before, `path.2` the
//! one before that.
//!
//! An edge module. Every step is one rename, so a reader finds each file under exactly one name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Moves `path` to `path.1` and each file before it up by one; of more than `keep` the oldest goes.
/// Afterwards there is no file at `path`.
pub(crate) fn shift(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    fs::rename(path, numbered(path, 1))
}

/// `path.<number>`
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
