//! What TensorRT says while it works, kept until somebody wants to know why something failed.
//!
//! Written to from any thread of the library, so nothing here waits, and a line that finds no room
//! pushes the oldest out.

use crossbeam_channel::{Receiver, Sender, bounded};
use log::Level;

/// Lines that are kept.
const LINES: usize = 64;
/// Longest line, bytes.
const LONGEST: usize = 400;
/// Lines that go into an error.
const TOLD: usize = 3;

/// One line.
struct Line {
    /// As TensorRT counts: 0 internal error, 1 error, 2 warning, 3 info, 4 verbose.
    severity: i32,
    text: String,
}

/// The newest lines of a library's log.
pub(super) struct Log {
    write: Sender<Line>,
    read: Receiver<Line>,
}

impl Log {
    pub(super) fn new() -> Self {
        let (write, read) = bounded(LINES);
        Self { write, read }
    }

    /// Takes a line down. Never waits; verbose ones are dropped.
    pub(super) fn note(&self, severity: i32, text: &str) {
        if severity >= 4 {
            return;
        }
        let mut end = text.len().min(LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        if let Err(full) = self.write.try_send(Line { severity, text }) {
            let _ = self.read.try_recv();
            let _ = self.write.try_send(full.into_inner());
        }
    }

    /// Passes everything on to the program's own log and returns the last errors and warnings, on
    /// one line; empty if there were none.
    pub(super) fn drain(&self) -> String {
        let mut serious = Vec::new();
        for Line { severity, text } in self.read.try_iter() {
            let level = if severity <= 2 { Level::Debug } else { Level::Trace };
            log::log!(target: "tensorrt", level, "{text}");
            // The ones that come back in an error value are told where it is handled.
            if severity <= 2 {
                serious.push((severity, text));
            }
        }
        // Errors explain better than warnings.
        if serious.iter().any(|(severity, _)| *severity <= 1) {
            serious.retain(|(severity, _)| *severity <= 1);
        }
        let start = serious.len().saturating_sub(TOLD);
        serious[start..].iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_push_warnings_aside_and_only_the_last_are_told() {
        let log = Log::new();
        log.note(2, "slow");
        assert_eq!(log.drain(), "slow");
        log.note(2, "slow");
        (0..4).for_each(|number| log.note(1, &format!("error  {number}\n")));
        log.note(3, "for your information");
        assert_eq!(log.drain(), "error 1; error 2; error 3");
        assert_eq!(log.drain(), "", "what was told is gone");
    }

    #[test]
    fn a_flood_keeps_the_newest_lines_and_a_long_one_is_cut_between_letters() {
        let log = Log::new();
        (0..10 * LINES).for_each(|number| log.note(1, &number.to_string()));
        assert!(log.drain().ends_with(&(10 * LINES - 1).to_string()));
        log.note(1, &"ü".repeat(LONGEST));
        assert_eq!(log.drain().chars().count(), LONGEST / 2);
    }
}
