//! Squint itself: the real cost models and the real governor, shown nothing but readings and what
//! was done. Pure.

use std::time::Duration;

use crate::budget::{Ability, Costs, Governor, Grants, Prior};
use crate::engine::EngineIdx;
use crate::telemetry::Inventory;
use crate::units::Millijoules;

use super::engines::{PREPROCESS_MS, Spec};
use super::plant::meter::inventory;
use super::plant::{IDLE_MW, busy_mw};
use super::scenario::Scenario;
use super::steer::{Steer, View};

/// The clock at which the energies of the profile were measured, GHz: the highest.
const PROFILE_GHZ: f64 = 1.3005;

/// The daemon's budget over the simulated board.
#[derive(Clone, Debug)]
pub struct Squint {
    costs: Costs,
    governor: Governor,
}

impl Squint {
    /// Begins as the daemon does: with what the lab's profile says of each engine at full clock,
    /// and the scenario's limits, on a board that has what [`inventory`] says.
    pub fn new(scenario: &Scenario, pool: &[Spec]) -> Self {
        Self::on(&inventory(), scenario, pool)
    }

    /// The same on a board as telemetry found it.
    pub fn on(inventory: &Inventory, scenario: &Scenario, pool: &[Spec]) -> Self {
        let priors: Vec<Option<Prior>> = pool.iter().map(|spec| Some(prior(spec))).collect();
        let costs = Costs::new(&priors);
        let engines: Vec<Ability> = (0u8..)
            .zip(pool)
            .map(|(place, spec)| Ability {
                engine: EngineIdx(place),
                accuracy: Some(spec.top1 as f32),
            })
            .collect();
        let governor = Governor::new(scenario.limits.clone(), inventory, &engines, 1, &costs);
        Self { costs, governor }
    }
}

/// What a profile taken at full clock on an otherwise idle board says.
fn prior(spec: &Spec) -> Prior {
    let seconds = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
    let whole = spec.ms + PREPROCESS_MS;
    let energy = (busy_mw(PROFILE_GHZ) - IDLE_MW) * spec.intensity * spec.ms / 1000.0;
    Prior { p50: seconds(whole), p95: seconds(whole * 1.05), energy: Some(Millijoules(energy)) }
}

impl Steer for Squint {
    fn name(&self) -> String {
        "squint".into()
    }

    fn explains(&self) -> bool {
        true
    }

    fn step(&mut self, view: &View) -> Grants {
        view.looks.iter().for_each(|look| self.costs.look(look));
        self.costs.step(view.now, view.sample, self.governor.rail(), view.usage);
        self.governor.step(view.now, view.sample, view.usage, &self.costs)
    }
}
