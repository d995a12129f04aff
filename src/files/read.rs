//! Reads files that others wrote: of each no more than its limit, and without ever waiting for one.
//!
//! A path may be a FIFO that nobody writes to, a device that has no end or does something when it
//! is opened, a folder. So the kind is asked before the file is opened and again afterwards, and it
//! is opened without waiting.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{is_handed_over, wrong_kind};

const ALLOWED: &str = "only a regular file is read here";

/// Opens the regular file `path`, which may be a link to one, for reading. Never waits for the
/// file. Errors if it is anything else, naming what it is, and with [`ErrorKind::InvalidData`] if
/// it has more than `limit` bytes now. It may grow: who reads has a limit, too.
pub(crate) fn open(path: &Path, limit: u64) -> Result<File> {
    let file = regular(path)?;
    if file.metadata()?.len() > limit { Err(larger(limit)) } else { Ok(file) }
}

/// [`open`] without a limit, for files that are read piece by piece.
pub(crate) fn regular(path: &Path) -> Result<File> {
    checked(path, OFlags::empty())
}

/// All of the regular file `path`. Errors as [`open`].
pub(crate) fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    up_to(limit, open(path, limit)?)
}

/// The same, as text.
pub(crate) fn text(path: &Path, limit: u64) -> Result<String> {
    utf8(bytes(path, limit)?)
}

/// [`bytes`] of a file that somebody names on a command line and waits for: also of a pipe or a
/// terminal that the shell handed over, as `/dev/stdin` or `<(...)`. That one is read to its end,
/// and cannot be read twice. A FIFO with a name in a folder is refused as in [`bytes`].
pub(crate) fn typed_bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    up_to(limit, typed(path)?)
}

/// The same, as text.
pub(crate) fn typed_text(path: &Path, limit: u64) -> Result<String> {
    utf8(typed_bytes(path, limit)?)
}

/// What [`typed_bytes`] reads, open.
pub(crate) fn typed(path: &Path) -> Result<File> {
    if !is_handed_over(path) || fs::metadata(path)?.is_file() {
        return regular(path);
    }
    let file = without_waiting(path, OFlags::empty())?;
    let kind = file.metadata()?.file_type();
    if !kind.is_fifo() && !kind.is_char_device() {
        return Err(wrong_kind(kind, ALLOWED));
    }
    // Somebody is on the other side and may take a while to write.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// [`text`] of a file that Squint itself keeps, such as what it learned of a board. A symbolic link
/// is refused: nobody but Squint has to write there, so a link is a mistake or a trap.
pub(crate) fn state_text(path: &Path, limit: u64) -> Result<String> {
    utf8(up_to(limit, state(path)?)?)
}

/// What [`state_text`] reads, open.
pub(crate) fn state(path: &Path) -> Result<File> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_symlink() {
        return Err(wrong_kind(
            kind,
            "what Squint keeps is read through no link; name the file itself",
        ));
    }
    checked(path, OFlags::NOFOLLOW)
}

/// Opens what is a regular file before and after, with `flags` more.
fn checked(path: &Path, flags: OFlags) -> Result<File> {
    let is_regular =
        |kind: fs::FileType| if kind.is_file() { Ok(()) } else { Err(wrong_kind(kind, ALLOWED)) };
    // Before it is opened: to open a device may be to use it.
    is_regular(fs::metadata(path)?.file_type())?;
    let file = without_waiting(path, flags)?;
    is_regular(file.metadata()?.file_type())?;
    Ok(file)
}

fn without_waiting(path: &Path, flags: OFlags) -> Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn up_to(limit: u64, file: File) -> Result<Vec<u8>> {
    let told = file.metadata()?.len();
    if told > limit {
        return Err(larger(limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(told).unwrap_or(0) + 1);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| {
        match error.kind() {
            ErrorKind::WouldBlock => {
                Error::new(error.kind(), "has nothing to read now, and is not waited for")
            }
            _ => error,
        }
    })?;
    if bytes.len() as u64 > limit { Err(larger(limit)) } else { Ok(bytes) }
}

pub(super) fn larger(limit: u64) -> Error {
    let what = format!(
        "larger than {limit} bytes, the most that is read of such a file; is it the right one?"
    );
    Error::new(ErrorKind::InvalidData, what)
}

fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        Error::new(
            ErrorKind::InvalidData,
            format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_refused_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(text(&path, 3).unwrap(), "abc");
        for error in [
            text(&path, 2).unwrap_err(),
            open(&path, 2).unwrap_err(),
            state_text(&path, 2).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains("larger than 2 bytes"), "{error}");
        }
        // A file of the kernel's says that it has no bytes.
        let error = bytes(Path::new("/proc/self/status"), 9).unwrap_err().to_string();
        assert!(error.contains("larger than 9 bytes"), "{error}");
        fs::write(&path, b"a\xff").unwrap();
        assert!(text(&path, 9).unwrap_err().to_string().contains("byte 1"));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_by_its_kind_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink("fifo", at("link")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let cases = [
            (at("fifo"), "is a FIFO; only a regular file"),
            (at("link"), "is a FIFO; only a regular file"),
            (at("socket"), "is a socket"),
            ("/dev/zero".into(), "is a character device"),
            ("/dev/random".into(), "is a character device"),
            (at("."), "is a folder"),
        ];
        for (path, said) in cases {
            for error in [
                bytes(&path, 9).unwrap_err(),
                typed_bytes(&path, 9).unwrap_err(),
                open(&path, 9).unwrap_err(),
            ] {
                assert!(error.to_string().contains(said), "{}: {error}", path.display());
            }
        }
        assert_eq!(text(folder.path(), 9).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(text(&at("nothing"), 9).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_that_the_shell_hands_over_is_read_to_its_end_where_somebody_types_and_nowhere_else() {
        for folder in ["/dev/fd", "/proc/self/fd"] {
            let (ours, mut theirs) = std::io::pipe().unwrap();
            let path = Path::new(folder).join(ours.as_raw_fd().to_string());
            assert!(text(&path, 9).unwrap_err().to_string().contains("is a FIFO"));
            let writer = std::thread::spawn(move || {
                std::thread::yield_now();
                theirs.write_all(b"typed").unwrap();
            });
            assert_eq!(typed_text(&path, 5).unwrap(), "typed");
            writer.join().unwrap();
        }
        let (ours, mut theirs) = std::io::pipe().unwrap();
        theirs.write_all(b"too much").unwrap();
        let path = Path::new("/dev/fd").join(ours.as_raw_fd().to_string());
        assert_eq!(
            typed_text(&path, 3).unwrap_err().kind(),
            ErrorKind::InvalidData,
            "though its writer has not ended"
        );
    }

    #[test]
    fn what_squint_keeps_is_read_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("secret"), "s").unwrap();
        symlink("secret", at("state")).unwrap();
        let error = state_text(&at("state"), 9).unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
        assert_eq!(state_text(&at("secret"), 9).unwrap(), "s");
        assert_eq!(text(&at("state"), 9).unwrap(), "s", "what others wrote may be a link");
    }
}
