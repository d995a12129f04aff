//! A source of readings on a thread of its own, which is waited for with a limit: a driver that
//! hangs costs its own sensor and nothing else.
//!
//! Reading a file of sysfs or asking a vendor's library may hang for ever. [`Patient`] has that
//! done by a thread and gives it up after [`LIMIT`]: the file is named, a new thread reads all
//! others, and when the old thread comes back the file is read again. A source that is not made of
//! files is waited for without readings until it answers. An edge module; it decides nothing about
//! readings.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::place::{Hung, Place};
use super::{Doubt, Inventory, MAX_RAILS, MAX_ZONES, Sample, Telemetry};

/// How long a file, or a source that has none, may take.
pub const LIMIT: Duration = Duration::from_secs(2);
/// How long a source may take to be opened for the first time, as long as it goes on from file to
/// file.
const OPENING: Duration = Duration::from_secs(15);
/// Files that may hang at a time, each with a thread; beyond that the source is left alone until
/// one comes back.
const MOST_HUNG: usize = 4;
/// Long enough that the wait at an empty channel really waits.
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// Between two looks at where a thread is.
const TICK: Duration = Duration::from_millis(20);
/// Of the threads.
const NAME: &str = "sensors";

/// Makes the source.
type Open = Arc<dyn Fn() -> Box<dyn Telemetry> + Send + Sync>;

/// What the thread says.
#[expect(
    clippy::large_enum_variant,
    reason = "samples are what it says all the time, and a box would be made for each"
)]
enum Said {
    Opened(Inventory),
    Read(Sample),
}

/// The thread that reads.
struct Helper {
    place: Arc<Place>,
    /// The source, as soon as it is open; held while it reads.
    telemetry: Arc<Mutex<Option<Box<dyn Telemetry>>>>,
    ask: Sender<Duration>,
    said: Receiver<Said>,
}

