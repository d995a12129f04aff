//! `squint engines build`, `calibrate`, `prune`, and how `list` and `verify` show what was built,
//! on a machine without TensorRT.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::onnx_model;
use crate::common::onnx_model::Model;
use crate::common::program::{Told, ask};
use crate::common::shelf::Shelf;
use squint::engine::tensorrt::plan::cache::Cache;
use squint::engine::tensorrt::plan::failure::Failure;
use squint::engine::tensorrt::plan::name::{Key, Precision, Sha256};
use squint::engine::tensorrt::plan::sidecar::{Measured, Sidecar, Target};

/// One engine, `mine`, and a folder for plans.
struct Desk {
    shelf: Shelf,
    plans: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let shelf = Shelf::new();
        shelf.network("mine", &Model::brightest(8, 8));
        Self { shelf, plans: tempfile::tempdir().unwrap() }
    }

    fn ask(&self, args: &[&str]) -> Told {
        let folders = [
            "--engines",
            self.shelf.path().to_str().unwrap(),
            "--plans",
            self.plans.path().to_str().unwrap(),
        ];
        ask(["engines"].iter().chain(args).chain(&folders))
    }

    fn cache(&self) -> Cache {
        Cache::new(self.plans.path())
    }

    /// Keeps a plan of `model`, as old as `built_at_s` says.
    fn keep(&self, model: &str, source: &[u8], batch: u16, built_at_s: u64) -> PathBuf {
        let plan = format!("plan {batch}").into_bytes();
        let sidecar = Sidecar {
            model: model.into(),
            target: target(source, batch),
            plan_sha256: Sha256::of(&plan),
            plan_bytes: plan.len() as u64,
            cuda: None,
            tensors: Vec::new(),
            built_at_s,
            build: Duration::from_secs(83),
            measured: Some(Measured {
                p50: Duration::from_micros(4560),
                p95: Duration::from_micros(4800),
            }),
        };
        self.cache().writer().unwrap().keep(&sidecar, &plan).unwrap().path
    }

    fn model(&self) -> Vec<u8> {
        std::fs::read(self.shelf.path().join("mine/model.onnx")).unwrap()
    }
}

fn target(source: &[u8], batch: u16) -> Target {
    Target {
        key: Key {
            source: Sha256::of(source),
            tensorrt: "8.2.1".parse().unwrap(),
            capability: "6.2".parse().unwrap(),
            precision: Precision::Fp16,
            batch,
            device: "gpu".parse().unwrap(),
            calibration: None,
        },
        input: [u32::from(batch), 3, 8, 8],
        rewriting: None,
        gpu: "NVIDIA Tegra X2".into(),
        driver: None,
        flags: Vec::new(),
    }
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().unwrap().next().is_none()
}

#[test]
fn verify_counts_all_engines_and_names_each_that_cannot_be_used_with_what_to_write() {
    let desk = Desk::new();
    let plain = Model::brightest(8, 8);
    desk.shelf.write("empty/engine.toml", "format = 1\n");
    desk.shelf.network("two-inputs", &Model { second_input: true, ..plain.clone() });
    desk.shelf.network("told-wrong", &plain);
    desk.shelf.edit("told-wrong", "logits", "probabilities");
    desk.shelf.network("dead", &Model { weights: vec![0.0; 9], ..plain });
    let told = desk.ask(&["verify"]).ends(78);
    let line = |start: &str| {
        told.out
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start} in\n{}", told.out))
    };
    assert!(
        line("ok   mine").contains("loads and runs")
            && line("ok   dead").contains("loads and runs")
    );
    assert!(line("odd  dead").contains("the same scores to 4 test pictures"));
    assert!(line("BAD  empty").contains("`id` is missing"));
    assert!(
        line("BAD  two-inputs")
            .contains("the model has 2 inputs (`input`, `bias`) and cannot be used")
    );
    assert!(line("BAD  told-wrong").contains("write kind = \"logits\" under [output]"));
    assert!(told.err.contains("3 of 5 engines cannot be used"), "{}", told.err);
}

