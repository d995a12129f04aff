//! A state as text for Prometheus, format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). Pure.
//!
//! [`FAMILIES`] is the closed list of what there is; docs/reference/metrics.md is held against it
//! by a test. Times are histograms with fixed buckets, not summaries: rates and quantiles over any
//! span, and over several boxes, can be had from them, while a quantile since the start says
//! nothing after a month. The buckets are [`super::LIMITS`].

use std::fmt::{Display, Write};

use super::{Buckets, EngineState, LIMITS, State};
use crate::budget;
use crate::escape::needs_escape;
use crate::report::{DropReason, Outcome};
use crate::vocabulary::{CameraPhase, EngineHealth, Mode};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until Squint starts again.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times in buckets.
    Histogram,
}

impl Kind {
    /// As in a TYPE line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric with all its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, `le` left out.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// What the process costs, as /proc tells it; what cannot be read is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Resident memory, bytes.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// CPU time of all threads since the start, seconds.
    pub cpu_s: Option<f64>,
}

macro_rules! families {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal)*) => {
        $(const $constant: Family = Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        /// All metrics, in the order in which they are told.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD Gauge "squint_build_info" ["version"] "Always 1; the label is Squint's version."
    POLICY Gauge "squint_policy_info" ["policy", "kind"] "Always 1; the labels are the policy in force."
    START Gauge "squint_start_time_seconds" [] "When Squint started, seconds since 1970."
    READY Gauge "squint_ready" [] "1 once the first engine is warm and every camera delivers or is known to be retrying."
    HEALTHY Gauge "squint_healthy" [] "0 while something is wrong that Squint cannot mend by itself soon."
    DEGRADED Gauge "squint_degraded" [] "How many things work less well than they should; squint status names them."
    MODE Gauge "squint_mode" ["mode"] "1 for the mode in force, 0 for the others."
    RELOADS Counter "squint_reloads_total" ["outcome"] "Reloads that came into force (ok) or did not (refused)."
    UP Gauge "squint_camera_up" ["camera"] "1 while the camera delivers."
    LOSSES Counter "squint_camera_losses_total" ["camera"] "How often the camera was lost."
    OFFERED Counter "squint_frames_offered_total" ["camera"] "Frames the source offered."
    UNANSWERED Gauge "squint_camera_unanswered_seconds" ["camera"] "For how long no engine has looked at a frame of the camera that should have been; 0 while all is well."
    FRAMES Counter "squint_frames_total" ["camera", "outcome"] "Frames that came to an outcome."
    DROPPED Counter "squint_frames_dropped_total" ["camera", "reason"] "Frames given up before an outcome."
    LATE Counter "squint_frames_late_total" ["camera"] "Frames whose outcome came after their deadline."
    ESCALATED Counter "squint_frames_escalated_total" ["camera"] "Frames shown to a further engine because an answer was unsure."
    AGE Histogram "squint_frame_age_seconds" ["camera"] "From capture to outcome."
    STAGE Histogram "squint_stage_seconds" ["stage"] "Where the time of a frame goes, all cameras together."
    SENT Counter "squint_records_sent_total" ["sink"] "Records that the sink has taken."
    LOST Counter "squint_records_lost_total" ["sink"] "Records that the sink did not take, or that a reader of the socket missed."
    ENGINE_STATE Gauge "squint_engine_state" ["engine", "state"] "1 for the state the engine is in, 0 for the others."
    FIRST Counter "squint_engine_first_total" ["camera", "engine"] "Frames that the engine was shown before any other."
    RUNS Counter "squint_engine_runs_total" ["camera", "engine"] "Frames that the engine was shown."
    FAILURES Counter "squint_engine_failures_total" ["camera", "engine"] "Frames that the engine was shown and failed at."
    RUN Histogram "squint_engine_run_seconds" ["engine"] "Time of the engine's network where it answered."
    EXPECTED Gauge "squint_engine_expected_seconds" ["engine", "percentile"] "What a look of the engine is expected to take now: the 50th and the 95th percentile."
    ENERGY Gauge "squint_engine_energy_joules" ["engine"] "What a look of the engine is expected to need now, beyond what the board draws anyway."
    BUDGET_MODE Gauge "squint_budget_mode" ["mode"] "1 for the mode of the budget that holds, 0 for the others."
    HELD Gauge "squint_budget_held" ["because"] "1 for what holds the budget down, 0 for the others."
    INTERVAL Gauge "squint_budget_interval_seconds" [] "Least time between two frames of a camera that are looked at; 0: every frame."
    CHANGES Counter "squint_budget_changes_total" [] "How often the set of engines that may look has changed."
    UNREACHABLE Gauge "squint_budget_limits_unreachable" [] "Limits that cannot be kept even with the least; squint status names them."
    POWER Gauge "squint_board_power_watts" ["rail"] "What the rail reads."
    TEMPERATURE Gauge "squint_board_temperature_celsius" ["zone"] "What the thermal zone reads."
    CEILING Gauge "squint_board_ceiling_celsius" ["zone"] "The ceiling that the budget keeps the zone under."
    THROTTLING Gauge "squint_board_throttling" [] "1 while the board slows itself down."
    OVER_CURRENT Counter "squint_board_over_current_events_total" [] "Over-current events."
    GPU_CLOCK Gauge "squint_board_gpu_clock_hertz" [] "Clock of the GPU."
    GPU_LOAD Gauge "squint_board_gpu_load_ratio" [] "Share of the time of the GPU that is used by everybody, 0 to 1."
    DOUBTED Gauge "squint_sensors_doubted" [] "Sensors that are left out; squint status names them."
    SAMPLES Counter "squint_telemetry_samples_total" [] "How often the board was read."
    TELEMETRY_CPU Counter "squint_telemetry_cpu_seconds_total" [] "CPU time that reading the board has cost."
    OVERDUE Gauge "squint_thread_overdue" ["thread"] "1 while the thread takes longer than it may at what it does."
    MEMORY Gauge "process_resident_memory_bytes" [] "Resident memory."
    DESCRIPTORS Gauge "process_open_fds" [] "Open file descriptors."
    THREADS Gauge "process_threads" [] "Threads."
    CPU Counter "process_cpu_seconds_total" [] "CPU time of all threads."
}

/// The metrics of a state.
pub fn render(state: &State, process: &Process) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    about_squint(&mut page, state);
    about_frames(&mut page, state);
    about_engines(&mut page, state);
    about_budget(&mut page, state);
    about_board(&mut page, state);
    page.family(&OVERDUE);
    for thread in &state.threads {
        page.sample(&OVERDUE, &[&thread.name], u8::from(thread.overdue));
    }
    page.single(&MEMORY, process.resident_bytes);
    page.single(&DESCRIPTORS, process.open_fds);
    page.single(&THREADS, process.threads);
    page.single(&CPU, process.cpu_s);
    page.0
}

