//! A daemon made of cardboard, for the tests of the control socket: it tells a state and remembers
//! what it was told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use squint::control::{Setting, Steering};
use squint::observe::{
    BoardState, BudgetState, CameraState, Counters, EngineState, PolicyState, RailState, Reload,
    Reloads, STATE_VERSION, SinkState, State, ThreadState, Watch, ZoneState,
};
use squint::report::DropReason;
use squint::telemetry::Doubt;
use squint::vocabulary::{CameraPhase, EngineHealth, Mode, Phase};

use super::reports;

/// The daemon.
pub struct Fake {
    /// What it tells.
    pub state: Mutex<State>,
    /// What it was told to do, in order.
    pub told: Mutex<Vec<String>>,
    /// Refuses whatever it is told.
    pub stubborn: AtomicBool,
    /// Panics when asked.
    pub fragile: AtomicBool,
    /// How often it was asked.
    pub asked: AtomicU64,
}

impl Fake {
    /// Two cameras, two engines, some trouble.
    pub fn new() -> Arc<Self> {
        let (told, state) = (Mutex::default(), Mutex::new(state()));
        Arc::new(Self {
            state,
            told,
            stubborn: false.into(),
            fragile: false.into(),
            asked: 0.into(),
        })
    }

    /// What it was told to do.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    fn on_report(&self, what: String) -> Result<String, String> {
        self.told.lock().unwrap().push(what.clone());
        if self.stubborn.load(Ordering::SeqCst) {
            Err(format!("{what}: not today"))
        } else {
            Ok(format!("{what}: done"))
        }
    }
}

impl Steering for Fake {
    fn state(&self) -> State {
        assert!(!self.fragile.load(Ordering::SeqCst), "fragile");
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.state.lock().unwrap().clone()
    }

    fn reload(&self) -> Result<String, String> {
        self.on_report("reload".into())
    }

    fn set(&self, what: Setting, value: &str) -> Result<String, String> {
        self.on_report(format!("{} {value}", what.name()))
    }
}

/// A state with something of everything.
pub fn state() -> State {
    let names = ["bikes".into(), "door".into()];
    let mut counters = Counters::new(&names, &reports::engines());
    let start = Instant::now();
    let watch = Watch::new(&counters, start);
    for _ in 0..25 {
        reports::every_kind().iter().for_each(|report| counters.note(report));
    }
    assert!(watch.publish(&counters, start + Duration::from_secs(5)));
    let engine = |(id, state): (&Arc<str>, EngineHealth)| EngineState {
        id: id.to_string(),
        state,
        since_s: 61.0,
        failures: 25,
        runtime: None,
        p50_ms: Some(2.5),
        p95_ms: Some(4.0),
        energy_mj: (state == EngineHealth::Ready).then_some(12.5),
    };
    let health = [EngineHealth::Ready, EngineHealth::Aside, EngineHealth::Stuck];
    let mut bikes = CameraState {
        name: "bikes".into(),
        source: "csi:0".into(),
        state: CameraPhase::Delivering,
        since_s: 3725.5,
        losses: 1,
        offered: 110,
        ..CameraState::default()
    };
    bikes.drops.add(DropReason::Superseded, 9);
    bikes.drops.add(DropReason::SinkFull, 1);
    let door = CameraState {
        name: "door".into(),
        source: "rtsp://192.0.2.7/stream".into(),
        state: CameraPhase::Retrying,
        since_s: 12.0,
        next_try_s: Some(3.0),
        losses: 7,
        ..CameraState::default()
    };
    State {
        v: STATE_VERSION,
        version: "0.1.0".into(),
        pid: std::process::id(),
        phase: Phase::Running,
        ready: true,
        healthy: true,
        complaints: Vec::new(),
        start_time_s: 1_772_366_400.25,
        uptime_s: 93_784.5,
        mode: Mode::Auto,
        policy: PolicyState { name: "default".into(), kind: "confidence".into() },
        log_level: "info".into(),
        degraded: vec!["camera door: lost 7 times; the network cannot reach 192.0.2.7".into()],
        reload: Reloads {
            count: 3,
            failed: 1,
            last: Some(Reload {
                at: "2026-03-01T12:00:00.250Z".into(),
                ok: false,
                message: "no policy `nigth`".into(),
            }),
        },
        engines: reports::engines().iter().zip(health).map(engine).collect(),
        cameras: vec![bikes, door],
        sinks: vec![
            SinkState { name: "stdout".into(), sent: 90, lost: 0, trouble: None },
            SinkState { name: "file".into(), sent: 71, lost: 19, trouble: None },
        ],
        threads: vec![ThreadState {
            name: "sink".into(),
            doing: "waiting for a report".into(),
            since_s: 0.1,
            overdue: false,
        }],
        board: Some(board()),
        budget: Some(budget()),
        counted: watch.read(start + Duration::from_secs(5)).counted(),
    }
}

/// A TX2 that draws more than it should; one of its rails is silent.
pub fn board() -> BoardState {
    let rail = |name: &str, mw, total| RailState { name: name.into(), mw, total };
    let zone = |name: &str, celsius, governs| ZoneState {
        name: name.into(),
        celsius,
        throttle_at: Some(95.5),
        governs,
        ceiling: governs.then_some(80.0),
    };
    BoardState {
        name: Some("Jetson TX2".into()),
        rails: vec![
            rail("VDD_SYS_GPU", Some(1250.0), false),
            rail("VDD_SYS_SOC", None, false),
            rail("VDD_IN", Some(6480.0), true),
        ],
        zones: vec![
            zone("BCPU-therm", Some(61.0), true),
            zone("GPU-therm", Some(64.5), true),
            zone("Tdiode_tegra", None, false),
        ],
        gpu_clock_mhz: Some(854.25),
        gpu_load: Some(0.625),
        throttling: Some(false),
        over_current: Some(2),
        power_mode: Some("MAXQ".into()),
        doubts: vec![Doubt {
            sensor: "Tdiode_tegra".into(),
            why: "has stood still for 60 s".into(),
        }],
        samples: 1200,
        sampling_cpu_s: 0.75,
        ..BoardState::default()
    }
}

/// A budget that is held down by the power.
pub fn budget() -> BudgetState {
    BudgetState {
        mode: "saver".into(),
        chosen_by: "power-mode".into(),
        because: "power".into(),
        value: Some(6480.0),
        limit: Some(6000.0),
        zone: None,
        engines: vec!["lite0-160".into()],
        upper: vec!["lite0-160".into(), "lite2-260".into()],
        upper_share: 0.4,
        lower: vec![],
        lower_share: 0.0,
        escalation: false,
        interval_s: 0.25,
        changes: 3,
        unreachable: Vec::new(),
    }
}
