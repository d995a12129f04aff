//! One sensor: what it has read, what surrounded it, and what is wrong with its reading now. Pure.

use std::time::Duration;

use crate::stats::Ewma;

/// Least time that a reading stands still before it may be called frozen, and for a zone without
/// kin.
const STILL: Duration = Duration::from_secs(60);
/// See [`STILL`].
const STILL_ALONE: Duration = Duration::from_secs(120);
/// What has moved this much has moved clearly: kin, °C; load, a share of 1, for the board and for a
/// single part.
const KIN_MOVED: f64 = 5.0;
/// See [`KIN_MOVED`].
const LOAD_MOVED: f64 = 0.3;
/// See [`KIN_MOVED`].
const PART_LOAD_MOVED: f64 = 0.5;
/// Weight of a new value in the mean of what surrounds a sensor: at two samples a second it forgets
/// within ten seconds.
const AROUND: f64 = 0.05;
/// Readings that may fail in a row before it is worth a word.
const SILENT: u32 = 2;

/// What a sensor must follow if it is alive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Follows {
    Kin,
    Load,
    Gpu,
    Cpu,
    /// A sum: unknown with its parts, and not in doubt itself.
    Parts,
    Nothing,
}

/// Why a reading is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    Silent { since: Option<Duration> },
    Off,
    NotANumber,
    Beyond { value: f32 },
    Colder { value: f32, kin: f32 },
    Jumped { value: f32, from: f32 },
    Frozen { value: f32, since: Duration },
}

/// What one sensor has read so far.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    unit: &'static str,
    range: (f32, f32),
    pub(super) follows: Follows,
    pub(super) fault: Option<Fault>,
    /// Readings that failed in a row.
    silent: u32,
    /// The last reading, believed or not, and since when it has been the same.
    last: Option<(f32, Duration)>,
    /// When it answered last.
    seen: Option<Duration>,
    /// The last reading that was believed, and when.
    pub(super) good: Option<(f32, Duration)>,
    kin: Ewma,
    /// How many its kin were; their median is not compared across a change.
    kin_count: usize,
    load: Ewma,
    /// Median of the kin and load at the last reading.
    now: (Option<f64>, Option<f64>),
    /// The same when the reading changed last, as they were then and as they had been lately. What
    /// surrounds a sensor has moved if it is far from both: the one alone may have been a spike,
    /// the other alone lags.
    then: [(Option<f64>, Option<f64>); 2],
}

impl Watched {
    pub(super) fn new(
        name: String,
        unit: &'static str,
        range: (f32, f32),
        follows: Follows,
    ) -> Self {
        Self {
            name,
            unit,
            range,
            follows,
            fault: None,
            silent: 0,
            last: None,
            seen: None,
            good: None,
            kin: Ewma::new(AROUND),
            kin_count: 0,
            load: Ewma::new(AROUND),
            now: (None, None),
            then: [(None, None); 2],
        }
    }

    pub(super) fn believable(&self, value: f32) -> bool {
        (self.range.0..=self.range.1).contains(&value)
    }

    /// True if others may be held against this reading.
    pub(super) fn is_kin(&self, value: f32) -> bool {
        self.fault.is_none() && self.believable(value)
    }

    /// A value of which only the range is known, and which not every machine has. True if it is to
    /// be believed.
    pub(super) fn plain(&mut self, at: Duration, value: Option<f32>) -> bool {
        let fault = match value {
            None => self.silence().filter(|_| self.last.is_some()),
            Some(value) if value.is_nan() => Some(Fault::NotANumber),
            Some(value) if !self.believable(value) => Some(Fault::Beyond { value }),
            Some(_) => None,
        };
        self.note(at, value, fault)
    }

