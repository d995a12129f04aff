//! What becomes of picture files of every form: read as people see them, or refused with the
//! reason, within counted memory.
//!
//! tests/data/jpegs holds one smooth picture, drawn by a formula, in each form that libjpeg's tools
//! write (tests/reference/draw_jpegs.sh). Whoever decodes a form wrongly is off by tens of levels;
//! the coding costs two or three. Bombs are decoded in another process, this very program, which
//! then says how much memory it had at most.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::again;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage, RgbaImage};
use squint::frame::Frame;
use squint::source::decode_image;

const JPEGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/jpegs");

/// The picture of tests/data/jpegs.
fn drawn() -> RgbImage {
    RgbImage::from_fn(61, 45, |x, y| {
        image::Rgb([4 * x, 255 - 5 * y, 2 * x + 2 * y].map(|level| level as u8))
    })
}

fn jpegs() -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(JPEGS).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn named(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(JPEGS).join(name)).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Frame, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.jpg");
    std::fs::write(&path, bytes).unwrap();
    decode_image(&path).map_err(|error| error.to_string())
}

fn rgb(bytes: &[u8]) -> RgbImage {
    let frame = decode(bytes).unwrap();
    RgbImage::from_raw(frame.layout().width, frame.layout().height, frame.plane(0).to_vec())
        .unwrap()
}

/// Mean and largest difference.
fn off(one: &RgbImage, other: &RgbImage) -> (f64, u8) {
    assert_eq!(one.dimensions(), other.dimensions());
    let all: Vec<u8> =
        one.as_raw().iter().zip(other.as_raw()).map(|(a, b)| a.abs_diff(*b)).collect();
    (
        all.iter().map(|off| f64::from(*off)).sum::<f64>() / all.len() as f64,
        all.into_iter().max().unwrap_or(0),
    )
}

#[test]
fn every_form_of_jpeg_is_decoded_right_or_refused_by_name() {
    let picture = drawn();
    let luma = |[red, green, blue]: [u8; 3]| {
        0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
    };
    let grey = RgbImage::from_fn(61, 45, |x, y| {
        image::Rgb([luma(picture.get_pixel(x, y).0).round() as u8; 3])
    });
    let mut right = 0;
    for path in jpegs() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("arithmetic") {
            let told = decode_image(&path).unwrap_err().to_string();
            assert!(told.contains("arithmetic coding is not read; save it anew"), "{told}");
            continue;
        }
        let (mean, most) =
            off(&rgb(&named(name)), if name.starts_with("grey") { &grey } else { &picture });
        assert!(mean < 4.5 && most < 24, "{name}: off by {mean:.1}, {most} at most");
        right += 1;
    }
    assert_eq!(right, 64);
    // Twelve bits, a height that follows later, and fractional sampling.
    let with = |at: usize, byte: u8| {
        let mut bytes = named("base-2x2,1x1,1x1.jpg");
        let frame = bytes.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
        bytes[frame + at] = byte;
        decode(&bytes).unwrap_err()
    };
    assert!(with(4, 12).contains("12 bits a sample is not read"));
    assert!(with(6, 0).contains("says no size"));
    assert!(
        with(11, 0x32).contains("sampling (3x2,1x1,1x1) is not read")
            || with(11, 0x32).contains("damaged")
    );
    assert!(with(14, 0x12).contains("damaged"), "as the scan does not fit");
    assert!(with(1, 0xC3).contains("lossless"));
}

/// Segments of the head: marker and place, and where the scan's data begin.
fn segments(bytes: &[u8]) -> (Vec<(u8, std::ops::Range<usize>)>, usize) {
    let (mut found, mut at) = (Vec::new(), 2);
    loop {
        let end = at + 2 + usize::from(bytes[at + 2]) * 256 + usize::from(bytes[at + 3]);
        found.push((bytes[at + 1], at..end));
        at = end;
        if found.last().unwrap().0 == 0xDA {
            return (found, at);
        }
    }
}

