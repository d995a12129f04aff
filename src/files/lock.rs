//! One process at a time: a lock beside what only one may write.
//!
//! The file `<path>.lock` stays when the process is gone; the lock in it goes with the process,
//! however that ends. A file that is replaced by renaming cannot carry its own lock.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Result, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::wrong_kind;

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock of `path` without waiting. Errors with [`ErrorKind::ResourceBusy`] and the
    /// number of the other process if another one has it, and as the system says if `<path>.lock`
    /// cannot be made; it must not be a symbolic link.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let mut file = open(&of(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(&mut file)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whom to look for; the lock holds without it, on a full disk too.
        let _: Result<()> = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

impl Drop for Lock {
    /// A child process between its birth and its program holds the lock, too, unless it is given up
    /// for all.
    fn drop(&mut self) {
        let _: Result<()> = self.0.unlock();
    }
}

fn of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    name.into()
}

fn open(path: &Path) -> Result<File> {
    let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", path.display()));
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let options = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(flags);
        options
    };
    match options().create_new(true).open(path) {
        Ok(file) => {
            give_to_the_owner_of_the_folder(&file, path);
            return Ok(file);
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(named(error)),
    }
    let file = options().open(path).map_err(named)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        Ok(file)
    } else {
        Err(named(wrong_kind(kind, "a lock is a regular file; remove it")))
    }
}

/// Root may have run the service's configuration by hand: the service must be able to take the lock
/// later. Only for a file just made.
fn give_to_the_owner_of_the_folder(file: &File, path: &Path) {
    if rustix::process::geteuid().is_root()
        && let Some(folder) = path.parent().and_then(|folder| std::fs::metadata(folder).ok())
    {
        let _: Result<()> = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

fn busy(file: &mut File) -> Error {
    let mut text = String::new();
    let _: Result<()> =
        file.rewind().and_then(|()| file.take(20).read_to_string(&mut text).map(|_| ()));
    let process = text
        .trim()
        .parse::<u32>()
        .map_or_else(|_| "another process".to_owned(), |number| format!("process {number}"));
    Error::new(ErrorKind::ResourceBusy, format!("in use by {process}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_second_holder_is_refused_by_the_number_of_the_first_until_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert_eq!(error.to_string(), format!("in use by process {}", std::process::id()));
        drop(first);
        drop(Lock::take(&path).unwrap());
        drop(Lock::take(&path).unwrap());
    }

    #[test]
    fn a_lock_is_taken_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(folder.path().join("precious"), "precious").unwrap();
        symlink("precious", folder.path().join("state.lock")).unwrap();
        Lock::take(&path).unwrap_err();
        assert_eq!(std::fs::read_to_string(folder.path().join("precious")).unwrap(), "precious");
    }
}
