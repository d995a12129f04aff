//! A board's readings as files, laid out as sysfs has them on a TX2 with L4T R32, so that the real
//! telemetry code reads them. Decides nothing.
//!
//! Layout: INA3221 over iio (`/sys/bus/i2c/devices/0-0040` and `0-0041`), thermal zones, devfreq
//! and load of the GPU, cpufreq, throttle alerts as cooling devices. What is not simulated (memory,
//! other processors) is not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::plant::clock::{MODES, STEPS_MHZ};
use super::plant::meter::{RAILS, Raw, Readings, ZONES};

/// Rails of one INA3221: its folder below the root, and their places in [`RAILS`].
const MONITORS: [(&str, [usize; 3]); 2] = [
    ("sys/bus/i2c/devices/0-0040/iio:device0", [0, 1, 2]),
    ("sys/bus/i2c/devices/0-0041/iio:device1", [3, 4, 5]),
];
/// The supply, mV.
const SUPPLY_MV: f64 = 19_000.0;
/// Zones.
const ZONES_AT: &str = "sys/devices/virtual/thermal/thermal_zone";
/// The GPU.
const GPU_AT: &str = "sys/class/devfreq/17000000.gp10b";
/// Its load.
const LOAD_AT: &str = "sys/devices/gpu.0/load";
/// The processors' clock.
const CPU_AT: &str = "sys/devices/system/cpu/cpu0/cpufreq";
/// The cooling device that shows throttling.
const ALERT_AT: &str = "sys/devices/virtual/thermal/cooling_device0";

/// A tree of files below a folder.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Makes the folders and everything that does not change. `root` stands for `/`.
    pub fn create(root: &Path, readings: &Readings) -> io::Result<Self> {
        let tree = Self { root: root.to_owned() };
        for (folder, rails) in MONITORS {
            let device = Path::new(folder).parent().unwrap_or(Path::new(""));
            tree.write(&device.join("name").to_string_lossy(), "ina3221x")?;
            tree.write(&format!("{folder}/name"), "ina3221x")?;
            for (channel, rail) in rails.into_iter().enumerate() {
                tree.write(&format!("{folder}/rail_name_{channel}"), RAILS[rail])?;
                tree.write(&format!("{folder}/crit_current_limit_{channel}"), "32760")?;
                tree.write(&format!("{folder}/warn_current_limit_{channel}"), "32760")?;
            }
        }
        for (place, name) in ZONES.iter().enumerate() {
            let zone = format!("{ZONES_AT}{place}");
            tree.write(&format!("{zone}/type"), name)?;
            if !matches!(*name, "PMIC-Die" | "Tboard_tegra" | "Tdiode_tegra" | "thermal-fan-est") {
                tree.write(&format!("{zone}/trip_point_0_type"), "passive")?;
                tree.write(&format!("{zone}/trip_point_0_temp"), "95500")?;
                tree.write(&format!("{zone}/trip_point_1_type"), "critical")?;
                tree.write(&format!("{zone}/trip_point_1_temp"), "101000")?;
                tree.write(&format!("{zone}/cdev0/type"), "gpu-throttle-alert")?;
                tree.write(&format!("{zone}/cdev0_trip_point"), "0")?;
            }
        }
        let steps: Vec<String> = STEPS_MHZ.iter().map(|mhz| format!("{:.0}", mhz * 1e6)).collect();
        tree.write(&format!("{GPU_AT}/available_frequencies"), &steps.join(" "))?;
        tree.write(&format!("{GPU_AT}/min_freq"), &steps[0])?;
        tree.write(&format!("{GPU_AT}/governor"), "nvhost_podgov")?;
        tree.write(&format!("{ALERT_AT}/type"), "gpu-throttle-alert")?;
        tree.write(&format!("{ALERT_AT}/max_state"), "1")?;
        tree.write(
            "etc/nv_tegra_release",
            "# R32 (release), REVISION: 7.1, GCID: 0, BOARD: t186ref, EABI: aarch64",
        )?;
        tree.write("proc/device-tree/model", "quill\0")?;
        tree.update(readings)?;
        Ok(tree)
    }

    /// Writes what the board reads now. A sensor that is gone has no files.
    pub fn update(&self, readings: &Readings) -> io::Result<()> {
        for (folder, rails) in MONITORS {
            for (channel, rail) in rails.into_iter().enumerate() {
                let files = ["voltage", "current", "power"]
                    .map(|kind| format!("{folder}/in_{kind}{channel}_input"));
                match readings.rails[rail] {
                    Raw::Gone => files.iter().try_for_each(|file| self.remove(file))?,
                    raw => {
                        let mw = if let Raw::Value(mw) = raw { mw } else { 0.0 };
                        let values = [SUPPLY_MV, mw * 1000.0 / SUPPLY_MV, mw];
                        for (file, value) in files.iter().zip(values) {
                            self.write(file, &format!("{value:.0}"))?;
                        }
                    }
                }
            }
        }
        for (place, raw) in readings.zones.iter().enumerate() {
            let file = format!("{ZONES_AT}{place}/temp");
            match raw {
                Raw::Value(celsius) => self.write(&file, &format!("{:.0}", celsius * 1000.0))?,
                Raw::Off => self.write(&file, "-256000")?,
                Raw::Gone => self.remove(&file)?,
            }
        }
        self.write(&format!("{GPU_AT}/cur_freq"), &format!("{:.0}", readings.gpu_clock * 1e6))?;
        self.write(&format!("{GPU_AT}/max_freq"), &format!("{:.0}", readings.gpu_clock_cap * 1e6))?;
        self.write(LOAD_AT, &format!("{:.0}", readings.gpu_load * 1000.0))?;
        self.write(
            &format!("{CPU_AT}/scaling_cur_freq"),
            &format!("{:.0}", readings.cpu_clock * 1000.0),
        )?;
        self.write(&format!("{ALERT_AT}/cur_state"), if readings.throttling { "1" } else { "0" })?;
        let mode = readings.mode.min(MODES.len() - 1);
        self.write("var/lib/nvpmodel/status", &format!("pmode:{mode:04}"))
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.root.join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, format!("{text}\n"))
    }

    /// Takes a file away; who holds it open finds it empty, as a node of a device that is gone
    /// cannot be read.
    fn remove(&self, file: &str) -> io::Result<()> {
        let path = self.root.join(file);
        if path.exists() {
            fs::write(&path, "")?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
