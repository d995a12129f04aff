//! Against Pillow (tests/reference/preprocess_reference.py), against itself in other formats, and
//! at the edges.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::*;
use crate::engine::manifest::Filter;
use crate::frame::{CameraId, Colorimetry, Fit, Layout, Memory, Plane, Roi};

const WHOLE: View = View { area: Area::Whole, share: 1.0, mirror: false };

fn spec(width: u32, height: u32) -> InputSpec {
    InputSpec {
        name: None,
        width,
        height,
        layout: TensorLayout::Nchw,
        channels: Channels::Rgb,
        mean: [0.0; 3],
        std: [1.0; 3],
        filter: Filter::Bilinear,
    }
}

/// The same picture as in the Python script.
fn drawn(width: u32, height: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| {
        let board = if (x / 5 + y / 4) % 2 == 1 { 255 } else { 10 };
        [(x * 4 + y) % 256, (x * x + 3 * y) % 256, board]
            .map(|sample| (50 + sample * 150 / 255) as u8)
    };
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
}

fn frame(bytes: Vec<u8>, layout: Layout) -> Frame {
    Frame::new(
        Memory::Heap(Arc::from(bytes)),
        layout,
        CameraId(0),
        0,
        Instant::now(),
        SystemTime::now(),
        None,
    )
    .unwrap()
}

fn packed(
    format: PixelFormat,
    width: u32,
    height: u32,
    bytes: Vec<u8>,
    color: Colorimetry,
) -> Frame {
    frame(bytes, Layout::packed(format, width, height, color))
}

fn rgb(width: u32, height: u32) -> Frame {
    packed(PixelFormat::Rgb, width, height, drawn(width, height), Colorimetry::FULL)
}

fn tensor(frame: &Frame, framing: &Framing, input: &InputSpec, view: &View) -> Vec<f32> {
    let mut out = vec![f32::NAN; input.values()];
    Preprocessor::new(input, view).prepare(frame, framing, &mut out).unwrap();
    assert!(out.iter().all(|value| value.is_finite()), "every value is written");
    out
}

fn plain(frame: &Frame, input: &InputSpec) -> Vec<f32> {
    tensor(frame, &Framing::default(), input, &WHOLE)
}

fn assert_close(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: off by {worst}, allowed {tolerance}");
}

#[test]
fn tensors_are_what_pillow_makes() {
    let expected = include_str!("../../../tests/reference/preprocess_expected.txt");
    for line in expected.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [width, height, to_width, to_height] =
            [1, 2, 3, 4].map(|index: usize| words[index].parse::<u32>().unwrap());
        let filter = if words[5] == "bicubic" { Filter::Bicubic } else { Filter::Bilinear };
        let area = if words[6] == "centre" { Area::Centre } else { Area::Whole };
        let view = View { area, share: words[7].parse().unwrap(), mirror: false };
        let hex = words[8];
        let want: Vec<f32> = (0..hex.len() / 2)
            .map(|at| f32::from(u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()))
            .collect();
        let input = InputSpec { filter, layout: TensorLayout::Nhwc, ..spec(to_width, to_height) };
        let got = tensor(&rgb(width, height), &Framing::default(), &input, &view);
        // Pillow rounds between its two passes and goes across first, the resizer here goes down
        // first.
        assert_close(&got, &want, 2.0, words[0]);
    }
}

#[test]
fn values_are_normalised_in_the_networks_order_of_channels_and_axes() {
    let one = packed(PixelFormat::Rgb, 1, 1, vec![10, 20, 30], Colorimetry::FULL);
    let input = InputSpec { mean: [1.0, 2.0, 3.0], std: [2.0, 4.0, 8.0], ..spec(2, 1) };
    assert_eq!(plain(&one, &input), [4.5, 4.5, 4.5, 4.5, 3.375, 3.375]);
    let nhwc = InputSpec { layout: TensorLayout::Nhwc, ..input.clone() };
    assert_eq!(plain(&one, &nhwc), [4.5, 4.5, 3.375, 4.5, 4.5, 3.375]);
    let bgr = InputSpec { channels: Channels::Bgr, ..input.clone() };
    assert_eq!(plain(&one, &bgr), [14.5, 14.5, 4.5, 4.5, 0.875, 0.875]);
    let gray = InputSpec { channels: Channels::Gray, ..input };
    assert_close(&plain(&one, &gray), &[8.575, 8.575], 1e-5, "0.299 R + 0.587 G + 0.114 B");
}

