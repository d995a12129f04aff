//! Every change to a running daemon: reload, policy, mode, log level; and the status that it
//! reports.
//!
//! Changes of the engine set are made one after the other, each on a thread of its own
//! ([`change`]), because engines take time to load and a disk may hang. Socket requests wait for
//! the result; signals return at once. No frame waits for a change.

mod change;
mod engine_swap;
mod plans;
mod status_map;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{LevelFilter, debug, error, info, warn};

use super::board::Board;
use super::context::AppContext;
use crate::config::{Config, Overrides};
use crate::control::{Setting, Steering};
use crate::error::Error;
use crate::events;
use crate::observe::{PolicyState, Reload, Reloads, STATE_VERSION, SinkState, State, Watch};
use crate::pipeline::clock::Stop;
use crate::pipeline::heartbeat::Activity;
use crate::pipeline::{EngineSet, Liveness, RELOAD_LOADING, Remote};
use crate::policy::Policy;
use crate::service::watchdog::{self, Findings, UNANSWERED};
use crate::service::{Wish, notify};
use crate::sink::{Ledger, Stamp};
use crate::source::Opener;
use crate::trace::TraceQueue;
use crate::vocabulary::{CameraPhase, EngineHealth, Mode, Phase};
use change::{Change, Changes, Outcome};
use engine_swap::Placement;
use plans::Plans;

/// Orders that may wait; a signal that finds no room changes nothing, since everything will be read
/// again anyway.
const WAITING: usize = 4;
/// Between two looks for engines that fail on the GPU again and again.
const LOOK: Duration = Duration::from_secs(1);
/// How long a change may read files and look for libraries before it is given up: so many times
/// what any thread may take, and no less than a slow disk needs.
const READ_LIMIT: (u32, Duration) = (3, Duration::from_secs(10));
/// The clock on the wall has been set, rather than trimmed, if it is off by this much.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// What is to be put in force.
enum Wanted {
    /// What the files say now.
    Files {
        /// In place of the policy of the configuration.
        policy: Option<String>,
    },
    /// The same as now, with the plans that have come.
    Plans,
}

/// An order, and where the answer goes.
struct Order {
    wanted: Wanted,
    reply: Option<Sender<Result<String, String>>>,
}

/// Steers the daemon. Shared by signals, the control socket and the service thread.
pub(crate) struct DaemonState {
    orders: (Sender<Order>, Receiver<Order>),
    /// A signal's order waits and has not been begun.
    hup_waits: AtomicBool,
    stop: Stop,
    started: Instant,
    began: Mutex<SystemTime>,
    file: Option<PathBuf>,
    flags: Overrides,
    liveness: Arc<Liveness>,
    findings: Arc<Findings>,
    /// Opens the cameras, in their order; set before the pipeline runs.
    openers: OnceLock<Vec<Opener>>,
    /// Set once the pipeline runs.
    remote: OnceLock<Remote>,
    watch: OnceLock<Arc<Watch>>,
    /// Likewise.
    ledger: OnceLock<Arc<Ledger>>,
    /// What reads the board; set before the pipeline runs.
    board: OnceLock<Arc<Board>>,
    /// Where everything that decides is written down, if anybody wants it; likewise.
    trace_queue: OnceLock<TraceQueue>,
    now: Mutex<Now>,
    plans: Plans,
    changes: Changes,
}

/// What is in force.
#[derive(Default)]
struct Now {
    config: Option<Config>,
    policy: PolicyState,
    reloads: Reloads,
    /// Who runs the engines.
    placement: Placement,
    /// Engines that could not be loaded at the start.
    unusable: Vec<String>,
}

