//! How the C++ shim builds engines, against a fake TensorRT: what it promises in squint_trt.h, for
//! every major whose headers are here. Running them is in shim.rs.

use crate::common::shim_bench::{NETWORK, benches};

#[test]
fn a_build_hands_out_a_plan_that_runs_and_tells_its_progress() {
    for bench in benches() {
        let told = bench.build("", NETWORK, &["workspace=1048576"]);
        assert!(told.worked(), "{:?}", told.log());
        let plan = bench.built("plan").unwrap();
        assert!(
            plan.contains("tensor images in float 1 3 4 4"),
            "an open batch is one picture: {plan}"
        );
        assert!(bench.run("", &plan, 1).worked());
        let phases: Vec<&str> =
            told.values("progress").map(|phase| phase.as_str().unwrap()).collect();
        for phase in
            ["parse", "build"].into_iter().chain((bench.trt.major > 8).then_some("Building Engine"))
        {
            assert!(phases.contains(&phase), "{phase} is not among {phases:?}");
        }
        assert!(bench.built("timing").unwrap().starts_with("FAKETIMING"));
    }
}

#[test]
fn precision_is_as_told_where_networks_are_not_strongly_typed() {
    for bench in benches() {
        assert!(bench.build("", NETWORK, &["fp16=1"]).worked());
        let precision = if bench.trt.major < 11 { "precision fp16" } else { "precision fp32" };
        assert!(bench.built("plan").unwrap().contains(precision));
    }
}

#[test]
fn calibration_shows_whole_batches_and_hands_out_a_cache_that_serves_the_next_build() {
    for bench in benches() {
        let told = bench.build("", NETWORK, &["int8=1", "pictures=7", "batch=3", "values=48"]);
        if bench.trt.major == 11 {
            assert!(!told.worked());
            told.assert_says("calibrates no networks");
            continue;
        }
        assert!(told.worked(), "{:?}", told.log());
        told.assert_says("calibrated with 2 batches of 3, first values sum to 3"); // pictures 0 and 3 come first; 6 is left over
        assert_eq!((told.number("fed"), told.number("copies")), (7, 2));
        let cache = bench.built("cache").unwrap();
        assert!(cache.starts_with("TRT-") && cache.contains("EntropyCalibration2"), "{cache}");
        let cache = bench.write("earlier", cache);
        let told = bench.build("", NETWORK, &["int8=1", &format!("cache={cache}")]);
        assert!(told.worked(), "{:?}", told.log());
        told.assert_says("calibration cache taken");
        assert_eq!(told.number("fed"), 0);
        let told = bench.build("", NETWORK, &["int8=1", "pictures=0"]);
        assert!(!told.worked());
        told.assert_says("calibration without a picture");
    }
}

#[test]
fn a_timing_cache_from_elsewhere_is_told_of_and_the_build_goes_on() {
    for bench in benches() {
        for (words, earlier) in
            [("made elsewhere", "FAKETIMING 7\n"), ("not a timing cache", "noise")]
        {
            let file = bench.write("timing", earlier);
            let told = bench.build("", NETWORK, &[&format!("timing={file}")]);
            assert!(told.worked(), "{:?}", told.log());
            told.assert_says(words);
            assert!(
                bench
                    .built("timing")
                    .is_some_and(|own| own == format!("FAKETIMING {}\n", bench.trt.major)),
                "a fresh one comes out"
            );
        }
    }
}

#[test]
fn whatever_call_of_a_build_fails_gives_no_plan_and_at_least_one_line_of_log() {
    for bench in benches() {
        for call in [
            "createBuilder",
            "createNetwork",
            "createConfig",
            "createParser",
            "parse",
            "step:3",
            "build",
        ] {
            let told = bench.build(&format!("{call}=1"), NETWORK, &[]);
            assert!(!told.worked(), "{call}");
            assert!(told.errors() > 0, "{call}: {:?}", told.log());
            assert_eq!(bench.built("plan"), None, "{call}");
        }
        let told = bench.build("", "no network", &[]);
        told.assert_says("ONNX node 7");
        assert!(!told.worked());
        for call in ["timing=1", "serialize=1"] {
            let told = bench.build(call, NETWORK, &[]);
            assert!(
                told.worked(),
                "a timing cache that cannot be had costs time only: {call} {:?}",
                told.log()
            );
        }
    }
}

#[test]
fn a_build_ends_when_a_caller_refuses() {
    for bench in benches() {
        assert!(!bench.build("", NETWORK, &["refuse=plan"]).worked());
        assert!(
            bench.build("", NETWORK, &["refuse=timing"]).worked(),
            "only a plan is worth failing for"
        );
        let reports = bench.build("", NETWORK, &[]).number("reports");
        for nth in 1..=reports {
            let told = bench.build("", NETWORK, &[&format!("give-up={nth}")]);
            assert!(!told.worked(), "told to give up at report {nth} of {reports}");
            assert_eq!(told.number("reports"), nth, "no report after the one that said stop");
            assert_eq!(bench.built("plan"), None);
        }
        if bench.trt.major < 11 {
            for refuse in ["refuse=cache", "refuse=copy"] {
                let told = bench.build("", NETWORK, &["int8=1", "pictures=3", "values=48", refuse]);
                assert!(!told.worked(), "{refuse}");
                assert!(told.errors() > 0, "{refuse}");
            }
        }
    }
}

#[test]
fn what_this_tensorrt_cannot_build_for_is_refused() {
    for bench in benches() {
        let told = bench.build("", NETWORK, &["capability=86"]);
        assert!(!told.worked());
        told.assert_says("only TensorRT-RTX");
        let told = bench.build("", NETWORK, &["dla=0"]);
        assert!(!told.worked());
        told.assert_says("no DLA core 0");
        let told = bench.build("", &NETWORK.replace("-1 3 4 4", "1 3 -1 -1"), &[]);
        assert!(!told.worked());
        told.assert_says("leaves dimension 2 open");
    }
}
