//! A match over time as one SVG: temperature, power, engines, latency, accuracy; Squint drawn over
//! the oracle. Pure; drawn with the lab's [`crate::lab::page::chart`].

use crate::lab::page::chart::{Chart, Scale};
use crate::stats::{mean, quantile};

use super::course::{Course, Moment};
use super::engines::POOL;
use super::plant::meter::ceiling_c;
use super::scenario::Scenario;
use super::versus::Match;

/// Size of a panel and the place of its axes, pixels.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 200.0;
const AREA: [f64; 4] = [56.0, 34.0, 940.0, 150.0];
/// Points of a line.
const POINTS: usize = 300;

/// Colours of lines and bands, by class.
const STYLE: &str = "svg{font:12px sans-serif;background:#fff}text{fill:#222}.grid{stroke:#ddd}.axis{stroke:#222}.end{text-anchor:end}\
.mid{text-anchor:middle}.name{font-weight:bold}polyline{fill:none;stroke-width:1.6}.own{stroke:#0060a6}.oracle{stroke:#95377f;opacity:.6}\
.limit{stroke:#b8400c;stroke-dasharray:6 4}.mean{stroke:#e0a526}.around{stroke:#7b8492}.e0{fill:#cfe3f4}.e1{fill:#8fc0e6}.e2{fill:#4a94cc}\
.e3{fill:#0b4f8a}.e-none{fill:#eee}.key-own{fill:#0060a6}.key-oracle{fill:#95377f}.key-limit{fill:#b8400c}.key-mean{fill:#8a6300}\
.key-around{fill:#5b6472}";

/// A key: class, word.
type Key<'a> = (&'a str, &'a str);

/// The drawing. `scenario` is the one that was played.
pub fn plot(scenario: &Scenario, played: &Match) -> String {
    let (own, oracle) = (&played.own.1, &played.oracle.1);
    let panels = [
        temperature(scenario, own, oracle),
        power(scenario, own, oracle),
        engines(scenario, own),
        latency(scenario, own, oracle),
        accuracy(scenario, own, oracle),
    ];
    let mut body = String::new();
    for (place, panel) in panels.iter().enumerate() {
        let frame = format!(
            "<svg x=\"0\" y=\"{}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" ",
            30.0 + place as f64 * HEIGHT
        );
        body += &panel.replacen("<svg ", &frame, 1);
    }
    let height = 30.0 + panels.len() as f64 * HEIGHT;
    // Names of scenarios are letters, digits and hyphens: nothing to escape.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n<style>{STYLE}\
         </style>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n<text class=\"name\" x=\"10\" y=\"20\">{}: squint and the \
         oracle on a simulated TX2</text>\n{body}</svg>\n",
        scenario.name
    )
}

/// Values over time in bins: the mean of what `of` says of each moment.
fn binned(
    course: &Course,
    scenario: &Scenario,
    of: impl Fn(&Moment) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let width = scenario.duration_s / POINTS as f64;
    let mut bins: Vec<Vec<f64>> = vec![Vec::new(); POINTS];
    for moment in &course.moments {
        let bin = ((moment.at / width) as usize).min(POINTS - 1);
        bins[bin].extend(of(moment));
    }
    let point = |(bin, values): (usize, &Vec<f64>)| {
        Some(((bin as f64 + 0.5) * width / 60.0, mean(values)?))
    };
    bins.iter().enumerate().filter_map(point).collect()
}

/// A panel over the whole scenario.
fn panel(scenario: &Scenario, low: f64, high: f64, name: &str, keys: &[Key]) -> Chart {
    let [left, top, right, bottom] = AREA;
    let x = Scale::linear(0.0, scenario.duration_s / 60.0, left, right);
    let mut chart = Chart::new(WIDTH, HEIGHT, AREA, x, Scale::linear(low, high, bottom, top));
    chart.axes("min", name, 12, 4);
    let mut at = right;
    for (class, word) in keys.iter().rev() {
        chart.text(&format!("end key-{class}"), at, top - 12.0, word);
        at -= 8.0 + 7.0 * word.chars().count() as f64;
    }
    chart
}

