//! The control server and the metrics.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// docs/metrics.md, promtool and a real Prometheus
mod metrics;
// every route, both doors, clients that behave badly
mod server;
