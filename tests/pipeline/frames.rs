//! The threads and channels with fake engines and cameras: every frame is answered or counted,
//! whatever goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::fakes::{Act, CLASSES, FakeLook, FakeSource, Shot};
use crate::common::{SOON, eventually};
use squint::engine::{EngineError, EngineIdx, Label, Labels, Look};
use squint::frame::Framing;
use squint::pipeline::clock::{MachineClock, Stop};
use squint::pipeline::{
    self, CameraSetup, EngineSet, PipelineError, ReportHandler, RunResult, Tuning,
};
use squint::policy::confidence::{Confidence, Score, Stage};
use squint::policy::{Code, Plan, Policy, Reuse};
use squint::report::{DropReason, Outcome, Report};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Keeps every report.
#[derive(Default)]
struct Notes {
    reports: Vec<Report>,
    /// How long the reader takes over each report.
    dawdles: Duration,
    stop_after: Option<(usize, Stop)>,
    panics: bool,
    /// Calls while there was nothing to hear, and what to do after the first.
    idle: usize,
    stop_when_idle: Option<Stop>,
}

impl ReportHandler for Notes {
    fn idle(&mut self) {
        self.idle += 1;
        if let Some(stop) = &self.stop_when_idle {
            stop.stop();
        }
    }

    fn on_report(&mut self, report: &Report) {
        assert!(!self.panics, "told to panic");
        self.reports.push(report.clone());
        std::thread::sleep(self.dawdles);
        if let Some((count, stop)) = &self.stop_after
            && self.reports.len() >= *count
        {
            stop.stop();
        }
    }
}

fn cascade(thresholds: &[f32]) -> Policy {
    let stages = (0..=thresholds.len())
        .map(|index| Stage {
            engine: EngineIdx(index as u8),
            accept_above: thresholds.get(index).copied(),
            chance: None,
        })
        .collect();
    Policy::new(
        "test",
        Plan::Confidence(Confidence { stages, average: false, score: Score::MaxSoftmax }),
    )
}

fn engine_set(policy: Policy, looks: Vec<Box<dyn Look>>) -> EngineSet {
    let classes = (0..CLASSES)
        .map(|class| Label { key: String::new(), name: format!("class {class}") })
        .collect();
    let engines = looks.into_iter().enumerate().map(|(index, look)| {
        let loader: pipeline::Loader = Box::new(move || Ok(look));
        (format!("fake-{index}").into(), loader)
    });
    EngineSet {
        policy,
        engines: engines.collect(),
        labels: Arc::new(Labels { classes, sha256: "0".into() }),
        deadline: pipeline::ENGINE_DEADLINE,
        budget: None,
    }
}

fn camera(name: &str, lossless: bool, script: Vec<Shot>) -> CameraSetup {
    let mut once = Some(script);
    CameraSetup {
        name: name.into(),
        source: "fake".into(),
        opener: Box::new(move || Ok(FakeSource::boxed(once.take().unwrap_or_default()))),
        live: false,
        lossless,
        framing: Framing::default(),
        tuning: Tuning {
            deadline: MS(500),
            stale_after: MS(1000),
            stall_after: MS(200),
            retry_cap: MS(5),
            reuse: None,
        },
        frame_limit: None,
    }
}

fn run(
    engine_set: EngineSet,
    cameras: Vec<CameraSetup>,
    notes: Notes,
    stop: &Stop,
) -> RunResult<Notes> {
    let (tally, broken) = run_out(engine_set, cameras, notes, stop);
    assert!(broken.is_none(), "{broken:?}");
    tally
}

fn run_out(
    engine_set: EngineSet,
    cameras: Vec<CameraSetup>,
    notes: Notes,
    stop: &Stop,
) -> (RunResult<Notes>, Option<PipelineError>) {
    pipeline::run_out(engine_set, cameras, notes, 16, Arc::new(MachineClock), stop, Instant::now())
        .expect("there is a tally")
}

/// The law of frames: what was offered is reported or counted.
fn assert_every_frame_is_accounted_for(tally: &RunResult<Notes>) {
    for (name, offered, drops) in &tally.cameras {
        let told =
            tally.listener.reports.iter().filter(|report| report.camera == *name).count() as u64;
        assert_eq!(
            *offered,
            told + drops.total(),
            "{name}: offered = reported + dropped ({drops:?})"
        );
    }
}

fn frames(count: usize, pause: Duration) -> Vec<Shot> {
    (0..count).map(|number| Shot::Frame((number % 200) as u8, pause)).collect()
}

