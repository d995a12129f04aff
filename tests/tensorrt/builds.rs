//! `squint engines build`, `list` and `calibrate` where there is a TensorRT: the fakes of
//! tests/vendor through the real shim. This proves that the parts fit together, nothing of
//! NVIDIA's. For each TensorRT whose headers are here, or for 11; without any it says so and
//! passes.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::gpu_machine::Machine;
use crate::common::program::{SOON, photo, tell};

#[test]
fn a_build_makes_plan_and_sidecar_with_how_fast_it_ran_and_a_second_one_says_that_it_is_there() {
    for machine in Machine::each(&["mine"]) {
        let told = tell(machine.squint(&["engines", "build", "mine"], "")).ends(0);
        assert!(
            told.out.starts_with("ok   mine ")
                && told.out.contains("built in ")
                && told.out.contains(" s, a run ")
                && told.out.contains("p95"),
            "{}",
            told.out
        );
        assert!(
            told.err.contains("mine: ") && told.err.contains("trial"),
            "progress is told: {}",
            told.err
        );
        let files = machine.files();
        let [engine, json, timing] = files.as_slice() else { panic!("{files:?}") };
        assert!(
            engine.ends_with("-sm86-fp16-b1-gpu.engine")
                && json.ends_with(".json")
                && timing.ends_with(".timing"),
            "{files:?}"
        );

        let listed = tell(machine.squint(&["engines", "list", "--json"], "")).ends(0).json();
        let plan = &listed[0]["built"]["plans"][0];
        assert!(
            plan["p50_ms"].as_f64().unwrap() > 0.0
                && plan["p95_ms"].as_f64() >= plan["p50_ms"].as_f64(),
            "{plan}"
        );
        assert_eq!((&plan["capability"], &plan["precision"]), (&"8.6".into(), &"fp16".into()));
        assert!(
            tell(machine.squint(&["engines", "list"], ""))
                .ends(0)
                .out
                .contains("-sm86-fp16-b1-gpu")
        );
        assert!(
            tell(machine.squint(&["engines", "verify"], ""))
                .ends(0)
                .out
                .contains("is what was built")
        );

        let path = machine.plans().join("mine").join(engine);
        let built = || path.metadata().unwrap().modified().unwrap();
        let before = built();
        let told = tell(machine.squint(&["engines", "build", "mine"], "build:1=1")).ends(0);
        assert!(told.out.contains("is there already, `--again` builds it anew"), "{}", told.out);
        assert_eq!(built(), before, "TensorRT was not even asked");
        tell(machine.squint(&["engines", "build", "mine", "--again"], "")).ends(0);
        assert!(built() > before);
        std::fs::write(&path, "not what was built").unwrap();
        let told = tell(machine.squint(&["engines", "build", "mine"], "")).ends(0);
        assert!(told.out.contains("built in"), "one that is not whole is built anew: {}", told.out);
    }
}

#[test]
fn a_build_that_failed_is_remembered_with_its_cause_until_somebody_says_again() {
    for machine in Machine::each(&["mine", "other"]) {
        let told = tell(machine.squint(&["engines", "build"], "build:1=1")).ends(78);
        assert!(
            told.out.contains("BAD  mine ") && told.out.contains("the build failed, as told"),
            "{}",
            told.out
        );
        assert!(
            told.out.contains("ok   other "),
            "one that fails does not keep the others from being built: {}",
            told.out
        );
        let told = tell(machine.squint(&["engines", "build", "mine"], "")).ends(78);
        assert!(
            told.out.contains("failed 1 time, and nothing has changed since: ")
                && told.out.contains("`--again`"),
            "{}",
            told.out
        );
        assert!(
            tell(machine.squint(&["engines", "list"], ""))
                .ends(0)
                .out
                .contains("FAILED (tries: 1)")
        );
        tell(machine.squint(&["engines", "build", "mine", "--again"], "")).ends(0);
        assert!(
            machine.files().iter().all(|name| !name.ends_with(".failed.json")),
            "{:?}",
            machine.files()
        );
    }
}

#[test]
fn without_a_runtime_nothing_is_remembered_and_a_plan_that_crashes_in_its_trial_is_not_kept() {
    for machine in Machine::each(&["mine"]) {
        let told =
            tell(machine.squint(&["engines", "build", "mine"], "createRuntime:1=1")).ends(69);
        assert!(told.err.contains("TensorRT makes no runtime"), "{}", told.err);
        let told = tell(machine.squint(&["engines", "build", "mine"], "enqueue:5+=crash"));
        assert_eq!(told.signal, Some(11), "{}", told.err);
        assert_eq!(machine.files(), [""; 0]);
    }
}

