//! Load, memory and pressure of the machine from `/proc`. An edge module.
//!
//! The load is the share of all processors' time that was used between two samples, by everybody.
//! Kernels before 4.20, so those of L4T 32, know no pressure.

use std::path::Path;
use std::time::Duration;

use super::missing::{self, missing};
use super::sysfs::node::{Node, on_board};
use super::trust::Trust;
use super::{Cost, Doubt, Inventory, Sample, Telemetry};

/// As much of a file as is read: the first line of `stat`, the first ten of `meminfo`.
const BEGINNING: usize = 1024;

/// Readings of the machine from `/proc`.
pub struct Procfs {
    inventory: Inventory,
    stat: Option<Node>,
    memory: Option<Node>,
    pressure: Option<Node>,
    /// Time of all processors since they were started, used and in all, in ticks, at the sample
    /// before.
    before: Option<(u64, u64)>,
    trust: Trust,
}

impl Procfs {
    /// Looks below `root` (`/`). Never fails: what is not there is listed as missing.
    pub fn open(root: &Path) -> Self {
        let node = |file: &str| Node::open(root.join("proc").join(file));
        let (stat, memory, pressure) = (node("stat"), node("meminfo"), node("pressure/cpu"));
        let mut inventory = Inventory::default();
        for (node, key, what, why, disables) in [
            (
                &stat,
                "cpu-load",
                missing::CPU_LOAD,
                "no /proc/stat",
                "telling others' load from Squint's",
            ),
            (
                &memory,
                "memory-available",
                missing::MEMORY,
                "no /proc/meminfo",
                "nothing but its own line",
            ),
            (
                &pressure,
                "cpu-pressure",
                missing::CPU_PRESSURE,
                "no /proc/pressure: the kernel is older than 4.20 or built without",
                "nothing but its own line",
            ),
        ] {
            match node {
                Some(node) => {
                    inventory.others.push((key.into(), node.path().display().to_string()))
                }
                None => inventory.missing.push(missing(what, why, disables)),
            }
        }
        inventory.others.iter_mut().for_each(|(_, origin)| on_board(root, origin));
        let trust = Trust::new(&inventory);
        Self { inventory, stat, memory, pressure, before: None, trust }
    }
}

impl Telemetry for Procfs {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        let begun = Cost::begin();
        *sample = Sample { at, ..Sample::default() };
        let mut buffer = [0; BEGINNING];
        let ticks = self.stat.as_mut().and_then(|node| ticks(node.read(&mut buffer)?));
        sample.cpu_load = self.before.zip(ticks).and_then(|(was, is)| load(was, is));
        self.before = ticks;
        sample.memory_available_mib =
            self.memory.as_mut().and_then(|node| available_mib(node.read(&mut buffer)?));
        sample.cpu_pressure =
            self.pressure.as_mut().and_then(|node| pressure(node.read(&mut buffer)?));
        self.trust.judge(sample);
        sample.cost = begun.spent();
    }

    fn doubts(&self) -> Vec<Doubt> {
        self.trust.doubts()
    }
}

/// What is UTF-8 of a beginning that may have been cut anywhere.
fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default())
            .unwrap_or_default(),
    }
}

/// Used and all ticks of `/proc/stat`: `cpu user nice system idle iowait irq softirq steal`; guests
/// are in user already.
fn ticks(stat: &[u8]) -> Option<(u64, u64)> {
    let line = text(stat).lines().next()?.strip_prefix("cpu ")?;
    let (mut used, mut all) = (0_u64, 0_u64);
    for (column, word) in line.split_whitespace().take(8).enumerate() {
        let ticks: u64 = word.parse().ok()?;
        all = all.saturating_add(ticks);
        if !matches!(column, 3 | 4) {
            used = used.saturating_add(ticks);
        }
    }
    Some((used, all))
}

/// Share of the time between two readings that was used. `None` if no time went by, or backwards.
fn load(was: (u64, u64), is: (u64, u64)) -> Option<f32> {
    let all = is.1.checked_sub(was.1).filter(|all| *all > 0)?;
    // The kernel corrects its idle time now and then, and a tick may be counted late.
    let used = is.0.saturating_sub(was.0).min(all);
    Some((used as f64 / all as f64) as f32)
}

/// `MemAvailable` of `/proc/meminfo`, which is in KiB.
fn available_mib(meminfo: &[u8]) -> Option<f32> {
    let line = text(meminfo).lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib as f64 / 1024.0) as f32)
}

/// `avg10` of the `some` line of `/proc/pressure/cpu`, which is in per cent.
fn pressure(file: &[u8]) -> Option<f32> {
    let line = text(file).lines().find_map(|line| line.strip_prefix("some "))?;
    let percent: f32 =
        line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()?;
    Some(percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_what_was_used_between_two_readings() {
        let was = ticks(b"cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 1 1 1\n").unwrap();
        let is = ticks(b"cpu  130 0 60 850 60 0 0 0 60 0\n").unwrap();
        assert_eq!(load(was, is), Some(0.4));
        assert_eq!(load(is, is), None, "no time went by");
        assert_eq!(load(is, was), None, "backwards");
        for nonsense in [&b""[..], b"cpu0 1 2 3 4", b"cpu  1 x 3", b"\xff\xfe"] {
            assert_eq!(ticks(nonsense), None);
        }
    }

    #[test]
    fn memory_and_pressure_are_read_in_their_units() {
        assert_eq!(
            available_mib(b"MemTotal: 8000 kB\nMemAvailable:    2097152 kB\n"),
            Some(2048.0)
        );
        assert_eq!(available_mib(b"MemAvailable: lots kB\n"), None);
        assert_eq!(
            pressure(b"some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00\n"),
            Some(0.125)
        );
        assert_eq!(pressure(b"full avg10=1.00\n"), None);
    }

    #[test]
    fn a_machine_says_what_it_has_and_the_first_load_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        std::fs::create_dir(&proc).unwrap();
        std::fs::write(proc.join("stat"), "cpu  10 0 0 90\n").unwrap();
        let mut procfs = Procfs::open(root.path());
        assert_eq!(procfs.inventory().missing.len(), 2);
        let mut sample = Sample::default();
        procfs.sample(Duration::ZERO, &mut sample);
        assert_eq!(sample.cpu_load, None);
        std::fs::write(proc.join("stat"), "cpu  20 0 0 100\n").unwrap();
        procfs.sample(Duration::from_millis(500), &mut sample);
        assert_eq!((sample.cpu_load, sample.memory_available_mib), (Some(0.5), None));
        assert!(procfs.doubts().is_empty());
    }
}