#[test]
fn all_packed_formats_and_any_stride_give_the_same_tensor() {
    let (width, height) = (33, 21);
    let want = plain(&rgb(width, height), &spec(12, 10));
    let pixels = drawn(width, height);
    let cases = [
        (PixelFormat::Bgr, [2, 1, 0, 0], 3),
        (PixelFormat::Rgbx, [0, 1, 2, 9], 4),
        (PixelFormat::Bgrx, [2, 1, 0, 9], 4),
    ];
    for (format, order, size) in cases {
        let shuffled = pixels.as_chunks::<3>().0.iter().flat_map(|pixel| {
            (0..size).map(|place: usize| {
                order.get(place).and_then(|from| pixel.get(*from as usize)).copied().unwrap_or(77)
            })
        });
        let other = packed(format, width, height, shuffled.collect(), Colorimetry::FULL);
        assert_eq!(plain(&other, &spec(12, 10)), want, "{format:?}");
    }
    for (stride, tail) in [(99, 0), (100, 0), (102, 0), (102, 3), (128, 128)] {
        let mut bytes = vec![200; 7];
        for row in pixels.chunks(99) {
            bytes.extend_from_slice(row);
            bytes.resize(bytes.len() + stride - 99, 201);
        }
        bytes.truncate(7 + stride * 20 + 99 + tail);
        let mut layout = Layout::packed(PixelFormat::Rgb, width, height, Colorimetry::FULL);
        layout.planes[0] = Plane { offset: 7, stride };
        assert_eq!(
            plain(&frame(bytes, layout), &spec(12, 10)),
            want,
            "stride {stride}, {tail} bytes after the last row"
        );
    }
}

