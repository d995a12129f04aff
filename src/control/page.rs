//! The status as a page for people: 80 columns, problems in plain words, colours only on a terminal
//! that wants them. Pure.

mod board;

use std::fmt::{Display, Write};

use crate::escape::Escaped;
use crate::observe::{CameraState, Count, EngineCount, EngineState, State};
use crate::report::{DropReason, Outcome};
use crate::vocabulary::{CameraPhase, EngineHealth, Mode};

/// Columns of a terminal at the least.
const WIDTH: usize = 80;
/// Columns of a name; longer ones are cut.
const NAME: usize = 22;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// The page, several lines. `colour`: escape sequences are welcome.
pub fn page(state: &State, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    page.head(state);
    page.frames(state);
    page.budget(state);
    page.board(state);
    page.cameras(state);
    page.engines(state);
    page.trouble(state);
    page.reload(state);
    page.text
}

/// The same in one line, for a log or a pipe: when it is asked again and again.
pub fn line(state: &State) -> String {
    let all = &state.counted.all;
    let delivering =
        state.cameras.iter().filter(|camera| camera.state == CameraPhase::Delivering).count();
    let mut line = format!(
        "{} {}, {}, mode {}, policy {}, {delivering} of {} cameras deliver, {} fps, p95 {} ms, {} dropped",
        state.phase.name(),
        human(state.uptime_s),
        if state.ready { "ready" } else { "not ready" },
        state.mode.name(),
        Escaped(&state.policy.name),
        state.cameras.len(),
        rate(all.fps_10s),
        all.age_us.map_or("-".into(), |age| millis(age.p95)),
        state.cameras.iter().map(|camera| camera.drops.total()).sum::<u64>(),
    );
    line.push_str(&board::brief(state));
    for complaint in wrong(state) {
        let _ = write!(line, "; {}", Escaped(&complaint));
    }
    line
}

