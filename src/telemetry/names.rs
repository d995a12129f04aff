//! What the names of rails and zones say, wherever they were read: in sysfs or in tegrastats. Pure;
//! sources beside the lists.

/// Rails that stand for the whole board: the TX2's and Orin's input, Nano's, and that of some
/// carriers (Jetson Linux developer guide, "Power monitors").
const TOTALS: [&str; 3] = ["VDD_IN", "POM_5V_IN", "VIN"];
/// Parts of the names of zones that are placeholders or estimates (`PMIC-Die` always reads 100 °C),
/// or belong to parts that do not cool down when Squint does less.
const NOT_OURS: [&str; 10] =
    ["pmic", "wifi", "wlan", "iwl", "nvme", "ath1", "mt79", "fan-est", "int3400", "battery"];

/// The first of the names that stands for the whole board.
pub(super) fn total<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
    TOTALS.iter().find_map(|total| names.clone().position(|name| name.eq_ignore_ascii_case(total)))
}

/// Whether Squint's work is what heats the zone.
pub(super) fn zone_governs(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !NOT_OURS.iter().any(|part| name.contains(part))
}
