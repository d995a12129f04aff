//! The builds build queue: who is next, who serves, what is said; and that it always comes to an
//! end.

use proptest::prelude::*;

use super::*;

fn want(engine: &str, standing: PlanState) -> Want {
    Want { engine: engine.into(), standing, usual: None }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn engines_without_a_plan_are_built_before_those_whose_plan_serves_and_one_at_a_time() {
    let wants = [
        want("fits", PlanState::Fits),
        want("old", PlanState::Serves("built for fp16, wanted is int8".into())),
        want("one", PlanState::Nothing(None)),
        want("two", PlanState::Nothing(Some("built by TensorRT 8.2.1, this is 8.5.2".into()))),
    ];
    let mut build_queue = BuildQueue::new(wants);
    assert_eq!(build_queue.next(), Some(("one", None)));
    build_queue.begun("one", secs(0));
    assert_eq!(build_queue.next(), None, "one at a time");
    build_queue.ended("one", Ended::Built);
    assert_eq!(build_queue.next(), Some(("two", Some("built by TensorRT 8.2.1, this is 8.5.2"))));
    build_queue.begun("two", secs(1));
    build_queue.ended("two", Ended::Failed("no kernel".into()));
    assert_eq!(build_queue.next(), Some(("old", Some("built for fp16, wanted is int8"))));
    let servers = ["fits", "old", "one", "two", "unknown"].map(|engine| build_queue.server(engine));
    assert_eq!(servers, [Server::Plan, Server::OldPlan, Server::Plan, Server::Cpu, Server::Cpu]);
}

#[test]
fn a_build_that_failed_is_not_tried_again() {
    let failed = PlanState::Failed { serves: true, cause: "out of memory".into() };
    let mut build_queue =
        BuildQueue::new([want("before", failed), want("now", PlanState::Nothing(None))]);
    build_queue.begun("now", secs(0));
    build_queue.ended("now", Ended::Failed("unsupported layer".into()));
    assert_eq!(build_queue.next(), None);
    assert_eq!(build_queue.server("before"), Server::OldPlan);
    let failures: Vec<_> = build_queue.failures().collect();
    assert_eq!(failures, [("before", "out of memory"), ("now", "unsupported layer")]);
    assert_eq!(
        build_queue.words(secs(9)).unwrap(),
        "degraded: 2 of 2 could not be built (before, now)"
    );
}

#[test]
fn a_build_that_breaks_lets_the_others_go_first_and_is_given_up_after_two_tries() {
    let mut build_queue = BuildQueue::new([
        want("one", PlanState::Nothing(None)),
        want("two", PlanState::Nothing(None)),
    ]);
    let mut order = Vec::new();
    while let Some((engine, _)) = build_queue.next() {
        let engine = engine.to_owned();
        build_queue.begun(&engine, secs(0));
        build_queue.ended(
            &engine,
            if engine == "one" { Ended::Broken("killed".into()) } else { Ended::Built },
        );
        order.push(engine);
    }
    assert_eq!(order, ["one", "two", "one"]);
    assert_eq!(build_queue.failures().collect::<Vec<_>>(), [("one", "killed")]);
}

#[test]
fn readiness_says_how_many_are_missing_and_for_about_how_long() {
    let timed = |engine: &str, minutes: u64| Want {
        usual: Some(secs(60 * minutes)),
        ..want(engine, PlanState::Nothing(None))
    };
    let wants = [
        timed("a", 2),
        timed("b", 4),
        want("c", PlanState::Fits),
        want("d", PlanState::Fits),
        want("e", PlanState::Fits),
    ];
    let mut build_queue = BuildQueue::new(wants);
    assert_eq!(
        build_queue.words(secs(0)).unwrap(),
        "degraded: 2 of 5 engines are being built, about 6 min"
    );
    build_queue.begun("a", secs(100));
    assert_eq!(build_queue.left(secs(160)), Some(secs(300)));
    assert_eq!(
        build_queue.left(secs(1000)),
        Some(secs(240)),
        "a build that takes longer than it used to is as good as done"
    );
    build_queue.ended("a", Ended::Built);
    assert_eq!(
        build_queue.words(secs(1000)).unwrap(),
        "degraded: 1 of 5 engines is being built, about 4 min"
    );
    build_queue.begun("b", secs(1000));
    build_queue.ended("b", Ended::Built);
    assert_eq!((build_queue.words(secs(1001)), build_queue.left(secs(1001))), (None, None));
    let unknown = BuildQueue::new([want("a", PlanState::Nothing(None))]);
    assert_eq!(unknown.words(secs(0)).unwrap(), "degraded: 1 of 1 engines is being built");
}

proptest! {
    #[test]
    fn every_build_queue_comes_to_an_end_and_says_so(standings in prop::collection::vec(0..4_u8, 0..8), ends in prop::collection::vec(0..3_u8, 32)) {
        let standing = |kind| match kind {
            0 => PlanState::Fits,
            1 => PlanState::Serves("old".into()),
            2 => PlanState::Nothing(None),
            _ => PlanState::Failed { serves: false, cause: "x".into() },
        };
        let mut build_queue = BuildQueue::new(standings.iter().enumerate().map(|(at, kind)| want(&at.to_string(), standing(*kind))));
        let mut ends = ends.into_iter();
        let mut built = 0;
        while let Some((engine, _)) = build_queue.next() {
            let engine = engine.to_owned();
            build_queue.begun(&engine, secs(0));
            built += 1;
            prop_assert!(built <= TRIES as usize * standings.len());
            let ended = match ends.next() {
                Some(0) => Ended::Built,
                Some(1) => Ended::Failed("f".into()),
                _ => Ended::Broken("b".into()),
            };
            build_queue.ended(&engine, ended);
        }
        let words = build_queue.words(secs(0)).unwrap_or_default();
        prop_assert!(!words.contains("being built"), "{}", words);
        prop_assert_eq!(words.is_empty(), build_queue.failures().next().is_none());
    }
}
