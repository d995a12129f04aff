//! Turns a picture upright in the memory that it has. Pure.
//!
//! A photo of 108 million pixels is 324 MB; a second copy to turn it into would double that. A
//! quarter turn is a transposition and a reflection. For the first the picture is filled up to
//! whole square tiles, each of them is transposed, they change places along their cycles, and what
//! was filled up is cut off again.

use image::metadata::Orientation;

/// A pixel.
type Rgb = [u8; 3];

/// Side of a tile, pixels.
const TILE: usize = 32;

/// Turns `rgb`, of `width` x `height` pixels, as `orientation` asks for; its new width and height.
/// Takes the memory of a few rows.
pub(super) fn upright(
    rgb: &mut Vec<u8>,
    width: usize,
    height: usize,
    orientation: Orientation,
) -> (usize, usize) {
    use Orientation as O;
    if width * height == 0 || rgb.len() != width * height * 3 {
        return (width, height); // never: every caller made it of this size
    }
    let quarter =
        matches!(orientation, O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH);
    let (width, height) = match quarter {
        true => {
            transpose(rgb, width, height);
            (height, width)
        }
        false => (width, height),
    };
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    match orientation {
        O::NoTransforms | O::Rotate90FlipH => (),
        O::FlipHorizontal | O::Rotate90 => {
            pixels.chunks_exact_mut(width).for_each(<[Rgb]>::reverse)
        }
        O::FlipVertical | O::Rotate270 => flip(pixels, width, height),
        O::Rotate180 | O::Rotate270FlipH => pixels.reverse(),
    }
    (width, height)
}

/// The first row becomes the last one.
fn flip(pixels: &mut [Rgb], width: usize, height: usize) {
    let (upper, lower) = pixels.split_at_mut(height.div_ceil(2) * width);
    for (above, below) in upper.chunks_exact_mut(width).zip(lower.chunks_exact_mut(width).rev()) {
        above.swap_with_slice(below);
    }
}

/// Rows become columns.
fn transpose(rgb: &mut Vec<u8>, width: usize, height: usize) {
    let (wide, high) = (width.next_multiple_of(TILE), height.next_multiple_of(TILE));
    rgb.reserve_exact(wide * high * 3 - rgb.len());
    rgb.resize(wide * high * 3, 0);
    (0..height)
        .rev()
        .for_each(|y| rgb.copy_within(y * width * 3..(y + 1) * width * 3, y * wide * 3));
    whole_tiles(rgb.as_chunks_mut::<3>().0, wide, high);
    (0..width).for_each(|y| rgb.copy_within(y * high * 3..(y * high + height) * 3, y * height * 3));
    rgb.truncate(width * height * 3);
}

/// The same where both sides are whole tiles.
fn whole_tiles(pixels: &mut [Rgb], width: usize, height: usize) {
    let mut band = vec![[0; 3]; TILE * width.max(height)];
    for rows in pixels.chunks_exact_mut(TILE * width) {
        let (band, _) = band.split_at_mut(rows.len());
        band.copy_from_slice(rows);
        // Tile by tile, each transposed already.
        for (column, to) in rows.chunks_exact_mut(TILE).enumerate() {
            to.iter_mut()
                .zip(band[column..].iter().step_by(width))
                .for_each(|(to, from)| *to = *from);
        }
    }
    transpose_tiles(pixels, TILE * TILE, width / TILE, height / TILE);
    for rows in pixels.chunks_exact_mut(TILE * height) {
        let (band, _) = band.split_at_mut(rows.len());
        band.copy_from_slice(rows);
        for (row, to) in rows.chunks_exact_mut(height).enumerate() {
            let from = band[row * TILE..].chunks(TILE).step_by(TILE);
            to.chunks_exact_mut(TILE).zip(from).for_each(|(to, from)| to.copy_from_slice(from));
        }
    }
}

/// A table of `across` x `down` tiles of `size` pixels becomes one of `down` x `across`.
fn transpose_tiles(pixels: &mut [Rgb], size: usize, across: usize, down: usize) {
    let count = across * down;
    let mut done = vec![0_u64; count.div_ceil(64)];
    for first in 0..count {
        let mut to = first;
        // Tile (x, y) goes to (y, x). What comes first on a cycle goes from place to place until it
        // is at its own again.
        while done[to / 64] >> (to % 64) & 1 == 0 {
            done[to / 64] |= 1 << (to % 64);
            to = (to % across) * down + to / across;
            if to != first {
                let (left, right) = pixels.split_at_mut(to.max(first) * size);
                let near = to.min(first) * size;
                left[near..near + size].swap_with_slice(&mut right[..size]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, RgbImage};

    #[test]
    fn every_orientation_and_size_turns_out_as_in_another_implementation() {
        let sizes = [
            (1, 1),
            (1, 7),
            (7, 1),
            (2, 3),
            (5, 5),
            (6, 4),
            (13, 17),
            (64, 64),
            (96, 64),
            (130, 65),
            (256, 192),
            (67, 201),
        ];
        for (width, height) in sizes {
            let picture = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([x as u8, y as u8, (x * 7 + y * 13) as u8])
            });
            for note in 1..=8 {
                let orientation = Orientation::from_exif(note).unwrap();
                let mut expected = DynamicImage::from(picture.clone());
                expected.apply_orientation(orientation);
                let mut rgb = picture.clone().into_raw();
                let sides = upright(&mut rgb, width as usize, height as usize, orientation);
                assert_eq!(
                    sides,
                    (expected.width() as usize, expected.height() as usize),
                    "{width}x{height}, {note}"
                );
                assert!(rgb == expected.into_rgb8().into_raw(), "{width}x{height}, {note}");
            }
        }
    }
}
