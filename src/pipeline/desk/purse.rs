//! What the engines of one shift cost, what was spent since the last step of the budget, and what may be spent until the next.
//!
//! Pure. The governor is [`crate::budget`]'s; here it meets the frames: looks and outcomes are written down, every frame gets its grant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::budget::{
    Ability, ChosenBy, Costs, Engine, Governor, Kept, Limits, Look, Mode, Owner, Prior, Schedule, Standing, Tally, Unreachable,
    tempered,
};
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::policy::Grant;
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
    pub kept: Option<Kept>,
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
    fn with_owner<T>(inventory: &Inventory, engines: &[Member], then: impl FnOnce(&Owner) -> T) -> T {
        let engines: Vec<_> = engines.iter().map(|Member { id, sha256, runtime, .. }| Engine { id, sha256, runtime }).collect();
        then(&Owner { board: inventory.board.as_deref(), engines: &engines })
    }

    /// An error if `kept` was learned on another board or with other engines.
    pub fn check(&self, kept: &Kept) -> Result<(), crate::budget::KeptError> {
        Self::with_owner(&self.inventory, &self.engines, |owner| kept.belongs_to(owner))
    }
}

/// See the module.
pub(crate) struct Purse {
    /// What the costs began with.
    priors: Vec<Option<Prior>>,
    costs: Costs,
    ruler: Option<Ruler>,
    standing: Standing,
    tally: Tally,
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
        let Budget { limits, schedule, inventory, engines, kept } = budget;
        let resumes = |kept: &Kept| Budget::with_owner(&inventory, &engines, |owner| kept.resume(owner, costs)).is_ok();
        let kept = kept.filter(resumes);
        let crew = engines.iter().take(MAX_ENGINES).zip(0..);
        let crew: Vec<_> = crew.map(|(member, index)| Ability { engine: EngineIdx(index), accuracy: member.accuracy }).collect();
        let mode = schedule.mode(None, None, None, &inventory);
        let mut governor = Governor::new(mode.0.limits(&limits, &inventory), &inventory, &crew, cameras, costs);
        if let Some(kept) = kept {
            kept.resume_governor(&mut governor);
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

impl Purse {
    /// `measured`: what each engine cost when it was loaded. Without a `budget` everything is allowed.
    pub(crate) fn new(measured: &[Option<Prior>], budget: Option<Budget>, cameras: usize) -> Self {
        let told: Vec<_> = budget.iter().flat_map(|budget| &budget.engines).map(|member| member.told).collect();
        let priors = if told.len() == measured.len() { tempered(measured, &told) } else { measured.to_vec() };
        let mut costs = Costs::new(&priors);
        let ruler = budget.map(|budget| Ruler::new(budget, cameras, &mut costs));
        Self { priors, costs, ruler, standing: Standing::FREE, tally: Tally::default() }
    }

    /// What it grants frame number `sequence` of a camera whose next look is due at `next`.
    pub(crate) fn grant(&self, sequence: u64, next: Option<Instant>, captured: Instant) -> Grant {
        Grant::of(&self.standing, sequence, !self.standing.interval.is_zero() && next.is_some_and(|next| captured < next))
    }

    /// When a camera whose frame of `captured` is looked at may be looked at again; its turn was at `due`. Turns keep their rhythm: a frame that
    /// comes a little late does not put off all that follow.
    pub(crate) fn next_turn(&self, due: Option<Instant>, captured: Instant) -> Instant {
        let interval = self.standing.interval;
        let rhythm = due.map_or(captured, |due| due + interval);
        rhythm.clamp(captured + interval / 2, captured + interval)
    }

    /// A frame came to its first decision.
    pub(crate) fn frame(&mut self) {
        self.tally.frames = self.tally.frames.saturating_add(1);
    }

    /// A frame was settled at this age, `late` if past its deadline, or was given up for want of time. Where the user limits the latency, that
    /// is what it is held against.
    pub(crate) fn settled(&mut self, age: Duration, late: bool) {
        let limit = self.governor().and_then(|governor| governor.limits().latency);
        let late = late || limit.is_some_and(|limit| age > limit);
        let count = if late { &mut self.tally.late } else { &mut self.tally.in_time };
        *count = count.saturating_add(1);
    }

    /// An engine has looked for so long; `crowded` if others looked meanwhile.
    pub(crate) fn looked(&mut self, engine: EngineIdx, time: Duration, crowded: bool) {
        self.costs.look(&Look { engine, time, crowded });
        if let Some(looks) = self.tally.looks.get_mut(usize::from(engine.0)) {
            *looks = looks.saturating_add(1);
            self.tally.busy[usize::from(engine.0)] += time;
        }
    }

    /// Half a second or so later: the readings of the board and what was done since become the next standing. `command` is a mode that
    /// somebody ordered, `minute` the local one of the day.
    pub(crate) fn step(
        &mut self,
        now: Duration,
        sample: &Sample,
        command: Option<Mode>,
        minute: Option<u16>,
        engines: &Arc<[Arc<str>]>,
    ) -> Stepped {
        let tally = std::mem::take(&mut self.tally);
        self.step_if(now, (sample, &tally), (sample, &tally), command, minute, engines)
    }

    /// The same from a tally of others: the costs learn from what was `seen`, the governor goes by what is `supposed`. Both are the same unless somebody
    /// asks what would have been.
    pub(crate) fn step_if(
        &mut self,
        now: Duration,
        seen: (&Sample, &Tally),
        supposed: (&Sample, &Tally),
        command: Option<Mode>,
        minute: Option<u16>,
        engines: &Arc<[Arc<str>]>,
    ) -> Stepped {
        let was = self.standing;
        if let Some(ruler) = &mut self.ruler {
            ruler.switch(command, minute, seen.0.power_mode);
            self.costs.step(now, seen.0, ruler.governor.rail(), seen.1);
            self.standing = ruler.governor.step(now, supposed.0, supposed.1, &self.costs);
        }
        let ruler = self.ruler.as_ref();
        let unreachable = ruler.map(|ruler| ruler.governor.unreachable().iter().copied().take(MOST_UNREACHABLE).collect());
        Stepped {
            was,
            is: self.standing,
            mode: ruler.map(|ruler| ruler.mode),
            unreachable: unreachable.unwrap_or_default(),
            changes: ruler.map_or(0, |ruler| ruler.governor.changes()),
            ceilings: ruler.map(|ruler| ceilings(&ruler.governor)).unwrap_or_default(),
            engines: Arc::clone(engines),
            tally: *seen.1,
        }
    }

    /// What is allowed.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    /// What was learned so far; `None` without a budget.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let Ruler { governor, inventory, engines, .. } = self.ruler.as_ref()?;
        Some(Budget::with_owner(inventory, engines, |owner| Kept::of(owner, &self.costs, governor)))
    }

    /// What the costs began with, by engine.
    pub(crate) fn priors(&self) -> &[Option<Prior>] {
        &self.priors
    }

    /// What the engines cost.
    pub(crate) fn costs(&self) -> &Costs {
        &self.costs
    }

    /// What a look of `engine` costs now: median, 95th percentile, energy beyond idle; `None` if it could not be loaded.
    pub(crate) fn cost(&self, engine: EngineIdx) -> Option<(Duration, Duration, Option<Millijoules>)> {
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
    pub was: Standing,
    /// What is allowed.
    pub is: Standing,
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
    pub tally: Tally,
}

fn ceilings(governor: &Governor) -> ArrayVec<(usize, Celsius), MAX_ZONES> {
    let zones = governor.thermal().zones().iter().take(MAX_ZONES);
    zones.map(|zone| (zone.zone, Celsius(zone.ceiling as f32))).collect()
}
