//! Maps the states of engines, cameras and threads from the pipeline's types to those of the
//! status. Pure.

use std::time::Duration;

use crate::observe::{CameraState, EngineState, SinkState, ThreadState};
use crate::pipeline::{self, heartbeat::Beat};
use crate::sink;

/// `runtime`: who runs it, if that is known.
pub(super) fn engine(runtime: Option<String>, engine: pipeline::EngineState) -> EngineState {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    EngineState {
        id: engine.id.to_string(),
        state: engine.health,
        since_s: engine.since.as_secs_f64(),
        failures: u64::from(engine.failures),
        runtime,
        p50_ms: engine.cost.map(|(p50, ..)| ms(p50)),
        p95_ms: engine.cost.map(|(_, p95, _)| ms(p95)),
        energy_mj: engine.cost.and_then(|(.., energy)| energy).map(|energy| energy.0),
    }
}

pub(super) fn camera(camera: pipeline::CameraState) -> CameraState {
    CameraState {
        name: camera.name.to_string(),
        source: camera.source.to_string(),
        state: camera.phase,
        since_s: camera.since.as_secs_f64(),
        next_try_s: camera.next_try.map(|left| left.as_secs_f64()),
        losses: camera.losses,
        offered: camera.offered,
        drops: camera.drops,
        unanswered_s: camera.unanswered.as_secs_f64(),
    }
}

pub(super) fn sink(entry: sink::Entry) -> SinkState {
    let sink::Entry { name, published, trouble } = entry;
    SinkState { name: name.to_owned(), sent: published.delivered, lost: published.lost, trouble }
}

pub(super) fn thread(beat: Beat) -> ThreadState {
    let with = beat.engine.as_ref().map(|engine| format!(" with {engine}")).unwrap_or_default();
    ThreadState {
        name: beat.thread.to_string(),
        doing: format!("{}{with}", beat.activity.name()),
        since_s: beat.since.as_secs_f64(),
        overdue: beat.is_overdue(),
    }
}
