//! Writes files so that a reader finds the old one or the new one, whole: after an error, a full
//! disk, a kill, a power cut.
//!
//! The new bytes go into a file beside the old one, whose name nobody can guess, are synced, and
//! take the old name; then the folder is synced. A writer holds a lock on its unfinished file, so
//! that the next one can tell what a killed writer left from what another is writing.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Error, ErrorKind, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat, fcntl_getfl, fcntl_setfl};

use super::temporary::unguessable;
use super::{is_handed_over, wrong_kind};

/// What the name of a file that is not yet whole ends with.
pub(crate) const UNFINISHED: &str = ".new";
/// Most links from one name to the next, as in the kernel.
const MAX_LINKS: usize = 40;
/// Most names that are tried for an unfinished file.
const MAX_TRIES: usize = 16;

/// Writes what a command was asked to write, as [`Output`] does.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut output = Output::create(path)?;
    output.write_all(bytes)?;
    output.finish()
}

/// Replaces a file that Squint itself keeps. Writable by its owner alone. One that is there must be
/// a regular file: nothing is written through a symbolic link. One writer a file.
pub(crate) fn write_state(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if !facts.is_file() => {
            return Err(wrong_kind(
                facts.file_type(),
                "what Squint keeps is a regular file; remove it or name another",
            ));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut unfinished = Unfinished::beside(path, 0o644)?;
    unfinished.file.write_all(bytes)?;
    unfinished.finish()
}

/// Removes it for good; not being there is as good.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(path),
    }
}

/// Errors as [`write()`] would now, before hours of work are spent on what is to be written. Pipes
/// and devices are left alone.
pub(crate) fn can_be_written(path: &Path) -> Result<()> {
    let is_stream =
        |facts: Metadata| facts.file_type().is_fifo() || facts.file_type().is_char_device();
    if is_handed_over(path) || fs::metadata(path).is_ok_and(is_stream) {
        return Ok(());
    }
    Output::create(path).map(drop)
}

/// Where a command writes what it was asked for. A file is replaced once it is whole, and keeps its
/// permissions and where possible its owner; of a symbolic link the file that it leads to. What the
/// shell handed over (`/dev/stdout`, `>(...)`), terminals, `/dev/null` and FIFOs with a reader are
/// written as it comes. Dropped before [`Output::finish`] it leaves a file as it was.
#[derive(Debug)]
pub(crate) enum Output {
    /// A file, not yet under its name.
    Whole(Unfinished),
    /// A pipe or a device.
    Through(File),
}

impl Output {
    /// Errors if `path` is a folder, a socket or a disk, if it may not be written, or if nothing
    /// may be made in its folder.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if is_handed_over(path) {
            return handed_over(path).map(Self::Through);
        }
        let before = match fs::metadata(path) {
            Ok(facts) if facts.is_file() => Some(facts),
            Ok(facts) if facts.file_type().is_fifo() || facts.file_type().is_char_device() => {
                return through(path, OFlags::empty()).map(Self::Through);
            }
            Ok(facts) => {
                return Err(wrong_kind(
                    facts.file_type(),
                    "a file can be written here, a FIFO or a terminal",
                ));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let path = end_of_links(path)?;
        let Some(before) = before else { return Unfinished::beside(&path, 0o666).map(Self::Whole) };
        // Whoever made it read-only meant it, though its folder would allow to replace it.
        accessat(CWD, &path, Access::WRITE_OK, AtFlags::EACCESS)?;
        let unfinished = Unfinished::beside(&path, 0o600)?;
        keep_rights(&unfinished.file, &before)?;
        Ok(Self::Whole(unfinished))
    }

    /// Puts it under its name, for good. Until then nothing of it is to be seen.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::Whole(unfinished) => unfinished.finish(),
            Self::Through(mut file) => file.flush(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Whole(unfinished) => unfinished.file.write(bytes),
            Self::Through(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A file beside the one that it is to replace. Locked as long as it is open.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: File,
    path: PathBuf,
    target: PathBuf,
    done: bool,
}

impl Unfinished {
    /// Makes one for `target` with `mode`, less what the umask takes away, and sweeps away what
    /// killed writers of `target` left.
    fn beside(target: &Path, mode: u32) -> Result<Self> {
        let (folder, name) = parts(target)?;
        sweep(&folder, &name);
        let said = |error: Error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                let why = "a file is written beside its name and then takes it, so its folder must be writable";
                Error::new(error.kind(), format!("{error}: {why}: {}", folder.display()))
            }
            _ => error,
        };
        for _ in 0..MAX_TRIES {
            let path = folder.join(unfinished_name(&name, unguessable()));
            let file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)
            {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                file => file.map_err(said)?,
            };
            // Between these two lines another writer may have taken it for left over, and swept it
            // away. Some file systems know no locks.
            let is_swept = matches!(file.try_lock(), Err(TryLockError::WouldBlock))
                || fs::symlink_metadata(&path).is_err();
            if !is_swept {
                return Ok(Self { file, path, target: target.to_owned(), done: false });
            }
        }
        Err(Error::new(
            ErrorKind::AlreadyExists,
            "no name for an unfinished file is free beside it",
        ))
    }

    fn finish(mut self) -> Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target).map_err(|error| match error.kind() {
            ErrorKind::ResourceBusy => Error::new(
                error.kind(),
                format!("{error}: a mount point cannot be replaced; write elsewhere and copy"),
            ),
            _ => error,
        })?;
        self.done = true;
        sync_folder(&self.target)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            let _: Result<()> = fs::remove_file(&self.path);
        }
    }
}

/// `.name.0123456789abcdef.new`
fn unfinished_name(name: &OsStr, number: u64) -> OsString {
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(format!(".{number:016x}{UNFINISHED}"));
    unfinished
}

