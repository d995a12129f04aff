//! The driver, the TensorRT and the shim of tests/standin/nvidia.c, and plans for them. They prove
//! Squint's own logic, not NVIDIA's layout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use squint::engine::tensorrt::software::Options;
use squint::engine::tensorrt::{PlanFiles, TensorRt};

use super::onnx_model::{Finish, Model};
use super::shelf::Shelf;

/// Driver, TensorRT and shim in one file.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| built("nvidia"))
}

/// tests/standin/`name`.c, built by the C compiler that Rust links with, unless a newer one is
/// there.
pub(crate) fn built(name: &str) -> PathBuf {
    /// One at a time in this process; others write files of their own and rename them.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/standin/{name}.c"));
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-standin.so"));
    let made = |path: &Path| {
        path.metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let included = ["fake_cuda.c", "fake_faults.h"]
        .map(|name| source.with_file_name(format!("../vendor/{name}")));
    if [&source, &included[0], &included[1]].into_iter().any(|part| made(&library) <= made(part)) {
        let new = library.with_extension(std::process::id().to_string());
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let flags = [
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-O1",
            "-fPIC",
            "-shared",
            "-fvisibility=hidden",
            "-o",
        ];
        let ended = Command::new(&compiler)
            .args(flags)
            .arg(&new)
            .arg(&source)
            .args(["-lm", "-ldl"])
            .status()
            .unwrap();
        assert!(ended.success(), "{compiler:?} does not build {}", source.display());
        std::fs::rename(&new, &library).unwrap();
    }
    library
}

/// All three from that file.
pub(crate) fn options() -> Options {
    let all = library().to_path_buf();
    Options { cuda: all.clone(), library: Some(all.clone()), shim: Some(all) }
}

/// The backend with them; plans are the manifests' own files.
pub(crate) fn backend() -> TensorRt {
    TensorRt::new(options(), Arc::new(PlanFiles))
}

/// Adds an engine whose plan does what `model` does.
pub(crate) fn add_plan(shelf: &Shelf, id: &str, model: &Model) {
    shelf.network_from_bytes(id, model, plan(model).as_bytes());
    shelf.edit(id, "runtime = \"onnxruntime\"", "runtime = \"tensorrt\"");
}

/// A plan that does what `model` does.
pub(crate) fn plan(model: &Model) -> String {
    let [channels, height, width] = model.size;
    let [batch, height, width] = if model.symbolic { [-1; 3] } else { [1, height, width] };
    let sides = if model.nhwc {
        [batch, height, width, channels]
    } else {
        [batch, channels, height, width]
    };
    let element = if model.element == 1 { 0 } else { 1 };
    let finish = match model.finish {
        Finish::None => 0,
        Finish::Softmax => 1,
        Finish::Root => 2,
        Finish::Sigmoid | Finish::LogSoftmax => panic!("the stand-in knows no such network"),
    };
    let list = |numbers: Vec<String>| numbers.join(" ");
    format!(
        "FAKEPLAN 4 {} input 2 1 {classes} scores {element} {} {finish} {channels} {classes} {}\n",
        list(sides.iter().map(i64::to_string).collect()),
        i32::from(model.nhwc),
        list(model.weights.iter().map(f32::to_string).collect()),
        classes = model.classes,
    )
}
