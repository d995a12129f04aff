//! How fast a plan is: it runs on zeros, some dozens of times, with nobody else on the GPU that we know of.
//!
//! An edge room. In the process that built it, before it is kept: a plan that crashes TensorRT never comes into the daemon.

use std::time::{Duration, Instant};

use super::plan::sidecar::Measured;
use super::raw::session::{Failure, Session, Slot};
use super::software::{self, Found, Options, or};
use crate::stats;

/// Runs before anything is measured.
const WARM_UP: usize = 10;
/// Runs that are measured.
const RUNS: usize = 100;
/// No run begins later than this after the first: a slow plan is measured by fewer.
const LIMIT: Duration = Duration::from_secs(10);

/// Median and 95th percentile of a run, copies included, by the clock on the wall. The error says why it does not run.
pub(super) fn measure(options: &Options, plan: &[u8]) -> Result<Measured, String> {
    let software = software::open(options, &mut Found::default()).map_err(|missing| missing.to_string())?;
    let turn = software.device.enter().map_err(|error| error.to_string())?;
    let mut runtime = software.runtime(&turn)?;
    let Some(mut plan) = runtime.as_mut().and_then(|runtime| runtime.plan(plan)) else {
        return Err(or(software.log.drain(), "TensorRT does not say why it refuses its own plan"));
    };
    let mut slots = [None; 2];
    for (index, tensor) in plan.tensors()?.iter().enumerate() {
        let values = tensor.dims.iter().try_fold(1_usize, |all, side| all.checked_mul(usize::try_from(*side).ok()?));
        let values = values.ok_or_else(|| format!("`{}` has open sides", tensor.name))?;
        // The first of each; a manifest wants no more than one.
        slots[usize::from(!tensor.is_input)].get_or_insert(Slot { index, values });
    }
    let [Some(input), Some(output)] = slots else { return Err("it has no input or no output".into()) };
    let failed = |what: Failure| super::engine::words(what, software.log.drain());
    let mut session = Session::new(&turn, plan, input, output).map_err(failed)?;
    drop((runtime, turn));
    let mut scores = vec![0.0; output.values];
    let mut times = Vec::with_capacity(RUNS);
    let begun = Instant::now();
    for run in 0..WARM_UP + RUNS {
        let at = Instant::now();
        session.run(&mut scores).map_err(failed)?;
        if run >= WARM_UP {
            times.push(at.elapsed().as_secs_f64());
        }
        if begun.elapsed() > LIMIT && !times.is_empty() {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |q| stats::quantile(&times, q).map(|seconds| Duration::from_secs_f64(seconds).max(Duration::from_micros(1)));
    match (at(0.5), at(0.95)) {
        (Some(p50), Some(p95)) => Ok(Measured { p50, p95 }),
        _ => Err("not a single run".into()),
    }
}
