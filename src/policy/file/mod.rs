//! Policy files: versioned TOML, written by the lab into `calibration/`, or by hand for the plain
//! kinds. Format: docs/reference/policy-files.md.
//!
//! Pure: parses text that others have read. Two steps, because the engines to load are only known
//! after the first: [`PolicyFile::parse`] checks what the text alone can tell, [`PolicyFile::bind`]
//! what needs the installed engines.

mod error;
mod fields;
mod hybrid;
mod kinds;
mod made;

use std::path::Path;
use std::time::Duration;

use toml::{Table, Value};

use super::{Plan, Policy, Reuse};
use crate::engine::{EngineIdx, MAX_ENGINES};
pub use error::PolicyError;
use error::{hint, listed};
use fields::{Fields, refused};
use kinds::Kind;
pub use made::Made;

/// The only format so far.
pub const FORMAT: u64 = 1;
/// Longest policy file.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Longest time for which an answer may be given again, ms.
const HOUR_MS: u64 = 3_600_000;
/// In place of a sha256: any model will do.
const ANY: &str = "any";

/// What must be known of an installed engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its id.
    pub id: String,
    /// Of the model file, hex; of an ensemble one made of all members'.
    pub sha256: String,
    /// Of the labels file, hex.
    pub labels_sha256: String,
}

/// A policy file that makes sense in itself.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// Where it was read, for messages.
    path: String,
    name: String,
    description: String,
    made: Made,
    schema: Option<String>,
    /// Every engine, in the order of use; [`Kind`] counts in these.
    ids: Vec<String>,
    /// sha256 by place in `ids`; `None` will take any.
    pins: Vec<Option<String>>,
    kind: Kind,
    reuse: Option<Reuse>,
}

