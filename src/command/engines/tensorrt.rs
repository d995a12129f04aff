//! The seam to TensorRT for `squint engines`: what is here, who builds, and who runs what was
//! built.

use crate::daemon::context::AppContext;
use crate::engine::manifest::Manifest;
use crate::engine::tensorrt::builder::{self, Workshop};
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

/// What is here, or what is missing and what to do, in one line. Looked for as the daemon and
/// `squint doctor` do, in a child.
pub(super) fn find(context: &AppContext) -> Result<TensorRt, Error> {
    let refuse = |why: String| Error::Missing(format!("TensorRT cannot be used: {why}"));
    let found = context.tensorrt().found();
    if let Some(missing) = &found.missing {
        return Err(refuse(format!("{missing}; the engines run on the CPU")));
    }
    let host = builder::host(&found)
        .ok_or_else(|| refuse("it does not say its version, or the driver not its GPU".into()))?;
    let options = context.tensorrt().options().clone();
    let builder = Box::new(Workshop::new(&options));
    Ok(TensorRt {
        host,
        builder,
        load: Box::new(move |manifest, plan| builder::load(&options, manifest, plan)),
    })
}
