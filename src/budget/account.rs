//! The budget account of one generation: the costs of its engines, the usage since the last step,
//! and the grants until the next.
//!
//! Pure. Here the governor meets the frames: looks and outcomes are entered, and every frame gets
//! its grant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::{
    Ability, ChosenBy, Costs, Engine, Governor, Grant, Grants, LearnedState, Limits, Look, Mode,
    Owner, Prior, Schedule, Unreachable, Usage, tempered,
};
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::telemetry::{Inventory, MAX_ZONES, Sample};
use crate::units::{Celsius, Millijoules};

/// Most limits that are told to be out of reach.
pub const MOST_UNREACHABLE: usize = 8;

/// What a budget is made of, apart from what the engines cost.
#[derive(Clone, Debug)]
pub struct Budget {
    /// What the user allows.
    pub limits: Limits,
    /// Which mode when.
    pub schedule: Schedule,
    /// What the board has.
    pub inventory: Arc<Inventory>,
    /// The engines, in the order of their indices.
    pub engines: Vec<Member>,
    /// What was learned before, on this board with these engines.
    pub learned: Option<LearnedState>,
}

/// What the budget wants to know of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Of its model, hex.
    pub sha256: String,
    /// Who runs it.
    pub runtime: String,
    /// Share of right answers, 0..=1, as far as it is known.
    pub accuracy: Option<f32>,
    /// Median of a look as its manifest has it, on whatever machine.
    pub told: Option<Duration>,
}

impl Budget {
    /// Calls `then` with whom a kept state belongs to.
    fn with_owner<T>(
        inventory: &Inventory,
        engines: &[Member],
        then: impl FnOnce(&Owner) -> T,
    ) -> T {
        let engines: Vec<_> = engines
            .iter()
            .map(|Member { id, sha256, runtime, .. }| Engine { id, sha256, runtime })
            .collect();
        then(&Owner { board: inventory.board.as_deref(), engines: &engines })
    }

    /// An error if `learned` was learned on another board or with other engines.
    pub fn check(&self, learned: &LearnedState) -> Result<(), super::LearnedStateError> {
        Self::with_owner(&self.inventory, &self.engines, |owner| learned.belongs_to(owner))
    }
}

/// See the module.
pub(crate) struct Account {
    /// What the costs began with.
    priors: Vec<Option<Prior>>,
    costs: Costs,
    ruler: Option<Ruler>,
    grants: Grants,
    usage: Usage,
}

/// The governor, and what its limits are made of.
struct Ruler {
    governor: Governor,
    mode: (Mode, ChosenBy),
    limits: Limits,
    schedule: Schedule,
    inventory: Arc<Inventory>,
    engines: Vec<Member>,
}

impl Ruler {
    fn new(budget: Budget, cameras: usize, costs: &mut Costs) -> Self {
        let Budget { limits, schedule, inventory, engines, learned } = budget;
        let resumes = |learned: &LearnedState| {
            Budget::with_owner(&inventory, &engines, |owner| learned.resume(owner, costs)).is_ok()
        };
        let learned = learned.filter(resumes);
        let engine_set = engines.iter().take(MAX_ENGINES).zip(0..);
        let engine_set: Vec<_> = engine_set
            .map(|(member, index)| Ability { engine: EngineIdx(index), accuracy: member.accuracy })
            .collect();
        let mode = schedule.mode(None, None, None, &inventory);
        let mut governor = Governor::new(
            mode.0.limits(&limits, &inventory),
            &inventory,
            &engine_set,
            cameras,
            costs,
        );
        if let Some(learned) = learned {
            learned.resume_governor(&mut governor);
        }
        Self { governor, mode, limits, schedule, inventory, engines }
    }

    /// Takes up the mode that holds now.
    fn switch(&mut self, command: Option<Mode>, minute: Option<u16>, power_mode: Option<u32>) {
        let mode = self.schedule.mode(command, minute, power_mode, &self.inventory);
        if mode.0 != self.mode.0 {
            self.governor.set_limits(mode.0.limits(&self.limits, &self.inventory), &self.inventory);
        }
        self.mode = mode;
    }
}

impl Account {
    /// `measured`: what each engine cost when it was loaded. Without a `budget` everything is
    /// allowed.
    pub(crate) fn new(measured: &[Option<Prior>], budget: Option<Budget>, cameras: usize) -> Self {
        let told: Vec<_> =
            budget.iter().flat_map(|budget| &budget.engines).map(|member| member.told).collect();
        let priors = if told.len() == measured.len() {
            tempered(measured, &told)
        } else {
            measured.to_vec()
        };
        let mut costs = Costs::new(&priors);
        let ruler = budget.map(|budget| Ruler::new(budget, cameras, &mut costs));
        Self { priors, costs, ruler, grants: Grants::FREE, usage: Usage::default() }
    }

    /// What it grants frame number `sequence` of a camera whose next look is due at `next`.
    pub(crate) fn grant(&self, sequence: u64, next: Option<Instant>, captured: Instant) -> Grant {
        Grant::of(
            &self.grants,
            sequence,
            !self.grants.interval.is_zero() && next.is_some_and(|next| captured < next),
        )
    }

    /// When a camera whose frame of `captured` is looked at may be looked at again; its turn was at
    /// `due`. Turns keep their rhythm: a frame that comes a little late does not put off all that
    /// follow.
    pub(crate) fn next_turn(&self, due: Option<Instant>, captured: Instant) -> Instant {
        let interval = self.grants.interval;
        let rhythm = due.map_or(captured, |due| due + interval);
        rhythm.clamp(captured + interval / 2, captured + interval)
    }

