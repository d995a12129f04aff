//! What the daemon is and does at one moment, as `squint status` and the metrics tell it. Pure
//! data; JSON in docs/reference/control.md.
//!
//! The daemon fills it in, see [`crate::control::Steering`]. Times are in seconds, as they are told
//! to people and scrapers.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::summary::dropped;
use super::{BoardState, BudgetState, Counted};
use crate::report::{DropReason, Drops};
use crate::vocabulary::{CameraPhase, EngineHealth, Mode, Phase};

/// Version of the status schema, see docs/reference/control.md. Fields may be added without a new
/// one.
pub const STATE_VERSION: u32 = 1;

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// [`STATE_VERSION`].
    pub v: u32,
    /// Squint's version.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Where in its life.
    pub phase: Phase,
    /// True once the first engine is warm and every camera delivers or is known to be retrying.
    pub ready: bool,
    /// False while something is wrong that Squint cannot mend by itself soon; `complaints` says
    /// what.
    pub healthy: bool,
    /// What makes it unhealthy, a sentence each.
    pub complaints: Vec<String>,
    /// When Squint started, seconds since 1970.
    pub start_time_s: f64,
    /// How long ago that was by the monotonic clock, seconds.
    pub uptime_s: f64,
    /// How hard it may look.
    pub mode: Mode,
    /// The policy in force.
    pub policy: PolicyState,
    /// Least important message that is logged.
    pub log_level: String,
    /// What works less well than it should, a sentence each.
    pub degraded: Vec<String>,
    /// What became of reloads.
    pub reload: Reloads,
    /// The engines of the policy.
    pub engines: Vec<EngineState>,
    /// The cameras.
    pub cameras: Vec<CameraState>,
    /// Where records go.
    pub sinks: Vec<SinkState>,
    /// Squint's threads, as the watchdog sees them.
    pub threads: Vec<ThreadState>,
    /// What the board reads; `null` before the first reading.
    pub board: Option<BoardState>,
    /// What the budget allows; `null` before the first reading.
    pub budget: Option<BudgetState>,
    /// What was counted, see [`super::Reading::counted`].
    pub counted: Counted,
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyState {
    /// Its name.
    pub name: String,
    /// `fixed`, `confidence`, `hybrid`, ...
    pub kind: String,
}

/// What became of reloads since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reloads {
    /// Tried.
    pub count: u64,
    /// Of these, refused.
    pub failed: u64,
    /// The last one.
    pub last: Option<Reload>,
}

/// One reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reload {
    /// When, RFC 3339 in UTC; [`crate::sink::Stamp`] writes it.
    pub at: String,
    /// Whether it is in force.
    pub ok: bool,
    /// What is in force now, or why the old stays.
    pub message: String,
}

/// One engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineState {
    /// Its id.
    pub id: String,
    /// How it is.
    pub state: EngineHealth,
    /// For how long, seconds.
    pub since_s: f64,
    /// How often it failed or got stuck.
    pub failures: u64,
    /// Who runs it: `onnxruntime`, `tensorrt`, or both with a `+` between them.
    pub runtime: Option<String>,
    /// Median time of a look now, ms, as the cost model has it.
    pub p50_ms: Option<f64>,
    /// 95th percentile of a look now, ms.
    pub p95_ms: Option<f64>,
    /// Energy of a look beyond idle, mJ, where rails or a profile tell.
    pub energy_mj: Option<f64>,
}

/// One camera.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CameraState {
    /// Its name.
    pub name: String,
    /// Its source, without secrets.
    pub source: String,
    /// How it is.
    pub state: CameraPhase,
    /// For how long, seconds.
    pub since_s: f64,
    /// While retrying: when it is opened again, seconds from now.
    pub next_try_s: Option<f64>,
    /// How often it was lost.
    pub losses: u64,
    /// Frames the source offered.
    pub offered: u64,
    /// Frames given up, by reason.
    #[serde(serialize_with = "dropped", deserialize_with = "drops")]
    pub drops: Drops,
    /// For how long no engine has looked at a frame of it that should have been, seconds; 0 while
    /// all is well.
    pub unanswered_s: f64,
}

/// One sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkState {
    /// `stdout`, `file` or `socket`.
    pub name: String,
    /// Records delivered.
    pub sent: u64,
    /// Records lost.
    pub lost: u64,
    /// Why records are being lost; `null` while all is well.
    pub trouble: Option<String>,
}

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadState {
    /// Its name.
    pub name: String,
    /// What it does.
    pub doing: String,
    /// For how long, seconds.
    pub since_s: f64,
    /// True if that is longer than it may be.
    pub overdue: bool,
}

/// Reasons by name; those of a newer Squint are left out.
fn drops<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Drops, D::Error> {
    let counts = HashMap::<String, u64>::deserialize(deserializer)?;
    let mut drops = Drops::default();
    for why in DropReason::ALL {
        drops.add(why, counts.get(why.name()).copied().unwrap_or(0));
    }
    Ok(drops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_way_through_json() {
        let mut camera =
            CameraState { name: "door".into(), next_try_s: Some(1.5), ..CameraState::default() };
        camera.drops.add(DropReason::SinkFull, 7);
        let state = State { mode: Mode::Eco, cameras: vec![camera], ..State::default() };
        let json = serde_json::to_string(&state).unwrap();
        assert!(json.contains("\"sink-full\":7") && json.contains("\"mode\":\"eco\""), "{json}");
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
        let newer = json.replacen('{', "{\"news\":[1,2],", 1).replace("\"late\":0", "\"bored\":3");
        assert_eq!(
            serde_json::from_str::<State>(&newer).unwrap(),
            state,
            "what a newer daemon adds is left out"
        );
    }
}
