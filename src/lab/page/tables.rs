//! The tables: policies (a column each), the same against every engine, and engines (a row each).
//! Pure.

use super::markup::{
    breakable, ms, number, percent, percent_ci, points_ci, section as frame, signed, text,
};
use crate::lab::evaluation::{Evaluation, PolicyScore};

/// What a row of the table of policies shows: the key of the JSON, its name, what it means, and the
/// cell.
type Row<'a> = (&'static str, String, &'static str, Box<dyn Fn(&PolicyScore) -> String + 'a>);

/// Every figure of every policy.
pub(super) fn policies(evaluation: &Evaluation) -> String {
    if evaluation.policies.is_empty() {
        return frame("policies", "Policies", "<p>None was judged.</p>\n");
    }
    let heads: String = evaluation
        .policies
        .iter()
        .map(|policy| {
            let mark = if policy.trained_on_this { " *" } else { "" };
            format!(
                "<th scope=\"col\">{}{mark}<small>{}, {}</small></th>",
                breakable(&policy.name),
                text(&policy.kind),
                text(&policy.judged)
            )
        })
        .collect();
    let columns = evaluation.policies.len() + 1;
    let mut body = String::new();
    for (title, rows) in groups(evaluation) {
        body += &format!(
            "<tr class=\"group\"><th colspan=\"{columns}\" scope=\"rowgroup\"><span>{title}</span></th></tr>\n"
        );
        for (key, name, meaning, cell) in rows {
            let cells: String = evaluation
                .policies
                .iter()
                .map(|policy| format!("<td>{}</td>", cell(policy)))
                .collect();
            let meaning = if meaning.is_empty() {
                String::new()
            } else {
                format!("<small>{meaning}</small>")
            };
            body += &format!(
                "<tr data-key=\"{key}\"><th scope=\"row\">{name}{meaning}</th>{cells}</tr>\n"
            );
        }
    }
    let flatters = evaluation.policies.iter().any(|policy| policy.trained_on_this);
    let star = if flatters {
        "<p class=\"note\">* Made from these very frames: its figures here flatter. The cross-validated ones stand in the policy file.</p>\n"
    } else {
        ""
    };
    let table = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of policies\"><table class=\"policies\"><thead><tr><td></td>{heads}</tr></thead><tbody>\n{body}</tbody></table></div>\n{star}{}",
        against(evaluation, &heads)
    );
    frame("policies", "Policies, figure by figure", &table)
}

/// Every policy against every engine, folded away: the most capable engine is not always the one
/// that somebody runs today.
fn against(evaluation: &Evaluation, heads: &str) -> String {
    let row = |id: &str| {
        let cell = |policy: &PolicyScore| {
            let found = policy.against.iter().find(|against| against.id == id);
            let figures = found.map_or_else(String::new, |against| {
                let points = format!(
                    "{} {}",
                    signed(against.top1_diff, 1),
                    points_ci(against.top1_diff_ci95)
                );
                with(format!("{}×", number(against.speedup, 2)), points)
            });
            format!("<td>{figures}</td>")
        };
        let cells: String = evaluation.policies.iter().map(cell).collect();
        format!("<tr data-key=\"against\"><th scope=\"row\">{}</th>{cells}</tr>\n", breakable(id))
    };
    if evaluation.policies.iter().all(|policy| policy.against.is_empty()) {
        return String::new();
    }
    let rows: String = evaluation.engines.iter().map(|engine| row(&engine.id)).collect();
    format!(
        "<details><summary>Against every engine: speed-up, and difference of top-1 in points</summary>\n<div class=\"scroll\" \
         tabindex=\"0\" role=\"region\" aria-label=\"Policies against engines\"><table class=\"policies\"><thead><tr><td></td>{heads}</tr>\
         </thead><tbody>\n{rows}</tbody></table></div>\n</details>\n"
    )
}

fn row<'a>(
    key: &'static str,
    name: &str,
    meaning: &'static str,
    cell: impl Fn(&PolicyScore) -> String + 'a,
) -> Row<'a> {
    (key, text(name), meaning, Box::new(cell))
}

fn with(value: String, interval: String) -> String {
    format!("{value}<small>{interval}</small>")
}

