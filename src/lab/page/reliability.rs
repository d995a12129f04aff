//! Whether a confidence of 80 % means right in 80 of 100: a small diagram for each policy. Pure.

use super::chart::{Chart, Scale, Shape};
use super::markup::{breakable, percent, section as frame, short, signed, text};
use super::scatter::look;
use crate::lab::evaluation::{Evaluation, PolicyScore};
use crate::stats::wilson95;

pub(super) fn section(evaluation: &Evaluation) -> String {
    let drawn: Vec<String> =
        evaluation.policies.iter().filter(|policy| answers(policy) > 0).map(draw).collect();
    if drawn.is_empty() {
        return String::new();
    }
    let body = format!(
        "<p>Confidence of the final answers, in ten bins, against how many of them were right. On the dashed line the confidence keeps \
         its promise; below it, it promises too much. Bars are 95\u{a0}% intervals, marks grow with the number of frames.</p>\n\
         <div class=\"small-multiples\">\n{}</div>\n",
        drawn.concat()
    );
    frame("reliability", "What a confidence is worth", &body)
}

fn answers(policy: &PolicyScore) -> u64 {
    policy.reliability.iter().map(|bin| bin.n).sum()
}

fn draw(policy: &PolicyScore) -> String {
    let area = [32.0, 26.0, 268.0, 230.0];
    let scale = |from, to| Scale::linear(0.0, 100.0, from, to);
    let mut chart =
        Chart::new(280.0, 280.0, area, scale(area[0], area[2]), scale(area[3], area[1]));
    chart.axes("confidence, %", "right, %", 5, 5);
    chart.segment("hull", (area[0], area[3]), (area[2], area[1]));
    let (shape, class) = look(&policy.kind);
    let bins: Vec<_> = policy.reliability.iter().filter(|bin| bin.n > 0).collect();
    let line: Vec<(f64, f64)> =
        bins.iter().map(|bin| (bin.confidence * 100.0, bin.right * 100.0)).collect();
    chart.line(&format!("joined {class}"), &line, &policy.name);
    let all = answers(policy).max(1) as f64;
    let mut too_much = 0.0;
    for bin in bins {
        too_much += (bin.confidence - bin.right) * bin.n as f64 / all;
        let (low, high) = wilson95((bin.right * bin.n as f64).round() as u64, bin.n);
        chart.interval(&format!("ci {class}"), bin.confidence * 100.0, low * 100.0, high * 100.0);
        let size = 2.5 + 6.0 * (bin.n as f64 / all).sqrt();
        let shape = if matches!(shape, Shape::Star) { Shape::Circle } else { shape };
        let tip = format!(
            "confidence {} % on average, {} % right, {} frames",
            percent(bin.confidence),
            percent(bin.right),
            bin.n
        );
        chart.mark(
            shape,
            class,
            (chart.x.at(bin.confidence * 100.0), chart.y.at(bin.right * 100.0)),
            size,
            &tip,
        );
    }
    let promise = if too_much.abs() < 0.0005 {
        "On average exactly right".to_owned()
    } else {
        format!(
            "On average {} points too {}",
            signed(too_much.abs() * 100.0, 1).trim_start_matches('+'),
            if too_much > 0.0 { "sure" } else { "modest" }
        )
    };
    let label = format!("Reliability of {}: {promise}", short(&policy.name, 100));
    format!(
        "<figure><h3>{}</h3>{}<figcaption>{}</figcaption></figure>\n",
        breakable(&policy.name),
        chart.finish("plot", &label),
        text(&promise)
    )
}