#[test]
fn an_unsure_answer_is_looked_at_again_and_a_sure_one_is_not() {
    let (small, large) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let looks = vec![
        FakeLook::boxed(MS(1), &small, |number| {
            Act::Answer(1, if number % 2 == 0 { 0.9 } else { 0.3 })
        }),
        FakeLook::boxed(MS(2), &large, |_| Act::Answer(2, 0.8)),
    ];
    let tally = run(
        engine_set(cascade(&[0.6]), looks),
        vec![camera("a", true, frames(20, MS(0)))],
        Notes::default(),
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    let reports = &tally.listener.reports;
    assert_eq!(reports.len(), 20);
    for (number, report) in reports.iter().enumerate() {
        assert_eq!(
            report.sequence, number as u64,
            "a camera that loses nothing is answered in order"
        );
        assert_eq!(report.outcome, Outcome::Answered);
        let (steps, class, code) =
            if number % 2 == 0 { (1, 1, Code::Sure) } else { (2, 2, Code::Last) };
        assert_eq!(
            (report.attempts.steps.len(), report.attempts.answer.top[0].class, report.verdict.code),
            (steps, class, code)
        );
    }
    assert_eq!((small.load(Ordering::SeqCst), large.load(Ordering::SeqCst)), (20, 10));
}

#[test]
fn a_slow_engine_costs_a_live_camera_frames_but_never_uncounted_ones_and_never_freshness() {
    let begun = Instant::now();
    // A look takes as long as the camera needs for six frames, on whatever machine.
    let handed = Arc::new(AtomicU64::new(0));
    let (seen, counted) = (Arc::clone(&handed), Arc::clone(&handed));
    let slow = FakeLook::boxed(MS(0), &Arc::default(), move |look| {
        eventually("the camera goes on", || {
            seen.load(Ordering::SeqCst) >= (6 * (look + 1)).min(60)
        });
        Act::Answer(1, 0.9)
    });
    let opener = Box::new(move || Ok(FakeSource::counted(frames(60, MS(5)), &counted)));
    let live = CameraSetup { opener, ..camera("a", false, Vec::new()) };
    let tally =
        run(engine_set(cascade(&[]), vec![slow]), vec![live], Notes::default(), &Stop::new());
    assert_every_frame_is_accounted_for(&tally);
    let (_, offered, drops) = &tally.cameras[0];
    assert_eq!(*offered, 60);
    assert!(drops.get(DropReason::Busy) > 20, "most frames find the engine occupied: {drops:?}");
    let told: u64 = tally.listener.reports.iter().map(|report| report.drops.total()).sum();
    assert!(told > 0 && told <= drops.total(), "records tell of the drops between them");
    // In a queue the last frames would wait for nearly as long as all of this takes.
    let oldest = tally
        .listener
        .reports
        .iter()
        .map(|report| report.times.age)
        .max()
        .expect("some were answered");
    assert!(
        oldest < begun.elapsed() / 2,
        "a frame waits for one look at most, not for a queue: {oldest:?}"
    );
}

#[test]
fn an_engine_that_fails_is_set_aside_and_the_next_one_answers() {
    let (small, large) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let looks = vec![
        FakeLook::boxed(MS(1), &small, |_| Act::Fail),
        FakeLook::boxed(MS(1), &large, |_| Act::Answer(3, 0.8)),
    ];
    let tally = run(
        engine_set(cascade(&[0.6]), looks),
        vec![camera("a", true, frames(30, MS(0)))],
        Notes::default(),
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    assert!(
        tally.listener.reports.iter().all(|report| report.outcome == Outcome::Answered
            && report.attempts.answer.top[0].class == 3)
    );
    assert!(
        small.load(Ordering::SeqCst) < 5,
        "set aside after a failure, not asked for every frame"
    );
    assert_eq!(
        tally.listener.reports[0].attempts.steps.len(),
        2,
        "the first frame met the failure and went on"
    );
    assert!(!tally.listener.reports[0].attempts.steps[0].answered);
}

#[test]
fn an_engine_that_panics_is_a_failed_engine_not_a_dead_daemon() {
    let looks = vec![
        FakeLook::boxed(MS(1), &Arc::default(), |_| Act::Panic),
        FakeLook::boxed(MS(1), &Arc::default(), |_| Act::Answer(3, 0.8)),
    ];
    let tally = run(
        engine_set(cascade(&[0.6]), looks),
        vec![camera("a", true, frames(5, MS(0)))],
        Notes::default(),
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    assert!(tally.listener.reports.iter().all(|report| report.outcome == Outcome::Answered));
}

#[test]
fn when_every_engine_fails_the_frame_is_reported_as_failed() {
    let looks = vec![FakeLook::boxed(MS(1), &Arc::default(), |_| Act::Fail)];
    let tally = run(
        engine_set(cascade(&[]), looks),
        vec![camera("a", true, frames(3, MS(0)))],
        Notes::default(),
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    assert_eq!(tally.listener.reports[0].outcome, Outcome::Failed);
    assert_eq!(
        tally.listener.reports[1].verdict.code,
        Code::NotAllowed,
        "set aside for the next frame"
    );
}

#[test]
fn no_camera_starves_beside_a_faster_one() {
    let looks = vec![FakeLook::boxed(MS(10), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let mut slow = camera("slow", false, frames(40, MS(20)));
    slow.tuning.deadline = MS(900);
    let mut fast = camera("fast", false, frames(400, MS(2)));
    fast.tuning.deadline = MS(100);
    let tally =
        run(engine_set(cascade(&[]), looks), vec![slow, fast], Notes::default(), &Stop::new());
    assert_every_frame_is_accounted_for(&tally);
    let answered =
        |name: &str| tally.listener.reports.iter().filter(|report| &*report.camera == name).count();
    assert!(answered("slow") >= 20, "{} of 40 frames of the slow camera", answered("slow"));
    assert!(answered("fast") >= 20, "{} of 400 frames of the fast camera", answered("fast"));
}

#[test]
fn an_unchanged_scene_gets_the_last_answer_and_a_changed_one_a_new_look() {
    let narrow = Some(Reuse { max_change: 0.02, max_age: Duration::from_secs(60) });
    let everything = Some(Reuse { max_change: 1.0, max_age: Duration::from_secs(60) });
    // The camera's own setting, that of the policy where the camera has none; of both the camera's.
    for (own, policys) in [(narrow, None), (None, narrow), (narrow, everything)] {
        let looked = Arc::new(AtomicU64::new(0));
        let looks = vec![FakeLook::boxed(MS(1), &looked, |number| Act::Answer(number as u32, 0.9))];
        let greys = [10, 10, 11, 10, 90, 90, 91, 10];
        let script = greys.iter().map(|grey| Shot::Frame(*grey, MS(0))).collect();
        let mut camera = camera("a", true, script);
        camera.tuning.reuse = own;
        let policy = cascade(&[]).with_reuse(policys);
        let tally = run(engine_set(policy, looks), vec![camera], Notes::default(), &Stop::new());
        let classes: Vec<_> = tally
            .listener
            .reports
            .iter()
            .map(|report| (report.outcome, report.attempts.answer.top[0].class))
            .collect();
        use Outcome::{Answered, Reused};
        assert_eq!(
            classes,
            [
                (Answered, 0),
                (Reused, 0),
                (Reused, 0),
                (Reused, 0),
                (Answered, 1),
                (Reused, 1),
                (Reused, 1),
                (Answered, 2)
            ]
        );
        assert_eq!(looked.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn a_slow_reader_loses_the_oldest_reports_and_they_are_counted() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let notes = Notes { dawdles: MS(150), ..Notes::default() };
    let tally = run(
        engine_set(cascade(&[]), looks),
        vec![camera("a", false, frames(100, MS(1)))],
        notes,
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    assert!(tally.cameras[0].2.get(DropReason::SinkFull) > 0, "{:?}", tally.cameras[0].2);
    assert_eq!(
        tally.listener.reports.last().map(|report| report.sequence),
        Some(99),
        "the newest survive"
    );
}

#[test]
fn a_lost_camera_is_opened_again_and_its_numbers_go_on() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let stop = Stop::new();
    let mut opened = 0;
    let mut lossy = camera("a", true, vec![]);
    lossy.live = true;
    lossy.tuning.stall_after = MS(10);
    lossy.opener = Box::new(move || {
        opened += 1;
        let end = match opened % 3 {
            0 => Shot::Fail,
            1 => Shot::Stall,
            _ => return Err(squint::source::SourceError::Ended { origin: "fake".into() }),
        };
        Ok(FakeSource::boxed([Shot::Frame(1, MS(0)), Shot::Frame(2, MS(0)), end]))
    });
    let notes = Notes { stop_after: Some((6, stop.clone())), ..Notes::default() };
    let tally = run(engine_set(cascade(&[]), looks), vec![lossy], notes, &stop);
    assert_every_frame_is_accounted_for(&tally);
    let numbers: Vec<_> =
        tally.listener.reports.iter().take(6).map(|report| report.sequence).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn unreadable_files_are_counted_and_the_rest_is_answered() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let script =
        vec![Shot::Unreadable, Shot::Frame(1, MS(0)), Shot::Unreadable, Shot::Frame(2, MS(0))];
    let tally = run(
        engine_set(cascade(&[]), looks),
        vec![camera("a", true, script)],
        Notes::default(),
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    assert_eq!(
        (
            tally.cameras[0].1,
            tally.cameras[0].2.get(DropReason::Unreadable),
            tally.listener.reports.len()
        ),
        (4, 2, 2)
    );
    assert_eq!(
        tally.listener.reports.iter().map(|report| report.sequence).collect::<Vec<_>>(),
        [1, 3]
    );
}

#[test]
fn a_finite_source_that_fails_ends_the_run_with_its_error() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let tally = run(
        engine_set(cascade(&[]), looks),
        vec![camera("a", true, vec![Shot::Fail])],
        Notes::default(),
        &Stop::new(),
    );
    assert!(tally.failure.is_some_and(|error| error.to_string().contains("told to fail")));
}

#[test]
fn told_to_stop_it_drains_and_accounts_for_every_frame() {
    for lossless in [true, false] {
        let looks = vec![
            FakeLook::boxed(MS(3), &Arc::default(), |_| Act::Answer(1, 0.3)),
            FakeLook::boxed(MS(8), &Arc::default(), |_| Act::Answer(1, 0.3)),
        ];
        let stop = Stop::new();
        let notes = Notes { stop_after: Some((7, stop.clone())), ..Notes::default() };
        let begun = Instant::now();
        let cameras = vec![
            camera("a", lossless, frames(100_000, MS(1))),
            camera("b", lossless, vec![Shot::Frame(1, MS(0)), Shot::Stall]),
        ];
        let tally = run(engine_set(cascade(&[0.6]), looks), cameras, notes, &stop);
        assert_every_frame_is_accounted_for(&tally);
        assert!(begun.elapsed() < SOON, "stopping takes {:?}", begun.elapsed());
        assert!(tally.listener.reports.len() >= 7);
    }
}

#[test]
fn an_engine_that_cannot_be_loaded_is_an_error_at_start() {
    let mut engine_set = engine_set(
        cascade(&[]),
        vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))],
    );
    engine_set.engines[0].1 = Box::new(|| {
        Err(EngineError::Model {
            id: "fake".into(),
            path: "a.onnx".into(),
            reason: "truncated".into(),
        })
    });
    let begun = pipeline::run_out(
        engine_set,
        vec![camera("a", true, frames(1, MS(0)))],
        Notes::default(),
        16,
        Arc::new(MachineClock),
        &Stop::new(),
        Instant::now(),
    );
    assert!(
        matches!(begun, Err(PipelineError::Engine(error)) if error.to_string().contains("a.onnx: truncated"))
    );
}

#[test]
fn a_camera_thread_that_panics_ends_the_run_in_good_order_and_with_an_error() {
    let looks = vec![FakeLook::boxed(MS(5), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let endless = camera("endless", true, frames(1_000_000, MS(1)));
    let fragile =
        camera("fragile", false, vec![Shot::Frame(1, MS(20)), Shot::Frame(2, MS(20)), Shot::Panic]);
    let (tally, broken) = run_out(
        engine_set(cascade(&[]), looks),
        vec![endless, fragile],
        Notes::default(),
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    assert!(matches!(broken, Some(PipelineError::Panicked { name }) if name == "squint-fragile"));
    assert!(tally.cameras[0].1 > 5, "the other one worked until then");
}

#[test]
fn a_listener_that_panics_ends_the_run_with_an_error() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let notes = Notes { panics: true, ..Notes::default() };
    let cameras = vec![
        camera("a", true, frames(1_000_000, MS(0))),
        camera("b", false, frames(1_000_000, MS(1))),
    ];
    let ended = pipeline::run_out(
        engine_set(cascade(&[]), looks),
        cameras,
        notes,
        16,
        Arc::new(MachineClock),
        &Stop::new(),
        Instant::now(),
    );
    assert!(matches!(ended.err(), Some(PipelineError::Panicked { name }) if name == "sink"));
}

/// An engine that does not come back from look number `.0` for a while that no stop waits for.
fn hangs(at: u64) -> Box<dyn Look> {
    FakeLook::boxed(MS(1), &Arc::default(), move |number| {
        if number == at {
            std::thread::sleep(SOON * 60);
        }
        Act::Answer(1, 0.9)
    })
}

#[test]
fn an_engine_that_hangs_does_not_hold_up_the_end_and_its_frame_is_counted() {
    let begun = Instant::now();
    let (tally, broken) = run_out(
        engine_set(cascade(&[]), vec![hangs(5)]),
        vec![camera("a", false, frames(40, MS(5)))],
        Notes::default(),
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    assert!(matches!(broken, Some(PipelineError::Hung { name, .. }) if name == "worker-0"));
    let reports = &tally.listener.reports;
    let failed: Vec<_> = reports
        .iter()
        .filter(|report| report.outcome == Outcome::Failed)
        .map(|report| report.sequence)
        .collect();
    assert_eq!(failed, [5], "the one that the engine has kept");
    assert!(reports.len() >= 5 && begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn while_one_engine_hangs_the_others_answer() {
    let looks = vec![hangs(5), FakeLook::boxed(MS(1), &Arc::default(), |_| Act::Answer(3, 0.9))];
    let (tally, _) = run_out(
        engine_set(cascade(&[0.6]), looks),
        vec![camera("a", false, frames(200, MS(5)))],
        Notes::default(),
        &Stop::new(),
    );
    assert_every_frame_is_accounted_for(&tally);
    let others = tally
        .listener
        .reports
        .iter()
        .filter(|report| report.attempts.answer.top[0].class == 3)
        .count();
    assert!(others > 50, "{others} of 200 frames");
}

#[test]
fn told_to_stop_a_reader_that_dawdles_is_not_waited_for_and_what_it_misses_is_counted() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let stop = Stop::new();
    let notes = Notes { dawdles: MS(800), stop_after: Some((2, stop.clone())), ..Notes::default() };
    let begun = Instant::now();
    let tally = run(
        engine_set(cascade(&[]), looks),
        vec![camera("a", false, frames(100_000, MS(1)))],
        notes,
        &stop,
    );
    assert_every_frame_is_accounted_for(&tally);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_clip_that_ends_by_itself_is_told_to_the_last_frame_however_slow_the_reader() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let notes = Notes { dawdles: MS(30), ..Notes::default() };
    let cameras =
        vec![camera("clip", true, frames(40, MS(0))), camera("live", false, frames(400, MS(2)))];
    let tally = run(engine_set(cascade(&[]), looks), cameras, notes, &Stop::new());
    assert_every_frame_is_accounted_for(&tally);
    assert_eq!(tally.cameras[0].2.total(), 0, "reports of a live camera go, not those of a clip");
    assert!(tally.cameras[1].2.get(DropReason::SinkFull) > 0);
}

#[test]
fn drops_of_displaced_reports_reach_the_next_record() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let notes = Notes { dawdles: MS(150), ..Notes::default() };
    let tally = run(
        engine_set(cascade(&[]), looks),
        vec![camera("a", false, frames(100, MS(1)))],
        notes,
        &Stop::new(),
    );
    let told: u64 = tally.listener.reports.iter().map(|report| report.drops.total()).sum();
    assert!(told > 0);
    assert_eq!(
        told,
        tally.cameras[0].2.total(),
        "each drop is told once: the last record is later than the last drop"
    );
}

#[test]
fn a_limit_on_frames_is_exact() {
    for lossless in [true, false] {
        let looks = vec![FakeLook::boxed(MS(4), &Arc::default(), |_| Act::Answer(1, 0.9))];
        let mut limited =
            camera("a", lossless, [vec![Shot::Unreadable], frames(100, MS(1))].concat());
        limited.frame_limit = Some(30);
        let tally =
            run(engine_set(cascade(&[]), looks), vec![limited], Notes::default(), &Stop::new());
        assert_every_frame_is_accounted_for(&tally);
        assert_eq!(tally.cameras[0].1, 30);
    }
}

#[test]
fn a_listener_with_nothing_to_hear_is_called_now_and_then_and_silent_cameras_are_not_ready() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let stop = Stop::new();
    let notes = Notes { stop_when_idle: Some(stop.clone()), ..Notes::default() };
    let mut silent = camera("silent", false, vec![Shot::Stall]);
    silent.tuning.stall_after = Duration::from_secs(60);
    let tally = run(
        engine_set(cascade(&[]), looks),
        vec![camera("a", true, frames(3, MS(0))), silent],
        notes,
        &stop,
    );
    assert_eq!((tally.listener.idle, tally.listener.reports.len(), tally.ready), (1, 3, None));
}

#[test]
fn told_to_stop_before_the_start_nothing_is_opened() {
    let looks = vec![FakeLook::boxed(MS(0), &Arc::default(), |_| Act::Answer(1, 0.9))];
    let mut closed = camera("a", false, vec![]);
    closed.opener = Box::new(|| panic!("it is opened"));
    let stop = Stop::new();
    stop.stop();
    let tally = run(engine_set(cascade(&[]), looks), vec![closed], Notes::default(), &stop);
    assert_eq!(tally.cameras[0].1, 0);
}