impl DaemonState {
    /// For a daemon with this configuration file and these flags, which hold for every reload.
    pub(crate) fn new(
        file: Option<PathBuf>,
        flags: Overrides,
        stop: &Stop,
        started: Instant,
        liveness: Arc<Liveness>,
    ) -> Arc<Self> {
        Arc::new(Self {
            orders: bounded(WAITING),
            hup_waits: AtomicBool::new(false),
            stop: stop.clone(),
            started,
            began: Mutex::new(UNIX_EPOCH),
            file,
            flags,
            liveness,
            findings: Arc::default(),
            openers: OnceLock::new(),
            remote: OnceLock::new(),
            watch: OnceLock::new(),
            ledger: OnceLock::new(),
            board: OnceLock::new(),
            trace_queue: OnceLock::new(),
            now: Mutex::default(),
            plans: Plans::default(),
            changes: Changes::default(),
        })
    }

    /// When the process began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The same by the clock on the wall. A board may learn the date long after its start: a step
    /// of the clock moves this moment along, so that it and the uptime agree; less than a step
    /// leaves it, so that a series of metrics does not waver.
    fn began(&self) -> SystemTime {
        let by_now = SystemTime::now().checked_sub(self.started.elapsed()).unwrap_or(UNIX_EPOCH);
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let off = by_now.duration_since(*began).unwrap_or_else(|earlier| earlier.duration());
        if off >= CLOCK_STEP {
            *began = by_now;
        }
        *began
    }

    /// What the service thread finds.
    pub(crate) fn findings(&self) -> Arc<Findings> {
        Arc::clone(&self.findings)
    }

    /// The pipeline has come to its end; so does everything beside it.
    pub(crate) fn finish(&self) {
        // A clip that ended by itself told nobody to stop.
        self.stop.stop();
        self.plans.drain();
    }

    /// This is in force from the start. `openers`: of the cameras, in their order.
    pub(crate) fn begin(
        &self,
        context: &AppContext,
        engine_set: &EngineSet,
        board: Arc<Board>,
        openers: Vec<Opener>,
    ) {
        let _ = (self.board.set(board), self.openers.set(openers));
        let mut now = self.now();
        (now.config, now.policy) = (Some(context.config.clone()), described(&engine_set.policy));
        now.placement =
            Placement::of(context, engine_set.engines.iter().map(|(id, _)| &**id), BTreeMap::new());
    }

    /// Engine sets that come in force are announced to `trace_queue`.
    pub(crate) fn record(&self, trace_queue: Option<TraceQueue>) {
        trace_queue.into_iter().for_each(|trace_queue| {
            let _ = self.trace_queue.set(trace_queue);
        });
    }

    /// The pipeline runs; takes orders from now on, until told to stop.
    pub(crate) fn attend(
        self: &Arc<Self>,
        remote: Remote,
        watch: Arc<Watch>,
        ledger: Arc<Ledger>,
    ) -> std::io::Result<JoinHandle<()>> {
        let engines = remote.engines().map(|(_, engines)| engines).unwrap_or_default();
        let unusable = engines.iter().filter(|engine| engine.health == EngineHealth::Unusable);
        self.now().unusable = unusable.map(|engine| engine.id.to_string()).collect();
        let _ = (self.remote.set(remote), self.watch.set(watch), self.ledger.set(ledger));
        let daemon_state = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("reconfigure".into())
            .spawn(move || daemon_state.serve())?;
        self.mind_plans();
        Ok(thread)
    }

    fn serve(self: &Arc<Self>) {
        // Watched as the others are; what it waits for has limits of its own, which are shorter.
        let heartbeat = self.liveness.board.heartbeat("reconfigure");
        loop {
            heartbeat.idle();
            let order = select! {
                recv(self.orders.1) -> order => order,
                recv(self.stop.signal()) -> _ => return,
                default(LOOK) => {
                    heartbeat.begin(Activity::Reloading, self.change_limit());
                    self.spare_the_lost();
                    continue;
                }
            };
            let Ok(Order { wanted, reply }) = order else { return };
            if self.stop.is_stopped() {
                return;
            }
            heartbeat.begin(Activity::Reloading, self.change_limit());
            if reply.is_none() {
                // From here on the files may have been read: the next signal needs a reload of its
                // own.
                self.hup_waits.store(false, Ordering::Release);
            }
            let outcome = match wanted {
                Wanted::Files { policy } => {
                    let outcome = self.obey(policy);
                    self.mind_plans();
                    outcome
                }
                Wanted::Plans => self.make(Self::renew).map_err(|error| error.in_one_line()),
            };
            if let Some(reply) = reply {
                let _ = reply.send(outcome);
            }
        }
    }

