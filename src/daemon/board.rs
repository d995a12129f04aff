//! Connects the board to the running pipeline: opens the telemetry, makes the budget of an engine
//! set, logs the decisions of the budget and stores the learned state. It decides nothing.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, info, log, warn};

use super::context::AppContext;
use crate::budget::{
    Because, Budget, CPU, ChosenBy, Grants, LearnedState, MAX_TEXT, Member, Mode, Schedule,
    Stepped, Why,
};
use crate::config::{self, Tegrastats};
use crate::engine::MAX_ENGINES;
use crate::error::Error;
use crate::events;
use crate::files::{self, Lock};
use crate::observe::{BoardState, BudgetState, RailState, ZoneState};
use crate::pipeline::{Keep, Sampler};
use crate::telemetry::patient::{self, Patient};
use crate::telemetry::recorded::Recorded;
use crate::telemetry::tegrastats::{self, Feed, Patience};
use crate::telemetry::{self, Doubt, Inventory, Missing, Sample, Sources, Telemetry, nvml};
use crate::trace::TraceQueue;

/// How long a library of the vendor's, or the start of a program, may take. A GPU that has been
/// asleep wakes up in a few seconds.
const OPENING: Duration = Duration::from_secs(10);
/// A clock before this moment (2020-01-01) has not been set since the board was switched on.
const CLOCK_SET: Duration = Duration::from_secs(1_577_836_800);

/// What is known of the board. Shared by the telemetry thread, which writes, and whoever asks.
pub(crate) struct Board {
    inventory: Arc<Inventory>,
    latest: Mutex<Option<Latest>>,
}

/// What was read and decided last.
struct Latest {
    sample: Sample,
    stepped: Stepped,
    doubts: Vec<Doubt>,
    samples: u64,
    cost: Duration,
}

impl Board {
    /// Opens the sources that `config` names. `at` is time since start. Errors if a recorded file
    /// cannot be read; a board without any sensor is no error.
    pub(crate) fn open(
        config: &config::Telemetry,
        at: Duration,
    ) -> Result<(Arc<Self>, Box<dyn Telemetry>), Error> {
        let telemetry: Box<dyn Telemetry> = match &config.recorded {
            Some(path) => {
                Box::new(Recorded::open(path).map_err(|error| Error::Usage(error.to_string()))?)
            }
            None => {
                let (others, absent) = others(config);
                // Whoever asked for lines of tegrastats must hear that there are none; NVML is
                // asked wherever it is.
                for missing in absent
                    .iter()
                    .filter(|missing| config.tegrastats.is_some() && missing.what != nvml::NAME)
                {
                    warn!(event = events::SENSOR_DOUBTED, reason = missing.why; "{} cannot be used: {}", missing.what, missing.why);
                }
                Box::new(telemetry::open(Sources { others, ..Sources::of_this_machine() }, at))
            }
        };
        let inventory = Arc::new(telemetry.inventory().clone());
        Ok((Arc::new(Self { inventory, latest: Mutex::new(None) }), telemetry))
    }

