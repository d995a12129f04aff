//! The main object of the working image, found without knowing what it is: its fullness and its
//! shape.
//!
//! Otsu's threshold (1979) cuts Y in two; the side with fewer pixels on the image's border is the
//! foreground (the bright side when equal); its largest 8-connected part is the object (the first
//! in reading order when equal). With no part above 1 % of the image, the whole image is the
//! object. A background model may do better on a stream, under another schema.

use super::parts::Parts;

/// Shape of the main object.
#[derive(Debug, PartialEq)]
pub(super) struct Object {
    /// Pixels / length of the outer contour / max(W, H): 0..=0.5, about 0.25 for a large square. 0
    /// for a single pixel, whose contour has no length.
    pub(super) area_by_perimeter: f32,
    /// Width / height of the bounding box, clipped to 0.1..=10.
    pub(super) aspect_ratio: f32,
}

/// Buffers of [`main_object`].
#[derive(Default)]
pub(super) struct Buffers {
    /// 255 inside, 0 outside, with a border of zeros one pixel wide.
    inside: Vec<u8>,
    /// The same without border.
    mask: Vec<u8>,
    /// For each pixel one bit per neighbour inside, in the order of [`trace`]. With border.
    neighbours: Vec<u8>,
    boxes: Vec<Extent>,
}

/// What one part covers.
#[derive(Clone, Copy, Default)]
struct Extent {
    pixels: u32,
    left: u16,
    right: u16,
    top: u16,
    bottom: u16,
}

/// Otsu's threshold: values above it are the bright class. 0 if all pixels are equal. Computed as
/// OpenCV does.
fn otsu(histogram: &[u32; 256]) -> u8 {
    let total: f64 = histogram.iter().map(|&n| f64::from(n)).sum();
    let scale = 1.0 / total.max(1.0);
    let mean =
        (0..256).map(|value| f64::from(value) * f64::from(histogram[value as usize])).sum::<f64>()
            * scale;
    let tiny = f64::from(f32::EPSILON);
    let (mut mean1, mut share1, mut best, mut threshold) = (0.0, 0.0, 0.0, 0);
    for (value, &count) in (0_u8..=255).zip(histogram) {
        let share = f64::from(count) * scale;
        mean1 *= share1;
        share1 += share;
        let share2 = 1.0 - share1;
        if share1.min(share2) < tiny || share1.max(share2) > 1.0 - tiny {
            continue;
        }
        mean1 = (mean1 + f64::from(value) * share) / share1;
        let mean2 = (mean - share1 * mean1) / share2;
        let between = share1 * share2 * (mean1 - mean2) * (mean1 - mean2);
        if between > best {
            (best, threshold) = (between, value);
        }
    }
    threshold
}

/// Finds and measures the object. `histogram` is that of `luma`; `parts` is a buffer.
pub(super) fn main_object(
    luma: &[u8],
    width: usize,
    height: usize,
    histogram: &[u32; 256],
    buffers: &mut Buffers,
    parts: &mut Parts,
) -> Object {
    let threshold = otsu(histogram);
    let bright_is_foreground =
        2 * bright_border(luma, width, height, threshold) <= border_pixels(width, height);
    let invert = if bright_is_foreground { 0 } else { 255 };
    // All buffers now, so that memory is settled by the size of the image and not by what it shows.
    buffers.mask.resize(width * height, 0);
    buffers.inside.resize((width + 2) * (height + 2), 0);
    buffers.neighbours.resize((width + 2) * (height + 2), 0);
    let bright = |y: u8| if y > threshold { 255 } else { 0 };
    buffers.mask.iter_mut().zip(luma).for_each(|(to, &y)| *to = bright(y) ^ invert);
    parts.find(&buffers.mask, width);
    match largest(parts, buffers, width.div_ceil(2) * height) {
        Some((first, extent)) if u64::from(extent.pixels) * 100 > luma.len() as u64 => {
            let run = parts.runs[first];
            let perimeter =
                trace(buffers, width, height, usize::from(run.start), usize::from(run.row));
            let (w, h) = (extent.right - extent.left, extent.bottom - extent.top);
            shape(
                extent.pixels as usize,
                perimeter,
                usize::from(w),
                usize::from(h),
                width.max(height),
            )
        }
        _ => shape(
            width * height,
            2.0 * ((width - 1) + (height - 1)) as f64,
            width,
            height,
            width.max(height),
        ),
    }
}

