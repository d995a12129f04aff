//! The one place besides the sources that names GStreamer: a buffer of its that a frame lives in.

use gstreamer as gst;

/// A GStreamer buffer mapped for reading; unmapped and given back to its pool when dropped.
pub struct Mapped(pub(crate) gst::MappedBuffer<gst::buffer::Readable>);

impl Mapped {
    /// All bytes of the buffer.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}
