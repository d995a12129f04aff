//! The control socket: the daemon's status and its controls, as HTTP/1.1 on a unix socket.
//!
//! [`protocol`] reads and writes the bytes, `acceptor` collects requests, `route` decides what a
//! request does, `peer` who may change something, [`Server`] owns the threads, [`client`] is the
//! other end, which shows a [`page`]. The daemon stands behind [`Steering`]. With a loopback port,
//! the same server serves metrics and health there, read-only. Clients cannot hold up a frame: the
//! status is made from copies. Routes and limits are in docs/reference/control.md.

mod acceptor;
pub mod client;
pub mod page;
mod peer;
mod process;
pub mod protocol;
mod route;
mod server;
mod wire;

use std::io;

use crate::observe::State;
use crate::socket::ListenError;

pub use server::Server;

/// Where a daemon that was installed as a service listens; what the client asks if nobody says
/// otherwise.
pub const DEFAULT_SOCKET: &str = "/run/squint/control.sock";

/// What the daemon lets others see and do. Called on the server's threads, several at once;
/// `reload` and `set` may take seconds.
pub trait Steering: Send + Sync {
    /// Everything at this moment. Cheap; must never wait for the frame path.
    fn state(&self) -> State;

    /// Reads configuration, engines and policy again. `Ok`: a sentence on what is in force now;
    /// `Err`: why the old stays.
    fn reload(&self) -> Result<String, String>;

    /// Changes a setting until the next reload or restart. `Ok`: a sentence on what is in force
    /// now; `Err`: why nothing changed.
    fn set(&self, what: Setting, value: &str) -> Result<String, String>;
}

/// What can be set at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Least important message that is logged: `error`, `warn`, `info`, `debug` or `trace`; checked
    /// before it reaches [`Steering::set`].
    LogLevel,
    /// The policy: a name or a path.
    Policy,
    /// How hard to look, see [`crate::vocabulary::Mode`]; checked before it reaches
    /// [`Steering::set`].
    Mode,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LogLevel, Self::Policy, Self::Mode];

    /// The word on the command line and in the route.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogLevel => "log-level",
            Self::Policy => "policy",
            Self::Mode => "mode",
        }
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody can listen on the socket.
    #[error("control.socket: {0}")]
    Socket(#[from] ListenError),
    /// Nobody can listen on the port.
    #[error(
        "control.http-port: 127.0.0.1:{port}: {source}; stop what uses it or name another port from 1 to 65535"
    )]
    Port {
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The operating system refused a thread.
    #[error("cannot start the thread that listens for control requests: {0}")]
    Thread(io::Error),
}