    /// A signal.
    pub(crate) fn hear(&self, wish: Wish) {
        match wish {
            Wish::Reload => self.reload_soon(),
            Wish::Thriftier => self.shift_mode(false),
            Wish::MoreGenerous => self.shift_mode(true),
        }
    }

    /// SIGUSR1 and SIGUSR2.
    fn shift_mode(&self, generous: bool) {
        let Some((mode, _)) = self.remote.get().and_then(Remote::engines) else {
            return info!(
                "told to change the mode while starting or stopping: nothing has changed"
            );
        };
        let holds = self.board.get().and_then(|board| board.mode()).unwrap_or_default();
        match mode.next(holds, generous) {
            // It logs what it did, and cannot fail with a known mode of a running pipeline.
            Some(next) => drop(self.set(Setting::Mode, next.name())),
            None => info!(
                "told to change the mode: there is none beyond {}",
                if generous { "unlimited" } else { mode.name() }
            ),
        }
    }

    /// SIGHUP. One that comes while Squint starts is obeyed once it runs; of many, one that waits
    /// stands for all that come after it.
    pub(crate) fn reload_soon(&self) {
        if self.stop.is_stopped() {
            return info!("told to reload while stopping: there is nothing to reload any more");
        }
        let waits = self.hup_waits.swap(true, Ordering::AcqRel);
        if waits
            || self
                .orders
                .0
                .try_send(Order { wanted: Wanted::Files { policy: None }, reply: None })
                .is_err()
        {
            self.hup_waits.store(waits, Ordering::Release);
            debug!("told to reload while reloads wait already; one of those will do");
        }
    }

    fn order(&self, wanted: Wanted) -> Result<String, String> {
        if self.remote.get().is_none() {
            return Err("Squint is still starting; try again once it is ready".into());
        }
        let (reply, answer) = bounded(1);
        if self.orders.0.try_send(Order { wanted, reply: Some(reply) }).is_err() {
            return Err(format!("{WAITING} reloads wait already; try again in a moment"));
        }
        select! {
            recv(answer) -> outcome => outcome.unwrap_or_else(|_| Err("Squint is coming to its end".into())),
            recv(self.stop.signal()) -> _ => Err("Squint is coming to its end".into()),
        }
    }

    /// How long a change may read.
    fn read_limit(&self) -> Duration {
        let (times, least) = READ_LIMIT;
        (self.liveness.hang_after * times).max(least)
    }

    /// How long a change may take in all.
    fn change_limit(&self) -> Duration {
        self.read_limit()
            + RELOAD_LOADING.limit(self.liveness.hang_after)
            + 2 * self.liveness.hang_after
    }

    /// Makes a change on a thread that can be left behind.
    fn make(
        self: &Arc<Self>,
        change: impl FnOnce(&Self, &Change) -> Result<String, Error> + Send + 'static,
    ) -> Result<String, Error> {
        let daemon_state = Arc::clone(self);
        let outcome = self.changes.make(
            &self.liveness.board,
            &self.stop,
            self.read_limit(),
            move |progress| change(&daemon_state, progress),
        );
        match outcome {
            Outcome::Done(outcome) => outcome,
            Outcome::Stopped => Err(Error::Unfit("Squint is coming to its end".into())),
            Outcome::GivenUp(limit) => {
                let file = self.file.as_ref().map_or_else(String::new, |file| {
                    format!(" ({} and what it names)", file.display())
                });
                let why = format!(
                    "given up after {} s: reading configuration, engines and policy hangs{file}; is their disk there?",
                    limit.as_secs()
                );
                error!(event = events::RELOAD_HUNG; "a reload was {why}");
                Err(Error::Unfit(why))
            }
        }
    }

