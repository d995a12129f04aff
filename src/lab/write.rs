//! A learned policy as a policy file that [`PolicyFile`] reads: kinds `fixed`, `confidence` and
//! `hybrid`; for `chain` see [`super::paper::write`].
//!
//! Pure.

use std::fmt::Write as _;
use std::path::Path;

use toml::Value;

use super::LabError;
use super::profile::Profile;
use crate::engine::EngineIdx;
use crate::features::NAMES;
use crate::policy::clues::Logistic;
use crate::policy::confidence::Score;
use crate::policy::file::{FORMAT, Made, PolicyFile};
use crate::policy::hybrid::Hybrid;
use crate::policy::{Plan, Policy};
use crate::premodel::Scale;

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

/// The policy file of `policy`, whose engines are counted as in `profile`. Reads it back before
/// handing it out.
pub fn to_toml(
    policy: &Policy,
    profile: &Profile,
    provenance: &Provenance,
) -> Result<String, LabError> {
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
    if !profile.origin.feature_schema.is_empty() {
        line(format!("feature-schema = {}", quoted(&profile.origin.feature_schema)));
    }
    line("\n[made]".to_owned());
    for (key, value) in provenance.made.lines() {
        line(format!("{key} = {value}"));
    }
    line("\n[engines]".to_owned());
    for engine in policy.engines() {
        line(format!(
            "{} = {}",
            id(*engine),
            quoted(column(*engine).map_or("", |column| column.sha256.as_str()))
        ));
    }
    if let Some(reuse) = policy.reuse() {
        line(format!(
            "\n[reuse]\nmax-change = {:?}\nmax-age-ms = {}",
            reuse.max_change,
            reuse.max_age.as_millis()
        ));
    }
    match policy.plan() {
        Plan::Fixed { engine, fallback } => {
            line(format!("\n[fixed]\nengine = {}", id(*engine)));
            if let Some(fallback) = fallback {
                line(format!("fallback = {}", id(*fallback)));
            }
        }
        Plan::Confidence(confidence) => {
            line(format!(
                "\n[confidence]\nscore = {}\naverage = {}",
                quoted(confidence.score.name()),
                confidence.average
            ));
            for stage in &confidence.stages {
                let mut table = format!("\n[[confidence.stages]]\nengine = {}", id(stage.engine));
                if let Some(limit) = stage.accept_above {
                    let _ = write!(table, "\naccept-above = {limit:?}");
                }
                if let Some(chance) = stage.chance.filter(|_| confidence.score == Score::Learned) {
                    let _ = write!(table, "\nweights = {}", list(&chance.0));
                }
                line(table);
            }
        }
        Plan::Hybrid(hybrid) => self::hybrid(hybrid, &id, &mut line),
        Plan::Chain(_) | Plan::Random(_) => {
            return Err(LabError::Table {
                what: "kind of the policy".into(),
                got: policy.kind().into(),
                needed: "fixed, confidence or hybrid".into(),
            });
        }
    }
    PolicyFile::parse(&text, Path::new(&provenance.name))?;
    Ok(text)
}

/// The tables of kind `hybrid`.
fn hybrid(hybrid: &Hybrid, id: &dyn Fn(EngineIdx) -> String, line: &mut dyn FnMut(String)) {
    let names: Vec<String> = hybrid
        .scales
        .iter()
        .map(|scale| quoted(NAMES.get(scale.feature).copied().unwrap_or_default()))
        .collect();
    let range =
        |of: &dyn Fn(&Scale) -> f32| list(&hybrid.scales.iter().map(of).collect::<Vec<f32>>());
    line(format!("\n[hybrid]\nprice = {:?}\nfeatures = [{}]", hybrid.price, names.join(", ")));
    line(format!("min = {}\nmax = {}", range(&|scale| scale.min), range(&|scale| scale.max)));
    for member in &hybrid.members {
        line(format!("\n[[hybrid.pool]]\nengine = {}\nms = {:?}", id(member.engine), member.ms));
        line(format!("right = {}\ntime-ms = {}", list(&member.right), list(&member.time_ms)));
    }
    let member = |place: usize| {
        hybrid.members.get(place).map_or_else(String::new, |member| id(member.engine))
    };
    for state in &hybrid.states {
        let asked: Vec<String> = (0..hybrid.members.len())
            .filter(|place| state.asked >> place & 1 == 1)
            .map(member)
            .collect();
        line(format!(
            "\n[[hybrid.states]]\nasked = [{}]\nright = {}",
            asked.join(", "),
            list(&state.right.0)
        ));
        let then: Vec<(usize, &Logistic)> = state
            .then
            .iter()
            .enumerate()
            .filter_map(|(place, model)| Some((place, model.as_ref()?)))
            .collect();
        if !then.is_empty() {
            line("[hybrid.states.then]".to_owned());
        }
        then.into_iter()
            .for_each(|(place, model)| line(format!("{} = {}", member(place), list(&model.0))));
    }
}

/// Numbers so that they read back the same.
fn list(numbers: &[f32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:?}")).collect();
    format!("[{}]", numbers.join(", "))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
