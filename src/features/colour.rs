//! Which colours the working image has: a histogram of hue over the pixels that have one.
//!
//! Not for brightness. A pixel has a hue if its saturation `(max - min) / max` is 0.1 or more.

/// Bins of the histogram, each 360/7 degrees wide, the first from 0 (red).
pub(super) const BINS: usize = 7;

/// Share of all pixels in each bin of hue; pixels without hue are in none, so the sum is 0..=1.
pub(super) fn hue(rgb: &[Vec<u8>; 3], width: usize) -> [f32; BINS] {
    let [r, g, b] = rgb;
    let mut from_bin_on = [0_u32; BINS];
    for ((r, g), b) in r.chunks(width).zip(g.chunks(width)).zip(b.chunks(width)) {
        for (total, row) in from_bin_on.iter_mut().zip(hue_row(r, g, b)) {
            *total += u32::from(row);
        }
    }
    let n = r.len().max(1) as f32;
    std::array::from_fn(|bin| {
        let above = from_bin_on.get(bin + 1).copied().unwrap_or(0);
        (from_bin_on[bin] - above) as f32 / n
    })
}

/// Pixels with a hue in bin `i` or above, for each `i`. Whole numbers of 16 bits, no division: with
/// `d = max - min` the hue is `60 (sextant + n / d)` degrees, so it reaches bin `k` where
/// `7 (sextant d + n) >= 6 k d`; both sides stay below 2^14. Rows are 16 384 pixels at most, so the
/// counts fit.
fn hue_row(r: &[u8], g: &[u8], b: &[u8]) -> [u16; BINS] {
    let n = r.len();
    let (g, b) = (&g[..n], &b[..n]);
    let mut counts = [0_u16; BINS];
    for i in 0..n {
        let (r, g, b) = (i16::from(r[i]), i16::from(g[i]), i16::from(b[i]));
        let max = r.max(g).max(b);
        let d = max - r.min(g).min(b);
        let red = g - b + if g < b { 6 * d } else { 0 };
        let green = 2 * d + b - r;
        let blue = 4 * d + r - g;
        let scaled = 7 * if max == r {
            red
        } else if max == g {
            green
        } else {
            blue
        };
        let coloured = (10 * d >= max) & (d > 0);
        for (bin, count) in counts.iter_mut().enumerate() {
            *count += u16::from(coloured & (scaled >= 6 * bin as i16 * d));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bin_of(r: u8, g: u8, b: u8) -> Option<usize> {
        hue(&[vec![r], vec![g], vec![b]], 1).iter().position(|&share| share == 1.0)
    }

    #[test]
    fn every_hue_falls_where_floating_point_puts_it() {
        for r in (0..=255).step_by(5) {
            for g in (0..=255).step_by(3) {
                for b in (0..=255).step_by(7) {
                    let (rf, gf, bf) = (f64::from(r), f64::from(g), f64::from(b));
                    let (max, min) = (rf.max(gf).max(bf), rf.min(gf).min(bf));
                    let d = max - min;
                    let sextants = if max == rf {
                        ((gf - bf) / d).rem_euclid(6.0)
                    } else if max == gf {
                        2.0 + (bf - rf) / d
                    } else {
                        4.0 + (rf - gf) / d
                    };
                    let expected =
                        (d > 0.0 && d / max >= 0.1).then(|| (sextants * 7.0 / 6.0 + 1e-9) as usize);
                    assert_eq!(bin_of(r, g, b), expected, "rgb {r} {g} {b}");
                }
            }
        }
    }

    #[test]
    fn pale_pixels_have_no_hue() {
        assert_eq!(bin_of(200, 181, 200), None, "saturation 0.095");
        assert_eq!(bin_of(200, 180, 200), Some(5), "saturation 0.1, magenta, 300 degrees");
        assert_eq!(bin_of(0, 0, 0), None);
    }
}
