//! When the sensors that are left out are listed anew. Listing makes texts, so it is not done for each reading.

use super::Sample;

/// After this many readings they are listed even if no reading has come or gone: the reasons hold figures. Half a minute at two readings a
/// second.
const EVERY: u32 = 60;

/// Decides for the source of the samples that it is shown.
#[derive(Debug, Default)]
pub struct Listing {
    /// The readings of the last sample, see [`Sample::present`]; `None` before the first.
    present: Option<u64>,
    /// Samples since the last list.
    passed: u32,
}

impl Listing {
    /// True with the first sample, where a reading has come or gone, and now and then besides.
    pub fn is_due(&mut self, sample: &Sample) -> bool {
        self.passed += 1;
        let is_due = self.present.replace(sample.present()) != self.present || self.passed >= EVERY;
        if is_due {
            self.passed = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_due_at_first_when_a_reading_comes_or_goes_and_every_half_minute() {
        let (mut listing, without) = (Listing::default(), Sample::default());
        let with = Sample { cpu_load: Some(5.0), ..Sample::default() };
        let due: Vec<_> = [&without, &without, &with, &with, &without].map(|sample| listing.is_due(sample)).into();
        assert_eq!(due, [true, false, true, false, true]);
        let later = (1..=2 * EVERY).filter(|_| listing.is_due(&without)).count();
        assert_eq!(later, 2);
    }
}
