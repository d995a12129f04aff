//! Makes every decision of a trace again, and every step of the budget, with the very code that
//! made them, and compares to the last bit. Pure.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{After, Decision, Event, First, GenerationStart, Head, Step, TraceEngine};
use super::read::{Reader, TraceError};
use super::what_if::{Change, WhatIf, WhatIfReport};
use crate::budget::{Account, Budget, Grants, LearnedState, Member, Prior, Schedule};
use crate::config::{self, Folders, Overrides};
use crate::features;

use crate::budget::Grant;
use crate::policy::file::{EngineInfo, PolicyError, PolicyFile};
use crate::policy::{self, Allowance, Policy, Situation};
use crate::source::Secret;

/// Most differences that are told one by one.
pub const MOST_TOLD: usize = 10;
/// Most engine sets that are remembered; those before have finished their frames long ago.
const ENGINE_SETS: usize = 16;

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
    pub supposed: Option<WhatIfReport>,
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

/// An engine set of the trace.
pub(super) struct TraceGeneration {
    pub(super) number: u32,
    pub(super) policy: Policy,
    pub(super) account: Account,
    pub(super) ids: Arc<[Arc<str>]>,
}

/// Expected where an engine set stands.
const EXPECTED_ENGINE_SET: &str =
    "a `crew` whose policy, budget and engines fit together, as `squint run --record` writes them";

impl TraceGeneration {
    /// The engine set of `on`, or with another policy or budget. Errors are words.
    pub(super) fn rebuild(
        on: &GenerationStart,
        head: &Head,
        origin: &str,
        change: Option<&Change>,
    ) -> Result<Self, Refused> {
        let session = &on.session;
        let info = |engine: &TraceEngine| EngineInfo {
            id: engine.id.clone(),
            sha256: engine.sha256.clone(),
            labels_sha256: engine.labels_sha256.clone(),
        };
        let infos: Vec<_> = session.engines.iter().map(info).collect();
        let words = |error: PolicyError| Refused::Trace(error.to_string());
        let policy = match change.and_then(|change| change.policy.as_ref()) {
            Some(file) => file.bind(&infos, features::schema()).map_err(Refused::Policy)?,
            None => {
                let file = PolicyFile::parse(
                    &session.policy,
                    Path::new(&format!("{origin}: papers.policy")),
                )
                .map_err(words)?;
                file.bind(&infos, features::schema()).map_err(words)?
            }
        };
        let config = match change.and_then(|change| change.budget.clone()) {
            Some(budget) => budget,
            None => budget_of(&session.budget, origin).map_err(Refused::Trace)?,
        };
        let trace =
            |error: &dyn std::fmt::Display| Refused::Trace(format!("`papers.budget`: {error}"));
        let schedule = Schedule::new(config.mode, config.times, config.power_modes)
            .map_err(|error| trace(&error))?;
        let learned = session
            .learned
            .as_ref()
            .map(|text| LearnedState::from_json(text, "papers.kept"))
            .transpose()
            .map_err(|error| trace(&error))?;
        let budget = Budget {
            limits: config.limits,
            schedule,
            inventory: Arc::new(head.inventory.clone()),
            engines: session.engines.iter().map(member).collect(),
            learned,
        };
        let prior = |prior: &Option<[u64; 2]>| {
            prior.map(|[p50, p95]| Prior {
                p50: Duration::from_nanos(p50),
                p95: Duration::from_nanos(p95),
                energy: None,
            })
        };
        let priors: Vec<_> = on.priors.iter().map(prior).collect();
        let ids = session.engines.iter().map(|engine| Arc::from(engine.id.as_str())).collect();
        Ok(Self {
            number: on.generation,
            policy,
            account: Account::new(&priors, Some(budget), head.cameras.len()),
            ids,
        })
    }
}

/// Whose fault it is that there is no engine set.
pub(super) enum Refused {
    /// The trace's.
    Trace(String),
    /// The policy's that was asked for.
    Policy(PolicyError),
}

fn member(engine: &TraceEngine) -> Member {
    // What was recorded as a prior had been held against the manifests already.
    let TraceEngine { id, sha256, runtime, accuracy, .. } = engine.clone();
    Member { id, sha256, runtime, accuracy, told: None }
}

/// The section `[budget]` that an engine set has in its session.
fn budget_of(text: &str, origin: &str) -> Result<config::Budget, String> {
    // A configuration has to have a camera; which one does not matter here.
    let flags = Overrides { source: Some(Secret::new("test")), ..Overrides::default() };
    let folders = Folders { engines: "engines".into(), calibration: "calibration".into() };
    let name = format!("{origin}: papers.budget");
    config::resolve(Some((&name, text)), [], &flags, &folders)
        .map(|config| config.budget)
        .map_err(|error| error.to_string())
}

