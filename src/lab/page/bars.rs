//! Bars: which engine answers which share, and what each feature is worth. HTML and no SVG, so that
//! they fit any width. Pure.

use super::markup::{breakable, number, percent, px, section as frame, short, signed, text};
use crate::lab::evaluation::{Evaluation, PolicyScore};

/// A piece of a bar. Shares are 0..=1.
pub(super) struct Piece {
    pub(super) share: f64,
    pub(super) name: String,
    /// For the list below, behind the share; may be empty.
    pub(super) more: String,
    /// Class, and style of the colour if it has no class of its own.
    pub(super) class: &'static str,
    pub(super) style: String,
}

/// A bar of pieces that are together at most `full`, and the same as a list.
pub(super) fn stacked(pieces: &[Piece], full: f64) -> String {
    let shown: Vec<&Piece> =
        pieces.iter().filter(|piece| piece.share.is_finite() && piece.share > 0.0).collect();
    let width = |share: f64| px((share / full.max(1e-9) * 1000.0).clamp(0.0, 1000.0) / 10.0);
    let segments = shown.iter().map(|piece| {
        let inside = if piece.share / full.max(1e-9) > 0.09 {
            format!("{} %", number(piece.share * 100.0, 0))
        } else {
            String::new()
        };
        let tip = format!("{}: {} %", piece.name, percent(piece.share));
        format!(
            "<span class=\"piece {}\" style=\"width:{}%;{}\" title=\"{}\">{inside}</span>",
            piece.class,
            width(piece.share),
            piece.style,
            text(&tip)
        )
    });
    let items = shown.iter().map(|piece| {
        let more = if piece.more.is_empty() {
            String::new()
        } else {
            format!(" <small>{}</small>", text(&piece.more))
        };
        format!(
            "<li><i class=\"key {}\" style=\"{}\"></i>{} <b>{} %</b>{more}</li>",
            piece.class,
            piece.style,
            breakable(&piece.name),
            percent(piece.share)
        )
    });
    format!(
        "<div class=\"bar\" aria-hidden=\"true\">{}</div>\n<ul class=\"legend\">{}</ul>\n",
        segments.collect::<String>(),
        items.collect::<String>()
    )
}

/// Which engine answers which share.
pub(super) fn shares(evaluation: &Evaluation) -> String {
    if evaluation.policies.is_empty() {
        return String::new();
    }
    let used: Vec<&str> = evaluation
        .engines
        .iter()
        .map(|engine| engine.id.as_str())
        .filter(|id| {
            evaluation
                .policies
                .iter()
                .any(|policy| policy.shares.iter().any(|share| share.id == *id))
        })
        .collect();
    let rows: String = evaluation
        .policies
        .iter()
        .map(|policy| {
            format!(
                "<div class=\"row\"><h3>{}</h3><div>{}</div></div>\n",
                breakable(&policy.name),
                stacked(&answers(policy, &used), 1.0)
            )
        })
        .collect();
    let note = "Share of frames on which each engine had the last word, cheapest engine first (light), dearest last (dark). \
                Where an engine was also asked on the way to another one, the list says so.";
    frame("shares", "Who answers", &format!("<p>{note}</p>\n{rows}"))
}

fn answers(policy: &PolicyScore, used: &[&str]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (place, id) in used.iter().enumerate() {
        let Some(share) = policy.shares.iter().find(|share| share.id == *id) else { continue };
        let more = if share.asked > share.answered + 5e-4 {
            format!("(asked {} %)", percent(share.asked))
        } else {
            String::new()
        };
        pieces.push(Piece {
            share: share.answered,
            name: short(id, 60),
            more,
            class: "",
            style: tone(place, used.len()),
        });
    }
    pieces.push(Piece {
        share: policy.reused,
        name: "answered again without a look".into(),
        more: String::new(),
        class: "reused",
        style: String::new(),
    });
    pieces.push(Piece {
        share: 1.0 - policy.coverage,
        name: "no answer".into(),
        more: String::new(),
        class: "none",
        style: String::new(),
    });
    pieces
}

/// Light to dark in steps that stay apart for every kind of colour sight, and the colour of words
/// upon it.
fn tone(place: usize, of: usize) -> String {
    const STOPS: [[f64; 3]; 5] = [
        [240.0, 229.0, 120.0],
        [122.0, 200.0, 110.0],
        [42.0, 146.0, 142.0],
        [58.0, 92.0, 150.0],
        [74.0, 32.0, 98.0],
    ];
    let along = if of > 1 { place as f64 / (of - 1) as f64 * 4.0 } else { 2.0 };
    let (stop, part) = ((along.floor() as usize).min(3), along - along.floor().min(3.0));
    let mixed = [0, 1, 2].map(|part_of| {
        STOPS[stop][part_of] + (STOPS[stop + 1][part_of] - STOPS[stop][part_of]) * part
    });
    let bright = 0.3 * mixed[0] + 0.59 * mixed[1] + 0.11 * mixed[2] > 125.0;
    let [red, green, blue] = mixed.map(|value| value.round() as u8);
    format!("background:rgb({red},{green},{blue});color:{}", if bright { "#111" } else { "#fff" })
}

/// What the features are worth to the published premodel.
pub(super) fn features(evaluation: &Evaluation) -> String {
    let finite: Vec<_> =
        evaluation.features.iter().filter(|feature| feature.points.is_finite()).collect();
    let most = finite.iter().map(|feature| feature.points.abs()).fold(0.0, f64::max);
    if finite.is_empty() {
        return String::new();
    }
    let rows: String = finite
        .iter()
        .map(|feature| {
            let width = px(if most > 0.0 { feature.points.abs() / most * 100.0 } else { 0.0 });
            let class = if feature.points < 0.0 { "worse" } else { "worth" };
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"track\"><span class=\"{class}\" style=\"width:{width}%\"></span></td><td>{}</td></tr>\n",
                breakable(&feature.name),
                signed(feature.points, 2)
            )
        })
        .collect();
    let note = "Points of cross-validated accuracy that the published premodel loses when the feature is taken away. This is the accuracy of \
                choosing an engine, not top-1.";
    let head = "<thead><tr><th scope=\"col\">feature</th><td></td><th scope=\"col\">points</th></tr></thead>";
    frame(
        "features",
        "What the features are worth",
        &format!(
            "<p>{note}</p>\n<table class=\"features\">{head}<tbody>\n{rows}</tbody></table>\n"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_run_from_light_to_dark_and_one_engine_has_one() {
        assert!(tone(0, 4).starts_with("background:rgb(240,229,120);color:#111"));
        assert!(tone(3, 4).starts_with("background:rgb(74,32,98);color:#fff"));
        assert!(tone(0, 1).contains("rgb(42,146,142)"));
    }

    #[test]
    fn empty_pieces_are_left_out_and_widths_are_of_the_full_bar() {
        let piece = |share, name: &str| Piece {
            share,
            name: name.into(),
            more: String::new(),
            class: "",
            style: String::new(),
        };
        let html = stacked(&[piece(0.25, "a"), piece(0.0, "b"), piece(f64::NAN, "c")], 0.5);
        assert!(
            html.contains("width:50.0%")
                && html.contains("25.0 %")
                && !html.contains(">b ")
                && !html.contains("NaN"),
            "{html}"
        );
    }
}
