//! Reads a trace line by line, each within its limits; at most one line is held in memory.
//!
//! An error names file, line, key, value and allowed range.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::VERSION;
use super::event::{Allowed, Decision, Event, GenerationStart, Head, Session};
use crate::budget::{Because, Grants, Usage};
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::features::COUNT;
use crate::files;
use crate::policy::file::MAX_BYTES;
use crate::telemetry::recorded::{fits, sound, words};

/// Longest line, bytes: that of an engine set, whose policy file is in it.
pub const LINE_LIMIT: usize = 2 * MAX_BYTES + (1 << 20);
/// Longest line of any other event, bytes; they have some three thousand.
pub const EVENT_LIMIT: usize = 64 * 1024;
/// Most events of a trace: weeks of a camera.
pub const MOST_EVENTS: u64 = 1_000_000_000;
/// Most engine sets of a trace.
pub const MOST_ENGINE_SETS: usize = 10_000;
/// Most cameras.
const MOST_CAMERAS: usize = 1024;
/// Longest name or hash, characters.
const MOST_NAME: usize = 256;
/// Longest time that can be meant, ns: ten years.
const MOST_NS: u64 = 10 * 366 * 86_400 * 1_000_000_000;
/// Longest time between two steps that an engine can be busy, and longest interval between two
/// looks.
const MOST_BUSY: Duration = Duration::from_secs(86_400);

/// A trace that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be read at all.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        reason: io::Error,
    },
    /// A line of it is wrong.
    #[error("{file}, line {line}: {why}; expected {expected}")]
    Line {
        /// The file.
        file: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        why: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// What must be at a line's place.
const EXPECTED_HEAD: &str =
    r#"the head of a trace, {"v":1,"squint":…,"schema":…,"inventory":{…},"cameras":[…]}"#;
const EXPECTED_EVENT: &str = "an event of a trace: crew, step, first, after, look, done, lost, gap or end, with the keys that docs/guide/replay.md tells";

/// A trace that is read.
pub struct Reader<R> {
    file: String,
    input: R,
    line: Vec<u8>,
    number: u64,
    head: Head,
    engine_sets: usize,
    ended: bool,
}

impl Reader<BufReader<File>> {
    /// Opens `path` and reads its head.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let file = path.display().to_string();
        match files::typed(path) {
            Ok(input) => Self::new(&file, BufReader::with_capacity(1 << 16, input)),
            Err(reason) => Err(TraceError::Unreadable { file, reason }),
        }
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads the head of `input`, which errors call `file`.
    pub fn new(file: &str, input: R) -> Result<Self, TraceError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let head = Head {
            v: VERSION,
            squint: String::new(),
            schema: String::new(),
            inventory: Default::default(),
            cameras: vec![],
        };
        let mut reader = Self {
            file: file.into(),
            input,
            line: Vec::new(),
            number: 0,
            head,
            engine_sets: 0,
            ended: false,
        };
        if !reader.next_line()? {
            return Err(reader.wrong("ends here".into(), EXPECTED_HEAD));
        }
        let parsed = serde_json::from_slice::<Versioned>(&reader.line)
            .map_err(|error| words(&error))
            .and_then(|found| match found.v {
                VERSION => {
                    serde_json::from_slice::<Head>(&reader.line).map_err(|error| words(&error))
                }
                v => Err(format!("v = {v}, and this Squint reads {VERSION}")),
            });
        reader.head = parsed
            .and_then(|head| check_head(&head).map(|()| head))
            .map_err(|why| reader.wrong(why, EXPECTED_HEAD))?;
        Ok(reader)
    }

    /// The first line.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.number
    }

    /// The file, as errors call it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// True once the last line of a whole trace has been read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next event; `None` at the end. A last line that was cut off counts as the end, since a
    /// recording may be cut off anywhere.
    pub fn next_event(&mut self) -> Result<Option<Event>, TraceError> {
        if !self.next_line()? {
            return Ok(None);
        }
        let event = match self.parsed() {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(None),
            Err(why) => return Err(self.wrong(why, EXPECTED_EVENT)),
        };
        self.ended = matches!(event, Event::End(_));
        Ok(Some(event))
    }

    /// The event of the line that was read last, if it is one; `None` if the trace breaks off in
    /// it.
    fn parsed(&mut self) -> Result<Option<Event>, String> {
        if self.ended {
            return Err("goes on after its end".into());
        }
        if self.number > MOST_EVENTS {
            return Err(format!("more than {MOST_EVENTS} events"));
        }
        let event: Event = match serde_json::from_slice(&self.line) {
            Ok(event) => event,
            Err(error) if error.is_eof() && self.line.last() != Some(&b'\n') => return Ok(None),
            Err(error) => return Err(words(&error)),
        };
        let engine_set = matches!(event, Event::Generation(_));
        if self.line.len() > EVENT_LIMIT && !engine_set {
            return Err(format!("longer than {EVENT_LIMIT} bytes"));
        }
        self.engine_sets += usize::from(engine_set);
        if self.engine_sets > MOST_ENGINE_SETS {
            return Err(format!("more than {MOST_ENGINE_SETS} crews"));
        }
        if self.engine_sets == 0 && !matches!(event, Event::Gap(_) | Event::End(_)) {
            return Err("an event before the first `crew`".into());
        }
        check(&event, &self.head)?;
        Ok(Some(event))
    }

    /// False at the end.
    fn next_line(&mut self) -> Result<bool, TraceError> {
        self.line.clear();
        self.number += 1;
        let got = self.input.by_ref().take(LINE_LIMIT as u64 + 1).read_until(b'\n', &mut self.line);
        got.map_err(|reason| TraceError::Unreadable { file: self.file.clone(), reason })?;
        if self.line.len() > LINE_LIMIT {
            return Err(self.wrong(format!("longer than {LINE_LIMIT} bytes"), EXPECTED_EVENT));
        }
        Ok(!self.line.is_empty())
    }

    /// An error about the line that was read last.
    pub fn wrong(&self, why: String, expected: &'static str) -> TraceError {
        TraceError::Line { file: self.file.clone(), line: self.number, why, expected }
    }
}

