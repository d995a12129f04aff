//! What the kernel shows of a board under `/sys`, with the little that L4T keeps in `/etc` and
//! `/var`. An edge module.
//!
//! Everything is found by name below a root, which is `/` on the board itself and a folder for a
//! tree copied from another one. Files stay open and are read into buffers on the stack: a sample
//! allocates nothing. Without root some clocks and the energy counters of x86 cannot be read; they
//! are then listed as missing and everything else goes on.

mod alarms;
mod board;
mod clocks;
mod heat;
pub mod node;
mod rails;
pub mod rapl;

use std::path::Path;
use std::time::Duration;

use self::alarms::{OverCurrent, Throttles};
use self::board::{Board, PowerMode};
use self::clocks::Clocks;
use self::heat::Heat;
use self::rails::Rails;
use super::missing::{self, missing};
use super::trust::Trust;
use super::{Cost, Doubt, Inventory, Missing, Sample, Telemetry};

/// Readings of a board from sysfs.
pub struct Sysfs {
    inventory: Inventory,
    rails: Rails,
    heat: Heat,
    clocks: Clocks,
    throttles: Throttles,
    over_current: OverCurrent,
    power_mode: PowerMode,
    trust: Trust,
}

impl Sysfs {
    /// Looks for everything below `root` (`/`). Never fails: a machine without sensors has an empty
    /// inventory that says what is missing.
    pub fn open(root: &Path) -> Self {
        let sys = root.join("sys");
        let board = Board::open(root);
        let (mut rails, found) = Rails::open(root);
        let (heat, zones, no_heat) = Heat::open(root, board.tegra186);
        let (clocks, mut others) = Clocks::open(&sys);
        let (throttles, throttling) = Throttles::open(&sys);
        let (over_current, events) = OverCurrent::open(&sys, std::mem::take(&mut rails.alarms));
        let (power_mode, mode) = PowerMode::open(root);
        for (key, origin) in
            [("throttling", throttling), ("over-current", events), ("power-mode", mode)]
        {
            others.extend(origin.map(|origin| (key.to_owned(), origin)));
        }
        let mut lacking = found.missing;
        lacking.extend(no_heat);
        let has = |key: &str| others.iter().any(|(other, _)| other == key);
        lacking.extend(
            expected(board.tegra)
                .into_iter()
                .filter(|(key, _)| !has(key))
                .map(|(_, missing)| missing),
        );
        let mut inventory = Inventory {
            board: board.name,
            release: board.release,
            rails: found.rails,
            total: found.total,
            zones,
            power_modes: board.modes,
            others,
            missing: lacking,
        };
        let rails_of = inventory.rails.iter_mut().map(|rail| &mut rail.origin);
        let zones_of = inventory.zones.iter_mut().map(|zone| &mut zone.origin);
        let others_of = inventory.others.iter_mut().map(|(_, origin)| origin);
        rails_of.chain(zones_of).chain(others_of).for_each(|origin| node::on_board(root, origin));
        let trust = Trust::new(&inventory);
        Self { inventory, rails, heat, clocks, throttles, over_current, power_mode, trust }
    }
}

