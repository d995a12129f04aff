//! Where the errors come from: shares by cause for every policy, and photos of one of them. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::bars::{Piece, stacked};
use super::markup::{breakable, percent, section as frame, short, text};
use super::{Thumbnails, best};
use crate::lab::evaluation::{ErrorExample, Errors, Evaluation};

/// Cause, class, name and meaning.
const CAUSES: [(&str, &str, &str, &str); 4] = [
    (
        "nobody_right",
        "e-nobody",
        "no engine is right",
        "Beyond every engine of the profile; no policy can help.",
    ),
    (
        "not_asked",
        "e-not-asked",
        "right engine not asked",
        "The policy stopped too early or took another way.",
    ),
    (
        "overruled",
        "e-overruled",
        "right engine overruled",
        "An engine that was asked is right, but its answer was not taken.",
    ),
    (
        "abstained",
        "e-abstained",
        "no answer given",
        "Some engine is right, but the policy kept silent.",
    ),
];

fn share(errors: &Errors, cause: &str) -> f64 {
    match cause {
        "nobody_right" => errors.nobody_right,
        "not_asked" => errors.not_asked,
        "overruled" => errors.overruled,
        _ => errors.abstained,
    }
}

pub(super) fn section(evaluation: &Evaluation, thumbnails: &Thumbnails) -> String {
    if evaluation.policies.is_empty() {
        return String::new();
    }
    let all = |errors: &Errors| CAUSES.iter().map(|(cause, ..)| share(errors, cause)).sum::<f64>();
    let full = evaluation
        .policies
        .iter()
        .map(|policy| all(&policy.errors))
        .filter(|sum| sum.is_finite())
        .fold(0.0, f64::max);
    let row = |name: &str, errors: &Errors| {
        let pieces: Vec<Piece> = CAUSES
            .iter()
            .map(|(cause, class, name, _)| Piece {
                share: share(errors, cause),
                name: (*name).to_owned(),
                more: String::new(),
                class,
                style: String::new(),
            })
            .collect();
        format!(
            "<div class=\"row\"><h3>{}<small>{} % wrong</small></h3><div>{}</div></div>\n",
            breakable(name),
            percent(all(errors)),
            stacked(&pieces, full)
        )
    };
    let rows: String =
        evaluation.policies.iter().map(|policy| row(&policy.name, &policy.errors)).collect();
    let note = "Wrong answers as shares of all frames, by cause. The longest bar is the policy that errs most.";
    let examples = best(evaluation)
        .map_or_else(String::new, |policy| examples(&policy.name, &policy.errors, thumbnails));
    frame("errors", "Where the errors come from", &format!("<p>{note}</p>\n{rows}{examples}"))
}

fn examples(policy: &str, errors: &Errors, thumbnails: &Thumbnails) -> String {
    let groups: String = CAUSES
        .iter()
        .filter_map(|(cause, class, name, meaning)| {
            let cards: String =
                errors.examples.iter().filter(|example| example.cause == *cause).map(|example| card(example, thumbnails)).collect();
            (!cards.is_empty()).then(|| {
                format!(
                    "<h4><i class=\"key {class}\"></i>{name} <small>{meaning}</small></h4>\n<ul class=\"cards\">\n{cards}</ul>\n"
                )
            })
        })
        .collect();
    if groups.is_empty() {
        String::new()
    } else {
        format!(
            "<h3 class=\"examples\">Some frames that {} gets wrong</h3>\n{groups}",
            breakable(policy)
        )
    }
}

fn card(example: &ErrorExample, thumbnails: &Thumbnails) -> String {
    let file = text(&example.file);
    let picture = thumbnails.get(&example.file).map_or_else(
        || format!("<span class=\"no-picture\">{}</span>", breakable(&short(&example.file, 60))),
        |jpeg| {
            format!(
                "<img loading=\"lazy\" alt=\"{file}\" src=\"data:image/jpeg;base64,{}\">",
                STANDARD.encode(jpeg)
            )
        },
    );
    let said = if example.answered.is_empty() {
        "no answer".to_owned()
    } else {
        format!(
            "{} <small>{}\u{a0}%</small>",
            named(&example.answered),
            percent(example.confidence)
        )
    };
    format!(
        "<li title=\"{file}\">{picture}<dl><dt>is</dt><dd>{}</dd><dt>said</dt><dd>{said}</dd></dl></li>\n",
        named(&example.label)
    )
}

/// The first of several names of a class; the others under the pointer.
fn named(class: &str) -> String {
    let first = class.split(", ").next().unwrap_or(class);
    format!("<span title=\"{}\">{}</span>", text(class), text(&short(first, 40)))
}