/// `key` is `value`, where `allowed` is.
fn refused<T>(
    key: &str,
    value: impl std::fmt::Display,
    allowed: impl std::fmt::Display,
) -> Result<T, String> {
    Err(format!("`{key}` is {value}, allowed is {allowed}"))
}

fn check_head(head: &Head) -> Result<(), String> {
    sound(&head.inventory)?;
    let cameras = head.cameras.len();
    if !(1..=MOST_CAMERAS).contains(&cameras) {
        return refused("cameras", format!("a list of {cameras}"), format!("1 to {MOST_CAMERAS}"));
    }
    match [&head.squint, &head.schema].into_iter().chain(&head.cameras).map(String::len).max() {
        Some(longest) if longest > MOST_NAME => refused(
            "squint, schema or cameras",
            format!("of {longest} bytes"),
            format!("{MOST_NAME}"),
        ),
        _ => Ok(()),
    }
}

fn check(event: &Event, head: &Head) -> Result<(), String> {
    let frame = match event {
        Event::Generation(engine_set) => return check_engine_set(engine_set),
        Event::Step(step) => {
            time("at", step.at)?;
            if let Some(minute) = step.minute.filter(|minute| *minute >= 1440) {
                return refused("minute", minute, "0 to 1439");
            }
            fits(&step.sample, &head.inventory, None)?;
            check_usage(&step.usage)?;
            return check_grants(&step.grants);
        }
        Event::First(first) => {
            time("captured", first.captured)?;
            if first.features.len() != COUNT {
                return refused("features", format!("a list of {}", first.features.len()), COUNT);
            }
            first.features.iter().try_for_each(|value| finite("features", *value))?;
            if let Some(past) = &first.past {
                engine("past.engine", past.engine)?;
                time("past.captured", past.captured)?;
            }
            check_decision(&first.allowance, &first.decision)?;
            first.frame
        }
        Event::After(after) => {
            after.steps.iter().try_for_each(|step| {
                engine("steps.engine", step.engine).and_then(|()| time("steps.took", step.took))
            })?;
            check_decision(&after.allowance, &after.decision)?;
            after.frame
        }
        Event::Look(looked) => {
            engine("look.engine", looked.look.engine)?;
            let took = looked.look.time;
            return if took > MOST_BUSY {
                refused("look.time", format!("{took:?}"), "up to a day")
            } else {
                Ok(())
            };
        }
        Event::Done(done) => {
            time("age", done.age)?;
            done.frame
        }
        Event::Lost(lost) => lost.frame,
        Event::Gap(_) | Event::End(_) => return Ok(()),
    };
    match usize::from(frame.0) {
        camera if camera >= head.cameras.len() => {
            refused("frame", camera, format!("a camera below {}", head.cameras.len()))
        }
        _ => Ok(()),
    }
}