fn about_squint(page: &mut Page, state: &State) {
    page.family(&BUILD);
    page.sample(&BUILD, &[&state.version], 1);
    page.family(&POLICY);
    page.sample(&POLICY, &[&state.policy.name, &state.policy.kind], 1);
    page.single(&START, Some(state.start_time_s));
    page.single(&READY, Some(u8::from(state.ready)));
    page.single(&HEALTHY, Some(u8::from(state.healthy)));
    page.single(&DEGRADED, Some(state.degraded.len()));
    page.family(&MODE);
    for mode in Mode::ALL {
        page.sample(&MODE, &[mode.name()], u8::from(*mode == state.mode));
    }
    page.family(&RELOADS);
    page.sample(&RELOADS, &["ok"], state.reload.count.saturating_sub(state.reload.failed));
    page.sample(&RELOADS, &["refused"], state.reload.failed);
}

fn about_frames(page: &mut Page, state: &State) {
    let mut by_camera = |family: &Family, value: fn(&super::CameraState) -> u64| {
        page.family(family);
        for camera in &state.cameras {
            page.sample(family, &[&camera.name], value(camera));
        }
    };
    by_camera(&UP, |camera| u64::from(camera.state == CameraPhase::Delivering));
    by_camera(&LOSSES, |camera| camera.losses);
    by_camera(&OFFERED, |camera| camera.offered);
    page.family(&UNANSWERED);
    for camera in &state.cameras {
        page.sample(&UNANSWERED, &[&camera.name], camera.unanswered_s);
    }
    let counts = &state.counted.cameras;
    page.family(&FRAMES);
    for count in counts {
        for outcome in Outcome::ALL {
            page.sample(&FRAMES, &[&count.name, outcome.name()], count.of(outcome));
        }
    }
    page.family(&DROPPED);
    for camera in &state.cameras {
        for why in DropReason::ALL {
            page.sample(&DROPPED, &[&camera.name, why.name()], camera.drops.get(why));
        }
    }
    page.family(&LATE);
    counts.iter().for_each(|count| page.sample(&LATE, &[&count.name], count.late));
    page.family(&ESCALATED);
    counts.iter().for_each(|count| page.sample(&ESCALATED, &[&count.name], count.escalated));
    page.family(&AGE);
    counts.iter().for_each(|count| page.histogram(&AGE, &count.name, &count.age));
    page.family(&SENT);
    state.sinks.iter().for_each(|sink| page.sample(&SENT, &[&sink.name], sink.sent));
    page.family(&LOST);
    state.sinks.iter().for_each(|sink| page.sample(&LOST, &[&sink.name], sink.lost));
    page.family(&STAGE);
    // the age is told by camera
    for (stage, times) in
        state.counted.stages.iter().filter(|(stage, _)| *stage != super::Stage::Age.name())
    {
        page.histogram(&STAGE, stage, times);
    }
}

