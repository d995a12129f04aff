//! From a frame to a network's input tensor: cut, resize, turn, mirror, convert, normalise.
//!
//! Pure. Resizing happens first and in the frame's own format, so that colours are converted for
//! the few pixels that are left, and one pass over those does the rest. Filters never see a pixel
//! outside the region that counts. Once warm nothing is allocated.

mod colour;
mod resample;
mod taps;

use pulp::{Arch, NullaryFnOnce};

use super::manifest::{Area, Channels, InputSpec, TensorLayout, View};
use crate::frame::{Frame, Framing, PixelFormat, Region, Rotation};
use colour::{Palette, Pixels};
use resample::{Part, Resampler};

/// Why a frame did not become a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreprocessError {
    /// The tensor handed in has another length.
    #[error("the tensor needs room for {want} values and has {got}")]
    Length {
        /// Values expected.
        want: usize,
        /// Values there.
        got: usize,
    },
}

/// Makes tensors for one network. Owned by one worker.
pub struct Preprocessor {
    input: InputSpec,
    view: View,
    /// What this processor can do.
    arch: Arch,
    /// For planes of full and of half resolution.
    resamplers: [Resampler; 2],
    palette: Palette,
    /// The resized channels, as the format has them.
    small: [Vec<u8>; 3],
    /// One converted row, where it cannot be written in place.
    line: Vec<f32>,
}

/// One frame's work, compiled once for every set of processor features.
struct Work<'a> {
    owner: &'a mut Preprocessor,
    frame: &'a Frame,
    framing: &'a Framing,
    out: &'a mut [f32],
}

/// Where the pixel in column `x` and row `y` of the resized picture goes:
/// `start + x * across + y * down`.
struct Turn {
    start: isize,
    across: isize,
    down: isize,
}

impl Turn {
    /// For a resized picture of `width` x `height` before rotation.
    fn new(rotation: Rotation, mirror: bool, width: usize, height: usize) -> Self {
        let (w, h) = (width as isize, height as isize);
        // Upright column and row as (constant, factor of x, factor of y), and the upright picture's
        // width.
        let (column, row, wide) = match rotation {
            Rotation::None => ((0, 1, 0), (0, 0, 1), w),
            Rotation::Clockwise90 => ((h - 1, 0, -1), (0, 1, 0), h),
            Rotation::Half => ((w - 1, -1, 0), (h - 1, 0, -1), w),
            Rotation::Clockwise270 => ((0, 0, 1), (w - 1, -1, 0), h),
        };
        let column = if mirror { (wide - 1 - column.0, -column.1, -column.2) } else { column };
        Self {
            start: row.0 * wide + column.0,
            across: row.1 * wide + column.1,
            down: row.2 * wide + column.2,
        }
    }
}

impl Preprocessor {
    /// For a network that takes `input` and is shown `view`.
    pub fn new(input: &InputSpec, view: &View) -> Self {
        Self {
            input: input.clone(),
            view: *view,
            arch: Arch::new(),
            resamplers: Default::default(),
            palette: Palette::new(input),
            small: Default::default(),
            line: Vec::new(),
        }
    }

    /// Length of the tensor.
    pub fn values(&self) -> usize {
        self.input.values()
    }

    /// Fills `out`, the tensor in the manifest's layout, with what `framing` and the view leave of
    /// `frame`.
    pub fn prepare(
        &mut self,
        frame: &Frame,
        framing: &Framing,
        out: &mut [f32],
    ) -> Result<(), PreprocessError> {
        if out.len() != self.values() {
            return Err(PreprocessError::Length { want: self.values(), got: out.len() });
        }
        self.arch.dispatch(Work { owner: self, frame, framing, out });
        Ok(())
    }
}

