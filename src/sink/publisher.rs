//! All configured sinks as one: renders a report at most once, hands it to each, counts and logs
//! what went wrong.
//!
//! A failing sink never keeps a report from the others. Its trouble is logged when it starts and
//! when it is over, with the number of records it cost; in between it is only counted.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;

use log::{info, warn};

use super::record::{write_record, write_record_with_features};
use super::{AsyncStdout, File, Ledger, Lines, Sink, SinkError, Socket, StdoutJson, Style, Text};
use crate::config::{Output, Stdout};
use crate::events;
use crate::report::Report;

/// What the sinks must know beyond the configuration.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// Standard output is a terminal.
    pub terminal: bool,
    /// Colours are welcome on it.
    pub colour: bool,
    /// At least one camera is live, so records are handed on at once.
    pub live: bool,
    /// Frames to come, if every source is finite and says how many.
    pub total: Option<u64>,
    /// Records carry the feature values.
    pub features: bool,
}

impl Opening {
    /// As this process finds standard output: a terminal has colours unless `NO_COLOR` is set or
    /// `TERM` is `dumb` (<https://no-color.org>).
    pub fn here(live: bool, total: Option<u64>) -> Self {
        let terminal = io::stdout().is_terminal() && smart();
        Self { terminal, colour: terminal && colourful(), live, total, features: false }
    }
}

fn smart() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

fn colourful() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The style of what goes to standard error, by the same rules.
pub fn stderr_style() -> Style {
    Style { colour: io::stderr().is_terminal() && smart() && colourful(), ..Style::default() }
}

/// Standard output by itself. Not io::stdout(): a thread that hangs in a write would keep everybody
/// from its lock, and what it holds back could not be cut into lines.
fn stdout(patient: bool) -> Result<Lines, SinkError> {
    let out = io::stdout().as_fd().try_clone_to_owned().map_err(SinkError::stdout)?;
    Ok(Lines::on(fs::File::from(out), patient))
}

/// What became of the records given to one sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Delivered.
    pub delivered: u64,
    /// Lost.
    pub lost: u64,
}

/// The sinks. Owned by the sink thread.
pub struct Publisher {
    slots: Vec<Slot>,
    ledger: Arc<Ledger>,
    features: bool,
    json: Vec<u8>,
}

struct Slot {
    sink: Box<dyn Sink>,
    published: Published,
    /// Records lost since the trouble began; `None` while all is well.
    trouble: Option<u64>,
    /// Of the lost ones those that a reader missed by its own fault.
    missed: u64,
    closed: bool,
}