#[test]
fn a_manifest_that_lies_is_refused_when_a_command_loads_its_engine() {
    let desk = Desk::new();
    desk.shelf
        .network("soft", &Model { finish: onnx_model::Finish::Softmax, ..Model::brightest(8, 8) });
    desk.shelf.edit("soft", "kind = \"probabilities\"", "kind = \"logits\"");
    let photo = desk.shelf.path().join("photos/red/a.png");
    std::fs::create_dir_all(photo.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(9, 9, image::Rgb([200, 60, 70])).save(&photo).unwrap();
    let (engines, photo) = (desk.shelf.path().to_str().unwrap(), photo.to_str().unwrap());
    let photos = desk.shelf.path().join("photos");
    let out = desk.shelf.path().join("a.parquet");
    for args in [
        &["classify", "--engines", engines, "--engine", "soft", photo][..],
        &[
            "profile",
            "--engines",
            engines,
            "--pool",
            "soft",
            "--images",
            photos.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ],
    ] {
        let told = ask(args);
        assert_ne!(told.code, Some(0), "{args:?}");
        assert!(
            told.err.contains("soft/engine.toml: `output.kind` is \"logits\", but"),
            "{}",
            told.err
        );
        assert!(told.err.contains("write kind = \"probabilities\" under [output]"), "{}", told.err);
    }
}

#[test]
fn without_tensorrt_a_build_says_in_one_line_what_is_missing() {
    let desk = Desk::new();
    for args in [&["build"][..], &["build", "mine", "--precision", "fp16"]] {
        let told = desk.ask(args).ends(69);
        assert!(
            told.err.starts_with("squint: TensorRT cannot be used: ")
                && told.err.lines().count() == 1,
            "{}",
            told.err
        );
    }
    assert!(is_empty(desk.plans.path()), "nothing was made");
}

#[test]
fn what_cannot_be_built_is_refused_before_tensorrt_is_looked_for() {
    let desk = Desk::new();
    assert!(desk.ask(&["build", "mime"]).ends(64).err.contains("did you mean `mine`?"));
    assert!(
        desk.ask(&["build", "--precision", "bf16"])
            .ends(64)
            .err
            .contains("allowed is fp32, fp16 or int8")
    );
    assert!(desk.ask(&["build", "--device", "npu"]).ends(64).err.contains("allowed is gpu, dla0"));
    let scales =
        desk.shelf.write("x.calibration", "TRT-8201-EntropyCalibration2\ninput: 7f800000\n");
    let told =
        desk.ask(&["build", "mine", "--calibration-cache", scales.to_str().unwrap()]).ends(78);
    assert!(told.err.contains("line 2: the scale is 7f800000, that is inf"), "{}", told.err);
}

#[test]
fn pictures_are_counted_before_tensorrt_is_looked_for() {
    let desk = Desk::new();
    let pictures = tempfile::tempdir().unwrap();
    let photo = image::RgbImage::from_pixel(9, 9, image::Rgb([50, 60, 70]));
    let calibrate =
        || desk.ask(&["calibrate", "mine", "--pictures", pictures.path().to_str().unwrap()]);
    for at in 0..99 {
        photo.save(pictures.path().join(format!("{at}.png"))).unwrap();
    }
    assert!(
        calibrate()
            .ends(64)
            .err
            .contains("99 pictures, calibration needs at least 100 and better 500")
    );
    photo.save(pictures.path().join("99.png")).unwrap();
    let told = calibrate().ends(69);
    assert!(
        told.err.contains("100 pictures are few: 500 to 1000")
            && told.err.contains("TensorRT cannot be used"),
        "{}",
        told.err
    );
    desk.shelf.edit("mine", "float32", "int8");
    assert!(calibrate().ends(64).err.contains("is int8 already"));
}

#[test]
fn the_list_shows_what_was_built_and_what_failed_beside_each_engine() {
    let desk = Desk::new();
    assert!(!desk.ask(&["list"]).ends(0).out.contains("TensorRT"), "nothing was built");
    let path = desk.keep("mine", &desk.model(), 1, 10);
    desk.keep("gone", b"x", 1, 10);
    let failure =
        Failure::after(None, "mine", &target(&desk.model(), 4), "no kernel for node 7", 20);
    desk.cache().writer().unwrap().fail(&failure).unwrap();
    let text = desk.ask(&["list"]).ends(0).out;
    let line = |start: &str| {
        text.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start} in\n{text}"))
    };
    assert!(text.contains("built by TensorRT, in "));
    assert!(line("gone").ends_with("no such engine is installed"));
    assert!(text.contains("8.2.1-sm62-fp16-b1-gpu") && text.contains("4.56"), "{text}");
    assert!(text.contains("FAILED (tries: 1)") && text.contains("no kernel for node 7"), "{text}");

    let engines = desk.ask(&["list", "--json"]).ends(0).json();
    let built = &engines[0]["built"];
    let plan = &built["plans"][0];
    assert_eq!(plan["file"], path.to_str().unwrap());
    assert_eq!(
        (&plan["tensorrt"], &plan["capability"], &plan["batch"]),
        (&"8.2.1".into(), &"6.2".into(), &1.into())
    );
    assert_eq!((&plan["p50_ms"], &plan["build_s"]), (&4.56.into(), &83.0.into()));
    assert_eq!(built["failed"][0]["cause"], "no kernel for node 7");
}

