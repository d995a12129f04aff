//! What this process may still take of the system, descriptors and threads, and which of its parts
//! may take it.
//!
//! GLib ends the whole process when it cannot have a pipe for one of its wake-ups
//! (`Creating pipes for GWakeup: Too many open files`) or a thread
//! (`creating thread 'gmain': Resource temporarily unavailable`). So a camera is opened only if
//! everything that its opening may take is free beside what other openings may still take: see
//! [`open_camera`]. Readers of records and clients of the control socket leave alone what cameras
//! that are not open will need: see [`reader_fits`] and [`client_fits`].
//!
//! The sums are pure ([`Ledger`]); what is taken and what the limits are is read by `count` from
//! /proc and the control groups. Frames never come this way: only openings, connections and the
//! start do.

mod count;

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use count::{Free, raise};

/// Descriptors that stay free for the control socket, a reload and the log, whatever cameras and
/// readers want.
const RESERVE: u64 = 16;
/// Descriptors that a client of the control socket leaves free: a reload opens a few files at a
/// time.
const CLIENT_RESERVE: u64 = 4;
/// How long an opening waits for others to come to their end where only those stand in its way.
const PATIENCE: Duration = Duration::from_secs(3);

/// So many descriptors and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// File descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Need {
    /// What the opening of a GStreamer pipeline may take for a while: its bus and its wake-ups, a
    /// device or a few sockets, libraries being loaded; and the threads of its elements, among them
    /// a decoder's, which has as many as there are processors, 16 at most. Measured of an RTSP
    /// camera: 13 descriptors and 10 threads at the most, 9 and 6 of them as long as it is open.
    pub fn of_an_opening() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(16) as u64;
        Self { descriptors: 32, threads: 12 + processors }
    }

    /// The same for `count` of them.
    pub fn times(self, count: u64) -> Self {
        Self {
            descriptors: self.descriptors.saturating_mul(count),
            threads: self.threads.saturating_mul(count),
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.saturating_add(other.descriptors),
            threads: self.threads.saturating_add(other.threads),
        }
    }

    fn less(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.saturating_sub(other.descriptors),
            threads: self.threads.saturating_sub(other.threads),
        }
    }
}

/// A limit, and how much of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// In use, by whoever the limit is for.
    pub taken: u64,
    /// Most that there may be.
    pub limit: u64,
    /// Which limit it is.
    pub by: By,
}

impl Level {
    /// What is left.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.taken)
    }
}

/// Which limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// RLIMIT_NOFILE of this process.
    OpenFiles,
    /// `pids.max` of a control group.
    Group,
    /// RLIMIT_NPROC of this user.
    User,
}

impl By {
    /// What it limits.
    pub const fn what(self) -> &'static str {
        match self {
            Self::OpenFiles => "descriptors",
            Self::Group | Self::User => "threads",
        }
    }

    /// How it is raised.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::OpenFiles => "raise the limit (LimitNOFILE= of the unit, `ulimit -n` in a shell)",
            Self::Group => "raise the limit (TasksMax= of the unit, pids.max of the control group)",
            Self::User => "raise the limit (LimitNPROC= of the unit, `ulimit -u` in a shell)",
        }
    }
}

/// Too little is left for a camera to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The limit that is in the way.
    pub level: Level,
    /// What the opening may take.
    pub needed: u64,
    /// What other openings may still take.
    pub promised: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level: Level { taken, limit, by }, needed, promised } = *self;
        write!(f, "out of {}: {taken} of {limit} are taken", by.what())?;
        if promised > 0 {
            write!(f, ", {promised} are promised to other cameras that are being opened,")?;
        }
        write!(f, " and a camera needs up to {needed}; {}", by.advice())
    }
}

/// Who has been promised what. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ledger {
    /// What all cameras need to be opened.
    expected: Need,
    /// Of those that are being opened.
    opening: Need,
    /// Of those that are open.
    open: Need,
}

impl Ledger {
    /// An error if a camera that needs so much must not be opened now.
    fn may_open(&self, need: Need, free: &Free) -> Result<(), Shortage> {
        let fits = |level: Option<Level>, needed: u64, promised: u64| match level {
            Some(level) if level.free() < needed.saturating_add(promised) => {
                Err(Shortage { level, needed, promised })
            }
            _ => Ok(()),
        };
        fits(free.descriptors, need.descriptors, self.opening.descriptors)?;
        fits(free.threads, need.threads, self.opening.threads)
    }

    /// Descriptors that a reader of records has to leave free: for every camera that is not open,
    /// and for those who ask.
    fn for_readers(&self) -> u64 {
        let closed = self.expected.less(self.open).descriptors;
        closed.max(self.opening.descriptors).saturating_add(RESERVE)
    }

    /// Descriptors that a client of the control socket has to leave free.
    fn for_clients(&self) -> u64 {
        self.opening.descriptors.saturating_add(CLIENT_RESERVE)
    }
}

/// One ledger for the process, as the limits are the process's.
static LEDGER: Mutex<Ledger> =
    Mutex::new(Ledger { expected: NOTHING, opening: NOTHING, open: NOTHING });
/// An opening came to its end.
static SETTLED: Condvar = Condvar::new();
const NOTHING: Need = Need { descriptors: 0, threads: 0 };

fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This is what all cameras together need to be opened: readers leave it free for those that are
/// not open.
pub fn expect(cameras: Need) {
    ledger().expected = cameras;
}

