//! What the elements of one pipeline have told beside frames: how far its camera has come, whether
//! its stream ends, what it offers.
//!
//! Written by GStreamer's threads, read by the owner of the source.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::formats::{self, Offered};
use super::http::{self, Verdict};
use super::launch::FROM;
use super::transport::{Progress, Stage};

/// What was told.
#[derive(Default)]
pub(super) struct Heard {
    progress: Progress,
    verdict: Mutex<Option<Verdict>>,
    ends: AtomicBool,
    offered: Mutex<Option<Offered>>,
}

impl Heard {
    /// A message of the bus. What is returned ends the source: a sentence.
    pub(super) fn hear(&self, message: &gst::Message) -> Option<&'static str> {
        self.progress.hear(message);
        let gst::MessageView::Element(element) = message.view() else { return None };
        let verdict =
            element.structure().filter(|_| http::is_from(message)).and_then(http::answer)?;
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        match verdict {
            Verdict::NoVideo(why) => Some(why),
            _ => None,
        }
    }

    /// The first packets of an RTSP camera show up as a pad.
    pub(super) fn await_packets(self: &std::sync::Arc<Self>, pipeline: &gst::Pipeline) {
        if let Some(from) = pipeline.by_name(FROM).filter(|from| from.static_pad("src").is_none()) {
            let heard = std::sync::Arc::clone(self);
            from.connect_pad_added(move |_, _| heard.progress.reach(Stage::Receiving));
        }
    }

    /// Whether the transport is to blame if nothing comes now.
    pub(super) fn blames_transport(&self) -> bool {
        self.progress.blames_transport()
    }

    /// What the server's headers say; [`Verdict::Open`] if they say nothing.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(Verdict::Open)
    }

    /// Whether a server has answered with something that may be a stream.
    pub(super) fn has_answer(&self) -> bool {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the end of the stream is its end rather than a loss.
    pub(super) fn ends(&self, ends: bool) {
        self.ends.store(ends, Ordering::Release);
    }

    /// The same, asked.
    pub(super) fn is_finite(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    /// Asks the element of a camera what it offers, and remembers it.
    pub(super) fn ask(&self, from: Option<gst::Element>) -> Option<Offered> {
        let offered = from.as_ref().and_then(formats::of);
        self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&offered);
        offered
    }

    /// Whether it offers Bayer and nothing else.
    pub(super) fn offers_only_bayer(&self) -> bool {
        self.offered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_some_and(|offered| offered.only_bayer)
    }
}
