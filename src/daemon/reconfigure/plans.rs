//! Builds missing TensorRT plans in the background: finds the engines without one, runs one child
//! after the other, and swaps the engine set.
//!
//! The thread starts after the first answer and ends when nothing is left to build.
//! [`crate::engine::tensorrt::plan::build_queue`] decides the order. It never delays a stop;
//! without NVIDIA's software it ends after a look in a child.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, bounded, select};
use log::{debug, error, info, warn};

use super::{DaemonState, Wanted};
use crate::config::{Config, Runtime};
use crate::daemon::context;
use crate::engine::manifest::{Kind, Network};
use crate::engine::onnx;
use crate::engine::tensorrt::plan::build::{self, Host};
use crate::engine::tensorrt::plan::build_queue::{BuildQueue, Ended, PlanState};
use crate::engine::tensorrt::plan::cache::Cache;
use crate::engine::tensorrt::plan::child::{Build, Outcome, Program};
use crate::engine::tensorrt::software::Missing;
use crate::engine::tensorrt::{builder, built};
use crate::events;
use crate::pipeline::clock::{Clock, MachineClock};

/// Between two looks for the first answer.
const STARTING: Duration = Duration::from_millis(100);
/// Before a build is tried again that ended for a reason that may pass.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest build that anybody has told of is below half an hour; what takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
/// How long a child that was let go of may take to end.
const END: Duration = Duration::from_millis(500);

/// What is known of the plans, for whoever asks.
pub(super) struct Plans {
    build_queue: Mutex<BuildQueue>,
    /// A thread is at it.
    at_work: AtomicBool,
    /// It is to look again before it ends.
    again: AtomicBool,
    /// Wakes it for that while it waits for a build.
    changed: (Sender<()>, Receiver<()>),
    /// Disconnects when the latest thread is through.
    gone: Mutex<Option<Receiver<Infallible>>>,
}

impl Default for Plans {
    fn default() -> Self {
        let (build_queue, at_work, again, gone) = Default::default();
        Self { build_queue, at_work, again, changed: bounded(1), gone }
    }
}

