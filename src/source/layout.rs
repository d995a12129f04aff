//! How the bytes of a GStreamer sample are laid out, in this house's words.
//!
//! Caps are read once and kept until a sample comes with others; strides and offsets are each
//! buffer's own, since drivers and decoders pad as they like. No clock, no thread.

use gstreamer as gst;
use gstreamer_video as video;
use video::{VideoColorMatrix, VideoColorRange, VideoFormat};

use crate::frame::{Colorimetry, Layout, PixelFormat, Plane};

/// Remembers the layout that the latest caps describe.
#[derive(Default)]
pub(super) struct Layouts {
    known: Option<(gst::Caps, Layout)>,
}

impl Layouts {
    /// The layout of `sample`, whose memory is not looked at. Says why if its caps are none of
    /// ours; then that stays so for every sample with these caps. Allocates nothing while the caps
    /// stay the same.
    pub(super) fn of(&mut self, sample: &gst::Sample) -> Result<Layout, String> {
        let caps = sample.caps().ok_or("a sample without caps came")?;
        // Ours holds a reference, so the same address means the same caps: nobody may change shared
        // ones.
        let same = |known: &gst::Caps| std::ptr::eq(known.as_ref(), caps);
        let mut layout = match &self.known {
            Some((known, layout)) if same(known) => *layout,
            _ => {
                let layout = from_caps(caps)?;
                self.known = sample.caps_owned().map(|caps| (caps, layout));
                layout
            }
        };
        if let Some(meta) = sample.buffer().and_then(|buffer| buffer.meta::<video::VideoMeta>()) {
            layout.planes = planes(layout.format, meta.offset(), meta.stride())?;
        }
        Ok(layout)
    }
}

fn from_caps(caps: &gst::CapsRef) -> Result<Layout, String> {
    let info = video::VideoInfo::from_caps(caps)
        .map_err(|_| format!("these caps are not video: {caps}"))?;
    let format = pixel_format(info.format())
        .ok_or_else(|| format!("pixel format {} is not read; add videoconvert", info.name()))?;
    let color = colorimetry(format, info.height(), &info.colorimetry());
    Ok(Layout {
        format,
        width: info.width(),
        height: info.height(),
        planes: planes(format, info.offset(), info.stride())?,
        color,
    })
}

fn planes(format: PixelFormat, offsets: &[usize], strides: &[i32]) -> Result<[Plane; 3], String> {
    let mut planes = [Plane::default(); 3];
    for (index, plane) in planes.iter_mut().enumerate().take(format.planes()) {
        let offset = offsets.get(index).copied();
        let stride = strides.get(index).and_then(|&stride| usize::try_from(stride).ok());
        let (Some(offset), Some(stride)) = (offset, stride) else {
            return Err(format!("plane {index} of a {format:?} buffer is absent or upside down"));
        };
        *plane = Plane { offset, stride };
    }
    Ok(planes)
}

fn pixel_format(format: VideoFormat) -> Option<PixelFormat> {
    Some(match format {
        VideoFormat::Gray8 => PixelFormat::Gray8,
        VideoFormat::Rgb => PixelFormat::Rgb,
        VideoFormat::Bgr => PixelFormat::Bgr,
        VideoFormat::Rgbx | VideoFormat::Rgba => PixelFormat::Rgbx,
        VideoFormat::Bgrx | VideoFormat::Bgra => PixelFormat::Bgrx,
        VideoFormat::Nv12 => PixelFormat::Nv12,
        VideoFormat::I420 => PixelFormat::I420,
        _ => return None,
    })
}

/// Where the caps do not say: YUV is limited range, and BT.709 above 576 lines, which is
/// GStreamer's own guess too.
fn colorimetry(format: PixelFormat, height: u32, told: &video::VideoColorimetry) -> Colorimetry {
    let limited_range = match told.range() {
        VideoColorRange::Range16_235 => true,
        VideoColorRange::Range0_255 => false,
        _ => format.is_yuv(),
    };
    let bt709 = match told.matrix() {
        VideoColorMatrix::Bt709 | VideoColorMatrix::Smpte240m | VideoColorMatrix::Bt2020 => true,
        VideoColorMatrix::Unknown => format.is_yuv() && height > 576,
        _ => false,
    };
    Colorimetry { limited_range, bt709 }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn layout(caps: &str) -> Result<Layout, String> {
        gst::init().unwrap();
        from_caps(&gst::Caps::from_str(caps).unwrap())
    }

    #[test]
    fn padded_rows_are_seen_in_caps_alone() {
        let rgb = layout("video/x-raw,format=RGB,width=227,height=2").unwrap();
        assert_eq!((rgb.planes[0].stride, rgb.color), (684, Colorimetry::FULL));
        let i420 = layout("video/x-raw,format=I420,width=227,height=3").unwrap();
        assert_eq!(i420.planes[1], Plane { offset: 228 * 4, stride: 116 });
    }

    #[test]
    fn range_and_matrix_come_from_the_caps_or_a_stated_guess() {
        for (rest, limited_range, bt709) in [
            ("height=480", true, false),
            ("height=720", true, true),
            ("height=480,colorimetry=bt709", true, true),
            ("height=720,colorimetry=bt601", true, false),
            ("height=480,colorimetry=1:4:0:0", false, false),
        ] {
            let color = layout(&format!("video/x-raw,format=NV12,width=640,{rest}")).unwrap().color;
            assert_eq!(color, Colorimetry { limited_range, bt709 }, "{rest}");
        }
    }

    #[test]
    fn other_formats_and_other_media_are_refused() {
        assert!(layout("video/x-raw,format=YUY2,width=8,height=8").unwrap_err().contains("YUY2"));
        assert!(layout("audio/x-raw").unwrap_err().contains("audio/x-raw"));
    }
}
