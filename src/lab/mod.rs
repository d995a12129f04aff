//! Offline: sends measured answers down the same path as frames to earn the files under `calibration/`.
//!
//! Pure: each step takes a table and returns a value. Running engines over photos and writing files is the caller's work.

pub mod crossval;
pub mod evaluation;
pub mod observations;
pub mod paper;
pub mod profile;
pub mod replay;
pub mod thresholds;

pub use observations::{EngineColumn, Observations};

/// Why nothing could be learned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LabError {
    /// The table does not fit together.
    #[error("{what}: {got}, needed: {needed}")]
    Table {
        /// What is wrong.
        what: String,
        /// What there is.
        got: String,
        /// What there should be.
        needed: String,
    },
    /// The engine to be compared with is not in the table.
    #[error("no answers of engine `{id}`; there are those of {known}")]
    UnknownEngine {
        /// Its id.
        id: String,
        /// All ids.
        known: String,
    },
    /// No policy does what is asked.
    #[error("no chain of up to {stages} of these engines reaches {goal}; ask for less or add engines")]
    Unreachable {
        /// Longest chain tried.
        stages: usize,
        /// What was asked.
        goal: String,
    },
    /// The policy file made of a fit is not one: a mistake in the name or the provenance handed in.
    #[error(transparent)]
    Policy(#[from] crate::policy::file::PolicyError),
}
