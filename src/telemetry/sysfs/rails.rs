//! Power rails: INA3221 monitors of Jetson boards, and RAPL where there are none. An edge module.
//!
//! Rails are found by the name that the board gives them, never by bus address or channel, which
//! differ between carriers. L4T 32 and before show a monitor as an iio device with ready-made
//! power, L4T 34 on as a hwmon device with voltage and current. The rail that stands for the board
//! is `VDD_IN` or `POM_5V_IN`; where there is neither it is the sum of all, marked as a sum.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrayvec::ArrayVec;

use super::node::{Node, entries, name, numbered, text};
use super::rapl::{Counter, Domain, Rapl};
use crate::telemetry::{MAX_RAILS, Missing, Rail, missing, names};
use crate::units::Milliwatts;

/// How a rail is read.
enum Meter {
    /// Power, mW.
    Power(Node),
    /// Voltage, mV, and current, mA.
    Product { voltage: Node, current: Node },
    /// An energy counter.
    Energy(Counter),
    /// The sum of the rails before it that are marked so in `summed`.
    Sum,
}

/// All rails of a board.
pub(super) struct Rails {
    meters: Vec<Meter>,
    /// True for the rails that go into the sum.
    summed: ArrayVec<bool, MAX_RAILS>,
    /// Alarms of the monitors: 1 while a current is above its limit.
    pub(super) alarms: Vec<Node>,
}

/// What was found of them.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rails: Vec<Rail>,
    pub(super) total: Option<usize>,
    pub(super) missing: Vec<Missing>,
}

impl Rails {
    /// The rails under `root`.
    pub(super) fn open(root: &Path) -> (Self, Found) {
        let mut rails = Self { meters: Vec::new(), summed: ArrayVec::new(), alarms: Vec::new() };
        let mut found = Found::default();
        let sys = root.join("sys");
        let mut no_monitors = true;
        // On the bus, or else wherever the class lists them.
        for chips in
            [chips(&sys.join("bus/i2c/devices"), ""), chips(&sys.join("class/hwmon"), "hwmon")]
        {
            if found.rails.is_empty() {
                no_monitors &= chips.is_empty();
                chips.iter().for_each(|chip| rails.monitor(chip, &mut found));
            }
        }
        if found.rails.is_empty() {
            rails.processors(&sys, no_monitors, &mut found);
        }
        rails.total(&mut found);
        (rails, found)
    }

    fn monitor(&mut self, chip: &Path, found: &mut Found) {
        for device in entries(chip, "iio:device") {
            for label in entries(&device, "rail_name_") {
                let (Some(rail), Some(channel)) =
                    (wanted(&label), numbered(&label, "rail_name_", ""))
                else {
                    continue;
                };
                if let Some(power) =
                    Node::open_silent(device.join(format!("in_power{channel}_input")))
                {
                    let origin = power.path().to_owned();
                    self.add(rail, &origin, Meter::Power(power), true, found);
                }
            }
        }
        let mut devices = entries(&chip.join("hwmon"), "hwmon");
        if devices.is_empty() && name(chip).starts_with("hwmon") {
            devices.push(chip.to_owned());
        }
        for device in devices {
            for label in entries(&device, "in") {
                let Some(channel) = numbered(&label, "in", "_label") else { continue };
                let Some(rail) = wanted(&label) else { continue };
                let voltage = Node::open_silent(device.join(format!("in{channel}_input")));
                let current = Node::open_silent(device.join(format!("curr{channel}_input")));
                if let (Some(voltage), Some(current)) = (voltage, current) {
                    let origin = current.path().to_owned();
                    self.add(rail, &origin, Meter::Product { voltage, current }, true, found);
                    let alarms = ["crit_alarm", "max_alarm"]
                        .map(|kind| device.join(format!("curr{channel}_{kind}")));
                    self.alarms.extend(alarms.into_iter().filter_map(Node::open));
                }
            }
        }
    }

