//! Computes from a trace what another policy or other limits would have done. Pure.
//!
//! First decisions use what was known of the frame, later ones the recorded answers. Where an
//! answer is needed that was never made, the frame counts as unknown, and the look is charged the
//! cost predicted at the time. Sensor readings are those of the recording; only the rail that
//! stands for the board is corrected by the difference of the looks. Temperatures are not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::event::{Act, After, Asked, Decision, Done, Event, First, FrameNumber, Step};
use super::verify::{TraceGeneration, situation};
use crate::budget::{Grant, Usage};
use crate::config;
use crate::engine::{Answer, EngineIdx, MAX_ENGINES, score};
use crate::policy::file::PolicyFile;
use crate::policy::{self, Allowance, Attempts, MAX_STEPS};
use crate::telemetry::Sample;
use crate::units::Milliwatts;
use arrayvec::ArrayVec;

/// Most frames that are under way at once; the oldest is given up.
const MOST_PENDING: usize = 1024;

/// What is supposed to be otherwise.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The policy; `None`: as recorded.
    pub policy: Option<PolicyFile>,
    /// Limits, mode and schedule; `None`: as recorded.
    pub budget: Option<config::Budget>,
}

/// One side of the comparison, over the frames that were followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Looks by engine, in the order of [`WhatIfReport::engines`].
    pub looks: Vec<u64>,
    /// Frames that more than one engine looked at.
    pub escalated: u64,
    /// Frames from which the budget withheld an engine.
    pub withheld: u64,
    /// Frames that no engine looked at: an earlier answer, or none.
    pub unseen: u64,
    /// Time of all looks, ms.
    pub looked_ms: f64,
    /// Energy of all looks beyond idle, mJ, as the budget had learned by then.
    pub energy_mj: f64,
    /// Looks whose energy is not known; they are not in `energy_mj`.
    pub energy_unknown: u64,
}

/// What would have been.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WhatIfReport {
    /// Ids of the engines.
    pub engines: Vec<String>,
    /// Frames followed from the first decision to the end.
    pub frames: u64,
    /// Those that would have gone the same way.
    pub same: u64,
    /// Those that would have needed an answer that was never made.
    pub unknown: u64,
    /// Frames whose beginning or end is missing.
    pub not_followed: u64,
    /// As it was.
    pub recorded: Side,
    /// As it would have been, as far as is known.
    pub supposed: Side,
}

/// A frame under way.
struct Pending {
    first: Box<First>,
    decision: Decision,
    grant: Grant,
    afters: Vec<(After, Grant)>,
}

/// A supposition under way.
pub(super) struct WhatIf {
    change: Change,
    zero: Instant,
    total: Option<usize>,
    generation: Option<TraceGeneration>,
    /// By camera: when it may be looked at again.
    turns: BTreeMap<u16, Instant>,
    pending: BTreeMap<FrameNumber, Pending>,
    /// Looks of settled frames since the latest step: number and time, by engine, recorded and
    /// supposed.
    since: [[(u32, Duration); MAX_ENGINES]; 2],
    last: Duration,
    supposed: WhatIfReport,
}

impl WhatIf {
    pub(super) fn new(change: Change, zero: Instant) -> Self {
        Self {
            change,
            zero,
            total: None,
            generation: None,
            turns: BTreeMap::new(),
            pending: BTreeMap::new(),
            since: [[(0, Duration::ZERO); MAX_ENGINES]; 2],
            last: Duration::ZERO,
            supposed: WhatIfReport::default(),
        }
    }

    /// What is supposed.
    pub(super) fn change(&self) -> &Change {
        &self.change
    }

    /// This engine set is in force, changed already. `total` is the rail that stands for the board.
    pub(super) fn generation_starts(&mut self, generation: TraceGeneration, total: Option<usize>) {
        self.total = total;
        // The numbers of engines may mean others now: frames under way are left out.
        self.supposed.not_followed += std::mem::take(&mut self.pending).len() as u64;
        self.since = [[(0, Duration::ZERO); MAX_ENGINES]; 2];
        if self
            .supposed
            .engines
            .iter()
            .map(String::as_str)
            .ne(generation.ids.iter().map(|id| &**id))
        {
            self.rename(&generation);
        }
        self.generation = Some(generation);
    }

