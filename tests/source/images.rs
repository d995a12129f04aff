//! Folders, patterns and single photos, with the broken files that every folder collects.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::sources::*;
use image::{ImageFormat, Rgb, RgbImage};
use squint::frame::PixelFormat;
use squint::source::{OpenRequest, SourceError, decode_image, open};

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, 99]))
}

fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture(width, height).write_to(&mut bytes, format).expect("it encodes");
    bytes.into_inner()
}

fn put(dir: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(dir.join(name), bytes).expect("it is written");
}

/// A JPEG whose EXIF note says: turn me by `orientation` (1..=8).
fn turned_jpeg(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let jpeg = encoded(width, height, ImageFormat::Jpeg);
    let tiff = [
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(),
        &[orientation, 0, 0, 0],
        &[0; 4],
    ]
    .concat();
    let exif = [b"Exif\0\0".as_slice(), &tiff].concat();
    let length = u16::try_from(exif.len() + 2).expect("a short note").to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn a_folder_is_read_in_the_order_of_names_and_other_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "b.JPEG", &encoded(9, 5, ImageFormat::Jpeg));
    put(dir.path(), "a.png", &encoded(8, 4, ImageFormat::Png));
    put(dir.path(), "d.webp", &encoded(7, 3, ImageFormat::WebP));
    put(dir.path(), "c.bmp", &encoded(6, 2, ImageFormat::Bmp));
    put(dir.path(), "readme.txt", b"not a photo");
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    let (frames, end) = drain(opened_fast(dir.path().to_str().unwrap()).as_mut());
    let seen: Vec<_> =
        frames.iter().map(|f| (f.sequence, f.name.as_deref().unwrap(), f.layout().width)).collect();
    assert_eq!(seen, [(0, "a.png", 8), (1, "b.JPEG", 9), (2, "c.bmp", 6), (3, "d.webp", 7)]);
    assert!(
        end.is_ok()
            && frames.iter().all(|f| f.layout().format == PixelFormat::Rgb && f.camera.0 == 3)
    );
    assert_eq!(frames[0].plane(0), &picture(8, 4).into_raw()[..]);
}

#[test]
fn a_pattern_names_photos_relative_to_its_fixed_part() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["cats", "dogs"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        put(&dir.path().join(folder), "1.png", &encoded(4, 4, ImageFormat::Png));
    }
    let (frames, _) = drain(opened_fast(&format!("{}/*/*.png", dir.path().display())).as_mut());
    let names: Vec<_> = frames.iter().map(|f| f.name.clone().unwrap().to_string()).collect();
    assert_eq!(names, ["cats/1.png", "dogs/1.png"]);
    let (frames, _) = drain(opened_fast(&format!("{}/cats/1.png", dir.path().display())).as_mut());
    assert_eq!(frames[0].name.as_deref(), Some("1.png"));
}

#[test]
fn broken_photos_are_reported_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let good = encoded(64, 64, ImageFormat::Jpeg);
    put(dir.path(), "1-good.jpg", &good);
    put(dir.path(), "2-headless.jpg", &good[..20]);
    put(dir.path(), "3-garbage.jpg", &[0xA5; 3000]);
    put(dir.path(), "4-empty.jpg", b"");
    put(dir.path(), "5-gone.jpg", &good);
    put(dir.path(), "6-zero.bmp", &{
        let mut bmp = encoded(4, 4, ImageFormat::Bmp);
        bmp[18..26].fill(0); // width and height
        bmp
    });
    put(dir.path(), "7-cut.png", &encoded(64, 64, ImageFormat::Png)[..150]);
    std::fs::create_dir(dir.path().join("8-folder.jpg")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("8-link.jpg")).unwrap();
    put(dir.path(), "8-png-inside.jpg", &encoded(5, 5, ImageFormat::Png));
    let mut source = opened_fast(dir.path().to_str().unwrap());
    std::fs::remove_file(dir.path().join("5-gone.jpg")).unwrap();
    let (mut read, mut left_out) = (Vec::new(), Vec::new());
    loop {
        match source.next(SOON) {
            Ok(Some(frame)) => read.push(frame.name.clone().unwrap().to_string()),
            Ok(None) => break,
            Err(SourceError::Unreadable { file, reason, origin }) => {
                eprintln!("{origin}: {file}: {reason}");
                assert!(!reason.is_empty());
                left_out.push(file.to_string());
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(read, ["1-good.jpg", "8-png-inside.jpg"]);
    let broken =
        ["2-headless.jpg", "3-garbage.jpg", "4-empty.jpg", "5-gone.jpg", "6-zero.bmp", "7-cut.png"];
    assert_eq!(left_out, [&broken[..], &["8-folder.jpg", "8-link.jpg"]].concat());
}

#[test]
fn a_photo_cut_off_in_its_pixels_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let good = encoded(200, 200, ImageFormat::Jpeg);
    for at in (1..good.len()).step_by(97).chain([good.len() - 1]) {
        put(dir.path(), "cut.jpg", &good[..at]);
        match decode_image(&dir.path().join("cut.jpg")) {
            Err(SourceError::Unreadable { file, .. }) => assert_eq!(&*file, "cut.jpg"),
            other => panic!("cut at {at}: {other:?}"),
        }
    }
}

#[test]
fn a_photo_is_turned_upright_by_its_exif_note() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "flat.jpg", &turned_jpeg(40, 20, 1));
    put(dir.path(), "up.jpg", &turned_jpeg(40, 20, 6));
    let sides = |name: &str| {
        let frame = decode_image(&dir.path().join(name)).unwrap();
        (frame.layout().width, frame.layout().height)
    };
    assert_eq!((sides("flat.jpg"), sides("up.jpg")), ((40, 20), (20, 40)));
}

