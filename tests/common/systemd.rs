//! A stand-in for systemd, and for whoever asks the daemon on its control socket.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::program::{Daemon, SOON, squint as program, write};

/// Stands in for systemd: hears what the service says.
pub(crate) struct Systemd {
    /// Where its socket is, and the configuration.
    pub(crate) folder: tempfile::TempDir,
    socket: UnixDatagram,
    /// Everything heard, with the moment.
    pub(crate) heard: Vec<(Instant, String)>,
}

impl Systemd {
    /// Nobody has spoken yet.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { folder, socket, heard: Vec::new() }
    }

    /// A service with a configuration file of this text, watched with this patience.
    pub(crate) fn service(&self, config: &str, watchdog: Duration) -> Daemon {
        let file = self.config(config);
        self.watches(program(["run", "--config", file.to_str().unwrap()]), watchdog)
    }

    /// A service with this command line, watched with this patience.
    pub(crate) fn watches(&self, mut command: Command, watchdog: Duration) -> Daemon {
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        Daemon::start(command)
    }

    /// Writes the configuration file.
    pub(crate) fn config(&self, text: &str) -> PathBuf {
        write(self.folder.path().join("squint.toml"), text)
    }

    /// Where the daemon may be asked.
    pub(crate) fn control(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// Hears what has been said.
    pub(crate) fn listen(&mut self) {
        let mut message = [0; 4096];
        loop {
            match self.socket.recv(&mut message) {
                Ok(length) => self
                    .heard
                    .push((Instant::now(), String::from_utf8(message[..length].to_vec()).unwrap())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until it has heard `what` since `from`; the moment.
    pub(crate) fn until(&mut self, service: &mut Daemon, what: &str, from: usize) -> Instant {
        let mut at = None;
        service.until(&format!("systemd hears {what}"), |_| {
            self.listen();
            at = self.heard[from..].iter().find(|(_, said)| said.contains(what)).map(|(at, _)| *at);
            at.is_some()
        });
        at.unwrap()
    }

    /// How often the watchdog was fed, lately: between `since` and now.
    pub(crate) fn fed(&mut self, since: Instant) -> usize {
        self.listen();
        self.heard.iter().filter(|(at, said)| *at >= since && said.contains("WATCHDOG=1")).count()
    }

    /// Whether it has heard this.
    pub(crate) fn said(&self, what: &str) -> bool {
        self.heard.iter().any(|(_, said)| said.contains(what))
    }
}

/// Asks the daemon, as `curl --unix-socket` would.
pub(crate) fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: squint\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// How the daemon says it is.
pub(crate) fn status(socket: &Path) -> Value {
    let answer = ask(socket, "GET /status");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}
