//! Fits small linear models: the chance of something (logistic) and a mean (linear), both with a
//! little ridge.
//!
//! Pure. Newton's method on the normal equations: a search fits thousands of these, of a few
//! weights each, which the general solvers of the crates at hand take some ten times longer for. No
//! model has more than [`MOST`] weights.

/// Most weights.
pub const MOST: usize = 40;
/// Ridge on all weights but the first, as if so many frames said that they are 0.
const RIDGE: f64 = 1.0;
/// Most steps; the fits here need six or seven.
const STEPS: usize = 25;
/// Log-odds beyond this are not followed: at 800 frames nothing is that certain.
const FURTHEST: f64 = 30.0;

/// Weights of `chance = 1 / (1 + exp(-w x))` for rows of `width` values (the first one constant 1)
/// and targets 0..=1, a share allowed. Without rows all weights are 0.
pub fn logistic(rows: &[f32], width: usize, targets: &[f64]) -> Vec<f32> {
    let mut weights = vec![0.0f64; width];
    if width == 0 || width > MOST || targets.is_empty() {
        return vec![0.0; width];
    }
    let n = targets.len() as f64;
    let share = ((targets.iter().sum::<f64>() + 0.5) / (n + 1.0)).clamp(1e-6, 1.0 - 1e-6);
    weights[0] = (share / (1.0 - share)).ln();
    for _ in 0..STEPS {
        let mut gradient = vec![0.0; width];
        let mut curvature = vec![0.0; width * width];
        for (row, target) in rows.chunks_exact(width).zip(targets) {
            let sum: f64 =
                row.iter().zip(&weights).map(|(value, weight)| f64::from(*value) * weight).sum();
            let chance = 1.0 / (1.0 + (-sum.clamp(-FURTHEST, FURTHEST)).exp());
            let (miss, bend) = (target - chance, (chance * (1.0 - chance)).max(1e-9));
            gather(row, miss, bend, &mut gradient, &mut curvature);
        }
        ridge(&weights, &mut gradient, &mut curvature);
        let Some(step) = solve(curvature, gradient) else { break };
        let longest = step.iter().fold(0.0f64, |most, part| most.max(part.abs()));
        // A step too long is a fit that runs away: as far as half a dozen log-odds at a time.
        let scale = if longest > 6.0 { 6.0 / longest } else { 1.0 };
        weights.iter_mut().zip(&step).for_each(|(weight, part)| *weight += part * scale);
        if longest < 1e-8 {
            break;
        }
    }
    sound(weights)
}

/// Weights of `mean = w x`, by least squares.
pub fn linear(rows: &[f32], width: usize, targets: &[f64]) -> Vec<f32> {
    if width == 0 || width > MOST || targets.is_empty() {
        return vec![0.0; width];
    }
    let (mut moment, mut curvature) = (vec![0.0; width], vec![0.0; width * width]);
    for (row, target) in rows.chunks_exact(width).zip(targets) {
        gather(row, *target, 1.0, &mut moment, &mut curvature);
    }
    ridge(&vec![0.0; width], &mut moment, &mut curvature);
    sound(solve(curvature, moment).unwrap_or_else(|| vec![0.0; width]))
}

/// Adds one row to the sums.
fn gather(row: &[f32], miss: f64, bend: f64, gradient: &mut [f64], curvature: &mut [f64]) {
    for (at, value) in row.iter().enumerate() {
        let value = f64::from(*value);
        gradient[at] += value * miss;
        for (to, other) in row.iter().enumerate().take(at + 1) {
            curvature[at * row.len() + to] += value * f64::from(*other) * bend;
        }
    }
}

fn ridge(weights: &[f64], gradient: &mut [f64], curvature: &mut [f64]) {
    let width = weights.len();
    curvature[0] += 1e-9;
    for at in 1..width {
        gradient[at] -= RIDGE * weights[at];
        curvature[at * width + at] += RIDGE;
    }
}

/// Cholesky, on the lower half of a symmetric matrix. `None` if it is not positive.
fn solve(mut matrix: Vec<f64>, mut vector: Vec<f64>) -> Option<Vec<f64>> {
    let n = vector.len();
    for row in 0..n {
        for column in 0..=row {
            let dot: f64 = (0..column).map(|k| matrix[row * n + k] * matrix[column * n + k]).sum();
            let rest = matrix[row * n + column] - dot;
            matrix[row * n + column] = if row != column {
                rest / matrix[column * n + column]
            } else if rest > 0.0 {
                rest.sqrt()
            } else {
                return None;
            };
        }
    }
    for row in 0..n {
        let dot: f64 = (0..row).map(|k| matrix[row * n + k] * vector[k]).sum();
        vector[row] = (vector[row] - dot) / matrix[row * n + row];
    }
    for row in (0..n).rev() {
        let dot: f64 = (row + 1..n).map(|k| matrix[k * n + row] * vector[k]).sum();
        vector[row] = (vector[row] - dot) / matrix[row * n + row];
    }
    Some(vector)
}

fn sound(weights: Vec<f64>) -> Vec<f32> {
    weights
        .into_iter()
        .map(|weight| if weight.is_finite() { weight.clamp(-1e6, 1e6) as f32 } else { 0.0 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::clues::chance;
    use crate::stats::{splitmix64, unit};

    fn draw(at: u64) -> f64 {
        unit(splitmix64(at))
    }

    #[test]
    fn a_known_model_is_found_again() {
        let truth = [0.5f32, 2.0, -1.0];
        let rows: Vec<f32> = (0..20_000)
            .flat_map(|at| {
                [1.0, draw(at) as f32 * 2.0 - 1.0, draw(at + 1_000_000) as f32 * 2.0 - 1.0]
            })
            .collect();
        let share: Vec<f64> =
            rows.chunks_exact(3).map(|row| f64::from(chance(&truth, row))).collect();
        let drawn: Vec<f64> = (0..)
            .zip(&share)
            .map(|(at, share)| f64::from(u8::from(draw(at + 9_000_000) < *share)))
            .collect();
        for (targets, near) in [(&share, 0.01), (&drawn, 0.1)] {
            let found = logistic(&rows, 3, targets);
            assert!(found.iter().zip(truth).all(|(a, b)| (a - b).abs() < near), "{found:?}");
        }
        let line: Vec<f64> =
            rows.chunks_exact(3).map(|row| 3.0 + 2.0 * f64::from(row[1])).collect();
        let found = linear(&rows, 3, &line);
        assert!(found.iter().zip([3.0, 2.0, 0.0]).all(|(a, b)| (a - b).abs() < 0.01), "{found:?}");
    }

    #[test]
    fn one_outcome_only_copies_and_nothing_at_all_stay_finite() {
        let rows = [1.0f32, 0.3, 0.3, 1.0, 0.9, 0.9, 1.0, 0.1, 0.1];
        let found = logistic(&rows, 3, &[1.0; 3]);
        assert!(
            found.iter().all(|weight| weight.is_finite()) && chance(&found, &rows[..3]) > 0.8,
            "{found:?}"
        );
        assert_eq!(logistic(&[], 3, &[]), [0.0; 3]);
        assert!(linear(&rows, 3, &[1.0, 2.0, 3.0]).iter().all(|weight| weight.is_finite()));
        let split = logistic(&[1.0, -1.0, 1.0, 1.0], 2, &[0.0, 1.0]);
        assert!(split[1] > 0.0 && split[1] < 10.0, "what tells all apart is held back: {split:?}");
    }
}
