//! WebP pictures, lossy and lossless. Of an animation the first picture, laid on its canvas.
//!
//! The list of pieces is looked through first: sizes that the file does not have would be believed
//! by the decoder.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder};

use super::room::Room;
use super::{Picture, ground, pixels, told};
use crate::frame::MAX_SIDE;

/// Tables and rows of the decoder, bytes.
const SCRATCH: u64 = 8 << 20;
/// Pixels for which an encoder may write a byte of zeros at the end: libwebp writes one for 10 400
/// of a picture of one colour. More zeros are an upload into a file of full length that broke off.
const PIXELS_A_ZERO: u64 = 8192;
/// Zeros at the end that any file may have, bytes.
const ZEROS: u64 = 64;

/// Decodes `bytes`.
pub(super) fn decode(bytes: Vec<u8>) -> Result<Picture, String> {
    let pieces = pieces(&bytes)?;
    let mut decoder = WebPDecoder::new(Cursor::new(&bytes[..])).map_err(told)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > MAX_SIDE {
        return Err(super::too_wide(width, height));
    }
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    if zeros as u64 > ZEROS + pixels(width, height) / PIXELS_A_ZERO {
        return Err("cut short: it ends in zeros".into());
    }
    let clear = decoder.color_type() == ColorType::Rgba8;
    let room =
        Room::take(width, height, cost(bytes.len() as u64, pixels(width, height), clear, &pieces))?;
    let orientation = decoder.orientation().ok();
    let mut rgb = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut rgb).map_err(told)?;
    drop(bytes);
    Picture::turned(
        if clear { ground::flatten(rgb) } else { rgb },
        width,
        height,
        orientation,
        room,
    )
}

/// What the file has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pieces {
    lossy: bool,
    lossless: bool,
    alpha: bool,
    animated: bool,
}

/// What the decoder keeps at the same time, bytes: planes of a lossy picture, four bytes a pixel of
/// a lossless one or of lossless transparency and what they are made from, frame and canvas of an
/// animation; and the file, of which it makes two copies.
fn cost(file: u64, pixels: u64, clear: bool, pieces: &Pieces) -> u64 {
    let result = if clear { 4 } else { 3 };
    let planes = if pieces.lossy { 2 } else { 0 };
    let lossless = if pieces.lossless || pieces.alpha { 5 } else { 0 };
    let alpha = u64::from(pieces.alpha);
    let animation = if pieces.animated { 8 } else { 0 };
    file * 3 + pixels * (result + planes + lossless + alpha + animation) + SCRATCH
}

/// The pieces of the file, also those inside the frames of an animation; refused if they are longer
/// than it.
fn pieces(bytes: &[u8]) -> Result<Pieces, String> {
    let cut = || "cut short: it ends before the picture does".to_owned();
    let size = bytes.get(4..8).map(number).ok_or_else(cut)?;
    let whole = bytes.get(..size.saturating_add(8)).ok_or_else(cut)?;
    let mut found = Pieces::default();
    let mut at = 12;
    while at + 8 <= whole.len() {
        let (name, length) = (&whole[at..at + 4], number(&whole[at + 4..at + 8]));
        if length > whole.len() - at - 8 {
            return Err(cut());
        }
        match name {
            b"VP8 " => found.lossy = true,
            b"VP8L" => found.lossless = true,
            b"ALPH" => found.alpha = true,
            b"ANMF" => found.animated = true,
            _ => (),
        }
        // A frame is stepped into: its own head has 16 bytes.
        at += 8 + if name == b"ANMF" { 16 } else { length + length % 2 };
    }
    Ok(found)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pieces: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (name, bytes) in pieces {
            body.extend(*name);
            body.extend((bytes.len() as u32).to_le_bytes());
            body.extend(*bytes);
            body.resize(body.len() + bytes.len() % 2, 0);
        }
        [b"RIFF".to_vec(), (body.len() as u32).to_le_bytes().to_vec(), body].concat()
    }

    #[test]
    fn pieces_are_found_and_none_is_longer_than_the_file() {
        let whole = file(&[(b"VP8X", &[0; 10]), (b"ALPH", &[1, 2, 3]), (b"VP8 ", &[9; 5])]);
        assert_eq!(
            pieces(&whole).unwrap(),
            Pieces { lossy: true, alpha: true, ..Pieces::default() }
        );
        let frame = [vec![0; 16], b"VP8L\x01\0\0\0x\0".to_vec()].concat();
        assert_eq!(
            pieces(&file(&[(b"ANMF", &frame)])).unwrap(),
            Pieces { animated: true, lossless: true, ..Pieces::default() }
        );
        for at in 4..whole.len() {
            assert!(pieces(&whole[..at]).unwrap_err().starts_with("cut short"), "{at}");
        }
        let mut claims = whole.clone();
        claims[16..20].copy_from_slice(&[255; 4]);
        assert!(pieces(&claims).unwrap_err().starts_with("cut short"));
    }
}
