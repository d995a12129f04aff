//! JPEG photos: looked through to their end before a decoder sees them, and decoded by the one that
//! is right for them.
//!
//! `head` walks over the markers, `entropy` over what lies between. Neither of the two decoders
//! tells of all damage: both make up what a file that was cut lacks. Which of them decodes which
//! form was measured against libjpeg (docs/background/decisions.md).

mod entropy;
mod head;

use std::borrow::Cow;

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use self::head::Head;
use super::room::Room;
use super::{Picture, pixels};
use crate::frame::MAX_SIDE;

/// Rows and tables of the decoders, bytes, at most.
const SCRATCH: u64 = 8 << 20;

/// Who decodes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoder {
    /// zune-jpeg: the forms that cameras and programs write.
    Usual,
    /// jpeg-decoder: slower, and right about odd samplings and scans.
    Odd,
}

/// Decodes `bytes`. The error says what is wrong: damaged, cut short, of a form that is not read,
/// or too large.
pub(super) fn decode(mut bytes: Vec<u8>) -> Result<Picture, String> {
    let head = head::read(&bytes)?;
    let decoder = choose(&head)?;
    let room = Room::take(head.width, head.height, bytes.len() as u64 + cost(&head, decoder))?;
    entropy::check(&bytes)?;
    let orientation =
        head.exif.clone().and_then(|place| Orientation::from_exif_chunk(bytes.get(place)?));
    if head.lacks_tables {
        bytes.splice(2..2, entropy::STANDARD_TABLES.iter().copied());
    }
    let rgb = match decoder {
        Decoder::Usual => usual(&bytes, &head)?,
        Decoder::Odd => odd(&bytes, &head)?,
    };
    drop(bytes);
    Picture::turned(rgb, head.width, head.height, orientation, room)
}

/// Bytes beside the file: the picture as RGB, the planes or coefficients that are kept whole, and
/// copies of notes.
fn cost(head: &Head, decoder: Decoder) -> u64 {
    let (rgb, samples) = (pixels(head.width, head.height) * 3, head.samples());
    // What the check remembers of each block that is sent in parts.
    let memory = if head.progressive { samples / 8 } else { 0 };
    let kept = match decoder {
        Decoder::Usual if head.progressive => samples * 2,
        Decoder::Usual => 0,
        Decoder::Odd => {
            samples * 3
                + if head.components.len() == 1 { pixels(head.width, head.height) } else { 0 }
        }
    };
    rgb + kept + memory + 2 * head.notes + SCRATCH
}

/// Who is right about such files.
fn choose(head: &Head) -> Result<Decoder, String> {
    let factors: Vec<(usize, usize)> =
        head.components.iter().map(|part| (part.across, part.down)).collect();
    let written = || {
        factors
            .iter()
            .map(|(across, down)| format!("{across}x{down}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let advice = "save it anew, as an ordinary JPEG or PNG";
    let (most_across, most_down) = head.most();
    if factors.iter().any(|(across, down)| most_across % across != 0 || most_down % down != 0) {
        return Err(format!("its sampling ({}) is not read; {advice}", written()));
    }
    let is_one_scan = head.progressive || head.first_scan == head.components.len();
    match factors.as_slice() {
        [(1 | 2 | 4, 1 | 2 | 4)] => Ok(Decoder::Usual),
        [_] => Ok(Decoder::Odd),
        [luma @ (1 | 2 | 4, 1 | 2), blue, red]
            if *luma == (most_across, most_down)
                && blue == red
                && is_one_scan
                && head.rgb == head.zune_says_rgb() =>
        {
            Ok(Decoder::Usual)
        }
        // jpeg-decoder miscounts the blocks of such a scan.
        [_, _, _]
            if head.progressive
                && most_across == 4
                && factors.iter().any(|factors| factors.0 == 2) =>
        {
            Err(format!("its sampling ({}) is not read; {advice}", written()))
        }
        [_, _, _] => Ok(Decoder::Odd),
        [(1, 1), (1, 1), (1, 1), (1, 1)] if is_one_scan => Ok(Decoder::Usual),
        [_, _, _, _] => Err(format!(
            "a JPEG of four colours (CMYK) in an unusual form ({}) is not read; {advice}",
            written()
        )),
        other => Err(format!("a JPEG of {} colours is not read; {advice}", other.len())),
    }
}

fn usual(bytes: &[u8], head: &Head) -> Result<Vec<u8>, String> {
    let options = DecoderOptions::default()
        .set_strict_mode(false) // looked through already; strictness would only refuse odd but whole files
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(told)?;
    let wanted = usize::try_from(pixels(head.width, head.height) * 3).map_err(told)?;
    if decoder.output_buffer_size() != Some(wanted) {
        return Err("its head says different sizes".into());
    }
    let mut rgb = vec![0; wanted];
    decoder.decode_into(&mut rgb).map_err(told)?;
    Ok(rgb)
}

fn odd(bytes: &[u8], head: &Head) -> Result<Vec<u8>, String> {
    use jpeg_decoder::{ColorTransform, PixelFormat};
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    if head.components.len() == 3 {
        decoder.set_color_transform(if head.rgb {
            ColorTransform::RGB
        } else {
            ColorTransform::YCbCr
        });
    }
    let decoded = decoder.decode().map_err(told)?;
    let info = decoder.info().ok_or("it has no head")?;
    if (u32::from(info.width), u32::from(info.height)) != (head.width, head.height) {
        return Err("its head says different sizes".into());
    }
    match info.pixel_format {
        PixelFormat::RGB24 => Ok(decoded),
        PixelFormat::L8 => Ok(decoded.into_iter().flat_map(|luma| [luma; 3]).collect()),
        other => Err(format!("a JPEG of this kind ({other:?}) is not read")),
    }
}

fn told(error: impl std::fmt::Display) -> String {
    let words = error.to_string();
    let text: Cow<'_, str> = words.split_whitespace().collect::<Vec<_>>().join(" ").into();
    format!("damaged: {text}")
}