fn groups(evaluation: &Evaluation) -> Vec<(String, Vec<Row<'_>>)> {
    let mut time = vec![
        row("mean_ms", "mean, ms", "features, decisions and all engines asked", |p| ms(p.mean_ms)),
        row("p50_ms", "median, ms", "", |p| ms(p.p50_ms)),
        row("p95_ms", "95th percentile, ms", "", |p| ms(p.p95_ms)),
        row("features_ms", "of it features, ms", "", |p| ms(p.features_ms)),
        row("policy_ms", "of it decisions, ms", "", |p| ms(p.policy_ms)),
    ];
    if evaluation.policies.iter().any(|policy| policy.energy_mj.is_some()) {
        time.push(row("energy_mj", "energy of the looks, mJ", "", |p| {
            p.energy_mj.map_or_else(|| "not known".into(), |mj| number(mj, 1))
        }));
    }
    let mut groups = vec![
        (
            "Right answers".to_owned(),
            vec![
                row("top1", "top-1, %", "no answer is wrong", |p| {
                    with(percent(p.top1), percent_ci(p.top1_ci95))
                }),
                row("top5", "top-5, %", "", |p| percent(p.top5)),
                row("coverage", "coverage, %", "frames answered", |p| percent(p.coverage)),
                row("selective_top1", "selective top-1, %", "right of those answered", |p| {
                    percent(p.selective_top1)
                }),
                row("precision", "macro precision, %", "over classes answered", |p| {
                    percent(p.precision)
                }),
                row("recall", "macro recall, %", "over classes shown", |p| percent(p.recall)),
                row("f1", "macro F1, %", "over classes shown", |p| percent(p.f1)),
            ],
        ),
        ("Time and energy of a frame".to_owned(), time),
        (
            format!("Against the most capable engine, {}", text(&evaluation.most_capable)),
            vec![
                row("speedup", "speed-up", "its mean time / this one’s", |p| {
                    format!("{}×", number(p.speedup, 2))
                }),
                row("top1_diff", "top-1, points", "difference", |p| {
                    with(signed(p.top1_diff, 1), points_ci(p.top1_diff_ci95))
                }),
            ],
        ),
        (
            "Against no skill and the oracle".to_owned(),
            vec![
                row(
                    "noskill_gain",
                    "gain over no skill, points",
                    "top-1 above the line, equal time",
                    |p| with(signed(p.noskill_gain, 1), points_ci(p.noskill_gain_ci95)),
                ),
                row(
                    "noskill_speedup",
                    "speed-up over no skill",
                    "equal top-1; – above the line’s best",
                    |p| {
                        p.noskill_speedup
                            .map_or_else(|| "–".into(), |ratio| format!("{}×", number(ratio, 2)))
                    },
                ),
                row("regret_top1", "regret, points", "oracle’s top-1 less this one’s", |p| {
                    number(p.regret_top1, 1)
                }),
                row("regret_ms", "regret, ms", "mean time above the oracle’s", |p| {
                    ms(p.regret_ms)
                }),
            ],
        ),
    ];
    if evaluation.stream {
        groups.push((
            "Stream".to_owned(),
            vec![
                row("reused", "answered again, %", "frames without a look", |p| percent(p.reused)),
                row("changes", "changes of engine, %", "from one frame to the next", |p| {
                    percent(p.changes)
                }),
            ],
        ));
    }
    groups.push((
        "Score of the published figures".to_owned(),
        vec![row(
            "paper_score",
            "paper score, %",
            "credits silence where no engine is right; not top-1",
            |p| percent(p.paper_score),
        )],
    ));
    groups
}

/// Every engine alone.
pub(super) fn engines(evaluation: &Evaluation) -> String {
    let energy = evaluation.engines.iter().any(|engine| engine.energy_mj.is_some());
    let failed = evaluation.engines.iter().any(|engine| engine.failed > 0);
    let mut heads =
        vec!["engine", "networks", "top-1, %", "95\u{a0}%", "top-5, %", "mean, ms", "p95, ms"];
    heads.extend(energy.then_some("energy, mJ"));
    heads.push("cheapest right, %");
    heads.extend(failed.then_some("failed, frames"));
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let mut rows = String::new();
    for engine in &evaluation.engines {
        let mut cells = vec![
            engine.networks.to_string(),
            percent(engine.top1),
            percent_ci(engine.top1_ci95),
            percent(engine.top5),
            ms(engine.mean_ms),
            ms(engine.p95_ms),
        ];
        cells.extend(
            energy.then(|| engine.energy_mj.map_or_else(|| "not known".into(), |mj| number(mj, 1))),
        );
        cells.push(percent(engine.cheapest_right));
        cells.extend(failed.then(|| engine.failed.to_string()));
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        let capable = engine.id == evaluation.most_capable;
        let (class, mark) = if capable {
            (" class=\"capable\"", "<small>most capable single engine</small>")
        } else {
            ("", "")
        };
        rows += &format!(
            "<tr{class}><th scope=\"row\">{}{mark}</th>{cells}</tr>\n",
            breakable(&engine.id)
        );
    }
    let oracle = &evaluation.oracle;
    let blanks = "<td></td>".repeat(usize::from(energy) + usize::from(failed) + 1);
    rows += &format!(
        "<tr class=\"oracle-row\"><th scope=\"row\">oracle<small>the cheapest right engine, with hindsight</small></th><td></td><td>{}</td><td></td><td></td><td>{}</td><td></td>{blanks}</tr>\n",
        percent(oracle.top1),
        ms(oracle.mean_ms)
    );
    let note = "<p class=\"note\">Times are of a look alone, without features and decisions. “Cheapest right”: frames on which it is the cheapest engine that is right; together they are the oracle’s top-1.</p>\n";
    let table = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of engines\"><table class=\"engines\"><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>\n{note}"
    );
    frame("engines", "Engines, each alone", &table)
}
