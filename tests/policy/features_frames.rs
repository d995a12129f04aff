//! Any frame at all gives finite features within their documented ranges, and the same picture
//! gives the same features.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use proptest::prelude::*;
use squint::features::{Features, Glimpse, NAMES, RANGES, Scratch, extract};
use squint::frame::{
    CameraId, Colorimetry, Fit, Frame, Framing, Layout, MAX_SIDE, Memory, PixelFormat, Roi,
    Rotation,
};

const FORMATS: [PixelFormat; 7] = [
    PixelFormat::Gray8,
    PixelFormat::Rgb,
    PixelFormat::Bgr,
    PixelFormat::Rgbx,
    PixelFormat::Bgrx,
    PixelFormat::Nv12,
    PixelFormat::I420,
];
const ROTATIONS: [Rotation; 4] =
    [Rotation::None, Rotation::Clockwise90, Rotation::Half, Rotation::Clockwise270];

fn noise(seed: u32, i: usize) -> u8 {
    ((i as u32 ^ seed).wrapping_mul(2_654_435_761) >> 21) as u8
}

/// A frame with `padding` bytes after each row and before the first plane.
fn padded(
    format: PixelFormat,
    (width, height): (u32, u32),
    padding: usize,
    color: Colorimetry,
    value: impl Fn(usize) -> u8,
) -> Frame {
    let mut layout = Layout::packed(format, width, height, color);
    let mut offset = padding;
    for index in 0..format.planes() {
        let (row, rows) = format.plane_size(index, width, height);
        layout.planes[index].offset = offset;
        layout.planes[index].stride = row + padding;
        offset += (row + padding) * rows;
    }
    let bytes: Arc<[u8]> = (0..layout.bytes()).map(value).collect();
    Frame::new(Memory::Heap(bytes), layout, CameraId(0), 0, Instant::now(), SystemTime::now(), None)
        .unwrap()
}