    /// Keeps the looks of engines that are there still.
    fn rename(&mut self, generation: &TraceGeneration) {
        for id in &*generation.ids {
            if !self.supposed.engines.iter().any(|known| **known == **id) {
                self.supposed.engines.push(id.to_string());
            }
        }
        for side in [&mut self.supposed.recorded, &mut self.supposed.supposed] {
            side.looks.resize(self.supposed.engines.len(), 0);
        }
    }

    /// The next event; `generations` are those of the recording.
    pub(super) fn take(&mut self, event: &Event, generations: &[TraceGeneration]) {
        match event {
            Event::Step(step) => self.step(step),
            Event::Look(looked) => {
                if let Some(generation) = self
                    .generation
                    .as_mut()
                    .filter(|generation| generation.number == looked.generation)
                {
                    generation.account.looked(
                        looked.look.engine,
                        looked.look.time,
                        looked.look.crowded,
                    );
                }
            }
            Event::First(first) => self.first(first, generations),
            Event::After(after) => {
                let grant = self
                    .generation
                    .as_ref()
                    .map(|generation| generation.account.grant(after.frame.1, None, self.zero));
                if let (Some(pending), Some(grant)) = (self.pending.get_mut(&after.frame), grant)
                    && pending.afters.len() < MAX_STEPS
                {
                    pending.afters.push((after.clone(), grant));
                }
            }
            Event::Done(done) => match self.pending.remove(&done.frame) {
                Some(pending) => self.settle(&pending, done, generations),
                None => self.supposed.not_followed += 1,
            },
            Event::Lost(lost) => {
                self.supposed.not_followed += u64::from(self.pending.remove(&lost.frame).is_some())
            }
            Event::Generation(_) | Event::Gap(_) | Event::End(_) => (),
        }
    }

    /// What came of it.
    pub(super) fn finish(mut self) -> WhatIfReport {
        self.supposed.not_followed += self.pending.len() as u64;
        self.supposed
    }

    fn step(&mut self, step: &Step) {
        let Some(generation) = &mut self.generation else { return };
        let now = Duration::from_nanos(step.at);
        let dt_s = now.saturating_sub(std::mem::replace(&mut self.last, now)).as_secs_f64();
        let [was, would] =
            std::mem::replace(&mut self.since, [[(0, Duration::ZERO); MAX_ENGINES]; 2]);
        let mut usage: Usage = step.usage;
        let mut more_mw = 0.0;
        for (at, index) in (0..MAX_ENGINES).zip(0..) {
            let (was, would) = (was[at], would[at]);
            usage.looks[at] = usage.looks[at].saturating_add(would.0).saturating_sub(was.0);
            usage.busy[at] = usage.busy[at].saturating_add(would.1).saturating_sub(was.1);
            let watts = generation
                .account
                .costs()
                .watts(EngineIdx(index))
                .map_or(0.0, |power| f64::from(power.0));
            if dt_s > 0.0 && was != would {
                more_mw += watts * (would.1.as_secs_f64() - was.1.as_secs_f64()) / dt_s;
            }
        }
        let mut sample: Sample = step.sample.clone();
        if let Some(Some(reading)) = self.total.and_then(|total| sample.rails.get_mut(total))
            && more_mw != 0.0
        {
            *reading = Milliwatts((f64::from(reading.0) + more_mw).max(0.0) as f32);
        }
        generation.account.step_if(
            now,
            (&step.sample, &step.usage),
            (&sample, &usage),
            step.command,
            step.minute,
            &generation.ids,
        );
    }

