//! A board's readings as a line of tegrastats, as L4T R32 prints it on a TX2. Pure.

use std::fmt::Write;

use super::plant::meter::{RAILS, Raw, Readings, ZONES};

/// The zones under their names in tegrastats, in the order of R32: place in [`ZONES`], name.
const NAMES: [(usize, &str); 8] = [
    (3, "PLL"),
    (1, "MCPU"),
    (6, "PMIC"),
    (4, "Tboard"),
    (2, "GPU"),
    (0, "BCPU"),
    (7, "thermal"),
    (5, "Tdiode"),
];

/// The line, without its end. Means are those of a tegrastats that has just been started: the
/// readings themselves. A zone that is off reads -256, one that is gone is left out; a rail that is
/// off reads 0.
pub fn line(readings: &Readings) -> String {
    let (mhz, load) = (readings.cpu_clock, (readings.gpu_load * 100.0).round());
    let cores = (0..6).map(|core| format!("{}%@{mhz:.0}", 5 + core)).collect::<Vec<_>>().join(",");
    let mut line = format!(
        "RAM 2335/7850MB (lfb 409x4MB) SWAP 53/3925MB (cached 7MB) CPU [{cores}] EMC_FREQ 10%@1866 GR3D_FREQ {load:.0}%@{:.0} APE 150 MTS fg \
         0% bg 0%",
        readings.gpu_clock.floor()
    );
    for (place, name) in NAMES {
        let _ = match readings.zones[place] {
            Raw::Value(celsius) => write!(line, " {name}@{celsius}C"),
            Raw::Off => write!(line, " {name}@-256C"),
            Raw::Gone => Ok(()),
        };
    }
    for (name, raw) in RAILS.iter().zip(readings.rails) {
        let _ = match raw {
            Raw::Value(mw) => write!(line, " {name} {mw:.0}/{mw:.0}"),
            Raw::Off => write!(line, " {name} 0/0"),
            Raw::Gone => Ok(()),
        };
    }
    debug_assert_eq!(NAMES.len(), ZONES.len());
    line
}
