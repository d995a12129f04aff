//! The working image: the part of a frame that counts, upright, shrunk to about 19 200 pixels, as
//! full-range R, G, B and Y.
//!
//! The only file of this module that knows pixel formats. Camera formats are shrunk plane by plane
//! and converted afterwards, on the small image. Never larger than the region it shows.

use crate::frame::{Colorimetry, Frame, Framing, PixelFormat, Region, Rotation};

use super::shrink::{Axis, Rows, shrink};

/// Pixels of the working image, about: 160 x 120. Rounding of the sides makes it 25 600 at most.
pub(super) const AREA: u32 = 160 * 120;

/// Width and height of the working image of a region: the same shape, [`AREA`] pixels, no side
/// enlarged.
pub(super) fn size(width: u32, height: u32) -> (u32, u32) {
    if u64::from(width) * u64::from(height) <= u64::from(AREA) {
        return (width, height);
    }
    let side = |a: u32, b: u32| {
        ((f64::from(AREA) * f64::from(a) / f64::from(b)).sqrt().round() as u32).clamp(1, a)
    };
    (side(width, height), side(height, width))
}

/// A working image and the buffers to make it. Planes are row-major, `width * height` bytes.
#[derive(Default)]
pub(super) struct Working {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Red, green, blue, 0..=255.
    pub(super) rgb: [Vec<u8>; 3],
    /// Luma, 0..=255.
    pub(super) luma: Vec<u8>,
    turned: Vec<u8>,
    axes: [Axis; 2],
    chroma_axes: [Axis; 2],
    rows: Rows,
}

impl Working {
    /// Makes the working image of `frame`. Keeps its memory from call to call.
    pub(super) fn load(&mut self, frame: &Frame, framing: &Framing) {
        let layout = frame.layout();
        let region = framing.region(layout.width, layout.height);
        let (width, height) = size(region.width, region.height);
        let pixels = (width * height) as usize;
        for plane in self.rgb.iter_mut().chain([&mut self.luma, &mut self.turned]) {
            plane.resize(pixels, 0);
        }
        self.axes[0].set(region.width, 1, width);
        self.axes[1].set(region.height, 1, height);
        self.shrink(frame, region, (width, height));
        if framing.rotation != Rotation::None {
            for plane in &mut self.rgb {
                turn(plane, &mut self.turned, width as usize, framing.rotation);
                std::mem::swap(plane, &mut self.turned);
            }
        }
        let (width, height) =
            if framing.rotation.swaps_sides() { (height, width) } else { (width, height) };
        (self.width, self.height) = (width as usize, height as usize);
        luma(&self.rgb, &mut self.luma);
    }

    fn shrink(&mut self, frame: &Frame, region: Region, (width, height): (u32, u32)) {
        let Self { rgb, axes: [x, y], chroma_axes: [cx, cy], rows, .. } = self;
        let layout = frame.layout();
        let [r, g, b] = rgb.each_mut().map(Vec::as_mut_slice);
        let (left, top) = (region.x as usize, region.y as usize);
        let stride = |plane: usize| layout.planes[plane].stride;
        let luma = |bytes: usize| &frame.plane(0)[top * stride(0) + left * bytes..];
        let chroma = |plane: usize, bytes: usize| {
            &frame.plane(plane)[top / 2 * stride(plane) + left / 2 * bytes..]
        };
        if layout.format.is_yuv() {
            cx.set(region.width, 2, width);
            cy.set(region.height, 2, height);
        }
        match layout.format {
            PixelFormat::Rgb => shrink::<3>(luma(3), stride(0), x, y, rows, &mut [r, g, b]),
            PixelFormat::Bgr => shrink::<3>(luma(3), stride(0), x, y, rows, &mut [b, g, r]),
            PixelFormat::Rgbx => shrink::<4>(luma(4), stride(0), x, y, rows, &mut [r, g, b]),
            PixelFormat::Bgrx => shrink::<4>(luma(4), stride(0), x, y, rows, &mut [b, g, r]),
            PixelFormat::Gray8 => {
                shrink::<1>(luma(1), stride(0), x, y, rows, &mut [&mut *r]);
                grey(layout.color, r);
                g.copy_from_slice(r);
                b.copy_from_slice(r);
            }
            PixelFormat::Nv12 => {
                shrink::<1>(luma(1), stride(0), x, y, rows, &mut [&mut *r]);
                shrink::<2>(chroma(1, 2), stride(1), cx, cy, rows, &mut [&mut *g, &mut *b]);
                yuv(layout.color, r, g, b);
            }
            PixelFormat::I420 => {
                shrink::<1>(luma(1), stride(0), x, y, rows, &mut [&mut *r]);
                shrink::<1>(chroma(1, 1), stride(1), cx, cy, rows, &mut [&mut *g]);
                shrink::<1>(chroma(2, 1), stride(2), cx, cy, rows, &mut [&mut *b]);
                yuv(layout.color, r, g, b);
            }
        }
    }
}

