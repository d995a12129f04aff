//! Which mode holds now: by command, by the board's power mode, by the time of day, or as
//! configured. Pure; the time is an argument.
//!
//! The order is: a command, until the command `auto`; the mode for the board's power mode, because
//! somebody switched that on purpose; the mode for the time of day; the configured mode.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::modes::Mode;
use crate::telemetry::Inventory;

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// Most entries of either kind.
pub const MAX_ENTRIES: usize = 48;

/// A part of the day, from a minute (included) to another (not included), over midnight if the end
/// is not after the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: u16,
    to: u16,
}

/// A text that is no part of a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no part of a day; write it like 22:00-06:00, from 00:00 to 24:00, with two different times"
)]
pub struct NoSpan(pub String);

/// More entries than are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} entries in a schedule, at most {MAX_ENTRIES} are taken")]
pub struct TooMany {
    /// How many there were.
    pub given: usize,
}

/// Which mode when, apart from commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    configured: Mode,
    times: Vec<(Span, Mode)>,
    power_modes: Vec<(PowerMode, Mode)>,
}

/// How a power mode is named: `MAXQ`, or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PowerMode {
    /// By number.
    Number(u32),
    /// By name, case aside.
    Name(String),
}

/// Who chose the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenBy {
    /// A command or a signal.
    Command,
    /// The board's power mode.
    PowerMode,
    /// The time of day.
    Time,
    /// The configuration.
    Config,
}

impl ChosenBy {
    /// The word in status and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::PowerMode => "power-mode",
            Self::Time => "time",
            Self::Config => "config",
        }
    }
}

impl Schedule {
    /// `configured` holds when nothing else does. The first matching entry of a list counts. Errors
    /// with more than [`MAX_ENTRIES`] in a list.
    pub fn new(
        configured: Mode,
        times: Vec<(Span, Mode)>,
        power_modes: Vec<(PowerMode, Mode)>,
    ) -> Result<Self, TooMany> {
        match times.len().max(power_modes.len()) {
            given if given > MAX_ENTRIES => Err(TooMany { given }),
            _ => Ok(Self { configured, times, power_modes }),
        }
    }

    /// The mode now and who chose it. `minute` is the local minute of the day, 0..1440, `None` if
    /// the clock is not to be trusted; `power_mode` the board's, `None` if unknown.
    pub fn mode(
        &self,
        command: Option<Mode>,
        minute: Option<u16>,
        power_mode: Option<u32>,
        inventory: &Inventory,
    ) -> (Mode, ChosenBy) {
        if let Some(mode) = command {
            return (mode, ChosenBy::Command);
        }
        let by_power = power_mode
            .and_then(|number| self.power_modes.iter().find(|(key, _)| key.is(number, inventory)));
        if let Some((_, mode)) = by_power {
            return (*mode, ChosenBy::PowerMode);
        }
        match minute.and_then(|minute| self.times.iter().find(|(span, _)| span.holds(minute))) {
            Some((_, mode)) => (*mode, ChosenBy::Time),
            None => (self.configured, ChosenBy::Config),
        }
    }
}

impl Span {
    /// True if `minute` of the day lies in it.
    pub fn holds(&self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let refused = || NoSpan(text.chars().take(64).collect());
        let (from, to) = text.split_once('-').ok_or_else(refused)?;
        let (from, to) =
            (minute(from.trim()).ok_or_else(refused)?, minute(to.trim()).ok_or_else(refused)?);
        if from == DAY || from == to { Err(refused()) } else { Ok(Self { from, to }) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            self.from / 60,
            self.from % 60,
            self.to / 60,
            self.to % 60
        )
    }
}

impl PowerMode {
    fn is(&self, number: u32, inventory: &Inventory) -> bool {
        match self {
            Self::Number(wanted) => *wanted == number,
            Self::Name(wanted) => inventory
                .power_modes
                .iter()
                .any(|(at, name)| *at == number && name.eq_ignore_ascii_case(wanted)),
        }
    }
}

impl fmt::Display for PowerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl From<&str> for PowerMode {
    fn from(word: &str) -> Self {
        word.parse().map_or_else(|_| Self::Name(word.to_owned()), Self::Number)
    }
}

/// `22:00` as a minute of the day, up to 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |word: &str| {
        Some(word)
            .filter(|word| {
                (1..=2).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit())
            })?
            .parse::<u16>()
            .ok()
    };
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|m| *m < 60)?);
    Some(hours * 60 + minutes).filter(|minute| *minute <= DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        let times = vec![
            ("22:00-06:00".parse().unwrap(), Mode::Saver),
            ("06:00-09:30".parse().unwrap(), Mode::Balanced),
        ];
        Schedule::new(
            Mode::Performance,
            times,
            vec![("MAXQ".into(), Mode::Saver), ("0".into(), Mode::Unlimited)],
        )
        .unwrap()
    }

    fn tx2() -> Inventory {
        Inventory {
            power_modes: vec![(0, "MAXN".into()), (1, "MAXQ".into()), (3, "MAXP_CORE_ARM".into())],
            ..Inventory::default()
        }
    }

    #[test]
    fn the_time_of_day_chooses_over_midnight() {
        let at = |minute| schedule().mode(None, Some(minute), None, &tx2());
        assert_eq!(at(22 * 60), (Mode::Saver, ChosenBy::Time));
        assert_eq!(at(0), (Mode::Saver, ChosenBy::Time));
        assert_eq!(at(6 * 60 - 1), (Mode::Saver, ChosenBy::Time));
        assert_eq!(at(6 * 60), (Mode::Balanced, ChosenBy::Time));
        assert_eq!(at(9 * 60 + 30), (Mode::Performance, ChosenBy::Config));
    }

    #[test]
    fn a_command_is_heard_before_the_power_mode_and_that_before_the_time() {
        let schedule = schedule();
        assert_eq!(
            schedule.mode(Some(Mode::Balanced), Some(0), Some(0), &tx2()),
            (Mode::Balanced, ChosenBy::Command)
        );
        assert_eq!(
            schedule.mode(None, Some(0), Some(0), &tx2()),
            (Mode::Unlimited, ChosenBy::PowerMode)
        );
        assert_eq!(
            schedule.mode(None, Some(600), Some(1), &tx2()),
            (Mode::Saver, ChosenBy::PowerMode)
        );
        assert_eq!(schedule.mode(None, Some(0), Some(3), &tx2()), (Mode::Saver, ChosenBy::Time));
        assert_eq!(schedule.mode(None, None, None, &tx2()), (Mode::Performance, ChosenBy::Config));
    }

    #[test]
    fn times_are_read_and_printed_alike() {
        for text in ["22:00-06:00", "00:00-24:00", "06:15-06:16"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "22-6",
            "25:00-06:00",
            "10:60-11:00",
            "10:00-10:00",
            "24:00-01:00",
            "1000:00-1:00",
            "+1:00-2:00",
            "10:00",
        ] {
            assert!(
                text.parse::<Span>().unwrap_err().to_string().contains("22:00-06:00"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_schedule_without_end_is_refused() {
        let span: Span = "10:00-11:00".parse().unwrap();
        assert_eq!(
            Schedule::new(Mode::Saver, vec![(span, Mode::Saver); 49], vec![]),
            Err(TooMany { given: 49 })
        );
    }
}