#[test]
fn a_picture_out_of_an_mjpeg_film_has_its_tables_although_it_leaves_them_out() {
    let whole = named("standard-tables.jpg");
    let mut bytes = whole.clone();
    for (_, place) in segments(&whole).0.into_iter().rev().filter(|(marker, _)| *marker == 0xC4) {
        bytes.drain(place);
    }
    assert!(bytes.len() < whole.len() - 400);
    assert_eq!(rgb(&bytes), rgb(&whole));
}

#[test]
fn colours_follow_libjpegs_rule_where_notes_contradict_each_other() {
    let plain = named("base-2x2,1x1,1x1.jpg"); // with a JFIF note
    let adobe = [&[0xFF, 0xEE, 0, 14][..], b"Adobe\0\x64\0\0\0\0\0"].concat();
    let bytes = [&plain[..20], &adobe, &plain[20..]].concat();
    let (mean, _) = off(&rgb(&bytes), &drawn());
    assert!(mean < 4.5, "JFIF says luma and chroma: off by {mean:.1}");
}

#[test]
fn a_jpeg_that_is_cut_zeroed_or_has_a_hole_is_refused_in_every_form() {
    for path in jpegs().into_iter().filter(|path| !path.to_str().unwrap().contains("arithmetic")) {
        let (name, bytes) = (path.display().to_string(), std::fs::read(&path).unwrap());
        let (_, data) = segments(&bytes);
        for at in (1..bytes.len()).step_by(61).chain(bytes.len() - 3..bytes.len()) {
            let told = decode(&bytes[..at]).err().unwrap_or_else(|| panic!("{name} cut at {at}"));
            assert!(
                ["cut short", "damaged", "no picture"].iter().any(|words| told.contains(words)),
                "{name}: {told}"
            );
        }
        for at in (data..bytes.len() - 20).step_by(97) {
            let mut zeroed = bytes.clone();
            zeroed[at..].fill(0);
            assert!(decode(&zeroed).is_err(), "{name} zeros from {at}");
            // Between two scans of a progressive one it may end: the picture is whole, only coarse.
            let ended = [&bytes[..at], &[0xFF, 0xD9]].concat();
            assert!(name.contains("progressive") || decode(&ended).is_err(), "{name} ends at {at}");
        }
        let more =
            [&bytes[..], b"whatever a camera writes behind the picture \xFF\xD8\xFF\xE1"].concat();
        assert_eq!(rgb(&more), rgb(&bytes), "{name}");
        let filled = [&bytes[..bytes.len() - 2], &[0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xD9]].concat();
        assert_eq!(rgb(&filled), rgb(&bytes), "{name}: filled up before its end");
    }
}

#[test]
fn damage_between_restart_markers_is_noticed() {
    let bytes = named("restarts-1x1,1x1,1x1.jpg");
    let (_, data) = segments(&bytes);
    let markers: Vec<usize> = (data..bytes.len() - 1)
        .filter(|at| bytes[*at] == 0xFF && matches!(bytes[at + 1], 0xD0..=0xD7))
        .collect();
    assert!(markers.len() > 30);
    let refused = |bytes: &[u8]| assert!(decode(bytes).unwrap_err().contains("damaged"));
    let change = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        bytes
    };
    refused(&change(markers[5] + 1, 0xD0)); // out of order
    refused(&[&bytes[..markers[7]], &bytes[markers[8]..]].concat()); // an interval is missing
    refused(&[&bytes[..markers[7]], &[0x55; 40], &bytes[markers[7]..]].concat()); // more than an interval
    refused(&[&bytes[..markers[7] - 2], &bytes[markers[7]..]].concat()); // less
    let steps = (bytes.len() - 60 - data) / 10;
    let damaged = (0..steps).filter(|step| {
        let mut bytes = bytes.clone();
        (0..6).for_each(|place| bytes[data + 10 * step + 7 * place] ^= 0x5A);
        decode(&bytes).is_err()
    });
    assert!(damaged.count() * 10 >= steps * 9, "six wrong bytes are noticed in nine of ten files");
}

fn png(bytes: &[u8], width: u32, height: u32, kind: ExtendedColorType) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(bytes, width, height, kind).unwrap();
    file
}

