//! How fast a plan is: it runs on zeros, some dozens of times, with nobody else on the GPU that we
//! know of.
//!
//! An edge module. In the process that built it, before it is kept: a plan that crashes TensorRT
//! never comes into the daemon.

use std::time::{Duration, Instant};

use super::plan::sidecar::Measured;
use super::raw::session::Slot;
use super::raw::shim::Tensor;
use super::software::{self, Found, Options};
use crate::stats;

/// Runs before anything is measured.
const WARM_UP: usize = 10;
/// Runs that are measured.
const RUNS: usize = 100;
/// No run begins later than this after the first that is measured: a slow plan is measured by
/// fewer.
const LIMIT: Duration = Duration::from_secs(10);

/// Median and 95th percentile of a run, copies included, by the clock on the wall. The error says
/// why it does not run.
pub(super) fn measure(options: &Options, plan: &[u8]) -> Result<Measured, String> {
    let software =
        software::open(options, &mut Found::default()).map_err(|missing| missing.to_string())?;
    let turn = software.device.enter().map_err(|error| error.to_string())?;
    let (mut session, mut scores) = software.session(&turn, plan, slots, WARM_UP)?;
    drop(turn);
    let mut times = Vec::with_capacity(RUNS);
    let begun = Instant::now();
    while times.len() < RUNS && (times.is_empty() || begun.elapsed() <= LIMIT) {
        let at = Instant::now();
        session.run(&mut scores).map_err(|failure| software.words(failure))?;
        times.push(at.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let at = |q| {
        stats::quantile(&times, q)
            .map(|seconds| Duration::from_secs_f64(seconds).max(Duration::from_micros(1)))
    };
    match (at(0.5), at(0.95)) {
        (Some(p50), Some(p95)) => Ok(Measured { p50, p95 }),
        _ => Err("not a single run".into()),
    }
}

/// The first input and the first output; a manifest wants no more than one of each.
fn slots(tensors: &[Tensor]) -> Result<[Slot; 2], String> {
    let mut slots = [None; 2];
    for (index, tensor) in tensors.iter().enumerate() {
        let values = tensor
            .dims
            .iter()
            .try_fold(1_usize, |all, side| all.checked_mul(usize::try_from(*side).ok()?));
        let values = values.ok_or_else(|| format!("`{}` has open sides", tensor.name))?;
        slots[usize::from(!tensor.is_input)].get_or_insert(Slot { index, values });
    }
    let [Some(input), Some(output)] = slots else {
        return Err("it has no input or no output".into());
    };
    Ok([input, output])
}
