//! One picture file as upright RGB, or the reason why it is none.
//!
//! An edge: the only place that opens picture files. The kind is told by the content, not by the
//! name. `jpeg`, `png`, `webp` and `bmp` decode; each says what it will take before it takes it
//! (`room`).

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;

use super::room::{MOST, Room};
use super::{bmp, jpeg, png, turn, webp};
use crate::files;
use crate::frame::MAX_SIDE;

/// Largest picture file, bytes: JPEG and WebP are read as a whole.
const MAX_BYTES: u64 = 256 << 20;

/// Bytes that tell kinds apart.
const MAGIC: usize = 64;

/// Upright RGB, packed.
pub(super) struct Picture {
    pub(super) rgb: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Picture {
    /// `rgb` turned as its note says. What decoding took is free again.
    pub(super) fn turned(
        mut rgb: Vec<u8>,
        width: u32,
        height: u32,
        orientation: Option<Orientation>,
        room: Room,
    ) -> Result<Self, String> {
        let orientation = orientation.unwrap_or(Orientation::NoTransforms);
        let (width, height) = turn::upright(&mut rgb, width as usize, height as usize, orientation);
        drop(room);
        Ok(Self { rgb, width: width as u32, height: height as u32 })
    }
}

/// Pixels of a picture.
pub(super) fn pixels(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

/// The refusal of a picture that is larger than any frame.
pub(super) fn too_wide(width: u32, height: u32) -> String {
    format!("{width}x{height} pixels; at most {MAX_SIDE} a side are read")
}

/// What a decoder of the `image` crate said, in one line.
pub(super) fn told(error: image::ImageError) -> String {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        image::ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "cut short: it ends before the picture does".into()
        }
        image::ImageError::Decoding(_) | image::ImageError::IoError(_) => {
            format!("damaged: {text}")
        }
        _ => text,
    }
}

/// Decodes the file at `path`.
pub(super) fn decode(path: &Path) -> Result<Picture, String> {
    let mut file = open(path)?;
    let mut magic = [0; MAGIC];
    let mut known = 0;
    while known < MAGIC {
        match file.read(&mut magic[known..]).map_err(|e| e.to_string())? {
            0 => break,
            count => known += count,
        }
    }
    file.rewind().map_err(|e| e.to_string())?;
    let whole = || files::bytes(path, MAX_BYTES).map_err(|error| error.to_string());
    let magic = &magic[..known];
    // Damaged files have made decoders panic before.
    let decoded = catch_unwind(AssertUnwindSafe(|| match magic {
        [0xFF, 0xD8, ..] => jpeg::decode(whole()?),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp::decode(whole()?),
        [0x89, b'P', b'N', b'G', 13, 10, 26, 10, ..] => png::decode(BufReader::new(file)),
        [b'B', b'M', ..] => bmp::decode(BufReader::new(file)),
        other => Err(foreign(other)),
    }));
    decoded.unwrap_or_else(|_| Err("damaged: the decoder gave up".into()))
}

/// A regular file of a fitting length.
fn open(path: &Path) -> Result<File, String> {
    let facts = fs::metadata(path).map_err(|error| match fs::symlink_metadata(path) {
        Ok(link) if link.is_symlink() && error.kind() == ErrorKind::NotFound => {
            "a link to a file that is not there".to_owned()
        }
        _ => error.to_string(),
    })?;
    if facts.is_dir() {
        return Err("a folder, not a picture".into());
    }
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !facts.is_file() {
        return Err("not a regular file but a pipe, a socket or a device".into());
    }
    match facts.len() {
        0 => Err("the file is empty".into()),
        1..=MAX_BYTES => files::regular(path).map_err(|e| e.to_string()),
        more => Err(format!("{more} bytes; at most {} MiB are read of a photo", MAX_BYTES >> 20)),
    }
}

/// Kinds that are not read, by how their files begin, and what they are called.
const FOREIGN: [(&[u8], &str); 17] = [
    (b"GIF8", "a GIF"),
    (b"II*\0", "a TIFF or raw photo"),
    (b"MM\0*", "a TIFF or raw photo"),
    (b"II+\0", "a TIFF"),
    (b"\xFF\x0A", "a JPEG XL picture"),
    (b"\0\0\0\x0CJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0CjP  ", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\x01\0", "an icon"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML, perhaps an SVG drawing"),
    (b"<!", "a web page, perhaps of an error"),
    (b"<html", "a web page, perhaps of an error"),
    (b"{", "JSON, perhaps of an error"),
];

/// What a file is that begins so, and what to do about it.
fn foreign(magic: &[u8]) -> String {
    let text = magic.trim_ascii_start();
    let lower = text.to_ascii_lowercase();
    let named = FOREIGN.iter().find(|(begins, _)| {
        magic.starts_with(begins) || lower.starts_with(&begins.to_ascii_lowercase())
    });
    let what = match (magic.get(4..12), named) {
        (Some(b"ftypavif" | b"ftypavis"), _) => "an AVIF picture",
        (Some(b"ftypheic" | b"ftypheix" | b"ftypmif1" | b"ftypmsf1" | b"ftyphevc"), _) => {
            "a HEIC picture"
        }
        (Some([b'f', b't', b'y', b'p', ..]), _) => "a film",
        (_, Some((_, what))) => what,
        _ if magic.iter().all(|byte| *byte == 0) => {
            return "no picture: it begins with zeros, perhaps a broken upload".into();
        }
        _ => return "no picture of a kind that is read; save it as JPEG, PNG, WebP or BMP".into(),
    };
    format!("{what}, whatever its name says; save it as JPEG or PNG")
}

/// The limits in words, for docs and tests.
const _: () = assert!(MAX_BYTES < MOST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_called_by_their_names() {
        for (magic, what) in [
            (&b"GIF89a\0\0"[..], "a GIF, whatever its name says; save it as JPEG or PNG"),
            (b"\0\0\0\x20ftypheic\0\0", "a HEIC picture"),
            (b"\0\0\0\x20ftypavif\0\0", "an AVIF picture"),
            (b"\0\0\0\x20ftypisom\0\0", "a film"),
            (b"II*\0\x08\0\0\0", "a TIFF or raw photo"),
            (b"\n <!DOCTYPE html>", "a web page"),
            (b"<HTML><head>", "a web page"),
            (b"{\"error\": 404}", "JSON"),
            (&[0; 20], "begins with zeros"),
            (b"hello", "no picture of a kind that is read"),
            (b"", "begins with zeros"),
        ] {
            assert!(foreign(magic).contains(what), "{magic:?}: {}", foreign(magic));
        }
    }
}
