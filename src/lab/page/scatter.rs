//! Top-1 against mean time: engines, the no-skill line, policies with their intervals, curves and
//! the oracle. Pure.

use super::chart::{Chart, Scale, Shape, stroke, swatch};
use super::labels::{self, Wish};
use super::markup::{ms, number, percent, percent_ci, section as frame, short, text};
use crate::lab::evaluation::{EngineScore, Evaluation, PolicyScore};

/// Mark and class of each kind of policy; what is not named here is `other`.
const KINDS: [(&str, Shape, &str); 6] = [
    ("chain", Shape::Square, "k-chain"),
    ("confidence", Shape::Circle, "k-confidence"),
    ("hybrid", Shape::Diamond, "k-hybrid"),
    ("fixed", Shape::Down, "k-fixed"),
    ("random", Shape::Down, "k-random"),
    ("live", Shape::Circle, "k-live"),
];

/// Mark and class of a policy.
pub(super) fn look(kind: &str) -> (Shape, &'static str) {
    KINDS
        .iter()
        .find(|(name, ..)| *name == kind)
        .map_or((Shape::Up, "k-other"), |(_, shape, class)| (*shape, *class))
}

/// Points below the most capable engine that are still drawn to scale; what lies lower is held at
/// the edge and says its figure.
const DEPTH: f64 = 14.0;

/// Classes of a family's line: the colour of its kind where its name has one, and a dash of its
/// own.
pub(super) fn curve_class(name: &str, place: usize) -> String {
    let colour = KINDS
        .iter()
        .find(|(kind, ..)| name.to_lowercase().contains(kind))
        .map_or("k-other", |(.., class)| class);
    format!("{colour} d-{}", place % 4)
}

/// How large the drawing is and how much of it is named.
struct Size {
    class: &'static str,
    width: f64,
    height: f64,
    left: f64,
    every_engine: bool,
}

pub(super) fn section(evaluation: &Evaluation) -> String {
    let wide = Size { class: "wide", width: 1040.0, height: 600.0, left: 46.0, every_engine: true };
    let narrow =
        Size { class: "narrow", width: 420.0, height: 520.0, left: 34.0, every_engine: false };
    let note = "Up and to the left is better. A policy is worth having only above the no-skill line, which drawing lots between two \
                engines gives. Upright bars are 95\u{a0}% intervals. Time is on a logarithmic scale, on which the straight no-skill line bends. Rest \
                the pointer on a mark for its figures.";
    let edge = if floor(evaluation) > 0.0 {
        " What lies far below is held at the lower edge, with its figure."
    } else {
        ""
    };
    let body = format!(
        "{}<figure>{}{}<figcaption>{note}{edge}<span class=\"narrow\"> Engines without a name are in the table below.</span></figcaption></figure>\n",
        legend(evaluation),
        draw(evaluation, &wide),
        draw(evaluation, &narrow)
    );
    frame("time", "Right answers against time", &body)
}

fn legend(evaluation: &Evaluation) -> String {
    let mut items = vec![(swatch(Shape::Circle, "engine"), "one network".to_owned())];
    if evaluation.engines.iter().any(|engine| engine.networks > 1) {
        items.push((swatch(Shape::Circle, "ensemble"), "ensemble of networks".to_owned()));
    }
    items.push((stroke("hull"), "no-skill line".to_owned()));
    items.push((swatch(Shape::Star, "oracle"), "oracle (hindsight)".to_owned()));
    let mut kinds: Vec<&str> = Vec::new();
    for policy in &evaluation.policies {
        if !kinds.contains(&policy.kind.as_str()) {
            kinds.push(&policy.kind);
        }
    }
    for kind in kinds {
        let (shape, class) = look(kind);
        items.push((swatch(shape, class), format!("policy: {}", short(kind, 24))));
    }
    for (place, curve) in evaluation.curves.iter().enumerate() {
        items.push((
            stroke(&format!("curve {}", curve_class(&curve.name, place))),
            format!("family: {}", short(&curve.name, 40)),
        ));
    }
    let items: Vec<String> =
        items.into_iter().map(|(mark, words)| format!("<li>{mark}{}</li>", text(&words))).collect();
    format!("<ul class=\"legend\">{}</ul>\n", items.concat())
}

/// A point to be marked, and named if `name` is not empty.
struct Point {
    x: f64,
    y: f64,
    shape: Shape,
    class: String,
    size: f64,
    name: String,
    name_class: String,
    tip: String,
}

