//! Reports in, counters kept, a summary out: what a run did, in total and by camera.
//!
//! Pure: no clock, no file; durations and memory are handed in. Nothing allocates once the cameras
//! and engines are known. Every frame is counted exactly once: by [`Counters::note`] if a report of
//! it went out, by [`Counters::note_drop`] if not. The drops inside a report repeat what
//! `note_drop` was told; they are for the record's readers and are not counted again.

mod board;
mod counted;
pub mod metrics;
mod state;
mod summary;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crate::policy::Code;
use crate::report::{DropReason, Drops, Outcome, Report};
use crate::stats::Histogram;

pub use board::{BoardState, BudgetState, RailState, ZoneState};
pub use counted::{Buckets, Count, Counted, EngineCount, LIMITS, Looks};
pub use state::{
    CameraState, EngineState, PolicyState, Reload, Reloads, STATE_VERSION, SinkState, State,
    ThreadState,
};
pub use summary::{
    Accuracy, EngineSummary, Facts, Named, Part, Quantiles, SUMMARY_VERSION, SinkSummary, Summary,
};
pub use watch::{Reading, Watch};

/// The stages whose time is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From capture until the feature thread took the frame.
    Wait,
    /// Feature extraction.
    Features,
    /// From the features to the first decision acted on.
    Dispatch,
    /// Preprocessing, all engines of the frame together.
    Preprocess,
    /// The networks, all engines of the frame together.
    Run,
    /// What Squint adds.
    Overhead,
    /// From capture to outcome.
    Age,
}

impl Stage {
    /// All stages, in the order a frame meets them.
    pub const ALL: [Self; 7] = [
        Self::Wait,
        Self::Features,
        Self::Dispatch,
        Self::Preprocess,
        Self::Run,
        Self::Overhead,
        Self::Age,
    ];

    /// The word used in summaries and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Features => "features",
            Self::Dispatch => "dispatch",
            Self::Preprocess => "preprocess",
            Self::Run => "run",
            Self::Overhead => "overhead",
            Self::Age => "age",
        }
    }
}

/// What has been counted so far. `clone_from` allocates nothing where the target knows the same
/// cameras and engines.
#[derive(Debug)]
pub struct Counters {
    all: Tally,
    cameras: Vec<(Arc<str>, Tally)>,
    engines: Vec<Arc<str>>,
    /// The engines of the last report: a reload may bring others, or the same in another order.
    engine_set: Arc<[Arc<str>]>,
    /// Where each of them stands in `engines`.
    places: Vec<usize>,
}

/// One camera's counts, or the sum of all.
#[derive(Debug)]
struct Tally {
    outcomes: [u64; Outcome::ALL.len()],
    drops: Drops,
    escalated: u64,
    late: u64,
    in_time: u64,
    declined: u64,
    stages: [Histogram; Stage::ALL.len()],
    engines: Vec<EngineTally>,
}

#[derive(Debug, Default)]
struct EngineTally {
    runs: u64,
    failed: u64,
    first: u64,
    run: Histogram,
}

// Written by hand, all three: what `derive` makes of `clone_from` throws the target away and
// allocates anew.

impl Clone for Counters {
    fn clone(&self) -> Self {
        let (all, cameras, engines) =
            (self.all.clone(), self.cameras.clone(), self.engines.clone());
        Self {
            all,
            cameras,
            engines,
            engine_set: Arc::clone(&self.engine_set),
            places: self.places.clone(),
        }
    }

    fn clone_from(&mut self, source: &Self) {
        self.all.clone_from(&source.all);
        self.engines.clone_from(&source.engines);
        self.engine_set.clone_from(&source.engine_set);
        self.places.clone_from(&source.places);
        self.cameras.truncate(source.cameras.len());
        for ((name, tally), (new_name, new_tally)) in self.cameras.iter_mut().zip(&source.cameras) {
            name.clone_from(new_name);
            tally.clone_from(new_tally);
        }
        self.cameras.extend_from_slice(&source.cameras[self.cameras.len()..]);
    }
}

impl Clone for Tally {
    fn clone(&self) -> Self {
        Self { stages: self.stages.clone(), engines: self.engines.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        let Self { outcomes, drops, escalated, late, in_time, declined, stages, engines } = source;
        (self.outcomes, self.drops, self.escalated, self.late) =
            (*outcomes, *drops, *escalated, *late);
        (self.in_time, self.declined) = (*in_time, *declined);
        self.stages.clone_from(stages);
        self.engines.clone_from(engines);
    }
}

impl Clone for EngineTally {
    fn clone(&self) -> Self {
        Self { run: self.run.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        let Self { runs, failed, first, run } = source;
        (self.runs, self.failed, self.first) = (*runs, *failed, *first);
        self.run.clone_from(run);
    }
}

impl Counters {
    /// Counters of these cameras and engines, by index. Others met later are added, which
    /// allocates.
    pub fn new(cameras: &[Arc<str>], engines: &[Arc<str>]) -> Self {
        let empty = Tally::new(engines.len());
        let cameras = cameras.iter().map(|name| (name.clone(), empty.clone())).collect();
        Self {
            all: empty,
            cameras,
            engines: engines.to_vec(),
            engine_set: engines.into(),
            places: (0..engines.len()).collect(),
        }
    }

