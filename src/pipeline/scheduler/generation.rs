//! A generation: one policy with its engines. A reload starts a new generation; the one before
//! finishes the frames that it has begun, so that no frame is lost between two policies.
//!
//! Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::budget::Grant;
use crate::engine::{EngineIdx, Labels, LookTimes, MAX_ENGINES, score};
use crate::policy::{Allowance, Policy, Reuse, Step};
use crate::stats::LatencyWindow;
use crate::vocabulary::Mode;

use super::{EngineSlot, Job};
use crate::budget::{Account, Budget};

/// Number of a generation, in the order in which they came.
pub(crate) type GenerationId = u32;

/// A policy, its engines and what they answer.
pub(crate) struct Generation {
    pub(crate) id: GenerationId,
    pub(super) policy: Policy,
    pub(super) slots: Vec<EngineSlot>,
    pub(super) account: Account,
    /// Ids of the engines, by index.
    pub(crate) engines: Arc<[Arc<str>]>,
    pub(crate) labels: Arc<Labels>,
    /// How long a look may take, at least.
    pub(super) limit: Duration,
    /// On duty since then.
    pub(super) begun: Instant,
}

impl Generation {
    /// `windows`: what each engine of the policy is expected to cost, by index; `None` for one that
    /// could not be loaded. `begun`: now.
    pub(crate) fn new(
        id: GenerationId,
        policy: Policy,
        engines: Arc<[Arc<str>]>,
        windows: Vec<Option<LatencyWindow>>,
        labels: Arc<Labels>,
        limit: Duration,
        begun: Instant,
    ) -> Self {
        let slots = windows.into_iter().zip(&*engines).zip(0..);
        let slots = slots
            .map(|((window, id), index)| EngineSlot::new(EngineIdx(index), Arc::clone(id), window))
            .collect();
        Self {
            id,
            policy,
            slots,
            account: Account::new(&[], None, 1),
            engines,
            labels,
            limit,
            begun,
        }
    }

    /// The same under a budget, which is what the engines cost now against what may be spent;
    /// `cameras` share it.
    pub(crate) fn under(mut self, budget: Option<Budget>, cameras: usize) -> Self {
        let measured: Vec<_> = self.slots.iter().map(EngineSlot::prior).collect();
        self.account = Account::new(&measured, budget, cameras);
        self
    }

    /// What the moment allows.
    pub(super) fn allowance(
        &self,
        mode: Mode,
        grant: Grant,
        reuse: Option<Reuse>,
        remaining: Option<Duration>,
        idle: bool,
        now: Instant,
    ) -> Allowance {
        let mut engines = [None; MAX_ENGINES];
        if mode != Mode::Paused {
            for (entry, slot) in engines.iter_mut().zip(&self.slots) {
                *entry = slot.terms(idle, now);
            }
        }
        if mode == Mode::Eco {
            let cheapest = engines.iter().flatten().map(|terms| terms.p50).min();
            let mut left = true;
            for entry in &mut engines {
                // Of two that cost the same only the first.
                *entry =
                    entry.take_if(|terms| Some(terms.p50) == cheapest && std::mem::take(&mut left));
            }
        }
        Allowance { remaining, engines, reuse, grant }
    }

    /// Makes a frame that no engine has seen its own.
    pub(super) fn take_over(&self, job: &mut Job) {
        if job.generation != self.id {
            job.generation = self.id;
            job.report.engines = Arc::clone(&self.engines);
            job.report.labels = Arc::clone(&self.labels);
        }
    }

    /// Writes into the frame's attempts what came of the engine that it was shown to: an answer
    /// after `times`, or nothing.
    pub(super) fn note(&self, job: &mut Job, times: Option<LookTimes>) {
        let (engine, why) = job.asked;
        let queued = job.begun_at.saturating_duration_since(job.asked_at);
        let attempts = &mut job.report.attempts;
        let mut step = Step {
            engine,
            why,
            answered: times.is_some(),
            queued,
            times: times.unwrap_or_default(),
            top: Default::default(),
            margin: 0.0,
            entropy: 0.0,
        };
        if step.answered {
            let own = &job.own;
            (step.top, step.margin, step.entropy) = (own.top[0], own.margin, own.entropy);
            let earlier = if self.policy.averages() { attempts.answers() as u32 } else { 0 };
            match earlier {
                0 => std::mem::swap(&mut attempts.answer, &mut job.own),
                _ => score::absorb(&mut attempts.answer, &job.own, earlier + 1),
            }
        }
        attempts.steps.push(step);
    }

    /// True if `engine` looks, so that who wants it has to wait.
    pub(super) fn is_busy(&self, engine: EngineIdx) -> bool {
        self.slots.get(usize::from(engine.0)).is_some_and(|slot| slot.busy_until.is_some())
    }

    /// True if none of its engines looks at a frame that is waited for.
    pub(super) fn is_through(&self) -> bool {
        self.slots.iter().all(|slot| slot.held().is_none())
    }
}
