//! A learned policy as a policy file that [`PolicyFile`] reads: kinds `fixed` and `confidence`; for `chain` see [`super::paper::write`].
//!
//! Pure.

use std::fmt::Write as _;
use std::path::Path;

use toml::Value;

use super::LabError;
use super::profile::Profile;
use crate::engine::EngineIdx;
use crate::policy::file::{FORMAT, Made, PolicyFile};
use crate::policy::{Plan, Policy};

/// What the caller knows of a policy and the learner does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provenance {
    /// Name of the policy.
    pub name: String,
    /// A sentence for people.
    pub description: String,
    /// Date, tool, machine, data and figures.
    pub made: Made,
}

/// The policy file of `policy`, whose engines are counted as in `profile`. Reads it back before handing it out.
pub fn to_toml(policy: &Policy, profile: &Profile, provenance: &Provenance) -> Result<String, LabError> {
    let column = |engine: EngineIdx| profile.engines.get(usize::from(engine.0));
    let id = |engine: EngineIdx| quoted(column(engine).map_or("", |column| column.id.as_str()));
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("format = {FORMAT}"));
    line(format!("name = {}", quoted(&provenance.name)));
    line(format!("kind = {}", quoted(policy.kind())));
    line(format!("description = {}", quoted(&provenance.description)));
    line("\n[made]".to_owned());
    for (key, value) in provenance.made.lines() {
        line(format!("{key} = {value}"));
    }
    line("\n[engines]".to_owned());
    for engine in policy.engines() {
        line(format!("{} = {}", id(*engine), quoted(column(*engine).map_or("", |column| column.sha256.as_str()))));
    }
    match policy.plan() {
        Plan::Fixed { engine, fallback } => {
            line(format!("\n[fixed]\nengine = {}", id(*engine)));
            if let Some(fallback) = fallback {
                line(format!("fallback = {}", id(*fallback)));
            }
        }
        Plan::Confidence(confidence) => {
            line(format!("\n[confidence]\nscore = {}\naverage = {}", quoted(confidence.score.name()), confidence.average));
            for stage in &confidence.stages {
                let mut table = format!("\n[[confidence.stages]]\nengine = {}", id(stage.engine));
                if let Some(limit) = stage.accept_above {
                    let _ = write!(table, "\naccept-above = {limit:?}");
                }
                line(table);
            }
        }
        Plan::Chain(_) | Plan::Random(_) => {
            return Err(LabError::Table {
                what: "kind of the policy".into(),
                got: policy.kind().into(),
                needed: "fixed or confidence".into(),
            });
        }
    }
    PolicyFile::parse(&text, Path::new(&provenance.name))?;
    Ok(text)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
