//! PNG pictures, row by row into the RGB that they become: a copy of another form is never held.
//!
//! Of an animated PNG the picture counts that every viewer shows, the first. Notes and colour
//! profiles are stepped over unread.

use std::io::{BufRead, Seek};

use image::metadata::Orientation;
use png::{ColorType, DecodingError, Limits, Transformations};

use super::room::Room;
use super::{Picture, ground, pixels};
use crate::frame::MAX_SIDE;

/// Most memory for what is in the file beside the picture, bytes.
const NOTES: usize = 4 << 20;
/// Memory for rows, for unpacking and for notes, bytes: a row of [`MAX_SIDE`] pixels has 128 KiB at
/// most.
const SCRATCH: u64 = NOTES as u64 + (4 << 20);

/// Adam7 (PNG, 8.2): first column, columns between two pixels, first row, rows between two, by
/// pass.
const PASSES: [[usize; 4]; 7] = [
    [0, 8, 0, 8],
    [4, 8, 0, 8],
    [0, 4, 4, 8],
    [2, 4, 0, 4],
    [0, 2, 2, 4],
    [1, 2, 0, 2],
    [0, 1, 1, 2],
];

/// Decodes what `input` holds.
pub(super) fn decode(input: impl BufRead + Seek) -> Result<Picture, String> {
    let mut decoder = png::Decoder::new_with_limits(input, Limits { bytes: NOTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let head = decoder.read_header_info().map_err(told)?;
    let (width, height) = (head.width, head.height);
    if width.max(height) > MAX_SIDE {
        return Err(super::too_wide(width, height));
    }
    let room = Room::take(width, height, pixels(width, height) * 3 + SCRATCH)?;
    let mut reader = decoder.read_info().map_err(told)?;
    let (color, depth) = reader.output_color_type();
    let channels = match color {
        ColorType::Grayscale | ColorType::Indexed => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
    };
    let bytes = channels * if depth == png::BitDepth::Sixteen { 2 } else { 1 };
    let mut rgb = vec![0; (pixels(width, height) * 3) as usize];
    let row_of_rgb = width as usize * 3;
    for [y, first, step] in rows(width as usize, height as usize, reader.info().interlaced) {
        let row = reader.next_interlaced_row().map_err(told)?.ok_or("damaged: rows are missing")?;
        let to = rgb[y * row_of_rgb..(y + 1) * row_of_rgb].as_chunks_mut::<3>().0;
        let to = to.iter_mut().skip(first).step_by(step);
        to.zip(row.data().chunks_exact(bytes))
            .for_each(|(to, from)| *to = ground::rgb(from, channels));
    }
    reader.finish().map_err(told)?;
    let orientation = reader.info().exif_metadata.as_deref().and_then(Orientation::from_exif_chunk);
    drop(reader);
    Picture::turned(rgb, width, height, orientation, room)
}

/// Each row of the file in its order: which row of the picture it is of, its first column, and
/// columns between two pixels.
fn rows(width: usize, height: usize, interlaced: bool) -> impl Iterator<Item = [usize; 3]> {
    let passes = if interlaced { &PASSES[..] } else { &[[0, 1, 0, 1]] };
    let passes = passes.iter().filter(move |pass| pass[0] < width);
    passes.flat_map(move |[x, across, y, down]| {
        (*y..height).step_by(*down).map(|row| [row, *x, *across])
    })
}

/// What the decoder said, and what that means.
fn told(error: DecodingError) -> String {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "cut short: it ends before the picture does".into()
        }
        DecodingError::LimitsExceeded => {
            format!("its notes are larger than {} MiB; save it anew without them", NOTES >> 20)
        }
        other => format!("damaged: {other}"),
    }
}
