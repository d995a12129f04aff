//! Shows held-out photos to a float32 and an int8 engine and compares what they say.
//!
//! An edge module: decodes photos and runs engines that others loaded. What is good enough is
//! [`super::agreement`]'s business.

use std::path::PathBuf;

use super::agreement::{Agreement, Verdict};
use super::pictures::Feed;
use crate::engine::manifest::Network;
use crate::engine::{Answer, Engine, EngineError, score};

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// An engine does not run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No held-out photo can be read.
    #[error("none of {0} held-out pictures can be read")]
    NoPicture(usize),
}

/// Both engines are for `network` and take its tensors.
pub fn judge(
    network: &Network,
    held_out: &[PathBuf],
    float32: &mut dyn Engine,
    int8: &mut dyn Engine,
) -> Result<Verdict, TrialError> {
    let mut feed = Feed::new(held_out, &network.input, &network.view);
    let mut scores = vec![0.0; network.classes];
    let (mut one, mut other) =
        (Answer::with_classes(network.classes), Answer::with_classes(network.classes));
    let mut agreement = Agreement::default();
    while feed.next_into(float32.input()) {
        int8.input().copy_from_slice(float32.input());
        float32.run(&mut scores)?;
        score::fill(&mut one, &scores, network.scores);
        int8.run(&mut scores)?;
        score::fill(&mut other, &scores, network.scores);
        agreement.add(&one, &other);
    }
    agreement.verdict().ok_or(TrialError::NoPicture(held_out.len()))
}