fn assert_sound(features: &Features, what: &str) {
    for ((name, value), (low, high)) in NAMES.iter().zip(features.values).zip(RANGES) {
        assert!(
            value.is_finite() && (low..=high).contains(&value),
            "{name} = {value}, not within {low}..={high}: {what}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_frame_gives_finite_features_in_range(
        (format, rotation, centre) in (0..7_usize, 0..4_usize, any::<bool>()),
        (width, height, padding) in (1..70_u32, 1..70_u32, 0..9_usize),
        (limited_range, bt709, seed, flatness) in (any::<bool>(), any::<bool>(), any::<u32>(), 0..6_u32),
        roi in prop::option::of((-0.2..1.2_f32, -0.2..1.2_f32, 0.0..1.5_f32, 0.0..1.5_f32)),
        scale in prop::sample::select(vec![1_u32, 1, 1, 5, 9]),
    ) {
        let roi = roi.map(|(x, y, width, height)| Roi { x, y, width, height });
        let fit = if centre { Fit::CentreCrop } else { Fit::Whole };
        let framing = Framing { roi, fit, rotation: ROTATIONS[rotation] };
        let color = Colorimetry { limited_range, bt709 };
        let mut scratch = Scratch::default();
        for turn in 0..2 {
            let value = |i: usize| match flatness {
                0 => noise(seed, i),
                1 => 255 * (noise(seed, i) & 1),
                2 => (seed >> turn) as u8,
                _ => noise(seed.wrapping_add(turn), i / (40 * flatness as usize)),
            };
            let frame = padded(FORMATS[format], (width * scale, height * scale), padding, color, value);
            let (features, _) = extract(&frame, &framing, &mut scratch);
            assert_sound(&features, &format!("{frame:?} {framing:?}"));
        }
    }
}

#[test]
fn extreme_sizes_are_measured_like_any_other() {
    let mut scratch = Scratch::default();
    for size in [
        (1, 1),
        (2, 1),
        (1, 2),
        (MAX_SIDE, 1),
        (1, MAX_SIDE),
        (MAX_SIDE, 2),
        (3, MAX_SIDE),
        (MAX_SIDE, 257),
        (4096, 4097),
    ] {
        for format in [PixelFormat::Gray8, PixelFormat::Rgb, PixelFormat::Nv12] {
            for rotation in [Rotation::None, Rotation::Clockwise90] {
                let framing = Framing { rotation, ..Framing::default() };
                let frame = padded(format, size, 0, Colorimetry::FULL, |i| noise(3, i / 7));
                assert_sound(&extract(&frame, &framing, &mut scratch).0, &format!("{frame:?}"));
            }
        }
    }
    let white = padded(PixelFormat::Gray8, (MAX_SIDE, MAX_SIDE), 0, Colorimetry::FULL, |_| 255);
    let (features, glimpse) = extract(&white, &Framing::default(), &mut scratch);
    assert_sound(&features, "largest frame");
    assert_eq!((features.values[1], glimpse[100]), (255.0, 255), "sums of the largest frame hold");
}

/// A smooth coloured scene with a few edges, at 0..1 coordinates.
fn scene(x: f32, y: f32) -> [f32; 3] {
    let disc =
        |cx: f32, cy: f32, radius: f32| (x - cx).powi(2) + (y - cy).powi(2) < radius * radius;
    if disc(0.3, 0.4, 0.17) {
        [200.0, 60.0, 40.0]
    } else if disc(0.7, 0.6, 0.2) {
        [50.0, 90.0, 190.0]
    } else {
        [60.0 + 60.0 * x, 110.0 + 50.0 * y, 90.0]
    }
}

/// The scene in `format`; chroma is taken at the centre of its four pixels.
fn scene_in(format: PixelFormat, (width, height): (u32, u32), color: Colorimetry) -> Frame {
    let (w, h) = (width as usize, height as usize);
    let rgb = |x: f32, y: f32| scene((x + 0.5) / w as f32, (y + 0.5) / h as f32);
    let (kr, kb) = if color.bt709 { (0.2126, 0.0722) } else { (0.299, 0.114) };
    let (black, y_gain, c_gain) =
        if color.limited_range { (16.0, 219.0 / 255.0, 224.0 / 255.0) } else { (0.0, 1.0, 1.0) };
    let yuv = |x: f32, y: f32| {
        let [r, g, b] = rgb(x, y);
        let l = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (u, v) = ((b - l) / (2.0 * (1.0 - kb)), (r - l) / (2.0 * (1.0 - kr)));
        [l * y_gain + black, u * c_gain + 128.0, v * c_gain + 128.0].map(|v| v.round() as u8)
    };
    let layout = Layout::packed(format, width, height, color);
    let mut bytes = vec![0; layout.bytes()];
    for y in 0..h {
        for x in 0..w {
            let [r, g, b] = rgb(x as f32, y as f32).map(|v| v.round() as u8);
            let packed: &[u8] = match format {
                PixelFormat::Rgb => &[r, g, b],
                PixelFormat::Bgr => &[b, g, r],
                PixelFormat::Rgbx => &[r, g, b, 7],
                PixelFormat::Bgrx => &[b, g, r, 7],
                _ => &[yuv(x as f32, y as f32)[0]],
            };
            bytes[(y * w + x) * packed.len()..][..packed.len()].copy_from_slice(packed);
        }
    }
    if format.is_yuv() {
        for (i, (y, x)) in
            (0..h.div_ceil(2)).flat_map(|y| (0..w.div_ceil(2)).map(move |x| (y, x))).enumerate()
        {
            let [_, u, v] = yuv(2.0 * x as f32 + 0.5, 2.0 * y as f32 + 0.5);
            let (at_u, at_v) = match format {
                PixelFormat::Nv12 => {
                    (layout.planes[1].offset + 2 * i, layout.planes[1].offset + 2 * i + 1)
                }
                _ => (layout.planes[1].offset + i, layout.planes[2].offset + i),
            };
            (bytes[at_u], bytes[at_v]) = (u, v);
        }
    }
    Frame::new(
        Memory::Heap(bytes.into()),
        layout,
        CameraId(0),
        0,
        Instant::now(),
        SystemTime::now(),
        None,
    )
    .unwrap()
}

fn measure(frame: &Frame, rotation: Rotation) -> (Features, Glimpse) {
    extract(frame, &Framing { rotation, ..Framing::default() }, &mut Scratch::default())
}

/// Difference as a share of what is plausible for the feature.
fn assert_near(a: &Features, b: &Features, share: f32, what: &str) {
    for ((name, a), b) in NAMES.iter().zip(a.values).zip(b.values) {
        let scale = match *name {
            "n_keypoints" => a.max(b).max(50.0),
            // Rounding to 220 levels adds noise whose Laplacian has a variance of some units;
            // photographs have hundreds.
            "sharpness" => a.max(b).max(100.0),
            share if share.starts_with("hue") || share.starts_with("edge") => 1.0,
            _ => a.abs().max(b.abs()).max(1.0),
        };
        assert!((a - b).abs() <= share * scale, "{name}: {a} and {b}, {what}");
    }
}

#[test]
fn packed_formats_of_one_picture_give_equal_features() {
    for size in [(640, 480), (333, 217), (50, 40)] {
        let (wanted, glimpse) =
            measure(&scene_in(PixelFormat::Rgb, size, Colorimetry::FULL), Rotation::None);
        for format in [PixelFormat::Bgr, PixelFormat::Rgbx, PixelFormat::Bgrx] {
            assert_eq!(
                measure(&scene_in(format, size, Colorimetry::FULL), Rotation::None),
                (wanted, glimpse),
                "{format:?}"
            );
        }
    }
}

#[test]
fn camera_formats_of_one_picture_give_nearly_the_same_features() {
    for size in [(640, 480), (1280, 720), (334, 216)] {
        let (wanted, _) =
            measure(&scene_in(PixelFormat::Rgb, size, Colorimetry::FULL), Rotation::None);
        for (limited_range, bt709) in [(false, false), (true, false), (true, true)] {
            let color = Colorimetry { limited_range, bt709 };
            let (nv12, _) = measure(&scene_in(PixelFormat::Nv12, size, color), Rotation::None);
            let (i420, _) = measure(&scene_in(PixelFormat::I420, size, color), Rotation::None);
            assert_eq!(nv12, i420, "{size:?} {color:?}");
            assert_near(&wanted, &nv12, 0.08, &format!("{size:?} {color:?}"));
        }
    }
}

#[test]
fn turning_the_frame_back_gives_the_upright_features() {
    let (width, height) = (320, 200);
    let upright = scene_in(PixelFormat::Rgb, (width, height), Colorimetry::FULL);
    let (wanted, glimpse) = measure(&upright, Rotation::None);
    let (w, h) = (width as usize, height as usize);
    let pixel = |x: usize, y: usize| &upright.plane(0)[(y * w + x) * 3..][..3];
    // How a camera mounted askew would see it: for each turn, the picture that the turn makes
    // upright.
    let on_its_side: Vec<u8> =
        (0..w).flat_map(|i| (0..h).flat_map(move |j| pixel(w - 1 - i, j)).copied()).collect();
    let head_down: Vec<u8> = (0..h)
        .flat_map(|j| (0..w).flat_map(move |i| pixel(w - 1 - i, h - 1 - j)).copied())
        .collect();
    let other_side: Vec<u8> =
        (0..w).flat_map(|i| (0..h).flat_map(move |j| pixel(i, h - 1 - j)).copied()).collect();
    for (bytes, size, rotation) in [
        (on_its_side, (height, width), Rotation::Clockwise90),
        (head_down, (width, height), Rotation::Half),
        (other_side, (height, width), Rotation::Clockwise270),
    ] {
        let frame = Frame::from_rgb(bytes.into(), size.0, size.1, None).unwrap();
        assert_eq!(measure(&frame, rotation), (wanted, glimpse), "{rotation:?}");
    }
}

#[test]
fn a_region_is_measured_as_if_it_were_the_whole_frame() {
    let whole = scene_in(PixelFormat::Rgb, (400, 300), Colorimetry::FULL);
    let part: Vec<u8> =
        (60..210).flat_map(|y| whole.plane(0)[(y * 400 + 100) * 3..][..200 * 3].to_vec()).collect();
    let part = Frame::from_rgb(part.into(), 200, 150, None).unwrap();
    let framing = Framing {
        roi: Some(Roi { x: 0.25, y: 0.2, width: 0.5, height: 0.5 }),
        ..Framing::default()
    };
    assert_eq!(extract(&whole, &framing, &mut Scratch::default()), measure(&part, Rotation::None));
}

#[test]
fn change_is_zero_first_and_after_a_change_of_size_and_else_the_mean_difference() {
    let mut scratch = Scratch::default();
    let mut change = |size, value| {
        let frame = padded(PixelFormat::Gray8, size, 0, Colorimetry::FULL, |_| value);
        extract(&frame, &Framing::default(), &mut scratch).0.values[33]
    };
    let got = [((8, 8), 0), ((8, 8), 51), ((8, 8), 51), ((9, 8), 255), ((9, 8), 0)]
        .map(|(size, value)| change(size, value));
    assert_eq!(got, [0.0, 0.2, 0.0, 0.0, 1.0]);
}