#[test]
fn transparency_is_laid_over_white_and_hidden_colours_never_show() {
    // A red square of which the middle is opaque, the rest transparent with blue hidden below.
    let clear = RgbaImage::from_fn(16, 16, |x, y| {
        let inside = (4..12).contains(&x) && (4..12).contains(&y);
        image::Rgba(if inside { [255, 0, 0, 255] } else { [0, 0, 255, 0] })
    });
    let expected = RgbImage::from_fn(16, 16, |x, y| {
        let inside = (4..12).contains(&x) && (4..12).contains(&y);
        image::Rgb(if inside { [255, 0, 0] } else { [255; 3] })
    });
    let mut webp = Vec::new();
    WebPEncoder::new_lossless(&mut webp)
        .write_image(clear.as_raw(), 16, 16, ExtendedColorType::Rgba8)
        .unwrap();
    let mut bmp = Cursor::new(Vec::new());
    clear.write_to(&mut bmp, ImageFormat::Bmp).unwrap();
    let deep: Vec<u8> =
        clear.as_raw().iter().flat_map(|level| (u16::from(*level) * 257).to_ne_bytes()).collect();
    for (what, file) in [
        ("PNG", png(clear.as_raw(), 16, 16, ExtendedColorType::Rgba8)),
        ("PNG of 16 bits", png(&deep, 16, 16, ExtendedColorType::Rgba16)),
        ("WebP", webp),
        ("BMP", bmp.into_inner()),
    ] {
        assert_eq!(rgb(&file), expected, "{what}");
    }
    let grey = png(&[9, 0, 9, 255, 0, 128, 200, 51], 2, 2, ExtendedColorType::La8);
    assert_eq!(rgb(&grey).into_raw(), [[255; 3], [9; 3], [127; 3], [244; 3]].concat());
}

/// A PNG of a palette with one transparent colour, or of one colour that counts as transparent,
/// made by hand.
#[test]
fn a_transparent_colour_of_a_palette_and_of_a_grey_or_rgb_picture_is_white() {
    let file = |kind: png::ColorType, palette: Option<&[u8]>, clear: &[u8], pixels: &[u8]| {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 2, 1);
        encoder.set_color(kind);
        encoder.set_depth(png::BitDepth::Eight);
        palette.into_iter().for_each(|palette| encoder.set_palette(palette.to_vec()));
        encoder.set_trns(clear.to_vec());
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        file
    };
    let palette = file(png::ColorType::Indexed, Some(&[10, 20, 30, 40, 50, 60]), &[0], &[0, 1]);
    assert_eq!(rgb(&palette).into_raw(), [255, 255, 255, 40, 50, 60]);
    let grey = file(png::ColorType::Grayscale, None, &[0, 7], &[7, 8]);
    assert_eq!(rgb(&grey).into_raw(), [255, 255, 255, 8, 8, 8]);
    let colour = file(png::ColorType::Rgb, None, &[0, 1, 0, 2, 0, 3], &[1, 2, 3, 3, 2, 1]);
    assert_eq!(rgb(&colour).into_raw(), [255, 255, 255, 3, 2, 1]);
}

#[test]
fn all_eight_orientations_are_turned_upright_in_jpeg_png_and_webp() {
    let picture = drawn();
    for note in 1..=8 {
        let exif = [
            b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(),
            &[note, 0, 0, 0],
            &[0; 4],
        ]
        .concat();
        let mut upright = DynamicImage::from(picture.clone());
        upright.apply_orientation(image::metadata::Orientation::from_exif(note).unwrap());
        let upright = upright.into_rgb8();
        let (mut png, mut webp) = (Vec::new(), Vec::new());
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(exif.clone()).unwrap();
        encoder.write_image(picture.as_raw(), 61, 45, ExtendedColorType::Rgb8).unwrap();
        let mut encoder = WebPEncoder::new_lossless(&mut webp);
        encoder.set_exif_metadata(exif.clone()).unwrap();
        encoder.write_image(picture.as_raw(), 61, 45, ExtendedColorType::Rgb8).unwrap();
        assert_eq!((rgb(&png), rgb(&webp)), (upright.clone(), upright.clone()), "{note}");
        let note_of = [b"Exif\0\0".as_slice(), &exif].concat();
        let length = (note_of.len() as u16 + 2).to_be_bytes();
        for name in [
            "base-1x1,1x1,1x1.jpg",
            "apart-2x2,1x1,1x1.jpg",
            "progressive-2x1,1x1,1x1.jpg",
            "standard-tables.jpg",
        ] {
            let plain = named(name);
            let turned = [&plain[..2], &[0xFF, 0xE1], &length, &note_of, &plain[2..]].concat();
            let (mean, _) = off(&rgb(&turned), &upright);
            assert!(mean < 4.5, "{name}, {note}: off by {mean:.1}");
        }
    }
}

