//! Edges of the working image: Canny's edge pixels, how long their connected lines are, and which way they lie.
//!
//! Canny (PAMI 1986) on Y with thresholds 100 and 200, 3x3 Sobel, |dx| + |dy| as magnitude; pixel for pixel what OpenCV's
//! `Canny(Y, 100, 200)` marks. Thin pixels above the low threshold are candidates; a connected part of candidates is an edge
//! if one of them passes the high threshold. That one labelling gives both the hysteresis and the lines.

use super::parts::Parts;

const LOW: i16 = 100;
const HIGH: i16 = 200;
/// Mark of a candidate, and of one above [`HIGH`]. The candidates' bit is the lowest, as [`Parts::find`] wants it.
const CANDIDATE: u8 = 1;
const STRONG: u8 = 2;
/// Bins of both histograms.
pub(super) const BINS: usize = 7;

/// What the edges look like.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Edges {
    /// Share of lines whose pixels / max(W, H) lie in each seventh of [0, 1); longer ones are in the last. Sum 1, or all 0.
    pub(super) lengths: [f32; BINS],
    /// Share of edge pixels whose gradient direction modulo 180 degrees lies in each seventh; 0 is a gradient to the right,
    /// angles grow clockwise (rows run down). Sum 1, or all 0.
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
pub(super) fn edges(luma: &[u8], width: usize, height: usize, buffers: &mut Buffers, parts: &mut Parts) -> Edges {
    gradients(luma, width, height, buffers);
    thin(width, height, buffers);
    parts.find(&buffers.marks, width);
    let Buffers { dx, dy, marks, sizes, .. } = buffers;
    sizes.clear();
    sizes.reserve(width.div_ceil(2) * height);
    sizes.resize(parts.runs.len(), (0, false));
    for (run, &part) in parts.runs.iter().zip(&parts.part) {
        let row = usize::from(run.row) * width;
        let strong = marks[row + usize::from(run.start)..row + usize::from(run.end)].iter().fold(0, |all, mark| all | mark);
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
    let mut angles = [0_u32; BINS];
    for (run, &part) in parts.runs.iter().zip(&parts.part) {
        if sizes[part as usize].1 {
            let row = usize::from(run.row) * width;
            for index in row + usize::from(run.start)..row + usize::from(run.end) {
                angles[angle_bin(dx[index], dy[index])] += 1;
            }
        }
    }
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

/// Compares each pixel with the two neighbours along its gradient, which is rounded to a multiple of 45 degrees.
///
/// The border is at 22.5 degrees; OpenCV's `tan` is 13573 / 2^15. As that times a whole number is never whole, comparing with
/// the whole part is exact. A tie goes to the pixel on the left, or above; on diagonals both neighbours must be lower.
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
        let flat = y <= tangent;
        let upright = y - 2 * x > tangent;
        let falling = (dx[i] ^ dy[i]) >= 0;
        let (corner, opposite) = if falling { (u0[i], d2[i]) } else { (u2[i], d0[i]) };
        let (before, after) = if upright { (u1[i], d1[i]) } else { (corner, opposite + 1) };
        let (before, after) = if flat { (h0[i], h2[i]) } else { (before, after) };
        let crest = (m > LOW) & (m > before) & (m >= after);
        marks[i] = (u8::from(crest) * CANDIDATE) | (u8::from(crest & (m > HIGH)) * STRONG);
    }
}

/// The seventh of [0, 180) degrees that holds the direction of (dx, dy), not (0, 0).
fn angle_bin(dx: i16, dy: i16) -> usize {
    /// Cosine and sine of 180/7 degrees times 1 to 6.
    const BORDERS: [(f64, f64); BINS - 1] = [
        (0.900_968_867_902_419_1, 0.433_883_739_117_558_1),
        (0.623_489_801_858_733_6, 0.781_831_482_468_029_8),
        (0.222_520_933_956_314_4, 0.974_927_912_181_823_6),
        (-0.222_520_933_956_314_4, 0.974_927_912_181_823_6),
        (-0.623_489_801_858_733_6, 0.781_831_482_468_029_8),
        (-0.900_968_867_902_419_1, 0.433_883_739_117_558_1),
    ];
    let (x, y) = (f64::from(dx), f64::from(dy));
    let (x, y) = if dy < 0 { (-x, -y) } else { (x, y) };
    if dy == 0 {
        return 0;
    }
    // Left of a border's ray, or on it, means at least its angle.
    BORDERS.iter().map(|(cos, sin)| usize::from(cos * y >= sin * x)).sum()
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
                // 180 itself, from rounding a tiny negative angle or from -dx, is 0.
                let expected = if dy == 0 { 0 } else { (degrees * 7.0 / 180.0) as usize };
                assert_eq!(angle_bin(dx, dy), expected, "({dx}, {dy})");
            }
        }
    }
}
