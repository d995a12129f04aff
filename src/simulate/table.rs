//! Scores as a table for people. Pure.

use std::fmt::Write;

use super::score::Score;
use super::versus::Summary;
use crate::escape::Escaped;

/// Columns: heading, and what stands under it.
type Column = (&'static str, fn(&Score) -> Option<f64>, usize);

const COLUMNS: [Column; 9] = [
    ("over ceiling °C", |score| Some(score.over_ceiling_c), 1),
    ("throttled s", |score| Some(score.throttled_s), 0),
    ("over cap %", |score| score.power_over_cap_pct, 1),
    ("under cap %", |score| score.power_under_cap_pct, 1),
    ("in time %", |score| score.deadline_hit_pct, 1),
    ("energy vs oracle %", |score| Some(score.energy_vs_oracle_pct), 1),
    ("error vs oracle %", |score| Some(score.error_vs_oracle_pct), 1),
    ("error %", |score| Some(score.error_pct), 1),
    ("changes/h", |score| score.changes_per_hour, 1),
];

/// A block for each scenario, a line for each controller. A dash is a figure that the scenario does
/// not have.
pub fn table(summaries: &[Summary]) -> String {
    let mut text = String::new();
    for summary in summaries {
        let _ = writeln!(text, "{}", Escaped(&summary.scenario));
        let _ = write!(text, "  {:<20}", "");
        for (heading, ..) in COLUMNS {
            let _ = write!(text, "  {heading}");
        }
        text.push('\n');
        for score in [&summary.squint, &summary.oracle].into_iter().chain(&summary.rivals) {
            let _ = write!(text, "  {:<20}", score.name);
            for (heading, of, digits) in COLUMNS {
                let (figure, width) = (of(score), heading.chars().count());
                let _ = match figure {
                    Some(figure) => write!(text, "  {:>width$.digits$}", figure + 0.0),
                    None => write!(text, "  {:>width$}", "–"),
                };
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_has_a_line_and_absent_figures_a_dash() {
        let score =
            |name: &str| Score { name: name.into(), over_ceiling_c: 1.25, ..Score::default() };
        let rivals = vec![score("a rival")];
        let text = table(&[Summary {
            scenario: "box".into(),
            squint: score("squint"),
            oracle: score("oracle"),
            rivals,
        }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines.len()), ("box", 6));
        assert!(
            lines[2].contains("squint") && lines[2].contains("1.2") && lines[2].contains('–'),
            "{text}"
        );
        assert!(lines[1].chars().count() == lines[4].chars().count(), "{text}");
    }
}