    /// Counts a report that went out. Its `drops` are not counted here, see
    /// [`Counters::note_drop`].
    pub fn note(&mut self, report: &Report) {
        if !Arc::ptr_eq(&self.engine_set, &report.engines) && self.engine_set != report.engines {
            self.meet(&report.engines);
        }
        self.all.note(report, &self.places);
        let index = self.camera(report.camera_index, Some(&report.camera));
        self.cameras[index].1.note(report, &self.places);
    }

    /// Counts `count` frames of a camera that never became a report, or whose report was thrown
    /// away.
    pub fn note_drop(&mut self, camera: u16, why: DropReason, count: u64) {
        self.all.drops.add(why, count);
        let index = self.camera(camera, None);
        self.cameras[index].1.drops.add(why, count);
    }

    /// What was counted, with `facts` the counters cannot know.
    pub fn summary(&self, facts: &Facts) -> Summary {
        Summary::of(self, facts)
    }

    /// Frames with an outcome: all together, then each camera.
    fn settled(&self) -> impl Iterator<Item = u64> {
        std::iter::once(&self.all)
            .chain(self.cameras.iter().map(|(_, tally)| tally))
            .map(|tally| tally.outcomes.iter().sum())
    }

    fn meet(&mut self, engine_set: &Arc<[Arc<str>]>) {
        self.places.clear();
        for id in engine_set.iter() {
            let place = self.engines.iter().position(|known| known == id);
            self.places.push(place.unwrap_or(self.engines.len()));
            if place.is_none() {
                self.engines.push(Arc::clone(id));
            }
        }
        self.engine_set = Arc::clone(engine_set);
        for tally in self.cameras.iter_mut().map(|(_, tally)| tally).chain([&mut self.all]) {
            tally.engines.resize_with(self.engines.len(), EngineTally::default);
        }
    }

    /// Where the camera stands in `cameras`.
    fn camera(&mut self, index: u16, name: Option<&Arc<str>>) -> usize {
        let index = usize::from(index);
        while self.cameras.len() <= index {
            let name = name.filter(|_| self.cameras.len() == index).cloned();
            let name = name.unwrap_or_else(|| format!("camera {}", self.cameras.len()).into());
            self.cameras.push((name, Tally::new(self.engines.len())));
        }
        index
    }
}

impl Tally {
    fn new(engines: usize) -> Self {
        Self {
            outcomes: [0; Outcome::ALL.len()],
            drops: Drops::default(),
            escalated: 0,
            late: 0,
            in_time: 0,
            declined: 0,
            stages: std::array::from_fn(|_| Histogram::new()),
            engines: vec![EngineTally::default(); engines],
        }
    }

    /// `places`: where each of the report's engines stands in ours.
    fn note(&mut self, report: &Report, places: &[usize]) {
        self.outcomes[report.outcome as usize] += 1;
        self.late += u64::from(report.late);
        self.in_time += u64::from(
            !report.late && matches!(report.outcome, Outcome::Answered | Outcome::Reused),
        );
        self.declined += u64::from(
            report.outcome == Outcome::Abstained
                && matches!(report.verdict.code, Code::Abstained | Code::Paused),
        );
        let steps = &report.attempts.steps;
        // A step taken because the one before it failed is a replacement, not a second look.
        self.escalated +=
            u64::from(steps.iter().skip(1).any(|step| step.why.code != Code::EngineFailed));
        let (mut preprocess, mut run) = (Duration::ZERO, Duration::ZERO);
        for (at, step) in steps.iter().enumerate() {
            let place = places.get(usize::from(step.engine.0)).copied();
            let Some(engine) = place.and_then(|place| self.engines.get_mut(place)) else {
                continue;
            };
            engine.runs += 1;
            engine.first += u64::from(at == 0);
            if step.answered {
                engine.run.record(step.times.run);
                preprocess += step.times.preprocess;
                run += step.times.run;
            } else {
                engine.failed += 1;
            }
        }
        let looked = report.attempts.answers() > 0;
        for stage in Stage::ALL {
            let time = match stage {
                Stage::Wait => report.times.wait,
                Stage::Features => report.times.features,
                Stage::Dispatch => report.times.dispatch,
                Stage::Preprocess if looked => preprocess,
                Stage::Run if looked => run,
                Stage::Preprocess | Stage::Run => continue,
                Stage::Overhead => report.times.overhead,
                Stage::Age => report.times.age,
            };
            self.stages[stage as usize].record(time);
        }
    }
}
