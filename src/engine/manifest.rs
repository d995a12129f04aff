//! `engine.toml`, one per engine: as typed, and as checked.
//!
//! Pure apart from nothing: parses text that others have read.

/// What an `engine.toml` says, checked.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The engine's name.
    pub id: String,
}
