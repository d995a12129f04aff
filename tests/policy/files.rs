//! Policy files from text to decision: the examples under `data/policies` work, mistakes are
//! refused with a map to them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use squint::engine::EngineIdx;
use squint::features::{COUNT, Features, GLIMPSE_HEIGHT, GLIMPSE_WIDTH, NAMES};
use squint::policy::file::{EngineInfo, MAX_BYTES, PolicyError, PolicyFile};
use squint::policy::{Allowance, Choice, Code, Past, Policy, Reuse, Situation, Terms, first};
use squint::stats::{splitmix64, unit};

const SCHEMA: &str = "squint-features-1:00c0ffee";
const USED: [&str; 3] = ["n_keypoints", "contrast", "sharpness"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policies").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(data(name)).unwrap()
}

fn parse(text: &str) -> Result<PolicyFile, PolicyError> {
    PolicyFile::parse(text, Path::new("x.policy.toml"))
}

/// Engines as if installed; `large` comes first so that no test passes by the order alone.
fn installed() -> Vec<EngineInfo> {
    let engine = |id: &str, digit: &str| EngineInfo {
        id: id.into(),
        sha256: digit.repeat(64),
        labels_sha256: "a".repeat(64),
    };
    vec![engine("large", "3"), engine("other", "9"), engine("small", "1"), engine("medium", "2")]
}

fn bind(name: &str) -> Policy {
    parse(&text(name)).unwrap().bind(&installed(), SCHEMA).unwrap()
}

/// All engines allowed, no deadline.
fn everything() -> Allowance {
    let terms = Terms {
        wait: Duration::ZERO,
        p50: Duration::from_millis(1),
        p95: Duration::from_millis(2),
    };
    Allowance { engines: [Some(terms); 32], ..Allowance::default() }
}

fn choose(policy: &Policy, features: &Features) -> Choice {
    let glimpse = [0; GLIMPSE_WIDTH * GLIMPSE_HEIGHT];
    let past = Past::default();
    first(
        policy,
        &Situation {
            sequence: 1,
            camera: 0,
            captured: Duration::ZERO,
            features,
            glimpse: &glimpse,
            past: &past,
        },
        &everything(),
    )
}

/// Features with these values of [`USED`], the rest zero.
fn features(used: [f32; 3]) -> Features {
    let mut values = [0.0; COUNT];
    for (name, value) in USED.iter().zip(used) {
        values[NAMES.iter().position(|known| known == name).unwrap()] = value;
    }
    Features { values }
}

/// A chain file with `n` rows in four clumps: plain scenes that the small engine masters, busier
/// ones for medium and large, and dark ones that nobody gets right.
fn chain_text(n: u64) -> String {
    let clumps: [([f64; 3], i8); 4] = [
        ([40.0, 60.0, 900.0], 0),
        ([250.0, 45.0, 400.0], 1),
        ([700.0, 70.0, 1500.0], 2),
        ([5.0, 4.0, 20.0], -1),
    ];
    let (mut rows, mut best) = (String::new(), String::new());
    for row in 0..n {
        let (centre, level) = clumps[(splitmix64(row) % 4) as usize];
        let spread = |axis: u64| 0.8 + 0.4 * unit(splitmix64(1000 + row * 3 + axis));
        let [a, b, c] = [0, 1, 2].map(|axis| centre[axis] * spread(axis as u64));
        writeln!(rows, "    [{a:.0}, {b:.2}, {c:.1}],").unwrap();
        write!(best, "{level}, ").unwrap();
    }
    let digits = |digit: &str| digit.repeat(64);
    format!(
        r#"format = 1
name = "published-method"
kind = "chain"
description = "Made up by tests/policy/files.rs; UPDATE_GOLDEN=1 writes it anew."
feature-schema = "{SCHEMA}"

[made]
tool = "tests/policy/files.rs"
n = {n}

[engines]
small = "{}"
medium = "{}"
large = "{}"

[chain]
engines = ["small", "medium", "large"]
on-none = "abstain"
k = 5
features = ["n_keypoints", "contrast", "sharpness"]
min = [4, 3.2, 16]
max = [840, 84, 1800]
best = [{}]
rows = [
{rows}]

[chain.guard]
max-distance = 0.8
safe = "large"
"#,
        digits("1"),
        digits("2"),
        digits("3"),
        best.trim_end_matches(", "),
    )
}

#[test]
fn committed_chain_file_is_the_one_this_test_makes() {
    let made = chain_text(64);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(data("chain.policy.toml"), &made).unwrap();
    }
    assert_eq!(text("chain.policy.toml"), made);
}

