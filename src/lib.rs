//! Squint glances at every camera frame with the cheapest engine likely to be right,
//! and looks again with a stronger one when the answer is unsure.

pub mod config;
pub mod engine;
pub mod error;
pub mod features;
pub mod frame;
pub mod policy;
pub mod report;
pub mod source;
