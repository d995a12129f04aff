//! The classifiers that the papers compare: fit on rows, predict the classes of other rows.
//!
//! Pure. Trees, support vectors and logistic regression are smartcore's with its usual settings;
//! neighbours are searched as in the daemon. Naive Bayes is ours: with a class of one row a
//! variance is 0, which must be smoothed and not divided by.

use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};
use smartcore::svm::Kernels;
use smartcore::svm::svc::{SVC, SVCParameters};
use smartcore::tree::decision_tree_classifier::{
    DecisionTreeClassifier, DecisionTreeClassifierParameters,
};

use crate::lab::LabError;
use crate::premodel::knn::Neighbours;

/// A way of classifying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Knn,
    Tree,
    Svm,
    Bayes,
    Logistic,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Knn, Self::Tree, Self::Svm, Self::Bayes, Self::Logistic];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Knn => "knn",
            Self::Tree => "tree",
            Self::Svm => "svm",
            Self::Bayes => "bayes",
            Self::Logistic => "logistic",
        }
    }
}

/// Scaled rows and their classes; what `k` and `seed` are good for depends on the kind.
pub(super) struct Lesson<'l> {
    pub rows: &'l [Vec<f32>],
    pub classes: &'l [u32],
    pub k: usize,
    pub seed: u64,
}

impl Lesson<'_> {
    /// The class of each row of `asked`. With one class in the lesson, that one.
    pub(super) fn predict(&self, kind: Kind, asked: &[Vec<f32>]) -> Result<Vec<u32>, LabError> {
        let mut known = self.classes.to_vec();
        known.sort_unstable();
        known.dedup();
        if known.len() < 2 || asked.is_empty() {
            return Ok(vec![known.first().copied().unwrap_or(0); asked.len()]);
        }
        match kind {
            Kind::Knn => Ok(self.knn(asked)),
            Kind::Bayes => Ok(self.bayes(&known, asked)),
            Kind::Svm => self.svm(&known, asked),
            Kind::Tree => {
                let parameters = DecisionTreeClassifierParameters {
                    seed: Some(self.seed),
                    ..Default::default()
                };
                let tree = DecisionTreeClassifier::fit(
                    &matrix(self.rows)?,
                    &self.classes.to_vec(),
                    parameters,
                );
                tree.and_then(|tree| tree.predict(&matrix_of(asked)?)).map_err(failed)
            }
            Kind::Logistic => {
                let parameters = LogisticRegressionParameters::default().with_alpha(1.0);
                let model = LogisticRegression::fit(
                    &matrix(self.rows)?,
                    &self.classes.to_vec(),
                    parameters,
                );
                model.and_then(|model| model.predict(&matrix_of(asked)?)).map_err(failed)
            }
        }
    }

    /// Most votes; ties to the lower class.
    fn knn(&self, asked: &[Vec<f32>]) -> Vec<u32> {
        let width = self.rows.first().map_or(0, Vec::len);
        let flat: Vec<f32> = self.rows.concat();
        let elect = |row: &Vec<f32>| {
            let mut votes = std::collections::BTreeMap::<u32, usize>::new();
            for index in Neighbours::search(&flat, width, row, self.k).indices() {
                *votes.entry(self.classes[index]).or_default() += 1;
            }
            votes.into_iter().rev().max_by_key(|vote| vote.1).map_or(0, |vote| vote.0)
        };
        asked.iter().map(elect).collect()
    }

    /// Gaussian; variances are smoothed by a billionth of the largest.
    fn bayes(&self, known: &[u32], asked: &[Vec<f32>]) -> Vec<u32> {
        let width = self.rows.first().map_or(0, Vec::len);
        let moments = |class: Option<u32>| -> (f64, Vec<(f64, f64)>) {
            let among: Vec<&Vec<f32>> = self
                .rows
                .iter()
                .zip(self.classes)
                .filter(|(_, own)| class.is_none_or(|class| class == **own))
                .map(|pair| pair.0)
                .collect();
            let n = among.len().max(1) as f64;
            let each = (0..width).map(|place| {
                let mean = among.iter().map(|row| f64::from(row[place])).sum::<f64>() / n;
                (
                    mean,
                    among.iter().map(|row| (f64::from(row[place]) - mean).powi(2)).sum::<f64>() / n,
                )
            });
            (n / self.rows.len() as f64, each.collect())
        };
        let smooth = moments(None).1.iter().fold(1e-12, |most: f64, pair| most.max(pair.1 * 1e-9));
        let models: Vec<_> = known.iter().map(|class| (*class, moments(Some(*class)))).collect();
        let score = |(share, each): &(f64, Vec<(f64, f64)>), row: &[f32]| {
            let terms = each.iter().zip(row).map(|((mean, variance), value)| {
                let variance = variance + smooth;
                -0.5 * (variance.ln() + (f64::from(*value) - mean).powi(2) / variance)
            });
            share.ln() + terms.sum::<f64>()
        };
        let best = |row: &Vec<f32>| {
            models
                .iter()
                .rev()
                .max_by(|a, b| score(&a.1, row).total_cmp(&score(&b.1, row)))
                .map_or(0, |model| model.0)
        };
        asked.iter().map(best).collect()
    }

    /// Gaussian kernel, gamma 1 / (features * variance), C = 1; with more than two classes one
    /// against the rest.
    fn svm(&self, known: &[u32], asked: &[Vec<f32>]) -> Result<Vec<u32>, LabError> {
        let (x, query) = (matrix(self.rows)?, matrix(asked)?);
        let values: Vec<f64> = self.rows.iter().flatten().map(|value| f64::from(*value)).collect();
        let mean = crate::stats::mean(&values).unwrap_or(0.0);
        let spread: Vec<f64> = values.iter().map(|value| (value - mean).powi(2)).collect();
        let width = self.rows.first().map_or(1, Vec::len) as f64;
        let gamma = 1.0 / (width * crate::stats::mean(&spread).unwrap_or(1.0).max(1e-9));
        let parameters = SVCParameters::default()
            .with_c(1.0)
            .with_kernel(Kernels::rbf().with_gamma(gamma))
            .with_seed(Some(self.seed));
        let decide = |class: u32| -> Result<Vec<f64>, LabError> {
            let sides: Vec<i32> =
                self.classes.iter().map(|own| if *own == class { 1 } else { -1 }).collect();
            SVC::fit(&x, &sides, &parameters)
                .and_then(|svc| svc.decision_function(&query))
                .map_err(failed)
        };
        if let [no, yes] = known {
            return Ok(decide(*yes)?
                .into_iter()
                .map(|score| if score > 0.0 { *yes } else { *no })
                .collect());
        }
        let scores: Vec<Vec<f64>> =
            known.iter().map(|class| decide(*class)).collect::<Result<_, _>>()?;
        let best = |row: usize| {
            let places = (0..known.len()).rev();
            places
                .max_by(|a, b| scores[*a][row].total_cmp(&scores[*b][row]))
                .map_or(0, |place| known[place])
        };
        Ok((0..asked.len()).map(best).collect())
    }
}

