//! Clocks: the GPU's from devfreq, with its load, and the processors' from cpufreq. An edge module.
//!
//! The GPU is found by name among the devfreq devices, which name memory and video engines too. Its
//! load is in thousandths on every Jetson.

use std::path::{Path, PathBuf};

use super::node::{Node, entries, name};
use crate::telemetry::Sample;
use crate::units::Megahertz;

/// Parts of the names of GPUs among devfreq devices: TX1 and Nano, TX2, Xavier, Orin, and what
/// newer kernels call them.
const GPU_NAMES: [&str; 6] = ["gm20b", "gp10b", "gv11b", "ga10b", ".gpu", "gpu-gpc"];
/// Where the load is, from `/sys` on, beside the device's own folder.
const LOADS: [&str; 5] = [
    "devices/gpu.0/load",
    "devices/platform/gpu.0/load",
    "devices/platform/bus@0/17000000.gpu/load",
    "devices/platform/17000000.gpu/load",
    "devices/57000000.gpu/load",
];
/// Most groups of processors whose clock is read: no Jetson has more, and on some x86 kernels each
/// reading waits for milliseconds.
const MAX_POLICIES: usize = 4;

/// Clocks and load.
#[derive(Default)]
pub(super) struct Clocks {
    gpu: Option<Node>,
    cap: Option<Node>,
    load: Option<Node>,
    processors: Vec<Node>,
}

impl Clocks {
    /// Under `sys`; and where each is read, in the words of [`crate::telemetry::missing::OTHERS`].
    pub(super) fn open(sys: &Path) -> (Self, Vec<(String, String)>) {
        let mut clocks = Self::default();
        let named = |path: &PathBuf| GPU_NAMES.iter().any(|gpu| name(path).contains(gpu));
        let device = entries(&sys.join("class/devfreq"), "")
            .into_iter()
            .find(named)
            .or_else(|| old_place(sys));
        if let Some(device) = &device {
            clocks.gpu = Node::open(device.join("cur_freq"));
            clocks.cap = Node::open(device.join("max_freq"));
        }
        let own = device.iter().map(|device| device.join("device/load"));
        let mut loads = own.chain(LOADS.iter().map(|place| sys.join(place)));
        clocks.load = loads.find_map(Node::open);
        let policies = entries(&sys.join("devices/system/cpu/cpufreq"), "policy");
        clocks.processors = policies
            .iter()
            .filter_map(|policy| Node::open(policy.join("scaling_cur_freq")))
            .take(MAX_POLICIES)
            .collect();
        if clocks.processors.is_empty() {
            let each = entries(&sys.join("devices/system/cpu"), "cpu");
            let nodes =
                each.iter().filter_map(|cpu| Node::open(cpu.join("cpufreq/scaling_cur_freq")));
            clocks.processors = nodes.take(MAX_POLICIES).collect();
        }
        let origin = |node: &Node| node.path().display().to_string();
        let processors = match clocks.processors.as_slice() {
            [] => None,
            [only] => Some(origin(only)),
            [first, rest @ ..] => Some(format!("{} and {} more", origin(first), rest.len())),
        };
        let others = [
            ("gpu-clock", clocks.gpu.as_ref().map(origin)),
            ("gpu-clock-cap", clocks.cap.as_ref().map(origin)),
            ("gpu-load", clocks.load.as_ref().map(origin)),
            ("cpu-clock", processors),
        ];
        let others = others
            .into_iter()
            .filter_map(|(key, origin)| Some((key.to_owned(), origin?)))
            .collect();
        (clocks, others)
    }

    /// Reads all of them.
    pub(super) fn read(&mut self, sample: &mut Sample) {
        // No clock stands at 0 while somebody asks; some drivers say so for a part that is off.
        let hertz = |node: &mut Option<Node>, per_mega: f64| {
            let value = node.as_mut().and_then(Node::integer).filter(|value| *value > 0);
            value.map(|value| Megahertz((value as f64 / per_mega) as f32))
        };
        sample.gpu_clock = hertz(&mut self.gpu, 1e6);
        sample.gpu_clock_cap = hertz(&mut self.cap, 1e6);
        let load = self
            .load
            .as_mut()
            .and_then(Node::integer)
            .filter(|thousandths| (0..=1000).contains(thousandths));
        sample.gpu_load = load.map(|thousandths| thousandths as f32 / 1000.0);
        let kilohertz =
            self.processors.iter_mut().filter_map(Node::integer).filter(|clock| *clock > 0).max();
        sample.cpu_clock = kilohertz.map(|clock| Megahertz((clock as f64 / 1e3) as f32));
    }
}

/// The TX2's own folder, where the class lists nothing.
fn old_place(sys: &Path) -> Option<PathBuf> {
    let gpus = ["17000000.gp10b", "57000000.gpu", "17000000.gv11b", "17000000.ga10b"];
    gpus.iter()
        .map(|gpu| sys.join("devices").join(gpu).join("devfreq").join(gpu))
        .find(|folder| folder.is_dir())
}