fn level(chart: &mut Chart, scenario: &Scenario, value: Option<f64>) {
    if let Some(value) = value.filter(|value| chart.y.holds(*value)) {
        chart.line("limit", &[(0.0, value), (scenario.duration_s / 60.0, value)], "limit");
    }
}

fn highest(lines: &[&[(f64, f64)]], least: f64) -> f64 {
    lines.iter().flat_map(|line| line.iter()).map(|(_, value)| *value).fold(least, f64::max)
}

fn temperature(scenario: &Scenario, own: &Course, oracle: &Course) -> String {
    let lines = [own, oracle].map(|course| binned(course, scenario, |moment| Some(moment.hottest)));
    let air: Vec<(f64, f64)> = (0..=POINTS)
        .map(|point| point as f64 * scenario.duration_s / POINTS as f64)
        .map(|at| (at / 60.0, scenario.surroundings(at).ambient_c))
        .collect();
    let low = air.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min) - 5.0;
    let ceiling = ceiling_c(&scenario.limits);
    let keys = [("own", "squint"), ("oracle", "oracle"), ("around", "air"), ("limit", "ceiling")];
    let mut chart = panel(
        scenario,
        low,
        highest(&[&lines[0], &lines[1], &[(0.0, ceiling + 3.0)]], 0.0),
        "hottest zone, °C",
        &keys,
    );
    level(&mut chart, scenario, Some(ceiling));
    chart.line("around", &air, "air at the heat sink");
    chart.line("oracle", &lines[1], "oracle");
    chart.line("own", &lines[0], "squint");
    chart.finish("plot", "temperature over time")
}

fn power(scenario: &Scenario, own: &Course, oracle: &Course) -> String {
    let watts = |course: &Course| binned(course, scenario, |moment| Some(moment.board_mw / 1000.0));
    let (lines, window) = (
        [own, oracle].map(watts),
        binned(own, scenario, |moment| Some(moment.window_mw? / 1000.0)),
    );
    let cap = scenario.limits.power.as_ref().map(|power| f64::from(power.cap.0) / 1000.0);
    let keys = [
        ("own", "squint"),
        ("oracle", "oracle"),
        ("mean", "mean over the window"),
        ("limit", "cap"),
    ];
    let high = highest(&[&lines[0], &lines[1]], cap.unwrap_or(0.0)) * 1.05;
    let mut chart = panel(scenario, 2.0, high, "power, W", &keys);
    level(&mut chart, scenario, cap);
    chart.line("oracle", &lines[1], "oracle");
    chart.line("own", &lines[0], "squint");
    chart.line("mean", &window, "squint, mean over the window");
    chart.finish("plot", "power over time")
}

/// Shares of frames by the dearest engine that was asked, as far as looks tell: a frame that `e`
/// looked at and no later one.
fn engines(scenario: &Scenario, own: &Course) -> String {
    let mut chart = panel(scenario, 0.0, 1.0, "frames by the last engine asked", &[]);
    for (place, name) in POOL.iter().enumerate() {
        let at = 330.0 + 155.0 * place as f64;
        chart.text(&format!("key e{place}"), at - 16.0, AREA[1] - 12.0, "■");
        chart.text("", at, AREA[1] - 12.0, name);
    }
    let ended = |moment: &Moment, place: usize| {
        let later = moment.looks.get(place + 1).copied().unwrap_or(0);
        f64::from(moment.looks[place].saturating_sub(later)) / f64::from(moment.frames.max(1))
    };
    let mut below: Option<Vec<(f64, f64)>> = None;
    for place in (0..POOL.len()).rev() {
        let share = |moment: &Moment| {
            (place..POOL.len()).map(|later| ended(moment, later)).sum::<f64>().min(1.0)
        };
        let upper = binned(own, scenario, |moment| (moment.frames > 0).then(|| share(moment)));
        let lower = below.unwrap_or_else(|| upper.iter().map(|(at, _)| (*at, 0.0)).collect());
        chart.band(&format!("e{place}"), &lower, &upper);
        below = Some(upper);
    }
    chart.finish("plot", "engines over time")
}

