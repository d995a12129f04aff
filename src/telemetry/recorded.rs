//! Readings kept in a file: written while a board works, read again at a desk.
//!
//! JSON, a line each: first `{"v":1,"inventory":{…}}`, then one [`Sample`] a line, none earlier
//! than the one before. What was written is read again to the last bit. The file comes from
//! anywhere, so all of it is read and held against its inventory before the first reading is given;
//! an error names file, line and what was expected.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Doubt, Inventory, MAX_RAILS, MAX_ZONES, Sample, Telemetry};

/// The version of the format.
pub const VERSION: u32 = 1;
/// Longest line, bytes. A sample has some 600.
pub const LINE_LIMIT: usize = 256 * 1024;
/// Most samples of a file: a day and a half at two a second. They are held in memory, some 600
/// bytes each.
pub const MOST_SAMPLES: usize = 262_144;
/// Most entries of each list of the inventory, and of the trips of a zone.
const MOST_ENTRIES: usize = 256;

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    v: u32,
    inventory: Cow<'a, Inventory>,
}

/// A file that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
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
        line: usize,
        /// What is wrong.
        why: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// What must be at a line's place.
const EXPECTED_HEAD: &str = r#"the head of recorded samples, {"v":1,"inventory":{…}}"#;
const EXPECTED_SAMPLE: &str = "a sample that fits the inventory, not earlier than the one before";

/// A file that is replayed.
#[derive(Debug)]
pub struct Recorded {
    inventory: Inventory,
    /// Not empty, in the order of time.
    samples: Vec<Sample>,
}

impl Recorded {
    /// Reads all of `path`.
    pub fn open(path: &Path) -> Result<Self, RecordedError> {
        let file = path.display().to_string();
        match crate::files::regular(path) {
            Ok(input) => Self::read(&file, BufReader::new(input)),
            Err(reason) => Err(RecordedError::Unreadable { file, reason }),
        }
    }

    /// Reads all of `input`, which errors call `file`.
    pub fn read(file: &str, mut input: impl BufRead) -> Result<Self, RecordedError> {
        let mut line = Vec::new();
        let (mut number, mut inventory, mut samples) = (0, None, Vec::<Sample>::new());
        loop {
            line.clear();
            number += 1;
            let expected = if inventory.is_none() { EXPECTED_HEAD } else { EXPECTED_SAMPLE };
            let wrong = |why: String| RecordedError::Line {
                file: file.into(),
                line: number,
                why,
                expected,
            };
            let got = input.by_ref().take(LINE_LIMIT as u64 + 1).read_until(b'\n', &mut line);
            got.map_err(|reason| RecordedError::Unreadable { file: file.into(), reason })?;
            if line.is_empty() {
                break;
            }
            if line.len() > LINE_LIMIT {
                return Err(wrong(format!("longer than {LINE_LIMIT} bytes")));
            }
            let Some(found) = &inventory else {
                inventory = Some(head(&line).map_err(wrong)?);
                continue;
            };
            if samples.len() == MOST_SAMPLES {
                return Err(wrong(format!("more than {MOST_SAMPLES} samples")));
            }
            let sample: Sample =
                serde_json::from_slice(&line).map_err(|error| wrong(words(&error)))?;
            fits(&sample, found, samples.last()).map_err(wrong)?;
            samples.push(sample);
        }
        match inventory {
            Some(inventory) if !samples.is_empty() => Ok(Self { inventory, samples }),
            Some(_) => Err(RecordedError::Line {
                file: file.into(),
                line: 2,
                why: "ends here".into(),
                expected: EXPECTED_SAMPLE,
            }),
            None => Err(RecordedError::Line {
                file: file.into(),
                line: 1,
                why: "ends here".into(),
                expected: EXPECTED_HEAD,
            }),
        }
    }

    /// All samples, in the order of time.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

/// Without the line number, for to the parser every line is the first.
pub(crate) fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("{what}, at column {}", error.column())
}

/// The inventory of the first line, within its limits.
fn head(line: &[u8]) -> Result<Inventory, String> {
    let Head { v, inventory } = serde_json::from_slice(line).map_err(|error| words(&error))?;
    if v != VERSION {
        return Err(format!("version {v}, and this Squint reads {VERSION}"));
    }
    let inventory = inventory.into_owned();
    sound(&inventory)?;
    Ok(inventory)
}

