//! One picture: where its bytes lie, how they are laid out, and which part of it counts.
//!
//! Pure: no clock, no file, no GStreamer call. A [`Frame`] owns its memory (a mapped camera buffer
//! or a heap buffer) and is moved from thread to thread, never copied. [`Framing`] is the part of
//! the picture that the user selected; it is resolved to whole pixels here, once, so that features
//! and preprocessing use the very same pixels.

mod mapped;

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

pub use mapped::Mapped;

/// Widest and highest frame accepted, in pixels. Larger ones are refused as [`FrameError::Size`].
pub const MAX_SIDE: u32 = 16_384;

/// Index of a camera in the configuration, 0-based.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CameraId(pub u16);

/// Pixel formats that are read without conversion. 8 bits a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// One plane of luma.
    Gray8,
    /// Packed R, G, B.
    Rgb,
    /// Packed B, G, R.
    Bgr,
    /// Packed R, G, B and one ignored byte (also RGBA).
    Rgbx,
    /// Packed B, G, R and one ignored byte (also BGRA).
    Bgrx,
    /// Y plane, then interleaved U, V at half resolution.
    Nv12,
    /// Y, U, V planes; U and V at half resolution.
    I420,
}

impl PixelFormat {
    /// Number of planes.
    pub const fn planes(self) -> usize {
        match self {
            Self::Gray8 | Self::Rgb | Self::Bgr | Self::Rgbx | Self::Bgrx => 1,
            Self::Nv12 => 2,
            Self::I420 => 3,
        }
    }

    /// Bytes and rows that plane `index` needs for a `width` x `height` picture:
    /// `(bytes a row, rows)`.
    pub const fn plane_size(self, index: usize, width: u32, height: u32) -> (usize, usize) {
        let (w, h) = (width as usize, height as usize);
        let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
        match (self, index) {
            (Self::Rgb | Self::Bgr, _) => (w * 3, h),
            (Self::Rgbx | Self::Bgrx, _) => (w * 4, h),
            (Self::Nv12, 1) => (half_w * 2, half_h),
            (Self::I420, 1 | 2) => (half_w, half_h),
            _ => (w, h),
        }
    }

    /// True for formats that carry luma and chroma apart.
    pub const fn is_yuv(self) -> bool {
        matches!(self, Self::Nv12 | Self::I420)
    }
}

/// How YUV samples relate to RGB. Ignored for RGB formats; grey uses the range only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colorimetry {
    /// True for 16..=235 luma (the usual camera and video range), false for 0..=255.
    pub limited_range: bool,
    /// True for ITU-R BT.709 coefficients (HD), false for BT.601.
    pub bt709: bool,
}

impl Colorimetry {
    /// Full range, BT.601: what JPEG and RGB sources have.
    pub const FULL: Self = Self { limited_range: false, bt709: false };
}

/// Where one plane lies in the frame's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plane {
    /// First byte.
    pub offset: usize,
    /// Bytes from one row to the next; at least the row's own bytes.
    pub stride: usize,
}

/// How a frame's bytes are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pixel format.
    pub format: PixelFormat,
    /// Width in pixels, 1..=[`MAX_SIDE`].
    pub width: u32,
    /// Height in pixels, 1..=[`MAX_SIDE`].
    pub height: u32,
    /// The planes; only the first `format.planes()` count.
    pub planes: [Plane; 3],
    /// Range and matrix.
    pub color: Colorimetry,
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A side is 0 or above [`MAX_SIDE`].
    #[error("a frame of {width}x{height} pixels; both sides must be 1..={MAX_SIDE}")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A plane does not fit into the memory, or its stride is shorter than a row.
    #[error(
        "plane {plane} of a {width}x{height} {format:?} frame needs {need} bytes, the buffer has {have}"
    )]
    Short {
        /// Plane index.
        plane: usize,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Pixel format.
        format: PixelFormat,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
}

impl Layout {
    /// Tightly packed planes, one after the other.
    pub fn packed(format: PixelFormat, width: u32, height: u32, color: Colorimetry) -> Self {
        let mut planes = [Plane::default(); 3];
        let mut offset = 0;
        for (index, plane) in planes.iter_mut().enumerate().take(format.planes()) {
            let (row, rows) = format.plane_size(index, width, height);
            *plane = Plane { offset, stride: row };
            offset += row * rows;
        }
        Self { format, width, height, planes, color }
    }