/// A camera that is being opened or is open: what it was promised. Goes back when dropped.
#[derive(Debug)]
pub struct Promise {
    need: Need,
    settled: bool,
}

/// Promises what the opening of a camera may take. Where only other openings are in the way it
/// waits for them, up to three seconds.
///
/// # Errors
/// If so much is not free: nothing may be opened then.
pub fn open_camera(need: Need) -> Result<Promise, Shortage> {
    let until = Instant::now() + PATIENCE;
    let mut ledger = ledger();
    loop {
        let free = Free::now();
        let short = match ledger.may_open(need, &free) {
            Ok(()) => {
                ledger.opening = ledger.opening.plus(need);
                return Ok(Promise { need, settled: false });
            }
            Err(short) => short,
        };
        let left = until.saturating_duration_since(Instant::now());
        if short.level.free() < short.needed || left.is_zero() {
            return Err(short);
        }
        ledger = SETTLED.wait_timeout(ledger, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Promise {
    /// The camera delivers: it has everything, and what it has is among what is taken.
    pub fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            let mut ledger = ledger();
            ledger.opening = ledger.opening.less(self.need);
            ledger.open = ledger.open.plus(self.need);
            drop(ledger);
            SETTLED.notify_all();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut ledger = ledger();
        let of = if self.settled { &mut ledger.open } else { &mut ledger.opening };
        *of = of.less(self.need);
        drop(ledger);
        SETTLED.notify_all();
    }
}

/// True if one more reader of records leaves enough descriptors for the cameras that are not open
/// and for those who ask.
pub fn reader_fits() -> bool {
    let reserve = ledger().for_readers();
    count::descriptors().is_none_or(|level| level.free() > reserve)
}

/// True if one more client of the control socket leaves enough descriptors for the cameras that are
/// being opened.
pub fn client_fits() -> bool {
    let reserve = ledger().for_clients();
    count::descriptors().is_none_or(|level| level.free() > reserve)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: Need = Need { descriptors: 32, threads: 14 };

    fn free(descriptors: (u64, u64), threads: (u64, u64)) -> Free {
        let level = |(taken, limit), by| Some(Level { taken, limit, by });
        Free { descriptors: level(descriptors, By::OpenFiles), threads: level(threads, By::Group) }
    }

    #[test]
    fn several_cameras_that_are_opened_at_once_cannot_run_out_together() {
        let mut ledger = Ledger { expected: CAMERA.times(3), ..Ledger::default() };
        let room = free((36, 100), (10, 1000));
        assert_eq!(ledger.may_open(CAMERA, &room), Ok(()));
        ledger.opening = CAMERA;
        assert_eq!(ledger.may_open(CAMERA, &room), Ok(()), "64 are free");
        ledger.opening = CAMERA.times(2);
        let short = ledger.may_open(CAMERA, &room).unwrap_err();
        assert_eq!((short.needed, short.promised, short.level.free()), (32, 64, 64));
        assert_eq!(
            short.to_string(),
            "out of descriptors: 36 of 100 are taken, 64 are promised to other cameras that are being opened, and a camera needs up to 32; \
             raise the limit (LimitNOFILE= of the unit, `ulimit -n` in a shell)"
        );
        ledger = Ledger { opening: NOTHING, open: CAMERA.times(2), ..ledger };
        assert_eq!(
            ledger.may_open(CAMERA, &free((60, 100), (10, 1000))),
            Ok(()),
            "what is open is among what is taken"
        );
    }

    #[test]
    fn a_camera_that_would_exceed_the_threads_is_not_opened() {
        let short = Ledger::default().may_open(CAMERA, &free((10, 1000), (50, 60))).unwrap_err();
        assert_eq!(
            short.to_string(),
            "out of threads: 50 of 60 are taken and a camera needs up to 14; raise the limit (TasksMax= of the unit, pids.max of the \
             control group)"
        );
        assert_eq!(
            Ledger::default().may_open(CAMERA, &Free { descriptors: None, threads: None }),
            Ok(()),
            "no limit, no shortage"
        );
    }

    #[test]
    fn readers_leave_enough_for_every_camera_that_is_not_open_and_clients_for_those_being_opened() {
        let all_closed = Ledger { expected: CAMERA.times(4), ..Ledger::default() };
        assert_eq!(
            (all_closed.for_readers(), all_closed.for_clients()),
            (4 * 32 + RESERVE, CLIENT_RESERVE)
        );
        let some_open = Ledger { open: CAMERA.times(3), opening: CAMERA, ..all_closed };
        assert_eq!(
            (some_open.for_readers(), some_open.for_clients()),
            (32 + RESERVE, 32 + CLIENT_RESERVE)
        );
        let all_open = Ledger { open: CAMERA.times(4), ..all_closed };
        assert_eq!((all_open.for_readers(), all_open.for_clients()), (RESERVE, CLIENT_RESERVE));
    }

    #[test]
    fn a_promise_goes_back_when_the_camera_closes_whether_it_ever_delivered_or_not() {
        let before = *ledger();
        let mut first = open_camera(CAMERA).unwrap();
        let second = open_camera(CAMERA).unwrap();
        first.settle();
        first.settle();
        drop((first, second));
        let after = *ledger();
        // Tests of other cameras in this process may have opened some meanwhile; what is ours is
        // gone.
        assert!(after.opening.descriptors <= before.opening.descriptors + 32 * 8, "{after:?}");
    }
}
