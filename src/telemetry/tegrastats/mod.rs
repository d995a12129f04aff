//! Readings out of tegrastats.
mod board;
mod number;
mod scan;

pub use board::{Board, ORIGIN};
pub use scan::{LINE_LIMIT, NAME_LIMIT, Skip, Token, scan};
