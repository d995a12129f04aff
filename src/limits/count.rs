//! What is taken of the limits, and what the limits are: /proc, the control groups, the limits of
//! the process. An edge module that decides nothing. What cannot be read is no limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};

use super::{By, Level};

/// What is left of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// File descriptors of this process; `None` without a limit.
    pub descriptors: Option<Level>,
    /// Threads: of all limits for them the one with the least left; `None` without a limit.
    pub threads: Option<Level>,
}

impl Free {
    /// As it is now.
    pub fn now() -> Self {
        Self { descriptors: descriptors(), threads: threads(Path::new("/")) }
    }
}

/// Raises the limit of descriptors to `wanted`, as far as this process may: shells set a low one
/// that every process may raise, for the sake of old programs. Returns the limit that holds then;
/// `None` if there is none.
pub fn raise(wanted: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let now = current?;
    let most = maximum.unwrap_or(u64::MAX).min(wanted);
    if now < most && setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).is_ok() {
        return Some(most);
    }
    Some(now)
}

/// File descriptors; `None` without a limit, or if they cannot be counted.
pub(super) fn descriptors() -> Option<Level> {
    let limit = getrlimit(Resource::Nofile).current?;
    match taken(limit) {
        Ok(taken) => Some(Level { taken, limit, by: By::OpenFiles }),
        // A process that cannot even count them has none left.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            Some(Level { taken: limit, limit, by: By::OpenFiles })
        }
        Err(error) => {
            log::debug!("open descriptors cannot be counted: {error}");
            None
        }
    }
}

/// Descriptors in use below `limit`. Those above it, from before the limit was lowered, are in
/// nobody's way.
fn taken(limit: u64) -> io::Result<u64> {
    let mut taken = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
        taken += u64::from(number.is_some_and(|number| number < limit));
    }
    // One of them is that of the folder itself.
    Ok(taken.saturating_sub(1))
}

/// Threads below `root`, which is `/`; `None` without a limit.
fn threads(root: &Path) -> Option<Level> {
    group(root).into_iter().chain(user(root)).min_by_key(Level::free)
}

/// The control group with the least left, of this process's own and all above it.
fn group(root: &Path) -> Option<Level> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut least: Option<Level> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mount = match controllers {
            "" => "sys/fs/cgroup",
            names if names.split(',').any(|name| name == "pids") => "sys/fs/cgroup/pids",
            _ => continue,
        };
        let mount = root.join(mount);
        // In a container the path may be the host's, of which only the end is mounted: what is not
        // there is left out.
        for folder in upwards(&mount, path) {
            let number =
                |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
            let Some((limit, taken)) = number("pids.max").zip(number("pids.current")) else {
                continue;
            };
            let level = Level { taken, limit, by: By::Group };
            if least.is_none_or(|least| level.free() < least.free()) {
                least = Some(level);
            }
        }
    }
    least
}

/// `mount` with `path` below it, and every folder from there up to `mount`.
fn upwards(mount: &Path, path: &str) -> Vec<PathBuf> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != "..").collect();
    (0..=parts.len())
        .rev()
        .map(|count| parts[..count].iter().fold(mount.to_path_buf(), |at, part| at.join(part)))
        .collect()
}

/// RLIMIT_NPROC, which counts all threads of the user and does not hold for root.
fn user(root: &Path) -> Option<Level> {
    /// CAP_SYS_ADMIN and CAP_SYS_RESOURCE: it does not hold for who has one of them either.
    const EXEMPT: u64 = 1 << 21 | 1 << 24;
    let limit = getrlimit(Resource::Nproc).current?;
    let own = fs::read_to_string(root.join("proc/self/status")).ok()?;
    let capable =
        field(&own, "CapEff:").and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or(0);
    if getuid().is_root() || capable & EXEMPT != 0 {
        return None;
    }
    let uid = getuid().as_raw().to_string();
    let mut taken = 0;
    for entry in fs::read_dir(root.join("proc")).ok()?.flatten() {
        if !entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        {
            continue;
        }
        // One that has just ended, or that may not be seen, has no threads that count here.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        if field(&status, "Uid:") == Some(&uid) {
            taken += field(&status, "Threads:").and_then(|count| count.parse().ok()).unwrap_or(1);
        }
    }
    Some(Level { taken, limit, by: By::User })
}

/// The first value behind `name` in the status of a process.
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_is_open_is_counted() {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let held: Vec<_> = (0..10).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(taken(limit).unwrap() >= held.len() as u64 + 2, "the standard ones too");
        assert_eq!(taken(0).unwrap(), 0, "none below a limit of none");
    }

    #[test]
    fn of_a_control_group_and_those_above_it_the_one_with_the_least_left_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "proc/self/cgroup", "0::/system.slice/squint.service\n");
        put(root, "sys/fs/cgroup/system.slice/squint.service/pids.max", "512\n");
        put(root, "sys/fs/cgroup/system.slice/squint.service/pids.current", "100\n");
        put(root, "sys/fs/cgroup/system.slice/pids.max", "max\n");
        put(root, "sys/fs/cgroup/system.slice/pids.current", "300\n");
        assert_eq!(group(root), Some(Level { taken: 100, limit: 512, by: By::Group }));
        put(root, "sys/fs/cgroup/system.slice/pids.max", "310\n");
        assert_eq!(group(root), Some(Level { taken: 300, limit: 310, by: By::Group }));
    }

    #[test]
    fn version_one_and_a_container_that_sees_only_its_own_end_of_the_path_are_read_too() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "proc/self/cgroup", "12:cpu,cpuacct:/a\n5:pids:/docker/abc\n1:name=systemd:/b\n");
        assert_eq!(group(root), None, "nothing is mounted");
        put(root, "sys/fs/cgroup/pids/pids.max", "60\n");
        put(root, "sys/fs/cgroup/pids/pids.current", "7\n");
        assert_eq!(group(root), Some(Level { taken: 7, limit: 60, by: By::Group }));
    }

    #[test]
    fn the_limit_of_descriptors_is_raised_as_far_as_allowed_and_never_lowered() {
        let before = getrlimit(Resource::Nofile);
        let Some(now) = before.current else { return };
        assert_eq!(raise(1), Some(now));
        let most = before.maximum.unwrap_or(u64::MAX);
        assert_eq!(raise(now + 1), Some((now + 1).min(most)));
    }
}
