//! Edges of the working image: Canny's edge pixels, how long their connected lines are, and which
//! way they lie.
//!
//! Canny (PAMI 1986) on Y with thresholds 100 and 200, 3x3 Sobel, |dx| + |dy| as magnitude; pixel
//! for pixel what OpenCV's `Canny(Y, 100, 200)` marks. Thin pixels above the low threshold are
//! candidates; a connected part of candidates is an edge if one of them passes the high threshold.
//! That one labelling gives both the hysteresis and the lines.

use super::parts::Parts;

const LOW: i16 = 100;
const HIGH: i16 = 200;
/// Mark of a candidate, and of one above [`HIGH`]. The candidates' bit is the lowest, as
/// [`Parts::find`] wants it.
const CANDIDATE: u8 = 1;
const STRONG: u8 = 2;
/// Bins of both histograms.
pub(super) const BINS: usize = 7;

/// What the edges look like.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Edges {
    /// Share of lines whose pixels / max(W, H) lie in each seventh of [0, 1); longer ones are in
    /// the last. Sum 1, or all 0.
    pub(super) lengths: [f32; BINS],
    /// Share of edge pixels whose gradient direction modulo 180 degrees lies in each seventh; 0 is
    /// a gradient to the right, angles grow clockwise (rows run down). Sum 1, or all 0.
    pub(super) angles: [f32; BINS],
    /// Edge pixels / N.
    pub(super) density: f32,
}

/// Buffers of [`edges`].
#[derive(Default)]
pub(super) struct Buffers {
    smooth: Vec<i16>,
    steep: Vec<i16>,
    dx: Vec<i16>,
    dy: Vec<i16>,
    /// With a border of zeros, one pixel wide.
    magnitude: Vec<i16>,
    marks: Vec<u8>,
    /// Pixels of each part, by the part's name, and whether one of them is strong.
    sizes: Vec<(u32, bool)>,
}

/// Measures the edges of a row-major image. `parts` is a buffer.
pub(super) fn edges(
    luma: &[u8],
    width: usize,
    height: usize,
    buffers: &mut Buffers,
    parts: &mut Parts,
) -> Edges {
    gradients(luma, width, height, buffers);
    thin(width, height, buffers);
    parts.find(&buffers.marks, width);
    let Buffers { dx, dy, marks, sizes, .. } = buffers;
    sizes.clear();
    sizes.reserve(width.div_ceil(2) * height);
    sizes.resize(parts.runs.len(), (0, false));
    for (run, &part) in parts.runs.iter().zip(&parts.part) {
        let row = usize::from(run.row) * width;
        let strong = marks[row + usize::from(run.start)..row + usize::from(run.end)]
            .iter()
            .fold(0, |all, mark| all | mark);
        let (pixels, is_edge) = &mut sizes[part as usize];
        *pixels += run.length();
        *is_edge |= strong & STRONG != 0;
    }
    let (mut lines, mut pixels) = ([0_u32; BINS], 0);
    for &(size, is_edge) in sizes.iter() {
        if is_edge {
            lines[(BINS * size as usize / width.max(height)).min(BINS - 1)] += 1;
            pixels += size;
        }
    }
    // The gradients of edge pixels move to the front of their buffers, to be sorted by angle many
    // at a time.
    let mut kept = 0;
    for (run, &part) in parts.runs.iter().zip(&parts.part) {
        if sizes[part as usize].1 {
            let row = usize::from(run.row) * width;
            let run = row + usize::from(run.start)..row + usize::from(run.end);
            let length = run.len();
            dx.copy_within(run.clone(), kept);
            dy.copy_within(run, kept);
            kept += length;
        }
    }
    let angles = angle_bins(&dx[..kept], &dy[..kept]);
    let count: u32 = lines.iter().sum();
    Edges {
        lengths: lines.map(|n| n as f32 / count.max(1) as f32),
        angles: angles.map(|n| n as f32 / pixels.max(1) as f32),
        density: pixels as f32 / luma.len().max(1) as f32,
    }
}

