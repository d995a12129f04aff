//! What a JPEG file says of itself before its first scan: size, components, colours, and where its
//! EXIF note lies. Pure.
//!
//! Not for what lies in the scans, which is `entropy`'s business. The markers are those of ITU-T
//! T.81, annex B.

use std::ops::Range;

use crate::frame::MAX_SIDE;

/// Most blocks of one minimal coding unit (T.81, B.2.3).
const MOST_BLOCKS: usize = 10;

/// One plane of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// As scans name it.
    pub(super) id: u8,
    /// Sampling factors, 1 to 4.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Place of its quantisation table, 0 to 3.
    pub(super) quantisation: usize,
}

/// What is said before the first scan.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) width: u32,
    pub(super) height: u32,
    /// 1 to 4.
    pub(super) components: Vec<Component>,
    pub(super) progressive: bool,
    /// The samples are red, green and blue, not luma and chroma; by libjpeg's rule.
    pub(super) rgb: bool,
    /// Components of the first scan.
    pub(super) first_scan: usize,
    /// Without Huffman tables before the first scan, as pictures out of an MJPEG film are.
    pub(super) lacks_tables: bool,
    /// Bytes of notes before the first scan, of which decoders keep copies.
    pub(super) notes: u64,
    /// The bytes of the note, behind its name.
    pub(super) exif: Option<Range<usize>>,
    /// Transform of the Adobe note.
    adobe: Option<u8>,
}

impl Head {
    /// Largest factors.
    pub(super) fn most(&self) -> (usize, usize) {
        let most =
            |factor: fn(&Component) -> usize| self.components.iter().map(factor).max().unwrap_or(1);
        (most(|part| part.across), most(|part| part.down))
    }

    /// Coding units from side to side and from top to bottom, of scans with more than one
    /// component.
    pub(super) fn units(&self) -> (usize, usize) {
        let (across, down) = self.most();
        ((self.width as usize).div_ceil(8 * across), (self.height as usize).div_ceil(8 * down))
    }

    /// Samples of all components, whole coding units each.
    pub(super) fn samples(&self) -> u64 {
        let (across, down) = self.units();
        let blocks: usize = self.components.iter().map(|part| part.across * part.down).sum();
        across as u64 * down as u64 * blocks as u64 * 64
    }

    /// True if zune-jpeg takes the samples for red, green and blue.
    pub(super) fn zune_says_rgb(&self) -> bool {
        self.components.len() == 3 && (self.adobe == Some(0) || self.has_letters())
    }

    fn has_letters(&self) -> bool {
        self.components.iter().map(|part| part.id).eq(*b"RGB")
    }
}

/// A piece of a file between two scans.
pub(super) struct Segment<'a> {
    /// The second byte of the marker.
    pub(super) marker: u8,
    /// What follows its length.
    pub(super) body: &'a [u8],
    /// Where `body` begins.
    pub(super) at: usize,
}

impl Segment<'_> {
    /// Its bytes, if it is a note of a program or of a camera.
    pub(super) fn notes(&self) -> u64 {
        if matches!(self.marker, 0xE0..=0xEF) { self.body.len() as u64 } else { 0 }
    }
}

/// The next marker segment from `at` on, and where the file goes on behind it. Markers without a
/// length have no body.
pub(super) fn segment(bytes: &[u8], at: usize) -> Result<(Segment<'_>, usize), String> {
    let cut = || "cut short: it ends before the picture does".to_owned();
    let mut at = at;
    if *bytes.get(at).ok_or_else(cut)? != 0xFF {
        return Err(format!("damaged: no marker at byte {at}"));
    }
    while *bytes.get(at).ok_or_else(cut)? == 0xFF {
        at += 1; // any number of fill bytes
    }
    let marker = bytes[at];
    at += 1;
    if matches!(marker, 0x01 | 0xD0..=0xD9) {
        return Ok((Segment { marker, body: &[], at }, at));
    }
    let length = match bytes.get(at..at + 2) {
        Some([high, low]) => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(cut()),
    };
    if marker == 0 || length < 2 {
        return Err(format!("damaged: a marker that cannot be at byte {at}"));
    }
    let body = bytes.get(at + 2..at + length).ok_or_else(cut)?;
    Ok((Segment { marker, body, at: at + 2 }, at + length))
}

