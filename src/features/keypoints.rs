//! Counts corners: FAST-9 on Y, threshold 20, with non-maximum suppression (Rosten and Drummond,
//! ECCV 2006).
//!
//! A pixel is a corner if nine neighbours in a row on a circle of 16 are all brighter, or all
//! darker, by more than the threshold. Its score is the largest such threshold; of touching corners
//! only one with the strictly largest score counts. Pixels closer than 3 to the border are never
//! corners. Same count as OpenCV's `FastFeatureDetector(20, true, TYPE_9_16)`.

const THRESHOLD: u8 = 20;

/// The circle, as (column, row) offsets, in order round.
const CIRCLE: [(isize, isize); 16] = [
    (0, 3),
    (1, 3),
    (2, 2),
    (3, 1),
    (3, 0),
    (3, -1),
    (2, -2),
    (1, -3),
    (0, -3),
    (-1, -3),
    (-2, -2),
    (-3, -1),
    (-3, 0),
    (-3, 1),
    (-2, 2),
    (-1, 3),
];

/// Corners in a row-major image. `scores` is a buffer.
pub(super) fn count(luma: &[u8], width: usize, height: usize, scores: &mut Vec<u8>) -> u32 {
    if width < 7 || height < 7 {
        return 0;
    }
    scores.clear();
    scores.resize(width * height, 0);
    // One stretch from the first inner pixel to the last, over the row ends, whose scores mean
    // nothing and are wiped after.
    let (first, last) = (3 * width + 3, (height - 4) * width + width - 4);
    score(&mut scores[first..=last], luma, first, width);
    for row in scores.chunks_exact_mut(width) {
        row[..3].fill(0);
        row[width - 3..].fill(0);
    }
    peaks(&scores[first - width - 1..=last + width + 1], width)
}

/// Scores of the pixels from `first` on; 0 where there is no corner.
///
/// The brightest threshold is the best, over the 16 arcs of nine, of the least value on the arc,
/// less the centre; the dark side likewise. Arcs are built in pairs that share eight pixels. All in
/// bytes, so 16 pixels go at once.
#[inline(never)]
fn score(out: &mut [u8], luma: &[u8], first: usize, width: usize) {
    let n = out.len();
    let centre = &luma[first..][..n];
    let circle: [&[u8]; 16] =
        CIRCLE.map(|(dx, dy)| &luma[first.wrapping_add_signed(dy * width as isize + dx)..][..n]);
    for i in 0..n {
        let p: [u8; 16] = std::array::from_fn(|k| circle[k][i]);
        let at = |k: usize| p[k % 16];
        // Least and greatest of 2, 4, 8 in a row, from every odd position on.
        let low2: [u8; 8] = std::array::from_fn(|k| at(2 * k + 1).min(at(2 * k + 2)));
        let high2: [u8; 8] = std::array::from_fn(|k| at(2 * k + 1).max(at(2 * k + 2)));
        let low4: [u8; 8] = std::array::from_fn(|k| low2[k].min(low2[(k + 1) % 8]));
        let high4: [u8; 8] = std::array::from_fn(|k| high2[k].max(high2[(k + 1) % 8]));
        let mut best_low = 0;
        let mut best_high = 255;
        for k in 0..8 {
            let low8 = low4[k].min(low4[(k + 2) % 8]);
            let high8 = high4[k].max(high4[(k + 2) % 8]);
            // The ninth pixel is the one before or the one after the eight.
            let (before, after) = (at(2 * k), at(2 * k + 9));
            best_low = best_low.max(low8.min(before.max(after)));
            best_high = best_high.min(high8.max(before.min(after)));
        }
        let score = best_low.saturating_sub(centre[i]).max(centre[i].saturating_sub(best_high));
        out[i] = if score > THRESHOLD { score } else { 0 };
    }
}

/// Pixels above all eight neighbours; `scores` reaches one row and one pixel beyond them on both
/// sides. They never touch each other, so there are 6400 at most.
fn peaks(scores: &[u8], width: usize) -> u32 {
    let n = scores.len() - 2 * (width + 1);
    let at = |row: usize, column: usize| &scores[row * width + column..][..n];
    let (a0, a1, a2) = (at(0, 0), at(0, 1), at(0, 2));
    let (r0, r1, r2) = (at(1, 0), at(1, 1), at(1, 2));
    let (b0, b1, b2) = (at(2, 0), at(2, 1), at(2, 2));
    let mut count = 0_u16;
    for i in 0..n {
        let around =
            a0[i].max(a1[i]).max(a2[i]).max(r0[i]).max(r2[i]).max(b0[i]).max(b1[i]).max(b2[i]);
        count += u16::from(r1[i] > around);
    }
    u32::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corners(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> u32 {
        let luma: Vec<u8> = (0..width * height).map(|i| value(i % width, i / width)).collect();
        count(&luma, width, height, &mut Vec::new())
    }

    #[test]
    fn dots_and_the_strongest_of_touching_corners_count_once() {
        assert_eq!(corners(9, 9, |x, y| if (x, y) == (4, 4) { 121 } else { 100 }), 1);
        assert_eq!(corners(9, 9, |x, y| if (x, y) == (4, 4) { 79 } else { 100 }), 1);
        let pair = |left: u8, right: u8| {
            corners(12, 9, |x, y| {
                [left, right, 0][if y == 4 { x.wrapping_sub(5).min(2) } else { 2 }]
            })
        };
        assert_eq!(pair(200, 180), 1);
        assert_eq!(pair(200, 200), 0, "equal neighbours silence each other");
    }

    #[test]
    fn faint_borders_and_tiny_images_have_none() {
        assert_eq!(
            corners(9, 9, |x, y| if (x, y) == (4, 4) { 120 } else { 100 }),
            0,
            "20 is not above 20"
        );
        assert_eq!(
            corners(9, 9, |x, y| if (x, y) == (2, 4) { 255 } else { 0 }),
            0,
            "too near the border"
        );
        assert_eq!(corners(6, 40, |x, y| if x * y % 3 == 0 { 255 } else { 0 }), 0);
        assert_eq!(
            corners(40, 40, |x, _| if x < 20 { 255 } else { 0 }),
            0,
            "an edge is not a corner"
        );
    }
}
