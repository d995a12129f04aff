//! Pictures made smaller or larger: one plane of interleaved samples in, one plane a channel out.
//!
//! Pure. Down first, over whole rows, then across; nothing is rounded to 8 bits between. Samples
//! are 16-bit fixed point, a product keeps its upper half, and sums stay 16 bits wide, so that one
//! register holds as many as possible. Very long filters sum in `f32` instead. The loops have no
//! intrinsics: they are shaped for the compiler to vectorise, for the features that the caller was
//! compiled with, hence `inline(always)` on every step.

use super::super::manifest::Filter;
use super::taps::{LANES, Lay, STEP, Stretch, Taps};

/// Samples enter as `value << 7`.
const ENTRY_BITS: u32 = 7;
/// Most bits after the point on the way: overshoot of both passes still fits 16 bits.
const POINT_BITS: u32 = 6;
/// Samples that one turn of the pass down finishes.
const BLOCK: usize = 4 * LANES;
/// Sums of one target pixel before the last fold: two pixels of up to [`STEP`] channels.
const FOLD: usize = 2 * STEP;

/// A part of one plane.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// The plane from its first row.
    pub(super) bytes: &'a [u8],
    /// Bytes from row to row.
    pub(super) stride: usize,
    /// Interleaved samples of a pixel, 1..=4. A fourth is ignored.
    pub(super) channels: usize,
    /// Left column and top row of the part.
    pub(super) corner: [usize; 2],
    /// Width and height of the part. Nothing outside is read.
    pub(super) size: [usize; 2],
    /// Left, top, width and height, inside the part, of what becomes the target.
    pub(super) window: [f64; 4],
}

/// Resizes planes. Keeps the filter tables of the last part, and all room it needs.
#[derive(Default)]
pub(super) struct Resampler {
    down: Taps,
    across: Taps,
    /// Rows of the source as 16-bit samples, row `n` in place `n % held`.
    ring: Vec<i16>,
    /// Rows after the pass down.
    rows: Vec<i16>,
    /// The same rows side by side, so that [`STEP`] samples lie together in any case.
    woven: Vec<i16>,
    /// One row after the pass across, and folded once.
    sums: Vec<[i16; LANES]>,
    folded: Vec<[i16; FOLD]>,
    /// The same as bytes.
    bytes: Vec<[u8; FOLD]>,
}

/// Sums of products: narrow ones are fast, wide ones exact.
trait Sum: Copy {
    fn start(bias: i16) -> Self;
    fn plus(self, sample: i16, weight: i16) -> Self;
    fn done(self, scale: f32) -> i16;
}

impl Sum for i16 {
    #[inline(always)]
    fn start(bias: i16) -> Self {
        bias
    }

    #[inline(always)]
    fn plus(self, sample: i16, weight: i16) -> Self {
        self.wrapping_add(((i32::from(sample) * i32::from(weight)) >> 16) as i16)
    }

    #[inline(always)]
    fn done(self, _: f32) -> i16 {
        self
    }
}

impl Sum for f32 {
    #[inline(always)]
    fn start(_: i16) -> Self {
        0.0
    }

    #[inline(always)]
    fn plus(self, sample: i16, weight: i16) -> Self {
        self + f32::from(sample) * f32::from(weight)
    }

    #[inline(always)]
    fn done(self, scale: f32) -> i16 {
        // Rounds by cutting off, which needs no library call anywhere.
        ((self * scale + 32_768.5) as i32 - 32_768) as i16
    }
}

