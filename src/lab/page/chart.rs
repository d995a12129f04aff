//! A coordinate system as SVG: scales, ticks, lines, marks. Colours come from classes of the style
//! sheet, so that light and dark both work.
//!
//! Pure. Our own and small, because the crates that draw plots write colours into the picture and
//! know no `<title>`: docs/background/decisions.md.

use super::markup::{number, px, text};

/// From values to pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    log: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// `low` to `high` on the pixels `from` to `to`. An empty or broken range becomes a small one
    /// that works.
    pub(crate) fn linear(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) =
            if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };
        Self { log: false, low, high: if high > low { high } else { low + 1.0 }, from, to }
    }

    /// Equal ratios are equally far apart. Both ends must be above 0, else as for `linear`.
    pub(crate) fn log(low: f64, high: f64, from: f64, to: f64) -> Self {
        let usable = low.is_finite() && high.is_finite() && low > 0.0;
        let (low, high) = if usable { (low, high) } else { (1.0, 10.0) };
        Self { log: true, low, high: if high > low { high } else { low * 2.0 }, from, to }
    }

    /// The pixel of `value`; values outside are held at the edge.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.low } else { value.clamp(self.low, self.high) };
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// True if `value` lies on the scale.
    pub(crate) fn holds(&self, value: f64) -> bool {
        value >= self.low && value <= self.high
    }

    /// Round values to mark, about `wanted` of them.
    pub(crate) fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.log {
            let steps: [&[f64]; 3] = [
                &[1.0, 2.0, 5.0],
                &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
                &[1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            ];
            let of = |steps: &[f64]| -> Vec<f64> {
                let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
                decades
                    .flat_map(|ten| steps.iter().map(move |step| step * 10f64.powi(ten)))
                    .filter(|tick| self.holds(*tick))
                    .collect()
            };
            return steps
                .iter()
                .map(|steps| of(steps))
                .find(|ticks| ticks.len() >= 4)
                .unwrap_or_else(|| of(steps[2]));
        }
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        let ten = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .iter()
            .map(|step| step * ten)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        (0..100)
            .map(|place| (first + place) as f64 * step)
            .take_while(|tick| *tick <= self.high + step * 1e-6)
            .collect()
    }
}

/// A drawing under way.
pub(crate) struct Chart {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
    /// Left, top, right and bottom of the area between the axes, pixels.
    pub(crate) area: [f64; 4],
    body: String,
}

impl Chart {
    pub(crate) fn new(width: f64, height: f64, area: [f64; 4], x: Scale, y: Scale) -> Self {
        Self { width, height, x, y, area, body: String::new() }
    }

    /// Grid, ticks and the names of the axes.
    pub(crate) fn axes(&mut self, x_name: &str, y_name: &str, x_ticks: usize, y_ticks: usize) {
        let [left, top, right, bottom] = self.area;
        for tick in self.y.ticks(y_ticks) {
            let y = self.y.at(tick);
            self.segment("grid", (left, y), (right, y));
            self.text("tick end", left - 8.0, y + 4.0, &trimmed(tick));
        }
        for tick in self.x.ticks(x_ticks) {
            let x = self.x.at(tick);
            self.segment("grid", (x, top), (x, bottom));
            self.text("tick mid", x, bottom + 18.0, &trimmed(tick));
        }
        self.segment("axis", (left, bottom), (right, bottom));
        self.text("name mid", (left + right) / 2.0, bottom + 40.0, x_name);
        self.text("name", 0.0, top - 12.0, y_name);
    }

    pub(crate) fn segment(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ends = [from.0, from.1, to.0, to.1].map(px);
        self.body += &format!(
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n",
            ends[0], ends[1], ends[2], ends[3]
        );
    }

    /// A line through values.
    pub(crate) fn line(&mut self, class: &str, values: &[(f64, f64)], tip: &str) {
        let path = self.pixels(values);
        self.body += &format!(
            "<polyline class=\"{class}\" points=\"{path}\"><title>{}</title></polyline>\n",
            text(tip)
        );
    }

    /// The area between two lines of values.
    pub(crate) fn band(&mut self, class: &str, lower: &[(f64, f64)], upper: &[(f64, f64)]) {
        let around: Vec<(f64, f64)> = lower.iter().chain(upper.iter().rev()).copied().collect();
        self.body += &format!("<polygon class=\"{class}\" points=\"{}\"/>\n", self.pixels(&around));
    }

    fn pixels(&self, values: &[(f64, f64)]) -> String {
        let pixels: Vec<String> = values
            .iter()
            .map(|(x, y)| format!("{},{}", px(self.x.at(*x)), px(self.y.at(*y))))
            .collect();
        pixels.join(" ")
    }

    /// An upright interval with caps.
    pub(crate) fn interval(&mut self, class: &str, x: f64, low: f64, high: f64) {
        let (x, low, high) = (self.x.at(x), self.y.at(low), self.y.at(high));
        let path = [x, low, high].map(px);
        self.body += &format!(
            "<path class=\"{class}\" d=\"M{0} {1}V{2}m-4 0h8M{0} {1}m-4 0h8\"/>\n",
            path[0], path[1], path[2]
        );
    }

