//! The learned state, as a value that survives a restart: versioned, and valid only for the engines
//! and the board that it was learned with. Pure.
//!
//! Other modules read and write the file. It holds the costs of the engines, the fit of the zones
//! and the cost of a frame on each rung; not the level or the grants, which belong to the moment.

use serde::{Deserialize, Serialize};

use super::costs::Costs;
use super::governor::Governor;
use super::latency::Learned;
use crate::engine::MAX_ENGINES;
use crate::telemetry::MAX_ZONES;
use crate::versioned::{self, VersionedError};

/// The version that is written and read.
const VERSION: u32 = 1;
/// Longest text that is read, bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Longest id, sha256 or board name that is read, characters.
const MAX_NAME: usize = 256;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LearnedState {
    v: u32,
    /// As the board calls itself.
    board: Option<String>,
    /// The shared slow-down at the reference clock and its growth with the inverse of the GPU's
    /// clock.
    slow_down: [f32; 2],
    /// The reference clock, MHz.
    reference_mhz: Option<f32>,
    engines: Vec<LearnedEngine>,
    zones: Vec<LearnedZone>,
    /// Energy of a frame on each rung against a look of its dearest engine.
    rungs: Vec<f32>,
}

/// One engine, in the order of their indices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct LearnedEngine {
    id: String,
    sha256: String,
    /// Who ran it; a file from before there was a choice does not say.
    #[serde(default = "cpu")]
    runtime: String,
    correction: f32,
    spread: f32,
    watts: Option<f32>,
}

/// One governing zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct LearnedZone {
    index: u8,
    celsius_per_watt: f32,
    tau_s: f32,
}

/// Whom a kept state belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// As the board calls itself, [`crate::telemetry::Inventory::board`].
    pub board: Option<&'a str>,
    /// Each engine in use, in the order of their indices.
    pub engines: &'a [Engine<'a>],
}

/// An engine as far as what it costs depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine<'a> {
    /// Its id.
    pub id: &'a str,
    /// Of its model, hex.
    pub sha256: &'a str,
    /// Who runs it, [`CPU`] or another: the same model costs something else there.
    pub runtime: &'a str,
}

/// The runtime that every engine has had for as long as there was no choice.
pub const CPU: &str = "onnxruntime";

fn cpu() -> String {
    CPU.to_owned()
}

/// Why a kept state is of no use. The caller goes on without it and says so.
#[derive(Debug, thiserror::Error)]
pub enum LearnedStateError {
    /// Too long, no JSON, or of another version.
    #[error(transparent)]
    Text(#[from] VersionedError),
    /// A value that cannot be.
    #[error("{origin}: {key} = {value}, allowed is {low} to {high}")]
    Range {
        /// The file.
        origin: String,
        /// Which.
        key: String,
        /// What it says.
        value: f64,
        /// Least.
        low: f64,
        /// Most.
        high: f64,
    },
    /// Learned with other engines or on another board.
    #[error("learned with {what} {learned}, here it is {here}; it will be learned anew")]
    Other {
        /// What differs.
        what: &'static str,
        /// What it was learned with.
        learned: String,
        /// What is here.
        here: String,
    },
}

impl LearnedState {
    /// What `costs` and `governor` know now. Engines of `owner` without costs are left out of the
    /// learning, not of the list.
    pub fn of(owner: &Owner, costs: &Costs, governor: &Governor) -> Self {
        let (slow_down, reference) = costs.latencies.shared();
        let engines = owner.engines.iter().take(MAX_ENGINES).enumerate().map(|(at, engine)| {
            let learned =
                costs.latencies.learned(at).unwrap_or(Learned { correction: 1.0, spread: 0.1 });
            let (watts, known) = costs.energies.watts(at);
            let [id, sha256, runtime] =
                [engine.id, engine.sha256, engine.runtime].map(str::to_owned);
            let (correction, spread) = (learned.correction as f32, learned.spread as f32);
            LearnedEngine {
                id,
                sha256,
                runtime,
                correction,
                spread,
                watts: known.then_some(watts as f32),
            }
        });
        let zones = governor
            .thermal()
            .zones()
            .iter()
            .filter(|zone| zone.now().is_some())
            .filter_map(|zone| {
                let (celsius_per_watt, tau_s) = zone.fitted();
                let (celsius_per_watt, tau_s) = (celsius_per_watt as f32, tau_s as f32);
                Some(LearnedZone { index: u8::try_from(zone.zone).ok()?, celsius_per_watt, tau_s })
            });
        Self {
            v: VERSION,
            board: owner.board.map(str::to_owned),
            slow_down: slow_down.map(|value| value as f32),
            reference_mhz: reference.map(|mhz| mhz as f32),
            engines: engines.collect(),
            zones: zones.collect(),
            rungs: governor.ratios().map(|ratio| ratio as f32).collect(),
        }
    }

    /// True if all of its engines were run by the CPU.
    pub fn is_of_the_cpu(&self) -> bool {
        self.engines.iter().all(|engine| engine.runtime == CPU)
    }

    /// As JSON, one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain numbers and texts")
    }

