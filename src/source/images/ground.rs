//! Lays pixels with transparency over white, and rows of any kind down as RGB. Pure.
//!
//! White is what a page or a photo viewer shows behind a picture. A pixel that is wholly
//! transparent is white, whatever colour its file hides there. As browsers do, levels are mixed as
//! they are stored, not as light.

/// The ground, of 8 bits.
const GROUND: u32 = 255;

/// `rgba` becomes RGB in its own memory; the bytes behind are given back.
pub(super) fn flatten(mut rgba: Vec<u8>) -> Vec<u8> {
    let pixels = rgba.len() / 4;
    for at in 0..pixels {
        let [red, green, blue, alpha] = [0, 1, 2, 3].map(|part| rgba[at * 4 + part]);
        for (part, level) in [red, green, blue].into_iter().enumerate() {
            rgba[at * 3 + part] = over(level, alpha);
        }
    }
    rgba.truncate(pixels * 3);
    rgba.shrink_to_fit();
    rgba
}

/// `level` of a pixel that covers `alpha` of 255.
fn over(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u32::from(level), u32::from(alpha));
    ((level * alpha + GROUND * (255 - alpha) + 127) / 255) as u8
}

/// The same of 16 bits, made 8.
fn over_deep(level: u16, alpha: u16) -> u8 {
    let (level, alpha, most) = (u64::from(level), u64::from(alpha), 65_535_u64);
    let mixed = (level * alpha + most * (most - alpha) + most / 2) / most;
    ((mixed + 128) / 257) as u8
}

/// One pixel as RGB, of `channels` (1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha) of 8 bits or,
/// big-endian, of 16.
pub(super) fn rgb(pixel: &[u8], channels: usize) -> [u8; 3] {
    if pixel.len() == channels {
        let at = |place: usize| pixel[place];
        return match channels {
            1 => [at(0); 3],
            2 => [over(at(0), at(1)); 3],
            3 => [at(0), at(1), at(2)],
            _ => [over(at(0), at(3)), over(at(1), at(3)), over(at(2), at(3))],
        };
    }
    let at = |place: usize| u16::from_be_bytes([pixel[place * 2], pixel[place * 2 + 1]]);
    match channels {
        1 => [over_deep(at(0), 65_535); 3],
        2 => [over_deep(at(0), at(1)); 3],
        3 => [0, 1, 2].map(|part| over_deep(at(part), 65_535)),
        _ => [0, 1, 2].map(|part| over_deep(at(part), at(3))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparency_is_laid_over_white_and_hides_the_colours_below_it() {
        let rgba = vec![10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 128, 0, 0, 0, 51];
        assert_eq!(flatten(rgba), [10, 20, 30, 255, 255, 255, 127, 177, 255, 204, 204, 204]);
        assert_eq!(rgb(&[7, 0], 2), [255; 3]);
        assert_eq!(rgb(&[7, 255], 2), [7; 3]);
        assert_eq!(rgb(&[1, 2, 3, 0], 4), [255; 3]);
    }

    #[test]
    fn sixteen_bits_are_rounded_and_mixed_before_they_are() {
        assert_eq!(rgb(&[0x80, 0x7F], 1), [128; 3]);
        assert_eq!(rgb(&[0xFF, 0xFF, 0x00, 0x7F, 0x00, 0x81], 3), [255, 0, 1]);
        assert_eq!(rgb(&[0, 0, 0x00, 0x00], 2), [255; 3], "hidden black");
        assert_eq!(
            rgb(&[0, 0, 0x40, 0x00], 2),
            [191; 3],
            "a quarter of black: 0.75 x 255 = 191.25"
        );
        assert_eq!(rgb(&[0, 0, 0, 0, 0, 0, 0xFF, 0xFF], 4), [0; 3]);
        for level in 0..=255 {
            assert_eq!(rgb(&[level, level], 1), [level; 3], "8 bits written as 16");
        }
    }
}
