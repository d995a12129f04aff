//! Energy counters of x86 processors (RAPL), of Intel and AMD: their only reader. An
//! edge module.
//!
//! `/sys/class/powercap/intel-rapl:*` counts microjoules up to a range and starts again at 0.
//! `package-N` is a processor, `core`, `uncore` and (on some) `dram` are inside their package's
//! folder but only `dram` is not part of its energy; `psys` is the whole platform, where the maker
//! has wired it. Source: Documentation/power/powercap of the kernel. Since 2020 only root may read
//! the counters.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::node::{Node, entries, name, number, text};

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A processor.
    Package,
    /// The memory beside it, not in the package's count.
    Memory,
    /// A part of a package, counted in it already.
    Part,
    /// The whole platform.
    Platform,
}

/// One energy counter.
#[derive(Debug)]
pub struct Counter {
    /// As the kernel calls it, with the package's name before its parts': `package-0`,
    /// `package-0 core`.
    pub name: String,
    /// What it counts.
    pub domain: Domain,
    node: Node,
    /// Where it starts again at 0, µJ.
    range: u64,
    before: Option<(Duration, u64)>,
}

/// All counters of a machine, or why there are none.
#[derive(Debug)]
pub struct Rapl {
    /// In the order of their folders.
    pub counters: Vec<Counter>,
    /// True if there are counters that this user may not read.
    pub forbidden: bool,
}

impl Rapl {
    /// The counters under `sys` (`/sys`).
    pub fn open(sys: &Path) -> Self {
        let mut rapl = Self { counters: Vec::new(), forbidden: false };
        for zone in entries(&sys.join("class/powercap"), "intel-rapl:") {
            let Some(numbers) = name(&zone).strip_prefix("intel-rapl:") else { continue };
            if numbers.parse::<u32>().is_err() {
                continue; // a part, which is found within its package below
            }
            let whole = text(&zone.join("name")).unwrap_or_else(|| format!("package-{numbers}"));
            let domain = if whole == "psys" { Domain::Platform } else { Domain::Package };
            rapl.add(&zone, whole.clone(), domain);
            for part in Self::parts(sys, &zone, numbers) {
                let called = text(&part.join("name")).unwrap_or_else(|| name(&part).to_owned());
                let domain = if called == "dram" { Domain::Memory } else { Domain::Part };
                rapl.add(&part, format!("{whole} {called}"), domain);
            }
        }
        rapl
    }

    /// Folders of the parts: inside the package's own, or beside it in the class.
    fn parts(sys: &Path, zone: &Path, numbers: &str) -> Vec<PathBuf> {
        let prefix = format!("intel-rapl:{numbers}:");
        let inside = entries(zone, &prefix);
        if inside.is_empty() { entries(&sys.join("class/powercap"), &prefix) } else { inside }
    }

    fn add(&mut self, folder: &Path, name: String, domain: Domain) {
        let Some(range) =
            number(&folder.join("max_energy_range_uj")).and_then(|range| u64::try_from(range).ok())
        else {
            return;
        };
        match Node::try_open(folder.join("energy_uj")) {
            Ok(node) => self.counters.push(Counter { name, domain, node, range, before: None }),
            Err(error) => self.forbidden |= error.kind() == ErrorKind::PermissionDenied,
        }
    }
}

impl Counter {
    /// Where it is read.
    pub fn path(&self) -> &Path {
        self.node.path()
    }

    /// What it counts now, µJ.
    pub fn count(&self) -> Option<u64> {
        self.node.peek().and_then(|count| u64::try_from(count).ok())
    }

    /// Energy between two readings, µJ. A counter that went back has started again once; `None` if
    /// it was beyond its range.
    pub fn used(&self, was: u64, is: u64) -> Option<u64> {
        is.checked_sub(was)
            .or_else(|| self.range.checked_sub(was).and_then(|left| left.checked_add(is)))
    }

    /// Average power since the call before, mW, at `at`, time since start. `None` the first time,
    /// without a reading, within the same moment, and while the counter stands still, which no
    /// processor does.
    pub fn milliwatts(&mut self, at: Duration) -> Option<f32> {
        let count = self.node.integer().and_then(|count| u64::try_from(count).ok());
        let before = self.before;
        self.before = count.map(|count| (at, count));
        let ((then, was), is) = (before?, count?);
        let seconds = at.checked_sub(then)?.as_secs_f64();
        let used = self.used(was, is).filter(|used| *used > 0)?;
        (seconds > 0.0).then(|| (used as f64 / 1000.0 / seconds) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn set(root: &Path, zone: &str, name: &str, energy: u64) {
        let folder = root.join("class/powercap").join(zone);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("name"), name).unwrap();
        fs::write(folder.join("max_energy_range_uj"), "1000000\n").unwrap();
        fs::write(folder.join("energy_uj"), format!("{energy}\n")).unwrap();
    }

    #[test]
    fn counters_become_power_and_wrap_once() {
        let root = tempfile::tempdir().unwrap();
        set(root.path(), "intel-rapl:0", "package-0", 990_000);
        let mut rapl = Rapl::open(root.path());
        let counter = &mut rapl.counters[0];
        let second = Duration::from_secs(1);
        assert_eq!(counter.milliwatts(Duration::ZERO), None, "nothing to compare with");
        set(root.path(), "intel-rapl:0", "package-0", 995_000);
        assert_eq!(counter.milliwatts(second / 2), Some(10.0));
        set(root.path(), "intel-rapl:0", "package-0", 10_000);
        assert_eq!(counter.milliwatts(second * 3 / 2), Some(15.0), "started again");
        assert_eq!(
            counter.milliwatts(second * 2),
            None,
            "a processor that draws nothing is a counter that stands still"
        );
        assert_eq!(counter.milliwatts(second * 2), None, "the same moment");
    }

    #[test]
    fn parts_are_told_from_packages_and_the_platform() {
        let root = tempfile::tempdir().unwrap();
        for (zone, name) in [
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:0/intel-rapl:0:0", "core"),
            ("intel-rapl:0/intel-rapl:0:1", "dram"),
            ("intel-rapl:1", "psys"),
            ("intel-rapl-mmio:0", "package-0"),
        ] {
            set(root.path(), zone, name, 1);
        }
        let found: Vec<_> = Rapl::open(root.path())
            .counters
            .into_iter()
            .map(|counter| (counter.name, counter.domain))
            .collect();
        let named = |name: &str, domain| (name.to_owned(), domain);
        assert_eq!(
            found,
            [
                named("package-0", Domain::Package),
                named("package-0 core", Domain::Part),
                named("package-0 dram", Domain::Memory),
                named("psys", Domain::Platform)
            ]
        );
    }
}