/// Sobel gradients, 3x3, within +-1020; the border pixels repeat outwards.
fn gradients(luma: &[u8], width: usize, height: usize, buffers: &mut Buffers) {
    let Buffers { smooth, steep, dx, dy, magnitude, .. } = buffers;
    smooth.resize(width + 2, 0);
    steep.resize(width + 2, 0);
    dx.resize(width * height, 0);
    dy.resize(width * height, 0);
    magnitude.clear();
    magnitude.resize((width + 2) * (height + 2), 0);
    let row = |y: usize| &luma[y * width..][..width];
    for y in 0..height {
        columns(row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)), smooth, steep);
        let (dx, dy) = (&mut dx[y * width..][..width], &mut dy[y * width..][..width]);
        let magnitude = &mut magnitude[(y + 1) * (width + 2) + 1..][..width];
        across(smooth, steep, dx, dy, magnitude);
    }
}

/// Down each column: the weighted sum and the difference, with the end values repeated.
fn columns(up: &[u8], here: &[u8], down: &[u8], smooth: &mut [i16], steep: &mut [i16]) {
    let n = here.len();
    let (up, down) = (&up[..n], &down[..n]);
    let (smooth, steep) = (&mut smooth[..n + 2], &mut steep[..n + 2]);
    for (i, to) in smooth[1..=n].iter_mut().enumerate() {
        *to = i16::from(up[i]) + 2 * i16::from(here[i]) + i16::from(down[i]);
    }
    for (i, to) in steep[1..=n].iter_mut().enumerate() {
        *to = i16::from(down[i]) - i16::from(up[i]);
    }
    (smooth[0], smooth[n + 1]) = (smooth[1], smooth[n]);
    (steep[0], steep[n + 1]) = (steep[1], steep[n]);
}

fn across(smooth: &[i16], steep: &[i16], dx: &mut [i16], dy: &mut [i16], magnitude: &mut [i16]) {
    let n = dx.len();
    let (dy, magnitude) = (&mut dy[..n], &mut magnitude[..n]);
    let (left, right) = (&smooth[..n], &smooth[2..][..n]);
    let (before, here, after) = (&steep[..n], &steep[1..][..n], &steep[2..][..n]);
    for i in 0..n {
        let x = right[i] - left[i];
        let y = before[i] + 2 * here[i] + after[i];
        dx[i] = x;
        dy[i] = y;
        magnitude[i] = x.abs() + y.abs();
    }
}

/// Marks the pixels above [`LOW`] that are the crest across their edge.
fn thin(width: usize, height: usize, buffers: &mut Buffers) {
    let Buffers { dx, dy, magnitude, marks, .. } = buffers;
    marks.resize(width * height, 0);
    for y in 0..height {
        let row = |y: usize| &magnitude[y * (width + 2)..][..width + 2];
        let (dx, dy) = (&dx[y * width..][..width], &dy[y * width..][..width]);
        thin_row(&mut marks[y * width..][..width], dx, dy, row(y), row(y + 1), row(y + 2));
    }
}

/// Compares each pixel with the two neighbours along its gradient, which is rounded to a multiple
/// of 45 degrees.
///
/// The border is at 22.5 degrees; OpenCV's `tan` is 13573 / 2^15. As that times a whole number is
/// never whole, comparing with the whole part is exact. A tie goes to the pixel on the left, or
/// above; on diagonals both neighbours must be lower.
#[inline(never)]
fn thin_row(marks: &mut [u8], dx: &[i16], dy: &[i16], up: &[i16], here: &[i16], down: &[i16]) {
    let n = marks.len();
    let (dx, dy) = (&dx[..n], &dy[..n]);
    let [u0, u1, u2] = [0, 1, 2].map(|shift| &up[shift..][..n]);
    let [h0, h1, h2] = [0, 1, 2].map(|shift| &here[shift..][..n]);
    let [d0, d1, d2] = [0, 1, 2].map(|shift| &down[shift..][..n]);
    for i in 0..n {
        let m = h1[i];
        let (x, y) = (dx[i].abs(), dy[i].abs());
        let tangent = ((u32::from(x as u16) * (2 * 13573)) >> 16) as i16;
        let falling = mask((dx[i] ^ dy[i]) >= 0);
        let flat = mask(y <= tangent);
        let upright = mask(y - 2 * x > tangent);
        let before = pick(flat, h0[i], pick(upright, u1[i], pick(falling, u0[i], u2[i])));
        let after = pick(flat, h2[i], pick(upright, d1[i], pick(falling, d2[i], d0[i]) + 1));
        let crest = (m > LOW) & (m > before) & (m >= after);
        marks[i] = (u8::from(crest) * CANDIDATE) | (u8::from(crest & (m > HIGH)) * STRONG);
    }
}