fn check_engine_set(engine_set: &GenerationStart) -> Result<(), String> {
    let Session { policy, engines, budget, learned } = &engine_set.session;
    if !(1..=MAX_ENGINES).contains(&engines.len()) {
        return refused(
            "papers.engines",
            format!("a list of {}", engines.len()),
            format!("1 to {MAX_ENGINES}"),
        );
    }
    if engine_set.priors.len() != engines.len() {
        return refused(
            "priors",
            format!("a list of {}", engine_set.priors.len()),
            format!("one of {}, as engines", engines.len()),
        );
    }
    engine_set.priors.iter().flatten().flatten().try_for_each(|prior| time("priors", *prior))?;
    let names =
        engines.iter().flat_map(|engine| [&engine.id, &engine.sha256, &engine.labels_sha256]);
    if let Some(long) = names.map(String::len).max().filter(|long| *long > MOST_NAME) {
        return refused("papers.engines", format!("a name of {long} bytes"), MOST_NAME);
    }
    let accuracies = engines.iter().filter_map(|engine| engine.accuracy);
    if let Some(accuracy) = accuracies.into_iter().find(|accuracy| !(0.0..=1.0).contains(accuracy))
    {
        return refused("papers.engines.accuracy", accuracy, "0 to 1");
    }
    let lengths = [("policy", policy.len(), MAX_BYTES), ("budget", budget.len(), EVENT_LIMIT)];
    let learned = [("kept", learned.as_ref().map_or(0, String::len), crate::budget::MAX_TEXT)];
    match lengths.into_iter().chain(learned).find(|(_, length, most)| length > most) {
        Some((key, length, most)) => {
            refused(&format!("papers.{key}"), format!("of {length} bytes"), format!("up to {most}"))
        }
        None => Ok(()),
    }
}

fn time(key: &str, ns: u64) -> Result<(), String> {
    if ns > MOST_NS { refused(key, ns, format!("0 to {MOST_NS} ns")) } else { Ok(()) }
}

fn engine(key: &str, engine: EngineIdx) -> Result<(), String> {
    if usize::from(engine.0) < MAX_ENGINES {
        Ok(())
    } else {
        refused(key, engine.0, format!("0 to {}", MAX_ENGINES - 1))
    }
}

fn check_decision(allowed: &Allowed, decision: &Decision) -> Result<(), String> {
    decision
        .engine
        .into_iter()
        .chain(decision.withheld)
        .try_for_each(|asked| engine("decision.engine", asked))?;
    decision
        .value
        .into_iter()
        .chain(decision.limit)
        .try_for_each(|figure| finite("decision", figure))?;
    check_because("allowance.because", &allowed.because)?;
    allowed.left.into_iter().try_for_each(|left| time("allowance.left", left))?;
    allowed
        .engines
        .iter()
        .flatten()
        .flatten()
        .try_for_each(|terms| time("allowance.engines", *terms))?;
    match allowed.reuse {
        Some((change, _)) if !(0.0..=1.0).contains(&change) => {
            refused("allowance.reuse", change, "a change of 0 to 1")
        }
        _ => Ok(()),
    }
}

fn check_because(key: &str, because: &Because) -> Result<(), String> {
    because.value.into_iter().chain(because.limit).try_for_each(|figure| finite(key, figure))
}

fn finite(key: &str, value: f32) -> Result<(), String> {
    if value.is_finite() { Ok(()) } else { refused(key, value, "a finite number") }
}

fn check_usage(usage: &Usage) -> Result<(), String> {
    match usage.busy.iter().find(|busy| **busy > MOST_BUSY) {
        Some(busy) => refused("tally.busy", format!("{busy:?}"), "up to a day"),
        None => Ok(()),
    }
}

fn check_grants(grants: &Grants) -> Result<(), String> {
    for (key, share) in
        [("standing.stretch", grants.upper_share), ("standing.shrink", grants.lower_share)]
    {
        if !(0.0..=1.0).contains(&share) {
            return refused(key, share, "0 to 1");
        }
    }
    check_because("standing.because", &grants.because)?;
    if grants.interval > MOST_BUSY {
        return refused("standing.interval", format!("{:?}", grants.interval), "up to a day");
    }
    Ok(())
}