    fn first(&mut self, first: &First, generations: &[TraceGeneration]) {
        let Some(generation) = &self.generation else { return };
        let captured = self.zero + Duration::from_nanos(first.captured);
        let turn = self.turns.get(&first.frame.0).copied();
        let grant =
            generation.account.grant(first.frame.1, turn.filter(|_| !first.lossless), captured);
        let mut allowance = Allowance { grant, ..Allowance::from(&first.allowance) };
        // A camera that says nothing of reuse goes by the policy.
        let by_policy = generations.last().is_some_and(|was| was.policy.reuse() == allowance.reuse);
        if by_policy {
            allowance.reuse = generation.policy.reuse();
        }
        let (features, past) = (first.measured(), first.past());
        let decision: Decision = policy::first_within(
            &generation.policy,
            &situation(first, &features, &past),
            &allowance,
        )
        .into();
        if decision.act == Act::Ask {
            self.turns.insert(first.frame.0, generation.account.next_turn(turn, captured));
        }
        let pending =
            Pending { first: Box::new(first.clone()), decision, grant, afters: Vec::new() };
        if self.pending.insert(first.frame, pending).is_some() {
            self.supposed.not_followed += 1;
        }
        if self.pending.len() > MOST_PENDING {
            self.pending.pop_first();
            self.supposed.not_followed += 1;
        }
    }

    /// The frame is over: its way is known.
    fn settle(&mut self, pending: &Pending, done: &Done, generations: &[TraceGeneration]) {
        let Some(generation) = &self.generation else { return };
        let averaged = generations.last().is_some_and(|was| was.policy.averages());
        let steps: &[Asked] = pending.afters.last().map_or(&[], |(after, _)| &after.steps);
        let was = Way {
            asked: steps
                .iter()
                .map(|step| (step.engine, Duration::from_nanos(step.took)))
                .collect(),
            last: pending
                .afters
                .last()
                .map_or(pending.first.decision.act, |(after, _)| after.decision.act),
            withheld: pending.first.decision.withheld.is_some()
                || pending.afters.iter().any(|(after, _)| after.decision.withheld.is_some()),
            unknown: false,
        };
        if was.last == Act::Ask {
            // It was settled after a look that is not in the trace.
            self.supposed.not_followed += 1;
            return;
        }
        let would = would_be(generation, pending, averaged);
        debug_assert!(done.frame == pending.first.frame);
        self.supposed.frames += 1;
        let same = was
            .asked
            .iter()
            .map(|(engine, _)| engine)
            .eq(would.asked.iter().map(|(engine, _)| engine))
            && was.last == would.last;
        self.supposed.same += u64::from(same && !would.unknown);
        self.supposed.unknown += u64::from(would.unknown);
        for (since, way) in self.since.iter_mut().zip([&was, &would]) {
            for (engine, took) in &way.asked {
                if let Some((looks, busy)) = since.get_mut(usize::from(engine.0)) {
                    (*looks, *busy) = (looks.saturating_add(1), busy.saturating_add(*took));
                }
            }
        }
        for (side, way) in
            [(&mut self.supposed.recorded, &was), (&mut self.supposed.supposed, &would)]
        {
            side.add(way, generation, &self.supposed.engines);
        }
    }
}

/// The way of one frame.
struct Way {
    /// Who looked, and for how long.
    asked: ArrayVec<(EngineIdx, Duration), { MAX_STEPS + 1 }>,
    /// What was decided at last.
    last: Act,
    withheld: bool,
    /// It ends where an answer would be needed that was never made.
    unknown: bool,
}

impl Side {
    fn add(&mut self, way: &Way, generation: &TraceGeneration, engines: &[String]) {
        self.escalated += u64::from(way.asked.len() > 1);
        self.withheld += u64::from(way.withheld);
        self.unseen += u64::from(way.asked.is_empty());
        for (engine, took) in &way.asked {
            let id = generation.ids.get(usize::from(engine.0));
            let place = id.and_then(|id| engines.iter().position(|known| **known == **id));
            if let Some(looks) = place.and_then(|place| self.looks.get_mut(place)) {
                *looks += 1;
            }
            self.looked_ms += took.as_secs_f64() * 1000.0;
            match generation.account.costs().energy(*engine) {
                Some(energy) => self.energy_mj += energy.0,
                None => self.energy_unknown += 1,
            }
        }
    }
}