/// Removes the unfinished files of `name` that no living writer holds.
fn sweep(folder: &Path, name: &OsStr) {
    let mut start = OsString::from(".");
    start.push(name);
    start.push(".");
    let is_one = |found: &OsStr| {
        let middle = found.as_encoded_bytes().strip_prefix(start.as_encoded_bytes());
        let middle = middle.and_then(|rest| rest.strip_suffix(UNFINISHED.as_bytes()));
        middle.is_some_and(|middle| middle.len() == 16 && middle.iter().all(u8::is_ascii_hexdigit))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_one(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
            let left = OpenOptions::new().write(true).custom_flags(flags).open(entry.path());
            if left.is_ok_and(|file| file.try_lock().is_ok()) {
                let _: Result<()> = fs::remove_file(entry.path());
            }
        }
    }
}

/// The folder and the name of a file.
fn parts(path: &Path) -> Result<(PathBuf, OsString)> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "is no name of a file"))?;
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_owned(), name.to_owned()))
}

/// What the last part of `path` leads to, which need not be there. The kernel has been asked before
/// whether this link may be followed.
fn end_of_links(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(rustix::io::Errno::LOOP))
}

/// Gives the new file owner, group and permissions of the old one. Whoever may not give files away
/// becomes their owner; then nobody may do more with it than before.
fn keep_rights(file: &File, before: &Metadata) -> Result<()> {
    let now = file.metadata()?;
    let mut mode = before.mode() & 0o777;
    if before.gid() != now.gid() && fchown(file, None, Some(before.gid())).is_err() {
        let others = mode & 0o007;
        mode &= !0o070 | others << 3;
    }
    if before.uid() != now.uid() {
        let _: Result<()> = fchown(file, Some(before.uid()), None);
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// A descriptor that the shell opened: shares its place in the file with whatever else is written
/// there.
fn handed_over(path: &Path) -> Result<File> {
    let number = path.file_name().unwrap_or_default();
    match number.to_str() {
        Some("stdout" | "1") => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        Some("stderr" | "2") => Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?)),
        _ => through(path, OFlags::APPEND),
    }
}

/// Opens a pipe or a device, without waiting for a reader.
fn through(path: &Path, flags: OFlags) -> Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        match OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                return Err(Error::new(
                    error.kind(),
                    "is a FIFO that nobody reads; start its reader first",
                ));
            }
            file => file?,
        };
    // The reader may be slow.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(parts(path)?.0)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use rustix::fs::{FileType, Mode, mknodat};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for text in ["one", "two"] {
            for write in [write, write_state] {
                write(&path, text.as_bytes()).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
        }
        assert_eq!(names(folder.path()), ["state"]);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_away_and_what_another_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::write(folder.path().join(unfinished_name(OsStr::new("state"), 7)), "half a fi")
            .unwrap();
        fs::write(folder.path().join("state.new"), "somebody's own").unwrap();
        fs::write(folder.path().join(".state2.0000000000000007.new"), "of another file").unwrap();
        let other = Output::create(&path).unwrap();
        write(&path, b"1").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
        other.finish().unwrap();
        assert_eq!(names(folder.path()), [".state2.0000000000000007.new", "state", "state.new"]);
    }

    #[test]
    fn a_writer_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        write(&path, b"good").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"half of the ne").unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "good");
        assert_eq!(names(folder.path()), ["policy"]);
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_permissions_and_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
        }
        write(&path, b"new").unwrap();
        let facts = fs::metadata(&path).unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), facts.mode() & 0o7777),
            ("new", 0o640)
        );
        if is_root {
            assert_eq!((facts.uid(), facts.gid()), (12, 34));
        }
    }

    #[test]
    fn a_command_writes_through_a_link_and_what_squint_keeps_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("versions")).unwrap();
        fs::write(at("versions/2"), "old").unwrap();
        symlink("versions/2", at("link")).unwrap();
        symlink("link", at("current")).unwrap();
        symlink("versions/3", at("next")).unwrap();
        write(&at("current"), b"new").unwrap();
        write(&at("next"), b"third").unwrap();
        assert_eq!(fs::read_to_string(at("versions/2")).unwrap(), "new");
        assert_eq!(fs::read_to_string(at("versions/3")).unwrap(), "third");
        assert!(
            ["current", "link", "next"]
                .iter()
                .all(|name| fs::symlink_metadata(at(name)).unwrap().is_symlink())
        );
        assert_eq!(names(&at("versions")), ["2", "3"]);
        let error = write_state(&at("current"), b"state").unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
        assert_eq!(fs::read_to_string(at("versions/2")).unwrap(), "new");
        symlink("loop", at("loop")).unwrap();
        write(&at("loop"), b"x").unwrap_err();
    }

    #[test]
    fn devices_and_pipes_are_written_as_it_comes_and_folders_sockets_and_pipes_without_a_reader_are_refused()
     {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(Path::new("/dev/null"), b"x").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let error = write(folder.path(), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for write in [write, write_state] {
            let error = write(&at("fifo"), b"x").unwrap_err().to_string();
            assert!(error.contains("is a FIFO"), "{error}");
        }
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut reader =
            OpenOptions::new().read(true).custom_flags(flags).open(at("fifo")).unwrap();
        write(&at("fifo"), b"text").unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!((read.as_str(), names(folder.path())), ("text", vec!["fifo".to_owned()]));
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert!(write(&at("socket"), b"x").unwrap_err().to_string().contains("is a socket"));
        write(&at("no/folder"), b"x").unwrap_err();
        write(Path::new("/"), b"x").unwrap_err();
    }
}
