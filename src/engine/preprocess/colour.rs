//! Samples of a resized row to normalised channel values.
//!
//! Pure. YUV by ITU-R BT.601 or BT.709 (the frame says which), limited range expanded to 0..=255
//! and clamped as the usual converters do; luma of RGB pictures by BT.601, as Pillow's mode "L".

use super::super::manifest::{Channels, InputSpec};
use crate::frame::{Colorimetry, PixelFormat};

/// A resized picture, a plane for each channel: red, green, blue or blue, green, red or Y, U, V, as
/// `format` has them.
pub(super) struct Pixels<'a> {
    pub(super) format: PixelFormat,
    pub(super) color: Colorimetry,
    pub(super) width: usize,
    pub(super) channels: [&'a [u8]; 3],
}

impl<'a> Pixels<'a> {
    #[inline(always)]
    fn rows(&self, y: usize) -> [&'a [u8]; 3] {
        self.channels.map(|channel| &channel[y * self.width..][..self.width])
    }
}

/// A network's normalisation.
pub(super) struct Palette {
    /// By channel of the tensor: `value * scale + shift`.
    scale: [f32; 3],
    shift: [f32; 3],
    /// Place of red and of blue in the tensor.
    red: usize,
    blue: usize,
}

/// Factors of one YUV flavour; samples as they come, results on 0..=255.
struct Matrix {
    luma: f32,
    black: f32,
    red_v: f32,
    green_u: f32,
    green_v: f32,
    blue_u: f32,
}

impl Matrix {
    fn new(color: Colorimetry) -> Self {
        let (luma, chroma, black) = if color.limited_range {
            (255.0 / 219.0, 255.0 / 224.0, 16.0)
        } else {
            (1.0, 1.0, 0.0)
        };
        let (red_v, green_u, green_v, blue_u) = if color.bt709 {
            (1.5748, -0.187_324, -0.468_124, 1.8556)
        } else {
            (1.402, -0.344_136, -0.714_136, 1.772)
        };
        Self {
            luma,
            black,
            red_v: red_v * chroma,
            green_u: green_u * chroma,
            green_v: green_v * chroma,
            blue_u: blue_u * chroma,
        }
    }

    #[inline(always)]
    fn luma(&self, sample: u8) -> f32 {
        (f32::from(sample) - self.black) * self.luma
    }

    #[inline(always)]
    fn rgb(&self, y: u8, u: u8, v: u8) -> [f32; 3] {
        let (y, u, v) = (self.luma(y), f32::from(u) - 128.0, f32::from(v) - 128.0);
        [y + self.red_v * v, y + self.green_u * u + self.green_v * v, y + self.blue_u * u]
            .map(clamped)
    }
}

/// On 0..=255, as the usual converters leave it.
#[inline(always)]
fn clamped(value: f32) -> f32 {
    value.clamp(0.0, 255.0)
}

impl Palette {
    pub(super) fn new(input: &InputSpec) -> Self {
        let scale = input.std.map(|std| 1.0 / std);
        let shift = [0, 1, 2].map(|channel| -input.mean[channel] * scale[channel]);
        let (red, blue) = if input.channels == Channels::Bgr { (2, 0) } else { (0, 2) };
        Self { scale, shift, red, blue }
    }

    /// Row `y` as three channels in the tensor's order. The lines' length is the picture's width.
    #[inline(always)]
    pub(super) fn row(&self, pixels: &Pixels<'_>, y: usize, lines: [&mut [f32]; 3]) {
        let [first, second, third] = pixels.rows(y);
        let (red, blue) = (self.red, self.blue);
        match pixels.format {
            PixelFormat::Rgb | PixelFormat::Rgbx => {
                self.plain([first, second, third], red, blue, lines)
            }
            PixelFormat::Bgr | PixelFormat::Bgrx => {
                self.plain([first, second, third], blue, red, lines)
            }
            PixelFormat::Gray8 => {
                let matrix = Matrix::new(pixels.color);
                for (channel, line) in lines.into_iter().enumerate() {
                    let (scale, shift) = (self.scale[channel], self.shift[channel]);
                    for (value, sample) in line.iter_mut().zip(first) {
                        *value = clamped(matrix.luma(*sample)) * scale + shift;
                    }
                }
            }
            PixelFormat::Nv12 | PixelFormat::I420 => {
                let matrix = Matrix::new(pixels.color);
                let [a, b, c] = lines;
                let (a, c) = if red == 0 { (a, c) } else { (c, a) };
                let (scale, shift) = (self.scale, self.shift);
                let samples = first.iter().zip(second).zip(third);
                for (((a, b), c), ((y, u), v)) in a.iter_mut().zip(b).zip(c).zip(samples) {
                    let [r, g, bl] = matrix.rgb(*y, *u, *v);
                    *a = r * scale[red] + shift[red];
                    *b = g * scale[1] + shift[1];
                    *c = bl * scale[blue] + shift[blue];
                }
            }
        }
    }

    /// The tensor's first channel is channel `first` of the picture, its last is channel `last`.
    #[inline(always)]
    fn plain(&self, rows: [&[u8]; 3], first: usize, last: usize, lines: [&mut [f32]; 3]) {
        for (channel, (line, from)) in lines.into_iter().zip([first, 1, last]).enumerate() {
            let (scale, shift) = (self.scale[channel], self.shift[channel]);
            for (value, sample) in line.iter_mut().zip(rows[from]) {
                *value = f32::from(*sample) * scale + shift;
            }
        }
    }

    /// Row `y` as one channel of luma. The line's length is the picture's width.
    #[inline(always)]
    pub(super) fn gray(&self, pixels: &Pixels<'_>, y: usize, line: &mut [f32]) {
        let [first, second, third] = pixels.rows(y);
        let (scale, shift) = (self.scale[0], self.shift[0]);
        let (red, blue) = match pixels.format {
            PixelFormat::Rgb | PixelFormat::Rgbx => (first, third),
            PixelFormat::Bgr | PixelFormat::Bgrx => (third, first),
            PixelFormat::Gray8 | PixelFormat::Nv12 | PixelFormat::I420 => {
                let matrix = Matrix::new(pixels.color);
                for (value, sample) in line.iter_mut().zip(first) {
                    *value = clamped(matrix.luma(*sample)) * scale + shift;
                }
                return;
            }
        };
        for (((value, r), g), b) in line.iter_mut().zip(red).zip(second).zip(blue) {
            *value = (0.299 * f32::from(*r) + 0.587 * f32::from(*g) + 0.114 * f32::from(*b))
                * scale
                + shift;
        }
    }
}
