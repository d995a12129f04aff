//! The service thread: reports that Squint is ready, pings systemd's watchdog while there is
//! progress, and keeps the status line.
//!
//! [`super::health`] decides whether there is progress. If this thread hangs, the pings stop as
//! well.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::{Level, error, info, log, warn};

use super::hangup::Launch;
use super::health::{HealthCheck, Trouble};
use super::notify;
use crate::pipeline::clock::{Clock, MachineClock, Stop};
use crate::pipeline::{CameraState, Liveness, Remote};
use crate::vocabulary::CameraPhase;
use crate::{events, source};

/// Between two looks while Squint starts.
const STARTING: Duration = Duration::from_millis(20);
/// Longest time between two looks; a quarter of the watchdog's patience if that is shorter.
const TICK: Duration = Duration::from_secs(1);
/// Between two status lines; systemd keeps the last one.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// Longest time that a thread may be at one thing; half of the watchdog's patience if that is
/// shorter.
const HANG_AFTER: Duration = Duration::from_secs(15);

/// A camera that delivers and whose frames no engine has looked at for so long works less well than
/// it should.
pub const UNANSWERED: Duration = Duration::from_secs(5);

/// How long a thread may be at one thing, given how patient systemd is.
pub fn hang_after() -> Duration {
    notify::watchdog().map_or(HANG_AFTER, |period| (period / 2).min(HANG_AFTER))
}

/// What the service thread has found, for whoever asks.
#[derive(Debug, Default)]
pub struct Findings {
    ready: AtomicBool,
    troubles: std::sync::Mutex<Vec<String>>,
}

impl Findings {
    /// True once the engines are warm and every camera delivers or is known to be retrying.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// What Squint cannot mend by itself, a sentence each; most of it keeps the watchdog from being
    /// fed.
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// What the status line is made of, called each time anew.
pub type Describe = Box<dyn Fn() -> String + Send>;

/// Watches over a running pipeline.
pub struct Watchdog {
    /// The pipeline.
    pub remote: Remote,
    /// Its threads.
    pub liveness: Arc<Liveness>,
    /// Ends the watch.
    pub stop: Stop,
    /// Where the findings go.
    pub findings: Arc<Findings>,
    /// The terminal that it is started from.
    pub launch: Launch,
    /// What the status says while all is well.
    pub describe: Describe,
}

impl Watchdog {
    /// Starts the thread, which ends when Squint is told to stop or the last camera has ended.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("service".into()).spawn(move || self.watch())
    }

    fn watch(self) {
        let tick = notify::watchdog().map_or(TICK, |period| (period / 4).min(TICK));
        let mut health = HealthCheck::new(self.liveness.hang_after);
        let mut known = HashSet::new();
        let mut starved = HashSet::new();
        let (mut ready, mut told) = (false, None::<Instant>);
        // Whether systemd knows that it is ready.
        let mut said = false;
        // Used again in each round, so that a quiet service allocates nothing.
        let (mut cameras, mut beats) = (Vec::new(), Vec::new());
        loop {
            let now = Instant::now();
            self.remote.read_cameras(&mut cameras);
            self.liveness.board.read_beats(&mut beats);
            if cameras.iter().all(|camera| camera.phase == CameraPhase::Ended) {
                return;
            }
            if self.launch.is_lost() {
                info!(event = events::STOPPING; "the terminal that it was started from is gone; finishing the frames on their way");
                self.stop.stop();
                return;
            }
            let troubles = health.troubles(now, &beats, &cameras, source::stuck());
            self.tell(&troubles, &mut known);
            tell_of_the_starved(&cameras, &mut starved);
            if !troubles.iter().any(Trouble::starves) {
                notify::alive();
            }
            if !ready && is_ready(&cameras) {
                ready = true;
                self.findings.ready.store(true, Ordering::Release);
                let status = (self.describe)();
                // On a terminal the first answers say as much.
                let level = if notify::is_heard() { Level::Info } else { Level::Debug };
                log!(level, event = events::STARTED; "ready: {status}");
                said = notify::ready(&status);
                told = Some(now);
            } else if notify::is_heard()
                && told.is_none_or(|at| now.saturating_duration_since(at) >= STATUS_EVERY)
            {
                let status = self.status(ready, &troubles, &cameras);
                if ready && !said {
                    said = notify::ready(&status);
                } else {
                    notify::status(&status);
                }
                told = Some(now);
            }
            if !MachineClock.sleep(if ready { tick } else { STARTING.min(tick) }, &self.stop) {
                return;
            }
        }
    }