#[test]
fn a_folder_that_is_not_trusted_is_named_and_hides_no_engine() {
    let desk = Desk::new();
    desk.keep("mine", &desk.model(), 1, 10);
    std::fs::set_permissions(
        desk.plans.path().join("mine"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let text = desk.ask(&["list"]).ends(0).out;
    assert!(
        text.contains("made for a test") && text.contains("what TensorRT built is not shown: "),
        "{text}"
    );
    let built = desk.ask(&["list", "--json"]).ends(0).json()[0]["built"].clone();
    assert!(
        built["broken"][0].as_str().unwrap().contains("can be written by others (mode 777)"),
        "{built}"
    );
    desk.ask(&["verify"]).ends(78);
}

#[test]
fn a_plan_that_is_not_what_was_built_fails_the_verification_and_is_pruned() {
    let desk = Desk::new();
    let (good, bad) =
        (desk.keep("mine", &desk.model(), 1, 10), desk.keep("mine", &desk.model(), 2, 20));
    assert!(
        desk.ask(&["verify"]).ends(0).out.contains("plan 8.2.1-sm62-fp16-b1-gpu is what was built")
    );
    std::fs::write(&bad, "Plan 2").unwrap();
    let told = desk.ask(&["verify"]).ends(78);
    assert!(
        told.out.contains("BAD  mine") && told.out.contains("is not the plan that was built"),
        "{}",
        told.out
    );
    assert!(
        told.err.contains("1 of 2 plans do not count; `squint engines prune` removes them"),
        "{}",
        told.err
    );
    assert!(desk.ask(&["prune"]).ends(0).out.contains("1 gone"));
    assert!(good.exists() && !bad.exists() && !bad.with_extension("json").exists());
    desk.ask(&["verify"]).ends(0);
}

#[test]
fn pruning_removes_what_no_engine_wants_and_first_says_so() {
    let desk = Desk::new();
    assert!(desk.ask(&["prune"]).ends(0).out.starts_with("0 gone"));
    assert!(is_empty(desk.plans.path()), "no lock where nothing was built");
    let model = desk.model();
    let kept = [desk.keep("mine", &model, 1, 30), desk.keep("mine", &model, 2, 20)];
    let gone = [desk.keep("mine", b"an older model", 1, 40), desk.keep("gone", &model, 1, 40)];
    let told = desk.ask(&["prune", "--dry-run"]).ends(0);
    assert!(told.out.contains("would remove") && told.out.contains("2 would go"), "{}", told.out);
    assert!(gone.iter().all(|path| path.exists()));
    let told = desk.ask(&["prune"]).ends(0);
    assert!(
        told.out.contains("the engine has another model now")
            && told.out.contains("no such engine is installed"),
        "{}",
        told.out
    );
    assert!(kept.iter().all(|path| path.exists()) && gone.iter().all(|path| !path.exists()));
    let told = desk.ask(&["prune", "--keep", "1"]).ends(0);
    assert!(told.out.contains("there are newer ones"), "{}", told.out);
    assert!(kept[0].exists() && !kept[1].exists());
}