fn matrix(rows: &[Vec<f32>]) -> Result<DenseMatrix<f64>, LabError> {
    matrix_of(rows).map_err(failed)
}

fn matrix_of(rows: &[Vec<f32>]) -> Result<DenseMatrix<f64>, smartcore::error::Failed> {
    let width = rows.first().map_or(0, Vec::len);
    DenseMatrix::new(
        rows.len(),
        width,
        rows.iter().flatten().map(|value| f64::from(*value)).collect(),
        false,
    )
}

fn failed(error: smartcore::error::Failed) -> LabError {
    LabError::Table {
        what: "a classifier's training".into(),
        got: error.to_string(),
        needed: "rows it can be fitted on".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{splitmix64, unit};

    #[test]
    fn every_kind_tells_clear_classes_apart_and_copes_with_one() {
        let draw = |i: u64| unit(splitmix64(i)) as f32 * 0.2;
        let row =
            |i: u64| vec![(i % 3) as f32 * 0.5 + draw(i), (i % 3) as f32 * 0.4 - draw(i + 999)];
        let (rows, asked): (Vec<_>, Vec<_>) =
            ((0..90).map(row).collect(), (90..120).map(row).collect());
        let classes: Vec<u32> = (0..90).map(|i| i % 3).collect();
        let expected: Vec<u32> = (90..120).map(|i| i % 3).collect();
        for kind in Kind::ALL {
            let lesson = Lesson { rows: &rows, classes: &classes, k: 5, seed: 1 };
            let found = lesson.predict(kind, &asked).unwrap();
            let right = found.iter().zip(&expected).filter(|(a, b)| a == b).count();
            assert!(right >= 27, "{kind:?}: {right} of 30");
            assert_eq!(found, lesson.predict(kind, &asked).unwrap(), "{kind:?} is the same twice");
            let one = Lesson { rows: &rows, classes: &[7; 90], k: 5, seed: 1 };
            assert_eq!(one.predict(kind, &asked).unwrap(), vec![7; 30]);
        }
    }
}
