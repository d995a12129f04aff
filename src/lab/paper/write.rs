//! A fitted chain as a policy file of kind `chain` that [`PolicyFile`] reads.
//!
//! Pure: returns the text. Cross-validated figures are the caller's to add to [`Made`], this file
//! cannot know them.

use std::fmt::Write as _;
use std::path::Path;

use toml::Value;

use super::chain::Fitted;
use crate::features::schema;
use crate::lab::LabError;
use crate::lab::profile::Profile;
use crate::lab::write::Provenance;
use crate::policy::file::{FORMAT, PolicyFile};

/// The file. Reads it back before handing it out. `profile` must be the one that `fitted` was
/// fitted on; refuses one of another feature schema. Where the rows are a draw from the training
/// frames, the file says so.
pub fn to_policy_toml(
    fitted: &Fitted,
    profile: &Profile,
    provenance: &Provenance,
) -> Result<String, LabError> {
    let made_with = &profile.origin.feature_schema;
    if !made_with.is_empty() && made_with != schema() {
        return Err(LabError::Table {
            what: "feature schema of the profile".into(),
            got: made_with.clone(),
            needed: format!("{}; profile the photos again", schema()),
        });
    }
    let quoted = |text: &str| Value::from(text).to_string();
    let id =
        |engine: usize| quoted(profile.engines.get(engine).map_or("", |column| column.id.as_str()));
    let list = |words: Vec<String>| format!("[{}]", words.join(", "));
    let mut text =
        format!("format = {FORMAT}\nname = {}\nkind = \"chain\"\n", quoted(&provenance.name));
    let mut line = |words: std::fmt::Arguments| {
        let _ = text.write_fmt(words);
        text.push('\n');
    };
    line(format_args!("description = {}", quoted(&description(fitted, provenance))));
    line(format_args!("feature-schema = {}\n\n[made]", quoted(schema())));
    let mut made = provenance.made.clone();
    if fitted.rows.len() < fitted.training {
        let note = format!(
            "{} of {} training frames, drawn with a seed: all of them would not fit the file.",
            fitted.rows.len(),
            fitted.training
        );
        let whole = made.text("note").map_or(note.clone(), |said| format!("{said} {note}"));
        made = made.with("note", whole);
    }
    for (key, value) in made.lines() {
        line(format_args!("{key} = {value}"));
    }
    line(format_args!("\n[engines]"));
    for engine in &fitted.pool.engines {
        let pin = profile.engines.get(*engine).map_or("", |column| column.sha256.as_str());
        line(format_args!("{} = {}", id(*engine), quoted(pin)));
    }
    line(format_args!(
        "\n[chain]\nengines = {}",
        list(fitted.pool.engines.iter().map(|engine| id(*engine)).collect())
    ));
    line(format_args!("on-none = {}", fitted.on_none.map_or("\"abstain\"".to_owned(), id)));
    line(format_args!("k = {}", fitted.k));
    let kept = &fitted.features.kept;
    line(format_args!(
        "features = {}",
        list(fitted.features.names().into_iter().map(quoted).collect())
    ));
    line(format_args!(
        "min = {}",
        list(kept.iter().map(|scale| format!("{:?}", scale.min)).collect())
    ));
    line(format_args!(
        "max = {}",
        list(kept.iter().map(|scale| format!("{:?}", scale.max)).collect())
    ));
    line(format_args!(
        "best = {}",
        list(fitted.best.iter().map(|level| level.map_or(-1, i32::from).to_string()).collect())
    ));
    line(format_args!("rows = ["));
    for row in fitted.values(profile) {
        line(format_args!("    {},", list(row.iter().map(|value| format!("{value:?}")).collect())));
    }
    line(format_args!("]"));
    PolicyFile::parse(&text, Path::new(&provenance.name))?;
    Ok(text)
}

fn description(fitted: &Fitted, provenance: &Provenance) -> String {
    if !provenance.description.is_empty() {
        return provenance.description.clone();
    }
    let (engines, features) = (fitted.pool.engines.len(), fitted.features.kept.len());
    format!(
        "The published method: {} nearest of {} photos by {features} features choose among {engines} engines.",
        fitted.k,
        fitted.rows.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::paper::chain::{OnNone, PaperChain, row_limit};
    use crate::lab::paper::samples;
    use crate::lab::replay::replay;
    use crate::policy::file::{MAX_BYTES, Made};

    #[test]
    fn a_written_chain_read_back_decides_as_the_one_in_memory() {
        let profile = samples::learnable(120, 8);
        let cases: Vec<usize> = (0..120).collect();
        for on_none in [OnNone::Abstain, OnNone::MostCapable] {
            let fitted = PaperChain { on_none, ..PaperChain::default() }
                .fit(&profile, &cases[..90])
                .unwrap();
            let made = Made::default().with("n", 90).with("seed", 1);
            let provenance = Provenance { name: "published".into(), made, ..Provenance::default() };
            let text = to_policy_toml(&fitted, &profile, &provenance).unwrap();
            let file = PolicyFile::parse(&text, Path::new("published")).unwrap();
            assert_eq!(file.made().number("n"), Some(90.0));
            let read = file.bind(&profile.engine_infos(), schema()).unwrap();
            let kept = fitted.policy("published", &profile).unwrap();
            assert_eq!(
                replay(&profile, &read, None, &cases),
                replay(&profile, &kept, None, &cases)
            );
        }
    }

    #[test]
    fn another_feature_schema_is_refused() {
        let mut profile = samples::learnable(20, 8);
        let fitted = PaperChain::default().fit(&profile, &(0..20).collect::<Vec<_>>()).unwrap();
        profile.origin.feature_schema = "squint-features-0:00000000".into();
        let error = to_policy_toml(
            &fitted,
            &profile,
            &Provenance { name: "x".into(), ..Provenance::default() },
        )
        .unwrap_err();
        assert!(error.to_string().contains("profile the photos again"), "{error}");
    }

    #[test]
    fn the_widest_rows_that_are_allowed_fit_the_file() {
        let longest =
            format!("{:?}", -1.234_567_9e-38_f32).len().max(format!("{:?}", -123_456.79_f32).len());
        for width in [1, 7, 29] {
            let bytes =
                row_limit(width) * ("    [],\n".len() + "-1, ".len() + width * (longest + 2));
            assert!(bytes < MAX_BYTES, "{width} features: {bytes}");
        }
    }

    #[test]
    fn rows_that_are_a_draw_are_said_to_be_one() {
        let profile = samples::learnable(40, 8);
        let mut fitted = PaperChain::default().fit(&profile, &(0..40).collect::<Vec<_>>()).unwrap();
        fitted.training = 90_000;
        let text = to_policy_toml(
            &fitted,
            &profile,
            &Provenance { name: "x".into(), ..Provenance::default() },
        )
        .unwrap();
        assert!(text.contains("40 of 90000 training frames"));
    }
}
