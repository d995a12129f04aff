//! Fake NVIDIA libraries, built from tests/vendor by the C and C++ compilers at hand, once for each
//! change of their sources.
//!
//! What they do and how they are told to fail is in the head of each source. `None` means that this
//! machine cannot build the thing (no compiler, or no TensorRT headers of that major): it has then
//! been said why, and the test is to return. The files lie where the dynamic linker would find them
//! in a search path: `libcuda.so.1`, `libnvinfer.so.11`, `libnvonnxparser.so.11`,
//! `libsquint-trt11.so`.
//!
//! Headers are looked for where scripts/shims does; `scripts/deps tensorrt-headers` fetches those
//! of 10 and 11.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::{skip, skip_without};

/// The majors that Squint has a shim for.
pub const MAJORS: [u32; 3] = [8, 10, 11];

/// One build at a time in this process; across processes each writes its own file and renames it.
static BUILDING: Mutex<()> = Mutex::new(());

/// A fake TensorRT and the real shim, built with the same headers.
pub struct TensorRt {
    pub major: u32,
    pub nvinfer: PathBuf,
    pub parser: PathBuf,
    pub shim: PathBuf,
}

/// A driver as of CUDA 12.
pub fn fake_cuda() -> Option<PathBuf> {
    shared("cuda", "libcuda.so.1", "fake_cuda.c", &[])
}

/// A driver as of CUDA 10: without the names that came later.
pub fn fake_cuda_10() -> Option<PathBuf> {
    shared("cuda10", "libcuda.so.1", "fake_cuda.c", &["-DFAKE_CUDA_10".into()])
}

/// The fake TensorRT of this major, and the shim for it.
pub fn tensorrt(major: u32) -> Option<TensorRt> {
    let Some(headers) = headers(major) else {
        let reason = format!(
            "no headers of TensorRT {major} here (TENSORRT_INCLUDE; for 10 and 11: scripts/deps tensorrt-headers)"
        );
        match major {
            8 => skip_without("tensorrt-8", reason),
            _ => skip(reason),
        }
        return None;
    };
    let folder = format!("trt{major}");
    let mut flags: Vec<OsString> =
        ["-fno-rtti", "-Wno-deprecated-declarations"].map(Into::into).into();
    flags.extend([
        "-isystem".into(),
        headers.clone().into(),
        "-idirafter".into(),
        shim_sources().join("stand-ins").into(),
    ]);
    let nvinfer = shared(&folder, &format!("libnvinfer.so.{major}"), "fake_nvinfer.cpp", &flags)?;
    flags.push("-DFAKE_PARSER".into());
    let parser =
        shared(&folder, &format!("libnvonnxparser.so.{major}"), "fake_nvinfer.cpp", &flags)?;
    Some(TensorRt { major, nvinfer, parser, shim: shim(major, &headers) })
}

/// The program tests/vendor/`name`.c.
pub fn program(name: &str) -> Option<PathBuf> {
    compiled("programs", name, &format!("{name}.c"), &["-ldl".into()])
}

/// Where everything that is built here lies.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("vendor")
}

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shim_sources() -> PathBuf {
    manifest().join("src/engine/tensorrt/shim")
}

/// The first folder with headers of this major.
fn headers(major: u32) -> Option<PathBuf> {
    let named = std::env::var_os("TENSORRT_INCLUDE").unwrap_or_default();
    let fetched = fs::read_dir(manifest().join(".deps/tensorrt-headers"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let usual =
        ["aarch64-linux-gnu", "x86_64-linux-gnu"].map(|arch| Path::new("/usr/include").join(arch));
    let all = std::env::split_paths(&named)
        .chain(usual)
        .chain(["/usr/local/tensorrt/include".into()])
        .chain(fetched);
    all.into_iter().find(|folder| {
        let version = fs::read_to_string(folder.join("NvInferVersion.h")).unwrap_or_default();
        folder.join("NvOnnxParser.h").exists()
            && ["NV_TENSORRT_MAJOR", "TRT_MAJOR_ENTERPRISE"].iter().any(|name| {
                let line = format!("#define {name} {major}");
                version.lines().any(|found| found == line || found.starts_with(&format!("{line} ")))
            })
    })
}

/// The shim for these headers, by the script that builds the real ones.
fn shim(major: u32, headers: &Path) -> PathBuf {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let (folder, name) = (folder().join("shims"), format!("libsquint-trt{major}.so"));
    let target = folder.join(&name);
    if !newer_than_all(&target, &[&shim_sources()]) {
        let mut command = Command::new(manifest().join("scripts/shims"));
        let built = command
            .arg("--include")
            .arg(headers)
            .arg("--out")
            .arg(&folder)
            .arg("--require")
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    target
}

/// Compiles one source of tests/vendor into the shared object `folder/name`, which is also its
/// soname.
fn shared(folder: &str, name: &str, source: &str, extra: &[OsString]) -> Option<PathBuf> {
    let mut flags: Vec<OsString> =
        vec!["-shared".into(), "-fPIC".into(), format!("-Wl,-soname,{name}").into()];
    flags.extend_from_slice(extra);
    compiled(folder, name, source, &flags)
}

fn compiled(folder_name: &str, name: &str, source: &str, extra: &[OsString]) -> Option<PathBuf> {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder().join(folder_name);
    fs::create_dir_all(&folder).unwrap();
    let (target, own) = (folder.join(name), folder.join(format!("{name}.{}", std::process::id())));
    let vendor = manifest().join("tests/vendor");
    if newer_than_all(&target, &[&vendor, &shim_sources()]) {
        return Some(target);
    }
    let (compiler, standard) =
        if source.ends_with(".c") { ("cc", "-std=gnu11") } else { ("c++", "-std=gnu++14") };
    let mut command = Command::new(compiler);
    command
        .args([standard, "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-o"])
        .arg(&own)
        .arg(vendor.join(source));
    command.args(extra).arg("-lpthread");
    let built = match command.output() {
        Ok(built) => built,
        Err(error) => {
            skip(format_args!("{source} is not built, `{compiler}` does not start: {error}"));
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
    let sources =
        folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    sources
        .map(|entry| when(&entry.path()))
        .all(|changed| changed.is_some_and(|changed| changed < made))
}
