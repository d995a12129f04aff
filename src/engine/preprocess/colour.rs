//! Samples of a resized row to normalised channel values.
//!
//! Pure. YUV by ITU-R BT.601 or BT.709 (the frame says which), limited range expanded to 0..=255 and clamped as the usual
//! converters do; luma of RGB pictures by BT.601, as Pillow's mode "L".

use super::super::manifest::{Channels, InputSpec};
use crate::frame::{Colorimetry, PixelFormat};

/// A resized picture, its planes without gaps.
pub(super) struct Pixels<'a> {
    pub(super) format: PixelFormat,
    pub(super) color: Colorimetry,
    pub(super) planes: [&'a [u8]; 3],
}

/// A network's normalisation.
pub(super) struct Palette {
    /// By channel of the tensor, by sample.
    table: [[f32; 256]; 3],
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
        let (luma, chroma, black) = if color.limited_range { (255.0 / 219.0, 255.0 / 224.0, 16.0) } else { (1.0, 1.0, 0.0) };
        let (red_v, green_u, green_v, blue_u) =
            if color.bt709 { (1.5748, -0.187_324, -0.468_124, 1.8556) } else { (1.402, -0.344_136, -0.714_136, 1.772) };
        Self { luma, black, red_v: red_v * chroma, green_u: green_u * chroma, green_v: green_v * chroma, blue_u: blue_u * chroma }
    }

    fn luma(&self, sample: u8) -> f32 {
        (f32::from(sample) - self.black) * self.luma
    }

    fn rgb(&self, y: u8, u: u8, v: u8) -> [f32; 3] {
        let (y, u, v) = (self.luma(y), f32::from(u) - 128.0, f32::from(v) - 128.0);
        [y + self.red_v * v, y + self.green_u * u + self.green_v * v, y + self.blue_u * u].map(clamped)
    }
}

/// On 0..=255, as the usual converters leave it.
fn clamped(value: f32) -> f32 {
    value.clamp(0.0, 255.0)
}

impl Palette {
    pub(super) fn new(input: &InputSpec) -> Self {
        let scale = input.std.map(|std| 1.0 / std);
        let shift = [0, 1, 2].map(|channel| -input.mean[channel] * scale[channel]);
        let table =
            [0, 1, 2].map(|channel| std::array::from_fn(|sample| (sample as f32 - input.mean[channel]) / input.std[channel]));
        let (red, blue) = if input.channels == Channels::Bgr { (2, 0) } else { (0, 2) };
        Self { table, scale, shift, red, blue }
    }

    /// Row `y` as three channels in the tensor's order. The lines' length is the picture's width.
    pub(super) fn row(&self, pixels: &Pixels<'_>, y: usize, lines: [&mut [f32]; 3]) {
        let width = lines[0].len();
        let [first, second, third] = lines;
        let lines = first.iter_mut().zip(second).zip(third);
        let matrix = Matrix::new(pixels.color);
        let plane = |index: usize, size: usize| &pixels.planes[index][y * width * size..][..width * size];
        let normal = |channel: usize, value: f32| value * self.scale[channel] + self.shift[channel];
        // `rgb` in the tensor's order: red and blue change places for BGR networks.
        let ordered = |rgb: [f32; 3]| [normal(0, rgb[self.red]), normal(1, rgb[1]), normal(2, rgb[self.blue])];
        let (red, blue) = (self.red, self.blue);
        match pixels.format {
            PixelFormat::Rgb => self.packed::<3>(plane(0, 3), red, blue, lines),
            PixelFormat::Bgr => self.packed::<3>(plane(0, 3), blue, red, lines),
            PixelFormat::Rgbx => self.packed::<4>(plane(0, 4), red, blue, lines),
            PixelFormat::Bgrx => self.packed::<4>(plane(0, 4), blue, red, lines),
            PixelFormat::Gray8 => {
                for (((a, b), c), sample) in lines.zip(plane(0, 1)) {
                    let value = clamped(matrix.luma(*sample));
                    (*a, *b, *c) = (normal(0, value), normal(1, value), normal(2, value));
                }
            }
            PixelFormat::Nv12 => {
                let (chroma, _) = plane(1, 2).as_chunks::<2>();
                for ((((a, b), c), luma), [u, v]) in lines.zip(plane(0, 1)).zip(chroma) {
                    [*a, *b, *c] = ordered(matrix.rgb(*luma, *u, *v));
                }
            }
            PixelFormat::I420 => {
                for (((((a, b), c), luma), u), v) in lines.zip(plane(0, 1)).zip(plane(1, 1)).zip(plane(2, 1)) {
                    [*a, *b, *c] = ordered(matrix.rgb(*luma, *u, *v));
                }
            }
        }
    }

    /// Packed samples: the tensor's first channel is sample `first` of a pixel, its last is sample `last`.
    fn packed<'l, const SIZE: usize>(
        &self,
        row: &[u8],
        first: usize,
        last: usize,
        lines: impl Iterator<Item = ((&'l mut f32, &'l mut f32), &'l mut f32)>,
    ) {
        let (pixels, _) = row.as_chunks::<SIZE>();
        for (((a, b), c), pixel) in lines.zip(pixels) {
            *a = self.table[0][usize::from(pixel[first])];
            *b = self.table[1][usize::from(pixel[1])];
            *c = self.table[2][usize::from(pixel[last])];
        }
    }

    /// Row `y` as one channel of luma. The line's length is the picture's width.
    pub(super) fn gray(&self, pixels: &Pixels<'_>, y: usize, line: &mut [f32]) {
        let (size, red) = match pixels.format {
            PixelFormat::Rgb => (3, 0),
            PixelFormat::Bgr => (3, 2),
            PixelFormat::Rgbx => (4, 0),
            PixelFormat::Bgrx => (4, 2),
            PixelFormat::Gray8 | PixelFormat::Nv12 | PixelFormat::I420 => (1, 0),
        };
        let row = &pixels.planes[0][y * line.len() * size..];
        let matrix = Matrix::new(pixels.color);
        for (value, pixel) in line.iter_mut().zip(row.chunks_exact(size)) {
            let luma = match size {
                1 => clamped(matrix.luma(pixel[0])),
                _ => 0.299 * f32::from(pixel[red]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2 - red]),
            };
            *value = luma * self.scale[0] + self.shift[0];
        }
    }
}
