//! Energy that looks took, above what the machine uses idle, for the lab's profiles. Absent is
//! absent: never 0.

use std::path::Path;
use std::time::Duration;

use crate::telemetry::sysfs::rapl::{Counter, Domain, Rapl};

/// The counters of all processor packages.
pub(super) struct Meter {
    packages: Vec<Counter>,
    idle_mw: f64,
}

/// One reading, uJ a package.
pub(super) struct Reading(Vec<u64>);

impl Meter {
    /// The counters under `sys` (`/sys`); `None` if there are none that may be read.
    pub(super) fn open(sys: &Path) -> Option<Self> {
        let mut packages = Rapl::open(sys).counters;
        packages.retain(|counter| counter.domain == Domain::Package);
        (!packages.is_empty()).then_some(Self { packages, idle_mw: 0.0 })
    }

    /// Takes what was used between two readings while nothing ran as the idle power, mW.
    pub(super) fn set_idle(&mut self, before: &Reading, after: &Reading, time: Duration) {
        self.idle_mw =
            self.used(before, after).map_or(0.0, |used| used / time.as_secs_f64().max(1e-9));
    }

    /// The counters now.
    pub(super) fn read(&self) -> Option<Reading> {
        self.packages.iter().map(Counter::count).collect::<Option<_>>().map(Reading)
    }

    /// Energy between two readings above idle, mJ; `None` if it does not stand out.
    pub(super) fn above_idle(
        &self,
        before: &Reading,
        after: &Reading,
        time: Duration,
    ) -> Option<f64> {
        self.used(before, after)
            .map(|used| used - self.idle_mw * time.as_secs_f64())
            .filter(|used| *used > 0.0)
    }

    /// All energy between two readings, mJ.
    fn used(&self, before: &Reading, after: &Reading) -> Option<f64> {
        let pairs = self.packages.iter().zip(before.0.iter().zip(&after.0));
        let used = pairs.map(|(package, (was, is))| package.used(*was, *is));
        used.sum::<Option<u64>>().map(|micro| micro as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn packages_are_summed_counters_wrap_and_idle_is_taken_off() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let set = |name: &str, energy: u64| {
            let folder = root.path().join("class/powercap").join(name);
            fs::create_dir_all(&folder).expect("made");
            fs::write(folder.join("max_energy_range_uj"), "1000000\n").expect("written");
            fs::write(folder.join("energy_uj"), format!("{energy}\n")).expect("written");
        };
        assert!(Meter::open(root.path()).is_none());
        set("intel-rapl:0:0", 7);
        assert!(Meter::open(root.path()).is_none(), "a part of a package is counted in it already");
        set("intel-rapl:0", 999_000);
        set("intel-rapl:1", 5_000);
        let mut meter = Meter::open(root.path()).expect("two packages");
        let before = meter.read().expect("read");
        set("intel-rapl:0", 1_000);
        set("intel-rapl:1", 8_000);
        let after = meter.read().expect("read");
        let second = Duration::from_secs(1);
        assert_eq!(meter.above_idle(&before, &after, second), Some(5.0));
        meter.set_idle(&before, &after, Duration::from_secs(2));
        assert_eq!(meter.above_idle(&before, &after, second), Some(2.5));
        assert_eq!(meter.above_idle(&before, &before, second), None);
    }
}