    /// What surrounds the sensor now. After a change of the number of kin the comparison begins
    /// anew.
    pub(super) fn surround(&mut self, median: Option<f64>, kin: usize, load: Option<f32>) {
        if kin != self.kin_count {
            self.kin_count = kin;
            self.kin = Ewma::new(AROUND);
            self.then.iter_mut().for_each(|then| then.0 = None);
        }
        self.now = (median, load.map(f64::from));
        let lately = (
            median.and_then(|median| self.kin.add(median)),
            load.and_then(|load| self.load.add(f64::from(load))),
        );
        for (then, is) in self.then.iter_mut().zip([self.now, lately]) {
            *then = (then.0.or(is.0), then.1.or(is.1));
        }
    }

    pub(super) fn silence(&self) -> Option<Fault> {
        // One failure is no silence: a counter needs two readings to say anything.
        (self.silent + 1 >= SILENT).then_some(Fault::Silent { since: self.seen })
    }

    pub(super) fn frozen(&self, at: Duration, value: f32) -> Option<Fault> {
        let (last, since) = self.last?;
        if last.to_bits() != value.to_bits() {
            return None;
        }
        if let Some(fault @ Fault::Frozen { .. }) = self.fault {
            return Some(fault); // until it moves
        }
        let still = at.saturating_sub(since);
        let moved = |was: [Option<f64>; 2], is: Option<f64>, clearly: f64| {
            is.is_some_and(|is| {
                was.iter().all(|was| was.is_some_and(|was| (is - was).abs() >= clearly))
            })
        };
        let kin = moved(self.then.map(|then| then.0), self.kin.value(), KIN_MOVED);
        let load = |clearly| moved(self.then.map(|then| then.1), self.load.value(), clearly);
        let frozen = match self.follows {
            Follows::Kin if self.kin_count > 0 => kin && still >= STILL,
            Follows::Kin => load(PART_LOAD_MOVED) && still >= STILL_ALONE,
            Follows::Load => load(LOAD_MOVED) && still >= STILL,
            Follows::Gpu | Follows::Cpu => load(PART_LOAD_MOVED) && still >= STILL,
            Follows::Parts | Follows::Nothing => false,
        };
        frozen.then_some(Fault::Frozen { value, since })
    }

    /// Keeps what was read and found out. True if it is to be believed.
    pub(super) fn note(&mut self, at: Duration, value: Option<f32>, fault: Option<Fault>) -> bool {
        self.silent = if value.is_some() { 0 } else { self.silent.saturating_add(1) };
        if let Some(value) = value {
            self.seen = Some(at);
            if self.last.is_none_or(|(last, _)| last.to_bits() != value.to_bits()) {
                self.last = Some((value, at));
                self.then = [self.now, (self.kin.value(), self.load.value())];
            }
            if fault.is_none() {
                self.good = Some((value, at));
            }
        }
        self.fault = fault;
        fault.is_none()
    }

    /// The fault as a sentence.
    pub(super) fn why(&self, fault: Fault, at: Duration) -> String {
        let unit = self.unit;
        let reading = |value: f32| format!("{}{unit}", (f64::from(value) * 100.0).round() / 100.0);
        let seconds = |since: Duration| at.saturating_sub(since).as_secs();
        match fault {
            Fault::Silent { since: None } => "has not answered yet".into(),
            Fault::Silent { since: Some(since) } => {
                format!("has not answered for {} s", seconds(since))
            }
            Fault::Off => "is switched off".into(),
            Fault::NotANumber => "reads what is not a number".into(),
            Fault::Beyond { value } => {
                let (low, high) = self.range;
                format!("reads {}, outside of {low} to {}", reading(value), reading(high))
            }
            Fault::Colder { value, kin } => {
                format!("reads {} while the others read {}", reading(value), reading(kin))
            }
            Fault::Jumped { value, from } => {
                format!("jumped from {} to {}", reading(from), reading(value))
            }
            Fault::Frozen { value, since } => {
                let what = if self.follows == Follows::Kin && self.kin_count > 0 {
                    "the others"
                } else {
                    "the load"
                };
                format!("has read {} for {} s while {what} moved", reading(value), seconds(since))
            }
        }
    }
}
