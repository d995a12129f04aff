//! The seam to TensorRT for `squint engines`: what is here, and who builds. One function, so that the backend has one place to
//! come in.

use std::path::Path;

use crate::engine::manifest::Manifest;
use crate::engine::tensorrt::plan::build::{Builder, Host};
use crate::engine::{Engine, EngineError};
use crate::error::Error;

/// Where Linux keeps libraries; the first for NVIDIA's on a Jetson.
const FOLDERS: [&str; 7] = [
    "/usr/lib/aarch64-linux-gnu/tegra",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/cuda/lib64",
];
/// The driver, without which nothing of NVIDIA's may be touched.
const DRIVER: &str = "libcuda.so.1";
/// TensorRT, a name for each major.
const TENSORRT: [&str; 3] = ["libnvinfer.so.8", "libnvinfer.so.10", "libnvinfer.so.11"];

/// Loads a plan that was checked.
type Load = dyn Fn(&Manifest, &[u8]) -> Result<Box<dyn Engine>, EngineError>;

/// Facts of this machine, who can build on it, and who can run what was built.
pub(super) struct TensorRt {
    pub(super) host: Host,
    pub(super) builder: Box<dyn Builder>,
    pub(super) load: Box<Load>,
}

/// What is here, or what is missing and what to do, in one line.
pub(super) fn find() -> Result<TensorRt, Error> {
    let is_there = |name: &str| FOLDERS.iter().any(|folder| Path::new(folder).join(name).exists());
    let (driver, tensorrt) = (is_there(DRIVER), TENSORRT.into_iter().find(|name| is_there(name)));
    Err(Error::Missing(match (driver, tensorrt) {
        (false, _) => {
            format!("TensorRT cannot be used: no NVIDIA driver here ({DRIVER} is in no library folder); the engines run on the CPU")
        }
        (true, None) => {
            let names = TENSORRT.join(", ");
            format!("TensorRT cannot be used: it is not installed (none of {names}); on a Jetson: apt-get install nvidia-jetpack")
        }
        (true, Some(name)) => format!("TensorRT cannot be used: {name} is there, but this build of Squint does not use it yet"),
    }))
}
