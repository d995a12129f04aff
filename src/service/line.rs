//! One line of the log, complete, once the record that it was made from is gone.
//!
//! Pure but for the moment and the name of the thread. Texts and values are bounded and on one
//! line, whatever a camera or a file may put into them: control and direction characters are
//! escaped here, for the journal and the terminal alike. Only the trace of a panic, which is ours,
//! has several lines.

use std::fmt::{self, Write as _};
use std::thread;
use std::time::Instant;

use log::kv::{Key, Value, VisitSource};
use log::{Level, Record};

use super::journal::FIELDS;
use super::limit::Gap;
use crate::escape::{Escaped, EscapedLines};
use crate::events::{self, Event};

/// Longest text of a line, in bytes; the rest is cut off, and its length told.
pub const LONGEST_TEXT: usize = 16 * 1024;
/// Longest value of a field, in bytes; cut off likewise.
pub const LONGEST_FIELD: usize = 1024;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: Instant,
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) message: String,
    pub(super) file: Option<String>,
    pub(super) number: Option<u32>,
    /// The thread that logged it.
    pub(super) thread: Option<String>,
    pub(super) event: Option<Event>,
    /// The journal's names, and the values.
    pub(super) fields: Vec<(&'static str, String)>,
    /// Lines dropped just before this one.
    pub(super) missing: u64,
}

impl Line {
    pub(super) fn of(record: &Record<'_>) -> Self {
        let mut fields = Fields { event: None, fields: Vec::new() };
        // Values that cannot be shown are left out; the text says it all.
        let _ = record.key_values().visit(&mut fields);
        Self {
            at: Instant::now(),
            level: record.level(),
            target: record.target().into(),
            message: match fields.event {
                Some(event) if event == events::PANICKED => {
                    cut(LONGEST_TEXT, &EscapedLines(record.args()))
                }
                _ => cut(LONGEST_TEXT, &Escaped(record.args())),
            },
            file: record.file().map(Into::into),
            number: record.line(),
            thread: thread::current().name().map(Into::into),
            event: fields.event,
            fields: fields.fields,
            missing: 0,
        }
    }

    pub(super) fn of_dropped(count: u64) -> Self {
        let event = events::LOG_LOST;
        Self {
            at: Instant::now(),
            level: event.level,
            target: module_path!().into(),
            message: format!(
                "{count} lines of the log were left out here: they came faster than they were taken"
            ),
            file: Some(file!().into()),
            number: Some(line!()),
            thread: thread::current().name().map(Into::into),
            event: Some(event),
            fields: vec![("SQUINT_EVENT", event.name.into()), ("SQUINT_COUNT", count.to_string())],
            missing: 0,
        }
    }

    /// What the line is about, if it were of this event.
    pub(super) fn key(&self, event: Event) -> String {
        let mut key = event.name.to_owned();
        for name in ["SQUINT_CAMERA", "SQUINT_ENGINE", "SQUINT_SINK"] {
            key.push('\0');
            key.extend(
                self.fields
                    .iter()
                    .filter(|(field, _)| *field == name)
                    .map(|(_, value)| value.as_str()),
            );
        }
        key
    }

    /// Adds that lines were left out.
    pub(super) fn mention(&mut self, gap: Option<Gap>, what: fmt::Arguments<'_>) {
        let Some(Gap { count, span }) = gap else { return };
        let span = span.as_secs_f64().ceil().max(1.0);
        write!(self.message, " ({count} more {what} in the last {span} s)")
            .expect("a String takes every character");
        if self.fields.iter().all(|(name, _)| *name != "SQUINT_COUNT") {
            self.fields.push(("SQUINT_COUNT", count.to_string()));
        }
    }
}

/// Collects the pairs of a record that the journal knows and that have a value.
struct Fields {
    event: Option<Event>,
    fields: Vec<(&'static str, String)>,
}

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        if let Some((_, name)) = FIELDS.iter().find(|(known, _)| *known == key.as_str()) {
            let value = cut(LONGEST_FIELD, &Escaped(value));
            if key.as_str() == "event" {
                self.event = Event::named(&value);
            }
            if !value.is_empty() {
                self.fields.push((name, value));
            }
        }
        Ok(())
    }
}

/// `text` as a string of at most `longest` bytes; if there is more of it, that is said at its end.
fn cut(longest: usize, text: &dyn fmt::Display) -> String {
    let mut bounded = Bounded { text: String::new(), longest, left_out: 0 };
    write!(bounded, "{text}").expect("takes every character");
    let Bounded { mut text, left_out, .. } = bounded;
    if left_out > 0 {
        write!(text, "… ({left_out} bytes left out)").expect("a String takes every character");
    }
    text
}

/// Takes any number of characters and keeps the first.
struct Bounded {
    text: String,
    longest: usize,
    left_out: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = if self.left_out > 0 { 0 } else { self.longest - self.text.len() };
        let kept = part.floor_char_boundary(room);
        self.text.push_str(&part[..kept]);
        self.left_out += part.len() - kept;
        Ok(())
    }
}
