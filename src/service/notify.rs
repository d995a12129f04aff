//! What systemd is told: ready, reloading, stopping, alive, and a line of status (sd_notify(3)).
//!
//! Without `NOTIFY_SOCKET` every call does nothing. Nobody here waits for a systemd that does not
//! read: the libraries that speak this protocol send without a limit, and a stuck PID 1 would keep
//! Squint from stopping. What cannot be sent in time is lost, and told to whoever can say it again.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::time::Duration;

use libsystemd::daemon;

use crate::escape::needs_escape;

/// How long a message may wait for systemd to read the ones before.
const PATIENCE: Duration = Duration::from_millis(100);

/// True if somebody listens.
pub fn is_heard() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// How long systemd waits for a sign of life before it takes action; `None` if it does not watch.
pub fn watchdog() -> Option<Duration> {
    daemon::watchdog_enabled(false).filter(|period| !period.is_zero())
}

/// Everything works. False if that has to be said again.
pub fn ready(status: &str) -> bool {
    send(&format!("READY=1\nSTATUS={}\n", line(status)))
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    // The moment is for `Type=notify-reload` (systemd 253); others do not mind.
    send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
}

/// Squint is coming to its end.
pub fn stopping() {
    send("STOPPING=1\nSTATUS=stopping: finishing the frames on their way\n");
}

/// What `systemctl status` shows.
pub fn status(status: &str) {
    send(&format!("STATUS={}\n", line(status)));
}

/// There was progress.
pub fn alive() {
    send("WATCHDOG=1\n");
}

/// A status is one line, and of a length that a person reads.
fn line(status: &str) -> String {
    const LONGEST: usize = 500;
    let mut line = status.replace(needs_escape, " ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push_str(" ...");
    }
    line
}

/// False if it was not sent though somebody listens.
fn send(message: &str) -> bool {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return true;
    };
    match send_to(&socket, message) {
        Ok(()) => true,
        Err(error) => {
            log::debug!("systemd cannot be told: {error}");
            false
        }
    }
}

/// Made with the first message and kept: a process that has run out of descriptors must still be
/// able to say that it lives.
fn voice() -> io::Result<&'static UnixDatagram> {
    static VOICE: OnceLock<UnixDatagram> = OnceLock::new();
    if let Some(voice) = VOICE.get() {
        return Ok(voice);
    }
    let voice = UnixDatagram::unbound()?;
    voice.set_write_timeout(Some(PATIENCE))?;
    Ok(VOICE.get_or_init(|| voice))
}

/// A path, or an abstract name that starts with `@`.
fn send_to(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    voice()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        assert_eq!(line("a\nb"), "a b");
        assert_eq!(line(&"ä".repeat(10_000)).chars().count(), 504);
    }

    #[test]
    fn it_is_sent_to_a_path_and_to_an_abstract_name_but_nobody_waits_for_a_deaf_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("squint-test-{}", std::process::id());
        let by_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, place) in
            [(&by_path, path.as_os_str().to_owned()), (&by_name, format!("@{name}").into())]
        {
            send_to(&place, "READY=1\n").unwrap();
            let mut said = [0; 64];
            let length = socket.recv(&mut said).unwrap();
            assert_eq!(&said[..length], b"READY=1\n");
            let deaf = (0..10_000).find_map(|_| send_to(&place, "WATCHDOG=1\n").err());
            assert!(
                deaf.is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock),
                "its queue is full at some time"
            );
        }
        assert!(send_to(OsStr::new("/nowhere/notify"), "READY=1\n").is_err());
    }
}
