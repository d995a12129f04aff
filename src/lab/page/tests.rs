//! What the page must hold: every name, every figure as in the evaluation, nothing from outside as
//! markup, nothing from the network.

use super::*;
use crate::lab::evaluation::*;

const HOSTILE: &str = "<script>alert('x')</script>\" onload=\"y\u{202e}";

fn interval(low: f64, high: f64) -> Interval {
    Interval { low, high }
}

fn engine(id: &str, mean_ms: f64, top1: f64) -> EngineScore {
    EngineScore {
        id: id.into(),
        networks: 1,
        top1,
        top1_ci95: interval(top1 - 0.03, top1 + 0.03),
        top5: 0.9,
        mean_ms,
        p95_ms: mean_ms * 1.2,
        cheapest_right: 0.3,
        ..Default::default()
    }
}

fn policy(name: &str, kind: &str, mean_ms: f64, top1: f64) -> PolicyScore {
    let share = |id: &str, answered, asked| EngineShare { id: id.into(), answered, asked };
    let example = |cause: &str, file: &str| ErrorExample {
        cause: cause.into(),
        file: file.into(),
        label: "tabby, tabby cat".into(),
        answered: "lynx".into(),
        confidence: 0.61,
    };
    PolicyScore {
        name: name.into(),
        kind: kind.into(),
        judged: "cross-validated".into(),
        top1,
        top1_ci95: interval(top1 - 0.0312, top1 + 0.0287),
        top5: 0.9512,
        coverage: 0.9876,
        selective_top1: 0.8321,
        precision: 0.8123,
        recall: 0.8034,
        f1: 0.7945,
        mean_ms,
        p50_ms: 3.21,
        p95_ms: 17.65,
        features_ms: 0.456,
        policy_ms: 0.0123,
        shares: vec![share("small", 0.7, 1.0), share("large", 0.2876, 0.3)],
        reused: 0.1234,
        changes: 0.0567,
        speedup: 20.0 / mean_ms,
        top1_diff: 100.0 * (top1 - 0.83),
        top1_diff_ci95: interval(-1.73, 2.46),
        noskill_gain: -0.87,
        noskill_gain_ci95: interval(-2.13, 0.42),
        noskill_speedup: Some(1.37),
        against: vec![Against {
            id: "small".into(),
            speedup: 0.57,
            top1_diff: 12.34,
            top1_diff_ci95: interval(10.26, 14.44),
        }],
        regret_top1: 6.78,
        regret_ms: 4.32,
        paper_score: 0.8567,
        reliability: vec![ReliabilityBin { from: 0.8, n: 90, confidence: 0.85, right: 0.8 }],
        errors: Errors {
            nobody_right: 0.0911,
            not_asked: 0.0433,
            overruled: 0.0222,
            abstained: 0.0124,
            examples: vec![example("nobody_right", "cat.jpg"), example("not_asked", "dog.jpg")],
        },
        ..Default::default()
    }
}

fn evaluation() -> Evaluation {
    Evaluation {
        n: 800,
        data: "photos of the garden".into(),
        stream: true,
        machine: "a small board".into(),
        tool: "squint profile 9".into(),
        profile_sha256: "abc123".into(),
        folds: 10,
        seed: 7,
        engines: vec![engine("small", 4.0, 0.7), engine("large", 20.0, 0.83)],
        most_capable: "large".into(),
        noskill: vec![
            Corner { id: "small".into(), mean_ms: 4.0, top1: 0.7 },
            Corner { id: "large".into(), mean_ms: 20.0, top1: 0.83 },
        ],
        oracle: Oracle { top1: 0.9, mean_ms: 5.0 },
        policies: vec![
            policy("quick", "confidence", 8.0, 0.8412),
            policy("paper-knn", "chain", 5.0, 0.55),
        ],
        features: vec![
            FeatureImportance { name: "edge density".into(), points: 1.25 },
            FeatureImportance { name: "hue".into(), points: -0.5 },
        ],
        curves: vec![Curve {
            name: "confidence".into(),
            points: (1..5)
                .map(|step| CurvePoint {
                    mean_ms: f64::from(step) * 4.0,
                    top1: 0.8,
                    noskill_gain: 0.5,
                    noskill_gain_ci95: interval(-0.25, 1.25),
                })
                .collect(),
        }],
        ..Default::default()
    }
}

/// The first line of text in each cell of the row of `key`.
fn cells(html: &str, key: &str) -> Vec<String> {
    let row = html
        .split(&format!("<tr data-key=\"{key}\">"))
        .nth(1)
        .unwrap_or_else(|| panic!("no row {key}"));
    let row = row.split("</tr>").next().unwrap();
    row.split("<td>")
        .skip(1)
        .map(|cell| {
            cell.split("</td>").next().unwrap().replace("<small>", " ").replace("</small>", "")
        })
        .collect()
}

