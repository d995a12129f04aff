//! Offline: sends measured answers down the same path as frames to earn the files under
//! `calibration/`.
//!
//! Pure: each step takes a table and returns a value. Running engines over photos is the caller's
//! work. Only [`profile::file`] reads and writes files.

pub mod choose;
pub mod crossval;
pub mod doubt;
pub mod duel;
pub mod evaluate;
pub mod evaluation;
pub mod hybrid;
pub mod logit;
pub mod page;
pub mod paper;
pub mod profile;
pub mod replay;
pub mod stream;
pub mod thresholds;
pub mod write;

#[cfg(test)]
mod properties;

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
    /// A profile file cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A profile file cannot be written.
    #[error("{}: cannot be written: {reason}", path.display())]
    Unwritten {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The policy file made of a fit is not one: a mistake in the name or the provenance handed in.
    #[error(transparent)]
    Policy(#[from] crate::policy::file::PolicyError),
}