#[test]
fn cut_and_zeroed_pngs_webps_and_bmps_are_refused() {
    let picture = drawn();
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        let bytes = file.into_inner();
        for at in (1..bytes.len() - 1).step_by(331).chain([bytes.len() - 2]) {
            assert!(decode(&bytes[..at]).is_err(), "{format:?} cut at {at} of {}", bytes.len());
        }
        let mut zeroed = bytes.clone();
        zeroed[bytes.len() / 2..].fill(0);
        // Black rows of a BMP may be meant.
        assert!(format == ImageFormat::Bmp || decode(&zeroed).is_err(), "{format:?}");
    }
}

#[test]
fn what_only_looks_like_a_picture_is_called_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, bytes) in [
        ("page.jpg", &b"<!DOCTYPE html><title>404</title>"[..]),
        ("film.jpg", b"GIF89a\x01\0\x01\0"),
        ("phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("new.png", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"),
        ("scan.png", b"II*\0\x08\0\0\0"),
        ("empty.jpg", b""),
        ("zeros.jpg", &[0; 5000]),
        ("noise.jpg", &[0xA5; 300]),
    ] {
        std::fs::write(at(name), bytes).unwrap();
    }
    std::fs::create_dir(at("folder.jpg")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("link.jpg")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe.jpg")).status().unwrap().success());
    for (name, says) in [
        ("page.jpg", "a web page, perhaps of an error, whatever its name says"),
        ("film.jpg", "a GIF"),
        ("phone.jpg", "a HEIC picture"),
        ("new.png", "an AVIF picture"),
        ("scan.png", "a TIFF"),
        ("empty.jpg", "the file is empty"),
        ("zeros.jpg", "begins with zeros"),
        ("noise.jpg", "no picture of a kind that is read; save it as JPEG, PNG, WebP or BMP"),
        ("folder.jpg", "a folder, not a picture"),
        ("link.jpg", "a link to a file that is not there"),
        ("pipe.jpg", "not a regular file but a pipe"),
        ("gone.jpg", "No such file"),
    ] {
        let told = decode_image(&at(name)).unwrap_err().to_string();
        assert!(told.contains(name) && told.contains(says), "{told}");
    }
}

/// A grey or colour JPEG of one level and any size, with the tables of an MJPEG film: means that do
/// not change, and nothing else.
fn flat_jpeg(width: u16, height: u16, colours: u8, progressive: bool) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    file.extend([1; 64]);
    file.extend([0xFF, if progressive { 0xC2 } else { 0xC0 }, 0, 8 + 3 * colours, 8]);
    file.extend(height.to_be_bytes());
    file.extend(width.to_be_bytes());
    file.push(colours);
    (1..=colours).for_each(|id| file.extend([id, 0x11, 0]));
    file.extend([0xFF, 0xDA, 0, 6 + 2 * colours, colours]);
    (1..=colours).for_each(|id| file.extend([id, 0]));
    file.extend(if progressive { [0, 0, 0] } else { [0, 63, 0] });
    let blocks =
        usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8) * usize::from(colours);
    // 00 is a mean that does not change, 1010 the end of a block.
    let (code, bits): (&[u8], usize) =
        if progressive { (&[0x00], 2) } else { (&[0x28, 0xA2, 0x8A], 6) };
    let whole = blocks * bits;
    file.extend(code.iter().cycle().take(whole / 8));
    if whole % 8 > 0 {
        let last = code[(whole / 8) % code.len()];
        file.push(last | (0xFF >> (whole % 8)));
    }
    file.extend([0xFF, 0xD9]);
    file
}

