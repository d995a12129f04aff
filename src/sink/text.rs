//! One line a frame for people, and on a terminal a status line below them that renews itself, see
//! [`super::status`].
//!
//! Names come from files and cameras, so nothing in them may steer the terminal: control and
//! direction characters are replaced.

use std::fmt::{self, Display, Write as _};
use std::io::Write;
use std::time::{Duration, Instant};

use super::publisher::Opening;
use super::status::{ERASE, Status};
use super::{Sink, SinkError};
use crate::escape::Escaped;
use crate::policy::{Code, Reason};
use crate::report::{DropReason, Outcome, Report};

/// Columns of the class name, probability included; longer names are cut.
const CLASS_WIDTH: usize = 28;
/// Widest camera and file columns; longer names are cut. Widest column of engines; longer ones push
/// the rest to the right.
const WIDEST: [usize; 3] = [16, 28, 46];

/// How lines may look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Escape sequences for colours are welcome.
    pub colour: bool,
    /// There is a cursor to move, so a status line is kept.
    pub terminal: bool,
    /// Frames to come, if known.
    pub total: Option<u64>,
}

impl Style {
    pub(super) fn of(opening: &Opening) -> Self {
        Self { colour: opening.colour, terminal: opening.terminal, total: opening.total }
    }

    /// `text` in a colour: an SGR parameter such as `2` (dim), `31` (red), `32` (green) or `33`
    /// (yellow).
    pub(super) fn paint<T: Display>(self, colour: &'static str, text: T) -> Painted<T> {
        Painted { colour: if self.colour { colour } else { "" }, text }
    }
}

/// Text that is shown in a colour, or plainly.
pub(super) struct Painted<T> {
    colour: &'static str,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.colour {
            "" => self.text.fmt(f),
            colour => write!(f, "\x1b[{colour}m{}\x1b[0m", self.text),
        }
    }
}

/// Lines for people on `W`, which is standard output but for tests.
pub struct Text<W: Write + Send> {
    out: W,
    style: Style,
    line: String,
    cell: String,
    widths: [usize; 3],
    status: Status,
    /// Taken, and lost after that; not yet told.
    lost: u64,
}

impl<W: Write + Send> Text<W> {
    /// Lines in this style.
    pub fn new(out: W, style: Style) -> Self {
        let (line, cell) = (String::with_capacity(512), String::with_capacity(128));
        Self { out, style, line, cell, widths: [0; 3], status: Status::default(), lost: 0 }
    }

    /// Writes the line of `report` at the moment `now`.
    pub fn write(&mut self, report: &Report, now: Instant) -> Result<(), SinkError> {
        self.status.note(report, now);
        self.line.clear();
        if self.style.terminal {
            self.line.push_str(ERASE);
        }
        self.compose(report).expect("a String takes every character");
        self.line.truncate(self.line.trim_end_matches(' ').len());
        self.line.push('\n');
        if self.style.terminal {
            self.status
                .compose(&mut self.line, self.style)
                .expect("a String takes every character");
        }
        self.send()
    }

    fn compose(&mut self, report: &Report) -> fmt::Result {
        let style = self.style;
        write!(self.cell, "{}", Escaped(&report.camera))?;
        self.column(0, "");
        write!(self.line, "{}  ", style.paint("2", format_args!("#{:>5}", report.sequence)))?;
        if let Some(file) = &report.file {
            write!(self.cell, "{}", Escaped(file))?;
        }
        if report.file.is_some() || self.widths[1] > 0 {
            self.column(1, "");
        }
        self.class(report)?;
        if self.widths[2] == 0 {
            self.widths[2] = expected_width(report);
        }
        engines(&mut self.cell, report)?;
        self.column(2, "36");
        write!(self.line, "{:>6.1} ms  ", taken(report).as_secs_f64() * 1e3)?;
        self.cell.clear();
        reasons(&mut self.cell, report)?;
        write!(self.line, "{}", style.paint("2", &self.cell))?;
        self.cell.clear();
        if let Some(engine) = report.withheld {
            let id = report.engines.get(usize::from(engine.0)).map_or("?", |id| id);
            let text = format_args!("  no {}: {}", Escaped(id), report.grant.because.why.name());
            write!(self.line, "{}", style.paint("33", text))?;
        }
        for why in DropReason::ALL.into_iter().filter(|why| report.drops.get(*why) > 0) {
            let text = format_args!("  −{} {}", report.drops.get(why), why.name());
            write!(self.line, "{}", style.paint("33", text))?;
        }
        Ok(())
    }

    /// Moves the cell to the line and fills it up to the widest cell so far of this column.
    fn column(&mut self, at: usize, colour: &'static str) {
        match at {
            0 => cut(&mut self.cell, WIDEST[0]),
            // The end of a path tells more than its start.
            1 => cut_front(&mut self.cell, WIDEST[1]),
            _ => (),
        }
        let width = self.cell.chars().count();
        self.widths[at] = self.widths[at].max(width.min(WIDEST[at]));
        self.line.push_str(&self.style.paint(colour, &self.cell).to_string());
        fill(&mut self.line, self.widths[at].saturating_sub(width) + 2);
        self.cell.clear();
    }

