//! BMP pictures of 1 to 32 bits, packed or not.
//!
//! Many programs write the fourth byte of a pixel as 0 and mean nothing by it: a BMP that is wholly
//! transparent is taken as opaque.

use std::io::{BufRead, Seek};

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder};

use super::room::Room;
use super::{Picture, ground, pixels, told};
use crate::frame::MAX_SIDE;

/// Rows and tables of the decoder, bytes.
const SCRATCH: u64 = 1 << 20;

/// Decodes what `input` holds.
pub(super) fn decode(input: impl BufRead + Seek) -> Result<Picture, String> {
    let decoder = BmpDecoder::new(input).map_err(told)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > MAX_SIDE {
        return Err(super::too_wide(width, height));
    }
    let clear = match decoder.color_type() {
        ColorType::Rgb8 => false,
        ColorType::Rgba8 => true,
        other => return Err(format!("a BMP of this kind ({other:?}) is not read; save it anew")),
    };
    let bytes = pixels(width, height) * if clear { 4 } else { 3 };
    let room = Room::take(width, height, bytes + SCRATCH)?;
    let mut rgb = vec![0; bytes as usize];
    decoder.read_image(&mut rgb).map_err(told)?;
    if clear {
        if rgb.iter().skip(3).step_by(4).all(|alpha| *alpha == 0) {
            rgb.iter_mut().skip(3).step_by(4).for_each(|alpha| *alpha = 255);
        }
        rgb = ground::flatten(rgb);
    }
    Picture::turned(rgb, width, height, None, room)
}
