//! The glimpse of a frame, and how much it differs from the frame before.
//!
//! Both look at Y of the working image only. Not for deciding whether a scene has changed: that is
//! [`crate::policy`]'s.

/// Columns of the [`Glimpse`].
pub const GLIMPSE_WIDTH: usize = 16;
/// Rows of the [`Glimpse`].
pub const GLIMPSE_HEIGHT: usize = 12;

/// A tiny luma picture, block means of the working image, for telling whether the scene has changed
/// since an earlier answer. Row-major, 0..=255. A side with fewer pixels than blocks gives each
/// block its nearest pixel.
pub type Glimpse = [u8; GLIMPSE_WIDTH * GLIMPSE_HEIGHT];

/// Pixels of block `index` along a side of `length` pixels cut into `blocks`: borders by whole
/// division.
fn block(index: usize, length: usize, blocks: usize) -> (usize, usize) {
    if length < blocks {
        let nearest = (2 * index + 1) * length / (2 * blocks);
        (nearest, nearest + 1)
    } else {
        (index * length / blocks, (index + 1) * length / blocks)
    }
}

/// Block means of `luma`, rounded to nearest. `columns` is a buffer.
pub(super) fn glimpse(luma: &[u8], width: usize, height: usize, columns: &mut Vec<u32>) -> Glimpse {
    let mut means = [0; GLIMPSE_WIDTH * GLIMPSE_HEIGHT];
    columns.resize(width, 0);
    for (index, means) in means.chunks_exact_mut(GLIMPSE_WIDTH).enumerate() {
        let (top, bottom) = block(index, height, GLIMPSE_HEIGHT);
        columns.fill(0);
        for row in luma[top * width..bottom * width].chunks_exact(width) {
            columns.iter_mut().zip(row).for_each(|(sum, &y)| *sum += u32::from(y));
        }
        for (index, mean) in means.iter_mut().enumerate() {
            let (left, right) = block(index, width, GLIMPSE_WIDTH);
            let pixels = ((bottom - top) * (right - left)) as u32;
            *mean = ((columns[left..right].iter().sum::<u32>() + pixels / 2) / pixels) as u8;
        }
    }
    means
}

/// Mean of |Y - earlier Y| / 255 over all pixels, 0..=1. Both images have the same size.
pub(super) fn change(luma: &[u8], earlier: &[u8]) -> f32 {
    let sum: u64 = luma
        .chunks(4096)
        .zip(earlier.chunks(4096))
        .map(|(now, then)| {
            u64::from(now.iter().zip(then).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>())
        })
        .sum();
    (sum as f64 / (255.0 * luma.len().max(1) as f64)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_pixel_once_or_show_the_nearest() {
        for length in GLIMPSE_WIDTH..60 {
            let borders: Vec<_> =
                (0..GLIMPSE_WIDTH).map(|i| block(i, length, GLIMPSE_WIDTH)).collect();
            assert_eq!((borders[0].0, borders[GLIMPSE_WIDTH - 1].1), (0, length));
            assert!(
                borders.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].0 < pair[0].1),
                "{length}"
            );
        }
        let of_three: Vec<_> = (0..GLIMPSE_HEIGHT).map(|i| block(i, 3, GLIMPSE_HEIGHT).0).collect();
        assert_eq!(of_three, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn a_glimpse_is_the_picture_made_small() {
        let luma: Vec<u8> = (0..32 * 24).map(|i| if i % 32 < 16 { 10 } else { 201 }).collect();
        let means = glimpse(&luma, 32, 24, &mut Vec::new());
        assert!(means.chunks(16).all(|row| row[..8] == [10; 8] && row[8..] == [201; 8]));
        assert_eq!(glimpse(&[7], 1, 1, &mut Vec::new()), [7; 192]);
    }

    #[test]
    fn change_is_the_mean_difference() {
        assert_eq!(change(&[0, 255, 10, 10], &[255, 0, 10, 10]), 0.5);
        assert_eq!(change(&[1; 9000], &[1; 9000]), 0.0);
    }
}