/// `Y = 0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601) in 15-bit fixed point, rounded: bit for bit
/// what OpenCV calls grey.
fn luma(rgb: &[Vec<u8>; 3], into: &mut [u8]) {
    let n = into.len();
    let [r, g, b] = rgb.each_ref().map(|plane| &plane[..n]);
    for i in 0..n {
        into[i] =
            ((u32::from(r[i]) * 9798 + u32::from(g[i]) * 19235 + u32::from(b[i]) * 3735 + 16384)
                >> 15) as u8;
    }
}

/// Rounds a value to 0..=255. Adding 2^23 leaves the whole part in the low bits of the float; it
/// vectorises, `as` does not.
fn rounded(value: f32) -> u8 {
    (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

/// Expands limited-range grey (16..=235) to 0..=255.
fn grey(color: Colorimetry, plane: &mut [u8]) {
    if color.limited_range {
        plane
            .iter_mut()
            .for_each(|sample| *sample = rounded((f32::from(*sample) - 16.0) * (255.0 / 219.0)));
    }
}

/// Y, U, V to R, G, B in place, by the matrices of ITU-R BT.601 and BT.709; limited range
/// (16..=235, 16..=240) is expanded.
fn yuv(color: Colorimetry, y_to_r: &mut [u8], u_to_g: &mut [u8], v_to_b: &mut [u8]) {
    let (red, blue) = if color.bt709 { (0.2126_f32, 0.0722_f32) } else { (0.299, 0.114) };
    let green = 1.0 - red - blue;
    let (black, gain, chroma_gain) =
        if color.limited_range { (16.0, 255.0 / 219.0, 255.0 / 224.0) } else { (0.0, 1.0, 1.0) };
    let (v_red, u_blue) = (2.0 * (1.0 - red) * chroma_gain, 2.0 * (1.0 - blue) * chroma_gain);
    let (u_green, v_green) = (-u_blue * blue / green, -v_red * red / green);
    let n = y_to_r.len();
    let (u_to_g, v_to_b) = (&mut u_to_g[..n], &mut v_to_b[..n]);
    for i in 0..n {
        let y = (f32::from(y_to_r[i]) - black) * gain;
        let (u, v) = (f32::from(u_to_g[i]) - 128.0, f32::from(v_to_b[i]) - 128.0);
        y_to_r[i] = rounded(y + v_red * v);
        u_to_g[i] = rounded(y + u_green * u + v_green * v);
        v_to_b[i] = rounded(y + u_blue * u);
    }
}

/// Copies `from`, `width` wide, turned, into `to`.
fn turn(from: &[u8], to: &mut [u8], width: usize, rotation: Rotation) {
    let height = from.len() / width;
    match rotation {
        Rotation::None => to.copy_from_slice(from),
        Rotation::Half => to.iter_mut().zip(from.iter().rev()).for_each(|(to, &from)| *to = from),
        Rotation::Clockwise90 => {
            for (x, row) in to.chunks_exact_mut(height).enumerate() {
                row.iter_mut()
                    .enumerate()
                    .for_each(|(i, to)| *to = from[(height - 1 - i) * width + x]);
            }
        }
        Rotation::Clockwise270 => {
            for (i, row) in to.chunks_exact_mut(height).enumerate() {
                row.iter_mut()
                    .enumerate()
                    .for_each(|(y, to)| *to = from[y * width + width - 1 - i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_size_keeps_shape_and_area_and_never_enlarges() {
        assert_eq!(size(640, 480), (160, 120));
        assert_eq!(size(480, 640), (120, 160));
        assert_eq!(size(1280, 720), (185, 104));
        assert_eq!(size(1920, 1080), (185, 104));
        assert_eq!(size(1, 1), (1, 1));
        assert_eq!(size(16_384, 1), (16_384, 1));
        for w in (1..=16_384).step_by(61).chain([16_384]) {
            for h in (1..=16_384).step_by(127).chain([2, 3, 16_384]) {
                let (a, b) = size(w, h);
                assert!(
                    a >= 1 && b >= 1 && a <= w && b <= h && a * b <= 25_600,
                    "{w}x{h} became {a}x{b}"
                );
            }
        }
    }

    #[test]
    fn a_turned_plane_is_upright() {
        let plane = [1, 2, 3, 4, 5, 6]; // 3 wide: 1 2 3 / 4 5 6
        let mut out = [0; 6];
        for (rotation, expected) in [
            (Rotation::Clockwise90, [4, 1, 5, 2, 6, 3]),
            (Rotation::Half, [6, 5, 4, 3, 2, 1]),
            (Rotation::Clockwise270, [3, 6, 2, 5, 1, 4]),
        ] {
            turn(&plane, &mut out, 3, rotation);
            assert_eq!(out, expected, "{rotation:?}");
        }
    }

    #[test]
    fn limited_range_becomes_full_range_and_primaries_come_back() {
        let mut y = [16, 235, 81, 255];
        let (mut u, mut v) = ([128, 128, 90, 128], [128, 128, 240, 128]);
        yuv(Colorimetry { limited_range: true, bt709: false }, &mut y, &mut u, &mut v);
        assert_eq!((y, u, v), ([0, 255, 254, 255], [0, 255, 0, 255], [0, 255, 0, 255]));
    }
}