/// Replays everything that `reader` holds; with a `change`, what would have been is reckoned beside
/// it. `zero` stands for the start.
pub fn replay<R: std::io::BufRead>(
    reader: &mut Reader<R>,
    change: Option<Change>,
    zero: Instant,
) -> Result<Replayed, ReplayError> {
    let mut again =
        Again { generations: Vec::new(), grants: None, sure: true, replayed: Replayed::default() };
    let mut what_if = change.map(|change| WhatIf::new(change, zero));
    while let Some(event) = reader.next_event()? {
        again.replayed.events += 1;
        if let (Event::Generation(on), Some(what_if)) = (&event, &mut what_if) {
            let origin = format!("{}, line {}", reader.file(), reader.line());
            match TraceGeneration::rebuild(on, reader.head(), &origin, Some(what_if.change())) {
                Ok(generation) => {
                    what_if.generation_starts(generation, reader.head().inventory.total)
                }
                Err(Refused::Policy(error)) => return Err(error.into()),
                Err(Refused::Trace(why)) => {
                    return Err(reader.wrong(why, EXPECTED_ENGINE_SET).into());
                }
            }
        }
        again.take(&event, reader)?;
        if let Some(what_if) = &mut what_if {
            what_if.take(&event, &again.generations);
        }
    }
    again.replayed.whole = reader.has_ended();
    again.replayed.supposed = what_if.map(WhatIf::finish);
    Ok(again.replayed)
}

/// A replay under way.
struct Again {
    /// The last one is in force.
    generations: Vec<TraceGeneration>,
    /// What the latest step said, by the recording; `None` if that is missing.
    grants: Option<Grants>,
    /// False once something that the budget of the engine set in force learned from is missing.
    sure: bool,
    replayed: Replayed,
}

impl Again {
    fn take<R: std::io::BufRead>(
        &mut self,
        event: &Event,
        reader: &Reader<R>,
    ) -> Result<(), TraceError> {
        let line = reader.line();
        match event {
            Event::Generation(on) => {
                let origin = format!("{}, line {line}", reader.file());
                let generation = TraceGeneration::rebuild(on, reader.head(), &origin, None)
                    .map_err(|refused| match refused {
                        Refused::Trace(why) => reader.wrong(why, EXPECTED_ENGINE_SET),
                        Refused::Policy(error) => {
                            reader.wrong(error.to_string(), EXPECTED_ENGINE_SET)
                        }
                    })?;
                if self.generations.len() == ENGINE_SETS {
                    self.generations.remove(0);
                }
                (self.grants, self.sure) = (Some(generation.account.grants()), true);
                self.generations.push(generation);
            }
            Event::Look(looked) => {
                if let Some(generation) = self
                    .generations
                    .iter_mut()
                    .find(|generation| generation.number == looked.generation)
                {
                    generation.account.looked(
                        looked.look.engine,
                        looked.look.time,
                        looked.look.crowded,
                    );
                }
            }
            Event::Step(step) => self.step(line, step),
            Event::First(first) => self.first(line, first),
            Event::After(after) => self.after(line, after),
            Event::Done(_) => self.replayed.frames.0 += 1,
            Event::Lost(_) => self.replayed.frames.1 += 1,
            Event::Gap(gap) => {
                self.replayed.missing = self.replayed.missing.saturating_add(gap.missing);
                (self.grants, self.sure) = (None, false);
            }
            Event::End(_) => (),
        }
        Ok(())
    }

    fn step(&mut self, line: u64, step: &Step) {
        let Some(generation) = self.generations.last_mut() else { return };
        let seen = (&step.sample, &step.usage);
        let stepped = generation.account.step_if(
            Duration::from_nanos(step.at),
            seen,
            seen,
            step.command,
            step.minute,
            &generation.ids,
        );
        self.grants = Some(step.grants);
        if !self.sure {
            self.replayed.steps_unchecked += 1;
            return;
        }
        let (recorded, made) = ((step.grants, step.mode), (stepped.is, stepped.mode));
        let same = text(&recorded) == text(&made);
        self.replayed.steps.add(same);
        if !same {
            self.differ(line, "step", text(&recorded), text(&made));
        }
    }

    fn first(&mut self, line: u64, first: &First) {
        let Some(generation) =
            self.generations.iter().find(|generation| generation.number == first.generation)
        else {
            return;
        };
        let (features, past) = (first.measured(), first.past());
        let situation = situation(first, &features, &past);
        let made = policy::first_within(
            &generation.policy,
            &situation,
            &Allowance::from(&first.allowance),
        )
        .into();
        self.judge(line, first.decision, made);
        self.grant(line, first.generation, first.frame.1, first.allowance.granted());
    }

    fn after(&mut self, line: u64, after: &After) {
        let Some(generation) =
            self.generations.iter().find(|generation| generation.number == after.generation)
        else {
            return;
        };
        let made = policy::after_within(
            &generation.policy,
            &after.attempts(),
            &Allowance::from(&after.allowance),
        )
        .into();
        self.judge(line, after.decision, made);
        self.grant(line, after.generation, after.frame.1, after.allowance.granted());
    }

    fn judge(&mut self, line: u64, recorded: Decision, made: Decision) {
        self.replayed.decisions.add(recorded == made);
        if recorded != made {
            self.differ(line, "decision", text(&recorded), text(&made));
        }
    }

    /// Was granted what the budget allowed? Whether it was the camera's turn is taken as recorded.
    fn grant(&mut self, line: u64, number: u32, sequence: u64, granted: Grant) {
        let grants = match self.generations.split_last() {
            Some((generation, _)) if generation.number == number && self.sure => {
                Some(generation.account.grants())
            }
            Some((generation, _)) if generation.number == number => self.grants,
            Some((_, before)) => before
                .iter()
                .find(|generation| generation.number == number)
                .map(|generation| generation.account.grants())
                .filter(|_| self.sure),
            None => None,
        };
        let Some(grants) = grants else { return };
        let due = Grant::of(&grants, sequence, granted.rests);
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
pub(super) fn situation<'a>(
    first: &'a First,
    features: &'a features::Features,
    past: &'a policy::Past,
) -> Situation<'a> {
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
