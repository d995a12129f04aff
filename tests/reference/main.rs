//! Pages and shipped files against the code that they speak of.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not take for tests

#[path = "../common/mod.rs"]
mod common;

// configuration files as judges
mod config_files;
// docs/config.md
mod config;
// documentation that names a test names one that exists
mod docs;
// docs/features.md
mod features;
// `make install` and `make uninstall`
mod install;
// docs/journal.md and src/events.rs
mod journal;
// the Debian package, and what the program asks of the oldest board
mod package;
// the order of the modules of src/
mod layers;
// docs/records.md and real records
mod records;
// the shipped engines and policies
mod shipped;
// systemd/
mod unit_files;