impl NullaryFnOnce for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { owner, frame, framing, out } = self;
        let (mut width, mut height) = (owner.input.width, owner.input.height);
        if framing.rotation.swaps_sides() {
            std::mem::swap(&mut width, &mut height);
        }
        let layout = frame.layout();
        let region = framing.region(layout.width, layout.height);
        let window = window(&region, &owner.view, width, height);
        let size = [width as usize, height as usize];
        for small in &mut owner.small {
            small.resize(size[0] * size[1], 0);
        }
        for index in 0..layout.format.planes() {
            let channels = match (layout.format, index) {
                (PixelFormat::Rgb | PixelFormat::Bgr, _) => 3,
                (PixelFormat::Rgbx | PixelFormat::Bgrx, _) => 4,
                (PixelFormat::Nv12, 1) => 2,
                _ => 1,
            };
            let part = part(frame, index, channels, &region, window);
            owner.resamplers[index.min(1)].resize(
                &part,
                owner.input.filter,
                size,
                &mut owner.small[index..],
            );
        }
        let pixels = Pixels {
            format: layout.format,
            color: layout.color,
            width: size[0],
            channels: owner.small.each_ref().map(Vec::as_slice),
        };
        let turn = Turn::new(framing.rotation, owner.view.mirror, size[0], size[1]);
        owner.line.resize(3 * size[0], 0.0);
        spread(&pixels, &owner.palette, &owner.input, &turn, size, &mut owner.line, out);
    }
}

/// The part of plane `index` under `region`; planes after the first have half the resolution.
fn part<'a>(
    frame: &'a Frame,
    index: usize,
    channels: usize,
    region: &Region,
    window: [f64; 4],
) -> Part<'a> {
    let [x, y, width, height] =
        [region.x, region.y, region.width, region.height].map(|value| value as usize);
    let (corner, size, window) = match index {
        0 => ([x, y], [width, height], window),
        _ => (
            [x / 2, y / 2],
            [width.div_ceil(2), height.div_ceil(2)],
            window.map(|value| value / 2.0),
        ),
    };
    Part {
        bytes: frame.plane(index),
        stride: frame.layout().planes[index].stride,
        channels,
        corner,
        size,
        window,
    }
}

/// The part of `region` that `view` leaves for an input of `width` x `height` before rotation:
/// left, top, width, height, not rounded.
fn window(region: &Region, view: &View, width: u32, height: u32) -> [f64; 4] {
    let (w, h) = (f64::from(region.width), f64::from(region.height));
    let aspect = f64::from(width) / f64::from(height);
    let (full_w, full_h) = match view.area {
        Area::Whole => (w, h),
        Area::Centre => (w.min(h * aspect), h.min(w / aspect)),
    };
    let share = f64::from(view.share);
    let (kept_w, kept_h) = (full_w * share, full_h * share);
    [(w - kept_w) / 2.0, (h - kept_h) / 2.0, kept_w, kept_h]
}

/// Converts row after row and puts each where it belongs.
#[inline(always)]
fn spread(
    pixels: &Pixels<'_>,
    palette: &Palette,
    input: &InputSpec,
    turn: &Turn,
    [width, height]: [usize; 2],
    line: &mut [f32],
    out: &mut [f32],
) {
    let plane = width * height;
    let count = input.channels.count();
    for y in 0..height {
        let start = turn.start + y as isize * turn.down;
        if input.layout == TensorLayout::Nchw && turn.across == 1 {
            let from = start as usize;
            if let Channels::Gray = input.channels {
                palette.gray(pixels, y, &mut out[from..from + width]);
            } else {
                let (first, rest) = out.split_at_mut(plane);
                let (second, third) = rest.split_at_mut(plane);
                palette.row(
                    pixels,
                    y,
                    [first, second, third].map(|channel| &mut channel[from..from + width]),
                );
            }
            continue;
        }
        let (first, rest) = line.split_at_mut(width);
        let (second, third) = rest.split_at_mut(width);
        if count == 1 {
            palette.gray(pixels, y, first);
        } else {
            palette.row(pixels, y, [&mut *first, &mut *second, &mut *third]);
        }
        let (pixel_step, channel_step) = match input.layout {
            TensorLayout::Nchw => (1, plane),
            TensorLayout::Nhwc => (count, 1),
        };
        for (channel, values) in [&*first, &*second, &*third].into_iter().enumerate().take(count) {
            let mut at = start;
            for value in values {
                out[at as usize * pixel_step + channel * channel_step] = *value;
                at += turn.across;
            }
        }
    }
}

#[cfg(test)]
mod tests;