fn shape(pixels: usize, perimeter: f64, width: usize, height: usize, side: usize) -> Object {
    Object {
        area_by_perimeter: if perimeter > 0.0 {
            (pixels as f64 / perimeter / side as f64) as f32
        } else {
            0.0
        },
        aspect_ratio: (width as f32 / height as f32).clamp(0.1, 10.0),
    }
}

fn border_pixels(width: usize, height: usize) -> usize {
    width * height - width.saturating_sub(2) * height.saturating_sub(2)
}

/// Pixels on the image's border that are above `threshold`, each counted once.
fn bright_border(luma: &[u8], width: usize, height: usize, threshold: u8) -> usize {
    luma.chunks_exact(width)
        .enumerate()
        .map(|(y, row)| match row {
            [first, .., last] if y > 0 && y + 1 < height => {
                usize::from(*first > threshold) + usize::from(*last > threshold)
            }
            _ => row.iter().filter(|&&y| y > threshold).count(),
        })
        .sum()
}

/// The largest part: index of its first run, and its extent.
fn largest(parts: &Parts, buffers: &mut Buffers, most: usize) -> Option<(usize, Extent)> {
    let boxes = &mut buffers.boxes;
    boxes.clear();
    boxes.reserve(most);
    boxes.resize(parts.runs.len(), Extent::default());
    for (run, &part) in parts.runs.iter().zip(&parts.part) {
        let extent = &mut boxes[part as usize];
        if extent.pixels == 0 {
            *extent = Extent {
                pixels: 0,
                left: run.start,
                right: run.end,
                top: run.row,
                bottom: run.row,
            };
        }
        extent.pixels += run.length();
        extent.left = extent.left.min(run.start);
        extent.right = extent.right.max(run.end);
        extent.bottom = run.row + 1;
    }
    let best = boxes.iter().map(|extent| extent.pixels).max()?;
    let first = boxes.iter().position(|extent| extent.pixels == best)?;
    Some((first, boxes[first]))
}

/// Length of the outer contour through pixel centres, 1 or √2 a step, closed (Suzuki and Abe 1985;
/// OpenCV: `findContours` with `RETR_EXTERNAL` and `CHAIN_APPROX_NONE`, then `arcLength`). Starts
/// at the part's first pixel in reading order.
fn trace(buffers: &mut Buffers, width: usize, height: usize, x: usize, y: usize) -> f64 {
    let stride = width + 2;
    look_around(buffers, width, height);
    let neighbours = &buffers.neighbours;
    // Directions counter-clockwise from the right; one further round so that an index needs no
    // wrapping.
    let steps: [isize; 8] = {
        let s = stride as isize;
        [1, 1 - s, -s, -1 - s, -1, s - 1, s, s + 1]
    };
    let start = (y + 1) * stride + x + 1;
    let around = u32::from(neighbours[start]) * 0x0101;
    if around == 0 {
        return 0.0;
    }
    // Clockwise from the left, where nothing can be: the last pixel of the contour.
    let last_direction = (1..=8)
        .map(|turn| (12 - turn) & 7)
        .find(|direction| around >> direction & 1 == 1)
        .unwrap_or(0);
    let last = start.wrapping_add_signed(steps[last_direction]);
    let (mut at, mut direction) = (start, last_direction);
    let (mut straight, mut diagonal) = (0_u32, 0_u32);
    loop {
        // Counter-clockwise from where we came from, the first pixel inside.
        let ring = u32::from(neighbours[at]) * 0x0101;
        let from = (direction + 1) & 7;
        direction = (from + (ring >> from).trailing_zeros() as usize) & 7;
        let next = at.wrapping_add_signed(steps[direction]);
        let oblique = (direction & 1) as u32;
        diagonal += oblique;
        straight += 1 - oblique;
        if next == start && at == last {
            return f64::from(straight) + f64::from(diagonal) * std::f64::consts::SQRT_2;
        }
        at = next;
        direction = (direction + 4) & 7;
    }
}