    /// What is seen and how sure it is.
    fn class(&mut self, report: &Report) -> fmt::Result {
        let best = report.attempts.answer.top.first().filter(|_| report.attempts.answer.ranked > 0);
        let (colour, note) = match report.outcome {
            Outcome::Answered if report.verdict.code == Code::Sure => ("32", ""),
            Outcome::Answered => ("33", ""),
            Outcome::Reused => ("2", "= "),
            Outcome::Abstained => ("33", "no answer"),
            Outcome::Failed => ("31", "failed"),
        };
        self.cell.push_str(note);
        let mut figure = String::new();
        if let (Outcome::Answered | Outcome::Reused, Some(top)) = (report.outcome, best) {
            match report
                .labels
                .classes
                .get(top.class as usize)
                .filter(|label| !label.name.is_empty())
            {
                Some(label) => write!(self.cell, "{}", Escaped(first_of(&label.name)))?,
                None => write!(self.cell, "class {}", top.class)?,
            }
            write!(figure, " {:.2}", top.probability)?;
        }
        cut(&mut self.cell, CLASS_WIDTH - figure.len());
        self.cell.push_str(&figure);
        let width = self.cell.chars().count();
        write!(self.line, "{}", self.style.paint(colour, &self.cell))?;
        fill(&mut self.line, CLASS_WIDTH - width + 2);
        self.cell.clear();
        Ok(())
    }

    fn send(&mut self) -> Result<(), SinkError> {
        self.out
            .write_all(self.line.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(SinkError::stdout)
    }
}

impl<W: Write + Send> Sink for Text<W> {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn wants_json(&self) -> bool {
        false
    }

    fn publish(&mut self, report: &Report, _json: &[u8]) -> Result<(), SinkError> {
        self.write(report, Instant::now())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.out.flush().map_err(SinkError::stdout)
    }

    /// Erases the status line.
    fn finish(&mut self) -> Result<(), SinkError> {
        self.line.clear();
        if self.style.terminal {
            self.line.push_str(ERASE);
        }
        let outcome = self.send();
        // Every line was taken, and still something is held back: one whose end could not be
        // written.
        self.lost += u64::from(
            outcome.as_ref().is_err_and(|error| !self.style.terminal && !error.is_closed()),
        );
        outcome
    }

    fn lost_later(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// Columns for two engines in a row, so that the first lines are aligned with those to come.
fn expected_width(report: &Report) -> usize {
    let longest = report.engines.iter().map(|id| id.chars().count()).max().unwrap_or(0);
    let width = if report.engines.len() > 1 { 2 * longest + 3 } else { longest };
    width.min(WIDEST[2])
}

/// What a person takes for the time an answer took: its age, but for pictures out of files without
/// the time they stood in line.
fn taken(report: &Report) -> Duration {
    let times = &report.times;
    let in_line = if report.file.is_some() { times.dispatch } else { Duration::ZERO };
    times.age.saturating_sub(in_line)
}

/// `lite0-160 → lite2-260`; an engine that failed is marked.
fn engines(cell: &mut String, report: &Report) -> fmt::Result {
    for (at, step) in report.attempts.steps.iter().enumerate() {
        let id = report.engines.get(usize::from(step.engine.0)).map_or("?", |id| id);
        let (arrow, mark) = (if at > 0 { " → " } else { "" }, if step.answered { "" } else { "✗" });
        write!(cell, "{arrow}{}{mark}", Escaped(id))?;
    }
    Ok(())
}

/// `(unsure 0.41<0.62 → sure 0.83≥0.62)`: why each engine was asked, then why the outcome. That a
/// chain was entered, or that the only engine was asked, goes without saying.
fn reasons(cell: &mut String, report: &Report) -> fmt::Result {
    let steps = report.attempts.steps.iter().map(|step| step.why);
    let told =
        steps.filter(|why| !matches!(why.code, Code::Entry | Code::Fixed)).chain([report.verdict]);
    for (at, why) in told.enumerate() {
        cell.push_str(if at > 0 { " → " } else { "(" });
        reason(cell, why)?;
    }
    cell.push(')');
    Ok(())
}

fn reason(cell: &mut String, why: Reason) -> fmt::Result {
    cell.push_str(why.code.name());
    match (why.value, why.limit, why.code) {
        (Some(value), Some(limit), Code::OutOfTime) => write!(cell, " {value:.0}<{limit:.0} ms"),
        (Some(value), Some(limit), Code::Budget) => write!(cell, " {value:.1}/{limit:.1}"),
        (Some(value), Some(limit), _) => {
            let sign = if value < limit { '<' } else { '≥' };
            write!(cell, " {value:.2}{sign}{limit:.2}")
        }
        (Some(value), None, _) => write!(cell, " {value:.2}"),
        (None, _, _) => Ok(()),
    }
}

fn fill(line: &mut String, columns: usize) {
    line.extend(std::iter::repeat_n(' ', columns));
}

/// A class as people call it: of a long list of synonyms the first one.
fn first_of(name: &str) -> &str {
    match name.split_once(", ") {
        Some((first, _)) if name.chars().count() > CLASS_WIDTH - " 0.00".len() => first,
        _ => name,
    }
}

/// Cuts `text` to `columns` characters, the last of them an ellipsis.
fn cut(text: &mut String, columns: usize) {
    if text.chars().count() > columns {
        let end =
            text.char_indices().nth(columns.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
        text.truncate(end);
        text.push('…');
    }
}

/// Cuts `text` to its last `columns` characters, the first of them an ellipsis.
fn cut_front(text: &mut String, columns: usize) {
    let count = text.chars().count();
    if count > columns {
        let start = text.char_indices().nth(count + 1 - columns).map_or(text.len(), |(at, _)| at);
        text.replace_range(..start, "…");
    }
}
