//! Named modes: how `saver`, `balanced`, `performance` and `unlimited` change the user's limits on
//! this board. Pure.
//!
//! A mode only tightens the user's limits, except `unlimited`, which lifts all of them but the
//! board's own ceiling.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::governor::MARGIN;
use super::grants::{Limits, PowerCap};
use crate::telemetry::Inventory;
use crate::units::{Celsius, Milliwatts};

/// What a mode that saves leaves of a cap or an energy.
const SAVING: f64 = 0.7;
/// Averages of a cap that a mode brings along.
const WINDOW: Duration = Duration::from_secs(60);
/// Most watts that a power mode's name is believed to tell.
const MOST_LABELLED_W: f32 = 1000.0;

/// A named mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Seven tenths of the user's cap and energies; without a cap the lowest watts in the names of
    /// the board's power modes. The ceiling is 10 °C lower, the least frame rate half.
    Saver,
    /// The user's limits; without a cap seven tenths of the highest watts in the names of the
    /// board's power modes, and without a ceiling one 5 °C lower than the board's own.
    Balanced,
    /// The user's limits as they are.
    #[default]
    Performance,
    /// None of the user's limits, only the board's own ceiling.
    Unlimited,
}

/// A word that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mode; there are saver, balanced, performance and unlimited")]
pub struct UnknownMode(pub String);

impl Mode {
    /// All of them, thriftiest first.
    pub const ALL: [Self; 4] = [Self::Saver, Self::Balanced, Self::Performance, Self::Unlimited];

    /// The word in configuration, commands and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Saver => "saver",
            Self::Balanced => "balanced",
            Self::Performance => "performance",
            Self::Unlimited => "unlimited",
        }
    }

    /// The limits in this mode, from the `user`'s and what the board says. A cap that the board
    /// cannot measure is not brought along.
    pub fn limits(self, user: &Limits, inventory: &Inventory) -> Limits {
        let labels = labelled_watts(inventory);
        let brought =
            |watts: f32| PowerCap { rail: None, cap: Milliwatts(watts * 1000.0), window: WINDOW };
        let measured = inventory.total.is_some();
        match self {
            Self::Performance => user.clone(),
            Self::Unlimited => Limits { min_fps: user.min_fps, ..Limits::default() },
            Self::Balanced => {
                let highest = labels
                    .map(|(_, highest)| brought(highest * SAVING as f32))
                    .filter(|_| measured);
                let power = user.power.clone().or(highest);
                let ceiling =
                    user.ceiling.or_else(|| own_ceiling(inventory).map(|own| Celsius(own.0 - 5.0)));
                Limits { power, ceiling, ..user.clone() }
            }
            Self::Saver => {
                let tight = |cap: &PowerCap| PowerCap {
                    cap: Milliwatts(cap.cap.0 * SAVING as f32),
                    ..cap.clone()
                };
                let lowest = labels.map(|(lowest, _)| brought(lowest)).filter(|_| measured);
                let power = user.power.as_ref().map(tight).or(lowest);
                let ceiling = user
                    .ceiling
                    .or_else(|| own_ceiling(inventory))
                    .map(|ceiling| Celsius(ceiling.0 - 10.0));
                Limits {
                    power,
                    ceiling,
                    energy_per_frame: user
                        .energy_per_frame
                        .map(|energy| crate::units::Millijoules(energy.0 * SAVING)),
                    energy_per_day_wh: user.energy_per_day_wh.map(|energy| energy * SAVING),
                    min_fps: user.min_fps * 0.5,
                    latency: user.latency,
                }
            }
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == word)
            .ok_or_else(|| UnknownMode(word.chars().take(64).collect()))
    }
}

/// The lowest ceiling that the governing zones have without the user.
fn own_ceiling(inventory: &Inventory) -> Option<Celsius> {
    let throttle =
        inventory.zones.iter().filter(|zone| zone.governs).filter_map(|zone| zone.throttle_at);
    throttle.min_by(|a, b| a.0.total_cmp(&b.0)).map(|at| Celsius(at.0 - MARGIN.0))
}

/// Lowest and highest watts in the names of the power modes. On a TX2 they are not in the names but
/// in its documents.
fn labelled_watts(inventory: &Inventory) -> Option<(f32, f32)> {
    let named = inventory.power_modes.iter().filter_map(|(_, name)| watts_in(name));
    let all = named.fold(None, |range: Option<(f32, f32)>, watts| {
        Some(range.map_or((watts, watts), |(low, high)| (low.min(watts), high.max(watts))))
    });
    let tx2 = inventory.power_modes.iter().any(|(_, name)| name == "MAXP_CORE_DENVER");
    all.or(tx2.then_some((7.5, 15.0)))
}