/// Reads everything before the first scan.
pub(super) fn read(bytes: &[u8]) -> Result<Head, String> {
    let mut at = 2;
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Err("no JPEG".into());
    }
    let (mut frame, mut exif, mut adobe, mut jfif, mut lacks_tables) =
        (None::<(bool, Segment<'_>)>, None, None, false, true);
    let mut notes = 0;
    loop {
        let (segment, next) = segment(bytes, at)?;
        at = next;
        notes += segment.notes();
        match segment.marker {
            0xC0..=0xC2 if frame.is_none() => frame = Some((segment.marker == 0xC2, segment)),
            0xC0..=0xC2 => return Err("damaged: it has two heads".into()),
            0xC4 => lacks_tables = false,
            0xC9..=0xCF => {
                return Err("a JPEG with arithmetic coding is not read; save it anew".into());
            }
            0xC3 | 0xC5..=0xC7 | 0xC8 => {
                return Err("a lossless or hierarchical JPEG is not read; save it anew".into());
            }
            0xE0 => jfif |= segment.body.starts_with(b"JFIF\0"),
            0xE1 if exif.is_none() && segment.body.starts_with(b"Exif\0\0") => {
                exif = Some(segment.at + 6..segment.at + segment.body.len());
            }
            0xEE if segment.body.starts_with(b"Adobe") => {
                adobe = segment.body.get(11).copied().or(adobe)
            }
            0xD9 => return Err("damaged: it ends without a picture".into()),
            0xDA => {
                let Some((progressive, frame)) = frame else {
                    return Err("damaged: a picture without a size".into());
                };
                let first_scan = usize::from(segment.body.first().copied().unwrap_or(0));
                let head = Head {
                    first_scan,
                    lacks_tables,
                    notes,
                    exif,
                    adobe,
                    ..sizes(frame.body, progressive)?
                };
                let letters = head.has_letters();
                return Ok(Head {
                    rgb: head.components.len() == 3 && says_rgb(jfif, adobe, letters),
                    ..head
                });
            }
            _ => (),
        }
    }
}

/// libjpeg's rule for three components: JFIF is never RGB, then Adobe's note counts, then the names
/// of the components.
fn says_rgb(jfif: bool, adobe: Option<u8>, letters: bool) -> bool {
    match adobe {
        _ if jfif => false,
        Some(transform) => transform == 0,
        None => letters,
    }
}

fn sizes(body: &[u8], progressive: bool) -> Result<Head, String> {
    let damaged = || "damaged: its head".to_owned();
    let [precision, high, low, wide, narrow, count, rest @ ..] = body else {
        return Err(damaged());
    };
    if *precision != 8 {
        return Err(format!(
            "a JPEG of {precision} bits a sample is not read, only 8; save it anew"
        ));
    }
    let side = |high: u8, low: u8| u32::from(u16::from_be_bytes([high, low]));
    let (width, height) = (side(*wide, *narrow), side(*high, *low));
    if width == 0 || height == 0 {
        return Err("damaged: its head says no size".into());
    }
    if width.max(height) > MAX_SIDE {
        return Err(super::super::too_wide(width, height));
    }
    let (parts, odd) = rest.as_chunks::<3>();
    if !(1..=4).contains(count) || parts.len() != usize::from(*count) || !odd.is_empty() {
        return Err(damaged());
    }
    let components: Vec<Component> = parts
        .iter()
        .map(|[id, factors, table]| Component {
            id: *id,
            across: usize::from(factors >> 4),
            down: usize::from(factors & 15),
            quantisation: usize::from(*table),
        })
        .collect();
    let is_fine = |part: &Component| {
        (1..=4).contains(&part.across)
            && (1..=4).contains(&part.down)
            && part.quantisation < 4
            && components.iter().filter(|other| other.id == part.id).count() == 1
    };
    if !components.iter().all(is_fine) {
        return Err(damaged());
    }
    Ok(Head {
        width,
        height,
        components,
        progressive,
        rgb: false,
        first_scan: 0,
        lacks_tables: false,
        notes: 0,
        exif: None,
        adobe: None,
    })
}

/// What a scan says: which components, with which tables, and which coefficients.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// Place of the component in the head, and of its tables for the mean and for the rest.
    pub(super) parts: Vec<(usize, usize, usize)>,
    /// First and last coefficient, in zigzag order.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Bits known before this scan, and left unknown by it.
    pub(super) before: u8,
    pub(super) left: u8,
}

/// Reads the head of a scan.
pub(super) fn scan(body: &[u8], head: &Head) -> Result<Scan, String> {
    let damaged = || "damaged: the head of a scan".to_owned();
    let (count, rest) = body.split_first().ok_or_else(damaged)?;
    let count = usize::from(*count);
    if !(1..=4).contains(&count) || rest.len() != 2 * count + 3 {
        return Err(damaged());
    }
    let (names, tail) = rest.split_at(2 * count);
    let mut parts = Vec::new();
    for [id, tables] in names.as_chunks::<2>().0 {
        let place = head.components.iter().position(|part| part.id == *id).ok_or_else(damaged)?;
        let (mean, others) = (usize::from(tables >> 4), usize::from(tables & 15));
        if mean > 3 || others > 3 || parts.iter().any(|(known, _, _)| *known == place) {
            return Err(damaged());
        }
        parts.push((place, mean, others));
    }
    let blocks: usize = parts
        .iter()
        .map(|(place, _, _)| head.components[*place].across * head.components[*place].down)
        .sum();
    let (from, to, before, left) = match head.progressive {
        true => (usize::from(tail[0]), usize::from(tail[1]), tail[2] >> 4, tail[2] & 15),
        false => (0, 63, 0, 0),
    };
    let is_fine = match head.progressive {
        true => {
            let range = if from == 0 { to == 0 } else { from <= to && to < 64 && count == 1 };
            range && left <= 13 && (before == 0 || before == left + 1)
        }
        false => true,
    };
    if !is_fine || (count > 1 && blocks > MOST_BLOCKS) {
        return Err(damaged());
    }
    Ok(Scan { parts, from, to, before, left })
}