    /// Counters of the processors, for machines without power monitors.
    fn processors(&mut self, sys: &Path, no_monitors: bool, found: &mut Found) {
        let rapl = Rapl::open(sys);
        let forbidden = rapl.forbidden;
        for counter in rapl.counters {
            let (rail, origin) = (counter.name.clone(), counter.path().to_owned());
            let summed = matches!(counter.domain, Domain::Package | Domain::Memory);
            // Some makers leave the platform's counter unconnected.
            if counter.domain == Domain::Platform
                && found.total.is_none()
                && counter.count().is_some_and(|count| count > 0)
            {
                found.total = Some(found.rails.len());
            }
            self.add(rail, &origin, Meter::Energy(counter), summed, found);
        }
        if found.rails.is_empty() {
            let why = match (forbidden, no_monitors) {
                (true, _) => "the energy counters of the processor may be read by root only",
                (false, true) => "no power monitor and no energy counter in sysfs",
                (false, false) => "there are power monitors, but none has a rail with a name",
            };
            found.missing.push(missing::power_rails(why));
        }
    }

    fn add(&mut self, name: String, origin: &Path, meter: Meter, summed: bool, found: &mut Found) {
        // One place is kept for the sum.
        if found.rails.len() + 1 >= MAX_RAILS {
            found.missing.push(missing::too_many(&name, MAX_RAILS - 1));
            return;
        }
        self.meters.push(meter);
        self.summed.push(summed);
        found.rails.push(Rail { name, origin: origin.display().to_string(), sum: false });
    }

    /// Finds the rail that stands for the board, or adds a sum.
    fn total(&mut self, found: &mut Found) {
        found.total =
            found.total.or_else(|| names::total(found.rails.iter().map(|rail| rail.name.as_str())));
        let mut summed =
            (0..).zip(&self.summed).filter(|(_, summed)| **summed).map(|(index, _)| index);
        match (found.total, summed.next(), summed.next()) {
            (None, Some(only), None) => found.total = Some(only),
            (None, Some(_), Some(_)) => {
                let parts = found.rails.iter().zip(&self.summed).filter(|(_, summed)| **summed);
                let origin =
                    parts.map(|(rail, _)| rail.name.as_str()).collect::<Vec<_>>().join(" + ");
                found.total = Some(found.rails.len());
                self.meters.push(Meter::Sum);
                self.summed.push(false);
                found.rails.push(Rail { name: "sum".into(), origin, sum: true });
            }
            _ => {}
        }
    }

    /// Reads all of them as they are; what they say may be wrong.
    pub(super) fn read(
        &mut self,
        at: Duration,
        into: &mut ArrayVec<Option<Milliwatts>, MAX_RAILS>,
    ) {
        into.clear();
        for meter in &mut self.meters {
            let power = match meter {
                Meter::Power(node) => node.integer().map(|power| power as f32),
                Meter::Product { voltage, current } => match (voltage.integer(), current.integer())
                {
                    (Some(millivolts), Some(milliamperes)) => {
                        Some((millivolts as f64 * milliamperes as f64 / 1000.0) as f32)
                    }
                    _ => None,
                },
                Meter::Energy(counter) => counter.milliwatts(at),
                // The last one: all of its parts are there, or it is unknown.
                Meter::Sum => {
                    let parts = into.iter().zip(&self.summed).filter(|(_, summed)| **summed);
                    parts
                        .map(|(power, _): (&Option<Milliwatts>, _)| power.map(|power| power.0))
                        .sum()
                }
            };
            into.push(power.map(Milliwatts));
        }
    }
}

/// Those entries of `folder` that begin with `prefix` and are INA3221 monitors.
fn chips(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let is_monitor = |folder: &PathBuf| {
        text(&folder.join("name")).is_some_and(|name| name.starts_with("ina3221"))
    };
    entries(folder, prefix).into_iter().filter(is_monitor).collect()
}

/// The name in `label`, unless the channel is not connected or is the sum that the monitor makes of
/// its own shunts.
fn wanted(label: &Path) -> Option<String> {
    text(label).filter(|name| {
        !name.eq_ignore_ascii_case("NC") && !name.to_ascii_lowercase().contains("sum of shunt")
    })
}
