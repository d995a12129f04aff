//! The built program on a machine with the fake driver and a fake TensorRT of tests/vendor and the
//! real shim, under the names that the system's loader looks for. Needs
//! common/{onnx_model,shelf,squint,vendor}.rs beside it.
//!
//! Engines are of the one shape that the fake parser makes of any ONNX model: 224 by 224 in, a
//! thousand classes out.

use std::path::Path;
use std::process::Command;

use super::onnx_model::Model;
use super::program::squint;
use super::shelf::Shelf;
use super::vendor;

/// See the module.
pub(crate) struct Machine {
    pub(crate) shelf: Shelf,
    /// Plans, and whatever else a test writes.
    pub(crate) folder: tempfile::TempDir,
    libraries: String,
    shim: std::path::PathBuf,
}

impl Machine {
    /// With these engines and TensorRT 11; `None` where the fakes cannot be built, which has been
    /// said.
    pub(crate) fn with(engines: &[&str]) -> Option<Self> {
        Self::of(11, engines)
    }

    /// One for each major whose headers are here; the others have been named.
    pub(crate) fn each(engines: &[&str]) -> impl Iterator<Item = Self> {
        vendor::MAJORS.into_iter().filter_map(move |major| Self::of(major, engines))
    }

    /// With this major, as [`Self::with`].
    pub(crate) fn of(major: u32, engines: &[&str]) -> Option<Self> {
        let (cuda, tensorrt) = (vendor::fake_cuda()?, vendor::tensorrt(major)?);
        let shelf = Shelf::new();
        let labels: String = (0..1000).map(|class| format!("k{class}\tclass {class}\n")).collect();
        shelf.write("labels/thousand.txt", labels);
        for (at, id) in engines.iter().enumerate() {
            let weights =
                (0..3000).map(|weight| (weight % 1000) as f32 / (1000 * (at + 1)) as f32).collect();
            shelf.network(
                id,
                &Model {
                    size: [3, 224, 224],
                    weights,
                    classes: 1000,
                    ..Model::brightest(224, 224)
                },
            );
            shelf.edit(id, "three.txt", "thousand.txt");
        }
        let folder_of = |path: &Path| path.parent().unwrap().display().to_string();
        let libraries = format!("{}:{}", folder_of(&cuda), folder_of(&tensorrt.nvinfer));
        Some(Self { shelf, folder: tempfile::tempdir().unwrap(), libraries, shim: tensorrt.shim })
    }

    /// The folder of plans.
    pub(crate) fn plans(&self) -> std::path::PathBuf {
        self.folder.path().join("plans")
    }

    /// Squint on it; `fails` as tests/vendor/fake_faults.h understands it, for TensorRT.
    pub(crate) fn squint(&self, args: &[&str], fails: &str) -> Command {
        let mut command = squint(args);
        command.arg("--engines").arg(self.shelf.path());
        command.env("LD_LIBRARY_PATH", &self.libraries).env("FAKE_TRT_FAIL", fails);
        command
            .env("SQUINT_ENGINES__TENSORRT_SHIM", &self.shim)
            .env("SQUINT_ENGINES__PLANS", self.plans());
        command
    }

    /// Names of all files below the folder of plans, sorted; the lock left out.
    pub(crate) fn files(&self) -> Vec<String> {
        fn below(folder: &Path, found: &mut Vec<String>) {
            for entry in folder.read_dir().into_iter().flatten().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => below(&entry.path(), found),
                    false => found.push(entry.file_name().into_string().unwrap()),
                }
            }
        }
        let mut found = Vec::new();
        below(&self.plans(), &mut found);
        found.retain(|name| name != "lock");
        found.sort();
        found
    }
}