fn latency(scenario: &Scenario, own: &Course, oracle: &Course) -> String {
    let width = scenario.duration_s / (POINTS / 2) as f64;
    let p95 = |course: &Course| -> Vec<(f64, f64)> {
        let mut bins: Vec<Vec<f64>> = vec![Vec::new(); POINTS / 2];
        for (at, latency) in &course.latencies {
            if let Some(bin) = bins.get_mut((at / width) as usize) {
                bin.push(latency.map_or(f64::INFINITY, |latency| latency * 1000.0));
            }
        }
        bins.iter_mut().for_each(|bin| bin.sort_by(f64::total_cmp));
        let point = |(bin, values): (usize, &Vec<f64>)| {
            Some(((bin as f64 + 0.5) * width / 60.0, quantile(values, 0.95)?))
        };
        bins.iter().enumerate().filter_map(point).filter(|(_, value)| value.is_finite()).collect()
    };
    let lines = [own, oracle].map(p95);
    let limit = scenario.limits.latency.map(|limit| limit.as_secs_f64() * 1000.0);
    let keys = [("own", "squint"), ("oracle", "oracle"), ("limit", "limit")];
    let high = highest(&[&lines[0], &lines[1]], limit.unwrap_or(0.0)) * 1.05;
    let mut chart = panel(scenario, 0.0, high, "95th percentile of latency, ms", &keys);
    level(&mut chart, scenario, limit);
    chart.line("oracle", &lines[1], "oracle");
    chart.line("own", &lines[0], "squint");
    chart.finish("plot", "latency over time")
}

fn accuracy(scenario: &Scenario, own: &Course, oracle: &Course) -> String {
    let share = |moment: &Moment| {
        (moment.frames > 0).then(|| f64::from(moment.right) / f64::from(moment.frames))
    };
    // Over a minute: single scenes are right or wrong as a whole.
    let smooth = |line: Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        line.windows(15)
            .map(|window| (window[7].0, window.iter().map(|(_, value)| value).sum::<f64>() / 15.0))
            .collect()
    };
    let lines = [own, oracle].map(|course| smooth(binned(course, scenario, share)));
    let keys = [("own", "squint"), ("oracle", "oracle")];
    let mut chart = panel(scenario, 0.5, 1.0, "share of right answers, smoothed", &keys);
    chart.line("oracle", &lines[1], "oracle");
    chart.line("own", &lines[0], "squint");
    chart.finish("plot", "accuracy over time")
}

#[cfg(test)]
mod tests {
    use super::super::engines::{policy, pool};
    use super::super::oracle::Trials;
    use super::super::squint::Squint;
    use super::super::versus::play;
    use super::*;

    #[test]
    fn the_drawing_has_five_panels_with_lines_and_no_number_that_is_none() {
        let text = "name = \"t\"\ndescription = \"d\"\nduration-s = 120\nfps = 5\nambient-c = 25\nscene-s = 1\nmotion = 0.1\n\
                    [limits]\nlatency-ms = 300\npower-mw = 4000\n";
        let scenario = Scenario::parse(text, "t.toml").unwrap();
        let (policy, pool) = (policy(), pool());
        let played = play(
            &scenario,
            1,
            &policy,
            &pool,
            &mut Squint::new(&scenario, &pool),
            &Trials::default(),
        );
        let svg = plot(&scenario, &played);
        assert_eq!((svg.matches("<svg").count(), svg.matches("</svg>").count()), (6, 6));
        assert!(
            svg.matches("<polyline class=\"own\"").count() == 4 && svg.contains("class=\"limit\"")
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