    /// Takes what was learned of the board for this process alone, as long as the answer lives.
    /// Errors with [`Error::Io`] if another process has it. Where no lock can be made the log says
    /// so.
    pub(crate) fn take_state(file: &Path) -> Result<Option<Lock>, Error> {
        match Lock::take(file) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                let advice = "two would overwrite what each other learned: stop one, or give this one a budget.state-file of its own";
                let told = std::io::Error::new(error.kind(), format!("{error}; {advice}"));
                Err(Error::io(format_args!("budget.state-file: {}", file.display()))(told))
            }
            // Nothing can be written without the folder, either, and that is told when it is tried.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                warn!(event = events::STATE_NOT_KEPT; "{error}; nothing keeps a second Squint away from what this one learns");
                Ok(None)
            }
        }
    }

    /// The budget of an engine set made of these engines.
    pub(crate) fn budget<'a>(
        &self,
        context: &AppContext,
        engines: impl Iterator<Item = &'a str>,
    ) -> Result<Budget, Error> {
        let config = &context.config.budget;
        let member = |id: &str| Member {
            id: id.to_owned(),
            sha256: context.catalog.fingerprint(id).unwrap_or_default(),
            accuracy: context
                .catalog
                .get(id)
                .and_then(|manifest| manifest.accuracy.first())
                .map(|measured| measured.top1 as f32),
            // What a manifest tells was measured on a CPU.
            told: context
                .catalog
                .prior(id)
                .map(|(p50, _)| p50)
                .filter(|_| context.runtimes().of(&context.catalog, id) == CPU),
            runtime: context.runtimes().of(&context.catalog, id),
        };
        let schedule = Schedule::new(config.mode, config.times.clone(), config.power_modes.clone());
        let mut budget = Budget {
            limits: config.limits.clone(),
            schedule: schedule
                .map_err(|error| Error::Usage(format!("budget.schedule: {error}")))?,
            inventory: Arc::clone(&self.inventory),
            engines: engines.map(member).collect(),
            learned: None,
        };
        if let Some(rail) = config.limits.power.as_ref().and_then(|power| power.rail.as_deref())
            && !self.inventory.rails.iter().any(|known| &*known.name == rail)
        {
            let names: Vec<_> =
                self.inventory.rails.iter().map(|rail| rail.name.as_str()).collect();
            let there = if names.is_empty() { "none".into() } else { names.join(", ") };
            return Err(Error::Usage(format!(
                "budget.power-rail: there is no rail `{rail}` on this board; there are: {there}"
            )));
        }
        if let Some(file) = &config.state_file {
            let on_cpu = budget.engines.iter().all(|member| member.runtime == CPU);
            budget.learned = learned(&place(file, on_cpu), &budget);
        }
        Ok(budget)
    }

    /// What it has.
    pub(crate) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// What the telemetry thread does with what it reads. `state_file`: where what was learned is
    /// kept; `trace_queue`: where everything that decides is written down.
    pub(crate) fn sampler(
        self: &Arc<Self>,
        telemetry: Box<dyn Telemetry>,
        state_file: Option<PathBuf>,
        trace_queue: Option<TraceQueue>,
    ) -> Sampler {
        let board = Arc::clone(self);
        let mut teller = Teller::default();
        let keep = state_file.map(|file| {
            let mut failed = false;
            let keep: Keep = Box::new(move |learned| match files::write_state(&place(&file, learned.is_of_the_cpu()), learned.to_json().as_bytes()) {
                Ok(()) => failed = false,
                // Once; the next time is ten minutes away, and a read-only disk stays one.
                Err(error) if !std::mem::replace(&mut failed, true) => {
                    warn!(event = events::STATE_NOT_KEPT; "{}: {error}; what is learned will be lost with a restart", file.display());
                }
                Err(_) => (),
            });
            keep
        });
        Sampler {
            telemetry,
            minute: Box::new(minute_of_day),
            hear: Box::new(move |sample, stepped, doubts| {
                teller.tell(&board.inventory, stepped, doubts);
                board.note(sample, stepped, doubts);
            }),
            keep,
            trace_queue,
        }
    }

    fn note(&self, sample: &Sample, stepped: &Stepped, doubts: Option<&[Doubt]>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match latest.as_mut() {
            Some(latest) => {
                latest.sample.clone_from(sample);
                latest.stepped.clone_from(stepped);
                if let Some(doubts) = doubts {
                    latest.doubts = doubts.to_vec();
                }
                latest.samples += 1;
                latest.cost += sample.cost;
            }
            None => {
                let (sample, cost) = (sample.clone(), sample.cost);
                let doubts = doubts.unwrap_or_default().to_vec();
                *latest =
                    Some(Latest { sample, stepped: stepped.clone(), doubts, samples: 1, cost });
            }
        }
    }

    /// The mode of the budget that held at the last reading.
    pub(crate) fn mode(&self) -> Option<Mode> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().and_then(|latest| latest.stepped.mode).map(|(mode, _)| mode)
    }

    /// For status and metrics; nothing before the first reading.
    pub(crate) fn state(&self) -> (Option<BoardState>, Option<BudgetState>) {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(latest) = latest.as_ref() else { return (None, None) };
        (Some(self.board_state(latest)), budget_state(&self.inventory, &latest.stepped))
    }

    fn board_state(&self, latest: &Latest) -> BoardState {
        let (inventory, sample) = (&self.inventory, &latest.sample);
        let rail = |(index, rail): (usize, &telemetry::Rail)| RailState {
            name: rail.name.clone(),
            mw: sample.rails.get(index).copied().flatten().map(|power| power.0),
            total: inventory.total == Some(index),
        };
        let zone = |(index, zone): (usize, &telemetry::Zone)| ZoneState {
            name: zone.name.clone(),
            celsius: sample
                .temperatures
                .get(index)
                .copied()
                .flatten()
                .map(|temperature| temperature.0),
            throttle_at: zone.throttle_at.map(|at| at.0),
            governs: zone.governs,
            ceiling: latest
                .stepped
                .ceilings
                .iter()
                .find(|(at, _)| *at == index)
                .map(|(_, ceiling)| ceiling.0),
        };
        let power_mode = |number: u32| {
            let known = inventory.power_modes.iter().find(|(at, _)| *at == number);
            known.map_or_else(|| number.to_string(), |(_, name)| name.clone())
        };
        BoardState {
            name: inventory.board.clone(),
            rails: inventory.rails.iter().enumerate().map(rail).collect(),
            zones: inventory.zones.iter().enumerate().map(zone).collect(),
            gpu_clock_mhz: sample.gpu_clock.map(|clock| clock.0),
            gpu_load: sample.gpu_load,
            cpu_clock_mhz: sample.cpu_clock.map(|clock| clock.0),
            cpu_load: sample.cpu_load,
            memory_available_mib: sample.memory_available_mib,
            throttling: sample.throttling,
            over_current: sample.over_current,
            power_mode: sample.power_mode.map(power_mode),
            doubts: latest.doubts.clone(),
            samples: latest.samples,
            sampling_cpu_s: latest.cost.as_secs_f64(),
        }
    }
}

