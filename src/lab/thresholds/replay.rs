//! Walks measured photos through the real [`policy::first`] and [`policy::after`]: what a fit reports is what the daemon would do.

use std::time::Duration;

use super::search::Structure;
use crate::engine::{EngineIdx, LookTimes};
use crate::features::{COUNT, Features, GLIMPSE_HEIGHT, GLIMPSE_WIDTH};
use crate::lab::Observations;
use crate::policy::confidence::{Confidence, Stage};
use crate::policy::{self, Allowance, Choice, Journey, Past, Plan, Policy, Situation, Step, Terms, Verdict};

/// What became of one photo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walk {
    /// The class answered; `None` without an answer.
    pub class: Option<u32>,
    /// Engines asked, by index, in order.
    pub asked: Vec<usize>,
    /// Their mean times, summed, ms.
    pub ms: f64,
}

/// The structure as a policy over engines numbered as in the table.
pub(super) fn policy_of(structure: &Structure) -> Policy {
    let index = |engine: usize| EngineIdx(engine as u8);
    let plan = match structure.stages.as_slice() {
        [(engine, _)] => Plan::Fixed { engine: index(*engine), fallback: None },
        stages => Plan::Confidence(Confidence {
            stages: stages.iter().map(|&(engine, accept_above)| Stage { engine: index(engine), accept_above }).collect(),
            average: structure.average,
            score: structure.score,
        }),
    };
    Policy::new("fit", plan)
}

/// Every engine of the table allowed, no deadline.
pub fn everything(observations: &Observations) -> Allowance {
    let mut allowance = Allowance::default();
    for (slot, engine) in allowance.engines.iter_mut().zip(&observations.engines) {
        let time = Duration::try_from_secs_f64(engine.mean_ms / 1000.0).unwrap_or(Duration::MAX);
        *slot = Some(Terms { wait: Duration::ZERO, p50: time, p95: time });
    }
    allowance
}

/// One photo's way through `policy`, whose engines are numbered as in the table. Features are unknown to the table and zero: not for
/// policies of kind `chain`.
pub fn walk(observations: &Observations, policy: &Policy, allowance: &Allowance, photo: usize, room: &mut Vec<f32>) -> Walk {
    let (features, glimpse, past) = (Features { values: [0.0; COUNT] }, [0; GLIMPSE_WIDTH * GLIMPSE_HEIGHT], Past::default());
    let sequence = photo as u64;
    let situation =
        Situation { sequence, camera: 0, captured: Duration::ZERO, features: &features, glimpse: &glimpse, past: &past };
    let mut done = Walk::default();
    let mut journey = Journey::default();
    let mut next = match policy::first(policy, &situation, allowance) {
        Choice::Ask(engine, why) => Some((engine, why)),
        Choice::Reuse(_) | Choice::Abstain(_) => None,
    };
    while let Some((engine, why)) = next {
        let index = usize::from(engine.0);
        done.asked.push(index);
        done.ms += observations.engines.get(index).map_or(0.0, |engine| engine.mean_ms);
        journey.answer = observations.answer(&done.asked, policy.averages(), photo, room);
        let (top, margin) = (journey.answer.top[0], journey.answer.margin);
        let step =
            Step { engine, why, answered: true, queued: Duration::ZERO, times: LookTimes::default(), top, margin, entropy: 0.0 };
        if journey.steps.try_push(step).is_err() {
            break; // not reached: policies end within MAX_STEPS
        }
        next = match policy::after(policy, &journey, allowance) {
            Verdict::Escalate(engine, why) => Some((engine, why)),
            Verdict::Accept(_) => {
                done.class = Some(top.class);
                None
            }
            Verdict::Abstain(_) => None,
        };
    }
    done
}
