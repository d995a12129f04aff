//! The running daemon: how it starts, what it is made of, how it changes while it runs, how it
//! stops.
//!
//! [`start`] reads the configuration and puts the pieces together, [`pipeline_run`] is one run of
//! the pipeline from the sinks to the summary, [`reconfigure`] makes every change to a running
//! daemon (reload, policy, mode, log level, TensorRT plans), [`board`] connects telemetry and
//! budget to the pipeline, [`recording`] begins a trace. [`context`] and [`runtimes`] open what
//! most commands need as well: configuration, catalogue, runtimes.

pub(crate) mod board;
pub(crate) mod context;
pub(crate) mod pipeline_run;
pub(crate) mod process_limits;
pub(crate) mod reconfigure;
pub(crate) mod recording;
pub(crate) mod runtimes;
pub(crate) mod start;