fn draw(evaluation: &Evaluation, size: &Size) -> String {
    let mut points = points(evaluation, size.every_engine);
    for point in
        points.iter_mut().filter(|point| point.y < floor(evaluation) && !point.name.is_empty())
    {
        point.name += &format!(" {} % ↓", number(point.y, 1));
    }
    let area = [size.left, 34.0, size.width - 14.0, size.height - 50.0];
    let floor = floor(evaluation);
    let (x, y) = scales(evaluation, &points, floor, area);
    let mut chart = Chart::new(size.width, size.height, area, x, y);
    chart.axes("mean time a frame, ms", "top-1, %", 8, 8);
    let mut lines: Vec<[f64; 4]> = Vec::new();
    let mut strokes = vec![("hull".to_owned(), "no-skill line".to_owned(), hull(evaluation))];
    strokes.extend(evaluation.curves.iter().enumerate().map(|(place, curve)| {
        let values = curve
            .points
            .iter()
            .map(|point| (point.mean_ms, point.top1 * 100.0))
            .filter(|(x, y)| drawable(*x, *y))
            .collect();
        (format!("curve {}", curve_class(&curve.name, place)), curve.name.clone(), values)
    }));
    for (class, tip, values) in &strokes {
        let values: Vec<(f64, f64)> =
            dense(values).into_iter().filter(|(_, y)| *y >= floor).collect();
        chart.line(class, &values, tip);
        let pixels: Vec<(f64, f64)> =
            values.iter().map(|(x, y)| (chart.x.at(*x), chart.y.at(*y))).collect();
        lines.extend(pixels.windows(2).map(|pair| [pair[0].0, pair[0].1, pair[1].0, pair[1].1]));
    }
    let mut taken: Vec<labels::Rect> = Vec::new();
    for policy in evaluation.policies.iter().filter(|policy| drawable(policy.mean_ms, policy.top1))
    {
        let ends = (policy.top1_ci95.low * 100.0, policy.top1_ci95.high * 100.0);
        if ends.1 > floor {
            chart.interval(
                &format!("ci {}", look(&policy.kind).1),
                policy.mean_ms,
                ends.0.max(floor),
                ends.1,
            );
        }
        let x = chart.x.at(policy.mean_ms);
        taken.push([x - 3.0, chart.y.at(ends.1), x + 3.0, chart.y.at(ends.0)]);
    }
    let at = |point: &Point, chart: &Chart| (chart.x.at(point.x), chart.y.at(point.y));
    taken.extend(points.iter().map(|point| {
        let ((x, y), reach) = (at(point, &chart), point.size + 1.5);
        [x - reach, y - reach, x + reach, y + reach]
    }));
    let named: Vec<&Point> = points.iter().filter(|point| !point.name.is_empty()).collect();
    let font =
        |point: &Point| if point.name_class.contains("strong") { labels::STRONG } else { 12.0 };
    let wish = |point: &&Point| Wish {
        at: at(point, &chart),
        size: labels::room(&point.name, font(point)),
    };
    let wishes: Vec<Wish> = named.iter().map(wish).collect();
    let placed = labels::place(
        &wishes,
        &taken,
        &lines,
        [area[0] + 2.0, 18.0, size.width - 2.0, area[3] - 2.0],
    );
    for (point, rect) in named.iter().zip(&placed) {
        let Some(rect) = rect else { continue };
        let line = labels::leader(at(point, &chart), rect);
        if (line[0] - line[2]).hypot(line[1] - line[3]) > 15.0 {
            chart.segment("leader", (line[0], line[1]), (line[2], line[3]));
        }
    }
    for point in points.iter().rev() {
        chart.mark(point.shape, &point.class, at(point, &chart), point.size, &point.tip);
    }
    for (point, rect) in named.iter().zip(&placed) {
        if let Some(rect) = rect {
            chart.text(&point.name_class, rect[0] + 2.0, rect[3] - 4.0, &point.name);
        }
    }
    let label = format!(
        "Top-1 against mean time: {} engines and {} policies; every figure is in the tables below",
        evaluation.engines.len(),
        evaluation.policies.len()
    );
    chart.finish(&format!("plot {}", size.class), &label)
}

fn drawable(x: f64, y: f64) -> bool {
    x.is_finite() && y.is_finite() && x > 0.0
}

/// Per cent below which nothing is drawn to scale; 0 if everything is.
fn floor(evaluation: &Evaluation) -> f64 {
    let capable = evaluation
        .engines
        .iter()
        .find(|engine| engine.id == evaluation.most_capable)
        .map_or(0.0, |engine| engine.top1 * 100.0);
    let lowest = evaluation
        .engines
        .iter()
        .map(|engine| engine.top1)
        .chain(evaluation.policies.iter().map(|policy| policy.top1));
    let depth = ((capable - DEPTH) / 5.0).floor() * 5.0;
    if lowest.fold(1.0, f64::min) * 100.0 < depth { depth } else { 0.0 }
}

