//! Fake NVIDIA libraries, built from tests/vendor by the C and C++ compilers at hand, once for each test run.
//!
//! What they do and how they are told to fail is in the head of each source. `None` means that this machine cannot build the thing (no
//! compiler, or no TensorRT headers of that major): it has then been said why, and the test is to return. The files lie where the dynamic
//! linker would find them in a search path: `libcuda.so.1`, `libnvinfer.so.11`, `libnvonnxparser.so.11`, `libsquint-trt11.so`.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used)] // clippy.toml frees only the test functions themselves

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// One build at a time in this process; across processes each writes its own file and renames it.
static BUILDING: Mutex<()> = Mutex::new(());

/// A driver as of CUDA 12.
pub fn fake_cuda() -> Option<PathBuf> {
    build("cuda", "libcuda.so.1", "fake_cuda.c", &[])
}

/// A driver as of CUDA 10: without the names that came later.
pub fn fake_cuda_10() -> Option<PathBuf> {
    build("cuda10", "libcuda.so.1", "fake_cuda.c", &["-DFAKE_CUDA_10".as_ref()])
}

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where everything that is built here lies.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("vendor")
}

/// Compiles one source of tests/vendor into the shared object `folder/name`.
fn build(folder_name: &str, name: &str, source: &str, extra: &[&OsStr]) -> Option<PathBuf> {
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = folder().join(folder_name);
    fs::create_dir_all(&folder).unwrap();
    let (target, own) = (folder.join(name), folder.join(format!("{name}.{}", std::process::id())));
    let vendor = manifest().join("tests/vendor");
    if newer_than_all(&target, &[&vendor, &manifest().join("src/engine/tensorrt/shim")]) {
        return Some(target);
    }
    let (compiler, standard) = if source.ends_with(".c") { ("cc", "-std=gnu11") } else { ("c++", "-std=gnu++14") };
    let mut command = Command::new(compiler);
    command.args([standard, "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden"]);
    command.args(extra).arg("-o").arg(&own).arg(vendor.join(source)).arg("-lpthread");
    let built = match command.output() {
        Ok(built) => built,
        Err(error) => {
            eprintln!("skipped: {source} is not built, `{compiler}` does not start: {error}");
            return None;
        }
    };
    assert!(built.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&built.stderr));
    fs::rename(&own, &target).unwrap();
    Some(target)
}

/// Whether `target` was made after the last change of anything that lies directly in these folders.
fn newer_than_all(target: &Path, folders: &[&Path]) -> bool {
    let when = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let Some(made) = when(target) else { return false };
    let sources = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    sources.map(|entry| when(&entry.path())).all(|changed| changed.is_some_and(|changed| changed < made))
}
