//! The descriptors and threads that the configured cameras need, compared with the limits of this
//! process. `run` raises what it may; `check` reports.
//!
//! The figures are measured (docs/guide/service.md) and are estimates; [`crate::limits`] decides at
//! each opening.

use log::warn;

use crate::config::Config;
use crate::events;
use crate::limits::{self, Free, Level, Need};
use crate::sink::READERS;
use crate::source::{self, SourceSpec};

/// Squint itself: its own threads, files, libraries.
const BASE: Need = Need { descriptors: 24, threads: 16 };
/// Connections to the control socket and its port that may be there at a time, with a thread for
/// some of them.
const CONTROL: Need = Need { descriptors: 144, threads: 16 };
/// What a limit of descriptors is raised to, if the system allows it: as much as the unit has.
const DESCRIPTORS: u64 = 4096;

/// What a camera keeps as long as it is open. `processors`: a decoder has a thread for each, 16 at
/// most.
fn held(source: &SourceSpec, processors: u64) -> Need {
    match source {
        SourceSpec::Images { .. } => Need { descriptors: 1, threads: 1 },
        SourceSpec::Test | SourceSpec::Pipeline { .. } | SourceSpec::Csi { .. } => {
            Need { descriptors: 4, threads: 4 }
        }
        _ => Need { descriptors: 9, threads: 4 + processors },
    }
}

/// What `config` needs with `engines` engines, while all its cameras are open and one more is being
/// opened.
fn wanted(config: &Config, engines: usize, processors: u64) -> Need {
    let cameras =
        config.cameras.iter().map(|camera| held(&camera.source, processors)).fold(BASE, Need::plus);
    let opening = config
        .cameras
        .iter()
        .map(|camera| source::need(&camera.source))
        .max_by_key(|need| need.descriptors);
    let readers = if config.output.socket.is_some() { READERS as u64 } else { 0 };
    let control = if config.control.socket.is_some() || config.control.http_port.is_some() {
        CONTROL
    } else {
        Need::default()
    };
    let looking = engines as u64 * config.engines.threads as u64;
    let all = cameras.plus(opening.unwrap_or_default()).plus(control);
    all.plus(Need { descriptors: readers, threads: looking })
}

/// Raises the limit of descriptors as far as is of use and allowed, and warns where the cameras
/// need more than there is.
pub(super) fn prepare(config: &Config, engines: usize) {
    let wanted = wanted(config, engines, processors());
    limits::raise(DESCRIPTORS.max(wanted.descriptors));
    limits::expect(
        config
            .cameras
            .iter()
            .map(|camera| source::need(&camera.source))
            .fold(Need::default(), Need::plus),
    );
    for line in shortages(config.cameras.len(), wanted, &Free::now()) {
        warn!(event = events::LIMITS_SHORT; "{line}");
    }
}

/// What is too little here, a sentence each. `engines` are those of the policy.
pub(crate) fn told(config: &Config, engines: usize) -> Vec<String> {
    let wanted = wanted(config, engines, processors());
    limits::raise(DESCRIPTORS.max(wanted.descriptors));
    shortages(config.cameras.len(), wanted, &Free::now())
}

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, usize::from).min(16) as u64
}

fn shortages(cameras: usize, wanted: Need, free: &Free) -> Vec<String> {
    let short = |level: Option<Level>, wanted: u64| {
        let level = level?;
        // What others have taken of a limit that they share is not there for this process.
        let others = if level.by == limits::By::OpenFiles {
            0
        } else {
            level.taken.saturating_sub(threads())
        };
        let may = level.limit.saturating_sub(others);
        let cameras = if cameras == 1 {
            "1 camera needs".to_owned()
        } else {
            format!("{cameras} cameras need")
        };
        (may < wanted).then(|| {
            let what = level.by.what();
            format!("{cameras} up to {wanted} {what} in all, and this process may have {may}: those that find none left are not opened; {}", level.by.advice())
        })
    };
    [short(free.descriptors, wanted.descriptors), short(free.threads, wanted.threads)]
        .into_iter()
        .flatten()
        .collect()
}

/// Threads of this process.
fn threads() -> u64 {
    std::fs::read_dir("/proc/self/task").map_or(1, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Folders, Overrides, resolve};
    use crate::limits::By;

    fn config(cameras: usize) -> Config {
        let mut text = "[output]\nsocket = \"/r\"\n[control]\nsocket = \"/c\"\n".to_owned();
        (0..cameras).for_each(|at| {
            text.push_str(&format!(
                "[[camera]]\nname = \"c{at}\"\nsource = \"rtsp://192.0.2.1/{at}\"\n"
            ))
        });
        let folders = Folders { engines: "e".into(), calibration: "c".into() };
        resolve(Some(("squint.toml", &text)), [], &Overrides::default(), &folders).unwrap()
    }

    #[test]
    fn sixty_four_network_cameras_need_some_four_hundred_threads_and_that_is_said_where_there_are_fewer()
     {
        let needed = wanted(&config(64), 5, 2);
        assert!(
            (400..480).contains(&needed.threads),
            "measured: 399 with all of them open: {needed:?}"
        );
        let level = |taken, limit, by| Some(Level { taken, limit, by });
        let free =
            Free { descriptors: level(10, 4096, By::OpenFiles), threads: level(1, 300, By::Group) };
        let lines = shortages(64, needed, &free);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("64 cameras need up to ")
                && lines[0].contains("threads")
                && lines[0].contains("TasksMax="),
            "{lines:?}"
        );
        let enough = Free {
            descriptors: level(10, 4096, By::OpenFiles),
            threads: level(1, 2048, By::Group),
        };
        assert!(shortages(64, needed, &enough).is_empty());
        assert!(
            shortages(64, needed, &Free { descriptors: None, threads: None }).is_empty(),
            "no limits"
        );
    }

    #[test]
    fn the_unit_has_room_for_as_many_network_cameras_as_there_may_be_on_sixteen_processors() {
        let unit = include_str!("../../systemd/squint.service");
        let limit = |name: &str| {
            unit.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse::<u64>().unwrap()
        };
        let needed = wanted(&config(64), 21, 16);
        assert!(needed.threads <= limit("TasksMax="), "{needed:?}");
        assert!(needed.descriptors <= limit("LimitNOFILE="), "{needed:?}");
    }
}
