//! Cameras, clips and photos: whatever hands over frames. The only room that speaks GStreamer.
//!
//! A source never retries; the feature thread of its camera does. GStreamer's own thread only offers to a one-slot mailbox.

mod spec;

use std::time::Duration;

use gstreamer as gst;

use crate::frame::Frame;

pub use spec::{Secret, SourceSpec};

/// A GStreamer buffer mapped for reading; unmapped and given back to its pool when dropped.
pub struct Mapped(gst::MappedBuffer<gst::buffer::Readable>);

impl Mapped {
    /// All bytes of the buffer.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Hands over frames, newest first. One per camera, owned by that camera's feature thread.
pub trait FrameSource: Send {
    /// The newest frame, or [`SourceError::Stalled`] after `patience`. `Ok(None)` only from a finite source that has ended,
    /// or after [`Stopper::stop`]; a live camera that ends is an error. Never retries.
    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError>;

    /// Frames that a newer one replaced before anyone took them, since the source was opened.
    fn superseded(&self) -> u64;

    /// Something that wakes a waiting [`FrameSource::next`] from another thread.
    fn stopper(&self) -> Stopper;
}

/// Wakes a source that waits. Clonable, callable from any thread, any number of times.
#[derive(Clone)]
pub struct Stopper(std::sync::Arc<dyn Fn() + Send + Sync>);

impl Stopper {
    /// Wraps the action.
    pub fn new(action: impl Fn() + Send + Sync + 'static) -> Self {
        Self(std::sync::Arc::new(action))
    }

    /// Makes the waiting and every later `next` return `Ok(None)`.
    pub fn stop(&self) {
        (self.0)();
    }
}

/// What went wrong at a source. Texts never hold a password.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No frame within the patience.
    #[error("{origin}: no frame for {} ms", waited.as_millis())]
    Stalled {
        /// The source, without secrets.
        origin: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// A live source came to its end.
    #[error("{origin}: the stream ended, which a live source must not do")]
    Ended {
        /// The source, without secrets.
        origin: String,
    },
    /// It cannot be opened, or failed while running.
    #[error("{origin}: {reason}")]
    Failed {
        /// The source, without secrets.
        origin: String,
        /// What it said, without secrets.
        reason: String,
    },
}
