//! Filter tables: which samples of a line make which sample of a shorter or longer line, and how
//! much of each.
//!
//! Pure. The filters are Pillow's: triangle or cubic (a = -0.5), widened by the factor of the
//! reduction, cut off at the ends of the line and made to sum to 1. Weights are whole numbers, laid
//! out as the kernels in `resample.rs` read them.

use super::super::manifest::Filter;

/// Samples that a kernel works on at once. Two registers of SSE2 or NEON, one of AVX2.
pub(super) const LANES: usize = 16;
/// Pixels that one step across takes in.
pub(super) const STEP: usize = 4;

/// More taps than this, and the error of 16-bit sums (at worst half a unit of 1/64 a tap, mostly
/// much less) could be seen.
const NARROW: usize = 72;

/// A line of `size` samples, of which the part from `from` over `extent` samples becomes `target`
/// samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) size: usize,
    pub(super) from: f64,
    pub(super) extent: f64,
    pub(super) target: usize,
    pub(super) filter: Filter,
}

/// How the weights are laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Lay {
    /// One row a tap, all lanes alike.
    Down,
    /// One row for [`STEP`] taps: each weight repeated for the channels of a pixel, of which there
    /// are this many.
    Across(usize),
}

/// The table of one [`Stretch`].
#[derive(Default)]
pub(super) struct Taps {
    made_for: Option<(Stretch, Lay, u32)>,
    /// By target sample: the first source sample, and the end of its rows in `rows`.
    spans: Vec<(usize, usize)>,
    rows: Vec<[i16; LANES]>,
    /// The source samples that are needed at all.
    pub(super) low: usize,
    pub(super) high: usize,
    /// True if sums need more than 16 bits.
    pub(super) wide: bool,
    /// Weights are in units of 2^-bits.
    pub(super) bits: u32,
    /// Most taps of any target sample.
    pub(super) longest: usize,
    /// Source samples that must be at hand at once, going through the target in order.
    pub(super) held: usize,
    /// Weights of one target sample.
    real: Vec<f64>,
    whole: Vec<i32>,
}

impl Taps {
    /// Makes the table, if it is not that one already. In 16-bit sums weights have at most `bits`
    /// bits.
    pub(super) fn make(&mut self, stretch: &Stretch, lay: Lay, bits: u32) {
        if self.made_for == Some((*stretch, lay, bits)) {
            return;
        }
        self.made_for = Some((*stretch, lay, bits));
        let (mut longest, mut highest) = (0, 0.0_f64);
        for at in 0..stretch.target {
            weigh(stretch, at, &mut self.real);
            longest = longest.max(self.real.len());
            highest = self.real.iter().copied().fold(highest, f64::max);
        }
        // Room for the correction of the sum is left below the limit of i16.
        let fitting =
            (0..=22).rev().find(|bits| highest * f64::from(1_u32 << bits) <= 32_000.0).unwrap_or(0);
        self.wide = longest > NARROW;
        self.bits = if self.wide { fitting } else { fitting.min(bits) };
        self.spans.clear();
        self.rows.clear();
        (self.low, self.high, self.longest, self.held) = (stretch.size, 0, 0, 0);
        for at in 0..stretch.target {
            let first = weigh(stretch, at, &mut self.real);
            let first = first + self.round();
            let count = self.whole.len();
            self.low = self.low.min(first);
            self.high = self.high.max(first + count);
            self.longest = self.longest.max(count);
            self.held = self.held.max(self.high - first);
            self.lay_out(lay);
            self.spans.push((first, self.rows.len()));
        }
    }

    /// First source sample and rows of weights of target sample `at`.
    #[inline(always)]
    pub(super) fn of(&self, at: usize) -> (usize, &[[i16; LANES]]) {
        let begin = if at == 0 { 0 } else { self.spans[at - 1].1 };
        let (first, end) = self.spans[at];
        (first, &self.rows[begin..end])
    }

    /// [`of`](Self::of) for all target samples in order.
    #[inline(always)]
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &[[i16; LANES]])> {
        let mut begin = 0;
        self.spans.iter().map(move |(first, end)| {
            (*first, &self.rows[std::mem::replace(&mut begin, *end)..*end])
        })
    }

    /// `real` as whole numbers that sum to 2^bits, without zeros at the ends. Returns how many
    /// there were in front.
    fn round(&mut self) -> usize {
        let unit = f64::from(1_u32 << self.bits);
        self.whole.clear();
        self.whole.extend(self.real.iter().map(|weight| (weight * unit).round() as i32));
        let off = (1 << self.bits) - self.whole.iter().sum::<i32>();
        if let Some(most) = self.whole.iter_mut().max() {
            *most += off;
        }
        let end = self.whole.iter().rposition(|weight| *weight != 0).map_or(0, |last| last + 1);
        self.whole.truncate(end);
        let front = self.whole.iter().take_while(|weight| **weight == 0).count();
        self.whole.drain(..front);
        front
    }

    fn lay_out(&mut self, lay: Lay) {
        let narrow = |weight: i32| weight.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        match lay {
            Lay::Down => self.rows.extend(self.whole.iter().map(|weight| [narrow(*weight); LANES])),
            Lay::Across(channels) => self.rows.extend(self.whole.chunks(STEP).map(|step| {
                std::array::from_fn(|lane| {
                    step.get(lane / channels)
                        .filter(|_| lane < STEP * channels)
                        .map_or(0, |w| narrow(*w))
                })
            })),
        }
    }
}

/// The weights of target sample `at` into `weights`, at least one. Returns the first source sample.
fn weigh(stretch: &Stretch, at: usize, weights: &mut Vec<f64>) -> usize {
    let scale = stretch.extent / stretch.target as f64;
    let reduction = scale.max(1.0);
    let reach = reduction
        * match stretch.filter {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        };
    let centre = stretch.from + (at as f64 + 0.5) * scale;
    let first = ((centre - reach + 0.5).max(0.0) as usize).min(stretch.size - 1);
    let end = ((centre + reach + 0.5).max(0.0) as usize).clamp(first + 1, stretch.size);
    weights.clear();
    weights.extend(
        (first..end)
            .map(|sample| value(stretch.filter, (sample as f64 + 0.5 - centre) / reduction)),
    );
    let sum: f64 = weights.iter().sum();
    if sum.abs() < 1e-6 {
        weights.truncate(1);
        weights[0] = 1.0;
        return first;
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
    first
}

/// The filter at distance `x`.
fn value(filter: Filter, x: f64) -> f64 {
    let x = x.abs();
    match filter {
        Filter::Bilinear => (1.0 - x).max(0.0),
        Filter::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        Filter::Bicubic => 0.0,
    }
}