    /// Reads everything again and puts it in force, or says why not; either way everybody hears of
    /// it.
    fn obey(self: &Arc<Self>, policy: Option<String>) -> Result<String, String> {
        // While Squint starts it is not yet `ready`, and a reload must not say so.
        let ready = self.findings.is_ready();
        if ready {
            notify::reloading();
        }
        let outcome = self
            .make(move |daemon_state, change| daemon_state.reread(policy, change))
            .map_err(|error| error.in_one_line());
        let ok = outcome.is_ok();
        match &outcome {
            Ok(what) => info!(event = events::RELOADED; "{what}"),
            Err(why) => error!(event = events::RELOAD_REFUSED; "nothing has changed: {why}"),
        }
        {
            let mut now = self.now();
            now.reloads.count += 1;
            now.reloads.failed += u64::from(!ok);
            let message = outcome.clone().unwrap_or_else(|why| why);
            now.reloads.last =
                Some(Reload { at: Stamp::of(SystemTime::now()).as_str().to_owned(), ok, message });
        }
        // systemd knows that Squint is stopping; nothing may sound as if it went on.
        if !ready || self.stop.is_stopped() {
            return outcome;
        }
        let status = self.describe();
        // A systemd that does not read waits for this word; a few tries, then it has to do without.
        let _ = (0..10).any(|_| notify::ready(&status));
        outcome
    }

