//! Feature extraction allocates nothing once it has seen a frame of that size, whatever the frame shows.
#![allow(clippy::unwrap_used)] // Helpers of tests; clippy knows only the test functions themselves.
#![allow(unsafe_code)] // A counting allocator has to implement the unsafe trait `GlobalAlloc`; it only forwards to `System`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use squint::features::{Scratch, extract};
use squint::frame::{self, CameraId, Colorimetry, Frame, Framing, Memory, PixelFormat, Rotation};

struct Counting;

thread_local! {
    // Per thread, so that the test harness on its own threads does not count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call goes to `System` unchanged, whose contract is the same.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

fn frame(format: PixelFormat, width: u32, height: u32, value: impl Fn(usize) -> u8) -> Frame {
    let layout = frame::Layout::packed(format, width, height, Colorimetry::FULL);
    let bytes: Arc<[u8]> = (0..layout.bytes()).map(value).collect();
    Frame::new(Memory::Heap(bytes), layout, CameraId(0), 0, Instant::now(), SystemTime::now(), None).unwrap()
}

#[test]
fn a_warm_scratch_allocates_nothing_whatever_the_frame_shows() {
    let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8;
    for format in [PixelFormat::Gray8, PixelFormat::Rgb, PixelFormat::Bgrx, PixelFormat::Nv12, PixelFormat::I420] {
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
                let before = ALLOCATIONS.get();
                for frame in &busy {
                    extract(frame, &framing, &mut scratch);
                }
                assert_eq!(ALLOCATIONS.get() - before, 0, "{format:?} {width}x{height} {rotation:?}");
            }
        }
    }
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(Box::new(std::hint::black_box(1)));
    assert!(ALLOCATIONS.get() > before);
}
