//! A fit as a policy file that [`PolicyFile`] reads.

use std::fmt::Write as _;
use std::path::Path;

use toml::Value;

use super::{Figures, Fit};
use crate::lab::LabError;
use crate::policy::file::{FORMAT, Made, PolicyFile};

/// What the caller knows of a policy and the fit does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provenance {
    /// Name of the policy.
    pub name: String,
    /// A sentence for people; empty for one made of the figures.
    pub description: String,
    /// Date, tool, command, machine, data. The figures are added here.
    pub made: Made,
}

/// The policy file: kind `confidence`, or `fixed` where one engine alone does best. Reads it back before handing it out.
pub fn to_policy_toml(fit: &Fit, provenance: &Provenance) -> Result<String, LabError> {
    let id = |engine: usize| fit.engines.get(engine).map_or("", |engine| engine.0.as_str());
    let quoted = |text: &str| Value::from(text).to_string();
    let stages = &fit.structure.stages;
    let kind = if stages.len() == 1 { "fixed" } else { "confidence" };
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };

    line(format!("format = {FORMAT}"));
    line(format!("name = {}", quoted(&provenance.name)));
    line(format!("kind = \"{kind}\""));
    line(format!("description = {}", quoted(&description(fit, provenance, id(fit.reference)))));
    line("\n[made]".to_owned());
    for (key, value) in figures(fit, &provenance.made, id(fit.reference)).lines() {
        line(format!("{key} = {value}"));
    }
    line("\n[engines]".to_owned());
    for (engine, _) in stages {
        let pin = fit.engines.get(*engine).map_or("", |engine| engine.1.as_str());
        line(format!("{} = {}", quoted(id(*engine)), quoted(pin)));
    }
    if kind == "fixed" {
        line(format!("\n[fixed]\nengine = {}", quoted(id(stages.first().map_or(0, |stage| stage.0)))));
    } else {
        line(format!("\n[confidence]\nscore = \"{}\"\naverage = {}", fit.structure.score.name(), fit.structure.average));
        for (engine, accept_above) in stages {
            let mut stage = format!("\n[[confidence.stages]]\nengine = {}", quoted(id(*engine)));
            if let Some(limit) = accept_above {
                let _ = write!(stage, "\naccept-above = {limit:?}");
            }
            line(stage);
        }
    }
    PolicyFile::parse(&text, Path::new(&provenance.name))?;
    Ok(text)
}

fn description(fit: &Fit, provenance: &Provenance, reference: &str) -> String {
    if !provenance.description.is_empty() {
        return provenance.description.clone();
    }
    let (ours, theirs) = (&fit.cross_validated, &fit.reference_alone);
    format!(
        "{:.1} % top-1 in {:.2} ms on {} photos, cross-validated; {reference} alone: {:.1} % in {:.2} ms.",
        ours.top1 * 100.0,
        ours.mean_ms,
        ours.photos,
        theirs.top1 * 100.0,
        theirs.mean_ms
    )
}

/// `[made]` with the figures of the fit, cross-validated first.
fn figures(fit: &Fit, made: &Made, reference: &str) -> Made {
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let interval = |(low, high): (f64, f64)| vec![round(low), round(high)];
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let Figures { photos, top1, top1_ci95, mean_ms, .. } = fit.cross_validated;
    made.clone()
        .with("n", count(photos))
        .with("folds", fit.folds as i64)
        .with("seed", count(fit.seed))
        .with("top1", round(top1))
        .with("top1-ci95", interval(top1_ci95))
        .with("mean-ms", round(mean_ms))
        .with("in-sample-top1", round(fit.in_sample.top1))
        .with("in-sample-mean-ms", round(fit.in_sample.mean_ms))
        .with("reference", reference)
        .with("reference-top1", round(fit.reference_alone.top1))
        .with("reference-mean-ms", round(fit.reference_alone.mean_ms))
        .with("top1-difference-ci95", interval(fit.difference_ci95))
}
