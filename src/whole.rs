//! Writes files so that a reader finds the old one or the new one, whole, even after a kill or a power cut.
//!
//! An edge room. What the files hold is their owners' business.

use std::fs::{self, File, OpenOptions};
use std::io::{Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What the name of a file that is not yet whole ends with.
pub(crate) const UNFINISHED: &str = ".new";

/// Writes beside it, syncs, renames, syncs the folder. Writable by its owner alone. One writer a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(UNFINISHED);
    let new = PathBuf::from(new);
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    drop(out);
    fs::rename(&new, path)?;
    sync_folder(path)
}

/// Removes it for good; not being there is as good.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(path),
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for text in ["one", "two"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_writer_left_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::write(folder.path().join("state.new"), "half a fi").unwrap();
        write(&path, b"1").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}