impl Plans {
    fn build_queue<T>(&self, with: impl FnOnce(&mut BuildQueue) -> T) -> T {
        with(&mut self.build_queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for the thread once Squint has been told to stop, so that a build is gone before the
    /// daemon is; not for long.
    pub(super) fn drain(&self) {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner).take();
        if gone.is_some_and(|gone| gone.recv_timeout(2 * END) == Err(RecvTimeoutError::Timeout)) {
            debug!("the thread that looks after plans is left behind");
        }
    }

    /// For readiness: what is not as it should be.
    pub(super) fn words(&self, at: Duration) -> Option<String> {
        self.build_queue(|build_queue| build_queue.words(at))
    }
}

/// What a pass works with.
struct Site {
    config: Config,
    cache: Cache,
    host: Host,
    networks: Vec<(String, Network)>,
}

impl DaemonState {
    /// Looks after the plans of whoever is in force now, on a thread of its own.
    pub(super) fn mind_plans(self: &Arc<Self>) {
        self.plans.again.store(true, Ordering::SeqCst);
        if self.plans.at_work.swap(true, Ordering::SeqCst) {
            // Full: it is going to be woken anyway.
            let _ = self.plans.changed.0.try_send(());
            return;
        }
        let (alive, gone) = bounded(0);
        *self.plans.gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(gone);
        let daemon_state = Arc::clone(self);
        let work = move || {
            let _alive = alive;
            loop {
                daemon_state.plans.again.store(false, Ordering::SeqCst);
                daemon_state.look_after_plans();
                daemon_state.plans.at_work.store(false, Ordering::SeqCst);
                // Whoever came while it was at work relied on it.
                let more = daemon_state.plans.again.load(Ordering::SeqCst)
                    && !daemon_state.stop.is_stopped();
                if !more || daemon_state.plans.at_work.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("plans".into()).spawn(work) {
            self.plans.at_work.store(false, Ordering::SeqCst);
            warn!(event = events::PLAN_FAILED; "no thread to look after plans: {error}");
        }
    }

    fn look_after_plans(&self) {
        let answered = || {
            self.remote
                .get()
                .is_some_and(|remote| remote.cameras().iter().any(|camera| camera.told > 0))
        };
        while !answered() {
            if !MachineClock.sleep(STARTING, &self.stop) {
                return;
            }
        }
        let Some(site) = self.site() else {
            return self.plans.build_queue(|build_queue| *build_queue = BuildQueue::default());
        };
        let want = |(id, network): &(String, Network)| match built::want(
            &site.cache,
            &site.host,
            id,
            network,
        ) {
            Ok(want) => want,
            Err(error) => {
                warn!(event = events::PLAN_FAILED, engine = **id; "engine {id}: its plans are not looked after: {error}");
                None
            }
        };
        let wants: Vec<_> = site.networks.iter().filter_map(want).collect();
        let ready: Vec<_> = wants
            .iter()
            .filter(|want| want.standing == PlanState::Fits)
            .map(|want| want.engine.clone())
            .collect();
        self.plans.build_queue(|build_queue| *build_queue = BuildQueue::new(wants));
        let waits = {
            let now = self.now();
            let on_gpu = now.placement.on_gpu();
            ready
                .iter()
                .any(|id| !on_gpu.contains(id.as_str()) && !now.placement.spared.contains_key(id))
        };
        if waits {
            self.swap_in_plans();
        }
        while !self.stop.is_stopped() && !self.plans.again.load(Ordering::SeqCst) {
            let next = self.plans.build_queue(|build_queue| {
                build_queue.next().map(|(id, why)| (id.to_owned(), why.map(str::to_owned)))
            });
            let Some((id, why)) = next else { return };
            if self.build(&site, &id, why).is_none() {
                return;
            }
        }
    }

    /// What there is to build with, and for whom; `None` if there is nothing to do.
    fn site(&self) -> Option<Site> {
        let (config, placement) = {
            let now = self.now();
            (now.config.clone()?, now.placement.clone())
        };
        if config.engines.runtime == Runtime::Cpu {
            return None;
        }
        let mut known = BTreeSet::new();
        let networks =
            placement.engines.iter().flat_map(|engine| placement.catalog.networks(&engine.id));
        let networks = networks.filter_map(|(manifest, _)| match &manifest.kind {
            Kind::Network(network)
                if network.runtime == onnx::NAME && known.insert(manifest.id.clone()) =>
            {
                Some((manifest.id.clone(), network.as_ref().clone()))
            }
            _ => None,
        });
        let networks: Vec<_> = networks.collect();
        if networks.is_empty() {
            return None;
        }
        let found = context::tensorrt(&config).found();
        match &found.missing {
            Some(crashed @ Missing::Crashed(_)) => {
                warn!(event = events::PLAN_FAILED; "no engines are built for the GPU: {crashed}");
                return None;
            }
            Some(missing) => {
                debug!("no engines are built for a GPU: {missing}");
                return None;
            }
            None => (),
        }
        Some(Site {
            cache: Cache::new(&config.engines.plans),
            host: builder::host(&found)?,
            config,
            networks,
        })
    }

    /// One build, from the first word to the last; `None` if Squint stops or nobody wants it any
    /// more.
    fn build(&self, site: &Site, id: &str, why: Option<String>) -> Option<()> {
        let (_, network) = site.networks.iter().find(|(known, _)| known == id)?;
        let target = built::target(&site.host, network).ok()?;
        let begun = self.started.elapsed();
        let left = self.plans.build_queue(|build_queue| {
            build_queue.begun(id, begun);
            build_queue.words(begun).unwrap_or_default()
        });
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        info!(event = events::PLAN_BEGUN, engine = *id; "TensorRT builds engine {id} for {}{why}; {left}", site.host.gpu);
        let outcome = self.in_child(&site.config, id)?;
        let ended = match &outcome {
            Outcome::Built(plan) => {
                let took = self.started.elapsed().saturating_sub(begun).as_secs();
                info!(event = events::PLAN_BUILT, engine = *id; "engine {id} is built, in {took} s: {plan}");
                self.swap_in_plans();
                Ended::Built
            }
            Outcome::Failed(cause) => {
                match site.cache.list(id).is_ok_and(|listing| listing.failure(&target).is_some()) {
                    true => Ended::Failed(cause.clone()),
                    false => Ended::Broken(cause.clone()),
                }
            }
            Outcome::Crashed(cause) => Ended::Broken(cause.clone()),
        };
        let over = self.plans.build_queue(|build_queue| {
            build_queue.ended(id, ended);
            build_queue
                .failures()
                .find(|(failed, _)| *failed == id)
                .map(|(_, cause)| cause.to_owned())
        });
        match (outcome, over) {
            (Outcome::Built(_), _) => (),
            (outcome, Some(cause)) => {
                warn!(event = events::PLAN_FAILED, engine = *id; "engine {id} could not be built, the CPU answers: {cause}");
                if let Outcome::Crashed(cause) = outcome {
                    // Who crashed could not write it down.
                    let kept = site
                        .cache
                        .writer()
                        .and_then(|writer| build::remember(&writer, id, &target, &cause));
                    if let Err(error) = kept {
                        warn!(event = events::PLAN_FAILED, engine = *id; "engine {id}: that is not remembered: {error}");
                    }
                }
            }
            (Outcome::Failed(cause) | Outcome::Crashed(cause), None) => {
                debug!("engine {id} was not built, one more try: {cause}");
                MachineClock.sleep(PAUSE, &self.stop).then_some(())?;
            }
        }
        Some(())
    }

    /// `None` if Squint stops or nobody wants it any more; the child has then been let go of.
    fn in_child(&self, config: &Config, id: &str) -> Option<Outcome> {
        let started = self.program(config, id).and_then(|program| Build::start(&program));
        let mut build = match started {
            Ok(build) => build,
            Err(error) => return Some(Outcome::Failed(format!("no process to build in: {error}"))),
        };
        let tie = build.tie();
        let (say, heard) = bounded(1);
        let listen = move || {
            while let Some(progress) = build.hear() {
                debug!("{}: {} of {}", progress.phase, progress.done, progress.steps);
            }
            let _ = say
                .send(build.outcome().unwrap_or_else(|error| Outcome::Failed(error.to_string())));
        };
        if let Err(error) = std::thread::Builder::new().name("plan-build".into()).spawn(listen) {
            return Some(Outcome::Failed(format!("no thread to listen to it: {error}")));
        }
        let over = after(LIMIT);
        let outcome = loop {
            select! {
                recv(heard) -> outcome => return outcome.ok(),
                recv(self.stop.signal()) -> _ => break None,
                recv(self.plans.changed.1) -> _ => {
                    if !self.wants(id) {
                        break None;
                    }
                }
                recv(over) -> _ => {
                    let hours = LIMIT.as_secs() / 3600;
                    break Some(Outcome::Crashed(format!("it was not done within {hours} h and was ended")));
                }
            }
        };
        drop(tie);
        let _ = heard.recv_timeout(END);
        outcome
    }

    /// True if somebody in force would be run by TensorRT with a plan of `network`.
    fn wants(&self, network: &str) -> bool {
        let now = self.now();
        let on_cpu =
            now.config.as_ref().is_none_or(|config| config.engines.runtime == Runtime::Cpu);
        let networks = now
            .placement
            .engines
            .iter()
            .flat_map(|engine| now.placement.catalog.networks(&engine.id));
        !on_cpu && networks.into_iter().any(|(manifest, _)| manifest.id == network)
    }

    /// This program, with the configuration in force as far as a build depends on it.
    fn program(&self, config: &Config, id: &str) -> std::io::Result<Program> {
        let mut args: Vec<OsString> =
            ["engines", "build", id, "--json", "--tied"].map(OsString::from).into();
        let mut flag =
            |name: &str, value: &std::path::Path| args.extend([OsString::from(name), value.into()]);
        flag("--engines", &config.engines.folder);
        flag("--plans", &config.engines.plans);
        if let Some(file) = &self.file {
            flag("--config", file);
        }
        Ok(Program { path: std::env::current_exe()?, args })
    }

    /// A plan has come: the engines anew, on the thread that makes all such changes.
    fn swap_in_plans(&self) {
        match self.order(Wanted::Plans) {
            Ok(what) => info!(event = events::RELOADED; "{what}"),
            Err(_) if self.stop.is_stopped() => (),
            Err(why) => {
                error!(event = events::RELOAD_REFUSED; "a plan is there but not in use: {why}")
            }
        }
    }
}