/// `15` of `MODE_15W_2CORE`, `7.5` of `7.5W`; `None` without watts.
fn watts_in(name: &str) -> Option<f32> {
    let watts = |word: &str| {
        word.strip_suffix(['W', 'w'])?
            .parse::<f32>()
            .ok()
            .filter(|watts| *watts > 0.0 && *watts <= MOST_LABELLED_W)
    };
    name.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).find_map(watts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Rail, Zone};
    use crate::units::Millijoules;

    fn board(modes: &[&str]) -> Inventory {
        Inventory {
            rails: vec![Rail { name: "VDD_IN".into(), origin: "test".into(), sum: false }],
            total: Some(0),
            zones: vec![Zone {
                name: "GPU-therm".into(),
                origin: "test".into(),
                trips: vec![],
                throttle_at: Some(Celsius(95.5)),
                governs: true,
            }],
            power_modes: modes
                .iter()
                .enumerate()
                .map(|(at, name)| (at as u32, (*name).to_owned()))
                .collect(),
            ..Inventory::default()
        }
    }

    fn user() -> Limits {
        Limits {
            latency: Some(Duration::from_millis(100)),
            power: Some(PowerCap {
                rail: Some("VDD_IN".into()),
                cap: Milliwatts(10_000.0),
                window: Duration::from_secs(300),
            }),
            ceiling: Some(Celsius(70.0)),
            energy_per_frame: Some(Millijoules(100.0)),
            energy_per_day_wh: Some(200.0),
            min_fps: 2.0,
        }
    }

    #[test]
    fn performance_is_what_the_user_wrote_and_unlimited_nothing_of_it() {
        assert_eq!(Mode::Performance.limits(&user(), &board(&[])), user());
        assert_eq!(
            Mode::Unlimited.limits(&user(), &board(&[])),
            Limits { min_fps: 2.0, ..Limits::default() }
        );
    }

    #[test]
    fn saver_tightens_what_the_user_wrote_and_keeps_its_rail_and_window() {
        let limits = Mode::Saver.limits(&user(), &board(&["MAXN"]));
        let power = limits.power.unwrap();
        assert!(
            (power.cap.0 - 7000.0).abs() < 0.1
                && power.rail.as_deref() == Some("VDD_IN")
                && power.window.as_secs() == 300
        );
        assert_eq!(
            (limits.ceiling, limits.min_fps, limits.latency),
            (Some(Celsius(60.0)), 1.0, user().latency)
        );
        assert!(
            (limits.energy_per_day_wh.unwrap() - 140.0).abs() < 1e-9
                && (limits.energy_per_frame.unwrap().0 - 70.0).abs() < 1e-9
        );
    }

    #[test]
    fn without_the_users_limits_the_board_gives_the_figures() {
        let xavier = board(&["MAXN", "MODE_10W", "MODE_15W", "MODE_30W_ALL"]);
        let none = Limits::default();
        let saver = Mode::Saver.limits(&none, &xavier);
        assert_eq!(
            (saver.power.unwrap().cap, saver.ceiling),
            (Milliwatts(10_000.0), Some(Celsius(80.5)))
        );
        let balanced = Mode::Balanced.limits(&none, &xavier);
        assert!(
            (balanced.power.unwrap().cap.0 - 21_000.0).abs() < 1.0
                && balanced.ceiling == Some(Celsius(85.5))
        );
        let tx2 = board(&["MAXN", "MAXQ", "MAXP_CORE_ALL", "MAXP_CORE_ARM", "MAXP_CORE_DENVER"]);
        assert_eq!(Mode::Saver.limits(&none, &tx2).power.unwrap().cap, Milliwatts(7500.0));
    }

    #[test]
    fn a_board_without_rails_gets_no_cap_that_nobody_wrote() {
        let bare = Inventory { total: None, rails: vec![], zones: vec![], ..board(&["MODE_10W"]) };
        for mode in Mode::ALL {
            assert_eq!(
                (
                    mode.limits(&Limits::default(), &bare).power,
                    mode.limits(&Limits::default(), &bare).ceiling
                ),
                (None, None),
                "{mode}"
            );
        }
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert!("turbo".parse::<Mode>().unwrap_err().to_string().contains("saver, balanced"));
    }

    #[test]
    fn watts_are_found_in_names_and_not_made_up() {
        for (name, watts) in [
            ("MODE_15W", Some(15.0)),
            ("7.5W", Some(7.5)),
            ("MAXN", None),
            ("W", None),
            ("MODE_0W", None),
            ("40W_8CORE", Some(40.0)),
        ] {
            assert_eq!(watts_in(name), watts, "{name}");
        }
    }
}
