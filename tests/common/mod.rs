//! What tests share. Each program of tests includes this folder once and uses its own part.

#![allow(dead_code, unreachable_pub, reason = "each program of tests uses its own part")]
#![allow(clippy::unwrap_used)] // clippy.toml frees only the test functions themselves

use std::process::Command;

pub mod fake_rtsp;
pub mod fakes;
pub mod faults;
pub mod gpu_machine;
pub mod nvidia;
pub mod onnx_model;
pub mod page;
pub mod profiles;
pub mod program;
pub mod quantised_model;
pub mod reports;
pub mod scene;
pub mod schema;
pub mod shelf;
pub mod shim_bench;
pub mod sources;
pub mod steering;
pub mod systemd;
pub mod vendor;

/// This program again, as a process of its own that runs `test` alone; `module` is the `module_path!()` of that test.
pub fn again(module: &str, test: &str) -> Command {
    let name = module.split_once("::").map_or_else(|| test.to_owned(), |(_, module)| format!("{module}::{test}"));
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args(["--exact", &name, "--nocapture"]);
    command
}