impl Resampler {
    /// Resizes `part` to `width` x `height`; channel n goes to `out[n]`, which has that many
    /// samples.
    #[inline(always)]
    pub(super) fn resize(
        &mut self,
        part: &Part<'_>,
        filter: Filter,
        [width, height]: [usize; 2],
        out: &mut [Vec<u8>],
    ) {
        let line = |axis: usize, target| Stretch {
            size: part.size[axis],
            from: part.window[axis],
            extent: part.window[axis + 2],
            target,
            filter,
        };
        // One or two channels leave lanes empty: then rows are taken together.
        let together = (STEP / part.channels).max(1);
        let pixel = together * part.channels;
        self.down.make(&line(1, height), Lay::Down, 15);
        let point = if self.down.wide { POINT_BITS } else { ENTRY_BITS + self.down.bits - 16 };
        self.across.make(&line(0, width), Lay::Across(pixel), 16 + POINT_BITS - point);
        let columns = self.across.high - self.across.low;
        let pitch = (columns * part.channels).next_multiple_of(BLOCK);
        let shown = Shown { width, height, together, point };
        // Steps across may reach a few samples beyond the last.
        self.ring.resize(self.down.held * pitch, 0);
        self.rows.resize(together * pitch + LANES, 0);
        self.woven.resize(if together > 1 { columns * pixel + LANES } else { 0 }, 0);
        self.sums.resize(width, [0; LANES]);
        // One more, for what the last lanes of a row are added to.
        self.folded.resize(width + 1, [0; FOLD]);
        self.bytes.resize(width, [0; FOLD]);
        match part.channels {
            3 => self.run::<3>(part, pitch, &shown, out),
            _ => self.run::<4>(part, pitch, &shown, out),
        }
    }

    #[inline(always)]
    fn run<const PIXEL: usize>(
        &mut self,
        part: &Part<'_>,
        pitch: usize,
        shown: &Shown,
        out: &mut [Vec<u8>],
    ) {
        let row = (self.across.high - self.across.low) * part.channels;
        let corner =
            part.corner[1] * part.stride + (part.corner[0] + self.across.low) * part.channels;
        let mut next = self.down.low;
        for top in (0..shown.height).step_by(shown.together) {
            let count = shown.together.min(shown.height - top);
            for at in top..top + count {
                let (first, weights) = self.down.of(at);
                while next < first + weights.len() {
                    let from = &part.bytes[corner + next * part.stride..][..row];
                    enter(from, &mut self.ring[next % self.down.held * pitch..][..row]);
                    next += 1;
                }
                let to = &mut self.rows[(at - top) * pitch..][..pitch];
                let bias = (self.down.longest / 2) as i16;
                let slot = first % self.down.held;
                if self.down.wide {
                    let scale = 1.0 / (1_u32 << (self.down.bits + ENTRY_BITS - POINT_BITS)) as f32;
                    down::<f32>(&self.ring, pitch, slot, weights, (bias, scale), to);
                } else {
                    down::<i16>(&self.ring, pitch, slot, weights, (bias, 1.0), to);
                }
            }
            let rows = match shown.together {
                1 => &self.rows,
                2 => {
                    weave_two(&self.rows, pitch, &mut self.woven);
                    &self.woven
                }
                _ => {
                    weave_four(&self.rows, pitch, &mut self.woven);
                    &self.woven
                }
            };
            let (point, extra) = if self.across.wide {
                let scale = 1.0 / (1_u64 << (self.across.bits + shown.point - POINT_BITS)) as f32;
                across::<f32, PIXEL>(rows, &self.across, scale, &mut self.sums);
                (POINT_BITS, 0)
            } else {
                across::<i16, PIXEL>(rows, &self.across, 1.0, &mut self.sums);
                (shown.point + self.across.bits - 16, self.across.longest / 2)
            };
            fold::<PIXEL>(&self.sums, &mut self.folded);
            let half = (1 << (point - 1)) + extra as i16;
            round::<PIXEL>(&self.folded, half, point, &mut self.bytes);
            for lane in 0..(count * part.channels).min(if part.channels == 4 { 3 } else { 4 }) {
                let to = &mut out[lane % part.channels]
                    [(top + lane / part.channels) * shown.width..][..shown.width];
                for (to, bytes) in to.iter_mut().zip(&self.bytes) {
                    *to = bytes[lane];
                }
            }
        }
    }
}

/// The target of one run.
struct Shown {
    width: usize,
    height: usize,
    /// Rows worked on together.
    together: usize,
    /// Bits after the point between the passes.
    point: u32,
}

#[inline(always)]
fn enter(from: &[u8], to: &mut [i16]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = i16::from(*from) << ENTRY_BITS;
    }
}

#[inline(always)]
fn add<S: Sum>(sums: &mut [S; LANES], samples: &[i16; LANES], weights: &[i16; LANES]) {
    for lane in 0..LANES {
        sums[lane] = sums[lane].plus(samples[lane], weights[lane]);
    }
}

