//! From features to the share of votes for each engine of a chain: the published
//! k-nearest-neighbour premodel.
//!
//! Pure. Built from rows that [`crate::policy::file`] has parsed; [`knn`] searches. What follows
//! from the votes is decided in [`crate::policy`]. Definition: one-versus-rest KNN per level,
//! Taylor et al., LCTES 2018, section 3; see docs on the method.

pub mod knn;

use crate::engine::MAX_ENGINES;
use crate::features::{COUNT, Features};
use knn::Neighbours;

/// Most neighbours.
pub const MAX_K: usize = 64;
/// Most training rows.
pub const MAX_ROWS: usize = 100_000;
/// Scaled features are held within this range, so that one wild value cannot decide the distance.
pub const CLAMP: (f32, f32) = (-0.5, 1.5);

/// One feature in use and the range it had in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Index into [`crate::features::NAMES`].
    pub feature: usize,
    /// Least value in training.
    pub min: f32,
    /// Greatest value in training, above `min`.
    pub max: f32,
}

/// What cannot be made a premodel.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PremodelError {
    /// No feature, or an index or a range that cannot be used.
    #[error("feature {place}: needs an index below {COUNT} and finite min below max")]
    Scale {
        /// Place in the list.
        place: usize,
    },
    /// Lengths do not fit or are out of range.
    #[error("{what} is {got}, allowed {allowed}")]
    Length {
        /// Which.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        allowed: String,
    },
    /// A value that is not finite, or a level that does not exist.
    #[error("row {row}: {reason}")]
    Row {
        /// 0-based.
        row: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

/// A fitted chain of one-versus-rest KNN classifiers. All levels share neighbours; each only reads
/// their labels in its own way.
#[derive(Clone, Debug)]
pub struct Premodel {
    scales: Vec<Scale>,
    levels: usize,
    k: usize,
    /// Row-major `[rows][scales]`, scaled.
    rows: Vec<f32>,
    /// Per row the level whose engine is the cheapest that is right.
    best: Vec<Option<u8>>,
}

/// What the premodel thinks of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Share of yes votes by level, 0..=1; zero beyond the chain.
    pub shares: [f32; MAX_ENGINES],
    /// Levels in the chain.
    pub levels: usize,
    /// Share from which a level says yes: more than half of the votes.
    pub needed: f32,
    /// Distance to the nearest training row, in scaled features.
    pub nearest: f32,
    /// Features that had to be held within [`CLAMP`].
    pub clamped: u8,
}

impl Prediction {
    /// The first level that says yes.
    pub fn chosen(&self) -> Option<usize> {
        self.shares.iter().take(self.levels).position(|share| *share >= self.needed)
    }

    /// The largest share of any level.
    pub fn highest(&self) -> f32 {
        self.shares.iter().take(self.levels).copied().fold(0.0, f32::max)
    }
}

impl Premodel {
    /// `rows`: row-major `[best.len()][scales.len()]`, unscaled features of the training frames;
    /// `best`: the level of the cheapest engine that was right, `None` where none was; `levels` in
    /// the chain; `k` odd or even, 1..=[`MAX_K`], at most the rows.
    pub fn new(
        scales: Vec<Scale>,
        levels: usize,
        k: usize,
        mut rows: Vec<f32>,
        best: Vec<Option<u8>>,
    ) -> Result<Self, PremodelError> {
        within("number of features", scales.len(), 1, COUNT)?;
        within("number of levels", levels, 1, MAX_ENGINES)?;
        within("number of rows", best.len(), 1, MAX_ROWS)?;
        within("k", k, 1, MAX_K.min(best.len()))?;
        within(
            "number of values",
            rows.len(),
            best.len() * scales.len(),
            best.len() * scales.len(),
        )?;
        let usable = |scale: &Scale| {
            scale.feature < COUNT
                && scale.min.is_finite()
                && scale.max.is_finite()
                && (scale.max - scale.min).is_normal()
                && scale.min < scale.max
        };
        if let Some(place) = scales.iter().position(|scale| !usable(scale)) {
            return Err(PremodelError::Scale { place });
        }
        for (row, values) in rows.chunks_exact_mut(scales.len()).enumerate() {
            for (value, scale) in values.iter_mut().zip(&scales) {
                if !value.is_finite() {
                    return Err(PremodelError::Row { row, reason: "every value must be finite" });
                }
                *value = scale.apply(*value).0;
            }
        }
        if let Some(row) =
            best.iter().position(|level| level.is_some_and(|level| usize::from(level) >= levels))
        {
            return Err(PremodelError::Row { row, reason: "the level must be one of the chain" });
        }
        Ok(Self { scales, levels, k, rows, best })
    }

    /// Levels in the chain.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Training rows.
    pub fn rows(&self) -> usize {
        self.best.len()
    }

