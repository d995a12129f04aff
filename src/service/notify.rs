//! What systemd is told: ready, reloading, stopping, alive, and a line of status.
//!
//! Without `NOTIFY_SOCKET` every call does nothing. A message that cannot be sent is not worth more than a debug line: systemd draws
//! its own conclusions from what it does not hear.

use std::time::Duration;

use libsystemd::daemon::{self, NotifyState};

/// True if somebody listens.
pub fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// How long systemd waits for a sign of life before it takes action; `None` if it does not watch.
pub fn watchdog() -> Option<Duration> {
    daemon::watchdog_enabled(false).filter(|period| !period.is_zero())
}

/// Everything works.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, line(status)]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    // For `Type=notify-reload` (systemd 253); others do not mind.
    send(&[NotifyState::Reloading, NotifyState::Other(format!("MONOTONIC_USEC={micros}"))]);
}

/// Squint is coming to its end.
pub fn stopping() {
    send(&[NotifyState::Stopping, line("stopping: finishing the frames on their way")]);
}

/// What `systemctl status` shows.
pub fn status(status: &str) {
    send(&[line(status)]);
}

/// There was progress.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// A status is one line, and of a length that a person reads.
fn line(status: &str) -> NotifyState {
    const LONGEST: usize = 500;
    let mut line = status.replace(char::is_control, " ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push_str(" ...");
    }
    NotifyState::Status(line)
}

fn send(what: &[NotifyState]) {
    if let Err(error) = daemon::notify(false, what) {
        log::debug!("systemd cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        let NotifyState::Status(short) = line("a\nb") else { panic!("a status") };
        assert_eq!(short, "a b");
        let NotifyState::Status(long) = line(&"ä".repeat(10_000)) else { panic!("a status") };
        assert_eq!(long.chars().count(), 504);
    }
}