/// A PNG of zeros.
fn flat_png(width: u32, height: u32, kind: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
    use std::io::Write;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(kind);
    encoder.set_depth(depth);
    let samples = kind.samples() as u64 * u64::from(width);
    let row = vec![0; (samples * depth as u64).div_ceil(8) as usize];
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    (0..height).for_each(|_| stream.write_all(&row).unwrap());
    stream.finish().unwrap();
    drop(writer);
    file
}

fn chunk(kind: &[u8; 4], bytes: &[u8]) -> Vec<u8> {
    let mut crc = 0xFFFF_FFFF_u32;
    for byte in kind.iter().chain(bytes) {
        crc = (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 }
        });
    }
    [&(bytes.len() as u32).to_be_bytes()[..], kind, bytes, &(!crc).to_be_bytes()].concat()
}

/// Not a test of its own: what [`peak`] starts.
#[test]
fn measures_memory_when_asked_to() {
    let Some(path) = std::env::var_os("SQUINT_TEST_PICTURE") else { return };
    match decode_image(Path::new(&path)) {
        Ok(frame) => println!("SAID {}x{}", frame.layout().width, frame.layout().height),
        Err(error) => println!("SAID {error}"),
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("PEAK {}", status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap());
}

/// What a process of its own says to the picture, and the most memory that it had, MiB.
fn peak(bytes: &[u8]) -> (String, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb");
    std::fs::write(&path, bytes).unwrap();
    let out = again(module_path!(), "measures_memory_when_asked_to")
        .env("SQUINT_TEST_PICTURE", &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let after = |key: &str| {
        text.split_once(key)
            .unwrap_or_else(|| panic!("{text}"))
            .1
            .lines()
            .next()
            .unwrap()
            .trim()
            .to_owned()
    };
    let kib: u64 = after("PEAK ").trim_end_matches(" kB").trim().parse().unwrap();
    (after("SAID "), kib / 1024)
}

#[test]
fn a_bomb_of_each_format_is_refused_with_both_figures_before_it_costs_memory() {
    use png::{BitDepth, ColorType};
    let mut bmp = Cursor::new(Vec::new());
    RgbImage::new(4, 4).write_to(&mut bmp, ImageFormat::Bmp).unwrap();
    let mut bmp = bmp.into_inner();
    bmp[18..22].copy_from_slice(&16_384_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&16_384_u32.to_le_bytes());
    // Only the head is made: nothing behind it is looked at.
    let png = {
        let plain = flat_png(4, 4, ColorType::Rgba, BitDepth::Sixteen);
        let head =
            [&16_384_u32.to_be_bytes()[..], &11_000_u32.to_be_bytes(), &plain[24..29]].concat();
        [&plain[..8], &chunk(b"IHDR", &head), &plain[33..]].concat()
    };
    let webp = |kind: &[u8; 4], head: &[u8]| {
        let body = [head, &[0x55; 100][..head.len() % 2 + 20]].concat();
        let size = (body.len() as u32 + 12).to_le_bytes();
        [b"RIFF", &size[..], b"WEBP", kind, &(body.len() as u32).to_le_bytes(), &body].concat()
    };
    for (what, bytes, takes) in [
        (
            "PNG of one bit",
            flat_png(16_000, 16_000, ColorType::Grayscale, BitDepth::One),
            "16000x16000 pixels of this kind take 741 MiB",
        ),
        ("PNG of 64 bits", png, "16384x11000 pixels"),
        ("JPEG", flat_jpeg(16_384, 16_384, 3, false), "16384x16384 pixels"),
        ("grey JPEG", flat_jpeg(16_384, 16_384, 1, false), "16384x16384 pixels"),
        (
            "progressive JPEG",
            flat_jpeg(8000, 8000, 3, true),
            "8000x8000 pixels of this kind take 5",
        ),
        ("WebP, lossless", webp(b"VP8L", b"\x2f\xfe\xbf\xff\x0f"), "16383x16383 pixels"),
        ("WebP, lossy", webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"), "16383x16383 pixels"),
        ("BMP", bmp, "16384x16384 pixels"),
    ] {
        let (said, mib) = peak(&bytes);
        assert!(said.contains("bomb is left out: ") && said.contains(takes), "{what}: {said}");
        assert!(said.ends_with("MiB to decode, at most 512 MiB are allowed"), "{what}: {said}");
        assert!(mib < 100, "{what}: {mib} MiB");
    }
}

#[test]
fn what_is_allowed_stays_within_the_limit_with_all_its_copies() {
    use png::{BitDepth, ColorType};
    let turned = {
        let plain = flat_jpeg(12_000, 9000, 1, false);
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        [&plain[..2], &[0xFF, 0xE1], &(exif.len() as u16 + 2).to_be_bytes(), exif, &plain[2..]]
            .concat()
    };
    let mut webp = Vec::new();
    let clear = vec![7; 3000 * 3000 * 4];
    WebPEncoder::new_lossless(&mut webp)
        .write_image(&clear, 3000, 3000, ExtendedColorType::Rgba8)
        .unwrap();
    for (what, bytes, sides, most) in [
        ("a phone's photo of 108 million pixels, on its side", turned, "9000x12000", 350),
        ("progressive JPEG", flat_jpeg(7000, 7000, 3, true), "7000x7000", 480),
        (
            "PNG of one bit",
            flat_png(12_800, 12_800, ColorType::Grayscale, BitDepth::One),
            "12800x12800",
            500,
        ),
        ("WebP with transparency", webp, "3000x3000", 120),
    ] {
        let (said, mib) = peak(&bytes);
        assert_eq!(said, sides, "{what}");
        assert!(mib < most, "{what}: {mib} MiB");
    }
}

#[test]
fn notes_that_unpack_to_gigabytes_or_claim_them_cost_nothing() {
    let plain = flat_png(4, 4, png::ColorType::Rgb, png::BitDepth::Eight);
    let with = |notes: &[u8]| [&plain[..33], notes, &plain[33..]].concat();
    // 64 MB of one byte in a zlib stream that says so: stored blocks would be as long, so a claim
    // and repetition do.
    let packed = {
        let bomb = flat_png(16_384, 4000, png::ColorType::Grayscale, png::BitDepth::Eight);
        let at = bomb.windows(4).position(|name| name == b"IDAT").unwrap();
        let length = u32::from_be_bytes(bomb[at - 4..at].try_into().unwrap()) as usize;
        bomb[at + 4..at + 4 + length].to_vec()
    };
    let note = [b"x\0\0", &packed[..]].concat();
    for (what, bytes) in
        [("iCCP", with(&chunk(b"iCCP", &note))), ("zTXt", with(&chunk(b"zTXt", &note)))]
    {
        let (said, mib) = peak(&bytes);
        assert_eq!(said, "4x4", "{what}");
        assert!(mib < 60, "{what}: {mib} MiB");
    }
    let (said, mib) = peak(&with(&[&[0x7F, 0xFF, 0xFF, 0xFF][..], b"eXIf", &[0; 100]].concat()));
    assert!(said.contains("left out") && mib < 60, "{said}: {mib} MiB");
    let exif = {
        let mut webp = Vec::new();
        let mut encoder = WebPEncoder::new_lossless(&mut webp);
        encoder.set_exif_metadata(vec![0; 20]).unwrap();
        encoder.write_image(&[1, 2, 3], 1, 1, ExtendedColorType::Rgb8).unwrap();
        let at = webp.windows(4).position(|name| name == b"EXIF").unwrap();
        webp[at + 4..at + 8].copy_from_slice(&0xF000_0000_u32.to_le_bytes());
        webp
    };
    let (said, mib) = peak(&exif);
    assert!(said.contains("cut short") && mib < 60, "{said}: {mib} MiB");
}
