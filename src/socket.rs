//! A unix socket that listens at a path: who may have the path, who may connect, and who takes it away again.
//!
//! Used by the reports' socket ([`crate::sink`]) and the control socket ([`crate::control`]). A socket that a dead process left behind is
//! replaced; anything else at the path is left alone. Only the owner and the group may connect. No thread, no waiting.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

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
        let listener = UnixListener::bind(path).map_err(failed)?;
        let made = fs::symlink_metadata(path).map_err(failed)?;
        let listening = Self { path: path.into(), listener, identity: (made.dev(), made.ino()) };
        fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(failed)?;
        listening.listener.set_nonblocking(true).map_err(failed)?;
        Ok(listening)
    }

    /// To accept from; not blocking.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
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
