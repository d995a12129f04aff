//! A unix socket that listens at a path: who may have the path, who may connect, and who takes it away again.
//!
//! Used by the reports' socket ([`crate::sink`]) and the control socket ([`crate::control`]). A socket that a dead process left behind is
//! replaced; anything else at the path is left alone. Only the owner and the group may connect. The path appears when it can be connected
//! to, not before. No thread, no waiting.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

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
            Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket { path: path.into() }),
            Ok(_) => match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed)?,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(failed(error)),
                _ => return Err(ListenError::Taken { path: path.into() }),
            },
        }
        // A socket has a name before it listens, and before its permissions are set: it gets the one that others know last.
        let unfinished = unfinished(path);
        let made = UnixListener::bind(&unfinished).and_then(|listener| {
            listener.set_nonblocking(true)?;
            fs::set_permissions(&unfinished, Permissions::from_mode(0o660))?;
            let found = fs::symlink_metadata(&unfinished)?;
            fs::hard_link(&unfinished, path)?; // fails if somebody else has it by now
            Ok(Self { path: path.into(), listener, identity: (found.dev(), found.ino()) })
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
        poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
    }
}

/// A name beside `path` that nobody else takes; short, for the system allows 107 bytes.
fn unfinished(path: &Path) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    path.with_file_name(format!(".{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)))
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
