//! What the board can afford: the user's limits and the board's readings in, [`Grants`] out, twice
//! a second.
//!
//! Pure: no clock, file, environment or thread; `now` is the time since start. [`crate::telemetry`]
//! reads the board, [`crate::policy`] decides frame by frame within the grants, and
//! [`crate::pipeline`] connects them.

mod account;
mod costs;
mod energy;
mod explain;
mod governor;
mod grants;
mod ladder;
mod latency;
mod learned_state;
mod meter;
mod modes;
mod prior;
mod schedule;
mod span;
mod thermal;

pub(crate) use account::Account;
pub use account::{Budget, MOST_UNREACHABLE, Member, Stepped};
pub use costs::{Costs, Prior};
pub use governor::{AHEAD_S, Governor, MARGIN, Unreachable};
pub use grants::{Because, Grant, Grants, Limits, Look, PowerCap, Usage, Why};
pub use ladder::Ability;
pub use learned_state::{CPU, Engine, LearnedState, LearnedStateError, MAX_TEXT, Owner};
pub use modes::{Mode, UnknownMode};
pub use prior::tempered;
pub use schedule::{ChosenBy, MAX_ENTRIES, NoSpan, PowerMode, Schedule, Span, TooMany};
pub use thermal::{Thermal, ZoneModel};
