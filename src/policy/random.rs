//! The kind `random`: engines drawn in fixed shares, whatever the frame. Not a good policy: the
//! no-skill line that others must beat.
//!
//! Pure: the draw follows from seed, camera and frame number alone, so that a run can be made
//! again.

use arrayvec::ArrayVec;

use super::{Code, Reason};
use crate::engine::{EngineIdx, MAX_ENGINES};
use crate::stats::{splitmix64, unit};

/// Engines and their shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    seed: u64,
    /// Engine and upper bound of its draws, ascending; the last bound is 1.
    parts: ArrayVec<(EngineIdx, f32), MAX_ENGINES>,
}

impl Mix {
    /// Engines with weights above zero; shares are the weights over their sum. `None` without a
    /// usable weight.
    pub fn new(seed: u64, weights: &[(EngineIdx, f32)]) -> Option<Self> {
        let total: f64 = weights.iter().map(|part| f64::from(part.1)).sum();
        let usable = weights.len() <= MAX_ENGINES
            && weights.iter().all(|part| part.1.is_finite() && part.1 > 0.0);
        if weights.is_empty() || !usable {
            return None;
        }
        let mut sum = 0.0;
        let mut parts: ArrayVec<_, MAX_ENGINES> = weights
            .iter()
            .map(|part| {
                sum += f64::from(part.1);
                (part.0, (sum / total) as f32)
            })
            .collect();
        if let Some(last) = parts.last_mut() {
            last.1 = 1.0;
        }
        Some(Self { seed, parts })
    }

    /// The engines, in the order of the file.
    pub fn engines(&self) -> impl Iterator<Item = EngineIdx> + '_ {
        self.parts.iter().map(|part| part.0)
    }

    /// The engine drawn for one frame.
    pub fn wanted(&self, camera: u16, sequence: u64) -> Result<(EngineIdx, Reason), Reason> {
        let draw =
            unit(splitmix64(splitmix64(self.seed ^ splitmix64(u64::from(camera))) ^ sequence))
                as f32;
        match self.parts.iter().find(|part| draw < part.1) {
            Some(&(engine, bound)) => Ok((engine, Reason::with(Code::Drawn, draw, bound))),
            None => Err(Reason::bare(Code::Abstained)), // not reached: the last bound is 1, every draw below
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_many_draws_come_close_to_the_weights() {
        let weights = [(EngineIdx(3), 1.0), (EngineIdx(1), 2.0), (EngineIdx(0), 5.0)];
        for (seed, camera) in [(0, 0), (1, 0), (0, 1), (u64::MAX, 900)] {
            let mix = Mix::new(seed, &weights).unwrap();
            let mut counts = [0u32; 4];
            for sequence in 0..40_000 {
                let (engine, reason) = mix.wanted(camera, sequence).unwrap();
                assert!(reason.value.unwrap() < reason.limit.unwrap());
                counts[usize::from(engine.0)] += 1;
            }
            for (engine, weight) in weights {
                let share = f64::from(counts[usize::from(engine.0)]) / 40_000.0;
                assert!(
                    (share - f64::from(weight) / 8.0).abs() < 0.01,
                    "seed {seed}, engine {engine:?}: {share}"
                );
            }
        }
    }

    #[test]
    fn cameras_and_seeds_draw_differently_but_each_the_same_again() {
        let weights = [(EngineIdx(0), 1.0), (EngineIdx(1), 1.0)];
        let draws = |seed, camera| -> Vec<EngineIdx> {
            let mix = Mix::new(seed, &weights).unwrap();
            (0..64).map(|sequence| mix.wanted(camera, sequence).unwrap().0).collect()
        };
        assert_eq!(draws(1, 0), draws(1, 0));
        assert_ne!(draws(1, 0), draws(1, 1));
        assert_ne!(draws(1, 0), draws(2, 0));
    }

    #[test]
    fn mix_without_usable_weights_is_refused() {
        assert_eq!(Mix::new(0, &[]), None);
        assert_eq!(Mix::new(0, &[(EngineIdx(0), 0.0)]), None);
        assert_eq!(Mix::new(0, &[(EngineIdx(0), 1.0), (EngineIdx(1), f32::NAN)]), None);
    }
}