/// All that is wrong now, the worst first.
fn wrong(state: &State) -> Vec<String> {
    let overdue = state.threads.iter().filter(|thread| thread.overdue);
    let overdue = overdue.map(|thread| {
        format!("thread {} hangs: {} for {}", thread.name, thread.doing, human(thread.since_s))
    });
    state.complaints.iter().cloned().chain(overdue).chain(state.degraded.iter().cloned()).collect()
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn put(&mut self, text: impl Display) {
        write!(self.text, "{text}").expect("a String takes everything");
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour && !colour.is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn head(&mut self, state: &State) {
        let ready =
            if state.ready { self.paint(GREEN, "ready") } else { self.paint(YELLOW, "not ready") };
        let healthy =
            if state.healthy { self.paint(GREEN, "healthy") } else { self.paint(RED, "unhealthy") };
        let phase = state.phase.name();
        let name = self.paint(BOLD, &format!("squint {}", Escaped(&state.version)));
        self.put(format_args!(
            "{name}   {phase} for {}, {ready}, {healthy}, pid {}\n",
            human(state.uptime_s),
            state.pid
        ));
        let mode =
            self.paint(if state.mode == Mode::Auto { "" } else { YELLOW }, state.mode.name());
        let (policy, kind, level) =
            (Escaped(&state.policy.name), Escaped(&state.policy.kind), Escaped(&state.log_level));
        self.put(format_args!("mode {mode}, policy {policy} ({kind}), log level {level}\n"));
    }

    fn frames(&mut self, state: &State) {
        let all = &state.counted.all;
        let share = |outcome| percent(all.of(outcome), all.settled());
        let shares: Vec<_> = Outcome::ALL
            .iter()
            .map(|outcome| format!("{} {}", outcome.name(), share(*outcome)))
            .collect();
        self.put(format_args!("{} frames: {}\n", all.settled(), shares.join(", ")));
        let (ten, sixty) = (rate(all.fps_10s), rate(all.fps_60s));
        let age = all.age_us.map_or(String::new(), |age| {
            let [p50, p95, p99] = [age.p50, age.p95, age.p99].map(millis);
            format!("; age p50 {p50}, p95 {p95}, p99 {p99} ms")
        });
        self.put(format_args!("{ten} frames/s over 10 s, {sixty} over 60 s{age}\n"));
    }

    fn cameras(&mut self, state: &State) {
        let title = format!(
            "{:<NAME$} {:<10} {:>8} {:>6} {:>10} {:>9} {:>6}",
            "camera", "state", "for", "fps", "offered", "dropped", "lost"
        );
        let title = self.paint(BOLD, &title);
        self.put(format_args!("\n{title}\n"));
        for camera in &state.cameras {
            let count = state.counted.cameras.iter().find(|count| count.name == camera.name);
            self.camera(camera, count);
        }
    }

    fn camera(&mut self, camera: &CameraState, count: Option<&Count>) {
        let colour = match camera.state {
            CameraPhase::Delivering => GREEN,
            CameraPhase::Opening | CameraPhase::Ended => DIM,
            CameraPhase::Retrying | CameraPhase::Refused => RED,
        };
        let word = self.paint(colour, &format!("{:<10}", camera.state.name()));
        let fps = rate(count.and_then(|count| count.fps_10s));
        let dropped = camera.drops.total();
        self.put(format_args!(
            "{:<NAME$} {word} {:>8} {fps:>6} {:>10} {:>9} {:>6}\n",
            name(&camera.name),
            human(camera.since_s),
            camera.offered,
            dropped,
            camera.losses,
        ));
        let mut more = Vec::new();
        if let Some(next) = camera
            .next_try_s
            .filter(|_| matches!(camera.state, CameraPhase::Retrying | CameraPhase::Refused))
        {
            more.push(format!("next try in {}", human(next)));
        }
        let reasons = DropReason::ALL.into_iter().filter(|why| camera.drops.get(*why) > 0);
        let reasons: Vec<_> =
            reasons.map(|why| format!("{} {}", why.name(), camera.drops.get(why))).collect();
        if !reasons.is_empty() {
            more.push(format!(
                "dropped {}: {}",
                percent(dropped, camera.offered),
                reasons.join(", ")
            ));
        }
        if !more.is_empty() {
            self.indented("  ", &more.join("; "), DIM);
        }
    }

    fn engines(&mut self, state: &State) {
        let title = format!(
            "{:<NAME$} {:<8} {:>8} {:>6} {:>6} {:>7} {:>7} {:>7}",
            "engine", "state", "for", "first", "looks", "p50 ms", "p95 ms", "failed"
        );
        let title = self.paint(BOLD, &title);
        self.put(format_args!("\n{title}\n"));
        for engine in &state.engines {
            let count = state.counted.engines.iter().find(|count| count.id == engine.id);
            self.engine(engine, count);
        }
    }

    fn engine(&mut self, engine: &EngineState, count: Option<&EngineCount>) {
        let colour = match engine.state {
            EngineHealth::Ready => GREEN,
            EngineHealth::Aside => YELLOW,
            EngineHealth::Stuck | EngineHealth::Unusable => RED,
        };
        let word = self.paint(colour, &format!("{:<8}", engine.state.name()));
        let share = |share: Option<f64>| {
            share.map_or("-".into(), |share| format!("{:.0} %", share * 100.0))
        };
        let run = count.and_then(|count| count.run_us);
        let [p50, p95] = [run.map(|run| run.p50), run.map(|run| run.p95)]
            .map(|time| time.map_or("-".into(), millis));
        self.put(format_args!(
            "{:<NAME$} {word} {:>8} {:>6} {:>6} {p50:>7} {p95:>7} {:>7}\n",
            name(&engine.id),
            human(engine.since_s),
            share(count.and_then(|count| count.first_share)),
            share(count.and_then(|count| count.run_share)),
            engine.failures,
        ));
        if let Some(cost) = board::cost(engine) {
            self.indented("  ", &cost, DIM);
        }
    }

    fn trouble(&mut self, state: &State) {
        let wrong = wrong(state);
        let colour = if state.healthy { YELLOW } else { RED };
        match wrong.is_empty() {
            true => self.put("\nnothing is wrong\n"),
            false => {
                let title = self.paint(colour, "wrong now");
                self.put(format_args!("\n{title}\n"));
                wrong.iter().for_each(|sentence| self.indented("- ", sentence, ""));
            }
        }
    }

    fn reload(&mut self, state: &State) {
        let Some(last) = &state.reload.last else {
            return self.put("no reload since the start\n");
        };
        let word = if last.ok { self.paint(GREEN, "in force") } else { self.paint(RED, "refused") };
        let (count, failed) = (state.reload.count, state.reload.failed);
        self.put(format_args!(
            "last reload {}, {word} ({count} in all, {failed} refused)\n",
            Escaped(&last.at)
        ));
        self.indented("  ", &last.message, "");
    }

    /// A sentence broken into lines of [`WIDTH`], the first with `mark` before it.
    fn indented(&mut self, mark: &str, sentence: &str, colour: &str) {
        let room = WIDTH - mark.len().max(2);
        let escaped = Escaped(sentence).to_string();
        let mut lines = vec![String::new()];
        for word in escaped.split(' ') {
            let line = lines.last_mut().expect("begun with one");
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                lines.push(word.to_owned());
                continue;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        for (at, line) in lines.iter().enumerate() {
            let line = self.paint(colour, line);
            let before = if at == 0 { mark } else { "  " };
            self.put(format_args!("{before}{line}\n"));
        }
    }
}

fn name(name: &str) -> String {
    let name = Escaped(name).to_string();
    if name.chars().count() <= NAME {
        return name;
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.1} %", part as f64 / whole as f64 * 100.0) }
}

fn rate(fps: Option<f64>) -> String {
    fps.map_or("-".into(), |fps| format!("{fps:.1}"))
}

fn millis(micros: u64) -> String {
    format!("{:.1}", micros as f64 / 1000.0)
}

/// `7 s`, `3m 20s`, `4h 12m`, `31d 4h`.
fn human(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let told = [0.4, 59.9, 200.0, 15_120.0, 2_692_800.0, -1.0].map(human);
        assert_eq!(told, ["0 s", "59 s", "3m 20s", "4h 12m", "31d 4h", "0 s"]);
    }
}
