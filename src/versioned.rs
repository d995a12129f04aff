//! Reads small JSON files of our own that carry a version, `v`: what was learned of a board, what
//! is known of a plan. Pure, and wary: such a file may be anybody's by now.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why the text is of no use.
#[derive(Debug, thiserror::Error)]
pub enum VersionedError {
    /// Too long to be one.
    #[error("{origin}: {bytes} bytes, allowed are {most}")]
    TooLong {
        /// The file.
        origin: String,
        /// Its length.
        bytes: usize,
        /// Most that is read.
        most: usize,
    },
    /// Not the right JSON.
    #[error("{origin}: {reason}")]
    Json {
        /// The file.
        origin: String,
        /// What is wrong, with line and column.
        reason: serde_json::Error,
    },
    /// Written by another version of Squint.
    #[error("{origin}: v = {found}, only {read} is read; it will be made anew")]
    Version {
        /// The file.
        origin: String,
        /// Its version.
        found: u32,
        /// The version that is read.
        read: u32,
    },
}

/// Reads `text`, at most `most` bytes of version `read`. `origin` is the file's name for the
/// errors. Values are for the caller to check.
pub(crate) fn read<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    most: usize,
    read: u32,
) -> Result<T, VersionedError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let origin = || origin.to_owned();
    if text.len() > most {
        return Err(VersionedError::TooLong { origin: origin(), bytes: text.len(), most });
    }
    let json = |reason| VersionedError::Json { origin: origin(), reason };
    match serde_json::from_str::<Versioned>(text).map_err(json)?.v {
        found if found == read => serde_json::from_str(text).map_err(json),
        found => Err(VersionedError::Version { origin: origin(), found, read }),
    }
}
