//! Signs that a board slows itself down, and over-current events. An edge module.
//!
//! Throttling shows as the state of a cooling device that is a clock or a throttle
//! (`cpu-throttle-alert`, `hot-surface-alert`, `thermal-devfreq-0`), on x86 also as a counter that
//! the kernel keeps per package. Over-current shows as event counters (`soctherm_oc`, L4T 35 on)
//! and as alarms of the power monitors. A fan that runs is no sign of anything.

use std::path::Path;

use super::heat::throttles;
use super::node::{Node, entries, text};

/// Most cooling devices, counters and alarms that are read, each.
const MAX_EACH: usize = 24;

/// What shows that a board slows itself down.
pub(super) struct Throttles {
    /// Above 0 while a device slows something down.
    states: Vec<Node>,
    /// Counters that grow while a processor is slowed down.
    counters: Vec<(Node, Option<i64>)>,
}

impl Throttles {
    /// Under `sys`; and where it is read, if anywhere.
    pub(super) fn open(sys: &Path) -> (Self, Option<String>) {
        let mut states: Vec<Node> = Vec::new();
        let mut origins = Vec::new();
        for place in ["class/thermal", "devices/virtual/thermal"] {
            if states.is_empty() {
                for device in entries(&sys.join(place), "cooling_device").iter().take(4 * MAX_EACH)
                {
                    let Some(kind) = text(&device.join("type")).filter(|kind| shows(kind)) else {
                        continue;
                    };
                    // A device that knows no state but 0 cannot slow anything down.
                    if text(&device.join("max_state")).as_deref() == Some("0")
                        || states.len() >= MAX_EACH
                    {
                        continue;
                    }
                    if let Some(node) = Node::open(device.join("cur_state")) {
                        states.push(node);
                        origins.push(kind);
                    }
                }
            }
        }
        let counters: Vec<_> = entries(&sys.join("devices/system/cpu"), "cpu")
            .iter()
            .filter_map(|cpu| Node::open(cpu.join("thermal_throttle/package_throttle_count")))
            .map(|node| (node, None))
            .take(1) // of one processor: all of a package say the same
            .collect();
        if !counters.is_empty() {
            origins.push("package_throttle_count".into());
        }
        origins.sort();
        origins.dedup();
        let origin = (!origins.is_empty()).then(|| origins.join(", "));
        (Self { states, counters }, origin)
    }

    /// True while something is slowed down; `None` if nothing answers.
    pub(super) fn read(&mut self) -> Option<bool> {
        let mut known = None;
        for node in &mut self.states {
            if let Some(state) = node.integer() {
                known = Some(known.unwrap_or(false) || state > 0);
            }
        }
        for (node, before) in &mut self.counters {
            let count = node.integer();
            let was = std::mem::replace(before, count);
            if let Some(count) = count {
                known = Some(known.unwrap_or(false) || was.is_some_and(|was| count > was));
            }
        }
        known
    }
}

/// True if the state of a cooling device of this type says that the board slows itself down.
fn shows(kind: &str) -> bool {
    throttles(kind) || kind.ends_with("hot-surface-alert")
}

/// Over-current events.
pub(super) struct OverCurrent {
    /// Counters of events, and what they said before.
    counters: Vec<(Node, Option<u64>)>,
    /// Alarms that are 1 as long as a current is too high.
    alarms: Vec<(Node, bool)>,
    events: u64,
}