/// Fills `neighbours`.
fn look_around(buffers: &mut Buffers, width: usize, height: usize) {
    let Buffers { inside, mask, neighbours, .. } = buffers;
    let stride = width + 2;
    inside.clear();
    inside.resize(stride * (height + 2), 0);
    for (y, row) in mask.chunks_exact(width).enumerate() {
        inside[(y + 1) * stride + 1..][..width].copy_from_slice(row);
    }
    for y in 0..height {
        let row = |down: usize| &inside[(y + down) * stride..][..stride];
        around_row(&mut neighbours[(y + 1) * stride + 1..][..width], row(0), row(1), row(2));
    }
}

fn around_row(out: &mut [u8], up: &[u8], here: &[u8], down: &[u8]) {
    let n = out.len();
    let [u0, u1, u2] = [0, 1, 2].map(|shift| &up[shift..][..n]);
    let (h0, h2) = (&here[..n], &here[2..][..n]);
    let [d0, d1, d2] = [0, 1, 2].map(|shift| &down[shift..][..n]);
    for i in 0..n {
        out[i] = (h2[i] & 1)
            | (u2[i] & 2)
            | (u1[i] & 4)
            | (u0[i] & 8)
            | (h0[i] & 16)
            | (d0[i] & 32)
            | (d1[i] & 64)
            | (d2[i] & 128);
    }
}

#[cfg(test)]
mod tests {
    use super::super::brightness::histogram;
    use super::*;

    fn object(picture: &[&str]) -> Object {
        let luma: Vec<u8> =
            picture.concat().bytes().map(|c| if c == b'#' { 200 } else { 20 }).collect();
        let (width, height) = (picture[0].len(), picture.len());
        main_object(
            &luma,
            width,
            height,
            &histogram(&luma),
            &mut Buffers::default(),
            &mut Parts::default(),
        )
    }

    fn shaped(area_by_perimeter: f64, aspect_ratio: f32) -> Object {
        Object { area_by_perimeter: area_by_perimeter as f32, aspect_ratio }
    }

    #[test]
    fn the_largest_inner_part_is_the_object() {
        let picture = ["........", ".####..#", ".####...", ".####...", "........", "......#."];
        assert_eq!(object(&picture), shaped(12.0 / 10.0 / 8.0, 4.0 / 3.0));
    }

    #[test]
    fn a_dark_object_on_bright_ground_is_found_too() {
        let picture = ["######", "#...##", "#...##", "######"];
        assert_eq!(object(&picture), shaped(6.0 / 6.0 / 6.0, 1.5));
    }

    #[test]
    fn contours_go_round_thin_lines_and_ignore_holes() {
        let picture = [".......", ".#.....", "..#....", "...#...", "......."];
        assert_eq!(object(&picture), shaped(3.0 / (4.0 * 2.0_f64.sqrt()) / 7.0, 1.0));
        let ring = [".......", ".#####.", ".#...#.", ".#####.", "......."];
        assert_eq!(object(&ring), shaped(12.0 / 12.0 / 7.0, 5.0 / 3.0));
    }

    #[test]
    fn a_flat_image_is_its_own_object() {
        assert_eq!(object(&["....", "...."]), shaped(8.0 / 8.0 / 4.0, 2.0));
        assert_eq!(object(&["####", "####"]), shaped(8.0 / 8.0 / 4.0, 2.0));
        assert_eq!(object(&["#"]), shaped(0.0, 1.0));
    }
}
