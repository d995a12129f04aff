//! When the sensors that are left out are listed anew. Listing makes texts, so it is not done for
//! each reading.

use super::Sample;

/// After this many readings they are listed even if no reading has come or gone: the reasons hold
/// figures. Half a minute at two readings a second.
const EVERY: u32 = 60;
/// And with these readings after a change: why a sensor is left out often shows only then.
const SOON: [u32; 2] = [1, 3];

/// Decides for the source of the samples that it is shown.
#[derive(Debug, Default)]
pub struct Listing {
    /// The readings of the last sample, see [`Sample::present`]; `None` before the first.
    present: Option<u64>,
    /// Samples since the last change.
    passed: u32,
}

impl Listing {
    /// True with the first sample, where a reading has come or gone and soon after, and now and
    /// then besides.
    pub fn is_due(&mut self, sample: &Sample) -> bool {
        self.passed += 1;
        if self.present.replace(sample.present()) != self.present {
            self.passed = 0;
        }
        self.passed == 0 || SOON.contains(&self.passed) || self.passed.is_multiple_of(EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_due_at_first_around_each_change_and_every_half_minute() {
        let (mut listing, without) = (Listing::default(), Sample::default());
        let with = Sample { cpu_load: Some(5.0), ..Sample::default() };
        let due =
            [&without, &without, &without, &with, &without].map(|sample| listing.is_due(sample));
        assert_eq!(due, [true, true, false, true, true]);
        let later: Vec<_> = (1..=2 * EVERY).filter(|_| listing.is_due(&without)).collect();
        assert_eq!(later, [SOON[0], SOON[1], EVERY, 2 * EVERY]);
    }
}
