//! The decisions themselves. To be read aloud in review: every way a frame can go is in [`first`]
//! and [`after`].
//!
//! Pure and total. Not for the formulas of the kinds: those are in [`super::confidence`],
//! [`super::chain`] and [`super::random`].

use std::time::Duration;

use arrayvec::ArrayVec;

use super::chain::Chain;
use super::confidence::{Confidence, Score};
use super::hybrid::{Hybrid, Promise};
use super::random::Mix;
use super::{Allowance, Attempts, Choice, Code, Reason, Reuse, Situation, Step, Verdict};
use crate::engine::{EngineIdx, MAX_ENGINES};

/// What a policy does; one variant a kind of policy file.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Always the same engine.
    Fixed {
        /// Whom to ask.
        engine: EngineIdx,
        /// Whom to ask if that one is not allowed, too slow or fails.
        fallback: Option<EngineIdx>,
    },
    /// The published premodel chain.
    Chain(Box<Chain>),
    /// Ask, then decide by how sure the answer is.
    Confidence(Confidence),
    /// Enter where it promises most, go on while it is worth the time.
    Hybrid(Box<Hybrid>),
    /// Draw lots.
    Random(Mix),
}

/// A policy, bound to the engines in use.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    plan: Plan,
    engines: ArrayVec<EngineIdx, MAX_ENGINES>,
    reuse: Option<Reuse>,
}

impl Policy {
    /// A policy with a name for reports.
    pub fn new(name: impl Into<String>, plan: Plan) -> Self {
        let mut engines = ArrayVec::new();
        let mut note = |engine: EngineIdx| {
            if usize::from(engine.0) < MAX_ENGINES && !engines.contains(&engine) {
                engines.push(engine);
            }
        };
        match &plan {
            Plan::Fixed { engine, fallback } => {
                std::iter::once(*engine).chain(*fallback).for_each(&mut note)
            }
            Plan::Chain(chain) => {
                let beside = chain.on_none.into_iter().chain(chain.guard.map(|guard| guard.safe));
                chain.engines.iter().copied().chain(beside).for_each(&mut note);
            }
            Plan::Confidence(confidence) => {
                confidence.stages.iter().map(|stage| stage.engine).for_each(&mut note)
            }
            Plan::Hybrid(hybrid) => {
                hybrid.members.iter().map(|member| member.engine).for_each(&mut note)
            }
            Plan::Random(mix) => mix.engines().for_each(&mut note),
        }
        Self { name: name.into(), plan, engines, reuse: None }
    }

    /// The same, and cameras that say nothing of it give the last answer again under these terms.
    pub fn with_reuse(self, reuse: Option<Reuse>) -> Self {
        Self { reuse, ..self }
    }

    /// Whether and when a camera that says nothing of it gives the last answer again.
    pub fn reuse(&self) -> Option<Reuse> {
        self.reuse
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The word in policy files: `fixed`, `chain`, `confidence`, `hybrid` or `random`.
    pub fn kind(&self) -> &'static str {
        match self.plan {
            Plan::Fixed { .. } => "fixed",
            Plan::Chain(_) => "chain",
            Plan::Confidence(_) => "confidence",
            Plan::Hybrid(_) => "hybrid",
            Plan::Random(_) => "random",
        }
    }

    /// Every engine it may ask, in the order of the policy file, none twice.
    pub fn engines(&self) -> &[EngineIdx] {
        &self.engines
    }

    /// True if [`Attempts::answer`] must be the average of all answers, false if the last one.
    pub fn averages(&self) -> bool {
        match &self.plan {
            Plan::Confidence(confidence) => confidence.average,
            plan => matches!(plan, Plan::Hybrid(_)),
        }
    }

    /// True if a first decision reads [`Situation::features`]. The glimpse is always there.
    pub fn reads_features(&self) -> bool {
        match &self.plan {
            Plan::Chain(_) => true,
            Plan::Hybrid(hybrid) => !hybrid.scales.is_empty(),
            Plan::Fixed { .. } | Plan::Confidence(_) | Plan::Random(_) => false,
        }
    }

    /// Whom it wants to ask first, were everything allowed.
    fn wanted(
        &self,
        situation: &Situation,
        allowance: &Allowance,
    ) -> Result<(EngineIdx, Reason), Reason> {
        match &self.plan {
            Plan::Fixed { engine, .. } => Ok((*engine, Reason::bare(Code::Fixed))),
            Plan::Chain(chain) => chain.wanted(situation.features),
            Plan::Confidence(confidence) => match confidence.stages.first() {
                Some(stage) => Ok((stage.engine, Reason::bare(Code::Entry))),
                None => Err(Reason::bare(Code::Abstained)),
            },
            Plan::Hybrid(hybrid) => match hybrid.entry(situation, allowance) {
                Some(promise) => {
                    Ok((promise.engine, Reason::with(Code::Entry, promise.gain, promise.cost)))
                }
                None => Err(Reason::bare(Code::NotAllowed)),
            },
            Plan::Random(mix) => mix.wanted(situation.camera, situation.sequence),
        }
    }
}