    fn status(&self, ready: bool, troubles: &[Trouble], cameras: &[CameraState]) -> String {
        match (troubles.iter().find(|trouble| trouble.starves()).or(troubles.first()), ready) {
            (Some(trouble), _) if trouble.starves() => format!("no progress: {trouble}"),
            (Some(trouble), _) => format!("in part: {trouble}"),
            (None, true) => (self.describe)(),
            (None, false) => {
                let waits = cameras.iter().filter(|camera| camera.phase == CameraPhase::Opening);
                let names: Vec<_> = waits.map(|camera| &*camera.name).collect();
                format!("starting: opening {}", names.join(", "))
            }
        }
    }

    /// Tells of every trouble once, and when all are over.
    fn tell(&self, troubles: &[Trouble], known: &mut HashSet<String>) {
        for trouble in troubles.iter().filter(|trouble| !known.contains(trouble.who())) {
            match trouble {
                Trouble::Hung(beat) => {
                    let engine = beat.engine.as_deref().unwrap_or("");
                    error!(event = events::THREAD_HUNG, thread = *beat.thread, engine = engine; "{trouble}; the watchdog is fed no more");
                }
                Trouble::Still { camera, .. } => {
                    error!(event = events::NO_PROGRESS, camera = **camera; "{trouble}; the watchdog is fed no more");
                }
                Trouble::Stuck { .. } if !trouble.starves() => {
                    warn!(event = events::DRIVERS_STUCK; "{trouble}; the others go on");
                }
                Trouble::Short { camera, .. } => {
                    error!(event = events::NO_PROGRESS, camera = **camera; "{trouble}; the watchdog is fed no more");
                }
                Trouble::Stuck { .. } => {
                    error!(event = events::NO_PROGRESS; "{trouble}; the watchdog is fed no more")
                }
            }
        }
        if troubles.is_empty() && !known.is_empty() {
            info!(event = events::PROGRESS_AGAIN; "all threads go on; the watchdog is fed again");
        }
        if !troubles.is_empty() || !known.is_empty() {
            *known = troubles.iter().map(|trouble| trouble.who().to_owned()).collect();
            let texts = troubles.iter().map(ToString::to_string).collect();
            *self.findings.troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                texts;
        }
    }
}

/// Tells once of each camera whose frames no engine looks at, and when that is over.
fn tell_of_the_starved(cameras: &[CameraState], known: &mut HashSet<Arc<str>>) {
    for camera in cameras {
        let (name, starved) = (&camera.name, camera.unanswered >= UNANSWERED);
        if starved && known.insert(Arc::clone(name)) {
            warn!(event = events::CAMERA_STARVED, camera = **name; "{}", unanswered(camera));
        } else if camera.unanswered.is_zero() && known.remove(name) {
            info!(event = events::CAMERA_ANSWERED, camera = **name; "{name}: engines look at its frames again");
        }
    }
}

/// In words: no engine has looked at its frames for so long.
pub fn unanswered(camera: &CameraState) -> String {
    format!(
        "camera {} delivers, but no engine has looked at its frames for {} s",
        camera.name,
        camera.unanswered.as_secs()
    )
}

fn is_ready(cameras: &[CameraState]) -> bool {
    cameras.iter().all(|camera| camera.phase != CameraPhase::Opening || camera.losses > 0)
}