/// Checks that cannot be fooled by what the page is about.
fn sound(html: &str) {
    assert!(
        !html.contains("http:")
            && !html.contains("https:")
            && !html.contains("//")
            && !html.contains("url("),
        "something from the network"
    );
    assert!(!html.contains("<script") && !html.contains("<link") && !html.contains("@import"));
    assert!(!html.contains("NaN") && !html.contains("inf "), "a number that is none");
    for tag in [
        "html", "body", "main", "section", "table", "tr", "td", "th", "svg", "figure", "ul", "li",
        "div", "span", "h1", "h2", "h3", "small", "p", "dl",
    ] {
        let opened =
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "<{tag}>");
    }
}

#[test]
fn every_section_engine_policy_and_feature_is_there_in_the_order_asked() {
    let html = page(&evaluation(), &Thumbnails::new());
    sound(&html);
    let places: Vec<usize> = [
        "<h1>",
        "id=\"time\"",
        "id=\"policies\"",
        "id=\"engines\"",
        "id=\"shares\"",
        "id=\"reliability\"",
        "id=\"features\"",
        "id=\"errors\"",
        "id=\"gain\"",
        "id=\"how\"",
    ]
    .iter()
    .map(|part| html.find(part).unwrap_or_else(|| panic!("no {part}")))
    .collect();
    assert!(places.is_sorted(), "{places:?}");
    let plot =
        html.split("id=\"time\"").nth(1).and_then(|rest| rest.split("</section>").next()).unwrap();
    for name in [
        ">small</text>",
        ">large</text>",
        ">quick</text>",
        ">paper-knn 55.0 % ↓</text>",
        ">oracle</text>",
        "no-skill line",
        "family: confidence",
    ] {
        assert!(plot.contains(name), "{name}");
    }
    for words in [
        "photos of the garden",
        "a small board",
        "abc123",
        "squint profile 9",
        "edge density",
        "−0.50",
        "10 folds",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(
        html.contains("aria-label")
            && html.contains("<title>Squint")
            && html.contains("class=\"band k-confidence d-0\"")
    );
}

#[test]
fn the_table_shows_the_figures_of_the_evaluation() {
    let evaluation = evaluation();
    let html = page(&evaluation, &Thumbnails::new());
    let share = |value: f64| format!("{:.1}", value * 100.0);
    type Figure<'a> = &'a dyn Fn(&PolicyScore) -> String;
    let expected: [(&str, Figure<'_>); 19] = [
        ("top1", &|p| {
            format!("{} [{}, {}]", share(p.top1), share(p.top1_ci95.low), share(p.top1_ci95.high))
        }),
        ("top5", &|p| share(p.top5)),
        ("coverage", &|p| share(p.coverage)),
        ("selective_top1", &|p| share(p.selective_top1)),
        ("precision", &|p| share(p.precision)),
        ("recall", &|p| share(p.recall)),
        ("f1", &|p| share(p.f1)),
        ("mean_ms", &|p| format!("{:.2}", p.mean_ms)),
        ("p50_ms", &|p| format!("{:.2}", p.p50_ms)),
        ("p95_ms", &|p| format!("{:.2}", p.p95_ms)),
        ("features_ms", &|p| format!("{:.3}", p.features_ms)),
        ("speedup", &|p| format!("{:.2}×", p.speedup)),
        ("top1_diff", &|p| {
            format!(
                "{}{:.1} [−1.7, +2.5]",
                if p.top1_diff > 0.0 { "+" } else { "−" },
                p.top1_diff.abs()
            )
        }),
        ("noskill_gain", &|_| "−0.9 [−2.1, +0.4]".into()),
        ("noskill_speedup", &|_| "1.37×".into()),
        ("regret_top1", &|p| format!("{:.1}", p.regret_top1)),
        ("regret_ms", &|p| format!("{:.2}", p.regret_ms)),
        ("reused", &|p| share(p.reused)),
        ("paper_score", &|p| share(p.paper_score)),
    ];
    for (key, figure) in expected {
        assert_eq!(
            cells(&html, key),
            evaluation.policies.iter().map(figure).collect::<Vec<_>>(),
            "{key}"
        );
    }
    assert!(!html.contains("data-key=\"energy_mj\""), "energy is not known");
    assert_eq!(cells(&html, "against"), ["0.57× +12.3 [+10.3, +14.4]"; 2]);
    let engines = html.split("id=\"engines\"").nth(1).unwrap();
    assert!(
        engines.contains("<td>83.0</td><td>[80.0, 86.0]</td><td>90.0</td><td>20.00</td><td>24.00</td><td>30.0</td>"),
        "{engines}"
    );
}

#[test]
fn energy_appears_where_it_is_known_and_per_frame_figures_only_on_streams() {
    let mut evaluation = evaluation();
    evaluation.policies[0].energy_mj = Some(12.34);
    evaluation.stream = false;
    let html = page(&evaluation, &Thumbnails::new());
    assert_eq!(cells(&html, "energy_mj"), ["12.3", "not known"]);
    assert!(!html.contains("data-key=\"reused\"") && !html.contains("data-key=\"changes\""));
}

#[test]
fn the_headline_speaks_of_a_policy_that_was_not_made_from_these_frames() {
    let mut evaluation = evaluation();
    evaluation
        .policies
        .push(PolicyScore { trained_on_this: true, ..policy("flatterer", "hybrid", 2.0, 0.9) });
    evaluation.policies.push(policy("slower", "confidence", 12.0, 0.86));
    assert_eq!(best(&evaluation).unwrap().name, "quick");
    let html = page(&evaluation, &Thumbnails::new());
    let headline =
        html.split("<h1>").nth(1).and_then(|rest| rest.split("</header>").next()).unwrap();
    assert!(
        headline.contains("quick")
            && headline.contains("2.50 times less time")
            && headline.contains("+1.1 points"),
        "{headline}"
    );
    assert!(headline.contains("<b>slower</b>") && !headline.contains("flatterer"), "{headline}");
    assert!(html.contains("flatterer *"));
}

#[test]
fn thumbnails_are_embedded_and_a_photo_without_one_is_named() {
    let evaluation = evaluation();
    assert_eq!(wanted(&evaluation), ["cat.jpg", "dog.jpg"]);
    let html = page(&evaluation, &Thumbnails::from([("cat.jpg".to_owned(), b"jpeg".to_vec())]));
    assert!(
        html.contains("alt=\"cat.jpg\" src=\"data:image/jpeg;base64,anBlZw==\"")
            && html.contains("<span class=\"no-picture\">dog.jpg</span>")
    );
}

#[test]
fn hostile_names_stay_text_everywhere() {
    let mut evaluation = evaluation();
    let hostile = HOSTILE.to_owned();
    for word in [
        &mut evaluation.data,
        &mut evaluation.machine,
        &mut evaluation.tool,
        &mut evaluation.profile_sha256,
        &mut evaluation.most_capable,
    ] {
        *word = hostile.clone();
    }
    evaluation.engines[1].id = hostile.clone();
    evaluation.noskill[1].id = hostile.clone();
    evaluation.features[0].name = hostile.clone();
    evaluation.curves[0].name = hostile.clone();
    for policy in &mut evaluation.policies {
        for word in
            [&mut policy.name, &mut policy.kind, &mut policy.judged, &mut policy.shares[1].id]
        {
            *word = hostile.clone();
        }
        for example in &mut policy.errors.examples {
            (example.file, example.label, example.answered) =
                (hostile.clone(), hostile.clone(), hostile.clone());
        }
    }
    let html = page(&evaluation, &Thumbnails::from([(hostile, Vec::new())]));
    let html = html.replace("</script>", "");
    assert!(!html.contains("<script") && !html.contains("\" onload") && !html.contains('\u{202e}'));
    assert!(html.contains("&lt;script&gt;"));
}

#[test]
fn nothing_one_engine_and_nonsense_still_make_a_page() {
    sound(&page(&Evaluation::default(), &Thumbnails::new()));
    let one = Evaluation {
        engines: vec![engine("only", 3.0, 0.5)],
        most_capable: "only".into(),
        n: 1,
        ..Default::default()
    };
    sound(&page(&one, &Thumbnails::new()));
    let mut odd = evaluation();
    let nan = f64::NAN;
    odd.policies.push(PolicyScore {
        name: "odd".into(),
        mean_ms: nan,
        top1: nan,
        speedup: nan,
        top1_diff: nan,
        top1_diff_ci95: interval(nan, nan),
        noskill_gain: nan,
        ..Default::default()
    });
    odd.policies.push(PolicyScore { name: "still".into(), ..Default::default() });
    odd.engines.push(engine("broken", 0.0, f64::INFINITY));
    odd.curves.push(Curve { name: "empty".into(), points: Vec::new() });
    odd.curves[0].points[1].noskill_gain = nan;
    odd.features[0].points = nan;
    let html = page(&odd, &Thumbnails::new());
    sound(&html);
    assert!(html.contains("odd") && html.contains("broken"));
}
