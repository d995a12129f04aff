//! The terminal that Squint was started from, whether it is still there, and the meaning of SIGHUP
//! that follows.
//!
//! SIGHUP has two meanings: a service reads its files again, and a program has lost its terminal.
//! How Squint was started decides which of the two holds. [`decide`] is pure; the rest asks the
//! system.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::notify;

/// What a SIGHUP asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// Read everything again.
    Reload,
    /// Come to the end in good order.
    End,
}

/// How Squint was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// systemd, or whatever stands for it, looks after Squint.
    managed: bool,
    /// SIGHUP was ignored at the start, as `nohup` has it; then it stays so.
    ignored: bool,
    /// There is a configuration file that could be read again.
    configured: bool,
    /// It was started from a terminal.
    tied: bool,
    /// Standard output or standard error is a terminal.
    watched: bool,
}

impl Launch {
    /// As this process finds itself. `configured`: there is a file that could be read again.
    pub fn here(configured: bool) -> Self {
        let watched = io::stdout().is_terminal() || io::stderr().is_terminal();
        Self {
            managed: notify::is_heard(),
            ignored: is_hangup_ignored(),
            configured,
            tied: look() == Some(true),
            watched,
        }
    }

    /// True if SIGHUP is to be left ignored.
    pub fn ignores_hangups(&self) -> bool {
        self.ignored && !self.managed
    }

    /// What a SIGHUP means that has just come.
    pub fn hangup(&self) -> Hangup {
        decide(*self, self.is_cut())
    }

    /// True once the terminal that Squint was started from and writes to has gone away: nobody can
    /// see it or stop it from there any more. Whoever sent the output elsewhere, or started it with
    /// `nohup`, wants it to go on.
    pub fn is_lost(&self) -> bool {
        self.watched && !self.managed && !self.ignored && self.is_cut()
    }

    fn is_cut(&self) -> bool {
        self.tied && look() == Some(false)
    }
}

/// `cut`: the terminal that it was started from is gone.
fn decide(launch: Launch, cut: bool) -> Hangup {
    if launch.managed || (launch.configured && !cut) { Hangup::Reload } else { Hangup::End }
}

/// Whether this process has a terminal now; `None` if that cannot be told.
fn look() -> Option<bool> {
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open("/dev/tty") {
        Ok(_) => Some(true),
        Err(error) => {
            let gone =
                [Errno::NXIO, Errno::IO, Errno::NODEV].map(|errno| Some(errno.raw_os_error()));
            gone.contains(&error.raw_os_error()).then_some(false)
        }
    }
}

/// Whether SIGHUP is ignored, as /proc tells it.
fn is_hangup_ignored() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit 0 is signal 1, SIGHUP.
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_reloads_a_service_and_ends_what_has_lost_its_terminal() {
        let free = Launch::default();
        let (managed, configured) =
            (Launch { managed: true, ..free }, Launch { configured: true, ..free });
        assert_eq!(decide(managed, false), Hangup::Reload, "systemd, without a configuration");
        assert_eq!(decide(Launch { tied: true, ..managed }, true), Hangup::Reload);
        assert_eq!(decide(configured, false), Hangup::Reload, "a daemon of somebody's own");
        assert_eq!(
            decide(Launch { tied: true, ..configured }, false),
            Hangup::Reload,
            "kill -HUP beside a terminal that is there"
        );
        assert_eq!(
            decide(Launch { tied: true, ..configured }, true),
            Hangup::End,
            "the terminal is gone"
        );
        assert_eq!(decide(free, false), Hangup::End, "there is nothing to read again");
    }

    #[test]
    fn nohup_is_known_by_the_mask_of_ignored_signals() {
        assert!(ignores_hangup(
            "Name:\tsquint\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"
        ));
        assert!(!ignores_hangup("Name:\tsquint\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup("SigIgn:\tx\n") && !ignores_hangup(""));
    }
}
