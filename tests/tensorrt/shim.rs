//! How the C++ shim runs engines, against a fake TensorRT and a fake driver: what it promises in
//! squint_trt.h, for every major whose headers are here. Building engines is in shim_builds.rs.

use std::path::Path;
use std::process::Command;

use crate::common::shim_bench::{NETWORK, benches};
use crate::common::skip;

#[test]
fn the_shim_shows_its_functions_and_needs_the_c_library_only() {
    let nm = |path: &Path, flags: &[&str]| -> Option<String> {
        let output = Command::new("nm").arg("-D").args(flags).arg(path).output().ok()?;
        Some(String::from_utf8(output.stdout).unwrap())
    };
    for bench in benches() {
        let Some(shown) = nm(&bench.trt.shim, &["--defined-only"]) else {
            skip("`nm` does not start (package binutils)");
            return;
        };
        let mut shown: Vec<&str> =
            shown.lines().filter_map(|line| line.split(' ').nth(2)).collect();
        shown.sort_unstable();
        let header = include_str!("../../src/engine/tensorrt/shim/squint_trt.h");
        let declared = header.lines().filter(|line| {
            line.contains("(") && !line.starts_with("//") && !line.starts_with("typedef")
        });
        let mut declared: Vec<&str> = declared
            .filter_map(|line| line.split('(').next())
            .filter_map(|front| front.rsplit([' ', '*']).next())
            .filter(|name| name.starts_with("squint_trt_"))
            .collect();
        declared.sort_unstable();
        assert_eq!(shown, declared);
        let needed = nm(&bench.trt.shim, &["--undefined-only"]).unwrap();
        let foreign =
            |line: &&str| !line.contains("@GLIBC_") && !line.trim_start().starts_with("w ");
        assert_eq!(needed.lines().filter(foreign).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

#[test]
fn an_engine_tells_its_tensors_and_computes_frame_after_frame() {
    for bench in benches() {
        let told = bench.run("", &bench.plan(), 3);
        assert!(told.worked(), "{:?}", told.log());
        let tensors: Vec<String> = told
            .0
            .iter()
            .filter(|line| line["tensor"].is_string())
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            tensors,
            [
                r#"{"input":1,"rank":4,"tensor":"images","type":0,"values":48}"#,
                r#"{"input":0,"rank":2,"tensor":"scores","type":0,"values":5}"#
            ]
        );
        let scores: Vec<String> = told.values("scores").map(ToString::to_string).collect();
        assert_eq!(scores, ["[1,2,3,4,5]", "[2,4,6,8,10]", "[3,6,9,12,15]"]);
        assert_eq!(told.number("device_bytes"), 1 << 20);
        println!(
            "TensorRT {}: {} ns for an enqueue through the shim, the fake's work included",
            bench.trt.major,
            told.number("ns_per_enqueue")
        );
    }
}

#[test]
fn element_types_are_told_apart_and_what_squint_does_not_know_is_other() {
    for bench in benches() {
        let plan = bench.plan().replace("tensor scores out float 1 5\n", {
            "tensor a out half 1\ntensor b out int8 1\ntensor c out int32 1\ntensor d out bool 1\ntensor scalar out float\n"
        });
        let told = bench.run("", &plan, 1);
        let types: Vec<i64> = told.values("type").map(|number| number.as_i64().unwrap()).collect();
        assert_eq!(types, [0, 1, 2, 3, 4, 0]);
        assert_eq!(told.values("rank").last().unwrap(), 0);
    }
}

#[test]
fn tensors_that_do_not_lie_plainly_are_other() {
    for bench in benches() {
        let told = bench.run("format:2=4", &bench.plan(), 1); // kCHW32
        let types: Vec<i64> = told.values("type").map(|number| number.as_i64().unwrap()).collect();
        assert_eq!(types, [0, 4]);
    }
}

#[test]
fn a_frame_without_memory_for_a_tensor_is_refused() {
    for bench in benches() {
        let told = bench.run("", &bench.plan(), 0);
        assert_eq!(told.number("unbound"), 0);
        assert!(told.errors() > 0, "{:?}", told.log());
    }
}

#[test]
fn a_plan_that_does_not_fit_is_refused_and_the_library_says_why() {
    for bench in benches() {
        let plan = bench.plan();
        let cut = &plan[..plan.len() - 10];
        let cases = [
            ("\u{1}\u{2}\u{3}", "magic tag"),
            (cut, "cut off"),
            (&plan.replace("capability 86", "capability 62"), "for compute capability 62"),
            (&plan.replace("major ", "major 7"), "for TensorRT 7"),
        ];
        for (plan, why) in cases {
            let told = bench.run("", plan, 1);
            assert!(!told.worked(), "{plan:?}");
            told.assert_says(why);
        }
    }
}

#[test]
fn a_tensor_that_squint_cannot_hold_makes_the_engine_unusable() {
    for bench in benches() {
        let (long, fits) = ("n".repeat(256), "n".repeat(255));
        let told = bench.run("", &bench.plan().replace("images", &long), 1);
        assert!(!told.worked());
        told.assert_says("more than 255 bytes");
        assert!(bench.run("", &bench.plan().replace("images", &fits), 1).worked());
    }
}

#[test]
fn whatever_call_fails_gives_nothing_and_at_least_one_line_of_log() {
    for bench in benches() {
        let calls = ["createRuntime", "deserialize", "createContext", "enqueue"];
        for call in calls.into_iter().chain((bench.trt.major > 8).then_some("setAddress")) {
            let told = bench.run(&format!("{call}=1"), &bench.plan(), 1);
            assert!(!told.worked(), "{call}");
            assert!(told.errors() > 0, "{call}: {:?}", told.log());
        }
        let told = bench.run("enqueue:2=1", &bench.plan(), 3);
        let enqueued: Vec<i64> =
            told.values("enqueued").map(|done| done.as_i64().unwrap()).collect();
        assert_eq!(enqueued, [1, 0, 1], "a frame that fails does not spoil the next one");
    }
}

#[test]
fn a_fault_on_the_device_shows_when_the_stream_is_waited_for_and_stays() {
    for bench in benches() {
        let told = bench.run("enqueue:2=700", &bench.plan(), 3);
        let frames: Vec<(i64, i64)> = told
            .values("code")
            .zip(told.values("enqueued"))
            .map(|(code, done)| (code.as_i64().unwrap(), done.as_i64().unwrap()))
            .collect();
        assert_eq!(frames, [(0, 1), (700, 1), (700, 1)]);
    }
}

#[test]
fn a_small_number_in_place_of_an_object_is_not_touched() {
    for bench in benches() {
        for call in ["createRuntime", "deserialize", "createContext"] {
            let told = bench.run(&format!("{call}=552"), &bench.plan(), 1);
            assert!(!told.worked(), "{call}");
            told.assert_says("0x228");
        }
        for call in ["createBuilder", "createNetwork", "createConfig", "createParser", "build"] {
            let told = bench.build(&format!("{call}=552"), NETWORK, &[]);
            assert!(!told.worked(), "{call}");
            told.assert_says("0x228");
        }
    }
}

#[test]
fn lines_from_another_thread_reach_the_log() {
    for bench in benches() {
        let told = bench.run("", &bench.plan(), 1);
        assert!(
            told.0.iter().any(|line| line["elsewhere"] == true && line["log"] == 3),
            "{:?}",
            told.log()
        );
    }
}

#[test]
fn a_library_that_crashes_ends_the_program_and_does_not_pass_for_success() {
    use std::os::unix::process::ExitStatusExt;
    for bench in benches() {
        let plan = bench.write("plan", bench.plan());
        let output =
            bench.output("deserialize=crash", &["run", bench.cuda.to_str().unwrap(), &plan, "1"]);
        assert_eq!(output.status.signal(), Some(11));
    }
}
