//! From a frame to a network's input tensor: cut, resize, turn, mirror, convert, normalise.
//!
//! Pure. Resizing happens first and in the frame's own format, so that colours are converted for the few pixels that are left, and
//! one pass over those does the rest. Filters never see a pixel outside the region that counts.
//!
//! Once warm nothing is allocated here, with one exception: for every plane `fast_image_resize` makes a small filter table for each
//! row and column of the result and drops it again. A prototype of our own without them took about four times as long on x86-64,
//! where the crate uses AVX2 and safe Rust cannot.

mod colour;

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::manifest::{Area, Channels, Filter, InputSpec, TensorLayout, View};
use crate::frame::{Frame, Framing, PixelFormat, Region, Rotation};
use colour::{Palette, Pixels};

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
    /// The resizer refused; not expected for a frame that was checked.
    #[error("the frame cannot be resized: {0}")]
    Resize(String),
}

/// Makes tensors for one network. Owned by one worker.
pub struct Preprocessor {
    input: InputSpec,
    view: View,
    options: ResizeOptions,
    resizer: Resizer,
    palette: Palette,
    /// A plane's rows without gaps, where the resizer cannot skip the gaps itself.
    rows: Vec<u8>,
    /// The resized planes.
    small: [Vec<u8>; 3],
    /// One converted row, where it cannot be written in place.
    line: Vec<f32>,
}

/// A part of a plane, in the plane's own pixels.
#[derive(Clone, Copy)]
struct Cut<'a> {
    bytes: &'a [u8],
    stride: usize,
    pixel: PixelType,
    region: Region,
    /// Left, top, width, height inside the region.
    window: [f64; 4],
}

/// Where the pixel in column `x` and row `y` of the resized picture goes: `start + x * across + y * down`.
struct Turn {
    start: isize,
    across: isize,
    down: isize,
}

impl Turn {
    /// For a resized picture of `width` x `height` before rotation.
    fn new(rotation: Rotation, mirror: bool, width: usize, height: usize) -> Self {
        let (w, h) = (width as isize, height as isize);
        // Upright column and row as (constant, factor of x, factor of y), and the upright picture's width.
        let (column, row, wide) = match rotation {
            Rotation::None => ((0, 1, 0), (0, 0, 1), w),
            Rotation::Clockwise90 => ((h - 1, 0, -1), (0, 1, 0), h),
            Rotation::Half => ((w - 1, -1, 0), (h - 1, 0, -1), w),
            Rotation::Clockwise270 => ((0, 0, 1), (w - 1, -1, 0), h),
        };
        let column = if mirror { (wide - 1 - column.0, -column.1, -column.2) } else { column };
        Self { start: row.0 * wide + column.0, across: row.1 * wide + column.1, down: row.2 * wide + column.2 }
    }
}

impl Preprocessor {
    /// For a network that takes `input` and is shown `view`.
    pub fn new(input: &InputSpec, view: &View) -> Self {
        let filter = match input.filter {
            Filter::Bilinear => FilterType::Bilinear,
            Filter::Bicubic => FilterType::CatmullRom,
        };
        Self {
            input: input.clone(),
            view: *view,
            options: ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false),
            resizer: Resizer::new(),
            palette: Palette::new(input),
            rows: Vec::new(),
            small: [Vec::new(), Vec::new(), Vec::new()],
            line: Vec::new(),
        }
    }

    /// Length of the tensor.
    pub fn values(&self) -> usize {
        self.input.values()
    }

    /// Fills `out`, the tensor in the manifest's layout, with what `framing` and the view leave of `frame`.
    pub fn prepare(&mut self, frame: &Frame, framing: &Framing, out: &mut [f32]) -> Result<(), PreprocessError> {
        if out.len() != self.values() {
            return Err(PreprocessError::Length { want: self.values(), got: out.len() });
        }
        let (mut width, mut height) = (self.input.width, self.input.height);
        if framing.rotation.swaps_sides() {
            std::mem::swap(&mut width, &mut height);
        }
        let layout = frame.layout();
        let region = framing.region(layout.width, layout.height);
        let window = window(&region, &self.view, width, height);
        for index in 0..layout.format.planes() {
            let pixel = match (layout.format, index) {
                (PixelFormat::Rgb | PixelFormat::Bgr, _) => PixelType::U8x3,
                (PixelFormat::Rgbx | PixelFormat::Bgrx, _) => PixelType::U8x4,
                (PixelFormat::Nv12, 1) => PixelType::U8x2,
                _ => PixelType::U8,
            };
            let cut = Cut { bytes: frame.plane(index), stride: layout.planes[index].stride, pixel, region, window };
            self.shrink(index, &if index == 0 { cut } else { cut.halved() }, width, height)?;
        }
        let pixels = Pixels { format: layout.format, color: layout.color, planes: self.small.each_ref().map(Vec::as_slice) };
        let turn = Turn::new(framing.rotation, self.view.mirror, width as usize, height as usize);
        self.line.resize(3 * width as usize, 0.0);
        spread(&pixels, &self.palette, &self.input, &turn, [width as usize, height as usize], &mut self.line, out);
        Ok(())
    }

    /// Resizes one plane into `small[index]`.
    fn shrink(&mut self, index: usize, cut: &Cut<'_>, width: u32, height: u32) -> Result<(), PreprocessError> {
        let Region { x, y, width: cut_width, height: cut_height } = cut.region;
        let size = cut.pixel.size();
        let (rows, row) = (cut_height as usize, cut_width as usize * size);
        let bytes = &cut.bytes[y as usize * cut.stride..];
        let said = |error: &dyn std::fmt::Display| PreprocessError::Resize(error.to_string());
        // The gap after a row can be skipped if it is whole pixels, also after the last row. Otherwise the rows are copied.
        let whole = cut.stride.is_multiple_of(size) && bytes.len() >= rows * cut.stride;
        let (bytes, pitch, left) = if whole {
            (&bytes[..rows * cut.stride], cut.stride / size, x)
        } else {
            self.rows.clear();
            for line in bytes.chunks(cut.stride).take(rows) {
                self.rows.extend_from_slice(&line[x as usize * size..][..row]);
            }
            (self.rows.as_slice(), cut_width as usize, 0)
        };
        let pitch = u32::try_from(pitch).map_err(|error| said(&error))?;
        let source = ImageRef::new(pitch, cut_height, bytes, cut.pixel).map_err(|error| said(&error))?;
        let source = CroppedImage::new(&source, left, 0, cut_width, cut_height).map_err(|error| said(&error))?;
        let small = &mut self.small[index];
        small.resize(width as usize * height as usize * size, 0);
        let mut target = Image::from_slice_u8(width, height, small, cut.pixel).map_err(|error| said(&error))?;
        let [left, top, width, height] = cut.window;
        let options = self.options.crop(left, top, width, height);
        self.resizer.resize(&source, &mut target, Some(&options)).map_err(|error| said(&error))
    }
}

impl Cut<'_> {
    /// The same part of a plane at half resolution.
    fn halved(self) -> Self {
        let Region { x, y, width, height } = self.region;
        let region = Region { x: x / 2, y: y / 2, width: width.div_ceil(2), height: height.div_ceil(2) };
        Self { region, window: self.window.map(|value| value / 2.0), ..self }
    }
}

/// The part of `region` that `view` leaves for an input of `width` x `height` before rotation: left, top, width, height, not rounded.
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
                palette.row(pixels, y, [first, second, third].map(|channel| &mut channel[from..from + width]));
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