#[test]
fn the_widest_photo_is_read_and_a_wider_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "wide.png", &encoded(16_384, 2, ImageFormat::Png));
    put(dir.path(), "wider.png", &encoded(16_385, 2, ImageFormat::Png));
    // A bomb: the head promises 16384 x 16384 pixels, 768 MiB as RGB.
    let mut bomb = encoded(4, 4, ImageFormat::Bmp);
    bomb[18..22].copy_from_slice(&16_384u32.to_le_bytes());
    bomb[22..26].copy_from_slice(&16_384u32.to_le_bytes());
    put(dir.path(), "bomb.bmp", &bomb);
    assert_eq!(decode_image(&dir.path().join("wide.png")).unwrap().layout().width, 16_384);
    for name in ["wider.png", "bomb.bmp"] {
        let told = decode_image(&dir.path().join(name)).unwrap_err().to_string();
        eprintln!("{told}");
        assert!(told.contains(name), "{told}");
    }
    assert!(decode_image(&dir.path().join("wider.png")).unwrap_err().to_string().contains("16384"));
}

#[test]
fn nothing_to_read_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("{}/{name}", dir.path().display());
    put(dir.path(), "notes.txt", b"x");
    for (source, says) in [
        (
            at(""),
            "none of 1 entries is an image file; images end in jpg, jpeg, jpe, jfif, png, webp, bmp",
        ),
        (at("*.jpg"), "no file is there"),
        (at("absent.jpg"), "cannot be opened: No such file"),
        (at("absent/"), "cannot be opened: No such file"),
    ] {
        let told = refusal(&source);
        assert!(told.contains(says), "{told}");
    }
    let told = decode_image(Path::new("absent.jpg")).unwrap_err().to_string();
    assert!(told.contains("absent.jpg is left out: No such file"), "{told}");
}

#[test]
fn a_paced_folder_keeps_its_rate_and_a_late_reader_is_not_chased() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..6 {
        put(dir.path(), &format!("{n}.png"), &encoded(4, 4, ImageFormat::Png));
    }
    let paced = OpenRequest { rate_hz: Some(20.0), ..request(dir.path().to_str().unwrap()) };
    let mut source = open(&paced).unwrap();
    let started = Instant::now();
    frame(source.as_mut());
    frame(source.as_mut());
    assert!(started.elapsed() >= Duration::from_millis(50));
    thread::sleep(Duration::from_millis(200)); // four turns missed
    let late = Instant::now();
    let (rest, _) = drain(source.as_mut());
    assert_eq!((rest.len(), source.superseded()), (4, 0), "nothing is dropped");
    assert!(
        late.elapsed() >= Duration::from_millis(150),
        "three full turns follow the late one: {:?}",
        late.elapsed()
    );
}

#[test]
fn a_paced_wait_ends_when_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "1.png", &encoded(4, 4, ImageFormat::Png));
    put(dir.path(), "2.png", &encoded(4, 4, ImageFormat::Png));
    let slow = OpenRequest { rate_hz: Some(0.001), ..request(dir.path().to_str().unwrap()) };
    let mut source = open(&slow).unwrap();
    frame(source.as_mut());
    let stopper = source.stopper();
    let started = Instant::now();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        stopper.stop();
    });
    assert!(source.next(Duration::ZERO).unwrap().is_none());
    assert!(source.next(Duration::ZERO).unwrap().is_none());
    assert!(started.elapsed() < SOON);
    other.join().unwrap();
}