    /// Bytes that this layout spans.
    pub fn bytes(&self) -> usize {
        (0..self.format.planes()).map(|index| self.plane_end(index)).max().unwrap_or(0)
    }

    fn plane_end(&self, index: usize) -> usize {
        let (row, rows) = self.format.plane_size(index, self.width, self.height);
        let Plane { offset, stride } = self.planes[index];
        offset.saturating_add(stride.saturating_mul(rows.saturating_sub(1))).saturating_add(row)
    }

    /// Checks sides, strides and that every plane lies inside `have` bytes. After this no index
    /// into a plane can fail.
    pub fn check(&self, have: usize) -> Result<(), FrameError> {
        let Self { format, width, height, .. } = *self;
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(FrameError::Size { width, height });
        }
        for plane in 0..format.planes() {
            let (row, _) = format.plane_size(plane, width, height);
            let need =
                if self.planes[plane].stride < row { usize::MAX } else { self.plane_end(plane) };
            if need > have {
                return Err(FrameError::Short { plane, width, height, format, need, have });
            }
        }
        Ok(())
    }
}

/// The bytes of a frame, owned. A closed set: heap memory, or a mapped GStreamer buffer.
pub enum Memory {
    /// Bytes on the heap (decoded images, tests).
    Heap(Arc<[u8]>),
    /// Bytes on the heap as their maker left them: a large picture is not copied.
    Owned(Vec<u8>),
    /// A camera's buffer, mapped for reading and given back to its pool when dropped.
    Mapped(Mapped),
}

impl Memory {
    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            Self::Mapped(mapped) => mapped.bytes(),
        }
    }
}

/// One picture and where it came from.
pub struct Frame {
    memory: Memory,
    layout: Layout,
    /// Which camera.
    pub camera: CameraId,
    /// Number of the frame within its source since start, counted from 0, gaps where frames were
    /// superseded.
    pub sequence: u64,
    /// When it was captured (live) or read (files), monotonic clock.
    pub captured: Instant,
    /// The same moment on the wall clock.
    pub captured_at: SystemTime,
    /// When it reached Squint, monotonic clock. Between `captured` and this lies the camera's and
    /// its driver's own time.
    pub arrived: Instant,
    /// File name for image sources.
    pub name: Option<Arc<str>>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Frame({:?} #{} {}x{} {:?})",
            self.camera, self.sequence, self.layout.width, self.layout.height, self.layout.format
        )
    }
}

impl Frame {
    /// Checks that `layout` fits `memory`. Errors as [`Layout::check`].
    pub fn new(
        memory: Memory,
        layout: Layout,
        camera: CameraId,
        sequence: u64,
        captured: Instant,
        captured_at: SystemTime,
        name: Option<Arc<str>>,
    ) -> Result<Self, FrameError> {
        layout.check(memory.bytes().len())?;
        Ok(Self {
            memory,
            layout,
            camera,
            sequence,
            captured,
            captured_at,
            arrived: captured,
            name,
        })
    }

    /// A packed RGB picture on the heap, for tests, `classify` and `features`. `rgb.len()` must be
    /// at least `3 * width * height`.
    pub fn from_rgb(
        rgb: Arc<[u8]>,
        width: u32,
        height: u32,
        name: Option<Arc<str>>,
    ) -> Result<Self, FrameError> {
        let layout = Layout::packed(PixelFormat::Rgb, width, height, Colorimetry::FULL);
        Self::new(
            Memory::Heap(rgb),
            layout,
            CameraId(0),
            0,
            Instant::now(),
            SystemTime::now(),
            name,
        )
    }

    /// The layout; checked against the memory.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bytes of plane `index`, starting at its first row; rows lie `stride` bytes apart.
    pub fn plane(&self, index: usize) -> &[u8] {
        let start = self.layout.planes[index].offset;
        &self.memory.bytes()[start..self.layout.plane_end(index)]
    }
}

/// Clockwise rotation that makes the picture upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// As it comes.
    #[default]
    None,
    /// 90 degrees clockwise.
    Clockwise90,
    /// Upside down.
    Half,
    /// 270 degrees clockwise.
    Clockwise270,
}

