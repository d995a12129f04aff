//! Makes every decision of a trace again, and every step of the budget, with the very code that made them, and compares to the
//! last bit. Pure.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{After, Decision, Enlisted, Event, First, Head, OnDuty, Step};
use super::read::{Reader, TraceError};
use super::suppose::{Change, Supposed, Supposition};
use crate::budget::{Kept, Prior, Schedule, Standing};
use crate::config::{self, Folders, Overrides};
use crate::features;
use crate::pipeline::{self, Member, Purse};
use crate::policy::file::{EngineInfo, PolicyError, PolicyFile};
use crate::policy::{self, Allowance, Grant, Policy, Situation};
use crate::source::Secret;

/// Most differences that are told one by one.
pub const MOST_TOLD: usize = 10;
/// Most crews that are remembered; those before have finished their frames long ago.
const CREWS: usize = 16;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Events read.
    pub events: u64,
    /// Decisions made again, and how many were identical.
    pub decisions: Count,
    /// Grants of these decisions, held against what the budget allowed then.
    pub grants: Count,
    /// Steps of the budget taken again.
    pub steps: Count,
    /// Steps that could not be taken again, because events before them are missing.
    pub steps_unchecked: u64,
    /// Events that are missing.
    pub missing: u64,
    /// False if the trace breaks off before its end.
    pub whole: bool,
    /// Frames that were settled, and given up.
    pub frames: (u64, u64),
    /// The first differences.
    pub differences: Vec<Difference>,
    /// What would have been, if that was asked.
    pub supposed: Option<Supposed>,
}

/// How many were tried, and how many turned out the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Tried.
    pub all: u64,
    /// The same to the last bit.
    pub identical: u64,
}

/// Something that turned out otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Line of the trace.
    pub line: u64,
    /// What: `decision`, `grant` or `step`.
    pub what: &'static str,
    /// As recorded.
    pub recorded: String,
    /// As made again.
    pub again: String,
}

impl Replayed {
    /// True if nothing turned out otherwise.
    pub fn is_identical(&self) -> bool {
        [self.decisions, self.grants, self.steps].iter().all(|count| count.all == count.identical)
    }
}

/// Why a trace could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The trace is no good.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The policy that was asked for does not fit the engines of the trace.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// A crew of the trace.
pub(super) struct Crew {
    pub(super) shift: u32,
    pub(super) policy: Policy,
    pub(super) purse: Purse,
    pub(super) ids: Arc<[Arc<str>]>,
}

/// Expected where a crew stands.
const EXPECTED_CREW: &str = "a crew whose policy, budget and engines fit together, as `squint run --record` writes them";

impl Crew {
    /// The crew of `on`, or with another policy or budget. Errors are words.
    pub(super) fn muster(on: &OnDuty, head: &Head, origin: &str, change: Option<&Change>) -> Result<Self, Refused> {
        let papers = &on.papers;
        let info = |engine: &Enlisted| EngineInfo {
            id: engine.id.clone(),
            sha256: engine.sha256.clone(),
            labels_sha256: engine.labels_sha256.clone(),
        };
        let infos: Vec<_> = papers.engines.iter().map(info).collect();
        let words = |error: PolicyError| Refused::Trace(error.to_string());
        let policy = match change.and_then(|change| change.policy.as_ref()) {
            Some(file) => file.bind(&infos, features::schema()).map_err(Refused::Policy)?,
            None => {
                let file = PolicyFile::parse(&papers.policy, Path::new(&format!("{origin}: papers.policy"))).map_err(words)?;
                file.bind(&infos, features::schema()).map_err(words)?
            }
        };
        let config = match change.and_then(|change| change.budget.clone()) {
            Some(budget) => budget,
            None => budget_of(&papers.budget, origin).map_err(Refused::Trace)?,
        };
        let trace = |error: &dyn std::fmt::Display| Refused::Trace(format!("`papers.budget`: {error}"));
        let schedule = Schedule::new(config.mode, config.times, config.power_modes).map_err(|error| trace(&error))?;
        let kept =
            papers.kept.as_ref().map(|text| Kept::from_json(text, "papers.kept")).transpose().map_err(|error| trace(&error))?;
        let budget = pipeline::Budget {
            limits: config.limits,
            schedule,
            inventory: Arc::new(head.inventory.clone()),
            engines: papers.engines.iter().map(member).collect(),
            kept,
        };
        let prior = |prior: &Option<[u64; 2]>| {
            prior.map(|[p50, p95]| Prior { p50: Duration::from_nanos(p50), p95: Duration::from_nanos(p95), energy: None })
        };
        let priors: Vec<_> = on.priors.iter().map(prior).collect();
        let ids = papers.engines.iter().map(|engine| Arc::from(engine.id.as_str())).collect();
        Ok(Self { shift: on.shift, policy, purse: Purse::new(&priors, Some(budget), head.cameras.len()), ids })
    }
}

