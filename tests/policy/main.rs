//! Decisions: policies, the governor, and the features that they look at.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// policy files from text to decision
mod files;
// what holds whatever the policy, the moment and the answers
mod properties;
// tests/traces/*.csv: readings of a board and the rungs they lead to
mod governor_traces;
// any frame gives finite features
mod features_frames;
// features against a second implementation
mod features_golden;
