//! The seam to TensorRT for `squint engines`: what is here, and who builds. One function, so that the backend has one place to
//! come in.

use crate::command::kit::Kit;
use crate::engine::manifest::Manifest;
use crate::engine::tensorrt::plan::build::{Builder, Host};
use crate::engine::{Engine, EngineError};
use crate::error::Error;

/// Loads a plan that was checked.
type Load = dyn Fn(&Manifest, &[u8]) -> Result<Box<dyn Engine>, EngineError>;

/// Facts of this machine, who can build on it, and who can run what was built.
pub(super) struct TensorRt {
    pub(super) host: Host,
    pub(super) builder: Box<dyn Builder>,
    pub(super) load: Box<Load>,
}

/// What is here, or what is missing and what to do, in one line. Looked for as the daemon and `squint doctor` do, in a child.
pub(super) fn find(kit: &Kit) -> Result<TensorRt, Error> {
    let why = match kit.tensorrt().found().missing {
        Some(missing) => format!("{missing}; the engines run on the CPU"),
        None => "it is there, but `squint engines` does not build with it yet".into(),
    };
    Err(Error::Missing(format!("TensorRT cannot be used: {why}")))
}