/// How the frame would have gone. `averaged`: whether the recorded answers are averages.
fn would_be(generation: &TraceGeneration, pending: &Pending, averaged: bool) -> Way {
    let mut way = Way {
        asked: ArrayVec::new(),
        last: pending.decision.act,
        withheld: pending.decision.withheld.is_some(),
        unknown: false,
    };
    let mut attempts = Attempts::default();
    let mut decision = pending.decision;
    while let (Act::Ask, Some(engine)) = (decision.act, decision.engine) {
        let known = known(engine, &attempts, pending, averaged, generation.policy.averages());
        let expected = || {
            let terms =
                pending.first.allowance.engines.get(usize::from(engine.0)).copied().flatten();
            let now = || generation.account.cost(engine).map_or(Duration::ZERO, |(p50, ..)| p50);
            terms.map_or_else(now, |[_, p50, _]| Duration::from_nanos(p50))
        };
        let took =
            known.as_ref().map_or_else(expected, |(asked, _)| Duration::from_nanos(asked.took));
        if way.asked.try_push((engine, took)).is_err() || attempts.steps.is_full() {
            break; // not reached: policies end within MAX_STEPS
        }
        let Some((asked, answer)) = known else {
            (way.unknown, way.last) = (true, Act::Ask);
            return way;
        };
        if let Some(answer) = answer {
            attempts.answer = answer;
        }
        attempts.steps.push((&asked).into());
        let taken = attempts.steps.len();
        // What the moment allowed after as many looks, or after the last one that there was.
        let at = pending
            .afters
            .iter()
            .find(|(after, _)| after.steps.len() == taken)
            .or(pending.afters.last());
        let (allowed, grant) = at
            .map_or((&pending.first.allowance, pending.grant), |(after, grant)| {
                (&after.allowance, *grant)
            });
        let allowance = Allowance { grant, ..Allowance::from(allowed) };
        decision = policy::after_within(&generation.policy, &attempts, &allowance).into();
        way.withheld |= decision.withheld.is_some();
        way.last = decision.act;
    }
    way
}

/// What came of showing the frame to `engine`, and the answer so far then; `None` if it was not
/// shown to it, or if the answer is not to be had from what was recorded. No answer is that of an
/// engine that failed.
fn known(
    engine: EngineIdx,
    attempts: &Attempts,
    pending: &Pending,
    averaged: bool,
    averages: bool,
) -> Option<(Asked, Option<Answer>)> {
    let (last, _) = pending.afters.last()?;
    let place = last.steps.iter().position(|step| step.engine == engine)?;
    let asked = last.steps[place];
    if !asked.answered {
        return Some((asked, None));
    }
    let told = pending
        .afters
        .iter()
        .find(|(after, _)| after.steps.len() == place + 1)
        .map(|(after, _)| Answer::from(&after.answer));
    let alone = !averaged || last.steps[..place].iter().all(|step| !step.answered);
    let earlier = if averages { attempts.answers() as u32 } else { 0 };
    if let Some(own) = told.as_ref().filter(|_| alone) {
        let mut answer = attempts.answer.clone();
        score::absorb(&mut answer, own, earlier + 1);
        return Some((asked, Some(answer)));
    }
    let same = attempts
        .steps
        .iter()
        .map(|step| step.engine)
        .eq(last.steps[..place].iter().map(|step| step.engine));
    if averaged && averages && same {
        return told.map(|told| (asked, Some(told)));
    }
    if earlier == 0 {
        // Of its own answer the best class and two figures are known, which is all that a policy
        // without averages looks at.
        let mut own =
            Answer { ranked: 1, margin: asked.margin, entropy: asked.entropy, ..Answer::default() };
        own.top[0] = asked.top.into();
        return (!averages).then_some((asked, Some(own)));
    }
    None
}
