//! Features of committed pictures against a second implementation
//! (`tests/reference/features_reference.py`, OpenCV and NumPy).
//!
//! The reference was written from the definitions, not from this crate. `tests/data/README.md` says
//! how to make the golden file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use squint::features::{COUNT, NAMES, Scratch, extract};
use squint::frame::{Frame, Framing};

#[derive(Deserialize)]
struct Golden {
    pictures: BTreeMap<String, Picture>,
}

#[derive(Deserialize)]
struct Picture {
    area_difference: u8,
    values: BTreeMap<String, f64>,
    glimpse: Vec<u8>,
}

/// Largest difference allowed, as a share of the larger value, plus the absolute floor: rounding of
/// 32-bit results, nothing else. Counts and shares of counted pixels are equal to the last pixel.
const RELATIVE: f64 = 1e-6;
const ABSOLUTE: f64 = 1e-7;

/// Mean and rms of perceived brightness are sums of rounded 32-bit roots on both sides.
const RELATIVE_PERCEIVED: f64 = 1e-5;

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder)
}

fn golden() -> Golden {
    serde_json::from_str(&std::fs::read_to_string(data("features_golden.json")).unwrap()).unwrap()
}

fn open(name: &str) -> image::RgbImage {
    let path = ["features", "photos"]
        .map(|folder| data(folder).join(name))
        .into_iter()
        .find(|path| path.exists());
    image::open(path.unwrap_or_else(|| panic!("{name} is in the golden file and not on the disk")))
        .unwrap()
        .to_rgb8()
}

fn frame(picture: &image::RgbImage) -> Frame {
    Frame::from_rgb(Arc::from(picture.as_raw().as_slice()), picture.width(), picture.height(), None)
        .unwrap()
}

#[test]
fn features_equal_the_reference_on_every_picture() {
    let mut wrong = Vec::new();
    let mut scratch = Scratch::default();
    for (name, expected) in golden().pictures {
        let picture = open(&name);
        // `change` is against the mirrored picture, everything else knows no past.
        extract(
            &frame(&image::imageops::flip_horizontal(&picture)),
            &Framing::default(),
            &mut scratch,
        );
        let (features, glimpse) = extract(&frame(&picture), &Framing::default(), &mut scratch);
        for (feature, &value) in NAMES.iter().zip(&features.values) {
            let (value, wanted) = (f64::from(value), expected.values[*feature]);
            let relative =
                if feature.contains("perceived") { RELATIVE_PERCEIVED } else { RELATIVE };
            if (value - wanted).abs() > ABSOLUTE + relative * value.abs().max(wanted.abs()) {
                wrong.push(format!("{name}: {feature} is {value}, the reference has {wanted}"));
            }
        }
        if glimpse[..] != expected.glimpse[..] {
            wrong.push(format!("{name}: the glimpse differs"));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_golden_file_knows_every_picture_and_every_feature() {
    let golden = golden();
    let on_disk =
        ["features", "photos"].iter().flat_map(|folder| std::fs::read_dir(data(folder)).unwrap());
    let names: Vec<_> =
        on_disk.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(
        names.len() >= 18 && names.iter().all(|name| golden.pictures.contains_key(name)),
        "{names:?}"
    );
    for (name, picture) in &golden.pictures {
        assert_eq!(picture.values.len(), COUNT, "{name}");
        assert!(
            picture.area_difference <= 1,
            "{name}: INTER_AREA is further than rounding from the exact area average"
        );
    }
}
