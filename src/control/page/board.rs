//! The part of the page about board and budget: readings, limits, grants and reasons. Pure.
//!
//! Unknown values are left out; they are never shown as 0.

use super::{Escaped, GREEN, Page, RED, YELLOW};
use crate::budget::Why;
use crate::observe::{BudgetState, EngineState, State, ZoneState};

/// Rails on the page; a board has up to a dozen.
const MOST_RAILS: usize = 6;

impl Page {
    /// The mode, what holds the budget down, and who may look.
    pub(super) fn budget(&mut self, state: &State) {
        let Some(budget) = &state.budget else { return };
        let (free, held) = held(budget);
        let held = self.paint(if free { GREEN } else { YELLOW }, &held);
        let (mode, by) = (Escaped(&budget.mode), Escaped(&budget.chosen_by));
        self.put(format_args!("\nbudget {mode} (by {by}): {held}\n"));
        if !free {
            self.indented("  ", &budget.allowed(), "");
        }
    }

    /// What the board reads.
    pub(super) fn board(&mut self, state: &State) {
        let Some(board) = &state.board else { return };
        let mut facts = Vec::new();
        let name = board.name.as_deref().unwrap_or("board");
        let mut rails: Vec<_> =
            board.rails.iter().filter_map(|rail| Some((rail, rail.mw?))).collect();
        rails.sort_by_key(|(rail, _)| !rail.total);
        let left = rails.len().saturating_sub(MOST_RAILS);
        facts.extend(
            rails.iter().take(MOST_RAILS).map(|(rail, mw)| format!("{} {}", rail.name, watts(*mw))),
        );
        facts.extend((left > 0).then(|| format!("{left} more rails")));
        facts.extend(board.closest().map(zone));
        let gpu = [
            board.gpu_clock_mhz.map(|mhz| format!("{mhz:.0} MHz")),
            board.gpu_load.map(|load| format!("{:.0} % busy", load * 100.0)),
        ];
        let gpu: Vec<_> = gpu.into_iter().flatten().collect();
        facts.extend((!gpu.is_empty()).then(|| format!("GPU {}", gpu.join(" "))));
        facts.extend(board.power_mode.as_ref().map(|mode| format!("power mode {mode}")));
        facts.extend(
            board
                .over_current
                .filter(|count| *count > 0)
                .map(|count| format!("{count} over-current events")),
        );
        if facts.is_empty() {
            facts.push("no sensor reads anything; `squint doctor` tells what is missing".into());
        }
        self.indented("", &format!("{name}: {}", facts.join(", ")), "");
        if board.throttling == Some(true) {
            let words = self.paint(RED, "the board slows itself down");
            self.put(format_args!("{words}\n"));
        }
    }
}

/// For the page in one line; nothing if there is nothing to tell.
pub(super) fn brief(state: &State) -> String {
    let mut text = String::new();
    if let Some(budget) = &state.budget {
        let held = if budget.because == Why::Free.name() { "" } else { budget.because.as_str() };
        text.push_str(&format!(
            ", budget {}{}{}",
            Escaped(&budget.mode),
            if held.is_empty() { "" } else { " held by " },
            Escaped(held)
        ));
    }
    if let Some(board) = &state.board {
        text.extend(board.total_mw().map(|mw| format!(", {}", watts(mw))));
        text.extend(
            board
                .closest()
                .and_then(|zone| zone.celsius)
                .map(|celsius| format!(", {celsius:.1} °C")),
        );
    }
    text
}

/// What a look of an engine costs now.
pub(super) fn cost(engine: &EngineState) -> Option<String> {
    let p50 = engine.p50_ms.map(|ms| format!("p50 {ms:.1} ms"));
    let p95 = engine.p95_ms.map(|ms| format!("p95 {ms:.1} ms"));
    let energy = engine.energy_mj.map(|mj| format!("{mj:.1} mJ"));
    let by = engine.runtime.as_ref().map(|runtime| format!("by {}", Escaped(runtime)));
    let told: Vec<_> = [p50, p95, energy, by].into_iter().flatten().collect();
    (!told.is_empty()).then(|| format!("a look now: {}", told.join(", ")))
}

/// True if nothing holds it down; and what does, with the figures.
fn held(budget: &BudgetState) -> (bool, String) {
    let unit = match Why::ALL.into_iter().find(|why| why.name() == budget.because) {
        Some(Why::Free) => return (true, "nothing holds it down".into()),
        Some(Why::Temperature) => "°C",
        Some(Why::Power) => "mW",
        Some(Why::EnergyDay) => "Wh",
        Some(Why::EnergyFrame) => "mJ",
        Some(Why::Latency) => "ms",
        Some(Why::Throttling | Why::OverCurrent | Why::Blind) | None => "",
    };
    let zone =
        budget.zone.as_ref().map(|zone| format!(" of {}", Escaped(zone))).unwrap_or_default();
    let figures = match (budget.value, budget.limit) {
        (Some(value), Some(limit)) => format!(", {value:.1} of {limit:.1} {unit}"),
        _ => String::new(),
    };
    (false, format!("held by {}{zone}{figures}", Escaped(&budget.because)))
}

/// `GPU-therm 71.5 of 85.0 °C (the board slows down at 95.5 °C)`.
fn zone(zone: &ZoneState) -> String {
    let celsius = zone.celsius.map_or("-".into(), |celsius| format!("{celsius:.1}"));
    let ceiling = zone.ceiling.map(|ceiling| format!(" of {ceiling:.1}")).unwrap_or_default();
    let throttle = zone
        .throttle_at
        .map(|at| format!(" (the board slows down at {at:.1} °C)"))
        .unwrap_or_default();
    format!("{} {celsius}{ceiling} °C{throttle}", zone.name)
}

fn watts(mw: f32) -> String {
    format!("{:.2} W", mw / 1000.0)
}