/// Sources beside the kernel's files, and those that are not there, which is a normal state.
pub(crate) fn others(config: &config::Telemetry) -> (Vec<Box<dyn Telemetry>>, Vec<Missing>) {
    let (mut others, mut absent): (Vec<Box<dyn Telemetry>>, _) = (Vec::new(), Vec::new());
    if config.nvml {
        match patient::within(OPENING, || nvml::open(0)).unwrap_or_else(|| Err(silent(nvml::NAME)))
        {
            Ok(gpus) => others.push(Box::new(Patient::of(nvml::NAME, Box::new(gpus)))),
            Err(missing) => absent.push(missing),
        }
    }
    let feed = config.tegrastats.as_ref().map(|from| match from {
        Tegrastats::File(path) => Feed::Follow(path.clone()),
        Tegrastats::Command(words) => Feed::Command(words.clone()),
    });
    let open = |feed| {
        patient::within(OPENING, move || tegrastats::Tegrastats::open(feed, Patience::default()))
    };
    match feed.map(|feed| open(feed).unwrap_or_else(|| Err(silent("tegrastats")))) {
        Some(Ok(lines)) => others.push(Box::new(lines)),
        Some(Err(missing)) => absent.push(missing),
        None => (),
    }
    (others, absent)
}

/// What does not answer while it is opened, which then is not waited for.
fn silent(what: &str) -> Missing {
    let why = format!(
        "it has not answered for {} s; Squint goes on without it until it is started again",
        OPENING.as_secs()
    );
    Missing { what: what.into(), why, disables: "what only it knows".into() }
}

/// The local minute of the day, unless the clock has obviously not been set.
fn minute_of_day() -> Option<u16> {
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).ok().filter(|since| *since >= CLOCK_SET)?;
    let local = jiff::Timestamp::try_from(now).ok()?.to_zoned(jiff::tz::TimeZone::system());
    u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()
}

/// What was kept, if it is of use here; the log says why not.
fn learned(file: &Path, budget: &Budget) -> Option<LearnedState> {
    let text = match files::state_text(file, MAX_TEXT as u64) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return None, // the first start
        Err(reason) => {
            warn!(event = events::STATE_NOT_KEPT; "{}: {reason}; starting without what was learned", file.display());
            return None;
        }
    };
    let learned = LearnedState::from_json(&text, &file.display().to_string())
        .and_then(|learned| budget.check(&learned).map(|()| learned));
    match learned {
        Ok(learned) => Some(learned),
        Err(error) => {
            info!(event = events::STATE_FILE; "{}: {error}", file.display());
            None
        }
    }
}

/// Where an engine set's costs are kept. Each start begins on the CPU: what was learned of the GPU
/// lies beside that, not in its place.
fn place(file: &Path, on_cpu: bool) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    if !on_cpu {
        name.push(".tensorrt");
    }
    name.into()
}

/// Remembers what was told, so that only changes are.
#[derive(Default)]
struct Teller {
    said: Option<(Grants, String)>,
    mode: Option<(Mode, ChosenBy)>,
    doubts: BTreeSet<String>,
    unreachable: BTreeSet<&'static str>,
}

