//! How bright the working image is: means, spread, perceived brightness, and the shares of too dark and too bright pixels.
//!
//! All but perceived brightness follow from the histogram of Y, exactly. The histogram also serves [`super::object`].

/// Y below this counts as under-exposed: full-range black with a little noise.
const UNDER: usize = 16;
/// Y above this counts as over-exposed: as far from white as [`UNDER`] is from black.
const OVER: usize = 239;

/// Pixels per value of Y.
pub(super) fn histogram(luma: &[u8]) -> [u32; 256] {
    // Four tables: neighbours are often equal, and adding twice to one counter in a row makes the second wait.
    let mut tables = [[0_u32; 256]; 4];
    let [a, b, c, d] = &mut tables;
    let quads = luma.chunks_exact(4);
    quads.remainder().iter().for_each(|&y| a[usize::from(y)] += 1);
    for quad in quads {
        a[usize::from(quad[0])] += 1;
        b[usize::from(quad[1])] += 1;
        c[usize::from(quad[2])] += 1;
        d[usize::from(quad[3])] += 1;
    }
    std::array::from_fn(|value| tables.iter().map(|table| table[value]).sum())
}

/// What the histogram tells.
pub(super) struct Brightness {
    /// Mean of Y, 0..=255.
    pub(super) mean: f32,
    /// sqrt(mean(Y²)), 0..=255.
    pub(super) rms: f32,
    /// Standard deviation of Y over all pixels (divided by N), 0..=127.5.
    pub(super) contrast: f32,
    /// Share of pixels with Y < 16.
    pub(super) under_exposed: f32,
    /// Share of pixels with Y > 239.
    pub(super) over_exposed: f32,
}

/// Brightness of an image with this histogram, which counts at least one pixel.
pub(super) fn brightness(histogram: &[u32; 256]) -> Brightness {
    let (mut pixels, mut sum, mut squares) = (0_u64, 0_u64, 0_u64);
    for (value, &count) in (0_u64..).zip(histogram) {
        let count = u64::from(count);
        pixels += count;
        sum += count * value;
        squares += count * value * value;
    }
    let n = pixels.max(1) as f64;
    let share = |counts: &[u32]| (f64::from(counts.iter().sum::<u32>()) / n) as f32;
    // N·Σy² - (Σy)² in whole numbers: no cancellation, never below 0.
    let spread = (pixels * squares - sum * sum) as f64;
    Brightness {
        mean: (sum as f64 / n) as f32,
        rms: (squares as f64 / n).sqrt() as f32,
        contrast: (spread.sqrt() / n) as f32,
        under_exposed: share(&histogram[..UNDER]),
        over_exposed: share(&histogram[OVER + 1..]),
    }
}

/// Mean and root mean square of `p = sqrt(.241 R² + .691 G² + .068 B²)`, both 0..=255. Weights: Finley's HSP colour model, 2006.
pub(super) fn perceived(rgb: &[Vec<u8>; 3], width: usize) -> (f32, f32) {
    let [r, g, b] = rgb;
    let (mut sum, mut squares) = (0.0_f64, 0.0_f64);
    for ((r, g), b) in r.chunks(width).zip(g.chunks(width)).zip(b.chunks(width)) {
        let (row_sum, row_squares) = perceived_row(r, g, b);
        sum += f64::from(row_sum);
        squares += f64::from(row_squares);
    }
    let n = r.len().max(1) as f64;
    // Rounding of 32-bit sums may pass the bound by a hair.
    ((sum / n).min(255.0) as f32, (squares / n).sqrt().min(255.0) as f32)
}

fn perceived_row(r: &[u8], g: &[u8], b: &[u8]) -> (f32, f32) {
    const LANES: usize = 8;
    let (mut sums, mut squares) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let square = |r: u8, g: u8, b: u8| {
        let (r, g, b) = (f32::from(r), f32::from(g), f32::from(b));
        0.241 * r * r + 0.691 * g * g + 0.068 * b * b
    };
    let (rs, gs, bs) = (r.chunks_exact(LANES), g.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = rs.remainder().iter().zip(gs.remainder()).zip(bs.remainder());
    for (((&r, &g), &b), lane) in rest.zip(0..) {
        let p2 = square(r, g, b);
        let lane: usize = lane;
        squares[lane] += p2;
        sums[lane] += p2.sqrt();
    }
    for ((r, g), b) in rs.zip(gs).zip(bs) {
        for lane in 0..LANES {
            let p2 = square(r[lane], g[lane], b[lane]);
            squares[lane] += p2;
            sums[lane] += p2.sqrt();
        }
    }
    (sums.iter().sum(), squares.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_black_half_white_has_the_largest_contrast() {
        let mut luma = vec![0; 50];
        luma.extend([255; 50]);
        let b = brightness(&histogram(&luma));
        assert_eq!((b.mean, b.contrast, b.under_exposed, b.over_exposed), (127.5, 127.5, 0.5, 0.5));
        assert!((b.rms - 180.312_2).abs() < 1e-3);
    }

    #[test]
    fn exposure_borders_belong_to_the_middle() {
        let b = brightness(&histogram(&[15, 16, 239, 240]));
        assert_eq!((b.under_exposed, b.over_exposed), (0.25, 0.25));
    }

    #[test]
    fn perceived_brightness_of_grey_is_its_value() {
        let plane = vec![200_u8; 77];
        let (mean, rms) = perceived(&[plane.clone(), plane.clone(), plane], 11);
        assert!((mean - 200.0).abs() < 1e-3 && (rms - 200.0).abs() < 1e-3, "{mean} {rms}");
    }
}