impl OverCurrent {
    /// Event counters under `sys`, and the alarms of power monitors; and where they are read, if
    /// anywhere.
    pub(super) fn open(sys: &Path, mut alarms: Vec<Node>) -> (Self, Option<String>) {
        let mut counters = Vec::new();
        for chip in entries(&sys.join("class/hwmon"), "hwmon") {
            if text(&chip.join("name")).as_deref() == Some("soctherm_oc") {
                let events = entries(&chip, "oc")
                    .into_iter()
                    .filter(|path| path.to_string_lossy().ends_with("_event_cnt"));
                counters.extend(events.filter_map(Node::open).map(|node| (node, None)));
            }
        }
        counters.truncate(MAX_EACH);
        alarms.truncate(MAX_EACH);
        let origin = match (counters.len(), alarms.len()) {
            (0, 0) => None,
            (counters, 0) => Some(format!("{counters} counters of soctherm_oc")),
            (0, alarms) => Some(format!("{alarms} alarms of ina3221")),
            (counters, alarms) => {
                Some(format!("{counters} counters of soctherm_oc, {alarms} alarms of ina3221"))
            }
        };
        (
            Self {
                counters,
                alarms: alarms.into_iter().map(|node| (node, false)).collect(),
                events: 0,
            },
            origin,
        )
    }

    /// Events since the first reading, and one for each alarm that began; `None` if nothing
    /// answers.
    pub(super) fn read(&mut self) -> Option<u64> {
        let mut answers = false;
        for (node, before) in &mut self.counters {
            let Some(count) = node.integer().and_then(|count| u64::try_from(count).ok()) else {
                continue;
            };
            answers = true;
            // A counter that went back began again at 0.
            let new = before.map_or(0, |before| count.checked_sub(before).unwrap_or(count));
            self.events = self.events.saturating_add(new);
            *before = Some(count);
        }
        for (node, on) in &mut self.alarms {
            let Some(alarm) = node.integer() else { continue };
            answers = true;
            self.events = self.events.saturating_add(u64::from(alarm > 0 && !*on));
            *on = alarm > 0;
        }
        answers.then_some(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_throttle_shows_and_a_fan_does_not() {
        let root = tempfile::tempdir().unwrap();
        let (mut none, origin) = Throttles::open(root.path());
        assert_eq!((none.read(), origin), (None, None));
        put(root.path(), "class/thermal/cooling_device0/type", "pwm-fan\n");
        put(root.path(), "class/thermal/cooling_device0/cur_state", "3\n");
        put(root.path(), "class/thermal/cooling_device1/type", "gpu-throttle-alert\n");
        put(root.path(), "class/thermal/cooling_device1/cur_state", "0\n");
        let (mut throttles, origin) = Throttles::open(root.path());
        assert_eq!(
            (throttles.read(), origin.as_deref()),
            (Some(false), Some("gpu-throttle-alert"))
        );
        put(root.path(), "class/thermal/cooling_device1/cur_state", "1\n");
        assert_eq!(throttles.read(), Some(true));
    }

    #[test]
    fn a_processor_throttles_while_its_counter_grows() {
        let (root, path) = (
            tempfile::tempdir().unwrap(),
            "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count",
        );
        put(root.path(), path, "12\n");
        let (mut throttles, _) = Throttles::open(root.path());
        assert_eq!(throttles.read(), Some(false), "what was before Squint is no news");
        put(root.path(), path, "14\n");
        assert_eq!((throttles.read(), throttles.read()), (Some(true), Some(false)));
    }

    #[test]
    fn over_current_events_are_counted_and_an_alarm_counts_once() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "class/hwmon/hwmon3/name", "soctherm_oc\n");
        put(root.path(), "class/hwmon/hwmon3/oc1_event_cnt", "40\n");
        put(root.path(), "alarm", "0\n");
        let (mut events, _) =
            OverCurrent::open(root.path(), vec![Node::open(root.path().join("alarm")).unwrap()]);
        assert_eq!(events.read(), Some(0));
        put(root.path(), "class/hwmon/hwmon3/oc1_event_cnt", "43\n");
        put(root.path(), "alarm", "1\n");
        assert_eq!((events.read(), events.read()), (Some(4), Some(4)));
        put(root.path(), "alarm", "0\n");
        assert_eq!(events.read(), Some(4));
        put(root.path(), "alarm", "1\n");
        put(root.path(), "class/hwmon/hwmon3/oc1_event_cnt", "2\n");
        assert_eq!(events.read(), Some(7), "a counter that began again");
    }
}