fn about_engines(page: &mut Page, state: &State) {
    page.family(&ENGINE_STATE);
    for engine in &state.engines {
        for health in EngineHealth::ALL {
            page.sample(
                &ENGINE_STATE,
                &[&engine.id, health.name()],
                u8::from(*health == engine.state),
            );
        }
    }
    let mut by_both = |family: &Family, value: fn(&super::Looks) -> u64| {
        page.family(family);
        for count in &state.counted.cameras {
            for looks in &count.engines {
                page.sample(family, &[&count.name, &looks.id], value(looks));
            }
        }
    };
    by_both(&FIRST, |looks| looks.first);
    by_both(&RUNS, |looks| looks.runs);
    by_both(&FAILURES, |looks| looks.failed);
    page.family(&RUN);
    state.counted.engines.iter().for_each(|engine| page.histogram(&RUN, &engine.id, &engine.run));
}

fn about_budget(page: &mut Page, state: &State) {
    let times = |engine: &EngineState| [("50", engine.p50_ms), ("95", engine.p95_ms)];
    if state.engines.iter().flat_map(times).any(|(_, ms)| ms.is_some()) {
        page.family(&EXPECTED);
    }
    for engine in &state.engines {
        for (percentile, ms) in times(engine) {
            ms.iter().for_each(|ms| page.sample(&EXPECTED, &[&engine.id, percentile], ms / 1000.0));
        }
    }
    page.named(
        &ENERGY,
        state
            .engines
            .iter()
            .map(|engine| (engine.id.as_str(), engine.energy_mj.map(|mj| mj / 1000.0))),
    );
    let Some(budget) = &state.budget else { return };
    page.named(
        &BUDGET_MODE,
        budget::Mode::ALL
            .iter()
            .map(|mode| (mode.name(), Some(u8::from(mode.name() == budget.mode)))),
    );
    page.named(
        &HELD,
        budget::Why::ALL
            .iter()
            .map(|why| (why.name(), Some(u8::from(why.name() == budget.because)))),
    );
    page.single(&INTERVAL, Some(budget.interval_s));
    page.single(&CHANGES, Some(budget.changes));
    page.single(&UNREACHABLE, Some(budget.unreachable.len()));
}

/// What is unknown has no line.
fn about_board(page: &mut Page, state: &State) {
    let Some(board) = &state.board else { return };
    page.named(
        &POWER,
        board
            .rails
            .iter()
            .map(|rail| (rail.name.as_str(), rail.mw.map(|mw| f64::from(mw) / 1000.0))),
    );
    page.named(&TEMPERATURE, board.zones.iter().map(|zone| (zone.name.as_str(), zone.celsius)));
    page.named(&CEILING, board.zones.iter().map(|zone| (zone.name.as_str(), zone.ceiling)));
    page.single(&THROTTLING, board.throttling.map(u8::from));
    page.single(&OVER_CURRENT, board.over_current);
    page.single(&GPU_CLOCK, board.gpu_clock_mhz.map(|mhz| f64::from(mhz) * 1e6));
    page.single(&GPU_LOAD, board.gpu_load);
    page.single(&DOUBTED, Some(board.doubts.len()));
    page.single(&SAMPLES, Some(board.samples));
    page.single(&TELEMETRY_CPU, Some(board.sampling_cpu_s));
}

/// The text so far.
struct Page(String);

