//! The profile as a Parquet file: what its columns are called, and how rows become columns and rows
//! again.
//!
//! docs/reference/profile.md says what each column means. [`Writer`] takes rows one by one and
//! keeps at most [`GROUP`] of them; [`Reader`] gives back one group of rows at a time; [`read`]
//! gives the whole table. Not for deciding what is measured.

mod columns;
mod footer;
mod pages;
mod read;
mod thrift;
mod write;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{Case, Column, Origin, Seen};

pub use read::{Reader, read};
pub use write::Writer;

/// Version of the file, in the key `squint.format`.
pub const FORMAT: &str = "1";
/// Rows of one row group.
pub const GROUP: usize = 256;

/// One labelled frame and what every engine answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The frame.
    pub case: Case,
    /// By engine, in the order of the file; `None` where it failed.
    pub looks: Vec<Option<Seen>>,
}

/// What the file says of one engine as a whole; fields as in [`Column`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineHead {
    /// Its id.
    pub id: String,
    /// sha256 of its model, hex.
    pub sha256: String,
    /// sha256 of its labels file, hex.
    pub labels_sha256: String,
    /// Networks run for one look.
    pub networks: u8,
    /// Mean time of a look over the timed frames, ms; 0 in a part file, which does not know it yet.
    pub mean_ms: f64,
    /// Mean energy of a look, mJ; `None` without a sensor.
    pub energy_mj: Option<f64>,
    /// Top-1 accuracy that its manifest has, 0..=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised: Option<f64>,
}

impl EngineHead {
    fn column(self, looks: Vec<Option<Seen>>) -> Column {
        let Self { id, sha256, labels_sha256, networks, mean_ms, energy_mj, promised } = self;
        Column { id, sha256, labels_sha256, networks, promised, mean_ms, energy_mj, looks }
    }
}

/// Everything in the file but the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// Where the profile comes from; `sha256` is not stored, and `unreadable` is the length of the
    /// list below.
    pub origin: Origin,
    /// Classes that the engines tell apart.
    pub classes: u32,
    /// Names of the classes; may be empty.
    pub class_names: Vec<String>,
    /// The engines, in the order of the columns.
    pub engines: Vec<EngineHead>,
    /// Pictures that could not be read.
    pub unreadable: Vec<String>,
}

/// The stored fields of [`Origin`].
#[derive(Serialize, Deserialize)]
struct StoredOrigin {
    date: String,
    tool: String,
    machine: String,
    data: String,
    feature_schema: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    glimpse_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timed: Option<u64>,
}