impl Teller {
    fn tell(&mut self, inventory: &Inventory, stepped: &Stepped, doubts: Option<&[Doubt]>) {
        if let Some((mode, by)) = stepped.mode
            && self.mode.replace((mode, by)).is_some_and(|said| said != (mode, by))
        {
            info!(event = events::BUDGET_MODE; "budget mode {} ({})", mode.name(), by.name());
        }
        if self.said.as_ref().is_none_or(|(said, _)| differs(said, &stepped.is)) {
            let line = sentence(inventory, stepped);
            // What is free from the start is not worth a line.
            let level = if self.said.is_none() && stepped.is.because.why == Why::Free {
                Level::Debug
            } else {
                Level::Info
            };
            if self.said.as_ref().is_none_or(|(_, said)| *said != line) {
                log!(level, event = events::BUDGET_CHANGED, reason = stepped.is.because.why.name(); "{line}");
            }
            self.said = Some((stepped.is, line));
        }
        for limit in &stepped.unreachable {
            if self.unreachable.insert(limit.why.name()) {
                warn!(event = events::LIMIT_UNREACHABLE, reason = limit.why.name(); "{}", unreachable(limit));
            }
        }
        let Some(doubts) = doubts else { return };
        for doubt in doubts {
            if !self.doubts.contains(&doubt.sensor) {
                warn!(event = events::SENSOR_DOUBTED, reason = doubt.why; "sensor {} is left out: {}", doubt.sensor, doubt.why);
            }
        }
        if !self.doubts.is_empty() || !doubts.is_empty() {
            let now: BTreeSet<String> = doubts.iter().map(|doubt| doubt.sensor.clone()).collect();
            for sensor in self.doubts.difference(&now) {
                info!(event = events::SENSOR_TRUSTED; "sensor {sensor} is believed again");
            }
            self.doubts = now;
        }
    }
}

/// True if a line in the journal is due.
fn differs(said: &Grants, is: &Grants) -> bool {
    // Near the end of a power cap's window second looks come and go by the second.
    let twice = |at: &Grants| at.escalation || at.because.why == Why::Power;
    let state = |at: &Grants| (at.sets(), twice(at), !at.interval.is_zero(), at.because.why);
    state(said) != state(is)
}

fn unreachable(limit: &crate::budget::Unreachable) -> String {
    let (unit, key) = unit(limit.why);
    format!(
        "{key}: {:.1} {unit} cannot be kept: with the cheapest engine at the least frame rate it is {:.1} {unit}",
        limit.limit, limit.expected
    )
}

/// Unit and configuration key of a limit.
fn unit(why: Why) -> (&'static str, &'static str) {
    match why {
        Why::Temperature => ("°C", "budget.temperature-c"),
        Why::Power => ("mW", "budget.power-mw"),
        Why::EnergyDay => ("Wh", "budget.energy-wh-per-day"),
        Why::EnergyFrame => ("mJ", "budget.energy-mj-per-frame"),
        Why::Latency => ("ms", "budget.latency-ms"),
        Why::Free | Why::Throttling | Why::OverCurrent | Why::Blind => ("", ""),
    }
}

/// The grants in one line.
fn sentence(inventory: &Inventory, stepped: &Stepped) -> String {
    match stepped.is.because {
        Because { why: Why::Free, .. } => "budget: everything is allowed".into(),
        because => {
            format!("budget: {}; {}", because.tell(inventory), state(inventory, stepped).allowed())
        }
    }
}

/// Ids of the engines in a set.
fn names(stepped: &Stepped, set: u32) -> Vec<String> {
    let known = stepped.engines.iter().take(MAX_ENGINES).enumerate();
    known.filter(|(index, _)| set >> index & 1 == 1).map(|(_, id)| id.to_string()).collect()
}

fn budget_state(inventory: &Inventory, stepped: &Stepped) -> Option<BudgetState> {
    let (mode, by) = stepped.mode?;
    Some(BudgetState {
        mode: mode.name().into(),
        chosen_by: by.name().into(),
        ..state(inventory, stepped)
    })
}

/// The grants, whatever the mode.
fn state(inventory: &Inventory, stepped: &Stepped) -> BudgetState {
    let Grants {
        admissible,
        upper,
        upper_share,
        lower,
        lower_share,
        escalation,
        interval,
        because,
    } = stepped.is;
    BudgetState {
        because: because.why.name().into(),
        value: because.value,
        limit: because.limit,
        zone: because
            .zone
            .and_then(|zone| inventory.zones.get(usize::from(zone)))
            .map(|zone| zone.name.clone()),
        engines: names(stepped, admissible),
        upper: names(stepped, upper),
        upper_share,
        lower: names(stepped, lower),
        lower_share,
        escalation,
        interval_s: interval.as_secs_f64(),
        changes: stepped.changes,
        unreachable: stepped.unreachable.iter().map(unreachable).collect(),
        ..BudgetState::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_looks_that_come_and_go_under_a_power_cap_are_no_change_to_tell_of() {
        let at = |why, escalation| Grants {
            because: Because { why, ..Because::default() },
            escalation,
            ..Grants::FREE
        };
        assert!(!differs(&at(Why::Power, true), &at(Why::Power, false)));
        assert!(differs(&at(Why::Latency, true), &at(Why::Latency, false)));
        assert!(differs(&at(Why::Free, true), &at(Why::Power, true)));
    }
}
