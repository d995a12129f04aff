//! The metrics: docs/reference/metrics.md against the list in code, the text against promtool, and
//! a real scrape by a real Prometheus.
//!
//! `UPDATE_GOLDEN=1 cargo test --test control metrics` rewrites the table of
//! docs/reference/metrics.md. The last two need Debian's package prometheus and are skipped without
//! it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::page;
use crate::common::skip_without;
use crate::common::steering;
use crate::common::steering::Fake;
use squint::config::Control;
use squint::control::Server;
use squint::observe::LIMITS;
use squint::observe::metrics::{self, FAMILIES, Kind, Process};
use squint::pipeline::clock::Stop;

const PROCESS: Process = Process {
    resident_bytes: Some(50_000_000),
    open_fds: Some(31),
    threads: Some(14),
    cpu_s: Some(12.5),
};

fn text() -> String {
    metrics::render(&steering::state(), &PROCESS)
}

fn table() -> String {
    let mut table = "\n| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels, help) =
            (family.name, family.kind.name(), labels.join(", "), family.help);
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    table.push('\n');
    table
}

#[test]
fn the_page_tells_every_metric_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, told, after) = page::parts(&page, "table");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{}{after}", table())).unwrap();
        return;
    }
    assert_eq!(
        told,
        table(),
        "docs/reference/metrics.md is behind; UPDATE_GOLDEN=1 rewrites the table"
    );
    // what the prose names is there, too
    let known = |word: &str| {
        FAMILIES.iter().any(|family| word.strip_prefix(family.name).is_some_and(is_end))
    };
    let prose = format!("{before}{after}");
    let words = prose
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("squint_"));
    let unknown: Vec<_> = words.filter(|word| !known(word)).collect();
    assert!(
        unknown.is_empty(),
        "docs/reference/metrics.md tells of {unknown:?}, which no code knows"
    );
}

fn is_end(rest: &str) -> bool {
    ["", "_bucket", "_sum", "_count"].contains(&rest)
}

#[test]
fn every_metric_of_the_list_is_told_with_its_labels_and_no_other() {
    let text = text();
    let mut told = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family =
            FAMILIES.iter().find(|family| name.strip_prefix(family.name).is_some_and(is_end));
        let family = family.unwrap_or_else(|| panic!("{line} is not on the list"));
        let mut labels = family.labels.to_vec();
        if family.kind == Kind::Histogram && name.ends_with("_bucket") {
            labels.push("le");
        }
        let found: Vec<_> = line
            .match_indices("=\"")
            .map(|(at, _)| line[..at].rsplit(['{', ',']).next().unwrap())
            .collect();
        assert_eq!(found, labels, "{line}");
        told.insert(family.name);
    }
    for family in FAMILIES {
        assert!(told.contains(family.name), "{} is on the list and not told", family.name);
        assert!(text.contains(&format!(
            "# HELP {} {}\n# TYPE {0} {}\n",
            family.name,
            family.help,
            family.kind.name()
        )));
    }
}