/// All bits set if true.
fn mask(condition: bool) -> i16 {
    -i16::from(condition)
}

/// `yes` where the mask is set, else `no`. Not an `if`: the compiler would choose between
/// addresses, one pixel at a time.
fn pick(mask: i16, yes: i16, no: i16) -> i16 {
    (yes & mask) | (no & !mask)
}

/// Counts gradients, none of them (0, 0), by the seventh of [0, 180) degrees that holds their
/// direction.
///
/// Whole gradients never lie on a border but the first, and so far from the others that 32 bits
/// tell the side.
fn angle_bins(dx: &[i16], dy: &[i16]) -> [u32; BINS] {
    /// Cotangent of 180/7 degrees times 1 to 6.
    const BORDERS: [f32; BINS - 1] =
        [2.076_521_4, 0.797_473_4, 0.228_243_47, -0.228_243_47, -0.797_473_4, -2.076_521_4];
    let mut from_bin_on = [0_u32; BINS + 1];
    from_bin_on[0] = dx.len() as u32;
    let dy = &dy[..dx.len()];
    for i in 0..dx.len() {
        // The half turn that points down; an upright edge (dy = 0) has angle 0, so it must point
        // right.
        let (x, y) = if dy[i] < 0 { (-dx[i], -dy[i]) } else { (dx[i], dy[i]) };
        let x = f32::from(if y == 0 { x.abs() } else { x });
        for (bin, cotangent) in BORDERS.iter().enumerate() {
            from_bin_on[bin + 1] += u32::from(x <= f32::from(y) * cotangent);
        }
    }
    std::array::from_fn(|bin| from_bin_on[bin] - from_bin_on[bin + 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Edges {
        let luma: Vec<u8> = (0..width * height).map(|i| value(i % width, i / width)).collect();
        edges(&luma, width, height, &mut Buffers::default(), &mut Parts::default())
    }

    #[test]
    fn one_upright_step_is_one_long_line_of_angle_zero() {
        let found = measured(40, 40, |x, _| if x < 20 { 0 } else { 200 });
        assert_eq!(found.lengths, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(found.angles, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(found.density, 40.0 / 1600.0);
    }

    #[test]
    fn weak_edges_count_only_beside_strong_ones() {
        // A step of 40 gives a magnitude of 160, one of 60 gives 240.
        assert_eq!(measured(20, 20, |x, _| if x < 10 { 0 } else { 40 }), Edges::default());
        let mixed = measured(20, 20, |x, y| if x < 10 { 0 } else { if y < 10 { 40 } else { 60 } });
        assert_eq!(mixed.density, 20.0 / 400.0, "the strong half pulls the weak half in");
    }

    #[test]
    fn angle_bins_agree_with_the_arc_tangent_for_every_gradient() {
        for dy in -1020..=1020_i16 {
            for dx in (-1020..=1020_i16).filter(|&dx| (dx, dy) != (0, 0)) {
                let degrees = f64::from(dy).atan2(f64::from(dx)).to_degrees().rem_euclid(180.0);
                // A gradient straight left counts as right.
                let expected = if dy == 0 { 0 } else { (degrees * 7.0 / 180.0) as usize };
                assert_eq!(angle_bins(&[dx], &[dy])[expected], 1, "({dx}, {dy})");
            }
        }
    }
}