#[test]
fn turning_and_mirroring_move_pixels_and_change_none() {
    // Square target and source of the same size: nothing is resampled, so equality is exact.
    let side = 8;
    let source = rgb(side, side);
    let input = InputSpec { channels: Channels::Gray, ..spec(side, side) };
    let upright = plain(&source, &input);
    let at = |x: u32, y: u32| upright[(y * side + x) as usize];
    let last = side - 1;
    type Place = fn(u32, u32, u32) -> (u32, u32);
    let cases: [(Rotation, Place); 4] = [
        (Rotation::None, |x, y, _| (x, y)),
        (Rotation::Clockwise90, |x, y, last| (y, last - x)),
        (Rotation::Half, |x, y, last| (last - x, last - y)),
        (Rotation::Clockwise270, |x, y, last| (last - y, x)),
    ];
    for layout in [TensorLayout::Nchw, TensorLayout::Nhwc] {
        let input = InputSpec { layout, ..input.clone() };
        for (rotation, from) in cases {
            for mirror in [false, true] {
                let framing = Framing { rotation, ..Framing::default() };
                let got = tensor(&source, &framing, &input, &View { mirror, ..WHOLE });
                for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                    let (from_x, from_y) = from(if mirror { last - x } else { x }, y, last);
                    assert_eq!(
                        got[(y * side + x) as usize],
                        at(from_x, from_y),
                        "{rotation:?} {mirror} {x},{y}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_quarter_turn_swaps_the_sides_of_the_cut() {
    // A wide network looking at a tall frame that lies on its side: upright it fits exactly, so the
    // centre is everything.
    let input = spec(20, 10);
    let view = View { area: Area::Centre, ..WHOLE };
    let framing = Framing { rotation: Rotation::Clockwise90, ..Framing::default() };
    let tall = rgb(30, 60);
    assert_eq!(tensor(&tall, &framing, &input, &view), tensor(&tall, &framing, &input, &WHOLE));
    let colour = tensor(&tall, &framing, &InputSpec { layout: TensorLayout::Nhwc, ..input }, &view);
    assert!(colour.iter().all(|value| (0.0..=255.0).contains(value)));
}

#[test]
fn pixels_outside_the_region_do_not_bleed_in() {
    let mut pixels = vec![255_u8; 40 * 40 * 3];
    for (index, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (x, y) = (index % 40, index / 40);
        if (10..30).contains(&x) && (10..30).contains(&y) {
            *pixel = [40, 50, 60];
        }
    }
    let source = packed(PixelFormat::Rgb, 40, 40, pixels, Colorimetry::FULL);
    let roi = Some(Roi { x: 0.25, y: 0.25, width: 0.5, height: 0.5 });
    for fit in [Fit::Whole, Fit::CentreCrop] {
        let got = tensor(&source, &Framing { roi, fit, ..Framing::default() }, &spec(6, 6), &WHOLE);
        assert_close(&got[..36], &[40.0; 36], 0.0, "red");
        assert_close(&got[72..], &[60.0; 36], 0.0, "blue");
    }
}

/// The picture in YUV by the textbook, chroma averaged over 2x2 (less at odd edges).
fn yuv(width: u32, height: u32, color: Colorimetry) -> (Vec<u8>, Vec<[u8; 2]>) {
    let (kr, kb) = if color.bt709 { (0.2126, 0.0722) } else { (0.299, 0.114) };
    let (ys, cs, black) =
        if color.limited_range { (219.0, 224.0, 16.0) } else { (255.0, 255.0, 0.0) };
    let smooth =
        |x: u32, y: u32| [40.0 + 2.0 * f64::from(x), 200.0 - f64::from(y), 60.0 + f64::from(x + y)];
    let convert = |[r, g, b]: [f64; 3]| {
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (u, v) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
        [black + y / 255.0 * ys, 128.0 + u / 255.0 * cs, 128.0 + v / 255.0 * cs]
    };
    let luma = (0..height)
        .flat_map(|y| (0..width).map(move |x| convert(smooth(x, y))[0].round() as u8))
        .collect();
    let mut chroma = Vec::new();
    for (y, x) in (0..height).step_by(2).flat_map(|y| (0..width).step_by(2).map(move |x| (y, x))) {
        let near: Vec<_> = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .iter()
            .filter(|(dy, dx)| x + dx < width && y + dy < height)
            .map(|(dy, dx)| convert(smooth(x + dx, y + dy)))
            .collect();
        chroma.push([1, 2].map(|index: usize| {
            (near.iter().map(|yuv| yuv[index]).sum::<f64>() / near.len() as f64).round() as u8
        }));
    }
    (luma, chroma)
}

#[test]
fn yuv_frames_give_the_tensor_of_the_same_picture_in_rgb() {
    for (width, height) in [(48, 36), (47, 35)] {
        let smooth = (0..height)
            .flat_map(|y: u32| {
                (0..width).flat_map(move |x: u32| {
                    [40 + 2 * x, 200 - y, 60 + x + y].map(|sample| sample as u8)
                })
            })
            .collect();
        let want = plain(
            &packed(PixelFormat::Rgb, width, height, smooth, Colorimetry::FULL),
            &spec(16, 12),
        );
        for (limited_range, bt709) in [(false, false), (false, true), (true, false), (true, true)] {
            let color = Colorimetry { limited_range, bt709 };
            let (luma, chroma) = yuv(width, height, color);
            let mut nv12 = luma.clone();
            nv12.extend(chroma.iter().flatten());
            let mut i420 = luma.clone();
            i420.extend(chroma.iter().map(|pair| pair[0]));
            i420.extend(chroma.iter().map(|pair| pair[1]));
            let nv12 = plain(&packed(PixelFormat::Nv12, width, height, nv12, color), &spec(16, 12));
            let i420 = plain(&packed(PixelFormat::I420, width, height, i420, color), &spec(16, 12));
            assert_eq!(nv12, i420, "{color:?}");
            assert_close(&nv12, &want, 4.0, &format!("{color:?} {width}x{height}"));
        }
    }
}

#[test]
fn gray_frames_fill_all_channels_and_respect_the_range() {
    let full = packed(PixelFormat::Gray8, 3, 2, vec![16, 16, 16, 16, 16, 16], Colorimetry::FULL);
    assert_eq!(plain(&full, &spec(2, 2)), [16.0; 12]);
    let color = Colorimetry { limited_range: true, bt709: true };
    let gray = InputSpec { channels: Channels::Gray, ..spec(2, 2) };
    for (sample, value) in [(16, 0.0), (235, 255.0), (255, 255.0), (0, 0.0)] {
        let limited = packed(PixelFormat::Gray8, 2, 2, vec![sample; 4], color);
        assert_close(&plain(&limited, &spec(2, 2)), &[value; 12], 1e-4, "three channels");
        assert_close(&plain(&limited, &gray), &[value; 4], 1e-4, "one channel");
    }
}

#[test]
fn the_smallest_the_widest_and_odd_frames_work_in_every_format() {
    let formats = [
        PixelFormat::Gray8,
        PixelFormat::Rgb,
        PixelFormat::Bgr,
        PixelFormat::Rgbx,
        PixelFormat::Bgrx,
        PixelFormat::Nv12,
        PixelFormat::I420,
    ];
    let share = View { area: Area::Centre, share: 0.1, mirror: true };
    for format in formats {
        for (width, height) in [(1, 1), (16_384, 1), (1, 16_384), (16_384, 3), (17, 3), (641, 479)]
        {
            let layout = Layout::packed(format, width, height, Colorimetry::FULL);
            let source = frame(vec![128; layout.bytes()], layout);
            for rotation in [Rotation::None, Rotation::Clockwise90] {
                let framing = Framing { rotation, ..Framing::default() };
                for view in [WHOLE, share] {
                    let out = tensor(&source, &framing, &spec(31, 7), &view);
                    assert_close(
                        &out,
                        &vec![128.0; out.len()],
                        1e-3,
                        &format!("{format:?} {width}x{height} {rotation:?}"),
                    );
                }
            }
        }
    }
}

#[test]
fn a_tensor_of_another_length_is_refused() {
    let mut preprocessor = Preprocessor::new(&spec(4, 4), &WHOLE);
    let refused = preprocessor.prepare(&rgb(8, 8), &Framing::default(), &mut [0.0; 47]);
    assert_eq!(refused, Err(PreprocessError::Length { want: 48, got: 47 }));
}