/// One row of the target from rows of the ring, the first of them in place `slot`.
#[inline(always)]
fn down<S: Sum>(
    ring: &[i16],
    pitch: usize,
    slot: usize,
    weights: &[[i16; LANES]],
    (bias, scale): (i16, f32),
    to: &mut [i16],
) {
    for (block, to) in to.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let [mut a, mut b, mut c, mut d] = [[S::start(bias); LANES]; 4];
        let mut at = slot * pitch + block * BLOCK;
        for weight in weights {
            if at >= ring.len() {
                at -= ring.len();
            }
            let (samples, _) = ring[at..at + BLOCK].as_chunks::<LANES>();
            add(&mut a, &samples[0], weight);
            add(&mut b, &samples[1], weight);
            add(&mut c, &samples[2], weight);
            add(&mut d, &samples[3], weight);
            at += pitch;
        }
        let (to, _) = to.as_chunks_mut::<LANES>();
        for (to, sums) in to.iter_mut().zip([a, b, c, d]) {
            *to = sums.map(|sum| sum.done(scale));
        }
    }
}

/// Rows of one channel side by side: a pixel of each of the four becomes one pixel of four samples.
#[inline(always)]
fn weave_four(rows: &[i16], pitch: usize, woven: &mut [i16]) {
    let [a, b, c, d] = [0, 1, 2, 3].map(|row| &rows[row * pitch..][..pitch]);
    for ((((to, a), b), c), d) in
        woven.as_chunks_mut::<STEP>().0.iter_mut().zip(a).zip(b).zip(c).zip(d)
    {
        *to = [*a, *b, *c, *d];
    }
}

/// The same for two rows of two channels.
#[inline(always)]
fn weave_two(rows: &[i16], pitch: usize, woven: &mut [i16]) {
    let [a, b] = [0, 1].map(|row| rows[row * pitch..][..pitch].as_chunks::<2>().0);
    for ((to, a), b) in woven.as_chunks_mut::<STEP>().0.iter_mut().zip(a).zip(b) {
        *to = [a[0], a[1], b[0], b[1]];
    }
}

/// One row of pixels of `PIXEL` samples to the sums of one target row: [`STEP`] pixels each, still
/// to be added up.
#[inline(always)]
fn across<S: Sum, const PIXEL: usize>(
    row: &[i16],
    taps: &Taps,
    scale: f32,
    sums: &mut [[i16; LANES]],
) {
    for (to, (first, weights)) in sums.iter_mut().zip(taps.all()) {
        let mut sums = [S::start(0); LANES];
        let mut samples = &row[(first - taps.low) * PIXEL..];
        for weights in weights {
            let (now, _) = samples.split_at(LANES);
            if let Some(now) = now.first_chunk() {
                add(&mut sums, now, weights);
            }
            samples = &samples[STEP * PIXEL..];
        }
        *to = sums.map(|sum| sum.done(scale));
    }
}

/// Adds the second two pixels of each sum to the first two. A loop of its own: mixed with the one
/// above, neither is vectorised well.
#[inline(always)]
fn fold<const PIXEL: usize>(sums: &[[i16; LANES]], folded: &mut [[i16; FOLD]]) {
    for (to, sums) in folded.iter_mut().zip(sums) {
        let (mut both, mut second) = ([0; FOLD], [0; FOLD]);
        both.copy_from_slice(&sums[..FOLD]);
        second.copy_from_slice(&sums[2 * PIXEL..][..FOLD]);
        for (both, second) in both.iter_mut().zip(second) {
            *both = both.wrapping_add(second);
        }
        *to = both;
    }
}

/// Adds what is left of each fold, over the whole row at once, and rounds to bytes. Lanes behind a
/// pixel's samples mean nothing.
#[inline(always)]
fn round<const PIXEL: usize>(
    folded: &[[i16; FOLD]],
    half: i16,
    point: u32,
    bytes: &mut [[u8; FOLD]],
) {
    let (first, second) = (folded.as_flattened(), &folded.as_flattened()[PIXEL..]);
    for ((to, first), second) in bytes.as_flattened_mut().iter_mut().zip(first).zip(second) {
        *to = (first.wrapping_add(*second).saturating_add(half) >> point).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
#[path = "resample_tests.rs"]
mod tests;
