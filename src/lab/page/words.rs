//! The page in words: title, headline, and how it was measured. Pure.

use super::best;
use super::markup::{breakable, ms, number, percent, percent_ci, points_ci, signed, text};
use crate::lab::evaluation::{Evaluation, PolicyScore};

fn frames(evaluation: &Evaluation) -> String {
    format!(
        "{} {}",
        evaluation.n,
        if evaluation.stream { "labelled frames of streams" } else { "labelled photos" }
    )
}

/// For the browser's tab.
pub(super) fn title(evaluation: &Evaluation) -> String {
    format!("Squint: which classifier looks? {}", frames(evaluation))
}

/// What the best policy gives, at a glance.
pub(super) fn headline(evaluation: &Evaluation) -> String {
    let known = |words: &str| if words.is_empty() { "not known".to_owned() } else { text(words) };
    let about = format!(
        "<p class=\"about\"><b>{}</b>: {}. Times from {}.</p>\n",
        frames(evaluation),
        known(&evaluation.data),
        known(&evaluation.machine)
    );
    let body = best(evaluation).map_or_else(
        || "<h1>Engines side by side</h1>\n".to_owned(),
        |policy| spoken(evaluation, policy),
    );
    format!("<header>\n<p class=\"brand\">squint evaluate</p>\n{body}{about}</header>\n")
}

fn spoken(evaluation: &Evaluation, policy: &PolicyScore) -> String {
    let name = breakable(&policy.name);
    let capable = evaluation.engines.iter().find(|engine| engine.id == evaluation.most_capable);
    let capable_name = breakable(&evaluation.most_capable);
    let tempo = if policy.speedup >= 1.0 {
        format!("takes {} times less time than", number(policy.speedup, 2))
    } else {
        format!("takes {} times the time of", number(1.0 / policy.speedup, 2))
    };
    let ci = policy.top1_diff_ci95;
    let verdict = if ci.low > 0.0 {
        "and is right more often"
    } else if ci.high < 0.0 {
        "and is right less often"
    } else {
        "and no difference in right answers is proven"
    };
    let gain_ci = policy.noskill_gain_ci95;
    let luck = if gain_ci.low > 0.0 {
        "More than drawing lots between engines would give"
    } else if gain_ci.high < 0.0 {
        "Less than drawing lots between engines would give"
    } else {
        "Not proven to be more than drawing lots would give"
    };
    let tile = |name: &str, value: String, note: String| {
        format!("<li><span>{name}</span><b>{value}</b><small>{note}</small></li>\n")
    };
    let capable_ms = capable
        .map_or_else(String::new, |engine| format!("{} ms for {capable_name}", ms(engine.mean_ms)));
    let capable_top1 = capable
        .map_or_else(String::new, |engine| format!("; {capable_name}: {} %", percent(engine.top1)));
    let tiles = [
        tile("mean time", format!("{} ms", ms(policy.mean_ms)), capable_ms),
        tile(
            "top-1",
            format!("{} %", percent(policy.top1)),
            format!("95\u{a0}%: {}{capable_top1}", percent_ci(policy.top1_ci95)),
        ),
        tile(
            "top-1, difference",
            format!("{} points", signed(policy.top1_diff, 1)),
            format!("95\u{a0}%: {}", points_ci(ci)),
        ),
        tile(
            "gain over no skill",
            format!("{} points", signed(policy.noskill_gain, 1)),
            format!("95\u{a0}%: {}. {luck}", points_ci(gain_ci)),
        ),
    ];
    let chosen = if policy.trained_on_this {
        "All policies here were made from these very frames, so this flatters."
    } else if policy.top1_diff >= 0.0 {
        "Of the policies not made from these very frames, it is the fastest whose top-1 is not below that engine’s."
    } else {
        "No policy reaches that engine’s top-1 here; of those not made from these very frames, this one gains most over the no-skill line."
    };
    format!(
        "<h1><b>{name}</b> {tempo} <b>{capable_name}</b>, the most capable single engine, {verdict}: {} points, 95\u{a0}% {}.</h1>\n\
         <ul class=\"tiles\">\n{}</ul>\n<p class=\"note\">{chosen}{}</p>\n",
        signed(policy.top1_diff, 1),
        points_ci(ci),
        tiles.concat(),
        stronger(evaluation, policy)
    )
}

/// The most accurate policy that still takes no longer than the most capable engine, if it is
/// another one.
fn stronger(evaluation: &Evaluation, shown: &PolicyScore) -> String {
    let fair = evaluation.policies.iter().filter(|policy| {
        policy.speedup >= 1.0 && (!policy.trained_on_this || shown.trained_on_this)
    });
    let Some(most) =
        fair.max_by(|a, b| a.top1.total_cmp(&b.top1)).filter(|most| most.top1 > shown.top1)
    else {
        return String::new();
    };
    format!(
        " Most often right within that engine’s mean time: <b>{}</b>, {} points {} in {} ms.",
        breakable(&most.name),
        signed(most.top1_diff, 1),
        points_ci(most.top1_diff_ci95),
        ms(most.mean_ms)
    )
}

/// How it was measured.
pub(super) fn footer(evaluation: &Evaluation) -> String {
    let known = |words: &str| if words.is_empty() { "not known".to_owned() } else { text(words) };
    let folds = if evaluation.folds > 0 {
        format!(
            "{} folds, by photo; what is learned and every threshold is chosen on the other folds only",
            evaluation.folds
        )
    } else {
        "nothing was learned here; policy files are judged as they are".to_owned()
    };
    let facts = [
        (
            "Frames",
            format!("{}; {} pictures could not be read", frames(evaluation), evaluation.unreadable),
        ),
        ("Data", known(&evaluation.data)),
        ("Times from", known(&evaluation.machine)),
        ("Profile made by", known(&evaluation.tool)),
        ("Profile, sha256", format!("<code>{}</code>", known(&evaluation.profile_sha256))),
        ("Cross-validation", folds),
        ("Seed", evaluation.seed.to_string()),
    ];
    let facts: String =
        facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>\n")).collect();
    let rules = [
        "Top-1 is plain: right answers over all frames; no answer is a wrong answer.",
        "Every millisecond counts: features, decisions and every engine asked. Engines alone bear no overhead.",
        "No-skill line: the best random mix of two single engines with the same mean time. A policy on it or below has no skill, whatever its speed-up.",
        "The most capable engine is the single engine, no ensemble, that is right most often here. It was picked on these frames, which flatters it a little.",
        "Intervals are 95\u{a0}%: Wilson for one share, paired bootstrap for differences, resampled by photo.",
        "The oracle chooses with the right answers in hand: a limit that no policy can pass, and that none can promise to reach.",
        "The paper score counts silence as right where no engine is right. It is the score of the published figures, not top-1.",
    ];
    let rules: String = rules.iter().map(|rule| format!("<li>{rule}</li>\n")).collect();
    format!(
        "<footer id=\"how\">\n<h2>How it was measured</h2>\n<dl class=\"facts\">\n{facts}</dl>\n<ul class=\"rules\">\n{rules}</ul>\n</footer>\n"
    )
}
