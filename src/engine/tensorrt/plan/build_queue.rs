//! Whose plan is built next, who serves meanwhile, and what to say about it. Pure: moments are
//! handed in, builds are somebody else's.
//!
//! One build at a time, for it takes all there is of a GPU. Engines without any plan come before
//! those whose plan still serves; among equals the order is the caller's. A build that failed is
//! not tried again here: only a change makes a new build queue.

use std::time::Duration;

/// What an engine has when the build queue opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanState {
    /// A plan that fits.
    Fits,
    /// A plan that still serves, and what is wrong with it.
    Serves(String),
    /// No plan that runs here, and why not if there is one.
    Nothing(Option<String>),
    /// Its build failed before and nothing has changed; if a plan still serves, and the cause.
    Failed {
        /// A plan still serves.
        serves: bool,
        /// What was said.
        cause: String,
    },
}

/// An engine that wants a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The engine.
    pub engine: String,
    /// What it has.
    pub standing: PlanState,
    /// How long its last build took, if it is known.
    pub usual: Option<Duration>,
}

/// Where the answers of an engine come from just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The plan it should have.
    Plan,
    /// An older plan.
    OldPlan,
    /// The processor.
    Cpu,
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a plan that is loaded.
    Built,
    /// Without, and the same would come of trying again.
    Failed(String),
    /// Without, for a reason that passes: killed, the disk full, TensorRT gone. After [`TRIES`] it
    /// counts as failed.
    Broken(String),
}

/// How often a build is tried that ends for a reason that may pass.
pub const TRIES: u32 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Has,
    Waits,
    Builds { since: Duration },
    Failed(String),
}

#[derive(Clone, Debug)]
struct EngineSlot {
    engine: String,
    serves: bool,
    why: Option<String>,
    usual: Option<Duration>,
    tries: u32,
    state: State,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct BuildQueue {
    seats: Vec<EngineSlot>,
}

impl BuildQueue {
    /// For `wants`, the most urgent first.
    pub fn new(wants: impl IntoIterator<Item = Want>) -> Self {
        let seat = |Want { engine, standing, usual }| {
            let (serves, why, state) = match standing {
                PlanState::Fits => (false, None, State::Has),
                PlanState::Serves(why) => (true, Some(why), State::Waits),
                PlanState::Nothing(why) => (false, why, State::Waits),
                PlanState::Failed { serves, cause } => (serves, None, State::Failed(cause)),
            };
            EngineSlot { engine, serves, why, usual, tries: 0, state }
        };
        Self { seats: wants.into_iter().map(seat).collect() }
    }

    /// Whose plan is to be built now, and why if an older one is there; `None` while one is being
    /// built, and when nothing is left to do.
    pub fn next(&self) -> Option<(&str, Option<&str>)> {
        if self.seats.iter().any(|seat| matches!(seat.state, State::Builds { .. })) {
            return None;
        }
        let waiting = self.seats.iter().filter(|seat| seat.state == State::Waits);
        // The first of the least: tries come last, so that one that breaks does not hold up the
        // others.
        let seat = waiting.min_by_key(|seat| (seat.tries, seat.serves))?;
        Some((&seat.engine, seat.why.as_deref()))
    }

    fn seat(&mut self, engine: &str) -> Option<&mut EngineSlot> {
        self.seats.iter_mut().find(|seat| seat.engine == engine)
    }

    /// The build of `engine` has begun.
    pub fn begun(&mut self, engine: &str, at: Duration) {
        if let Some(seat) = self.seat(engine) {
            seat.tries += 1;
            seat.state = State::Builds { since: at };
        }
    }

    /// The build of `engine` has ended. Ignored if none was begun.
    pub fn ended(&mut self, engine: &str, ended: Ended) {
        let Some(seat) =
            self.seat(engine).filter(|seat| matches!(seat.state, State::Builds { .. }))
        else {
            return;
        };
        seat.state = match ended {
            Ended::Built => State::Has,
            Ended::Failed(cause) => State::Failed(cause),
            Ended::Broken(cause) if seat.tries >= TRIES => State::Failed(cause),
            Ended::Broken(_) => State::Waits,
        };
    }

    /// Where the answers of `engine` come from; the processor for one that is not known here.
    pub fn server(&self, engine: &str) -> Server {
        match self.seats.iter().find(|seat| seat.engine == engine) {
            Some(EngineSlot { state: State::Has, .. }) => Server::Plan,
            Some(EngineSlot { serves: true, .. }) => Server::OldPlan,
            _ => Server::Cpu,
        }
    }

    /// How long the builds that are left take, roughly: from what earlier ones took, for the others
    /// their mean. `None` if nothing is known, or nothing left.
    pub fn left(&self, at: Duration) -> Option<Duration> {
        let known: Vec<Duration> = self.seats.iter().filter_map(|seat| seat.usual).collect();
        let mean = known.iter().sum::<Duration>().checked_div(u32::try_from(known.len()).ok()?)?;
        let left = |seat: &EngineSlot| match seat.state {
            State::Waits => Some(seat.usual.unwrap_or(mean)),
            State::Builds { since } => {
                Some(seat.usual.unwrap_or(mean).saturating_sub(at.saturating_sub(since)))
            }
            State::Has | State::Failed(_) => None,
        };
        let left: Vec<Duration> = self.seats.iter().filter_map(left).collect();
        (!left.is_empty()).then(|| left.iter().sum())
    }

    /// For readiness: what is not as it should be; `None` if all is.
    pub fn words(&self, at: Duration) -> Option<String> {
        let all = self.seats.len();
        let unbuilt = self
            .seats
            .iter()
            .filter(|seat| matches!(seat.state, State::Waits | State::Builds { .. }))
            .count();
        let failed: Vec<&str> = self
            .seats
            .iter()
            .filter(|seat| matches!(seat.state, State::Failed(_)))
            .map(|seat| seat.engine.as_str())
            .collect();
        let mut parts = Vec::new();
        if unbuilt > 0 {
            let verb = if unbuilt == 1 { "is" } else { "are" };
            let left =
                self.left(at).map_or_else(String::new, |left| format!(", about {}", roughly(left)));
            parts.push(format!("{unbuilt} of {all} engines {verb} being built{left}"));
        }
        if !failed.is_empty() {
            parts.push(format!(
                "{} of {all} could not be built ({})",
                failed.len(),
                failed.join(", ")
            ));
        }
        (!parts.is_empty()).then(|| format!("degraded: {}", parts.join("; ")))
    }

    /// The engines whose build failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.seats.iter().filter_map(|seat| match &seat.state {
            State::Failed(cause) => Some((seat.engine.as_str(), cause.as_str())),
            _ => None,
        })
    }
}

/// `40 s`, `6 min`, `2 h`: rounded up, for nobody minds being early.
fn roughly(time: Duration) -> String {
    match time.as_secs() {
        0..90 => format!("{} s", time.as_secs().next_multiple_of(10).max(10)),
        seconds @ 90..5400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
#[path = "build_queue_tests.rs"]
mod tests;
