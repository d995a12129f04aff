//! Small pictures of photos, for the page of `squint evaluate --html`. A photo that is missing or
//! broken has none; nothing fails for it.

use std::io::Cursor;
use std::path::{Component, Path};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageBuffer, Rgb};

use crate::lab::page::Thumbnails;
use crate::source::decode_image;

/// Longer side of a picture, pixels.
const SIDE: u32 = 200;
/// Of the JPEG, 1 to 100.
const QUALITY: u8 = 78;

/// Pictures of those `files` that lie in `folder`. Without a folder there are none.
pub(crate) fn of(files: &[&str], folder: Option<&Path>) -> Thumbnails {
    let Some(folder) = folder else { return Thumbnails::new() };
    let pictures: Thumbnails = files
        .iter()
        .filter_map(|file| Some(((*file).to_owned(), thumbnail(folder, file)?)))
        .collect();
    let without = files.iter().filter(|file| !pictures.contains_key(**file)).count();
    if without > 0 {
        log::warn!(
            "{}: {without} of {} photos cannot be shown on the page",
            folder.display(),
            files.len()
        );
    }
    pictures
}

/// The name comes from a profile that others may have made: nothing outside the folder is read.
fn thumbnail(folder: &Path, file: &str) -> Option<Vec<u8>> {
    let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    let frame = decode_image(&inside.then(|| folder.join(file))?).ok()?;
    let (width, height) = (frame.layout().width, frame.layout().height);
    // Looked at where it is: a large photo is not copied.
    let photo = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(width, height, frame.plane(0))?;
    let shrink = f64::from(SIDE) / f64::from(width.max(height).max(1));
    let side = |length: u32| ((f64::from(length) * shrink.min(1.0)).round() as u32).max(1);
    let small = image::imageops::thumbnail(&photo, side(width), side(height));
    let mut jpeg = Cursor::new(Vec::new());
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY)).ok()?;
    Some(jpeg.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    #[test]
    fn photos_shrink_and_what_is_missing_broken_or_outside_is_left_out() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("photos");
        std::fs::create_dir(&folder).unwrap();
        RgbImage::from_pixel(800, 400, image::Rgb([200, 30, 30]))
            .save(folder.join("wide.png"))
            .unwrap();
        std::fs::copy(folder.join("wide.png"), home.path().join("secret.png")).unwrap();
        std::fs::write(folder.join("broken.jpg"), b"no picture").unwrap();
        let secret = home.path().join("secret.png");
        let files = [
            "wide.png",
            "broken.jpg",
            "missing.jpg",
            "../secret.png",
            secret.to_str().unwrap(),
            "",
        ];
        let found = of(&files, Some(&folder));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["wide.png"]);
        let small = image::load_from_memory(&found["wide.png"]).unwrap();
        assert_eq!((small.width(), small.height()), (200, 100));
        assert!(of(&files, None).is_empty());
    }
}