    /// Votes of the nearest training frames. Allocates nothing; cannot fail.
    pub fn predict(&self, features: &Features) -> Prediction {
        let mut query = [0.0; COUNT];
        let mut clamped = 0;
        for (slot, scale) in query.iter_mut().zip(&self.scales) {
            let (value, outside) =
                scale.apply(features.values.get(scale.feature).copied().unwrap_or(0.0));
            *slot = value;
            clamped += u8::from(outside);
        }
        let width = self.scales.len();
        let neighbours =
            Neighbours::search(&self.rows, width, query.get(..width).unwrap_or(&query), self.k);

        let mut votes = [0u16; MAX_ENGINES];
        for index in neighbours.indices() {
            if let Some(vote) = self
                .best
                .get(index)
                .copied()
                .flatten()
                .and_then(|level| votes.get_mut(usize::from(level)))
            {
                *vote += 1;
            }
        }
        Prediction {
            shares: votes.map(|count| f32::from(count) / self.k as f32),
            levels: self.levels,
            needed: (self.k / 2 + 1) as f32 / self.k as f32,
            nearest: neighbours.nearest(),
            clamped,
        }
    }
}

impl Scale {
    /// The scaled value, and whether it had to be held within [`CLAMP`]. What is not a number
    /// counts as the middle.
    pub fn apply(&self, value: f32) -> (f32, bool) {
        let scaled = (value - self.min) / (self.max - self.min);
        if scaled.is_nan() {
            return (0.5, true);
        }
        (scaled.clamp(CLAMP.0, CLAMP.1), scaled < CLAMP.0 || scaled > CLAMP.1)
    }
}

fn within(what: &'static str, got: usize, least: usize, most: usize) -> Result<(), PremodelError> {
    if (least..=most).contains(&got) {
        return Ok(());
    }
    let allowed =
        if least == most { format!("exactly {least}") } else { format!("{least} to {most}") };
    Err(PremodelError::Length { what, got, allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(first: f32, second: f32) -> Features {
        let mut values = [0.0; COUNT];
        (values[0], values[1]) = (first, second);
        Features { values }
    }

    fn scales() -> Vec<Scale> {
        vec![Scale { feature: 0, min: 0.0, max: 10.0 }, Scale { feature: 1, min: 0.0, max: 100.0 }]
    }

    #[test]
    fn first_level_with_a_majority_wins() {
        let rows = vec![1.0, 10.0, 1.1, 10.0, 1.2, 10.0, 9.0, 90.0, 9.1, 90.0];
        let best = vec![Some(0), Some(1), Some(1), None, None];
        let premodel = Premodel::new(scales(), 2, 3, rows, best).unwrap();
        let near = premodel.predict(&features(1.1, 10.0));
        assert_eq!(near.chosen(), Some(1));
        assert!(
            (near.shares[1] - 2.0 / 3.0).abs() < 1e-6 && (near.shares[0] - 1.0 / 3.0).abs() < 1e-6
        );
        let far = premodel.predict(&features(9.0, 90.0));
        assert_eq!(far.chosen(), None, "two of three say no engine is right");
    }

    #[test]
    fn half_of_an_even_k_is_not_a_majority() {
        let premodel =
            Premodel::new(scales(), 1, 2, vec![1.0, 1.0, 2.0, 2.0], vec![Some(0), None]).unwrap();
        assert_eq!(premodel.predict(&features(1.0, 1.0)).chosen(), None);
    }

    #[test]
    fn wild_values_are_held_and_counted() {
        let premodel =
            Premodel::new(scales(), 1, 1, vec![0.0, 0.0, 10.0, 100.0], vec![Some(0), None])
                .unwrap();
        let prediction = premodel.predict(&features(1e9, 50.0));
        assert_eq!(prediction.clamped, 1);
        assert!((prediction.nearest - 0.5f32.hypot(0.5)).abs() < 1e-6, "{}", prediction.nearest);
        let broken = premodel.predict(&features(f32::NAN, f32::INFINITY));
        assert_eq!(broken.clamped, 2);
        assert!(broken.nearest.is_finite());
    }

    #[test]
    fn unusable_training_data_is_refused() {
        let flat = vec![Scale { feature: 0, min: 1.0, max: 1.0 }];
        assert_eq!(
            Premodel::new(flat, 1, 1, vec![1.0], vec![None]).unwrap_err(),
            PremodelError::Scale { place: 0 }
        );
        assert!(
            Premodel::new(scales(), 1, 3, vec![1.0; 4], vec![None; 2]).is_err(),
            "k above the rows"
        );
        assert!(
            Premodel::new(scales(), 1, 1, vec![1.0; 3], vec![None; 2]).is_err(),
            "a value is missing"
        );
        assert!(
            Premodel::new(scales(), 1, 1, vec![1.0; 4], vec![None, Some(1)]).is_err(),
            "level beyond the chain"
        );
        assert!(
            Premodel::new(scales(), 1, 1, vec![1.0, f32::NAN, 1.0, 1.0], vec![None; 2]).is_err()
        );
    }
}