impl Page {
    fn family(&mut self, family: &Family) {
        let Family { name, kind, help, .. } = family;
        let kind = kind.name();
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A family without labels; not told at all if there is no value.
    fn single(&mut self, family: &Family, value: Option<impl Display>) {
        if let Some(value) = value {
            self.family(family);
            self.sample(family, &[], value);
        }
    }

    /// A family with one label; not told at all if there is no value. Of two of one name, which a
    /// scraper would refuse, the first is told.
    fn named<'a>(
        &mut self,
        family: &Family,
        values: impl Iterator<Item = (&'a str, Option<impl Display>)>,
    ) {
        let mut told: Vec<&str> = Vec::new();
        for (name, value) in values {
            let Some(value) = value.filter(|_| !told.contains(&name)) else { continue };
            if told.is_empty() {
                self.family(family);
            }
            self.sample(family, &[name], value);
            told.push(name);
        }
    }

    fn sample(&mut self, family: &Family, values: &[&str], value: impl Display) {
        self.line(family, "", values, None, value);
    }

    fn histogram(&mut self, family: &Family, value: &str, times: &Buckets) {
        for (limit, at_most) in LIMITS.iter().zip(times.at_most) {
            let limit = limit.as_secs_f64();
            self.line(family, "_bucket", &[value], Some(&limit), at_most);
        }
        self.line(family, "_bucket", &[value], Some(&"+Inf"), times.count);
        self.line(family, "_sum", &[value], None, times.sum.as_secs_f64());
        self.line(family, "_count", &[value], None, times.count);
    }

    fn line(
        &mut self,
        family: &Family,
        suffix: &str,
        values: &[&str],
        limit: Option<&dyn Display>,
        value: impl Display,
    ) {
        debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
        self.put(format_args!("{}{suffix}", family.name));
        let mut open = '{';
        for (label, value) in family.labels.iter().zip(values) {
            self.put(format_args!("{open}{label}=\""));
            self.escaped(value);
            self.0.push('"');
            open = ',';
        }
        if let Some(limit) = limit {
            self.put(format_args!("{open}le=\"{limit}\""));
            open = ',';
        }
        if open == ',' {
            self.0.push('}');
        }
        self.put(format_args!(" {value}\n"));
    }

    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c if needs_escape(c) => self.put(format_args!("\\\\u{{{:x}}}", u32::from(c))),
                c => self.0.push(c),
            }
        }
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BoardState, CameraState, RailState};
    use super::*;

    #[test]
    fn names_of_the_users_cannot_break_a_line() {
        let camera = CameraState { name: "a\"b\\c\nd".into(), losses: 3, ..CameraState::default() };
        let text =
            render(&State { cameras: vec![camera], ..State::default() }, &Process::default());
        assert!(
            text.contains("\nsquint_camera_losses_total{camera=\"a\\\"b\\\\c\\nd\"} 3\n"),
            "{text}"
        );
    }

    #[test]
    fn what_could_steer_the_terminal_of_whoever_reads_it_is_escaped_in_labels_too() {
        let camera =
            CameraState { name: "a\u{1b}[31m\u{9b}\u{202e}\rb".into(), ..CameraState::default() };
        let text =
            render(&State { cameras: vec![camera], ..State::default() }, &Process::default());
        assert!(text.contains(r#"{camera="a\\u{1b}[31m\\u{9b}\\u{202e}\\u{d}b"}"#), "{text}");
    }

    #[test]
    fn what_the_board_does_not_tell_is_missing_and_a_name_comes_once() {
        let rail = |name: &str, mw| RailState { name: name.into(), mw, total: false };
        let rails =
            vec![rail("VDD_IN", Some(6480.0)), rail("VDD_CPU", None), rail("VDD_IN", Some(1.0))];
        let board = BoardState { rails, throttling: None, ..BoardState::default() };
        let text = render(&State { board: Some(board), ..State::default() }, &Process::default());
        let told: Vec<_> = text.lines().filter(|line| line.starts_with("squint_board")).collect();
        assert_eq!(told, ["squint_board_power_watts{rail=\"VDD_IN\"} 6.48"], "{text}");
        assert!(!text.contains("squint_budget") && !text.contains("squint_engine_energy"));
    }

    #[test]
    fn what_the_process_does_not_tell_is_missing_not_zero() {
        let process = Process { threads: Some(9), cpu_s: Some(0.25), ..Process::default() };
        let text = render(&State::default(), &process);
        assert!(
            text.contains("\nprocess_threads 9\n")
                && text.contains("\nprocess_cpu_seconds_total 0.25\n")
        );
        assert!(!text.contains("process_open_fds"));
    }
}