    /// A mark at a pixel, with a tip that appears under the pointer.
    pub(crate) fn mark(
        &mut self,
        shape: Shape,
        class: &str,
        (x, y): (f64, f64),
        size: f64,
        tip: &str,
    ) {
        let at = format!("{} {}", px(x), px(y));
        let (s, d) = (px(size), px(size * 2.0));
        let path = match shape {
            Shape::Circle => format!("M{at}m-{s} 0a{s} {s} 0 1 0 {d} 0a{s} {s} 0 1 0 -{d} 0z"),
            Shape::Square => format!("M{at}m-{s} -{s}h{d}v{d}h-{d}z"),
            Shape::Diamond => format!("M{at}m0 -{0}l{0} {0}l-{0} {0}l-{0} -{0}z", px(size * 1.35)),
            Shape::Up => format!("M{at}m0 -{0}l{0} {1}h-{1}z", px(size * 1.2), px(size * 2.4)),
            Shape::Down => format!("M{at}m0 {0}l{0} -{1}h-{1}z", px(size * 1.2), px(size * 2.4)),
            Shape::Star => star(x, y, size * 1.6),
        };
        self.body +=
            &format!("<path class=\"{class}\" d=\"{path}\"><title>{}</title></path>\n", text(tip));
    }

    pub(crate) fn text(&mut self, class: &str, x: f64, y: f64, words: &str) {
        self.body += &format!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>\n",
            px(x),
            px(y),
            text(words)
        );
    }

    /// The drawing; `label` says to those who cannot see it what it shows.
    pub(crate) fn finish(self, class: &str, label: &str) -> String {
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            px(self.width),
            px(self.height),
            text(label),
            self.body
        )
    }
}

/// Forms of marks; they tell kinds apart where colours cannot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Star,
}

/// A mark alone, for a legend.
pub(crate) fn swatch(shape: Shape, class: &str) -> String {
    let scale = Scale::linear(0.0, 1.0, 0.0, 1.0);
    let mut chart = Chart::new(16.0, 16.0, [0.0; 4], scale, scale);
    chart.mark(shape, class, (8.0, 8.0), if shape == Shape::Star { 4.5 } else { 5.0 }, "");
    format!(
        "<svg class=\"swatch\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">{}</svg>",
        chart.body.replace("<title></title>", "")
    )
}

/// A line alone, for a legend.
pub(crate) fn stroke(class: &str) -> String {
    format!(
        "<svg class=\"swatch long\" viewBox=\"0 0 32 16\" aria-hidden=\"true\"><line class=\"{class}\" x1=\"1\" y1=\"8\" x2=\"31\" y2=\"8\"/></svg>"
    )
}

fn star(x: f64, y: f64, size: f64) -> String {
    let corner = |place: u32| {
        let angle = f64::from(place) * std::f64::consts::PI / 5.0;
        let radius = if place.is_multiple_of(2) { size } else { size * 0.45 };
        format!("{} {}", px(x + radius * angle.sin()), px(y - radius * angle.cos()))
    };
    format!("M{}z", (0..10).map(corner).collect::<Vec<_>>().join("L"))
}

/// A tick's number without needless zeros.
fn trimmed(tick: f64) -> String {
    let digits = (0..4).find(|digits| {
        (tick * 10f64.powi(*digits)).fract().abs() < 1e-6
            || (tick * 10f64.powi(*digits)).fract().abs() > 1.0 - 1e-6
    });
    number(tick, digits.unwrap_or(4) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_their_ends_and_survive_nonsense() {
        let log = Scale::log(1.0, 100.0, 0.0, 200.0);
        assert_eq!((log.at(1.0), log.at(10.0), log.at(1000.0)), (0.0, 100.0, 200.0));
        let linear = Scale::linear(0.0, 10.0, 100.0, 0.0);
        assert_eq!((linear.at(0.0), linear.at(10.0), linear.at(f64::NAN)), (100.0, 0.0, 100.0));
        for scale in [
            Scale::log(0.0, 0.0, 0.0, 1.0),
            Scale::log(f64::NAN, 1.0, 0.0, 1.0),
            Scale::linear(f64::NAN, 3.0, 0.0, 1.0),
            Scale::linear(2.0, 2.0, 0.0, 1.0),
        ] {
            assert!(scale.at(2.0).is_finite() && !scale.ticks(5).is_empty(), "{scale:?}");
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            Scale::linear(52.0, 91.0, 0.0, 1.0).ticks(8),
            [55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0]
        );
        assert_eq!(Scale::log(4.0, 70.0, 0.0, 1.0).ticks(8), [5.0, 10.0, 20.0, 50.0]);
        assert!(Scale::log(4.0, 5.0, 0.0, 1.0).ticks(8).len() >= 2);
        assert_eq!(
            (trimmed(0.25).as_str(), trimmed(20.0).as_str(), trimmed(-0.3).as_str()),
            ("0.25", "20", "−0.3")
        );
    }
}
