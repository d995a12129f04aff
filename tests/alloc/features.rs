//! Feature extraction allocates nothing once it has seen a frame of that size, whatever the frame
//! shows.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::allocations::allocations;
use squint::features::{Scratch, extract};
use squint::frame::{self, CameraId, Colorimetry, Frame, Framing, Memory, PixelFormat, Rotation};

fn frame(format: PixelFormat, width: u32, height: u32, value: impl Fn(usize) -> u8) -> Frame {
    let layout = frame::Layout::packed(format, width, height, Colorimetry::FULL);
    let bytes: Arc<[u8]> = (0..layout.bytes()).map(value).collect();
    Frame::new(Memory::Heap(bytes), layout, CameraId(0), 0, Instant::now(), SystemTime::now(), None)
        .unwrap()
}

#[test]
fn a_warm_scratch_allocates_nothing_whatever_the_frame_shows() {
    let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8;
    for format in [
        PixelFormat::Gray8,
        PixelFormat::Rgb,
        PixelFormat::Bgrx,
        PixelFormat::Nv12,
        PixelFormat::I420,
    ] {
        for (width, height) in [(640, 480), (160, 120), (641, 333), (3, 2)] {
            for rotation in [Rotation::None, Rotation::Clockwise90] {
                let framing = Framing { rotation, ..Framing::default() };
                let mut scratch = Scratch::default();
                // Two frames, as `change` keeps two lumas in turn. A flat frame needs the least.
                extract(&frame(format, width, height, |_| 90), &framing, &mut scratch);
                extract(&frame(format, width, height, |_| 90), &framing, &mut scratch);
                let busy = [
                    frame(format, width, height, noise),
                    frame(format, width, height, |i| if i % 2 == 0 { 0 } else { 255 }),
                    frame(format, width, height, |i| noise(i / 40)),
                ];
                let count = allocations(|| {
                    for frame in &busy {
                        extract(frame, &framing, &mut scratch);
                    }
                });
                assert_eq!(count, 0, "{format:?} {width}x{height} {rotation:?}");
            }
        }
    }
}
