//! How sharp the working image is: the variance of the Laplacian of Y.
//!
//! Low for blurred or flat pictures. The 4-neighbour Laplacian
//! `up + down + left + right - 4 centre`; beyond the border lies the mirror image without its edge
//! row (OpenCV: `Laplacian(ksize=1)`, `BORDER_REFLECT_101`).

/// Pixels whose squares (each 1020² at most) a 32-bit sum can hold.
const BLOCK: usize = 1024;

/// Variance over all pixels, 0..=1020².
pub(super) fn sharpness(luma: &[u8], width: usize, height: usize) -> f32 {
    let row = |y: usize| &luma[y * width..][..width];
    // A side of one pixel mirrors into itself.
    let (mut sum, mut squares) = (0_i64, 0_i64);
    for y in 0..height {
        let up = row(if y > 0 { y - 1 } else { 1.min(height - 1) });
        let down = row(if y + 1 < height { y + 1 } else { height.saturating_sub(2) });
        let here = row(y);
        let mut add = |l: i32, l2: i32| {
            sum += i64::from(l);
            squares += i64::from(l2);
        };
        let mut column = |x: usize, left: usize, right: usize| {
            let around = i32::from(up[x])
                + i32::from(down[x])
                + i32::from(here[left])
                + i32::from(here[right]);
            let l = around - 4 * i32::from(here[x]);
            add(l, l * l);
        };
        column(0, 1.min(width - 1), 1.min(width - 1));
        if width > 1 {
            column(width - 1, width - 2, width - 2);
        }
        let mut start = 1;
        while start + 1 < width {
            let n = BLOCK.min(width - 1 - start);
            let (l, l2) =
                inner(&up[start..][..n], &down[start..][..n], &here[start - 1..][..n + 2]);
            add(l, l2);
            start += n;
        }
    }
    let n = luma.len().max(1) as f64;
    let mean = sum as f64 / n;
    (squares as f64 / n - mean * mean).max(0.0) as f32
}

fn inner(up: &[u8], down: &[u8], here: &[u8]) -> (i32, i32) {
    let n = up.len();
    let (down, left, centre, right) = (&down[..n], &here[..n], &here[1..][..n], &here[2..][..n]);
    let (mut sum, mut squares) = (0_i32, 0_i32);
    for i in 0..n {
        let around =
            i16::from(up[i]) + i16::from(down[i]) + i16::from(left[i]) + i16::from(right[i]);
        let l = i32::from(around - 4 * i16::from(centre[i]));
        sum += l;
        squares += l * l;
    }
    (sum, squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_is_zero_and_a_checkerboard_is_the_sharpest() {
        assert_eq!(sharpness(&[77; 12], 4, 3), 0.0);
        assert_eq!(sharpness(&[9], 1, 1), 0.0);
        let board: Vec<u8> =
            (0..64).map(|i| if (i % 8 + i / 8) % 2 == 0 { 255 } else { 0 }).collect();
        assert_eq!(sharpness(&board, 8, 8), 1_040_400.0);
    }

    #[test]
    fn the_border_mirrors_without_its_edge() {
        // Row 0 1 4, one pixel high: 1+1-0, 0+4-2, 1+1-8 (up and down cancel the centre twice).
        let laplacian = [2.0_f32, 2.0, -6.0];
        let mean = laplacian.iter().sum::<f32>() / 3.0;
        let expected = laplacian.iter().map(|l| (l - mean) * (l - mean)).sum::<f32>() / 3.0;
        assert!((sharpness(&[0, 1, 4], 3, 1) - expected).abs() < 1e-4);
    }
}
