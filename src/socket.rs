//! A unix socket that listens at a path: who may have the path, who may connect, and who takes it
//! away again.
//!
//! Used by the reports' socket ([`crate::sink`]) and the control socket ([`crate::control`]). A
//! socket that a dead process left behind is replaced; anything else at the path is left alone.
//! Only the owner and the group may connect. The path appears when it can be connected to, not
//! before. No thread, no waiting.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::files;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A listening socket. Its file is removed at the end, if it is still this one.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    listener: UnixListener,
    /// Device and inode of the file.
    identity: (u64, u64),
}

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process listens on the socket.
    #[error("socket {}: another program listens there already; stop it or name another path", path.display())]
    Taken {
        /// The path.
        path: PathBuf,
    },
    /// Something else than a socket is at the path; it is left alone.
    #[error("socket {}: something that is not a socket is there already; remove it or name another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("socket {}: {source}; its folder must exist and be writable for the user squint runs as", path.display())]
    Failed {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Listening {
    /// Listens at `path`, for the owner and the group, without ever waiting in `accept`.
    pub fn open(path: &Path) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Failed { path: path.into(), source };
        SocketAddr::from_pathname(path).map_err(failed)?; // too long a path could be listened at, but not connected to
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            Err(error) => return Err(failed(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ListenError::NotASocket { path: path.into() });
            }
            Ok(_) => match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(failed(error));
                }
                _ => return Err(ListenError::Taken { path: path.into() }),
            },
        }
        // A socket has a name before it listens, and before its permissions are set: it gets the
        // one that others know last.
        let (unfinished, listener) = bind_beside(path).map_err(failed)?;
        let made = listener.set_nonblocking(true).and_then(|()| {
            let identity = open_to_the_group(&unfinished)?;
            fs::hard_link(&unfinished, path)?; // fails if somebody else has it by now
            Ok(Self { path: path.into(), listener, identity })
        });
        let _: io::Result<()> = fs::remove_file(&unfinished);
        made.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => ListenError::Taken { path: path.into() },
            _ => failed(error),
        })
    }

    /// To accept from; not blocking.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// True if somebody waits to be accepted.
    pub fn has_callers(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&at_once))
            .is_ok_and(|ready| ready > 0)
    }
}

/// Listens at a name beside `path` that nobody else takes or can guess; short, for the system
/// allows 107 bytes. Follows no link.
fn bind_beside(path: &Path) -> io::Result<(PathBuf, UnixListener)> {
    loop {
        let unfinished = path.with_file_name(format!(".{:08x}", files::unguessable() >> 32));
        match UnixListener::bind(&unfinished) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            made => return made.map(|listener| (unfinished, listener)),
        }
    }
}

/// Lets the group connect too; device and inode of the socket. Whatever takes its name meanwhile is
/// left as it is.
fn open_to_the_group(path: &Path) -> io::Result<(u64, u64)> {
    let flags = (OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed();
    let socket = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = socket.metadata()?;
    if !found.file_type().is_socket() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    fs::set_permissions(
        format!("/proc/self/fd/{}", socket.as_raw_fd()),
        Permissions::from_mode(0o660),
    )?;
    Ok((found.dev(), found.ino()))
}

impl Drop for Listening {
    /// Removes the socket file, if it is still this one.
    fn drop(&mut self) {
        let ours = |found: fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            let _: io::Result<()> = fs::remove_file(&self.path);
        }
    }
}