    /// One line for `systemctl status`.
    pub(crate) fn describe(&self) -> String {
        let state = self.state();
        let count = |phase| state.cameras.iter().filter(|camera| camera.state == phase).count();
        let mut parts = vec![format!(
            "{} of {} cameras deliver",
            count(CameraPhase::Delivering),
            state.cameras.len()
        )];
        let all = &state.counted.all;
        parts.extend(all.fps_10s.map(|fps| format!("{fps:.1} frames/s")));
        let share = |engine: &crate::observe::EngineCount| {
            engine
                .run_share
                .filter(|share| *share >= 0.005)
                .map(|share| format!("{} {:.0} %", engine.id, share * 100.0))
        };
        let shares: Vec<_> = state.counted.engines.iter().filter_map(share).collect();
        parts.extend((!shares.is_empty()).then(|| shares.join(", ")));
        parts.extend(all.age_us.map(|age| format!("p95 {:.1} ms", age.p95 as f64 / 1000.0)));
        let drops: u64 = state.cameras.iter().map(|camera| camera.drops.total()).sum();
        parts.push(format!("{drops} dropped"));
        parts.push(format!("mode {}", state.mode.name()));
        if let Some(budget) = state.budget.as_ref().filter(|budget| budget.because != "free") {
            parts.push(format!("budget held by {}", budget.because));
        }
        let mut line = parts.join("; ");
        for complaint in state.complaints.iter().chain(&state.degraded) {
            line.push_str("; ");
            line.push_str(complaint);
        }
        line
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn described(policy: &Policy) -> PolicyState {
    PolicyState { name: policy.name().to_owned(), kind: policy.kind().to_owned() }
}

impl Steering for DaemonState {
    fn state(&self) -> State {
        let remote = self.remote.get();
        let (mode, engines) = remote.and_then(Remote::engines).unwrap_or_default();
        let cameras = remote.map(Remote::cameras).unwrap_or_default();
        let now = self.now();
        let runtime = |id: &str| {
            now.placement
                .engines
                .iter()
                .find(|placed| placed.id == id)
                .map(|placed| placed.runtime.clone())
        };
        let engines: Vec<_> = engines
            .into_iter()
            .map(|engine| status_map::engine(runtime(&engine.id), engine))
            .collect();
        let mut degraded: Vec<_> =
            now.unusable.iter().map(|id| format!("engine {id} cannot be loaded")).collect();
        let unfit = |state| engines.iter().filter(move |engine| engine.state == state);
        degraded.extend(
            unfit(EngineHealth::Stuck).map(|engine| format!("engine {} is stuck", engine.id)),
        );
        degraded.extend(
            unfit(EngineHealth::Aside).map(|engine| format!("engine {} is set aside", engine.id)),
        );
        degraded.extend(
            now.placement
                .spared
                .iter()
                .map(|(id, why)| format!("engine {id} runs on the CPU: {why}")),
        );
        degraded.extend(self.plans.words(self.started.elapsed()));
        let lost = cameras.iter().filter(|camera| camera.phase == CameraPhase::Retrying);
        degraded
            .extend(lost.map(|camera| format!("camera {} is lost and tried again", camera.name)));
        degraded.extend(
            cameras
                .iter()
                .filter(|camera| camera.unanswered >= UNANSWERED)
                .map(watchdog::unanswered),
        );
        let sinks: Vec<_> = self
            .ledger
            .get()
            .map(|ledger| ledger.read().into_iter().map(status_map::sink).collect())
            .unwrap_or_default();
        let failing = |sink: &SinkState| {
            sink.trouble.as_ref().map(|why| format!("{} loses records: {why}", sink.name))
        };
        degraded.extend(sinks.iter().filter_map(failing));
        let refused = cameras.iter().filter(|camera| camera.phase == CameraPhase::Refused);
        degraded.extend(refused.map(|camera| {
            let minutes = camera.next_try.unwrap_or_default().as_secs().div_ceil(60);
            format!("camera {} refuses user name and password; next try in {minutes} min, or at a reload", camera.name)
        }));
        if let Some(Reload { ok: false, message, .. }) = &now.reloads.last {
            degraded.push(format!("the last reload was refused: {message}"));
        }
        let mut complaints = self.findings.troubles();
        match self.changes.hanging() {
            0 => (),
            1 => complaints.push(
                "a reload hangs over its files and was given up; what was in force goes on".into(),
            ),
            count => complaints.push(format!(
                "{count} reloads hang over their files and were given up; what was in force goes on"
            )),
        }
        let (board, budget) = self.board.get().map(|board| board.state()).unwrap_or_default();
        if let Some(budget) = &budget {
            degraded.extend(budget.unreachable.iter().cloned());
        }
        if let Some(board) = &board {
            degraded.extend(
                board
                    .doubts
                    .iter()
                    .map(|doubt| format!("sensor {} is left out: {}", doubt.sensor, doubt.why)),
            );
        }
        State {
            board,
            budget,
            v: STATE_VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: process::id(),
            phase: match () {
                () if self.stop.is_stopped() => Phase::Stopping,
                () if self.findings.is_ready() => Phase::Running,
                () => Phase::Starting,
            },
            ready: self.findings.is_ready(),
            healthy: complaints.is_empty(),
            complaints,
            start_time_s: self
                .began()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |time| time.as_secs_f64()),
            uptime_s: self.started.elapsed().as_secs_f64(),
            mode,
            policy: now.policy.clone(),
            log_level: log::max_level().as_str().to_lowercase(),
            degraded,
            reload: now.reloads.clone(),
            engines,
            cameras: cameras.into_iter().map(status_map::camera).collect(),
            sinks,
            threads: self.liveness.board.beats().into_iter().map(status_map::thread).collect(),
            counted: self
                .watch
                .get()
                .map(|watch| watch.read(Instant::now()).counted())
                .unwrap_or_default(),
        }
    }

    fn reload(&self) -> Result<String, String> {
        self.order(Wanted::Files { policy: None })
    }

    fn set(&self, what: Setting, value: &str) -> Result<String, String> {
        let said = match what {
            Setting::Policy => return self.order(Wanted::Files { policy: Some(value.to_owned()) }),
            Setting::LogLevel => {
                let level: LevelFilter = value
                    .parse()
                    .map_err(|_| format!("there is no log level `{}`", value.escape_debug()))?;
                log::set_max_level(level);
                format!("log level {value}, until the next reload or restart")
            }
            Setting::Mode => {
                let mode = Mode::named(value)
                    .ok_or_else(|| format!("there is no mode `{}`", value.escape_debug()))?;
                self.remote
                    .get()
                    .ok_or("Squint is still starting; try again once it is ready")?
                    .set_mode(mode);
                format!("mode {value}, until the next reload or restart")
            }
        };
        // At warn: who reads the journal at night must see it even where info is not logged.
        warn!(event = events::SETTING_CHANGED; "{said}");
        Ok(said)
    }
}
