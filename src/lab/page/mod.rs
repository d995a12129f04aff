//! An evaluation as one page of HTML: plots to look at, tables to look up. No script, nothing from
//! the network, light and dark.
//!
//! Pure: an [`Evaluation`] and small pictures in, text out. Figures are shown as they stand in the
//! evaluation, never worked out again. Every word that comes from outside (names of files, classes,
//! engines, policies) goes through [`markup::text`].

mod bars;
pub(crate) mod chart;
mod errors;
mod gain;
mod labels;
mod markup;
mod reliability;
mod scatter;
mod tables;
mod words;

use std::collections::BTreeMap;

use super::evaluation::{Evaluation, PolicyScore};
use markup::text;

/// Small JPEG pictures of photos, by file name.
pub type Thumbnails = BTreeMap<String, Vec<u8>>;

/// Names of the files whose thumbnails the page would show.
pub fn wanted(evaluation: &Evaluation) -> Vec<&str> {
    let examples = best(evaluation).map_or(&[][..], |policy| &policy.errors.examples);
    examples.iter().map(|example| example.file.as_str()).collect()
}

/// The whole page. Photos without a thumbnail appear as text.
pub fn page(evaluation: &Evaluation, thumbnails: &Thumbnails) -> String {
    let sections = [
        words::headline(evaluation),
        scatter::section(evaluation),
        tables::policies(evaluation),
        tables::engines(evaluation),
        bars::shares(evaluation),
        reliability::section(evaluation),
        bars::features(evaluation),
        errors::section(evaluation, thumbnails),
        gain::section(evaluation),
        words::footer(evaluation),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n\
         <body>\n<main>\n{}</main>\n</body>\n</html>\n",
        text(&words::title(evaluation)),
        include_str!("style.css"),
        sections.concat()
    )
}

/// The policy that the page speaks of first. Policies made from these very frames stand back,
/// because they flatter. Of the rest: the fastest whose top-1 is not below the most capable
/// engine's; if there is none, the one that gains most over the no-skill line.
fn best(evaluation: &Evaluation) -> Option<&PolicyScore> {
    let fair: Vec<&PolicyScore> =
        evaluation.policies.iter().filter(|policy| !policy.trained_on_this).collect();
    let field = if fair.is_empty() { evaluation.policies.iter().collect() } else { fair };
    let level = field
        .iter()
        .filter(|policy| policy.top1_diff >= 0.0)
        .max_by(|a, b| a.speedup.total_cmp(&b.speedup));
    level.or_else(|| field.iter().max_by(|a, b| a.noskill_gain.total_cmp(&b.noskill_gain))).copied()
}

#[cfg(test)]
mod tests;