/// The first decision: give the last answer again, ask an engine, or give none.
pub fn first(policy: &Policy, situation: &Situation, allowance: &Allowance) -> Choice {
    if let Some(reason) = unchanged(situation, allowance) {
        return Choice::Reuse(reason);
    }
    let (wanted, reason) = match policy.wanted(situation, allowance) {
        Ok(wanted) => wanted,
        Err(reason) => return Choice::Abstain(reason),
    };
    match pick(policy, |_| true, wanted, allowance) {
        Ok(engine) if engine == wanted => Choice::Ask(engine, reason),
        Ok(engine) => Choice::Ask(engine, time_reason(Code::Cheaper, wanted, allowance)),
        Err(reason) => Choice::Abstain(reason),
    }
}

/// The decision after each look: the answer stands, another engine looks too, or there is no
/// answer.
pub fn after(policy: &Policy, attempts: &Attempts, allowance: &Allowance) -> Verdict {
    let Some(last) = attempts.steps.last() else {
        return Verdict::Abstain(Reason::bare(Code::Abstained)); // nobody was asked
    };
    if attempts.answers() == 0 {
        return after_failure(policy, attempts, last.engine, allowance);
    }

    match &policy.plan {
        Plan::Confidence(confidence) => after_stage(confidence, attempts, last, allowance),
        Plan::Hybrid(hybrid) => after_look(hybrid, attempts, last, allowance),
        _ => {
            let code = if last.answered { Code::Last } else { Code::EngineFailed };
            Verdict::Accept(Reason {
                value: Some(Score::MaxSoftmax.of(&attempts.answer)),
                ..Reason::bare(code)
            })
        }
    }
}

/// Kind `confidence`: is the answer sure enough for this stage?
fn after_stage(
    confidence: &Confidence,
    attempts: &Attempts,
    last: &Step,
    allowance: &Allowance,
) -> Verdict {
    let stage = confidence.stage_of(last.engine);
    let score = confidence.score_of(stage.unwrap_or(usize::MAX), attempts);
    let stands = |code| Verdict::Accept(Reason { value: Some(score), ..Reason::bare(code) });
    let Some(stage) = stage else {
        return stands(Code::Last); // not one of this policy's engines: nothing to go on with
    };

    let why = match confidence.stages.get(stage).and_then(|stage| stage.accept_above) {
        _ if !last.answered => Reason::bare(Code::EngineFailed),
        Some(limit) if score >= limit => {
            return Verdict::Accept(Reason::with(Code::Sure, score, limit));
        }
        Some(limit) => Reason::with(Code::Unsure, score, limit),
        None => return stands(Code::Last),
    };
    if attempts.steps.is_full() || confidence.after(stage).all(|engine| attempts.asked(engine)) {
        return stands(if last.answered { Code::Last } else { Code::EngineFailed });
    }
    match confidence
        .after(stage)
        .find(|engine| !attempts.asked(*engine) && allowance.terms(*engine).is_some())
    {
        Some(next) if allowance.covers(next) => Verdict::Escalate(next, why),
        Some(next) => Verdict::Accept(time_reason(Code::OutOfTime, next, allowance)),
        None => stands(Code::NotAllowed),
    }
}

/// Kind `hybrid`: is another look worth its time? Of those that are, the one that promises most
/// among the ones the time left covers.
fn after_look(hybrid: &Hybrid, attempts: &Attempts, last: &Step, allowance: &Allowance) -> Verdict {
    let allowed = |engine| allowance.terms(engine).is_some();
    let Some((right, wanted)) =
        hybrid.next(attempts, allowed).filter(|_| !attempts.steps.is_full())
    else {
        let code = if last.answered { Code::Last } else { Code::EngineFailed };
        return Verdict::Accept(Reason {
            value: Some(Score::MaxSoftmax.of(&attempts.answer)),
            ..Reason::bare(code)
        });
    };
    let Some(wanted) = wanted else {
        return Verdict::Accept(Reason { value: Some(right), ..Reason::bare(Code::Last) });
    };
    if wanted.net() <= 0.0 {
        return Verdict::Accept(Reason::with(Code::NotWorthwhile, wanted.gain, wanted.cost));
    }
    let why = |promise: Promise| match last.answered {
        true => Reason::with(Code::Worthwhile, promise.gain, promise.cost),
        false => Reason::bare(Code::EngineFailed),
    };
    if allowance.covers(wanted.engine) {
        return Verdict::Escalate(wanted.engine, why(wanted));
    }
    match hybrid.next(attempts, |engine| allowance.covers(engine)) {
        Some((_, Some(covered))) if covered.net() > 0.0 => {
            Verdict::Escalate(covered.engine, why(covered))
        }
        _ => Verdict::Accept(time_reason(Code::OutOfTime, wanted.engine, allowance)),
    }
}

