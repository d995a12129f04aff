//! Sets of photos, one bit each.

/// A set of photos.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// The photos below `n` for which `holds`.
    pub(super) fn collect(n: usize, holds: impl Fn(usize) -> bool) -> Self {
        let mut words = vec![0u64; n.div_ceil(64)];
        for photo in (0..n).filter(|photo| holds(*photo)) {
            words[photo / 64] |= 1 << (photo % 64);
        }
        Self(words)
    }

    pub(super) fn holds(&self, photo: usize) -> bool {
        self.0.get(photo / 64).is_some_and(|word| word >> (photo % 64) & 1 == 1)
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// How many are in both.
    pub(super) fn count_and(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a & b).count_ones()).sum()
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a | b).collect())
    }

    /// Becomes those of `all` that are not in `taken`. Returns how many of the taken ones are also `right`.
    pub(super) fn leave(&mut self, all: &Self, taken: &Self, right: &Self) -> u32 {
        let mut hits = 0;
        for (((left, all), taken), right) in self.0.iter_mut().zip(&all.0).zip(&taken.0).zip(&right.0) {
            *left = all & !taken;
            hits += (all & taken & right).count_ones();
        }
        hits
    }
}