#[test]
fn chain_file_picks_the_level_that_the_neighbours_vote_for() {
    let policy = bind("chain.policy.toml");
    assert_eq!(
        (policy.kind(), policy.name(), policy.averages()),
        ("chain", "published-method", false)
    );
    assert_eq!(policy.engines(), [EngineIdx(2), EngineIdx(3), EngineIdx(0)]);
    for (scene, engine) in
        [([41.0, 61.0, 880.0], 2), ([240.0, 46.0, 410.0], 3), ([690.0, 71.0, 1490.0], 0)]
    {
        match choose(&policy, &features(scene)) {
            Choice::Ask(asked, reason) => {
                assert_eq!((asked, reason.code), (EngineIdx(engine), Code::Premodel), "{scene:?}");
                assert!(reason.value.unwrap() >= 0.6 && reason.limit == Some(0.6));
            }
            other => panic!("{scene:?}: {other:?}"),
        }
    }
}

#[test]
fn scene_that_nobody_masters_gets_no_answer_or_the_named_engine_or_the_strongest() {
    let dark = features([5.0, 4.0, 20.0]);
    let file = text("chain.policy.toml");
    let go = |text: &str| choose(&parse(text).unwrap().bind(&installed(), SCHEMA).unwrap(), &dark);
    assert!(
        matches!(go(&file), Choice::Abstain(reason) if reason.code == Code::Abstained && reason.limit == Some(0.6))
    );
    let named = file.replace("on-none = \"abstain\"", "on-none = \"medium\"");
    assert!(
        matches!(go(&named), Choice::Ask(EngineIdx(3), reason) if reason.code == Code::Fallback)
    );
    let silent = file.replace("on-none = \"abstain\"\n", "");
    assert!(
        matches!(go(&silent), Choice::Ask(EngineIdx(0), reason) if reason.code == Code::Fallback)
    );
}

