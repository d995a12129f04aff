//! Points above the no-skill line over mean time, with their intervals: policies as marks, families
//! as bands. Pure.

use super::chart::{Chart, Scale, stroke};
use super::labels::{self, Wish};
use super::markup::{ms, points_ci, section as frame, short, signed, text};
use super::scatter::{curve_class, look};
use crate::lab::evaluation::{Curve, CurvePoint, Evaluation, PolicyScore};

/// Points below the line that are still drawn to scale; what lies lower is held at the edge and
/// says its figure.
const FLOOR: f64 = -4.0;

pub(super) fn section(evaluation: &Evaluation) -> String {
    if evaluation.policies.is_empty() && evaluation.curves.is_empty() {
        return String::new();
    }
    let legend: Vec<String> = evaluation
        .curves
        .iter()
        .enumerate()
        .map(|(place, curve)| {
            format!(
                "<li>{}family: {}, band: 95\u{a0}%</li>",
                stroke(&format!("curve {}", curve_class(&curve.name, place))),
                text(&short(&curve.name, 40))
            )
        })
        .collect();
    let legend = if legend.is_empty() {
        String::new()
    } else {
        format!("<ul class=\"legend\">{}</ul>\n", legend.concat())
    };
    let note = "Zero is what drawing lots between two engines gives in the same mean time. Where a bar or band touches zero, luck would do \
                as well. Policies more than 4 points below are held at the lower edge, with their figure.";
    let body = format!(
        "{legend}<figure>{}{}<figcaption>{note}</figcaption></figure>\n",
        draw(evaluation, "wide", (1040.0, 380.0)),
        draw(evaluation, "narrow", (420.0, 380.0))
    );
    frame("gain", "Gain over the no-skill line", &body)
}

fn solid(point: &CurvePoint) -> bool {
    let ci = point.noskill_gain_ci95;
    point.mean_ms > 0.0
        && [point.mean_ms, point.noskill_gain, ci.low, ci.high]
            .iter()
            .all(|value| value.is_finite())
}

fn draw(evaluation: &Evaluation, class: &str, (width, height): (f64, f64)) -> String {
    let curves: Vec<Vec<&CurvePoint>> = evaluation
        .curves
        .iter()
        .map(|curve: &Curve| curve.points.iter().filter(|point| solid(point)).collect())
        .collect();
    let policies: Vec<&PolicyScore> = evaluation
        .policies
        .iter()
        .filter(|policy| {
            policy.mean_ms > 0.0 && policy.mean_ms.is_finite() && policy.noskill_gain.is_finite()
        })
        .collect();
    let xs: Vec<f64> = curves
        .iter()
        .flatten()
        .map(|point| point.mean_ms)
        .chain(policies.iter().map(|policy| policy.mean_ms))
        .collect();
    let intervals = curves
        .iter()
        .flatten()
        .map(|point| point.noskill_gain_ci95)
        .chain(policies.iter().map(|policy| policy.noskill_gain_ci95));
    let ys: Vec<f64> =
        intervals.flat_map(|ci| [ci.low, ci.high]).filter(|y| y.is_finite()).collect();
    let low = ys.iter().copied().fold(-1.0, f64::min).max(FLOOR);
    let high = ys.iter().copied().fold(1.0, f64::max) + 0.5;
    let area = [36.0, 34.0, width - 14.0, height - 50.0];
    let ends =
        xs.iter().fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(*x), high.max(*x)));
    let (x, y) = (
        Scale::log(ends.0 / 1.15, ends.1 * 1.15, area[0], area[2]),
        Scale::linear(low, high, area[3], area[1]),
    );
    let mut chart = Chart::new(width, height, area, x, y);
    chart.axes("mean time a frame, ms", "points of top-1 above the no-skill line", 8, 6);
    chart.segment("zero", (area[0], y.at(0.0)), (area[2], y.at(0.0)));
    let mut lines = vec![[area[0], y.at(0.0), area[2], y.at(0.0)]];
    for (place, points) in curves.iter().enumerate() {
        let along = |value: &dyn Fn(&CurvePoint) -> f64| {
            points.iter().map(|point| (point.mean_ms, value(point))).collect::<Vec<_>>()
        };
        chart.band(
            &format!("band {}", curve_class(&evaluation.curves[place].name, place)),
            &along(&|point| point.noskill_gain_ci95.low),
            &along(&|point| point.noskill_gain_ci95.high),
        );
    }
    for (place, points) in curves.iter().enumerate() {
        let middle: Vec<(f64, f64)> =
            points.iter().map(|point| (point.mean_ms, point.noskill_gain)).collect();
        chart.line(
            &format!("curve {}", curve_class(&evaluation.curves[place].name, place)),
            &middle,
            &evaluation.curves[place].name,
        );
        let pixels: Vec<(f64, f64)> =
            middle.iter().map(|(x, y)| (chart.x.at(*x), chart.y.at(*y))).collect();
        lines.extend(pixels.windows(2).map(|pair| [pair[0].0, pair[0].1, pair[1].0, pair[1].1]));
    }
    let mut taken: Vec<labels::Rect> = Vec::new();
    for policy in &policies {
        let ci = policy.noskill_gain_ci95;
        chart.interval(&format!("ci {}", look(&policy.kind).1), policy.mean_ms, ci.low, ci.high);
        let (x, y) = (x.at(policy.mean_ms), y.at(policy.noskill_gain));
        taken.extend([
            [x - 4.0, chart.y.at(ci.high), x + 4.0, chart.y.at(ci.low)],
            [x - 8.0, y - 8.0, x + 8.0, y + 8.0],
        ]);
    }
    let at = |policy: &PolicyScore| (x.at(policy.mean_ms), y.at(policy.noskill_gain));
    let name = |policy: &PolicyScore| {
        let figure = if policy.noskill_gain < low {
            format!(" {} ↓", signed(policy.noskill_gain, 1))
        } else {
            String::new()
        };
        format!(
            "{}{}{figure}",
            short(&policy.name, 30),
            if policy.trained_on_this { " *" } else { "" }
        )
    };
    let wishes: Vec<Wish> = policies
        .iter()
        .map(|policy| Wish { at: at(policy), size: labels::room(&name(policy), labels::STRONG) })
        .collect();
    let placed =
        labels::place(&wishes, &taken, &lines, [area[0] + 2.0, 18.0, width - 2.0, area[3] - 2.0]);
    for (policy, rect) in policies.iter().zip(&placed) {
        let (shape, class) = look(&policy.kind);
        let tip = format!(
            "{}: {} points {} at {} ms",
            short(&policy.name, 100),
            signed(policy.noskill_gain, 1),
            points_ci(policy.noskill_gain_ci95),
            ms(policy.mean_ms)
        );
        chart.mark(shape, class, at(policy), 6.0, &tip);
        if let Some(rect) = rect {
            let line = labels::leader(at(policy), rect);
            if (line[0] - line[2]).hypot(line[1] - line[3]) > 15.0 {
                chart.segment("leader", (line[0], line[1]), (line[2], line[3]));
            }
            chart.text(
                &format!("label strong t-{class}"),
                rect[0] + 2.0,
                rect[3] - 4.0,
                &name(policy),
            );
        }
    }
    chart.finish(&format!("plot {class}"), "Points of top-1 above the no-skill line over mean time, with 95\u{a0}% intervals; the figures are in the table of policies")
}