/// Nobody has answered yet: the engines that follow in the policy, then those before.
fn after_failure(
    policy: &Policy,
    attempts: &Attempts,
    failed: EngineIdx,
    allowance: &Allowance,
) -> Verdict {
    let open = |engine: EngineIdx| !attempts.asked(engine);
    let from =
        policy.engines.iter().position(|engine| *engine == failed).map_or(0, |place| place + 1);
    let mut in_order = policy.engines.iter().cycle().skip(from).take(policy.engines.len()).copied();
    let Some(wanted) = in_order.find(|engine| open(*engine)).filter(|_| !attempts.steps.is_full())
    else {
        return Verdict::Abstain(Reason::bare(Code::EngineFailed));
    };
    match pick(policy, open, wanted, allowance) {
        Ok(engine) => Verdict::Escalate(engine, Reason::bare(Code::EngineFailed)),
        Err(reason) => Verdict::Abstain(reason),
    }
}

/// The engine to ask while there is no answer yet. `wanted` if the time left covers it; otherwise
/// the next cheaper one that is covered (by median; by place in the policy while `wanted` is not
/// allowed and has no price), otherwise the next dearer one. If none is covered, the quickest one
/// is asked as long as its median fits: a fair chance of an answer is better than none, and without
/// looks nobody would learn that the engine has become faster.
fn pick(
    policy: &Policy,
    open: impl Fn(EngineIdx) -> bool,
    wanted: EngineIdx,
    allowance: &Allowance,
) -> Result<EngineIdx, Reason> {
    if open(wanted) && allowance.covers(wanted) {
        return Ok(wanted);
    }
    let priced = allowance.terms(wanted).is_some();
    let price = |engine: EngineIdx| match allowance.terms(engine) {
        Some(terms) if priced => terms.p50.as_nanos(),
        _ => policy.engines.iter().position(|held| *held == engine).unwrap_or(usize::MAX) as u128,
    };
    let limit = price(wanted);
    let covered = || {
        policy.engines.iter().copied().filter(|engine| open(*engine) && allowance.covers(*engine))
    };
    let cheaper =
        covered().filter(|engine| price(*engine) <= limit).max_by_key(|engine| price(*engine));
    let dearer =
        || covered().filter(|engine| price(*engine) > limit).min_by_key(|engine| price(*engine));
    if let Some(engine) = cheaper.or_else(dearer) {
        return Ok(engine);
    }

    let needs = |engine: EngineIdx| {
        allowance.terms(engine).map(|terms| (terms.wait.saturating_add(terms.p50), engine))
    };
    let quickest =
        policy.engines.iter().copied().filter(|engine| open(*engine)).filter_map(needs).min();
    match (quickest, allowance.remaining) {
        (Some((need, engine)), Some(left)) if need <= left => Ok(engine),
        (Some((need, _)), Some(left)) => {
            Err(Reason::with(Code::OutOfTime, millis(left), millis(need)))
        }
        _ => Err(Reason::bare(Code::NotAllowed)),
    }
}

/// The last answer still holds if it was sure, is young enough and no block of the picture has
/// changed much.
fn unchanged(situation: &Situation, allowance: &Allowance) -> Option<Reason> {
    let reuse = allowance.reuse?;
    let last = situation.past.last.as_ref().filter(|last| last.sure)?;
    let change = last.change(situation.glimpse);
    let age = situation.captured.saturating_sub(last.captured);
    (change <= reuse.max_change && age <= reuse.max_age)
        .then(|| Reason::with(Code::Unchanged, change, reuse.max_change))
}

/// `code` with ms left and ms that `engine` would need; bare if it is not allowed or there is no
/// deadline.
fn time_reason(code: Code, engine: EngineIdx, allowance: &Allowance) -> Reason {
    match (allowance.terms(engine), allowance.remaining) {
        (Some(terms), Some(left)) => {
            Reason::with(code, millis(left), millis(terms.wait.saturating_add(terms.p95)))
        }
        _ => Reason::bare(code),
    }
}

fn millis(time: Duration) -> f32 {
    time.as_secs_f32() * 1000.0
}

#[cfg(test)]
mod tests;
