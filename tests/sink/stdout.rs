//! Standard output for programs and for people, and the publisher that feeds all sinks.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::reports;
use squint::config::{Output, OutputFile, Stdout};
use squint::observe::{Counters, Facts, Summary};
use squint::policy::Code;
use squint::report::{DropReason, Report};
use squint::sink::{
    Opening, Published, Publisher, Sink, SinkError, StdoutJson, Style, Text, table,
};

/// Keeps what is written, or fails as told.
#[derive(Clone, Default)]
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    error: Arc<Mutex<Option<io::ErrorKind>>>,
}

impl Pipe {
    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }

    fn fail(&self, error: Option<io::ErrorKind>) {
        *self.error.lock().unwrap() = error;
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match *self.error.lock().unwrap() {
            Some(kind) => Err(kind.into()),
            None => self.bytes.lock().unwrap().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn summary() -> Summary {
    let mut counters = Counters::new(&["bikes".into()], &reports::engines());
    reports::every_kind().iter().for_each(|report| counters.note(report));
    counters.note_drop(0, DropReason::Superseded, 2);
    let (version, policy) = ("0.1.0".into(), "accurate".into());
    counters.summary(&Facts {
        version,
        policy,
        duration: Duration::from_millis(2500),
        rss_mb: Some(182.0),
        ..Facts::default()
    })
}

fn lines(style: Style, reports: &[Report]) -> String {
    let pipe = Pipe::default();
    let mut text = Text::new(pipe.clone(), style);
    reports.iter().for_each(|report| text.write(report, Instant::now()).unwrap());
    pipe.text()
}

#[test]
fn live_records_are_handed_on_at_once_and_others_ten_times_a_second() {
    let (pipe, start) = (Pipe::default(), Instant::now());
    let mut live = StdoutJson::new(pipe.clone(), true);
    live.write(b"1\n", start).unwrap();
    live.write(b"2\n", start).unwrap();
    assert_eq!(pipe.text(), "1\n2\n");

    let pipe = Pipe::default();
    let mut fast = StdoutJson::new(pipe.clone(), false);
    for (millis, seen) in
        [(0, "0\n"), (1, "0\n"), (99, "0\n"), (100, "0\n1\n99\n100\n"), (150, "0\n1\n99\n100\n")]
    {
        fast.write(format!("{millis}\n").as_bytes(), start + Duration::from_millis(millis))
            .unwrap();
        assert_eq!(pipe.text(), seen, "after {millis} ms");
    }
    fast.flush().unwrap();
    assert!(pipe.text().ends_with("150\n"));
}

#[test]
fn a_reader_of_standard_output_that_goes_away_is_a_wish_to_stop() {
    let pipe = Pipe::default();
    pipe.fail(Some(io::ErrorKind::BrokenPipe));
    assert!(
        StdoutJson::new(pipe.clone(), true).write(b"1\n", Instant::now()).unwrap_err().is_closed()
    );
    let mut text = Text::new(pipe.clone(), Style::default());
    assert!(text.write(&reports::answered(), Instant::now()).unwrap_err().is_closed());
    pipe.fail(Some(io::ErrorKind::StorageFull));
    assert!(!text.write(&reports::answered(), Instant::now()).unwrap_err().is_closed());
}

#[test]
fn people_read_what_was_seen_by_whom_how_fast_and_why() {
    let expected = "\
bikes  #   42  mountain bike 0.83            lite0-160 → lite2-260    12.4 ms  (unsure 0.41<0.62 → sure 0.83≥0.62)  −2 superseded
bikes  #   42  = mountain bike 0.83                                    1.1 ms  (unchanged 0.01<0.05)
bikes  #   42  img_0042.jpg  no answer                     lite0-160                12.4 ms  (out-of-time 12<31 ms)
bikes  #   42                failed                        lite0-160✗ → lite2-260✗    12.4 ms  (engine-failed → engine-failed)
";
    assert_eq!(lines(Style::default(), &reports::every_kind()), expected);
}

#[test]
fn names_are_cut_to_their_column_and_cannot_steer_the_terminal() {
    let mut report = reports::answered();
    report.camera = "\u{1b}[2J\u{202e}camera with a very long name".into();
    report.labels = reports::labels(&["x", "bell \u{7} and much more text than fits"]);
    let line = lines(Style { colour: true, ..Style::default() }, &[report]);
    assert!(line.starts_with(r"\u{1b}[2J\u{202…  "), "{line}");
    assert!(line.contains(r"bell \u{7} and much mo… 0.83"), "{line}");
    assert!(!line.contains('\u{7}') && !line.contains("\u{1b}[2J"));
}

#[test]
fn colours_come_only_when_asked_for() {
    assert!(
        lines(Style { colour: true, ..Style::default() }, &reports::every_kind())
            .contains("\u{1b}[32m")
    );
    assert!(!lines(Style::default(), &reports::every_kind()).contains('\u{1b}'));
    let plain = table(&summary(), Style::default());
    assert!(!plain.contains('\u{1b}') && plain.lines().all(|line| line == line.trim_end()));
    let coloured = table(&summary(), Style { colour: true, ..Style::default() });
    assert!(coloured.contains("\u{1b}[31m"), "failures are red");
}

#[test]
fn a_line_names_the_engine_that_the_budget_withheld_and_why() {
    let line = lines(Style::default(), &[reports::held()]);
    assert!(
        line.contains("(budget 6480.0/6000.0 → sure 0.83≥0.62)  no lite2-260: power\n"),
        "{line}"
    );
    assert!(!lines(Style::default(), &reports::every_kind()).contains("  no lite"));
}

#[test]
fn the_status_line_renews_itself_on_a_terminal_only() {
    let (pipe, start) = (Pipe::default(), Instant::now());
    let style = Style { terminal: true, colour: false, total: Some(100) };
    let mut text = Text::new(pipe.clone(), style);
    for number in 0..=20 {
        text.write(&reports::reused(), start + Duration::from_millis(100 * number)).unwrap();
    }
    text.finish().unwrap();
    let shown = pipe.text();
    assert_eq!(
        shown.matches("\r\u{1b}[2K").count(),
        22,
        "erased before each line and before the table"
    );
    assert!(shown.contains(" 21 %  21 of 100  10.0 fps  0:07 left\r"), "{shown}");
    assert!(!lines(Style::default(), &reports::every_kind()).contains('\r'));
}

#[test]
fn the_table_at_the_end_tells_the_whole_run() {
    let shown = table(&summary(), Style::default());
    for part in [
        "6 frames in 2.5 s, 1.6 fps, 182 MB   policy accurate, squint 0.1.0",
        "  answered         1   16.7 %  ███▍",
        "  dropped          2   33.3 %  ██████▋               2 superseded",
        "  lite0-160        3   75.0 %  ███████████████         2.3 ms    2.3 ms  1 failed",
        "  escalated        1   25.0 %",
        "  age           12.4 ms   12.4 ms   12.4 ms   12.4 ms",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let empty = table(&Counters::new(&[], &[]).summary(&Facts::default()), Style::default());
    assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
}

type Failing = Option<fn() -> SinkError>;

/// A sink that fails as told and counts its calls.
struct Fake {
    wants_json: bool,
    error: Arc<Mutex<Failing>>,
    calls: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Sink for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn wants_json(&self) -> bool {
        self.wants_json
    }

    fn publish(&mut self, _report: &Report, json: &[u8]) -> Result<(), SinkError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        *self.seen.lock().unwrap() = json.to_vec();
        self.error.lock().unwrap().map_or(Ok(()), |error| Err(error()))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn fake(error: Failing) -> Fake {
    Fake {
        wants_json: true,
        error: Arc::new(Mutex::new(error)),
        calls: Arc::default(),
        seen: Arc::default(),
    }
}

#[test]
fn a_failing_sink_is_counted_and_keeps_nothing_from_the_others() {
    let (broken, whole) = (fake(Some(|| SinkError::Pausing { what: "fake" })), fake(None));
    let (error, calls) = (broken.error.clone(), whole.calls.clone());
    let mut publisher = Publisher::with(vec![Box::new(broken), Box::new(whole)], false);
    (0..3).for_each(|_| publisher.publish(&reports::answered()).unwrap());
    *error.lock().unwrap() = None;
    publisher.publish(&reports::answered()).unwrap();
    let counted: Vec<_> = publisher.published().map(|(_, published)| published).collect();
    assert_eq!(counted, [Published { delivered: 1, lost: 3 }, Published { delivered: 4, lost: 0 }]);
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[test]
fn a_closed_sink_asks_for_the_end_and_is_not_asked_again() {
    let (closed, whole) = (fake(Some(|| SinkError::Closed)), fake(None));
    let (asked, others) = (closed.calls.clone(), whole.calls.clone());
    let mut publisher = Publisher::with(vec![Box::new(closed), Box::new(whole)], false);
    (0..2).for_each(|_| assert!(publisher.publish(&reports::answered()).unwrap_err().is_closed()));
    assert_eq!((asked.load(Ordering::Relaxed), others.load(Ordering::Relaxed)), (1, 2));
}

#[test]
fn a_record_is_rendered_only_for_sinks_that_want_it_and_with_features_only_if_asked() {
    let text = Fake { wants_json: false, ..fake(None) };
    let seen = text.seen.clone();
    Publisher::with(vec![Box::new(text)], true).publish(&reports::answered()).unwrap();
    assert!(seen.lock().unwrap().is_empty());
    for features in [false, true] {
        let sink = fake(None);
        let seen = sink.seen.clone();
        Publisher::with(vec![Box::new(sink)], features).publish(&reports::answered()).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&seen.lock().unwrap()).unwrap();
        assert_eq!(record.get("features_values").is_some(), features);
    }
}

#[test]
fn the_configured_sinks_are_opened_and_the_first_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        OutputFile { path: folder.path().join("records.jsonl"), max_bytes: 1 << 20, keep: 1 };
    let socket = folder.path().join("squint.sock");
    let mut output = Output {
        stdout: Stdout::None,
        features: false,
        summary: true,
        file: Some(file.clone()),
        socket: Some(socket.clone()),
        queue: 8,
    };
    let mut publisher = Publisher::open(&output, &Opening::default()).unwrap();
    publisher.publish(&reports::answered()).unwrap();
    publisher.finish().unwrap();
    assert_eq!(publisher.published().map(|(name, _)| name).collect::<Vec<_>>(), ["socket", "file"]);
    assert_eq!(std::fs::read_to_string(&file.path).unwrap().lines().count(), 1);
    drop(publisher);
    output.file = Some(OutputFile { path: folder.path().into(), ..file });
    assert!(matches!(
        Publisher::open(&output, &Opening::default()),
        Err(SinkError::NotAFile { .. })
    ));
    assert!(!socket.exists(), "what was opened before is closed again");
}

#[test]
fn nothing_but_the_figures_of_a_reason_is_told() {
    let mut report = reports::answered();
    report.attempts.steps.truncate(1);
    report.attempts.steps[0].why = reports::why(Code::Fixed, None, None);
    report.verdict = reports::why(Code::Last, Some(0.33), None);
    assert!(lines(Style::default(), &[report]).contains("  (last 0.33)"));
}