/// Whose fault it is that there is no crew.
pub(super) enum Refused {
    /// The trace's.
    Trace(String),
    /// The policy's that was asked for.
    Policy(PolicyError),
}

fn member(engine: &Enlisted) -> Member {
    // What was recorded as a prior had been held against the manifests already.
    let Enlisted { id, sha256, runtime, accuracy, .. } = engine.clone();
    Member { id, sha256, runtime, accuracy, told: None }
}

/// The section `[budget]` that a crew has in its papers.
fn budget_of(text: &str, origin: &str) -> Result<config::Budget, String> {
    // A configuration has to have a camera; which one does not matter here.
    let flags = Overrides { source: Some(Secret::new("test")), ..Overrides::default() };
    let folders = Folders { engines: "engines".into(), calibration: "calibration".into() };
    let name = format!("{origin}: papers.budget");
    config::resolve(Some((&name, text)), [], &flags, &folders).map(|config| config.budget).map_err(|error| error.to_string())
}

/// Replays everything that `reader` holds; with a `change`, what would have been is reckoned beside it. `zero` stands for the
/// start.
pub fn replay<R: std::io::BufRead>(reader: &mut Reader<R>, change: Option<Change>, zero: Instant) -> Result<Replayed, ReplayError> {
    let mut again = Again { crews: Vec::new(), standing: None, sure: true, replayed: Replayed::default() };
    let mut supposition = change.map(|change| Supposition::new(change, zero));
    while let Some(event) = reader.next_event()? {
        again.replayed.events += 1;
        if let (Event::Crew(on), Some(supposition)) = (&event, &mut supposition) {
            let origin = format!("{}, line {}", reader.file(), reader.line());
            match Crew::muster(on, reader.head(), &origin, Some(supposition.change())) {
                Ok(crew) => supposition.on_duty(crew, reader.head().inventory.total),
                Err(Refused::Policy(error)) => return Err(error.into()),
                Err(Refused::Trace(why)) => return Err(reader.wrong(why, EXPECTED_CREW).into()),
            }
        }
        again.take(&event, reader)?;
        if let Some(supposition) = &mut supposition {
            supposition.take(&event, &again.crews);
        }
    }
    again.replayed.whole = reader.has_ended();
    again.replayed.supposed = supposition.map(Supposition::finish);
    Ok(again.replayed)
}

/// A replay under way.
struct Again {
    /// The last one is on duty.
    crews: Vec<Crew>,
    /// What the latest step said, by the recording; `None` if that is missing.
    standing: Option<Standing>,
    /// False once something that the budget of the crew on duty learned from is missing.
    sure: bool,
    replayed: Replayed,
}

impl Again {
    fn take<R: std::io::BufRead>(&mut self, event: &Event, reader: &Reader<R>) -> Result<(), TraceError> {
        let line = reader.line();
        match event {
            Event::Crew(on) => {
                let origin = format!("{}, line {line}", reader.file());
                let crew = Crew::muster(on, reader.head(), &origin, None).map_err(|refused| match refused {
                    Refused::Trace(why) => reader.wrong(why, EXPECTED_CREW),
                    Refused::Policy(error) => reader.wrong(error.to_string(), EXPECTED_CREW),
                })?;
                if self.crews.len() == CREWS {
                    self.crews.remove(0);
                }
                (self.standing, self.sure) = (Some(crew.purse.standing()), true);
                self.crews.push(crew);
            }
            Event::Look(looked) => {
                if let Some(crew) = self.crews.iter_mut().find(|crew| crew.shift == looked.shift) {
                    crew.purse.looked(looked.look.engine, looked.look.time, looked.look.crowded);
                }
            }
            Event::Step(step) => self.step(line, step),
            Event::First(first) => self.first(line, first),
            Event::After(after) => self.after(line, after),
            Event::Done(_) => self.replayed.frames.0 += 1,
            Event::Lost(_) => self.replayed.frames.1 += 1,
            Event::Gap(gap) => {
                self.replayed.missing = self.replayed.missing.saturating_add(gap.missing);
                (self.standing, self.sure) = (None, false);
            }
            Event::End(_) => (),
        }
        Ok(())
    }