#[test]
fn scene_unlike_all_training_goes_to_the_safe_engine() {
    let strange = features([0.0, 84.0, 1e6]);
    match choose(&bind("chain.policy.toml"), &strange) {
        Choice::Ask(EngineIdx(0), reason) => {
            assert_eq!(reason.code, Code::Unfamiliar);
            assert!(reason.value.unwrap() > 0.8 && reason.limit == Some(0.8));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn hybrid_file_enters_where_it_promises_most_and_says_what_it_weighed() {
    let policy = bind("hybrid.policy.toml");
    assert_eq!((policy.kind(), policy.averages()), ("hybrid", true));
    assert_eq!(policy.engines(), [EngineIdx(2), EngineIdx(3), EngineIdx(0)]);
    assert_eq!(
        policy.reuse(),
        Some(Reuse { max_change: 0.05, max_age: Duration::from_millis(1500) })
    );
    // A plain scene: 0.88 for 0.06 by the small engine, 0.90 for 0.18 by the large one. A busy one:
    // 0.5 for 0.1 by the small one.
    for (keypoints, engine, gain) in [(0.0, 2, 0.8808), (500.0, 0, 0.9002)] {
        match choose(&policy, &features([keypoints, 0.0, 0.0])) {
            Choice::Ask(EngineIdx(asked), reason) => {
                assert_eq!((asked, reason.code), (engine, Code::Entry), "{keypoints}");
                assert!((reason.value.unwrap() - gain).abs() < 1e-3, "{reason:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn other_features_and_other_models_are_refused_with_the_way_to_retrain() {
    let file = parse(&text("chain.policy.toml")).unwrap();
    assert_eq!(file.engine_ids(), ["small", "medium", "large"]);
    let schema = file.bind(&installed(), "squint-features-2:12345678").unwrap_err();
    assert!(matches!(schema, PolicyError::Schema { .. }));
    assert!(
        schema.to_string().contains("squint train") && schema.to_string().contains("x.policy.toml"),
        "{schema}"
    );

    let mut engines = installed();
    engines[3].sha256 = "f".repeat(64);
    let changed = file.bind(&engines, SCHEMA).unwrap_err();
    assert!(matches!(&changed, PolicyError::EngineChanged { id, .. } if id == "medium"));
    assert!(changed.to_string().contains("squint train"), "{changed}");
    assert!(
        parse(&text("confidence.policy.toml")).unwrap().bind(&engines, "whatever").is_ok(),
        "`any` takes any model"
    );

    engines[3].id = "mediun".into();
    let missing = file.bind(&engines, SCHEMA).unwrap_err().to_string();
    assert!(
        missing.contains("engine `medium` is not installed; did you mean `mediun`?"),
        "{missing}"
    );
}

#[test]
fn engines_to_be_averaged_must_share_their_labels() {
    let mut engines = installed();
    engines[0].labels_sha256 = "b".repeat(64);
    let file = text("confidence.policy.toml");
    let error = parse(&file).unwrap().bind(&engines, SCHEMA).unwrap_err();
    assert!(matches!(error, PolicyError::Labels { .. }), "{error}");
    let apart = file.replace("average = true", "average = false");
    assert!(parse(&apart).unwrap().bind(&engines, SCHEMA).is_ok());
}

#[test]
fn plain_kinds_need_no_pins_but_keep_those_they_have() {
    let fixed = bind("fixed.policy.toml");
    assert_eq!((fixed.kind(), fixed.engines()), ("fixed", [EngineIdx(0), EngineIdx(2)].as_slice()));
    let random = bind("random.policy.toml");
    assert_eq!(
        (random.kind(), random.engines()),
        ("random", [EngineIdx(2), EngineIdx(0)].as_slice())
    );
    let pinned =
        format!("{}\n[engines]\nlarge = \"{}\"\n", text("fixed.policy.toml"), "4".repeat(64));
    assert!(matches!(
        parse(&pinned).unwrap().bind(&installed(), SCHEMA),
        Err(PolicyError::EngineChanged { .. })
    ));
}

#[test]
fn origin_can_be_read_back() {
    let file = parse(&text("confidence.policy.toml")).unwrap();
    assert_eq!(file.made().text("tool"), Some("squint train"));
    assert_eq!(file.made().number("n"), Some(800.0));
    assert_eq!(file.made().interval("top1-ci95"), Some((0.8025, 0.8546)));
    let keys: Vec<&str> = file.made().lines().map(|line| line.0).collect();
    assert_eq!(keys, ["date", "tool", "n", "top1", "top1-ci95", "mean-ms"]);
}

#[test]
fn mistakes_name_file_key_value_and_what_is_allowed() {
    let cascade = text("confidence.policy.toml");
    let chain = text("chain.policy.toml");
    let fixed = text("fixed.policy.toml");
    let random = text("random.policy.toml");
    let (hybrid, learned) = (text("hybrid.policy.toml"), text("learned.policy.toml"));
    let swap = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let cases = [
        (
            swap(&cascade, "accept-above", "accept-abov"),
            "unknown key `confidence.stages[0].accept-abov`; did you mean `accept-above`?",
        ),
        (
            swap(&cascade, "0.71", "1.71"),
            "`confidence.stages[0].accept-above` = 1.71; allowed: a number, 0 to 1",
        ),
        (swap(&cascade, "0.71", "nan"), "`confidence.stages[0].accept-above` = nan; allowed"),
        (
            swap(&cascade, "accept-above = 0.6", ""),
            "`confidence.stages[1].accept-above` is missing",
        ),
        (cascade.clone() + "accept-above = 0.1", "the last stage's answer always stands"),
        (swap(&cascade, "engine = \"medium\"", "engine = \"small\""), "allowed: each engine once"),
        (
            swap(&cascade, "max-softmax", "max-softmx"),
            "allowed: max-softmax, margin, learned; did you mean `max-softmax`?",
        ),
        (
            swap(&cascade, "medium = \"any\"\n", ""),
            "`engines.medium` is missing; it is 64 hex digits",
        ),
        (
            swap(&cascade, "medium = \"any\"", "medium = \"all\""),
            "`engines.medium` = \"all\"; allowed: 64 hex digits",
        ),
        (
            swap(&cascade, "medium = \"any\"", "medium = \"any\"\nmedum = \"any\""),
            "unknown key `engines.medum`; did you mean `medium`?",
        ),
        (swap(&cascade, "n = 800", "n = -1"), "`made.n` = -1; allowed: a whole number"),
        (
            swap(&cascade, "score = \"max-softmax\"", "score = \"learned\""),
            "`confidence.stages[0].weights` is missing; it is 5 weights",
        ),
        (
            swap(&cascade, "accept-above = 0.71", "accept-above = 0.71\nweights = [1, 2, 3, 4, 5]"),
            "`confidence.stages[0].weights` = \"(weights)\"; allowed: only with score",
        ),
        (
            swap(&learned, "1.5, -2.0, 0.3", "1.5, -2.0"),
            "`confidence.stages[0].weights` = \"(4 items)\"; allowed: an array of 5 numbers",
        ),
        (swap(&hybrid, "price = 0.02", "price = 0"), "`hybrid.price` = 0; allowed: a number"),
        (
            swap(&hybrid, "price = 0.02\n", ""),
            "`hybrid.price` is missing; it is the chance of a right answer that one ms must buy",
        ),
        (swap(&hybrid, "n_keypoints", "keypoints"), "`hybrid.features[0]` = \"keypoints\""),
        (swap(&hybrid, "ms = 5.0\n", ""), "`hybrid.pool[1].ms` is missing"),
        (
            swap(&hybrid, "right = [2.2, 0.0,", "right = [2.2,"),
            "`hybrid.pool[2].right` = \"(4 items)\"; allowed: an array of 5 numbers",
        ),
        (
            swap(&hybrid, "asked = [\"small\"]", "asked = [\"tiny\"]"),
            "`hybrid.states[0].asked[0]` = \"tiny\"; allowed: the id of an engine",
        ),
        (
            swap(&hybrid, "[\"small\", \"large\"]", "[\"small\"]"),
            "allowed: each set of engines once",
        ),
        (
            swap(&hybrid, "medium = [0.5", "small = [0.5"),
            "`hybrid.states[0].then.small` = \"(weights)\"; allowed: only engines that are not",
        ),
        (
            swap(&hybrid, "feature-schema = \"squint-features-1:00c0ffee\"\n", ""),
            "`feature-schema` is missing",
        ),
        (
            swap(&hybrid, "max-change = 0.05", "max-change = 5"),
            "`reuse.max-change` = 5; allowed: a number, 0 to 1",
        ),
        (swap(&hybrid, "max-change = 0.05\n", ""), "`reuse.max-change` is missing"),
        (swap(&fixed, "format = 1", "format = 2"), "`format` = 2; allowed: a whole number, 1 to 1"),
        (swap(&fixed, "format = 1", ""), "`format` is missing"),
        (
            swap(&fixed, "kind = \"fixed\"", "kind = \"fxed\""),
            "`kind` = \"fxed\"; allowed: fixed, chain, confidence, hybrid, random; did you mean `fixed`?",
        ),
        (swap(&fixed, "kind = \"fixed\"", "kind = \"random\""), "in a file with a table [fixed]"),
        (
            swap(&fixed, "\"small\"", "\"large\""),
            "`fixed.fallback` = \"large\"; allowed: each engine once",
        ),
        (swap(&fixed, "\"always-large\"", "\"\""), "`name` = \"\"; allowed: a short name"),
        (swap(&random, "0.75", "0.7"), "shares of 0.9500 in sum"),
        (swap(&chain, "contrast", "contrats"), "`chain.features[1]` = \"contrats\""),
        (swap(&chain, "feature-schema", "feature-shema"), "did you mean `feature-schema`?"),
        (swap(&chain, "k = 5", "k = 65"), "`chain.k` = 65; allowed: a whole number, 1 to 64"),
        (swap(&chain, "max = [840, 84,", "max = [840, 3.2,"), "`chain.max[1]`"),
        (
            swap(&chain, "max = [840, 84,", "max = [840,"),
            "`chain.max` = \"(2 items)\"; allowed: an array of 3 numbers",
        ),
        (swap(&chain, "best = [", "best = [3, "), "`chain.best` = \"(65 items)\""),
        (
            swap(&chain, "best = [-1, ", "best = [3, "),
            "`chain.best[0]` = 3; allowed: -1 (no engine was right) or 0 to 2",
        ),
        (
            swap(&chain, "rows = [\n    [", "rows = [\n    [inf, "),
            "`chain.rows[0]` = (an array of 4); allowed: an array of 3 finite numbers",
        ),
        ("format = 1\nname = [".into(), "line 2: not TOML"),
    ];
    for (text, expected) in cases {
        let error = parse(&text).expect_err(expected).to_string();
        assert!(
            error.starts_with("x.policy.toml") && error.contains(expected),
            "wanted: {expected}\n   got: {error}"
        );
    }
    assert!(matches!(parse(&"#".repeat(MAX_BYTES + 1)), Err(PolicyError::Size { .. })));
}

#[test]
fn five_thousand_rows_load() {
    let text = chain_text(5000);
    let policy = parse(&text).unwrap().bind(&installed(), SCHEMA).unwrap();
    assert!(matches!(
        choose(&policy, &features([41.0, 61.0, 880.0])),
        Choice::Ask(EngineIdx(2), _)
    ));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z\\[\\]=\"0-9.,\\-{} \n]{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_it_panic(at in 0usize..4000, cut in 0usize..80, put in "[\\[\\]=\"0-9\\-{}\n]{0,4}", which in 0usize..6) {
        let name = ["chain", "confidence", "fixed", "random", "hybrid", "learned"][which];
        let mut text = text(&format!("{name}.policy.toml"));
        let from = at % text.len();
        let to = (from + cut).min(text.len());
        text.replace_range(from..to, &put);
        if let Ok(file) = parse(&text) {
            let _ = file.bind(&installed(), SCHEMA).map(|policy| choose(&policy, &features([1.0, 2.0, 3.0])));
        }
    }
}
