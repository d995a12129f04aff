//! How bright the working image is: means, spread, perceived brightness, and the shares of too dark
//! and too bright pixels.
//!
//! All but perceived brightness follow from the histogram of Y, exactly. The histogram also serves
//! [`super::object`].

/// Y below this counts as under-exposed: full-range black with a little noise.
const UNDER: usize = 16;
/// Y above this counts as over-exposed: as far from white as [`UNDER`] is from black.
const OVER: usize = 239;

/// Pixels per value of Y.
pub(super) fn histogram(luma: &[u8]) -> [u32; 256] {
    // Four tables: neighbours are often equal, and adding twice to one counter in a row makes the
    // second wait.
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

/// Pixels whose roots, in units of 2^-15, a 32-bit sum can hold.
const BLOCK: usize = 512;

/// Mean and root mean square of `p = sqrt(.241 R² + .691 G² + .068 B²)`, both 0..=255. Weights:
/// Finley's HSP colour model, 2006.
pub(super) fn perceived(rgb: &[Vec<u8>; 3]) -> (f32, f32) {
    let [r, g, b] = rgb;
    let (mut roots, mut squares) = (0_u64, [0_u64; 3]);
    for ((r, g), b) in r.chunks(BLOCK).zip(g.chunks(BLOCK)).zip(b.chunks(BLOCK)) {
        let (block_roots, block_squares) = perceived_block(r, g, b);
        roots += u64::from(block_roots);
        squares.iter_mut().zip(block_squares).for_each(|(sum, block)| *sum += u64::from(block));
    }
    let n = r.len().max(1) as f64;
    let [r2, g2, b2] = squares.map(|sum| sum as f64 / n);
    let rms = (0.241 * r2 + 0.691 * g2 + 0.068 * b2).sqrt();
    // The weights add up to 1 but for rounding.
    ((roots as f64 / (32_768.0 * n)).min(255.0) as f32, rms.min(255.0) as f32)
}

/// Sums of p, in units of 2^-15, and of R², G², B².
fn perceived_block(r: &[u8], g: &[u8], b: &[u8]) -> (u32, [u32; 3]) {
    let n = r.len();
    let (g, b) = (&g[..n], &b[..n]);
    let (mut roots, mut r_sum, mut g_sum, mut b_sum) = (0_u32, 0_u32, 0_u32, 0_u32);
    for i in 0..n {
        let [r2, g2, b2] = [r[i], g[i], b[i]].map(|v| i32::from(v) * i32::from(v));
        r_sum += r2 as u32;
        g_sum += g2 as u32;
        b_sum += b2 as u32;
        let root = (0.241 * r2 as f32 + 0.691 * g2 as f32 + 0.068 * b2 as f32).sqrt();
        // A float from 256 to 512 counts in 2^-15; whole numbers may be summed in any order, so the
        // compiler can vectorise.
        roots += (root + 256.0).to_bits() - 256.0_f32.to_bits();
    }
    (roots, [r_sum, g_sum, b_sum])
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
        let (mean, rms) = perceived(&[plane.clone(), plane.clone(), plane]);
        assert!((mean - 200.0).abs() < 1e-3 && (rms - 200.0).abs() < 1e-3, "{mean} {rms}");
    }
}
