//! Everything that a machine says of itself, as one source of readings. An edge module.

use std::path::PathBuf;
use std::time::Duration;

use super::merged::Merged;
use super::patient::Patient;
use super::procfs::Procfs;
use super::sysfs::Sysfs;
use super::{Sample, Telemetry};

/// Where readings come from.
pub struct Sources {
    /// Where `sys`, `proc`, `etc` and `var` are: `/`, or a tree copied from another machine.
    pub root: PathBuf,
    /// Further sources that fill in what those do not know, the more trusted first.
    pub others: Vec<Box<dyn Telemetry>>,
}

impl Sources {
    /// What the kernel of this machine says.
    pub fn of_this_machine() -> Self {
        Self::below("/")
    }

    /// What the tree below `root` says.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), others: Vec::new() }
    }
}

/// Finds out what there is and takes a first sample at `at`, time since start: load and energy
/// counters need two to say anything. Never fails: a machine that says nothing has an inventory of
/// what is missing.
pub fn open(sources: Sources, at: Duration) -> Merged {
    let mut all: Vec<Box<dyn Telemetry>> = vec![
        Box::new(Patient::of_files("sysfs", &sources.root, |root| Box::new(Sysfs::open(root)))),
        Box::new(Procfs::open(&sources.root)),
    ];
    all.extend(sources.others);
    let mut merged = Merged::new(all);
    merged.sample(at, &mut Sample::default());
    merged
}