    /// Reads what [`Self::to_json`] wrote. `origin` is the file's name for the errors. Untrusted:
    /// everything is checked.
    pub fn from_json(text: &str, origin: &str) -> Result<Self, LearnedStateError> {
        let learned: Self = versioned::read(text, origin, MAX_TEXT, VERSION)?;
        learned.check().map_err(|(key, value, (low, high))| LearnedStateError::Range {
            origin: origin.to_owned(),
            key,
            value,
            low,
            high,
        })?;
        Ok(learned)
    }

    fn check(&self) -> Result<(), (String, f64, (f64, f64))> {
        let within = |key: String, value: f32, range: (f64, f64)| {
            let value = f64::from(value);
            if value.is_finite() && value >= range.0 && value <= range.1 {
                Ok(())
            } else {
                Err((key, value, range))
            }
        };
        within("number of engines".into(), self.engines.len() as f32, (0.0, MAX_ENGINES as f64))?;
        within("number of zones".into(), self.zones.len() as f32, (0.0, MAX_ZONES as f64))?;
        within("number of rungs".into(), self.rungs.len() as f32, (0.0, MAX_ENGINES as f64))?;
        within(
            "length of board".into(),
            self.board.as_ref().map_or(0, String::len) as f32,
            (0.0, MAX_NAME as f64),
        )?;
        for (at, share) in self.slow_down.iter().enumerate() {
            within(format!("slow-down[{at}]"), *share, (0.0, 100.0))?;
        }
        if let Some(mhz) = &self.reference_mhz {
            within("reference-mhz".into(), *mhz, (1.0, 100_000.0))?;
        }
        for (at, engine) in self.engines.iter().enumerate() {
            within(
                format!("engines[{at}]: length of id"),
                engine.id.len() as f32,
                (0.0, MAX_NAME as f64),
            )?;
            within(
                format!("engines[{at}]: length of sha256"),
                engine.sha256.len() as f32,
                (0.0, MAX_NAME as f64),
            )?;
            within(
                format!("engines[{at}]: length of runtime"),
                engine.runtime.len() as f32,
                (0.0, MAX_NAME as f64),
            )?;
            within(format!("engines[{at}].correction"), engine.correction, (0.01, 100.0))?;
            within(format!("engines[{at}].spread"), engine.spread, (0.0, 1.0))?;
            within(format!("engines[{at}].watts"), engine.watts.unwrap_or(0.0), (0.0, 500.0))?;
        }
        for (at, zone) in self.zones.iter().enumerate() {
            within(format!("zones[{at}].celsius-per-watt"), zone.celsius_per_watt, (0.1, 20.0))?;
            within(format!("zones[{at}].tau-s"), zone.tau_s, (5.0, 1200.0))?;
        }
        self.rungs
            .iter()
            .enumerate()
            .try_for_each(|(at, ratio)| within(format!("rungs[{at}]"), *ratio, (0.0, 10.0)))
    }

    /// `Other` if it was learned with other engines, in another order, or on another board.
    pub fn belongs_to(&self, owner: &Owner) -> Result<(), LearnedStateError> {
        let other = |what, learned: &dyn ToString, here: &dyn ToString| {
            Err(LearnedStateError::Other {
                what,
                learned: learned.to_string(),
                here: here.to_string(),
            })
        };
        if self.board.as_deref() != owner.board {
            return other(
                "the board",
                &self.board.as_deref().unwrap_or("(unnamed)"),
                &owner.board.unwrap_or("(unnamed)"),
            );
        }
        if self.engines.len() != owner.engines.len() {
            return other("a number of engines of", &self.engines.len(), &owner.engines.len());
        }
        for (learned, Engine { id, sha256, runtime }) in self.engines.iter().zip(owner.engines) {
            if learned.id != *id {
                return other("engine", &learned.id, id);
            }
            if learned.sha256 != *sha256 {
                return other("an engine whose sha256 is", &learned.sha256, sha256);
            }
            if learned.runtime != *runtime {
                return other("an engine that is run by", &learned.runtime, runtime);
            }
        }
        Ok(())
    }

    /// Lets `costs` go on from here; to be called before the governor is made, whose rungs follow
    /// the costs. Errors as [`Self::belongs_to`]; then `costs` stay as they are.
    pub fn resume(&self, owner: &Owner, costs: &mut Costs) -> Result<(), LearnedStateError> {
        self.belongs_to(owner)?;
        costs.latencies.resume(self.slow_down.map(f64::from), self.reference_mhz.map(f64::from));
        for (at, engine) in self.engines.iter().enumerate() {
            costs.latencies.relearn(
                at,
                Learned {
                    correction: f64::from(engine.correction),
                    spread: f64::from(engine.spread),
                },
            );
            if let Some(watts) = engine.watts {
                costs.energies.resume(at, f64::from(watts));
            }
        }
        Ok(())
    }

    /// Lets a governor go on from here, made with the same engines on the same board: after
    /// [`Self::resume`] said so.
    pub fn resume_governor(&self, governor: &mut Governor) {
        let zones = self.zones.iter().map(|zone| {
            (usize::from(zone.index), f64::from(zone.celsius_per_watt), f64::from(zone.tau_s))
        });
        governor.resume(zones, self.rungs.iter().copied().map(f64::from));
    }
}

#[cfg(test)]
mod tests;
