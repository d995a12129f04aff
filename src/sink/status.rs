//! The status line under the frames on a terminal: how far, how fast, how much was dropped.
//!
//! It ends at the left edge, so that whatever is printed next (a log line, a shell's prompt) starts
//! there.

use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use super::table::bar;
use super::text::Style;
use crate::report::Report;

/// Erases the line the cursor is in.
pub(super) const ERASE: &str = "\r\x1b[2K";
/// Without line wrap, and with it again: a narrow terminal cuts the line instead of scrolling.
const UNWRAPPED: [&str; 2] = ["\x1b[?7l", "\r\x1b[?7h"];
/// The frame rate is that of the last whole window.
const WINDOW: Duration = Duration::from_secs(1);

/// What the line tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Status {
    /// Frames with an outcome, and dropped ones.
    done: u64,
    dropped: u64,
    rate: Option<f64>,
    window: Option<(Instant, u64)>,
}

impl Status {
    pub(super) fn note(&mut self, report: &Report, now: Instant) {
        self.dropped += report.drops.total();
        self.done += 1 + report.drops.total();
        let (since, before) = *self.window.get_or_insert((now, self.done));
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            self.rate = Some((self.done - before) as f64 / passed.as_secs_f64());
            self.window = Some((now, self.done));
        }
    }

    pub(super) fn compose(&self, line: &mut String, style: Style) -> fmt::Result {
        line.push_str(UNWRAPPED[0]);
        match style.total.filter(|total| *total > 0) {
            Some(total) => {
                let share = (self.done as f64 / total as f64).min(1.0);
                write!(
                    line,
                    "  {} {:>3.0} %  {} of {total}",
                    style.paint("36", bar(share, 24)),
                    share * 100.0,
                    self.done
                )?;
            }
            None => write!(line, "  {} frames", self.done)?,
        }
        if let Some(rate) = self.rate {
            write!(line, "  {rate:.1} fps")?;
            let left = style
                .total
                .map(|total| total.saturating_sub(self.done) as f64 / rate)
                .filter(|left| left.is_finite());
            if let Some(left) = left.filter(|left| *left >= 1.0) {
                write!(line, "  {}:{:02} left", left as u64 / 60, left as u64 % 60)?;
            }
        }
        if self.dropped > 0 {
            write!(line, "  {}", style.paint("33", format_args!("{} dropped", self.dropped)))?;
        }
        line.push_str(UNWRAPPED[1]);
        Ok(())
    }
}