impl Rotation {
    /// True if width and height change places.
    pub const fn swaps_sides(self) -> bool {
        matches!(self, Self::Clockwise90 | Self::Clockwise270)
    }
}

/// Which part of the region a network gets when the aspect ratios differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// All of it, squeezed to the network's shape.
    #[default]
    Whole,
    /// The centred square of the shorter side.
    CentreCrop,
}

/// A part of the frame in shares of its sides, 0..=1, before rotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roi {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width, above 0.
    pub width: f32,
    /// Height, above 0.
    pub height: f32,
}

/// What of a camera's picture counts: region, then fit, then rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Framing {
    /// Region of interest; `None` is the whole frame.
    pub roi: Option<Roi>,
    /// Whole region or its centred square.
    pub fit: Fit,
    /// Rotation applied last.
    pub rotation: Rotation,
}

/// A rectangle in whole source pixels, never empty, inside the frame. `x` and `y` are even, for the
/// sake of chroma planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Left column, even.
    pub x: u32,
    /// Top row, even.
    pub y: u32,
    /// Width, 1 or more.
    pub width: u32,
    /// Height, 1 or more.
    pub height: u32,
}

impl Framing {
    /// The source pixels that count in a `width` x `height` frame (both at least 1), before
    /// rotation.
    pub fn region(&self, width: u32, height: u32) -> Region {
        let span = |start: f32, share: f32, side: u32| {
            let first = ((start.clamp(0.0, 1.0) * side as f32) as u32).min(side - 1) & !1;
            let length =
                ((share.clamp(0.0, 1.0) * side as f32).round() as u32).clamp(1, side - first);
            (first, length)
        };
        let roi = self.roi.unwrap_or(Roi { x: 0.0, y: 0.0, width: 1.0, height: 1.0 });
        let (x, w) = span(roi.x, roi.width, width);
        let (y, h) = span(roi.y, roi.height, height);
        match self.fit {
            Fit::Whole => Region { x, y, width: w, height: h },
            Fit::CentreCrop => {
                let side = w.min(h);
                Region {
                    x: (x + (w - side) / 2) & !1,
                    y: (y + (h - side) / 2) & !1,
                    width: side,
                    height: side,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_that_leaves_the_buffer_is_refused() {
        let layout = Layout::packed(PixelFormat::Nv12, 5, 3, Colorimetry::FULL);
        assert_eq!(layout.bytes(), 15 + 6 * 2);
        assert!(layout.check(27).is_ok());
        assert!(matches!(
            layout.check(26),
            Err(FrameError::Short { plane: 1, need: 27, have: 26, .. })
        ));
        let mut thin = layout;
        thin.planes[0].stride = 4;
        assert!(thin.check(1000).is_err(), "a stride shorter than a row");
    }

    #[test]
    fn empty_and_huge_frames_are_refused() {
        for (width, height) in [(0, 4), (4, 0), (MAX_SIDE + 1, 1)] {
            let layout = Layout::packed(PixelFormat::Gray8, width, height, Colorimetry::FULL);
            assert_eq!(layout.check(usize::MAX), Err(FrameError::Size { width, height }));
        }
        assert!(
            Layout::packed(PixelFormat::Gray8, MAX_SIDE, 1, Colorimetry::FULL)
                .check(MAX_SIDE as usize)
                .is_ok()
        );
    }

    #[test]
    fn a_region_is_never_empty_and_never_outside() {
        for (w, h) in [(1, 1), (2, 3), (640, 480), (MAX_SIDE, 2)] {
            for roi in [
                None,
                Some(Roi { x: 0.999, y: 0.5, width: 0.0, height: 1.0 }),
                Some(Roi { x: 0.25, y: 0.0, width: 0.5, height: 0.5 }),
            ] {
                for fit in [Fit::Whole, Fit::CentreCrop] {
                    let r = Framing { roi, fit, rotation: Rotation::None }.region(w, h);
                    assert!(
                        r.width >= 1 && r.height >= 1 && r.x + r.width <= w && r.y + r.height <= h,
                        "{r:?} in {w}x{h}"
                    );
                }
            }
        }
    }
}
