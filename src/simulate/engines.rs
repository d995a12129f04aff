//! The networks whose times on a TX2 were published, and the policy that is driven over some of
//! them. Pure.
//!
//! Times: batch 1, FP16, TensorRT 3, `github.com/NVIDIA-AI-IOT/tf_to_trt_image_classification`.
//! Top-1 on the ImageNet validation set: README of TF-slim, `github.com/tensorflow/models` under
//! `research/slim`. Shape of the time over the clock: fits to the tables of
//! `github.com/thynics/jetson_dvfs`, as docs/background/simulate.md has them; networks without a
//! table take the shape of their family.

use arrayvec::ArrayVec;

use crate::engine::EngineIdx;
use crate::policy::confidence::{Confidence, Score, Stage};
use crate::policy::{Plan, Policy, Reuse};
use std::time::Duration;

/// One network on a TX2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// Name in the published table.
    pub name: &'static str,
    /// Time of a look at 1300.5 MHz and the fastest memory, without preprocessing, ms.
    pub ms: f64,
    /// Share of that time that memory takes, and that a slower clock does not stretch, 0..1.
    pub memory: f64,
    /// Share of right answers, 0..1.
    pub top1: f64,
    /// Power of the GPU while it runs, as a share of what VGG-19 draws at the same clock. An
    /// estimate: small networks leave units idle.
    pub intensity: f64,
}

const fn spec(name: &'static str, ms: f64, memory: f64, top1: f64, intensity: f64) -> Spec {
    Spec { name, ms, memory, top1, intensity }
}

/// All of them, quickest first.
pub const ALL: [Spec; 14] = [
    spec("mobilenet_v1_0.25_128", 2.67, 0.20, 0.415, 0.70),
    spec("mobilenet_v1_0.5_160", 3.95, 0.20, 0.591, 0.75),
    spec("inception_v1", 7.98, 0.15, 0.698, 0.85),
    spec("mobilenet_v1_1.0_224", 12.9, 0.20, 0.709, 0.80),
    spec("resnet_v1_50", 15.7, 0.134, 0.752, 0.95),
    spec("inception_v3", 26.3, 0.104, 0.780, 0.95),
    spec("resnet_v2_50", 27.5, 0.134, 0.756, 0.95),
    spec("resnet_v1_101", 29.9, 0.134, 0.764, 1.0),
    spec("vgg_16", 38.2, 0.26, 0.715, 1.0),
    spec("resnet_v1_152", 42.6, 0.134, 0.768, 1.0),
    spec("resnet_v2_101", 49.2, 0.134, 0.770, 1.0),
    spec("inception_v4", 52.1, 0.104, 0.802, 1.0),
    spec("inception_resnet_v2", 53.0, 0.104, 0.804, 1.0),
    spec("resnet_v2_152", 74.6, 0.134, 0.778, 1.0),
];

/// Those that the simulated daemon has, cheapest first: each is the quickest of its accuracy. Their
/// place here is their [`EngineIdx`]. The smallest of [`ALL`] is not among them: as the first of a
/// chain it costs nearly as much as the next one and settles few frames.
pub const POOL: [&str; 4] =
    ["mobilenet_v1_0.5_160", "inception_v1", "resnet_v1_50", "inception_v4"];

/// Preprocessing of one look on a processor core, ms at 2035 MHz. An estimate; no published figure.
pub const PREPROCESS_MS: f64 = 1.5;

/// The networks of [`POOL`], in its order.
pub fn pool() -> Vec<Spec> {
    POOL.iter().filter_map(|name| ALL.iter().find(|spec| spec.name == *name)).copied().collect()
}

/// From which highest probability on an answer of each network of [`POOL`] stands; the last one's
/// always does. Chosen on frames of another seed: the whole chain errs on 20.9 % of the frames for
/// three fifths of what the last network alone takes (20.2 %), and each shorter chain comes close
/// to the best set of its cost.
const ACCEPT: [Option<f32>; 4] = [Some(0.93), Some(0.90), Some(0.88), None];

/// The policy that is driven: ask, and ask the next dearer network that may be asked while the
/// answer is unsure. The last answer is given again while the scene stays as it is.
pub fn policy() -> Policy {
    let stages: ArrayVec<Stage, { crate::policy::MAX_STEPS }> = ACCEPT
        .iter()
        .enumerate()
        .map(|(place, accept_above)| Stage {
            engine: EngineIdx(place as u8),
            accept_above: *accept_above,
            chance: None,
        })
        .collect();
    let plan = Plan::Confidence(Confidence { stages, average: false, score: Score::MaxSoftmax });
    Policy::new("simulated chain", plan)
        .with_reuse(Some(Reuse { max_change: 0.06, max_age: Duration::from_secs(1) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_known_and_each_dearer_network_is_more_accurate() {
        let pool = pool();
        assert_eq!(pool.len(), POOL.len());
        assert!(pool.windows(2).all(|pair| pair[0].ms < pair[1].ms && pair[0].top1 < pair[1].top1));
        assert_eq!(policy().engines().len(), POOL.len());
    }
}