    /// A frame came to its first decision.
    pub(crate) fn frame(&mut self) {
        self.usage.frames = self.usage.frames.saturating_add(1);
    }

    /// A frame was settled at this age, `late` if past its deadline, or was given up for want of
    /// time. Where the user limits the latency, that is what it is held against.
    pub(crate) fn settled(&mut self, age: Duration, late: bool) {
        let limit = self.governor().and_then(|governor| governor.limits().latency);
        let late = late || limit.is_some_and(|limit| age > limit);
        let count = if late { &mut self.usage.late } else { &mut self.usage.in_time };
        *count = count.saturating_add(1);
    }

    /// An engine has looked for so long; `crowded` if others looked meanwhile.
    pub(crate) fn looked(&mut self, engine: EngineIdx, time: Duration, crowded: bool) {
        self.costs.look(&Look { engine, time, crowded });
        if let Some(looks) = self.usage.looks.get_mut(usize::from(engine.0)) {
            *looks = looks.saturating_add(1);
            self.usage.busy[usize::from(engine.0)] += time;
        }
    }

    /// Half a second or so later: the readings of the board and what was done since become the next
    /// grants. `command` is a mode that somebody ordered, `minute` the local one of the day.
    pub(crate) fn step(
        &mut self,
        now: Duration,
        sample: &Sample,
        command: Option<Mode>,
        minute: Option<u16>,
        engines: &Arc<[Arc<str>]>,
    ) -> Stepped {
        let usage = std::mem::take(&mut self.usage);
        self.step_if(now, (sample, &usage), (sample, &usage), command, minute, engines)
    }

    /// The same from an usage of others: the costs learn from what was `seen`, the governor goes by
    /// what is `supposed`. Both are the same unless somebody asks what would have been.
    pub(crate) fn step_if(
        &mut self,
        now: Duration,
        seen: (&Sample, &Usage),
        supposed: (&Sample, &Usage),
        command: Option<Mode>,
        minute: Option<u16>,
        engines: &Arc<[Arc<str>]>,
    ) -> Stepped {
        let was = self.grants;
        if let Some(ruler) = &mut self.ruler {
            ruler.switch(command, minute, seen.0.power_mode);
            self.costs.step(now, seen.0, ruler.governor.rail(), seen.1);
            self.grants = ruler.governor.step(now, supposed.0, supposed.1, &self.costs);
        }
        let ruler = self.ruler.as_ref();
        let unreachable = ruler.map(|ruler| {
            ruler.governor.unreachable().iter().copied().take(MOST_UNREACHABLE).collect()
        });
        Stepped {
            was,
            is: self.grants,
            mode: ruler.map(|ruler| ruler.mode),
            unreachable: unreachable.unwrap_or_default(),
            changes: ruler.map_or(0, |ruler| ruler.governor.changes()),
            ceilings: ruler.map(|ruler| ceilings(&ruler.governor)).unwrap_or_default(),
            engines: Arc::clone(engines),
            usage: *seen.1,
        }
    }

    /// What is allowed.
    pub(crate) fn grants(&self) -> Grants {
        self.grants
    }

    /// What was learned so far; `None` without a budget.
    pub(crate) fn learned(&self) -> Option<LearnedState> {
        let Ruler { governor, inventory, engines, .. } = self.ruler.as_ref()?;
        Some(Budget::with_owner(inventory, engines, |owner| {
            LearnedState::of(owner, &self.costs, governor)
        }))
    }

    /// What the costs began with, by engine.
    pub(crate) fn priors(&self) -> &[Option<Prior>] {
        &self.priors
    }

    /// What the engines cost.
    pub(crate) fn costs(&self) -> &Costs {
        &self.costs
    }

    /// What a look of `engine` costs now: median, 95th percentile, energy beyond idle; `None` if it
    /// could not be loaded.
    pub(crate) fn cost(
        &self,
        engine: EngineIdx,
    ) -> Option<(Duration, Duration, Option<Millijoules>)> {
        Some((self.costs.p50(engine)?, self.costs.p95(engine)?, self.costs.energy(engine)))
    }

    /// Who rules over it.
    pub(crate) fn governor(&self) -> Option<&Governor> {
        self.ruler.as_ref().map(|ruler| &ruler.governor)
    }
}

/// One step of the budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// What was allowed.
    pub was: Grants,
    /// What is allowed.
    pub is: Grants,
    /// The mode that holds, and who chose it; `None` without a budget.
    pub mode: Option<(Mode, ChosenBy)>,
    /// Limits that even the least would exceed.
    pub unreachable: ArrayVec<Unreachable, MOST_UNREACHABLE>,
    /// How often the set of engines that may look has changed.
    pub changes: u64,
    /// The zones that a ceiling holds for, by index, and the ceiling.
    pub ceilings: ArrayVec<(usize, Celsius), MAX_ZONES>,
    /// Ids of the engines, by index.
    pub engines: Arc<[Arc<str>]>,
    /// What was done in between.
    pub usage: Usage,
}

fn ceilings(governor: &Governor) -> ArrayVec<(usize, Celsius), MAX_ZONES> {
    let zones = governor.thermal().zones().iter().take(MAX_ZONES);
    zones.map(|zone| (zone.zone, Celsius(zone.ceiling as f32))).collect()
}
