//! The limit in force as a sentence for the journal and for people. Pure.

use super::grants::{Because, Why};
use crate::telemetry::Inventory;

impl Because {
    /// One line without a full stop: `GPU-therm would be at 71.2 °C, the ceiling is 70.0 °C` (in
    /// half a minute, that is). A figure that is missing is left out.
    pub fn tell(&self, inventory: &Inventory) -> String {
        let zone = self
            .zone
            .and_then(|at| inventory.zones.get(usize::from(at)))
            .map_or("a zone", |zone| zone.name.as_str());
        let against = |begin: &str, unit: &str, limit: &str, decimals: usize| match (
            self.value, self.limit,
        ) {
            (Some(value), Some(most)) => {
                format!("{begin} {value:.decimals$} {unit}, {limit} is {most:.decimals$} {unit}")
            }
            (Some(value), None) => format!("{begin} {value:.decimals$} {unit}"),
            (None, Some(most)) => format!("{limit} is {most:.decimals$} {unit}"),
            (None, None) => format!("{limit} is reached"),
        };
        match self.why {
            Why::Free => "nothing holds the budget down".into(),
            Why::Temperature => against(&format!("{zone} would be at"), "°C", "the ceiling", 1),
            Why::Throttling => "the board throttles itself".into(),
            Why::OverCurrent => match self.value {
                Some(count) => format!("over-current, {count:.0} events so far"),
                None => "over-current".into(),
            },
            Why::Power => against("on average", "mW", "the cap", 0),
            Why::EnergyDay => against("in 24 hours", "Wh", "the limit", 1),
            Why::EnergyFrame => against("a frame takes", "mJ", "the limit", 1),
            Why::Latency => {
                against("the 95th percentile of an engine left out is", "ms", "the limit", 1)
            }
            Why::Blind => "a reading that a limit needs is gone, so nothing is raised".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Zone;

    #[test]
    fn each_reason_is_a_line_with_its_figures() {
        let zone = Zone {
            name: "GPU-therm".into(),
            origin: "test".into(),
            trips: vec![],
            throttle_at: None,
            governs: true,
        };
        let inventory = Inventory { zones: vec![zone], ..Inventory::default() };
        let because = |why| Because { why, value: Some(71.23), limit: Some(70.0), zone: Some(0) };
        assert_eq!(
            because(Why::Temperature).tell(&inventory),
            "GPU-therm would be at 71.2 °C, the ceiling is 70.0 °C"
        );
        assert_eq!(because(Why::Power).tell(&inventory), "on average 71 mW, the cap is 70 mW");
        assert_eq!(
            Because { value: None, ..because(Why::EnergyDay) }.tell(&inventory),
            "the limit is 70.0 Wh"
        );
        for why in Why::ALL {
            let line = Because { why, zone: Some(9), ..Because::default() }.tell(&inventory);
            assert!(!line.is_empty() && !line.contains('\n'), "{line}");
        }
    }
}
