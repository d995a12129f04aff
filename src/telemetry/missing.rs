//! The words for what a machine does not have, and what that disables. Pure; shared by the sources,
//! so that several of them can make up for one another.

use super::{Inventory, Missing};

/// Power rails.
pub const RAILS: &str = "power rails";
/// Thermal zones that Squint can cool.
pub const ZONES: &str = "temperatures";
/// Clock of the GPU.
pub const GPU_CLOCK: &str = "GPU clock";
/// Load of the GPU.
pub const GPU_LOAD: &str = "GPU load";
/// Clock of the processors.
pub const CPU_CLOCK: &str = "processor clock";
/// Load of the processors.
pub const CPU_LOAD: &str = "processor load";
/// Time in which something waited for a processor.
pub const CPU_PRESSURE: &str = "processor pressure";
/// Memory to be had.
pub const MEMORY: &str = "memory";
/// Signs that the board slows itself down.
pub const THROTTLING: &str = "throttling";
/// Over-current events.
pub const OVER_CURRENT: &str = "over-current events";
/// Number of the power mode.
pub const POWER_MODE: &str = "power mode";

/// Limits that need a rail.
pub const POWER_LIMITS: &str = "power-mw, energy-mj-per-frame, energy-wh-per-day";
/// The limit that needs a zone.
pub const HEAT_LIMIT: &str = "temperature-c";

/// Something that is not there.
pub fn missing(what: &str, why: impl Into<String>, disables: &str) -> Missing {
    Missing { what: what.into(), why: why.into(), disables: disables.into() }
}

/// No rail at all.
pub fn power_rails(why: &str) -> Missing {
    missing(RAILS, why, POWER_LIMITS)
}

/// A sensor beyond the number that is kept.
pub fn too_many(name: &str, most: usize) -> Missing {
    missing(name, format!("no more than {most} of its kind are read"), "nothing but its own line")
}

/// The word under which a source lists a value in [`Inventory::others`], for each of the words
/// above that is such a value.
pub const OTHERS: [(&str, &str); 9] = [
    (GPU_CLOCK, "gpu-clock"),
    (GPU_LOAD, "gpu-load"),
    (CPU_CLOCK, "cpu-clock"),
    (CPU_LOAD, "cpu-load"),
    (CPU_PRESSURE, "cpu-pressure"),
    (MEMORY, "memory-available"),
    (THROTTLING, "throttling"),
    (OVER_CURRENT, "over-current"),
    (POWER_MODE, "power-mode"),
];

/// True if `inventory` has what `missing` says is missing, from another source.
pub fn made_up_for(missing: &Missing, inventory: &Inventory) -> bool {
    match missing.what.as_str() {
        RAILS => !inventory.rails.is_empty(),
        ZONES => inventory.zones.iter().any(|zone| zone.governs),
        what => OTHERS.iter().any(|(word, key)| {
            *word == what && inventory.others.iter().any(|(other, _)| other == key)
        }),
    }
}
