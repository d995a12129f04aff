//! What each subcommand does: fetches the pieces from the rooms, puts them together, prints.

pub(crate) mod bench;
mod board;
pub(crate) mod check;
pub(crate) mod classify;
pub(crate) mod control;
pub(crate) mod doctor;
mod energy;
pub(crate) mod engines;
pub(crate) mod evaluate;
pub(crate) mod features;
mod kit;
mod live;
pub(crate) mod print;
pub(crate) mod probe;
pub(crate) mod profile;
mod record;
pub(crate) mod replay;
mod room;
pub(crate) mod run;
mod runtimes;
pub(crate) mod shell;
pub(crate) mod simulate;
mod steward;
mod thumbnails;
pub(crate) mod train;
pub mod truth;