    fn step(&mut self, line: u64, step: &Step) {
        let Some(crew) = self.crews.last_mut() else { return };
        let seen = (&step.sample, &step.tally);
        let stepped = crew.purse.step_if(Duration::from_nanos(step.at), seen, seen, step.command, step.minute, &crew.ids);
        self.standing = Some(step.standing);
        if !self.sure {
            self.replayed.steps_unchecked += 1;
            return;
        }
        let (recorded, made) = ((step.standing, step.mode), (stepped.is, stepped.mode));
        let same = text(&recorded) == text(&made);
        self.replayed.steps.add(same);
        if !same {
            self.differ(line, "step", text(&recorded), text(&made));
        }
    }

    fn first(&mut self, line: u64, first: &First) {
        let Some(crew) = self.crews.iter().find(|crew| crew.shift == first.shift) else { return };
        let (features, past) = (first.measured(), first.past());
        let situation = situation(first, &features, &past);
        let made = policy::first_within(&crew.policy, &situation, &Allowance::from(&first.allowance)).into();
        self.judge(line, first.decision, made);
        self.grant(line, first.shift, first.frame.1, first.allowance.granted());
    }

    fn after(&mut self, line: u64, after: &After) {
        let Some(crew) = self.crews.iter().find(|crew| crew.shift == after.shift) else { return };
        let made = policy::after_within(&crew.policy, &after.journey(), &Allowance::from(&after.allowance)).into();
        self.judge(line, after.decision, made);
        self.grant(line, after.shift, after.frame.1, after.allowance.granted());
    }

    fn judge(&mut self, line: u64, recorded: Decision, made: Decision) {
        self.replayed.decisions.add(recorded == made);
        if recorded != made {
            self.differ(line, "decision", text(&recorded), text(&made));
        }
    }

    /// Was granted what the budget allowed? Whether it was the camera's turn is taken as recorded.
    fn grant(&mut self, line: u64, shift: u32, sequence: u64, granted: Grant) {
        let standing = match self.crews.split_last() {
            Some((crew, _)) if crew.shift == shift && self.sure => Some(crew.purse.standing()),
            Some((crew, _)) if crew.shift == shift => self.standing,
            Some((_, before)) => {
                before.iter().find(|crew| crew.shift == shift).map(|crew| crew.purse.standing()).filter(|_| self.sure)
            }
            None => None,
        };
        let Some(standing) = standing else { return };
        let due = Grant::of(&standing, sequence, granted.rests);
        let same = words(&due) == words(&granted);
        self.replayed.grants.add(same);
        if !same {
            self.differ(line, "grant", words(&granted), words(&due));
        }
    }

    fn differ(&mut self, line: u64, what: &'static str, recorded: String, again: String) {
        if self.replayed.differences.len() < MOST_TOLD {
            self.replayed.differences.push(Difference { line, what, recorded, again });
        }
    }
}

impl Count {
    fn add(&mut self, same: bool) {
        self.all += 1;
        self.identical += u64::from(same);
    }
}

/// What the first decision knew.
pub(super) fn situation<'a>(first: &'a First, features: &'a features::Features, past: &'a policy::Past) -> Situation<'a> {
    Situation {
        sequence: first.frame.1,
        camera: first.frame.0,
        captured: Duration::from_nanos(first.captured),
        features,
        glimpse: &first.glimpse,
        past,
    }
}

/// As it stands in the trace: two values have the same text if they have the same bits.
fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn words(grant: &Grant) -> String {
    text(&(grant.engines, grant.escalation, grant.rests, grant.because))
}