#[test]
fn figures_are_those_of_the_state() {
    let text = text();
    for line in [
        "squint_build_info{version=\"0.1.0\"} 1",
        "squint_policy_info{policy=\"default\",kind=\"confidence\"} 1",
        "squint_start_time_seconds 1772366400.25",
        "squint_ready 1",
        "squint_degraded 1",
        "squint_mode{mode=\"auto\"} 1",
        "squint_mode{mode=\"paused\"} 0",
        "squint_reloads_total{outcome=\"ok\"} 2",
        "squint_reloads_total{outcome=\"refused\"} 1",
        "squint_camera_up{camera=\"bikes\"} 1",
        "squint_camera_up{camera=\"door\"} 0",
        "squint_camera_losses_total{camera=\"door\"} 7",
        "squint_frames_offered_total{camera=\"bikes\"} 110",
        "squint_frames_total{camera=\"bikes\",outcome=\"failed\"} 25",
        "squint_frames_dropped_total{camera=\"bikes\",reason=\"sink-full\"} 1",
        "squint_frames_late_total{camera=\"bikes\"} 25",
        "squint_engine_state{engine=\"lite0-160\",state=\"ready\"} 1",
        "squint_engine_state{engine=\"lite4-300\",state=\"stuck\"} 1",
        "squint_engine_first_total{camera=\"bikes\",engine=\"lite0-160\"} 75",
        "squint_engine_runs_total{camera=\"bikes\",engine=\"lite2-260\"} 50",
        "squint_engine_failures_total{camera=\"bikes\",engine=\"lite2-260\"} 25",
        "squint_engine_run_seconds_bucket{engine=\"lite0-160\",le=\"0.001\"} 0",
        "squint_engine_run_seconds_bucket{engine=\"lite0-160\",le=\"0.0025\"} 50",
        "squint_engine_run_seconds_bucket{engine=\"lite0-160\",le=\"+Inf\"} 50",
        "squint_engine_run_seconds_sum{engine=\"lite0-160\"} 0.115",
        "squint_frame_age_seconds_count{camera=\"bikes\"} 100",
        "squint_stage_seconds_count{stage=\"run\"} 50",
        "squint_engine_expected_seconds{engine=\"lite0-160\",percentile=\"95\"} 0.004",
        "squint_engine_energy_joules{engine=\"lite0-160\"} 0.0125",
        "squint_budget_mode{mode=\"saver\"} 1",
        "squint_budget_mode{mode=\"unlimited\"} 0",
        "squint_budget_held{because=\"power\"} 1",
        "squint_budget_held{because=\"free\"} 0",
        "squint_budget_interval_seconds 0.25",
        "squint_budget_changes_total 3",
        "squint_board_power_watts{rail=\"VDD_IN\"} 6.48",
        "squint_board_temperature_celsius{zone=\"GPU-therm\"} 64.5",
        "squint_board_ceiling_celsius{zone=\"GPU-therm\"} 80",
        "squint_board_throttling 0",
        "squint_board_gpu_clock_hertz 854250000",
        "squint_board_gpu_load_ratio 0.625",
        "squint_sensors_doubted 1",
        "squint_telemetry_cpu_seconds_total 0.75",
        "squint_thread_overdue{thread=\"sink\"} 0",
        "process_resident_memory_bytes 50000000",
        "process_cpu_seconds_total 12.5",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    for unknown in
        ["VDD_SYS_SOC", "zone=\"Tdiode_tegra", "squint_engine_energy_joules{engine=\"lite2-260"]
    {
        assert!(
            !text.contains(unknown),
            "{unknown} reads nothing, so there is no line of it\n{text}"
        );
    }
    assert_eq!(text.matches("le=\"0.0001\"").count(), text.matches("le=\"+Inf\"").count());
    assert_eq!(LIMITS.map(|limit| limit.as_secs_f64()).last(), Some(&5.0));
}

/// A program of Debian's package prometheus, started; nothing if it is not installed.
fn installed(command: &mut Command) -> Option<Child> {
    match command.spawn() {
        Ok(child) => Some(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip_without(
                "prometheus",
                format_args!(
                    "{:?} is not installed; `apt-get install prometheus`",
                    command.get_program()
                ),
            );
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let mut command = Command::new("promtool");
    command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Some(mut promtool) = installed(&mut command) else { return };
    promtool.stdin.take().unwrap().write_all(text().as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let words =
        String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.trim().is_empty(), "{words}");
}

#[test]
fn the_queries_that_the_page_suggests_can_be_asked() {
    let page = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/metrics.md"),
    )
    .unwrap();
    let (_, table) = page.split_once("| question | query |").unwrap();
    let queries: Vec<_> = table
        .lines()
        .skip(2)
        .filter_map(|line| line.rsplit('`').nth(1))
        .take_while(|query| query.contains("squint_"))
        .collect();
    assert!(queries.len() >= 7, "{queries:?}");
    let mut rules = "groups:\n  - name: squint\n    rules:\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        writeln!(rules, "      - record: query_{number}\n        expr: '{query}'").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, &rules).unwrap();
    let mut command = Command::new("promtool");
    command.args(["check", "rules"]).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Some(promtool) = installed(&mut command) else { return };
    let said = promtool.wait_with_output().unwrap();
    assert!(
        said.status.success(),
        "{rules}{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}

/// Killed with its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn query(port: u16, query: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    let mut answer = String::new();
    let _ = write!(stream, "GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn a_real_prometheus_scrapes_the_port() {
    let (folder, stop) = (tempfile::tempdir().unwrap(), Stop::new());
    let server =
        Server::start(&Control { http_port: Some(0), ..Control::default() }, Fake::new(), &stop)
            .unwrap();
    let target = server.port().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: squint\n    static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--log.level=error")
        .stdin(Stdio::null());
    let Some(prometheus) = installed(&mut command) else { return };
    let _prometheus = Killed(prometheus);
    let begun = Instant::now();
    let mut told = String::new();
    for (asked, expected) in [
        ("up%7Bjob%3D%22squint%22%7D", "\"1\"]"),
        ("squint_frames_total%7Bcamera%3D%22bikes%22%2Coutcome%3D%22answered%22%7D", "\"25\"]"),
        (
            "histogram_quantile(0.5%2Csquint_engine_run_seconds_bucket%7Bengine%3D%22lite0-160%22%7D)",
            "\"0.00175\"]",
        ),
    ] {
        while !told.contains(expected) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{asked}: {told}");
            std::thread::sleep(Duration::from_millis(100));
            told = query(port, asked);
        }
    }
}
