//! `squint probe-tensorrt`: opens everything that a TensorRT engine would need and prints what is
//! there as one line of JSON. Always a process of its own; if it ends in another way than by that
//! line, that is what was found out.

use std::io::Write;

use crate::cli::ProbeArgs;
use crate::engine::tensorrt::probe;
use crate::engine::tensorrt::software::Options;
use crate::error::Error;
use crate::print;

/// Prints what was found. What is missing is no failure.
pub(crate) fn probe(args: &ProbeArgs) -> Result<(), Error> {
    let options =
        Options { cuda: args.cuda.clone(), library: args.library.clone(), shim: args.shim.clone() };
    let found = serde_json::to_string(&probe::here(&options))
        .map_err(|error| Error::Bug(error.to_string()))?;
    let mut out = print::raw();
    writeln!(out, "{found}").and_then(|()| out.flush()).map_err(Error::io(print::STDOUT))
}
