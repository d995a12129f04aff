//! Quantities of the board, each in its own type, so that a milliwatt is never taken for a degree.
//! Pure.
//!
//! Absence is an `Option` around them; none of them uses a number to say "unknown".

use serde::{Deserialize, Serialize};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident $number:ident $symbol:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $number);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let decimals = f.precision().unwrap_or(1);
                write!(f, concat!("{:.*} ", $symbol), decimals, self.0)
            }
        }
    };
}

unit!(
    /// Temperature, degrees Celsius.
    Celsius f32 "°C"
);
unit!(
    /// Power, thousandths of a watt.
    Milliwatts f32 "mW"
);
unit!(
    /// Energy, thousandths of a joule. Double, since it is summed over days.
    Millijoules f64 "mJ"
);
unit!(
    /// Clock, millions a second.
    Megahertz f32 "MHz"
);

/// How long something took, in ms for people.
pub fn millis(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