/// The same line with points in between: what is straight over time is not straight over its
/// logarithm.
fn dense(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let between = |pair: &[(f64, f64)]| {
        let (a, b) = (pair[0], pair[1]);
        (0..24).map(move |step| {
            let share = f64::from(step) / 24.0;
            (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share)
        })
    };
    values.windows(2).flat_map(between).chain(values.last().copied()).collect()
}

fn hull(evaluation: &Evaluation) -> Vec<(f64, f64)> {
    evaluation
        .noskill
        .iter()
        .map(|corner| (corner.mean_ms, corner.top1 * 100.0))
        .filter(|(x, y)| drawable(*x, *y))
        .collect()
}

/// Most important first.
fn points(evaluation: &Evaluation, every_engine: bool) -> Vec<Point> {
    let mut points: Vec<Point> = evaluation.policies.iter().map(policy).collect();
    let oracle = &evaluation.oracle;
    points.push(Point {
        x: oracle.mean_ms,
        y: oracle.top1 * 100.0,
        shape: Shape::Star,
        class: "oracle".into(),
        size: 6.0,
        name: "oracle".into(),
        name_class: "label strong t-oracle".into(),
        tip: format!(
            "oracle: the cheapest right engine, with hindsight; top-1 {} %, {} ms",
            percent(oracle.top1),
            ms(oracle.mean_ms)
        ),
    });
    let corner =
        |engine: &EngineScore| evaluation.noskill.iter().any(|corner| corner.id == engine.id);
    let capable = |engine: &EngineScore| engine.id == evaluation.most_capable;
    let mut engines: Vec<&EngineScore> = evaluation.engines.iter().collect();
    engines.sort_by_key(|engine| (!capable(engine), !corner(engine)));
    points.extend(engines.into_iter().map(|engine| {
        let named = every_engine || capable(engine);
        let mut point =
            self::engine(engine, if named { short(&engine.id, 32) } else { String::new() });
        if capable(engine) {
            point.name_class += " capable";
        }
        point
    }));
    points.retain(|point| drawable(point.x, point.y));
    points
}

fn policy(policy: &PolicyScore) -> Point {
    let (shape, class) = look(&policy.kind);
    Point {
        x: policy.mean_ms,
        y: policy.top1 * 100.0,
        shape,
        class: class.into(),
        size: 6.5,
        name: format!(
            "{}{}",
            short(&policy.name, 32),
            if policy.trained_on_this { " *" } else { "" }
        ),
        name_class: format!("label strong t-{class}"),
        tip: format!(
            "{}: top-1 {} % {}, {} ms, {}{}",
            short(&policy.name, 100),
            percent(policy.top1),
            percent_ci(policy.top1_ci95),
            ms(policy.mean_ms),
            short(&policy.judged, 40),
            if policy.trained_on_this { ", made from these very frames" } else { "" }
        ),
    }
}

fn engine(engine: &EngineScore, name: String) -> Point {
    Point {
        x: engine.mean_ms,
        y: engine.top1 * 100.0,
        shape: Shape::Circle,
        class: if engine.networks > 1 { "ensemble" } else { "engine" }.into(),
        size: 4.0,
        name,
        name_class: "label".into(),
        tip: format!(
            "{}: top-1 {} % {}, {} ms",
            short(&engine.id, 100),
            percent(engine.top1),
            percent_ci(engine.top1_ci95),
            ms(engine.mean_ms)
        ),
    }
}

/// Everything fits, with a little air.
fn scales(evaluation: &Evaluation, points: &[Point], floor: f64, area: [f64; 4]) -> (Scale, Scale) {
    let curves = evaluation
        .curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|point| (point.mean_ms, point.top1 * 100.0));
    let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = points
        .iter()
        .map(|point| (point.x, point.y))
        .chain(curves)
        .filter(|(x, y)| drawable(*x, *y))
        .unzip();
    ys.extend(
        evaluation
            .policies
            .iter()
            .flat_map(|policy| [policy.top1_ci95.low * 100.0, policy.top1_ci95.high * 100.0]),
    );
    xs.retain(|x| x.is_finite());
    ys.retain(|y| y.is_finite() && *y >= floor);
    ys.extend((floor > 0.0).then_some(floor));
    let ends = |values: &[f64]| {
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        })
    };
    let ((x_low, x_high), (y_low, y_high)) = (ends(&xs), ends(&ys));
    let air = ((y_high - y_low) * 0.06).max(1.0);
    (
        Scale::log(x_low / 1.12, x_high * 1.12, area[0], area[2]),
        Scale::linear(
            if floor > 0.0 { floor } else { (y_low - air).max(0.0) },
            (y_high + air).min(100.0),
            area[3],
            area[1],
        ),
    )
}
