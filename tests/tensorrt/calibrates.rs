//! `squint engines calibrate` where there is a TensorRT that learns scales: the fakes of
//! tests/vendor through the real shim, for 8 and 10, whichever headers are here. This proves what
//! Squint feeds, judges, writes and refuses, and nothing of NVIDIA's calibration.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::gpu_machine::Machine;
use crate::common::onnx_model::Model;
use crate::common::program::tell;
use sha2::{Digest, Sha256};

/// Of which a fifth is held out.
const PICTURES: u8 = 110;

/// A machine whose TensorRT learns scales, and pictures.
struct House {
    machine: Machine,
}

impl House {
    /// One for each TensorRT that learns scales. Its plans, whatever they were built from, give
    /// class k the mean of the picture times k + 1. So does the engine `like` on the CPU; `unlike`
    /// likes the other end.
    fn each() -> impl Iterator<Item = Self> {
        [8, 10].into_iter().filter_map(|major| Machine::of(major, &[])).map(|machine| {
            let engine = |id: &str, weight: fn(usize) -> usize| {
                let weights = (0..3000).map(|at| weight(at % 1000) as f32 / 3.0).collect();
                let model = Model {
                    size: [3, 224, 224],
                    weights,
                    classes: 1000,
                    ..Model::brightest(224, 224)
                };
                machine.shelf.network(id, &model);
                machine.shelf.edit(id, "three.txt", "thousand.txt");
            };
            engine("like", |class| class + 1);
            engine("unlike", |class| 1000 - class);
            let pictures = machine.folder.path().join("pictures");
            std::fs::create_dir(&pictures).unwrap();
            for grey in 0..PICTURES {
                image::RgbImage::from_pixel(9, 9, image::Rgb([grey; 3]))
                    .save(pictures.join(format!("{grey}.png")))
                    .unwrap();
            }
            std::fs::create_dir(machine.folder.path().join("calibration")).unwrap();
            Self { machine }
        })
    }

    fn calibrate(&self, id: &str, fails: &str) -> Command {
        let mut command = self.machine.squint(&["engines", "calibrate", id], fails);
        command.arg("--pictures").arg(self.machine.folder.path().join("pictures"));
        command.env("SQUINT_CALIBRATION", self.machine.folder.path().join("calibration"));
        command
    }

    /// What lies where scales go.
    fn written(&self) -> Vec<PathBuf> {
        let entries = self.machine.folder.path().join("calibration").read_dir().unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Neither scales nor a plan, and nothing half written.
    fn is_untouched(&self) -> bool {
        self.written().is_empty() && self.machine.files().is_empty()
    }
}

#[test]
fn scales_that_keep_the_answers_are_written_and_a_plan_built_with_them_tells_which() {
    for house in House::each() {
        let told = tell(house.calibrate("like", "")).ends(0);
        let verdict = "`like`: on 22 held-out pictures int8 agrees with float32 in 100.0 % (95 %: 85.1 to 100.0";
        assert!(
            told.out.starts_with(verdict) && told.out.contains(": accepted\nwritten to "),
            "{}",
            told.out
        );
        assert!(
            told.err.contains("110 pictures are few") && told.err.contains("like: trial"),
            "{}",
            told.err
        );
        let written = house.written();
        let [file] = written.as_slice() else { panic!("{written:?}") };
        assert!(told.out.contains(&file.display().to_string()), "{}", told.out);
        let scales = std::fs::read_to_string(file).unwrap();
        assert!(
            scales.starts_with("TRT-")
                && scales.ends_with("-EntropyCalibration2\nimages: 00000058\n"),
            "88 were fed: {scales}"
        );
        assert_eq!(house.machine.files(), [""; 0], "the plan of the trial is not kept");

        let build = |scales: &str| {
            let args =
                ["engines", "build", "like", "--precision", "int8", "--calibration-cache", scales];
            tell(house.machine.squint(&args, ""))
        };
        build(file.to_str().unwrap()).ends(0);
        let name = house
            .machine
            .files()
            .into_iter()
            .find(|name| name.ends_with("-sm86-int8-b1-gpu.json"))
            .expect("a sidecar");
        let sidecar =
            std::fs::read_to_string(house.machine.plans().join("like").join(name)).unwrap();
        let sidecar: serde_json::Value = serde_json::from_str(&sidecar).unwrap();
        let sha256: String =
            Sha256::digest(&scales).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sidecar["target"]["calibration-sha256"], sha256);

        let other = house.machine.folder.path().join("other");
        std::fs::write(&other, "TRT-8001-EntropyCalibration2\nimages: 00000058\n").unwrap();
        let told = build(other.to_str().unwrap()).ends(78);
        assert!(told.err.contains("made by TensorRT 8.0.1, this is "), "{}", told.err);
    }
}

#[test]
fn scales_that_change_the_answers_or_of_too_few_pictures_are_refused_and_nothing_is_written() {
    for house in House::each() {
        let told = tell(house.calibrate("unlike", "")).ends(78);
        let figures = "on 22 held-out pictures int8 agrees with float32 in ";
        assert!(
            told.err.contains(figures) && told.err.contains(": refused; use fp16"),
            "{}",
            told.err
        );
        assert!(told.out.is_empty() && house.is_untouched(), "{} {:?}", told.out, house.written());

        let told = tell(house.calibrate("like", "batch:51+=1")).ends(78);
        assert!(told.err.contains("TensorRT took 50 pictures, 80 are needed"), "{}", told.err);
        assert!(house.is_untouched(), "{:?}", house.written());
    }
}

#[test]
fn a_calibration_that_is_killed_leaves_nothing_and_the_next_one_works() {
    for house in House::each() {
        // In the midst of the pictures, behind the last one, and while the int8 engine is tried.
        for (moment, phase) in [
            ("batch:40=hang", "like: build"),
            ("step:1=hang", "like: build"),
            ("enqueue:1=hang", "like: trial"),
        ] {
            let mut command = house.calibrate("like", moment);
            let mut child = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().starts_with(phase)), "{moment}: it ended");
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(
                house.is_untouched(),
                "{moment}: {:?} {:?}",
                house.written(),
                house.machine.files()
            );
        }
        tell(house.calibrate("like", "")).ends(0);
    }
}