#[test]
fn a_build_that_is_killed_leaves_nothing_that_counts_and_the_next_one_works() {
    for machine in Machine::each(&["mine"]) {
        for moment in ["step:1=hang", "serialize:1=hang", "enqueue:1=hang"] {
            let mut build = machine.squint(&["engines", "build", "mine", "--json"], moment);
            let mut build = build
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // The first word: it is at work.
            let mut word = [0; 1];
            std::io::Read::read_exact(build.stdout.as_mut().unwrap(), &mut word).unwrap();
            build.kill().unwrap();
            build.wait().unwrap();
            let listed = tell(machine.squint(&["engines", "list", "--json"], "")).ends(0).json();
            assert_eq!(listed[0]["built"]["plans"].as_array().map(Vec::len), Some(0), "{moment}");
        }
        tell(machine.squint(&["engines", "build", "mine"], "")).ends(0);
        assert!(
            machine.files().iter().all(|name| !name.contains("unfinished")),
            "{:?}",
            machine.files()
        );
    }
}

#[test]
fn a_build_that_is_tied_ends_when_nobody_waits_for_it_any_more() {
    let Some(machine) = Machine::with(&["mine"]) else { return };
    let mut build =
        machine.squint(&["engines", "build", "mine", "--json", "--tied"], "step:1=hang");
    let mut build =
        build.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut word = [0; 1];
    std::io::Read::read_exact(build.stdout.as_mut().unwrap(), &mut word).unwrap();
    drop(build.stdin.take());
    let begun = Instant::now();
    while build.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < SOON, "it goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_a_plan_already_is_not_built_and_scales_are_refused_where_tensorrt_learns_none() {
    let Some(machine) = Machine::with(&["mine", "planned"]) else { return };
    machine.shelf.edit("planned", "runtime = \"onnxruntime\"", "runtime = \"tensorrt\"");
    let told = tell(machine.squint(&["engines", "build", "planned"], "")).ends(64);
    assert!(told.err.contains("`planned` is a plan already"), "{}", told.err);
    assert!(!tell(machine.squint(&["engines", "build"], "")).ends(0).out.contains("planned"));

    let pictures = tempfile::tempdir().unwrap();
    for at in 0..100 {
        image::RgbImage::from_pixel(9, 9, image::Rgb([at; 3]))
            .save(pictures.path().join(format!("{at}.png")))
            .unwrap();
    }
    let args = ["engines", "calibrate", "mine", "--pictures", pictures.path().to_str().unwrap()];
    let told = tell(machine.squint(&args, ""));
    assert!(told.code != Some(0) && told.err.contains("calibrates no networks"), "{}", told.err);
}

#[test]
fn whoever_asks_an_engine_asks_it_where_the_configuration_says() {
    let Some(machine) = Machine::with(&["one", "two"]) else { return };
    machine.shelf.ensemble("pair", &["one", "two"]);
    tell(machine.squint(&["engines", "build", "one"], "")).ends(0);
    let photo = photo("clock");
    let classify = |id: &str, runtime: &str| {
        let mut command = machine.squint(&["classify", "--json", "--engine", id, &photo], "");
        command.env("SQUINT_ENGINES__RUNTIME", runtime);
        tell(command)
    };
    let by_gpu = |id: &str, runtime: &str| {
        !classify(id, runtime).ends(0).records()[0]["engines"][0]["device_us"].is_null()
    };
    assert!(by_gpu("one", "auto"), "there is a plan");
    assert!(!by_gpu("two", "auto"), "there is none");
    assert!(by_gpu("pair", "auto"), "one of each");
    assert!(!by_gpu("one", "cpu"));
    let told = classify("two", "tensorrt");
    let words = "engine `two`: ";
    assert!(
        told.code != Some(0)
            && told.err.contains(words)
            && told.err.contains("no plan was built here yet"),
        "{}",
        told.err
    );
    let told = classify("one", "gpu");
    assert!(
        told.code != Some(0)
            && told.err.contains("engines.runtime = \"gpu\" must be \"auto\" or \"cpu\" or"),
        "{}",
        told.err
    );
}

#[test]
fn of_two_plans_that_run_here_the_newest_is_taken_and_one_that_is_not_whole_is_refused() {
    let Some(machine) = Machine::with(&["mine"]) else { return };
    for precision in ["fp16", "fp32"] {
        tell(machine.squint(&["engines", "build", "mine", "--precision", precision], "")).ends(0);
    }
    let sidecar = machine
        .plans()
        .join("mine")
        .join(machine.files().into_iter().find(|name| name.ends_with("fp32-b1-gpu.json")).unwrap());
    let text = std::fs::read_to_string(&sidecar).unwrap();
    let at = text.split("\"built-at-unix-s\": ").nth(1).unwrap().split(',').next().unwrap();
    // Both may be of the same second.
    std::fs::write(&sidecar, text.replace(at, &(at.parse::<u64>().unwrap() + 60).to_string()))
        .unwrap();
    let classify = || tell(machine.squint(&["classify", "--engine", "mine", &photo("clock")], ""));
    classify().ends(0);
    let plan = sidecar.with_extension("engine");
    let bytes = std::fs::read_to_string(&plan).unwrap();
    std::fs::write(&plan, bytes.replace("images", "Images")).unwrap();
    let told = classify();
    assert!(
        told.code != Some(0)
            && told.err.contains("fp32-b1-gpu.engine is not the plan that was built"),
        "{}",
        told.err
    );
}