/// An inventory within its limits.
pub(crate) fn sound(inventory: &Inventory) -> Result<(), String> {
    let lists = [inventory.power_modes.len(), inventory.others.len(), inventory.missing.len()];
    let trips = inventory.zones.iter().map(|zone| zone.trips.len()).max().unwrap_or(0);
    if inventory.rails.len() > MAX_RAILS || inventory.zones.len() > MAX_ZONES {
        return Err(format!("more than {MAX_RAILS} rails or {MAX_ZONES} zones"));
    }
    if trips > MOST_ENTRIES || lists.iter().any(|length| *length > MOST_ENTRIES) {
        return Err(format!("a list of more than {MOST_ENTRIES} entries"));
    }
    if inventory.total.is_some_and(|total| total >= inventory.rails.len()) {
        return Err("`total` is not the place of a rail".into());
    }
    let bounds = inventory
        .zones
        .iter()
        .flat_map(|zone| zone.trips.iter().map(|trip| trip.at).chain(zone.throttle_at));
    if bounds.into_iter().any(|bound| !bound.0.is_finite()) {
        return Err("a trip point is not a finite number".into());
    }
    Ok(())
}

/// A sample as `inventory` has it, after `before`.
pub(crate) fn fits(
    sample: &Sample,
    inventory: &Inventory,
    before: Option<&Sample>,
) -> Result<(), String> {
    let counts = [
        ("rails", sample.rails.len(), inventory.rails.len()),
        ("temperatures", sample.temperatures.len(), inventory.zones.len()),
    ];
    if let Some((what, got, wanted)) = counts.into_iter().find(|(_, got, wanted)| got != wanted) {
        return Err(format!("{got} {what} where the inventory has {wanted}"));
    }
    if before.is_some_and(|before| sample.at < before.at) {
        return Err(format!("`at` is {:?}, earlier than the line before", sample.at));
    }
    let shares = [
        ("gpu_load", sample.gpu_load),
        ("cpu_load", sample.cpu_load),
        ("cpu_pressure", sample.cpu_pressure),
    ];
    if let Some((what, Some(share))) = shares
        .into_iter()
        .find(|(_, share)| share.is_some_and(|share| !(0.0..=1.0).contains(&share)))
    {
        return Err(format!("`{what}` is {share}, outside 0..=1"));
    }
    let clocks = [sample.gpu_clock, sample.gpu_clock_cap, sample.cpu_clock]
        .into_iter()
        .flatten()
        .map(|clock| clock.0);
    let rails = sample.rails.iter().flatten().map(|power| power.0);
    let zones = sample.temperatures.iter().flatten().map(|temperature| temperature.0);
    match clocks
        .chain(rails)
        .chain(zones)
        .chain(sample.memory_available_mib)
        .find(|value| !value.is_finite())
    {
        Some(value) => Err(format!("{value} is not a finite number")),
        None => Ok(()),
    }
}

impl Telemetry for Recorded {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The newest recorded sample that is not later than `at`, as it was recorded; before the first
    /// one everything is unknown. After the last one it stays: its `at` says how old it is.
    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        match self.samples.partition_point(|recorded| recorded.at <= at).checked_sub(1) {
            Some(newest) => sample.clone_from(&self.samples[newest]),
            None => {
                *sample = Sample { at, ..Sample::default() };
                sample.rails.extend(self.inventory.rails.iter().map(|_| None));
                sample.temperatures.extend(self.inventory.zones.iter().map(|_| None));
            }
        }
    }

    fn doubts(&self) -> Vec<Doubt> {
        Vec::new()
    }
}

/// Writes what [`Recorded`] reads. A reading that is not a finite number is written as unknown.
pub struct RecordedWriter<W: Write> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> RecordedWriter<W> {
    /// Writes the head. Each line is handed over in one piece; buffering is the caller's choice.
    pub fn new(out: W, inventory: &Inventory) -> io::Result<Self> {
        let mut writer = Self { out, line: Vec::with_capacity(4096) };
        writer.put(&Head { v: VERSION, inventory: Cow::Borrowed(inventory) })?;
        Ok(writer)
    }

    /// Writes a sample. It must have as many rails and zones as the inventory, and come in the
    /// order of time.
    pub fn write(&mut self, sample: &Sample) -> io::Result<()> {
        self.put(sample)
    }

    /// Gives back what was written to, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

#[cfg(test)]
mod tests;