impl Publisher {
    /// Opens every sink that `output` names; the first that cannot be opened is the error.
    pub fn open(output: &Output, opening: &Opening) -> Result<Self, SinkError> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        // The socket and the file come first: they fail with a message, and then nothing has been
        // printed yet.
        if let Some(path) = &output.socket {
            sinks.push(Box::new(Socket::open(path)?));
        }
        if let Some(file) = &output.file {
            sinks.push(Box::new(File::open(file)?));
        }
        let style = Style::of(opening);
        let json =
            output.stdout == Stdout::Json || (output.stdout == Stdout::Auto && !opening.terminal);
        match output.stdout {
            Stdout::None => (),
            _ if opening.live => {
                sinks.push(Box::new(AsyncStdout::new(stdout(false)?, |writer| match json {
                    true => Box::new(StdoutJson::new(writer, true)),
                    false => Box::new(Text::new(writer, style)),
                })?));
            }
            _ if json => sinks.push(Box::new(StdoutJson::new(stdout(true)?, false))),
            _ => sinks.push(Box::new(Text::new(stdout(true)?, style))),
        }
        Ok(Self::with(sinks, opening.features))
    }

    /// These sinks. `features`: records carry the feature values.
    pub fn with(sinks: Vec<Box<dyn Sink>>, features: bool) -> Self {
        let slot = |sink| Slot {
            sink,
            published: Published::default(),
            trouble: None,
            missed: 0,
            closed: false,
        };
        let slots: Vec<_> = sinks.into_iter().map(slot).collect();
        let ledger = Ledger::new(slots.iter().map(|slot| slot.sink.name()));
        Self { slots, ledger, features, json: Vec::with_capacity(4096) }
    }

    /// Hands `report` to every sink. The only error is [`SinkError::Closed`]: the others have the
    /// report, and it is time to stop.
    pub fn publish(&mut self, report: &Report) -> Result<(), SinkError> {
        self.json.clear();
        if self.slots.iter().any(|slot| !slot.closed && slot.sink.wants_json()) {
            match self.features {
                true => write_record_with_features(report, &mut self.json),
                false => write_record(report, &mut self.json),
            }
        }
        each(&mut self.slots, &self.ledger, 1, |sink| sink.publish(report, &self.json))
    }

    /// Hands on whatever the sinks hold back.
    pub fn flush(&mut self) -> Result<(), SinkError> {
        each(&mut self.slots, &self.ledger, 0, |sink| sink.flush())
    }

    /// The last call: everybody gets what was held back. What a sink lost since its trouble began
    /// is told now, if it is not over.
    pub fn finish(&mut self) -> Result<(), SinkError> {
        let outcome = each(&mut self.slots, &self.ledger, 0, |sink| sink.finish());
        // A reader that went away has lost nothing.
        for slot in self.slots.iter_mut().filter(|slot| !slot.closed) {
            if let Some(count) = slot.trouble.take() {
                let sink = slot.sink.name();
                warn!(event = events::SINK_FAILED, sink, count; "{sink}: {count} records were lost before the end");
            }
        }
        outcome
    }

    /// What becomes of the records, for whoever asks while it runs.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Records that were lost at no fault of their reader: those of a reader of standard output
    /// that went away are not among them, nor those that a reader of the socket missed.
    pub fn lost(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let lost = self
            .slots
            .iter()
            .filter(|slot| !slot.closed)
            .map(|slot| (slot.sink.name(), slot.published.lost - slot.missed));
        lost.filter(|(_, lost)| *lost > 0)
    }

    /// What became of the records, by sink.
    pub fn published(&self) -> impl Iterator<Item = (&'static str, Published)> + '_ {
        self.slots.iter().map(|slot| (slot.sink.name(), slot.published))
    }
}

/// Lets every sink that is not closed act; `records` is how many records the act delivers or loses.
fn each(
    slots: &mut [Slot],
    ledger: &Ledger,
    records: u64,
    mut act: impl FnMut(&mut dyn Sink) -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    for (index, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| !slot.closed) {
        let outcome = act(slot.sink.as_mut());
        slot.note(outcome, records, |why| ledger.trouble(index, why));
        slot.note_later();
        ledger.note(index, slot.published);
    }
    if slots.iter().any(|slot| slot.closed) { Err(SinkError::Closed) } else { Ok(()) }
}

impl Slot {
    fn note_later(&mut self) {
        let lost = self.sink.lost_later();
        self.published.delivered = self.published.delivered.saturating_sub(lost);
        self.published.lost += lost;
        if lost > 0 {
            *self.trouble.get_or_insert(0) += lost;
        }
        let missed = self.sink.missed();
        self.published.delivered = self.published.delivered.saturating_sub(missed);
        self.published.lost += missed;
        self.missed += missed;
    }

    /// `tell`: what the trouble is, when it begins, and nothing when it is over.
    fn note(
        &mut self,
        outcome: Result<(), SinkError>,
        records: u64,
        tell: impl Fn(Option<String>),
    ) {
        let sink = self.sink.name();
        match outcome {
            Ok(()) => {
                self.published.delivered += records;
                // A flush proves nothing: there may have been nothing to write.
                if records > 0
                    && let Some(lost) = self.trouble.take()
                {
                    info!(event = events::SINK_RECOVERED, sink, count = lost; "{sink}: works again, {lost} records were lost");
                    tell(None);
                }
            }
            Err(SinkError::Closed) => self.closed = true,
            Err(error) => {
                self.published.lost += records;
                match &mut self.trouble {
                    Some(lost) => *lost += records,
                    None => {
                        warn!(event = events::SINK_FAILED, sink; "{error}");
                        tell(Some(error.to_string()));
                        self.trouble = Some(records);
                    }
                }
            }
        }
    }
}