impl Helper {
    fn start(
        hung: &Arc<Hung>,
        open: impl FnOnce() -> Box<dyn Telemetry> + Send + 'static,
    ) -> Option<Self> {
        let place = Place::new(hung);
        let (ask, asked) = bounded::<Duration>(1);
        let (say, said) = bounded(1);
        // The first wait at a channel allocates its list of waiters: now, not while it is sampled.
        let _ = said.recv_timeout(FIRST_WAIT);
        let mine = Arc::clone(&place);
        let telemetry = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&telemetry);
        let work = move || {
            mine.take();
            let opened = open();
            let inventory = opened.inventory().clone();
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
            if say.send(Said::Opened(inventory)).is_err() {
                return;
            }
            let mut sample = Sample::default();
            for at in asked {
                if let Some(telemetry) = &mut *shared.lock().unwrap_or_else(PoisonError::into_inner)
                {
                    telemetry.sample(at, &mut sample);
                }
                if say.send(Said::Read(sample.clone())).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name(NAME.into()).spawn(work).ok()?;
        Some(Self { place, telemetry, ask, said })
    }

    fn source(&self) -> MutexGuard<'_, Option<Box<dyn Telemetry>>> {
        self.telemetry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a source has come.
enum State {
    /// The thread finds out what there is.
    Opening(Helper),
    /// It waits to be asked.
    Ready(Helper),
    /// It was asked and has not answered in time.
    Late(Helper, Instant),
    /// There is none: too much hangs, or the system refused a thread.
    Gone,
}

/// See the module.
pub struct Patient {
    name: &'static str,
    open: Option<Open>,
    hung: Arc<Hung>,
    state: State,
    inventory: Inventory,
    /// For each rail and zone of the inventory its place in what the thread of the moment found.
    rails: Vec<Option<usize>>,
    zones: Vec<Option<usize>>,
}

impl Patient {
    /// A source made of files, which is opened anew without those that hang. Waits until it is
    /// open, for [`LIMIT`] at each file that hangs.
    pub fn of_files(
        name: &'static str,
        root: &Path,
        open: fn(&Path) -> Box<dyn Telemetry>,
    ) -> Self {
        let root: PathBuf = root.into();
        Self::start(name, Arc::new(move || open(&root)))
    }

    fn start(name: &'static str, open: Open) -> Self {
        let mut patient = Self::closed(name);
        patient.open = Some(open);
        patient.restart();
        let until = Instant::now() + OPENING;
        while let State::Opening(_) = patient.state
            && Instant::now() < until
        {
            patient.look();
            if matches!(patient.state, State::Opening(_)) {
                std::thread::sleep(TICK / 10);
            }
        }
        patient
    }

    /// A source that is open already and cannot be opened anew.
    pub fn of(name: &'static str, telemetry: Box<dyn Telemetry>) -> Self {
        let mut patient = Self::closed(name);
        patient.take_on(telemetry.inventory().clone());
        match Helper::start(&patient.hung, move || telemetry) {
            Some(helper) => {
                // What it found is known.
                let _ = helper.said.recv_timeout(LIMIT);
                patient.state = State::Ready(helper);
            }
            None => patient.state = State::Gone,
        }
        patient
    }

    fn closed(name: &'static str) -> Self {
        Self {
            name,
            open: None,
            hung: Arc::default(),
            state: State::Gone,
            inventory: Inventory::default(),
            rails: Vec::new(),
            zones: Vec::new(),
        }
    }

    /// A new thread, unless too much hangs.
    fn restart(&mut self) {
        let helper = self
            .open
            .clone()
            .filter(|_| self.hung.count() < MOST_HUNG)
            .and_then(|open| Helper::start(&self.hung, move || open()));
        self.state = helper.map_or(State::Gone, State::Opening);
    }

    /// The first inventory stays; what later ones have is looked up in it.
    fn take_on(&mut self, found: Inventory) {
        if self.rails.is_empty() && self.zones.is_empty() && self.inventory == Inventory::default()
        {
            self.inventory = found.clone();
        }
        self.rails = self
            .inventory
            .rails
            .iter()
            .map(|rail| found.rails.iter().position(|other| other.origin == rail.origin))
            .collect();
        self.zones = self
            .inventory
            .zones
            .iter()
            .map(|zone| found.zones.iter().position(|other| other.origin == zone.origin))
            .collect();
    }

    /// Takes in what the thread says now, without waiting, and gives it up where it hangs.
    fn look(&mut self) -> Option<Sample> {
        let (helper, asked) = match std::mem::replace(&mut self.state, State::Gone) {
            State::Gone => {
                self.restart();
                return None;
            }
            State::Ready(helper) => {
                self.state = State::Ready(helper);
                return None;
            }
            State::Opening(helper) => (helper, None),
            State::Late(helper, since) => (helper, Some(since)),
        };
        match helper.said.try_recv() {
            Ok(Said::Opened(found)) => {
                self.take_on(found);
                self.state = State::Ready(helper);
            }
            Ok(Said::Read(sample)) => {
                self.state = State::Ready(helper);
                return Some(sample);
            }
            // It panicked, or a file of its own hangs that is not noted: nothing is known, and it
            // is tried anew where that is possible.
            Err(error) if error.is_disconnected() => self.restart(),
            Err(_) if helper.place.give_up(LIMIT).is_some() => self.restart(),
            Err(_) => {
                self.state = match asked {
                    None => State::Opening(helper),
                    Some(since) => State::Late(helper, since),
                };
            }
        }
        None
    }

    /// Asks for a sample and waits for it, up to [`LIMIT`].
    fn ask(&mut self, at: Duration) -> Option<Sample> {
        if !matches!(self.state, State::Ready(_)) {
            // One that comes late is of the past.
            self.look();
        }
        let helper = match std::mem::replace(&mut self.state, State::Gone) {
            State::Ready(helper) => helper,
            other => {
                self.state = other;
                return None;
            }
        };
        let begun = Instant::now();
        if helper.ask.send(at).is_err() {
            self.restart();
            return None;
        }
        loop {
            match helper.said.recv_timeout(TICK) {
                Ok(Said::Read(sample)) => {
                    self.state = State::Ready(helper);
                    return Some(sample);
                }
                Ok(Said::Opened(_)) => (),
                Err(RecvTimeoutError::Disconnected) => {
                    self.restart();
                    return None;
                }
                Err(RecvTimeoutError::Timeout) if helper.place.give_up(LIMIT).is_some() => {
                    self.restart();
                    return None;
                }
                Err(RecvTimeoutError::Timeout) if begun.elapsed() >= LIMIT => {
                    self.state = State::Late(helper, begun);
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => (),
            }
        }
    }
}

impl Telemetry for Patient {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        let Some(read) = self.ask(at) else {
            *sample = Sample { at, ..Sample::default() };
            sample.rails.extend(self.inventory.rails.iter().map(|_| None).take(MAX_RAILS));
            sample.temperatures.extend(self.inventory.zones.iter().map(|_| None).take(MAX_ZONES));
            return;
        };
        let rails: ArrayVec<_, MAX_RAILS> = placed(&self.rails, &read.rails).collect();
        let temperatures: ArrayVec<_, MAX_ZONES> =
            placed(&self.zones, &read.temperatures).collect();
        *sample = Sample { rails, temperatures, ..read };
    }

    fn doubts(&self) -> Vec<Doubt> {
        let why = format!(
            "has not answered for more than {} s; everything else goes on without it",
            LIMIT.as_secs()
        );
        let doubt = |sensor: String| Doubt { sensor, why: why.clone() };
        let hung = self.hung.all();
        let mut doubts: Vec<_> =
            hung.iter().map(|path| doubt(path.display().to_string())).collect();
        match &self.state {
            State::Late(..) => doubts.push(doubt(self.name.into())),
            State::Gone if hung.len() >= MOST_HUNG => {
                let why =
                    format!("{} of its files hang, so none is read until one answers", hung.len());
                doubts.push(Doubt { sensor: self.name.into(), why });
            }
            _ => (),
        }
        // It is not reading now, so nobody is waited for.
        if let State::Ready(helper) = &self.state
            && let Some(telemetry) = &*helper.source()
        {
            doubts.extend(telemetry.doubts());
        }
        doubts
    }

    fn is_elsewhere(&self) -> bool {
        true
    }
}

impl Drop for Patient {
    /// Lets the thread come to its end, a child of its own with it, unless it hangs.
    fn drop(&mut self) {
        if let State::Ready(Helper { ask, said, .. }) =
            std::mem::replace(&mut self.state, State::Gone)
        {
            drop(ask);
            while said.recv_timeout(LIMIT / 2).is_ok() {}
        }
    }
}

fn placed<T: Copy>(
    places: &[Option<usize>],
    read: &[Option<T>],
) -> impl Iterator<Item = Option<T>> {
    places.iter().map(|place| place.and_then(|place| read.get(place).copied().flatten()))
}

/// Does something that may hang on a thread of its own: `None` if it takes longer than `limit`. The
/// thread is left behind then.
pub fn within<T: Send + 'static>(
    limit: Duration,
    act: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (say, said) = bounded(1);
    std::thread::Builder::new().name(NAME.into()).spawn(move || drop(say.send(act()))).ok()?;
    said.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests;