/// What is looked for besides rails and zones: the word in [`Inventory::others`], and what to say
/// if it is not there.
fn expected(tegra: bool) -> [(&'static str, Missing); 6] {
    let gpu = if tegra {
        "no devfreq device of the GPU can be read"
    } else {
        "no GPU among the devfreq devices"
    };
    let mode = if tegra {
        "nvpmodel has noted none in /var/lib/nvpmodel/status"
    } else {
        "only Jetson boards have them"
    };
    let over = if tegra {
        "no soctherm_oc and no alarms of power monitors"
    } else {
        "only some Jetson boards count them"
    };
    [
        ("gpu-clock", missing(missing::GPU_CLOCK, gpu, "costs by clock of the GPU")),
        (
            "gpu-load",
            missing(
                missing::GPU_LOAD,
                "no load file of the GPU can be read",
                "telling others' load of the GPU from Squint's",
            ),
        ),
        (
            "cpu-clock",
            missing(missing::CPU_CLOCK, "no cpufreq", "costs by clock of the processors"),
        ),
        (
            "throttling",
            missing(
                missing::THROTTLING,
                "no cooling device slows a clock down or tells of it",
                "stepping down when the board throttles; trips and clocks are left",
            ),
        ),
        ("over-current", missing(missing::OVER_CURRENT, over, "stepping down on over-current")),
        ("power-mode", missing(missing::POWER_MODE, mode, "modes by nvpmodel")),
    ]
}

impl Telemetry for Sysfs {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        let begun = Cost::begin();
        *sample = Sample { at, ..Sample::default() };
        self.rails.read(at, &mut sample.rails);
        self.heat.read(&mut sample.temperatures);
        self.clocks.read(sample);
        sample.throttling = self.throttles.read();
        sample.over_current = self.over_current.read();
        sample.power_mode = self.power_mode.read();
        self.trust.judge(sample);
        sample.cost = begun.spent();
    }

    fn doubts(&self) -> Vec<Doubt> {
        self.trust.doubts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Celsius, Megahertz, Milliwatts};
    use std::fs;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_machine_with_nothing_has_nothing_and_says_so() {
        let root = tempfile::tempdir().unwrap();
        let mut sysfs = Sysfs::open(root.path());
        let inventory = sysfs.inventory();
        assert!(
            inventory.rails.is_empty() && inventory.zones.is_empty() && inventory.others.is_empty()
        );
        for what in [missing::RAILS, missing::ZONES, missing::GPU_CLOCK, missing::THROTTLING] {
            assert!(inventory.missing.iter().any(|missing| missing.what == what), "{what}");
        }
        let mut sample = Sample::default();
        sysfs.sample(Duration::from_secs(1), &mut sample);
        let nothing = Sample { at: sample.at, cost: sample.cost, ..Sample::default() };
        assert_eq!(sample, nothing, "unknown is never 0");
        assert!(sysfs.doubts().is_empty());
    }

    #[test]
    fn rails_are_found_by_name_and_channels_without_one_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let chip = "sys/bus/i2c/devices/1-0040";
        put(root.path(), &format!("{chip}/name"), "ina3221\n");
        for (channel, label, millivolts, milliamperes) in [
            (1, "VDD_SOC", 5000, 100),
            (2, "NC", 0, 0),
            (3, "VDD_IN", 5000, 1000),
            (7, "sum of shunt voltages", 9, 9),
        ] {
            put(root.path(), &format!("{chip}/hwmon/hwmon4/in{channel}_label"), label);
            put(
                root.path(),
                &format!("{chip}/hwmon/hwmon4/in{channel}_input"),
                &millivolts.to_string(),
            );
            put(
                root.path(),
                &format!("{chip}/hwmon/hwmon4/curr{channel}_input"),
                &milliamperes.to_string(),
            );
        }
        put(root.path(), "sys/class/devfreq/17000000.gp10b/cur_freq", "1300500000\n");
        put(root.path(), "sys/class/devfreq/17000000.nvenc/cur_freq", "1\n");
        put(root.path(), "sys/devices/gpu.0/load", "705\n");
        put(root.path(), "sys/class/thermal/thermal_zone0/type", "GPU-therm\n");
        put(root.path(), "sys/class/thermal/thermal_zone0/temp", "-256000\n");
        let mut sysfs = Sysfs::open(root.path());
        let names: Vec<_> = sysfs.inventory().rails.iter().map(|rail| rail.name.clone()).collect();
        assert_eq!(
            (names.as_slice(), sysfs.inventory().total),
            (["VDD_SOC".into(), "VDD_IN".into()].as_slice(), Some(1))
        );
        let mut sample = Sample::default();
        sysfs.sample(Duration::from_secs(1), &mut sample);
        assert_eq!(sample.rails.as_slice(), [Some(Milliwatts(500.0)), Some(Milliwatts(5000.0))]);
        assert_eq!(
            (sample.gpu_clock, sample.gpu_load),
            (Some(Megahertz(1300.5)), Some(0.705)),
            "load is in thousandths"
        );
        assert_eq!(sample.temperatures.as_slice(), [None], "-256 is off");
        assert_eq!(sysfs.doubts()[0].sensor, "GPU-therm");
        put(root.path(), "sys/class/thermal/thermal_zone0/temp", "41500\n");
        sysfs.sample(Duration::from_secs(2), &mut sample);
        assert_eq!(sample.temperatures.as_slice(), [Some(Celsius(41.5))]);
        assert!(sysfs.doubts().is_empty());
    }

    #[test]
    fn a_monitor_that_only_the_class_lists_is_found_too() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "sys/bus/i2c/devices/1-0040/name", "ina3221\n"); // no driver bound
        put(root.path(), "sys/class/hwmon/hwmon2/name", "ina3221\n");
        for (file, text) in [
            ("in1_label", "VDD_IN"),
            ("in1_input", "5000"),
            ("curr1_input", "600"),
            ("curr1_crit_alarm", "0"),
        ] {
            put(root.path(), &format!("sys/class/hwmon/hwmon2/{file}"), text);
        }
        let mut sysfs = Sysfs::open(root.path());
        let mut sample = Sample::default();
        sysfs.sample(Duration::ZERO, &mut sample);
        assert_eq!(
            (sample.rails.as_slice(), sample.over_current),
            ([Some(Milliwatts(3000.0))].as_slice(), Some(0))
        );
        put(root.path(), "sys/class/hwmon/hwmon2/curr1_crit_alarm", "1");
        sysfs.sample(Duration::from_secs(1), &mut sample);
        assert_eq!(sample.over_current, Some(1), "the alarm of a monitor is an over-current event");
    }

    #[test]
    fn a_board_without_a_total_gets_a_sum_that_is_marked_and_unknown_if_a_part_is() {
        let root = tempfile::tempdir().unwrap();
        let device = "sys/bus/i2c/devices/1-0040/iio:device0";
        put(root.path(), "sys/bus/i2c/devices/1-0040/name", "ina3221x\n");
        for (channel, name) in [(0, "GPU"), (1, "CPU")] {
            put(root.path(), &format!("{device}/rail_name_{channel}"), name);
            put(root.path(), &format!("{device}/in_power{channel}_input"), "1500\n");
        }
        let mut sysfs = Sysfs::open(root.path());
        let total = &sysfs.inventory().rails[2];
        assert!(total.sum && total.origin == "GPU + CPU" && sysfs.inventory().total == Some(2));
        let mut sample = Sample::default();
        sysfs.sample(Duration::ZERO, &mut sample);
        assert_eq!(sample.rails[2], Some(Milliwatts(3000.0)));
        fs::remove_file(root.path().join(device).join("in_power1_input")).unwrap();
        sysfs.sample(Duration::from_secs(1), &mut sample);
        assert_eq!(
            sample.rails.as_slice(),
            [Some(Milliwatts(1500.0)), None, None],
            "a part is gone"
        );
        put(root.path(), &format!("{device}/in_power1_input"), "500\n");
        put(root.path(), &format!("{device}/in_power0_input"), "no number\n");
        sysfs.sample(Duration::from_secs(2), &mut sample);
        assert_eq!(sample.rails.as_slice(), [None, Some(Milliwatts(500.0)), None]);
    }
}
