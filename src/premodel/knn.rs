//! The k nearest rows, by exhaustive search in one pass. Euclidean; equal distances go to the lower
//! index.

use arrayvec::ArrayVec;

use super::MAX_K;

/// The nearest rows, nearest first.
#[derive(Clone, Debug)]
pub struct Neighbours {
    /// Squared distance and row.
    found: ArrayVec<(f32, usize), MAX_K>,
}

impl Neighbours {
    /// Searches `rows`, row-major with `width` values each, for the `k` (at most [`MAX_K`]) nearest
    /// to `query`. Fewer rows, fewer neighbours. Allocates nothing.
    pub fn search(rows: &[f32], width: usize, query: &[f32], k: usize) -> Self {
        let k = k.min(MAX_K);
        let mut found: ArrayVec<(f32, usize), MAX_K> = ArrayVec::new();
        if k == 0 || width == 0 {
            return Self { found };
        }
        for (index, row) in rows.chunks_exact(width).enumerate() {
            let distance: f32 = row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum();
            if found.len() == k {
                if found.last().is_some_and(|worst| worst.0 <= distance) {
                    continue; // rows come in order: the earlier one keeps its place in a tie
                }
                found.pop();
            }
            let place = found.partition_point(|held| held.0 <= distance);
            found.insert(place, (distance, index));
        }
        Self { found }
    }

    /// Rows found, nearest first.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.found.iter().map(|held| held.1)
    }

    /// Distance of the nearest; zero without rows.
    pub fn nearest(&self) -> f32 {
        self.found.first().map_or(0.0, |held| held.0.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_the_lower_index() {
        let rows = [1.0, 3.0, 1.0, 3.0, 1.0];
        let nearest: Vec<usize> = Neighbours::search(&rows, 1, &[2.0], 3).indices().collect();
        assert_eq!(nearest, [0, 1, 2]);
    }

    #[test]
    fn fewer_rows_than_k_are_all_found() {
        assert_eq!(
            Neighbours::search(&[5.0, 1.0], 1, &[0.0], 9).indices().collect::<Vec<_>>(),
            [1, 0]
        );
        assert_eq!(Neighbours::search(&[], 1, &[0.0], 9).indices().count(), 0);
    }

    proptest! {
        // Values on a coarse lattice, so that ties are common.
        #[test]
        fn search_agrees_with_sorting_everything(
            width in 1usize..5,
            cells in prop::collection::vec(-3i8..4, 0..400),
            query in prop::collection::vec(-3i8..4, 5),
            k in 1usize..70,
        ) {
            let rows: Vec<f32> = cells.iter().map(|cell| f32::from(*cell) / 2.0).collect();
            let query: Vec<f32> = query.iter().take(width).map(|cell| f32::from(*cell) / 2.0).collect();
            let mut all: Vec<(f32, usize)> = rows
                .chunks_exact(width)
                .enumerate()
                .map(|(index, row)| (row.iter().zip(&query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>(), index))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let expected: Vec<usize> = all.into_iter().take(k.min(MAX_K)).map(|held| held.1).collect();
            prop_assert_eq!(Neighbours::search(&rows, width, &query, k).indices().collect::<Vec<_>>(), expected);
        }
    }
}