impl PolicyFile {
    /// Checks `text`, which was read from `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, PolicyError> {
        let file = path.display().to_string();
        if text.len() > MAX_BYTES {
            return Err(PolicyError::Size { file, bytes: text.len(), limit: MAX_BYTES });
        }
        let table = text.parse::<Table>().map_err(|error| PolicyError::Toml {
            file: file.clone(),
            line: 1 + text
                .bytes()
                .take(error.span().map_or(0, |span| span.start))
                .filter(|byte| *byte == b'\n')
                .count(),
            reason: error.message().replace('\n', " "),
        })?;
        let known = [
            "format",
            "name",
            "kind",
            "description",
            "feature-schema",
            "made",
            "engines",
            "reuse",
            "fixed",
            "chain",
            "confidence",
            "hybrid",
            "random",
        ];
        let mut top = Fields::new(&file, "", table, &known)?;
        if top.count("format", FORMAT, FORMAT)?.is_none() {
            return Err(top.missing("format", format!("the version of the format, {FORMAT}")));
        }
        let name = top.text("name", "a short name for reports")?;
        let description =
            top.text_if_any("description", "a sentence for people")?.unwrap_or_default();
        let made = Made::parse(&mut top)?;
        let (kind, ids) = Kind::parse(&mut top)?;
        let schema = Self::schema_of(&mut top, &kind)?;
        let pins = Self::pins(&file, &mut top, &ids, kind.is_tuned())?;
        let reuse = Self::reuse(&mut top)?;
        Ok(Self { path: file, name, description, made, schema, ids, pins, kind, reuse })
    }

    /// Kinds that read features cannot do without it; in the others it says under which features
    /// the figures were measured.
    fn schema_of(top: &mut Fields, kind: &Kind) -> Result<Option<String>, PolicyError> {
        let schema = top.text_if_any("feature-schema", "the schema of the features")?;
        if schema.is_none() && kind.reads_features() {
            return Err(
                top.missing("feature-schema", "the schema of the features that it was trained on")
            );
        }
        Ok(schema)
    }

    /// `[reuse]`: the last answer is given again, where a camera's own configuration says nothing
    /// of it.
    fn reuse(top: &mut Fields) -> Result<Option<Reuse>, PolicyError> {
        let Some(mut table) = top.table("reuse", &["max-change", "max-age-ms"])? else {
            return Ok(None);
        };
        let allowed = "the largest change of a block of the picture, 0 to 1";
        let max_change = table
            .number("max-change", 0.0, 1.0)?
            .ok_or_else(|| table.missing("max-change", allowed))? as f32;
        let max_age = Duration::from_millis(table.count("max-age-ms", 1, HOUR_MS)?.unwrap_or(1000));
        Ok(Some(Reuse { max_change, max_age }))
    }

    /// `[engines]`: id = "sha256". Kinds tuned on measured answers must pin every engine, the
    /// others may.
    fn pins(
        file: &str,
        top: &mut Fields,
        ids: &[String],
        tuned: bool,
    ) -> Result<Vec<Option<String>>, PolicyError> {
        let known: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut table = match top.table("engines", &known)? {
            Some(table) => table,
            None if tuned => {
                return Err(
                    top.missing("engines", "a table with the sha256 of each engine's model")
                );
            }
            None => return Ok(vec![None; ids.len()]),
        };
        let allowed = format!("64 hex digits, or \"{ANY}\" to take whatever model is installed");
        let pin = |id: &String| match table.text_if_any(id, &allowed)? {
            Some(pin) if pin == ANY => Ok(None),
            Some(pin) if pin.len() == 64 && pin.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Ok(Some(pin.to_ascii_lowercase()))
            }
            Some(pin) => {
                Err(refused(file, format!("engines.{id}"), &Value::from(pin), allowed.clone()))
            }
            None if tuned => Err(table.missing(id, &*allowed)),
            None => Ok(None),
        };
        ids.iter().map(pin).collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A sentence for people; may be empty.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Where it comes from.
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// Every engine to be loaded, in the order of use.
    pub fn engine_ids(&self) -> &[String] {
        &self.ids
    }

    /// Ties the policy to the engines in use, whose place in `engines` is their [`EngineIdx`].
    /// `schema` is that of the features as measured now. Refuses engines and features other than
    /// those that the policy was made with.
    pub fn bind(&self, engines: &[EngineInfo], schema: &str) -> Result<Policy, PolicyError> {
        let file = || self.path.clone();
        if let Some(made) = self.schema.as_ref().filter(|made| *made != schema) {
            return Err(PolicyError::Schema {
                file: file(),
                made: made.clone(),
                running: schema.to_owned(),
            });
        }
        let mut bound = Vec::with_capacity(self.ids.len());
        for (id, pin) in self.ids.iter().zip(&self.pins) {
            let found =
                engines.iter().take(MAX_ENGINES).enumerate().find(|(_, engine)| engine.id == *id);
            let Some((place, engine)) = found else {
                let installed = || engines.iter().map(|engine| engine.id.as_str());
                return Err(PolicyError::EngineMissing {
                    file: file(),
                    id: id.clone(),
                    hint: hint(id, installed()),
                    installed: listed(installed()),
                });
            };
            if let Some(pinned) =
                pin.as_ref().filter(|pinned| !pinned.eq_ignore_ascii_case(&engine.sha256))
            {
                let (id, pinned, found) = (id.clone(), pinned.clone(), engine.sha256.clone());
                return Err(PolicyError::EngineChanged { file: file(), id, pinned, found });
            }
            bound.push((EngineIdx(place as u8), engine));
        }
        if let (true, Some((_, first))) = (self.kind.averages(), bound.first())
            && let Some((_, other)) =
                bound.iter().find(|(_, engine)| engine.labels_sha256 != first.labels_sha256)
        {
            return Err(PolicyError::Labels {
                file: file(),
                first: first.id.clone(),
                second: other.id.clone(),
            });
        }
        let places: Vec<EngineIdx> = bound.iter().map(|(place, _)| *place).collect();
        let plan: Plan = self.kind.plan(&places).ok_or_else(|| {
            refused(
                &self.path,
                "kind".to_owned(),
                &Value::from(self.kind.name()),
                "a policy that its own engines can carry out".to_owned(),
            )
        })?;
        Ok(Policy::new(self.name.clone(), plan).with_reuse(self.reuse))
    }
}
