//! What the JSON files beside plans have in common: limits, a version, and errors that name file,
//! key, value and what is allowed. Pure.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::name::{Key, MAX_BATCH, Odd};
use super::sidecar::Target;
use crate::engine::manifest::is_id;
use crate::versioned::{self, VersionedError};

/// The version that is written and read.
pub(super) const VERSION: u32 = 1;
/// Longest text that is read, bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Longest name in such a file, bytes.
const MAX_NAME: usize = 256;
/// Most builder flags.
const MAX_FLAGS: usize = 32;

/// Why a file beside a plan is of no use. The plan then does not count and is built anew.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// Too long, no JSON, or of another version.
    #[error(transparent)]
    Text(VersionedError),
    /// A value that cannot be.
    #[error("{origin}: {key} is {value:?}, allowed is {allowed}")]
    Value {
        /// The file.
        origin: String,
        /// Which.
        key: &'static str,
        /// What it says, shortened.
        value: String,
        /// What it may say.
        allowed: String,
    },
}

/// Reads `text` as a `T` of our version.
pub(super) fn read<T: DeserializeOwned>(text: &str, origin: &str) -> Result<T, TextError> {
    versioned::read(text, origin, MAX_TEXT, VERSION).map_err(TextError::Text)
}

/// Checks the values of one file.
#[derive(Clone, Copy)]
pub(super) struct Check<'a> {
    pub(super) origin: &'a str,
}

impl Check<'_> {
    pub(super) fn refuse(
        &self,
        key: &'static str,
        value: impl Display,
        allowed: impl Display,
    ) -> TextError {
        let value: String = value.to_string().chars().take(80).collect();
        TextError::Value {
            origin: self.origin.to_owned(),
            key,
            value,
            allowed: allowed.to_string(),
        }
    }

    /// Text that means a `T`.
    pub(super) fn parse<T: FromStr<Err = Odd>>(
        &self,
        key: &'static str,
        text: &str,
    ) -> Result<T, TextError> {
        text.parse().map_err(|Odd(allowed)| self.refuse(key, text, allowed))
    }

    /// A number inside `range`.
    pub(super) fn within<N: PartialOrd + Display + Copy>(
        &self,
        key: &'static str,
        value: N,
        range: RangeInclusive<N>,
    ) -> Result<N, TextError> {
        let allowed = || format!("{} to {}", range.start(), range.end());
        if range.contains(&value) { Ok(value) } else { Err(self.refuse(key, value, allowed())) }
    }

    /// A name for people: one line, not endless.
    pub(super) fn name(&self, key: &'static str, text: String) -> Result<String, TextError> {
        match text.len() <= MAX_NAME && !text.chars().any(char::is_control) {
            true => Ok(text),
            false => Err(self.refuse(
                key,
                text.escape_debug(),
                format_args!("one line of at most {MAX_NAME} bytes"),
            )),
        }
    }

    /// The same, where there may be none.
    pub(super) fn maybe_name(
        &self,
        key: &'static str,
        text: Option<String>,
    ) -> Result<Option<String>, TextError> {
        text.map(|text| self.name(key, text)).transpose()
    }

    /// An engine's id.
    pub(super) fn model(&self, text: String) -> Result<String, TextError> {
        if is_id(&text) {
            Ok(text)
        } else {
            Err(self.refuse("model", text, "1 to 64 of a-z, 0-9, `.`, `_`, `-`"))
        }
    }
}

/// A [`Target`] as it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawTarget {
    source_sha256: String,
    tensorrt: String,
    capability: String,
    precision: String,
    batch: u16,
    device: String,
    input: [u32; 4],
    calibration_sha256: Option<String>,
    rewriting: Option<u32>,
    gpu: String,
    driver: Option<String>,
    flags: Vec<String>,
}

impl RawTarget {
    pub(super) fn of(target: &Target) -> Self {
        let Target { key, input, rewriting, gpu, driver, flags } = target;
        Self {
            source_sha256: key.source.to_string(),
            tensorrt: key.tensorrt.to_string(),
            capability: key.capability.to_string(),
            precision: key.precision.to_string(),
            batch: key.batch,
            device: key.device.to_string(),
            input: *input,
            calibration_sha256: key.calibration.as_ref().map(ToString::to_string),
            rewriting: *rewriting,
            gpu: gpu.clone(),
            driver: driver.clone(),
            flags: flags.clone(),
        }
    }

    pub(super) fn resolve(self, check: Check<'_>) -> Result<Target, TextError> {
        let key = Key {
            source: check.parse("target.source-sha256", &self.source_sha256)?,
            tensorrt: check.parse("target.tensorrt", &self.tensorrt)?,
            capability: check.parse("target.capability", &self.capability)?,
            precision: check.parse("target.precision", &self.precision)?,
            batch: check.within("target.batch", self.batch, 1..=MAX_BATCH)?,
            device: check.parse("target.device", &self.device)?,
            calibration: self
                .calibration_sha256
                .map(|text| check.parse("target.calibration-sha256", &text))
                .transpose()?,
        };
        check.within("target.flags: number", self.flags.len(), 0..=MAX_FLAGS)?;
        self.input
            .iter()
            .try_for_each(|dim| check.within("target.input", *dim, 1..=65_536).map(|_| ()))?;
        Ok(Target {
            key,
            input: self.input,
            rewriting: self
                .rewriting
                .map(|version| check.within("target.rewriting", version, 1..=u32::MAX))
                .transpose()?,
            gpu: check.name("target.gpu", self.gpu)?,
            driver: check.maybe_name("target.driver", self.driver)?,
            flags: self
                .flags
                .into_iter()
                .map(|flag| check.name("target.flags", flag))
                .collect::<Result<_, _>>()?,
        })
    }
}
